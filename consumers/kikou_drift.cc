#include "consumers/kikou_drift.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "consumers/copy_file.h"
#include "consumers/generate/random.h"
#include "events/codes.h"

namespace daicho {
namespace {

using generate::Random;
using nlohmann::ordered_json;
using Change = KikouHolding::Change;

// One row's fate: what to tell of it, or none when this row cannot be hit that way.
using Hit = std::optional<ordered_json>;
using Blow = Result<Hit> (*)(Change& change, Random& random, v1::HeldCopy row);

// A character and the variant that takes its place.
constexpr std::array<std::pair<std::string_view, std::string_view>, 24> kVariants = {{
    {"邊", "辺"}, {"邉", "邊"}, {"辺", "邊"}, {"齋", "斎"}, {"齊", "斉"}, {"斎", "齋"}, {"斉", "齊"}, {"髙", "高"},
    {"高", "髙"}, {"﨑", "崎"}, {"崎", "﨑"}, {"濱", "浜"}, {"浜", "濱"}, {"澤", "沢"}, {"沢", "澤"}, {"廣", "広"},
    {"櫻", "桜"}, {"國", "国"}, {"德", "徳"}, {"眞", "真"}, {"嶋", "島"}, {"島", "嶋"}, {"冨", "富"}, {"富", "冨"},
}};
// Variation selectors U+E0100 to U+E01EF are F3 A0 84 80 to F3 A0 87 AF.
constexpr std::string_view kSelectorBegin = "\xF3\xA0";
constexpr std::size_t kSelectorBytes = 4;

Result<Hit> Drop(Change& change, Random&, v1::HeldCopy row) {
  RETURN_IF_ERROR(change.Remove(row.resident_code()));
  return Hit(ordered_json::object());
}

Result<Hit> Duplicate(Change& change, Random& random, v1::HeldCopy row) {
  if (row.record().individual_number().empty()) return Hit();
  std::string code;
  do {
    code = std::to_string(1'000'000'000ull + random.Next() % 9'000'000'000ull);
    code += ResidentCodeCheckDigit(code);
  } while (change.Find(code).ok());
  row.set_resident_code(code);
  RETURN_IF_ERROR(change.Put(std::move(row)));
  return Hit(ordered_json{{"copy", code}});
}

Result<Hit> Alter(Change& change, Random& random, v1::HeldCopy row) {
  v1::ResidentRecord& record = *row.mutable_record();
  const char* field = "address";
  switch (random.Below(4)) {
    case 0:
      field = "sex";
      record.set_sex(record.sex() == v1::SEX_MALE ? v1::SEX_FEMALE : v1::SEX_MALE);
      break;
    case 1:
      field = "birth";
      record.set_birth(record.birth() == "1970-01-01" ? "1970-01-02" : "1970-01-01");
      break;
    case 2:
      if (!record.kana().empty()) {
        field = "kana";
        record.set_kana(record.kana() + "こ");
        break;
      }
      [[fallthrough]];
    default: record.mutable_address()->set_text(record.address().text() + "甲");
  }
  RETURN_IF_ERROR(change.Put(std::move(row)));
  return Hit(ordered_json{{"field", field}});
}

// Whether the text was changed.
bool ChangeGlyph(std::string& text) {
  if (const std::size_t selector = text.find(kSelectorBegin); selector != std::string::npos) {
    text.erase(selector, kSelectorBytes);
    return true;
  }
  for (const auto& [from, to] : kVariants) {
    const std::size_t at = text.find(from);
    if (at == std::string::npos) continue;
    text.replace(at, from.size(), to);
    return true;
  }
  return false;
}

Result<Hit> Glyph(Change& change, Random&, v1::HeldCopy row) {
  const bool name = ChangeGlyph(*row.mutable_record()->mutable_name());
  if (!name && !ChangeGlyph(*row.mutable_record()->mutable_address()->mutable_text())) return Hit();
  RETURN_IF_ERROR(change.Put(std::move(row)));
  return Hit(ordered_json{{"field", name ? "name" : "address"}});
}

Result<Hit> Reorder(Change& change, Random&, v1::HeldCopy row) {
  const auto earlier = change.Before(row.resident_code(), row.update_number());
  if (earlier.status().code() == Code::kNotFound) return Hit();
  RETURN_IF_ERROR(earlier.status());
  RETURN_IF_ERROR(change.Put(HeldRow(*earlier)));
  return Hit(ordered_json{{"update_number", earlier->update_number()}});
}

Result<Hit> Removed(Change& change, Random&, v1::HeldCopy row) {
  row.set_removed(!row.removed());
  const bool removed = row.removed();
  RETURN_IF_ERROR(change.Put(std::move(row)));
  return Hit(ordered_json{{"removed", removed}});
}

Result<Hit> Retention(Change& change, Random&, v1::HeldCopy row) {
  row.set_retention(row.removed() ? v1::RETENTION_START_SUPERSEDED : v1::RETENTION_START_RECEIVED);
  const std::string_view word = RetentionWord(row);
  RETURN_IF_ERROR(change.Put(std::move(row)));
  return Hit(ordered_json{{"retention", word}});
}

constexpr std::array<std::pair<std::string_view, Blow>, 7> kBlows = {{{"drop", Drop},
                                                                     {"duplicate", Duplicate},
                                                                     {"alter", Alter},
                                                                     {"glyph", Glyph},
                                                                     {"reorder", Reorder},
                                                                     {"removed", Removed},
                                                                     {"retention", Retention}}};

std::string Line(const std::string& kind, const std::string& code, const ordered_json& more) {
  ordered_json line = {{"kind", kind}, {"resident_code", code}};
  line.update(more);
  return line.dump();
}

Status Strike(Change& change, const kikou::Drift& drift, Blow blow) {
  ASSIGN_OR_RETURN(std::vector<std::string> codes, change.Codes());
  Random random(drift.seed());
  std::uint64_t hits = 0;
  // Each row once, in a random order.
  for (std::size_t left = codes.size(); left > 0 && hits < drift.count(); --left) {
    const std::size_t chosen = random.Next() % left;
    std::swap(codes[chosen], codes[left - 1]);
    const std::string& code = codes[left - 1];
    ASSIGN_OR_RETURN(v1::HeldCopy row, change.Find(code));
    ASSIGN_OR_RETURN(const Hit hit, blow(change, random, std::move(row)));
    if (!hit) continue;
    change.Tell(Line(drift.kind(), code, *hit));
    ++hits;
  }
  return {};
}

Status ReleaseHeld(Change& change) {
  ASSIGN_OR_RETURN(const std::vector<kikou::Notice> held, change.Release());
  for (const kikou::Notice& each : held) {
    v1::UpdateNotice notice;
    if (!notice.ParseFromString(each.notice())) return Corrupt("a held notice cannot be decoded");
    RETURN_IF_ERROR(change.Apply(each, notice));
    change.Tell(Line("release", notice.resident_code(), {{"position", each.position()}}));
  }
  return {};
}

}  // namespace

Result<std::string> ApplyDrift(KikouHolding& holding, const kikou::Drift& drift) {
  if (drift.count() == 0 && drift.kind() != "release") return Invalid("count: at least 1");
  const auto change = holding.Begin();
  const auto* const blow = std::ranges::find(kBlows, drift.kind(), [](const auto& row) { return row.first; });
  if (blow != kBlows.end()) {
    RETURN_IF_ERROR(Strike(*change, drift, blow->second));
  } else if (drift.kind() == "release") {
    RETURN_IF_ERROR(ReleaseHeld(*change));
    change->SetPending({});
  } else if (drift.kind() == "lose" || drift.kind() == "delay") {
    ASSIGN_OR_RETURN(Change::Pending pending, change->pending());
    (drift.kind() == "lose" ? pending.lost : pending.delayed) += drift.count();
    change->SetPending(pending);
  } else {
    return Invalid("kind: drop, lose, duplicate, delay, release, alter, glyph, reorder, removed or retention");
  }
  std::string out;
  for (const std::string& line : change->told()) out += line + "\n";
  RETURN_IF_ERROR(change->Write());
  return out;
}

}  // namespace daicho
