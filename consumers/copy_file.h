// The copy file (整合性確認用本人確認情報): what a holder has of the residents, NDJSON, in any order. README.md, *Copy file*.
#pragma once

#include <string>
#include <vector>

#include "events/consistency.pb.h"
#include "events/event.h"

namespace daicho {

// Errors: kInvalid with line, field and rule; kNotFound.
Result<std::vector<v1::HeldCopy>> ReadCopyFile(const std::string& path);

// Its lines, each with its newline. `as_of`: RFC 3339.
std::string CopyHeaderLine(const std::string& holder, const std::string& as_of, std::uint64_t count);
std::string CopyLine(const v1::HeldCopy& row);

}  // namespace daicho
