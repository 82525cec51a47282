// 本人確認情報 and its notice as JSON, both directions: the notice file, `record --json`, the copy
// file. The form is that of the notice file (consumers/README.md); `NoticeLine` writes the
// canonical one: keys in the order of the schema, no spaces, optional fields without a value left
// out.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/strict_json.h"
#include "events/consistency.pb.h"
#include "events/resident.pb.h"

namespace daicho {

// "entry", "move_in", "female". Requires: a known value.
std::string_view KindName(v1::NoticeKind kind);
std::string_view ReasonName(v1::ChangeReason reason);
std::string_view SexName(v1::Sex sex);
std::optional<v1::NoticeKind> KindFromName(std::string_view name);
std::optional<v1::ChangeReason> ReasonFromName(std::string_view name);
std::optional<v1::Sex> SexFromName(std::string_view name);

// "missing_there", "field": as in a comparison's result.
std::string_view DifferenceClassName(v1::DifferenceClass difference_class);

// One line without its newline. Requires: strings are valid UTF-8, as in every notice that passed
// CheckNotice; an enum without a known value is left out.
std::string NoticeLine(const v1::UpdateNotice& notice);
std::string RecordJson(const v1::ResidentRecord& record);
// The record with the named fields only; "resident_code" is the notice's. Images of external glyphs only of such fields.
std::string ReleasedRecordJson(const v1::UpdateNotice& notice, const std::vector<std::string>& fields);

// Replaces `notice`. Judges the form only; the content is CheckNotice's.
JsonReading ReadNotice(std::string_view json, v1::UpdateNotice& notice);
JsonReading ReadRecord(std::string_view json, v1::ResidentRecord& record);

// For formats that carry a record within an object of their own; reads into a v1::ResidentRecord.
extern const JsonSchema kRecordSchema;

}  // namespace daicho
