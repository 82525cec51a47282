// daicho register: what was provided, to whom, on which basis; how often; and of one resident.
#include <fmt/format.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/cli.h"
#include "consumers/provision_report.h"
#include "events/codes.h"
#include "events/dates.h"
#include "ledger/files.h"

namespace daicho {
namespace register_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string agency, basis, from, to, kind, out;
  // Of one resident.
  Reader reader;
  std::string resident_code, individual_number, handle;
};

const std::map<std::string, v1::EventKind> kKinds = {{"provision", v1::EVENT_KIND_PROVISION},
                                                     {"transfer", v1::EVENT_KIND_TRANSFER}};

const char* KindInJapanese(const ordered_json& line) { return line["kind"] == "transfer" ? "移転" : "提供"; }
std::string Text(const ordered_json& line, const char* key) { return line[key].get<std::string>(); }

void PrintEvent(const ordered_json& line) {
  fmt::print("{:>8}  {}  {} {}  {}  {}  {}", line["position"].dump(), Text(line, "admitted_at"), KindInJapanese(line),
             Text(line, "agency"), Text(line, "basis"), Text(line, "duty"), Text(line, "reference"));
  if (line["chunk_count"] != 1) fmt::print("({}/{})", line["chunk"].get<int>() + 1, line["chunk_count"].dump());
  if (line.contains("refusal")) {
    fmt::print("  拒否 {}\n", Text(line, "refusal"));
    return;
  }
  fmt::print("  該当 {} 非該当 {} 複数該当 {} 拒否 {}{}\n", line["found"].dump(), line["none"].dump(),
             line["multiple"].dump(), line["refused"].dump(), line.contains("confirmed_at") ? "  受領済" : "");
}

void PrintGiven(const ordered_json& line) {
  std::string fields;
  for (const auto& field : line["fields"]) fields += (fields.empty() ? "" : " ") + field.get<std::string>();
  fmt::print("{:>8}  {}  {} {}  {}  {}  {}  {}\n", line["position"].dump(), Text(line, "admitted_at"),
             KindInJapanese(line), Text(line, "agency"), Text(line, "basis"), Text(line, "duty"), Text(line, "reference"),
             fields);
}

void PrintLines(const Arguments& a, const std::string& lines, void (*print)(const ordered_json&)) {
  if (a.cli.json) {
    std::cout << lines;
    return;
  }
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) print(ordered_json::parse(line));
}

// What was provided of one resident, which is a reading of that resident.
int ListOfResident(const Arguments& a) {
  if (a.reader.operator_id.empty() || a.reader.duty.empty()) return Fail(Invalid("--operator, --duty: 一人についての閲覧に必要です"));
  if (!a.agency.empty() || !a.basis.empty() || !a.kind.empty() || !a.from.empty() || !a.to.empty()) {
    return Fail(Invalid("--agency, --basis, --kind, --from, --to: 一人についての閲覧では指定できません"));
  }
  if (!a.resident_code.empty() && !IsValidResidentCode(a.resident_code)) {
    return Fail(Invalid("--resident-code: 検査数字が一致しません"));
  }
  if (!a.individual_number.empty() && !IsValidIndividualNumber(a.individual_number)) {
    return Fail(Invalid("--individual-number: 検査数字が一致しません"));
  }
  auto handle = FromHex(a.handle);
  if (!handle.ok()) return Fail(handle.status().With("--handle"));
  v1::ReadRequest reading;
  reading.mutable_condition()->set_resident_code(a.resident_code);
  reading.mutable_condition()->set_individual_number(a.individual_number);
  reading.mutable_condition()->set_subject(*handle);
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  auto signed_reading = SignReading(node->home(), a.reader, kReadProvisionsTag, std::move(reading));
  if (!signed_reading.ok()) return Fail(signed_reading.status());
  node::Request request;
  *request.mutable_read_provisions() = std::move(*signed_reading);
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  PrintLines(a, response->json(), PrintGiven);
  return 0;
}

int List(const Arguments& a) {
  if (!a.resident_code.empty() || !a.individual_number.empty() || !a.handle.empty()) return ListOfResident(a);
  node::Request request;
  node::ListProvisions& asked = *request.mutable_list_provisions();
  asked.set_agency(a.agency);
  asked.set_basis(a.basis);
  if (!a.kind.empty()) asked.set_kind(static_cast<std::uint32_t>(kKinds.at(a.kind)));
  if (Status status = PutDate("--from", a.from, asked.mutable_from()); !status.ok()) return Fail(status);
  if (Status status = PutDate("--to", a.to, asked.mutable_to()); !status.ok()) return Fail(status);
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  do {
    auto response = node->Call(request);
    if (!response.ok()) return Fail(response.status());
    PrintLines(a, response->json(), PrintEvent);
    asked.set_first(response->end());
  } while (asked.first() != 0);
  return 0;
}

int Statistics(const Arguments& a) {
  auto from = MonthOf("--from", a.from);
  if (!from.ok()) return Fail(from.status());
  auto to = MonthOf("--to", a.to);
  if (!to.ok()) return Fail(to.status());
  if (*to < *from) return Fail(Invalid("--to: --from より前です"));
  node::Request request;
  request.mutable_count_provisions()->set_from(FormatDate(*from));
  request.mutable_count_provisions()->set_to(FormatDate(LastOfMonth(*to)));
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (!a.out.empty()) {
    const bool on_paper = a.out.ends_with(".pdf");
    auto report = on_paper ? CountsPdf(response->json(), *from, *to, SystemClock().Now()) : CountsCsv(response->json());
    if (!report.ok()) return Fail(report.status());
    if (Status status = WriteFileDurably(a.out, *report, 0644); !status.ok()) return Fail(status);
    if (!a.cli.json) fmt::print("{} に書きました（{} 行）\n", a.out, ordered_json::parse(response->json()).size());
  }
  if (a.cli.json) std::cout << response->json() << "\n";
  if (a.out.empty() && !a.cli.json) std::cout << CountsCsv(response->json());
  return 0;
}

}  // namespace register_commands

void AddRegisterCommands(Cli& cli) {
  using namespace register_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* group = cli.Group("register", "提供・移転の記録");
  CLI::App* list = cli.Command(group, "list", "提供・移転の一覧。一人についての閲覧は、それ自体が記録されます", [a] { return List(*a); });
  cli.TakesHome(list);
  list->add_option("--agency", a->agency, "利用機関");
  list->add_option("--basis", a->basis, "根拠");
  list->add_option("--kind", a->kind, "provision 提供、transfer 移転")->check(CLI::IsMember(kKinds));
  list->add_option("--from", a->from, "最初の日");
  list->add_option("--to", a->to, "最後の日");
  CLI::Option_group* person = list->add_option_group("person", "一人について");
  person->add_option("--resident-code", a->resident_code, "住民票コード");
  person->add_option("--individual-number", a->individual_number, "個人番号");
  person->add_option("--handle", a->handle, "ハンドル（16進）");
  person->require_option(0, 1);
  list->add_option("--operator", a->reader.operator_id, "操作者ID");
  list->add_option("--operator-key", a->reader.operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  list->add_option("--duty", a->reader.duty, "事務コード");
  list->add_option("--purpose", a->reader.purpose, "目的（文書番号など）");
  list->add_option("--terminal", a->reader.terminal, "操作端末ID");

  CLI::App* statistics = cli.Command(group, "statistics", "提供先・年月・根拠・方法ごとの件数（法30条の16。CSV、PDF）",
                                     [a] { return Statistics(*a); });
  cli.TakesHome(statistics);
  statistics->add_option("--from", a->from, "最初の月（2026-04）")->required();
  statistics->add_option("--to", a->to, "最後の月")->required();
  statistics->add_option("--out", a->out, "書き出し先。名が .pdf で終われば PDF、そうでなければ CSV");
}

}  // namespace daicho
