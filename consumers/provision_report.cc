#include "consumers/provision_report.h"

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "consumers/letter.h"
#include "consumers/provision_answer.h"
#include "events/dates.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using Event = ProvisionRegister::Event;

constexpr std::size_t kPageEvents = 1'000;

const char* KindWord(v1::EventKind kind) { return kind == v1::EVENT_KIND_TRANSFER ? "transfer" : "provision"; }

// What an event says of itself, whoever it told of.
ordered_json Common(const Event& event) {
  const v1::Provision& provision = event.provision;
  return {{"position", event.position.value()},
          {"admitted_at", FormatTimestamp(event.admitted_at)},
          {"kind", KindWord(event.kind)},
          {"agency", provision.agency()},
          {"basis", provision.basis()},
          {"duty", provision.duty()},
          {"reference", provision.reference()},
          {"mode", ModeName(provision.mode())},
          {"method", MethodName(provision.method())}};
}

std::string Line(const ordered_json& json) { return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace); }

Result<std::string> EventJson(const ProvisionRegister& provisions, const Event& event, Position at) {
  const v1::Provision& provision = event.provision;
  ordered_json out = Common(event);
  out["chunk"] = provision.chunk();
  out["chunk_count"] = provision.chunk_count();
  out["requested_at"] = FormatTimestamp(TimeMicros(provision.requested_at()));
  if (!provision.operator_act().operator_id().empty()) out["operator"] = provision.operator_act().operator_id();
  out["evaluated_at"] = provision.evaluated_at();
  if (provision.cause_position() != 0) out["cause"] = provision.cause_position();
  if (provision.ends_standing()) out["ends_standing"] = true;
  if (provision.refusal() != v1::REFUSAL_REASON_UNSPECIFIED) out["refusal"] = ReasonWord(provision.refusal());
  out["found"] = provision.found_count();
  out["none"] = provision.none_count();
  out["multiple"] = provision.multiple_count();
  out["refused"] = provision.refused_count();
  ASSIGN_OR_RETURN(const auto receipt, provisions.ReceiptOf(event.position, at));
  if (receipt) out["confirmed_at"] = receipt->value();
  return Line(out);
}

// The positions admitted on these days; `first` behind `last`: none.
struct Range {
  Position first, last;
};

Result<std::optional<Date>> DayOf(const char* option, const std::string& text) {
  if (text.empty()) return std::optional<Date>();
  const auto day = ParseDate(text);
  if (!day) return Invalid(std::string(option) + ": not a date");
  return std::optional(*day);
}

Result<std::optional<Range>> RangeOf(const Projector& projector, const std::string& from_text,
                                     const std::string& to_text) {
  ASSIGN_OR_RETURN(const std::optional<Date> from, DayOf("from", from_text));
  ASSIGN_OR_RETURN(const std::optional<Date> to, DayOf("to", to_text));
  const Position end = projector.position();
  if (end == Position(0)) return std::optional<Range>();
  Range out{Position(0), Position(end.value() - 1)};
  const auto last_of = [&](Date day) -> Result<std::optional<Position>> {
    const auto last = projector.file().AtEndOf(day);
    if (last.status().code() == Code::kNotFound) return std::optional<Position>();
    RETURN_IF_ERROR(last.status());
    return std::optional(*last);
  };
  if (from) {
    ASSIGN_OR_RETURN(const auto before, last_of(DateOfDayNumber(DayNumber(*from) - 1)));
    if (before) out.first = before->Next();
  }
  if (to) {
    ASSIGN_OR_RETURN(const auto last, last_of(*to));
    if (!last) return std::optional<Range>();
    out.last = std::min(out.last, *last);
  }
  return std::optional(out);
}

void Take(const v1::Provision& provision, ProvisionCount& count) {
  count.found += provision.found_count();
  count.none += provision.none_count();
  count.multiple += provision.multiple_count();
  count.refused += provision.refused_count();
  if (provision.cause_position() != 0) {
    ++count.follow_ups;
  } else if (provision.refusal() != v1::REFUSAL_REASON_UNSPECIFIED) {
    ++count.refused_requests;
  } else if (provision.chunk() == 0) {
    ++count.requests;
  }
}

// A field that no spreadsheet takes for a formula.
std::string CsvField(const std::string& text) {
  std::string out = "\"";
  if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) out += '\'';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace

std::string GivenJson(const ProvisionRegister::Given& given) {
  ordered_json out = Common(given.event);
  out["id"] = given.result.request_id();
  out["fields"] = given.result.released_fields();
  out["version"] = given.result.version_position();
  if (given.event.provision.cause_position() != 0) out["cause"] = given.event.provision.cause_position();
  if (!given.result.consent().empty()) out["consent"] = given.result.consent();
  if (given.result.despite_suspension()) out["despite_suspension"] = true;
  return Line(out);
}

Result<ProvisionPage> ListProvisions(const Projector& projector, const node::ListProvisions& asked) {
  ProvisionPage out;
  ASSIGN_OR_RETURN(const std::optional<Range> range, RangeOf(projector, asked.from(), asked.to()));
  if (!range) return out;
  const ProvisionRegister provisions(projector.store());
  ProvisionRegister::Filter filter{asked.agency(), asked.basis(), static_cast<v1::EventKind>(asked.kind()),
                                   std::max(range->first, Position(asked.first())), range->last};
  if (filter.first > filter.last) return out;
  ASSIGN_OR_RETURN(const std::vector<Event> events, provisions.Events(filter, kPageEvents));
  for (const Event& event : events) {
    ASSIGN_OR_RETURN(const std::string line, EventJson(provisions, event, range->last));
    out.lines += line + "\n";
  }
  if (events.size() == kPageEvents) out.next = events.back().position.Next();
  return out;
}

Result<std::vector<ProvisionCount>> CountProvisions(const Projector& projector, const node::CountProvisions& asked) {
  std::vector<ProvisionCount> out;
  ASSIGN_OR_RETURN(const std::optional<Range> range, RangeOf(projector, asked.from(), asked.to()));
  if (!range) return out;
  const ProvisionRegister provisions(projector.store());
  using Key = std::tuple<std::string, std::string, std::string, v1::EventKind, v1::DeliveryMethod>;
  std::map<Key, ProvisionCount> counts;
  ProvisionRegister::Filter filter;
  filter.first = range->first;
  filter.last = range->last;
  while (filter.first <= filter.last) {
    ASSIGN_OR_RETURN(const std::vector<Event> events, provisions.Events(filter, kPageEvents));
    for (const Event& event : events) {
      const v1::Provision& provision = event.provision;
      const std::string month = FormatDate(JapanDate(event.admitted_at)).substr(0, 7);
      Take(provision, counts[{provision.agency(), month, provision.basis(), event.kind, provision.method()}]);
    }
    if (events.size() < kPageEvents) break;
    filter.first = events.back().position.Next();
  }
  const std::shared_ptr<const Registry> registry = projector.registry();
  for (auto& [key, count] : counts) {
    std::tie(count.agency, count.month, count.basis, count.kind, count.method) = key;
    const auto agency = registry->agencies().find(count.agency);
    if (agency != registry->agencies().end()) count.name = agency->second.name();
    out.push_back(std::move(count));
  }
  return out;
}

std::string CountsJson(const std::vector<ProvisionCount>& counts) {
  ordered_json out = ordered_json::array();
  for (const ProvisionCount& count : counts) {
    out.push_back({{"agency", count.agency},
                   {"name", count.name},
                   {"kind", KindWord(count.kind)},
                   {"month", count.month},
                   {"basis", count.basis},
                   {"method", MethodName(count.method)},
                   {"requests", count.requests},
                   {"follow_ups", count.follow_ups},
                   {"found", count.found},
                   {"none", count.none},
                   {"multiple", count.multiple},
                   {"refused", count.refused},
                   {"refused_requests", count.refused_requests}});
  }
  return Line(out);
}

namespace {

constexpr const char* kCountColumns[] = {"照会", "継続による通知", "該当", "非該当", "複数該当", "拒否", "拒否した照会"};
constexpr const char* kCountKeys[] = {"requests", "follow_ups", "found", "none", "multiple", "refused", "refused_requests"};

// 提供先, 名称, 区分, 提供年月, 根拠, 方法 as officials call them.
std::vector<std::string> NamedFields(const ordered_json& row) {
  static const std::map<std::string, std::string> kWords = {
      {"provision", "提供"}, {"transfer", "移転"}, {"line", "電気通信回線"}, {"medium", "磁気ディスク"}};
  std::vector<std::string> out;
  for (const char* key : {"agency", "name", "kind", "month", "basis", "method"}) {
    const auto text = row[key].get<std::string>();
    const auto word = kWords.find(text);
    const bool is_word = std::string_view(key) == "kind" || std::string_view(key) == "method";
    out.push_back(is_word && word != kWords.end() ? word->second : text);
  }
  return out;
}

}  // namespace

std::string CountsCsv(std::string_view json) {
  std::string out = "\xEF\xBB\xBF\"提供先\",\"名称\",\"区分\",\"提供年月\",\"根拠\",\"方法\"";
  for (const char* column : kCountColumns) out += ",\"" + std::string(column) + "\"";
  out += "\r\n";
  for (const auto& row : ordered_json::parse(json)) {
    std::string line;
    for (const std::string& field : NamedFields(row)) line += (line.empty() ? "" : ",") + CsvField(field);
    for (const char* key : kCountKeys) line += "," + row[key].dump();
    out += line + "\r\n";
  }
  return out;
}

Result<std::string> CountsPdf(std::string_view json, Date from, Date to, TimeMicros made_at) {
  const auto month = [](Date date) { return FormatDate(date).substr(0, 7); };
  Letter letter;
  letter.date = FormatEraDate(JapanDate(made_at));
  letter.sender = {"群馬県知事"};
  letter.title = "本人確認情報の提供状況報告書";
  letter.paragraphs = {"　" + month(from) + " から " + month(to) +
                       " までに、住民基本台帳法に基づき本人確認情報を提供し、又は移転した状況は、別紙のとおりです。"};
  letter.contact = {"群馬県 総務部 市町村課 行政係"};
  letter.made_at = made_at;
  LetterTable table;
  table.widths = {21, 9, 16, 18, 9, 9, 9, 9, 11, 9, 9, 9};
  table.headings = {"提供先", "区分", "年月", "根拠", "方法", "照会", "継続", "該当", "非該当", "複数", "拒否", "却下"};
  for (const auto& row : ordered_json::parse(json)) {
    std::vector<std::string> cells = NamedFields(row);
    // On paper the name stands for the code.
    if (!cells[1].empty()) cells[0] = cells[1];
    cells.erase(cells.begin() + 1);
    cells.back() = row["method"] == "medium" ? "媒体" : "回線";
    for (const char* key : kCountKeys) cells.push_back(row[key].dump());
    table.rows.push_back(std::move(cells));
  }
  if (table.rows.empty()) {
    letter.paragraphs.emplace_back("　この期間に、提供及び移転はありません。");
    return LetterPdf(letter);
  }
  letter.annexes.push_back({"提供先・年月・根拠・方法ごとの件数",
                            {"　照会は答えた照会の件数、該当・非該当・複数（複数該当）・拒否はその条件ごとの答え、継続は継続の照会による"
                             "通知、却下は全体を拒否した照会の件数です。回線は電気通信回線による送信、媒体は磁気ディスクの送付です。"},
                            {std::move(table)}});
  return LetterPdf(letter);
}

}  // namespace daicho
