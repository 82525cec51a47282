#include "consumers/provision_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <utility>

#include "consumers/notice_json.h"
#include "consumers/strict_json.h"
#include "events/codes.h"
#include "events/dates.h"
#include "ledger/registry.h"

namespace daicho {
namespace {

constexpr std::string_view kFormat = "daicho-request/1";
constexpr std::size_t kReferenceBytesMax = 64;
constexpr std::size_t kIdBytesMax = 64;

constexpr std::array<std::pair<v1::ProvisionMode, std::string_view>, 3> kModes = {
    {{v1::PROVISION_MODE_IMMEDIATE, "immediate"},
     {v1::PROVISION_MODE_BATCH, "batch"},
     {v1::PROVISION_MODE_STANDING, "standing"}}};
constexpr std::array<std::pair<v1::DeliveryMethod, std::string_view>, 2> kMethods = {
    {{v1::DELIVERY_METHOD_LINE, "line"}, {v1::DELIVERY_METHOD_MEDIUM, "medium"}}};

template <typename Table, typename Value>
std::string_view NameIn(const Table& table, Value value) {
  const auto found = std::ranges::find(table, value, [](const auto& row) { return row.first; });
  return found == table.end() ? std::string_view() : found->second;
}
}  // namespace

std::optional<v1::ProvisionMode> ModeFromName(std::string_view name) {
  for (const auto& [mode, known] : kModes) {
    if (known == name) return mode;
  }
  return std::nullopt;
}
std::optional<v1::DeliveryMethod> MethodFromName(std::string_view name) {
  for (const auto& [method, known] : kMethods) {
    if (known == name) return method;
  }
  return std::nullopt;
}

namespace {

// Line 1 as it is read.
struct HeaderText : RequestHeader {
  std::string format, requested_text;
  void set_mode(v1::ProvisionMode value) { mode = value; }
  void set_method(v1::DeliveryMethod value) { method = value; }
  void set_ends(bool value) { ends = value; }
  void set_elsewhere(bool value) { elsewhere = value; }
};

constexpr JsonField kHeaderFields[] = {
    JsonText<&HeaderText::format>("format", kRequired),
    JsonText<&RequestHeader::agency>("agency", kRequired),
    JsonText<&RequestHeader::basis>("basis", kRequired),
    JsonText<&RequestHeader::duty>("duty", kRequired),
    JsonText<&RequestHeader::reference>("reference", kRequired),
    JsonNumber<&RequestHeader::count>("count", kRequired),
    JsonWord<&HeaderText::set_mode, &ModeFromName>("mode", kOptional),
    JsonWord<&HeaderText::set_method, &MethodFromName>("method", kOptional),
    JsonTexts<&RequestHeader::fields>("fields", kOptional),
    JsonBool<&HeaderText::set_ends>("ends", kOptional),
    JsonBool<&HeaderText::set_elsewhere>("elsewhere", kOptional),
    JsonText<&HeaderText::requested_text>("requested_at", kOptional),
};
constexpr JsonSchema kHeaderSchema = {kHeaderFields};

struct LineText {
  std::string id, consent;
  v1::SearchCondition condition;
  std::string* resident_code() { return condition.mutable_resident_code(); }
  std::string* individual_number() { return condition.mutable_individual_number(); }
  std::string* name() { return condition.mutable_name(); }
  std::string* kana() { return condition.mutable_kana(); }
  std::string* birth() { return condition.mutable_birth(); }
  std::string* address() { return condition.mutable_address(); }
  std::string* municipality() { return condition.mutable_municipality(); }
  void set_sex(v1::Sex sex) { condition.set_sex(sex); }
};

constexpr JsonField kLineFields[] = {
    JsonText<&LineText::id>("id", kRequired),
    JsonText<&LineText::resident_code>("resident_code", kOptional),
    JsonText<&LineText::individual_number>("individual_number", kOptional),
    JsonText<&LineText::name>("name", kOptional),
    JsonText<&LineText::kana>("kana", kOptional),
    JsonText<&LineText::birth>("birth", kOptional),
    JsonWord<&LineText::set_sex, &SexFromName>("sex", kOptional),
    JsonText<&LineText::address>("address", kOptional),
    JsonText<&LineText::municipality>("municipality", kOptional),
    JsonText<&LineText::consent>("consent", kOptional),
};
constexpr JsonSchema kLineSchema = {kLineFields};

// Takes a line, without its newline, off `rest`. What lacks its newline is a line too.
std::string_view TakeLine(std::string_view& rest) {
  const std::size_t newline = rest.find('\n');
  const std::string_view line = rest.substr(0, newline);
  rest.remove_prefix(newline == std::string_view::npos ? rest.size() : newline + 1);
  return line;
}

std::vector<RuleBreak> ReadLine(std::string_view text, LineText& out) {
  JsonReading form = ReadJson(text, kLineSchema, &out);
  std::vector<RuleBreak> breaks = std::move(form.breaks);
  if (!form.complete || !breaks.empty()) return breaks;
  const auto add = [&](const char* field, const char* rule, const char* message) {
    breaks.push_back({field, rule, message});
  };
  if (out.id.empty() || out.id.size() > kIdBytesMax) add("id", "length", "1から64バイトです");
  const v1::SearchCondition& condition = out.condition;
  if (!condition.resident_code().empty() && !IsValidResidentCode(condition.resident_code())) {
    add("resident_code", "check_digit", "住民票コードの検査数字が一致しません");
  }
  if (!condition.individual_number().empty() && !IsValidIndividualNumber(condition.individual_number())) {
    add("individual_number", "check_digit", "個人番号の検査数字が一致しません");
  }
  if (!condition.municipality().empty() && !IsValidMunicipalityCode(condition.municipality())) {
    add("municipality", "check_digit", "市町村コードの検査数字が一致しません");
  }
  if (!condition.birth().empty() && !ParsePersonLenientDate(condition.birth()).ok()) {
    add("birth", "date", "生年月日として読めません");
  }
  return breaks;
}

}  // namespace

bool IsReference(std::string_view text) {
  return !text.empty() && text.size() <= kReferenceBytesMax && text != "." && text != ".." &&
         text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") ==
             std::string_view::npos;
}

bool IsSignedBy(const std::string& key, std::string_view message, std::string_view signature) {
  const auto bytes = ToArray<32>(key);
  if (!bytes.ok()) return false;
  const auto verifier = VerifyingKey::From(*bytes);
  return verifier.ok() && verifier->Verify(message, signature).ok();
}

std::string_view ModeName(v1::ProvisionMode mode) { return NameIn(kModes, mode); }
std::string_view MethodName(v1::DeliveryMethod method) { return NameIn(kMethods, method); }

Result<ProvisionRequestReader> ProvisionRequestReader::Open(std::string_view bytes) {
  if (bytes.size() > kRequestBytesMax) return Invalid("request: 1GiBまでです");
  ProvisionRequestReader out;
  out.body_ = bytes;
  const std::string_view line = TakeLine(out.body_);
  HeaderText header;
  const JsonReading form = ReadJson(line.substr(0, kRequestLineBytesMax), kHeaderSchema, &header);
  if (!form.breaks.empty()) return Invalid(form.breaks.front().field + ": " + form.breaks.front().message);
  if (!form.complete) return Invalid("request: 1行目を読み取れません");
  if (header.format != kFormat) return Invalid("format: この形式の照会は読めません");
  if (!IsAgencyName(header.agency)) return Invalid("agency: 英小文字、数字、- の1から40文字です");
  if (!IsReference(header.reference)) return Invalid("reference: 英数字と - _ . の1から64文字です");
  if (header.count > kRequestLinesMax) return Invalid("count: 1,000,000件までです");
  if (header.ends && (header.mode != v1::PROVISION_MODE_STANDING || header.count != 0)) {
    return Invalid("ends: 継続の照会を終えるとき、条件は付けません");
  }
  if (!header.ends && header.count == 0) return Invalid("count: 1件以上です");
  if (header.mode == v1::PROVISION_MODE_STANDING && header.method != v1::DELIVERY_METHOD_LINE) {
    return Invalid("method: 継続の照会は回線によります");
  }
  if (header.mode == v1::PROVISION_MODE_STANDING && header.elsewhere) {
    return Invalid("elsewhere: 継続の照会では、他県の者を機構に照会できません");
  }
  if (header.mode == v1::PROVISION_MODE_IMMEDIATE && header.count != 1) return Invalid("count: 即時の照会は1件です");
  if (!header.requested_text.empty()) {
    const auto at = ParseTimestamp(header.requested_text);
    if (!at) return Invalid("requested_at: RFC 3339の日時ではありません");
    header.requested_at = at->value();
  }
  out.header_ = std::move(header);
  out.rest_ = out.body_;
  return out;
}

std::vector<FileError> ProvisionRequestReader::Check() const {
  std::vector<FileError> errors;
  std::set<std::string, std::less<>> ids;
  std::uint64_t number = 1;
  const auto add = [&](std::string field, std::string rule, std::string message) {
    errors.push_back({number, std::move(field), std::move(rule), std::move(message), std::nullopt});
  };
  LineText line;
  for (std::string_view rest = body_; !rest.empty() && errors.size() < kFileErrorsMax;) {
    ++number;
    const bool whole = rest.find('\n') != std::string_view::npos;
    const std::string_view text = TakeLine(rest);
    if (!whole) {
      add("", "truncated", "ファイルが途中で切れています（最後の行が改行で終わっていません）");
    } else if (text.size() > kRequestLineBytesMax) {
      add("", "limit", "行が長すぎます（4KiBまで）");
    } else {
      line = LineText();
      for (RuleBreak& broken : ReadLine(text, line)) {
        add(std::move(broken.field), std::move(broken.rule), std::move(broken.message));
      }
      if (!line.id.empty() && !ids.insert(line.id).second) add("id", "repeat", "同じidの行があります");
    }
  }
  const std::uint64_t lines = number - 1;
  number = 1;
  if (errors.empty() && lines != header_.count) {
    errors.push_back({1, "count", "count", "件数が行数と一致しません", lines});
  }
  return errors;
}

ProvisionRequestReader::Line ProvisionRequestReader::Next() {
  LineText text;
  CHECK(ReadLine(TakeLine(rest_), text).empty());
  return {std::move(text.id), std::move(text.condition), std::move(text.consent)};
}

void ProvisionRequestReader::Skip(std::uint64_t lines) {
  for (; lines > 0; --lines) TakeLine(rest_);
}

std::string WriteRequest(const RequestHeader& header, std::string_view lines) {
  std::string out = "{\"format\":";
  AppendJsonString(out, kFormat);
  const auto text = [&](const char* name, std::string_view value) {
    ((out += ",\"") += name) += "\":";
    AppendJsonString(out, value);
  };
  text("agency", header.agency);
  text("basis", header.basis);
  text("duty", header.duty);
  text("reference", header.reference);
  out += ",\"count\":" + std::to_string(header.count);
  text("mode", ModeName(header.mode));
  text("method", MethodName(header.method));
  for (std::size_t i = 0; i < header.fields.size(); ++i) {
    out += i == 0 ? ",\"fields\":[" : ",";
    AppendJsonString(out, header.fields[i]);
  }
  if (!header.fields.empty()) out += ']';
  if (header.ends) out += ",\"ends\":true";
  if (header.elsewhere) out += ",\"elsewhere\":true";
  if (header.requested_at != 0) text("requested_at", FormatTimestamp(TimeMicros(header.requested_at)));
  return (out += "}\n") += lines;
}

std::string RequestLine(const ProvisionRequestReader::Line& line) {
  std::string out = "{\"id\":";
  AppendJsonString(out, line.id);
  const auto text = [&](const char* name, std::string_view value) {
    if (value.empty()) return;
    ((out += ",\"") += name) += "\":";
    AppendJsonString(out, value);
  };
  const v1::SearchCondition& condition = line.condition;
  text("resident_code", condition.resident_code());
  text("individual_number", condition.individual_number());
  text("name", condition.name());
  text("kana", condition.kana());
  text("birth", condition.birth());
  text("sex", SexName(condition.sex()));
  text("address", condition.address());
  text("municipality", condition.municipality());
  text("consent", line.consent);
  return out += "}\n";
}

}  // namespace daicho
