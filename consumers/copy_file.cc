#include "consumers/copy_file.h"

#include <optional>

#include "consumers/notice_json.h"
#include "consumers/strict_json.h"
#include "events/codes.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::string_view kFormat = "daicho-copy/1";

struct CopyHeader {
  std::string format, holder, as_of;
  std::uint64_t count = 0;
};
constexpr JsonField kHeaderFields[] = {
    JsonText<&CopyHeader::format>("format", kRequired),
    JsonText<&CopyHeader::holder>("holder", kRequired),
    JsonText<&CopyHeader::as_of>("as_of", kRequired),
    JsonNumber<&CopyHeader::count>("count", kRequired),
};
constexpr JsonSchema kHeaderSchema = {kHeaderFields};

// "resident" or "removed".
std::optional<bool> RemovedFromName(std::string_view name) {
  if (name == "removed") return true;
  return name == "resident" ? std::optional(false) : std::nullopt;
}

constexpr JsonField kRowFields[] = {
    JsonText<&v1::HeldCopy::mutable_resident_code>("resident_code", kRequired),
    JsonNumber<&v1::HeldCopy::set_update_number>("update_number", kRequired),
    JsonWord<&v1::HeldCopy::set_removed, &RemovedFromName>("status", kRequired),
    JsonObject<&v1::HeldCopy::mutable_record>("record", kRequired, kRecordSchema),
};
constexpr JsonSchema kRowSchema = {kRowFields};

Status Broken(const std::string& path, std::size_t line, const JsonReading& reading) {
  const std::string at = path + ": line " + std::to_string(line) + ": ";
  if (reading.breaks.empty()) return Invalid(at + "no JSON object");
  const RuleBreak& first = reading.breaks.front();
  return Invalid(at + first.field + ": " + first.rule + ": " + first.message);
}

}  // namespace

Result<std::vector<v1::HeldCopy>> ReadCopyFile(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::string_view rest = text;
  std::size_t line = 0;
  const auto take = [&] {
    const std::size_t end = rest.find('\n');
    const std::string_view taken = rest.substr(0, end);
    rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    ++line;
    return taken;
  };
  CopyHeader header;
  const JsonReading form = ReadJson(take(), kHeaderSchema, &header);
  if (!form.complete || !form.breaks.empty()) return Broken(path, line, form);
  if (header.format != kFormat) return Invalid(path + ": line 1: format: " + std::string(kFormat) + " ではありません");
  std::vector<v1::HeldCopy> out;
  while (!rest.empty()) {
    v1::HeldCopy& row = out.emplace_back();
    const JsonReading reading = ReadJson(take(), kRowSchema, &row);
    if (!reading.complete || !reading.breaks.empty()) return Broken(path, line, reading);
    if (!IsValidResidentCode(row.resident_code())) {
      return Invalid(path + ": line " + std::to_string(line) + ": resident_code: check_digit: 検査数字が一致しません");
    }
  }
  if (out.size() != header.count) return Invalid(path + ": line 1: count: 行数と一致しません");
  return out;
}

std::string CopyHeaderLine(const std::string& holder, const std::string& as_of, std::uint64_t count) {
  std::string out = "{\"format\":\"" + std::string(kFormat) + "\",\"holder\":";
  AppendJsonString(out, holder);
  AppendJsonString(out += ",\"as_of\":", as_of);
  return (out += ",\"count\":") += std::to_string(count) + "}\n";
}

std::string CopyLine(const v1::HeldCopy& row) {
  std::string out = "{\"resident_code\":";
  AppendJsonString(out, row.resident_code());
  (out += ",\"update_number\":") += std::to_string(row.update_number());
  out += row.removed() ? ",\"status\":\"removed\",\"record\":" : ",\"status\":\"resident\",\"record\":";
  return (out += RecordJson(row.record())) += "}\n";
}

}  // namespace daicho
