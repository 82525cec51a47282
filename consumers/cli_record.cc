// daicho record: reads a resident's record, as an operator.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/cli.h"
#include "events/clock.h"
#include "events/codes.h"
#include "events/dates.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string operator_id, operator_key, duty, purpose, terminal;
  std::string resident_code, individual_number, handle, as_of, on;
  std::optional<std::uint64_t> position;
  bool history = false;
};

Result<std::string> SignedRequest(const Arguments& a, const Home& home, std::string& signature) {
  v1::ReadRequest request;
  request.set_version(1);
  request.set_ledger(std::string(View(home.ledger)));
  request.set_operator_id(a.operator_id);
  request.set_duty(a.duty);
  request.set_purpose(a.purpose);
  request.set_terminal(a.terminal);
  v1::SearchCondition& condition = *request.mutable_condition();
  condition.set_resident_code(a.resident_code);
  condition.set_individual_number(a.individual_number);
  if (!a.resident_code.empty() && !IsValidResidentCode(a.resident_code)) {
    return Invalid("--resident-code: 検査数字が一致しません");
  }
  if (!a.individual_number.empty() && !IsValidIndividualNumber(a.individual_number)) {
    return Invalid("--individual-number: 検査数字が一致しません");
  }
  ASSIGN_OR_RETURN(*condition.mutable_subject(), FromHex(a.handle));
  if (a.position) request.set_position(*a.position);
  if (!a.as_of.empty()) {
    auto date = ParsePersonDate(a.as_of);
    if (!date.ok()) return date.status().With("--as-of");
    request.set_date(FormatDate(*date));
  }
  if (!a.on.empty()) {
    auto date = ParsePersonDate(a.on);
    if (!date.ok()) return date.status().With("--on");
    request.set_on_date(FormatDate(*date));
  }
  request.set_history(a.history);
  request.set_requested_at(SystemClock().Now().value());
  request.set_nonce(std::string(View(RandomArray<16>())));
  const std::string path =
      a.operator_key.empty() ? home.Path("operators/" + a.operator_id + ".key") : a.operator_key;
  auto key = ReadSigningKey(path);
  if (!key.ok()) return Denied("operator " + a.operator_id + ": no key at " + path);
  std::string bytes = request.SerializeAsString();
  ASSIGN_OR_RETURN(signature, key->TrySign(std::string(kReadRequestTag) + bytes));
  return bytes;
}

// A version as a person reads it.
void PrintVersion(const ordered_json& version) {
  const auto& record = version["record"];
  const auto text = [](const ordered_json& object, const char* key) {
    return object.contains(key) ? object[key].get<std::string>() : std::string();
  };
  fmt::print("[{}] {} {}/{}  {}  {}  通知 {}  位置 {}\n", version["update_number"].dump(),
             version["status"] == "resident" ? "記載" : "消除", text(version, "kind"), text(version, "reason"),
             text(version, "valid_from"), text(version, "resident_code"), text(version, "issuer"),
             version["position"].dump());
  fmt::print("    {}（{}） {} {}\n    {}\n", text(record, "name"), text(record, "kana"), text(record, "birth"),
             record["sex"] == "male" ? "男" : "女", text(record["address"], "text"));
}

int ShowRecord(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  auto bytes = SignedRequest(a, node->home(), *request.mutable_read_record()->mutable_signature());
  if (!bytes.ok()) return Fail(bytes.status());
  request.mutable_read_record()->set_request(*bytes);
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json();
    return 0;
  }
  std::istringstream lines(response->json());
  for (std::string line; std::getline(lines, line);) PrintVersion(ordered_json::parse(line));
  return 0;
}

}  // namespace

void AddRecordCommands(Cli& cli) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* record =
      cli.Command(nullptr, "record", "住民の記録を読む（読むこと自体が記録されます）", [a] { return ShowRecord(*a); });
  cli.TakesHome(record);
  record->add_option("--operator", a->operator_id, "操作者ID")->required();
  record->add_option("--operator-key", a->operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  record->add_option("--duty", a->duty, "事務コード")->required();
  record->add_option("--purpose", a->purpose, "目的（文書番号など）");
  record->add_option("--terminal", a->terminal, "操作端末ID");
  CLI::Option_group* key = record->add_option_group("key");
  key->add_option("--resident-code", a->resident_code, "住民票コード");
  key->add_option("--individual-number", a->individual_number, "個人番号");
  key->add_option("--handle", a->handle, "ハンドル（16進）");
  key->require_option(1);
  CLI::Option* as_of = record->add_option("--as-of", a->as_of, "その日の終わりに台帳が知っていた内容");
  record->add_option("--position", a->position, "その位置まで")->excludes(as_of);
  record->add_option("--on", a->on, "その日に有効だった内容（異動年月日）");
  record->add_flag("--history", a->history, "すべての版");
}

}  // namespace daicho
