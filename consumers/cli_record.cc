// daicho record, search: reads a resident's record, or finds residents, as an operator.
#include <fmt/format.h>

#include <charconv>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/cli.h"
#include "events/codes.h"
#include "events/dates.h"

namespace daicho {
namespace record_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  Reader reader;
  std::string resident_code, individual_number, handle, as_of, on;
  std::optional<std::uint64_t> position;
  bool history = false;
  // Of a search.
  std::string name, kana, birth, sex, address, municipality, match = "prefix", after;
  bool former = false, explain = false;
  std::uint32_t limit = 0;
};

const std::map<std::string, v1::NameMatch> kMatches = {{"prefix", v1::NAME_MATCH_PREFIX},
                                                      {"whole", v1::NAME_MATCH_WHOLE},
                                                      {"infix", v1::NAME_MATCH_INFIX}};

// The 4情報 of a search. The page that follows another is of the same position.
Status PutSearch(const Arguments& a, v1::ReadRequest& request) {
  v1::SearchCondition& condition = *request.mutable_condition();
  condition.set_name(a.name);
  condition.set_kana(a.kana);
  condition.set_birth(a.birth);
  if (!a.sex.empty()) condition.set_sex(a.sex == "male" ? v1::SEX_MALE : v1::SEX_FEMALE);
  condition.set_address(a.address);
  if (!a.municipality.empty() && !IsValidMunicipalityCode(a.municipality)) {
    return Invalid("--municipality: 検査数字が一致しません");
  }
  condition.set_municipality(a.municipality);
  if (!a.name.empty() || !a.kana.empty()) condition.set_name_match(kMatches.at(a.match));
  condition.set_former(a.former);
  request.set_limit(a.limit);
  if (a.after.empty()) return {};
  std::uint64_t position = 0, skip = 0;
  const char* const end = a.after.data() + a.after.size();
  const auto [colon, first] = std::from_chars(a.after.data(), end, position);
  const auto [second_colon, second] = std::from_chars(std::min(colon + 1, end), end, skip);
  if (first != std::errc() || second != std::errc() || *colon != ':' || *second_colon != ':') {
    return Invalid("--after: 前の答えの after をそのまま指定してください");
  }
  request.set_position(position);
  request.set_skip(skip);
  request.set_led_by(second_colon + 1);
  return {};
}

Result<node::ReadRecord> SignedRequest(const Arguments& a, const Home& home) {
  v1::ReadRequest request;
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
  if (!a.as_of.empty()) RETURN_IF_ERROR(PutDate("--as-of", a.as_of, request.mutable_date()));
  RETURN_IF_ERROR(PutDate("--on", a.on, request.mutable_on_date()));
  request.set_history(a.history);
  RETURN_IF_ERROR(PutSearch(a, request));
  return SignReading(home, a.reader, kReadRequestTag, std::move(request));
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
  auto reading = SignedRequest(a, node->home());
  if (!reading.ok()) return Fail(reading.status());
  *request.mutable_read_record() = std::move(*reading);
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.explain) std::cerr << response->explanation() << "\n";
  if (a.cli.json) {
    std::cout << response->json();
    return 0;
  }
  std::istringstream lines(response->json());
  for (std::string line; std::getline(lines, line);) {
    const auto parsed = ordered_json::parse(line);
    if (parsed.contains("more")) {
      fmt::print("ほかにもいます。続きは --after {}\n", parsed["after"].get<std::string>());
    } else {
      PrintVersion(parsed);
    }
  }
  return 0;
}

// Who asks, why, and as of when.
void TakesOperator(CLI::App* command, Arguments& a) {
  a.cli.TakesHome(command);
  command->add_option("--operator", a.reader.operator_id, "操作者ID")->required();
  command->add_option("--operator-key", a.reader.operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  command->add_option("--duty", a.reader.duty, "事務コード")->required();
  command->add_option("--purpose", a.reader.purpose, "目的（文書番号など）");
  command->add_option("--terminal", a.reader.terminal, "操作端末ID");
  CLI::Option* as_of = command->add_option("--as-of", a.as_of, "その日の終わりに台帳が知っていた内容");
  command->add_option("--position", a.position, "その位置まで")->excludes(as_of);
}

void AddRecord(Cli& cli) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* record =
      cli.Command(nullptr, "record", "住民の記録を読む（読むこと自体が記録されます）", [a] { return ShowRecord(*a); });
  TakesOperator(record, *a);
  CLI::Option_group* key = record->add_option_group("key");
  key->add_option("--resident-code", a->resident_code, "住民票コード");
  key->add_option("--individual-number", a->individual_number, "個人番号");
  key->add_option("--handle", a->handle, "ハンドル（16進）");
  key->require_option(1);
  record->add_option("--on", a->on, "その日に有効だった内容（異動年月日）");
  record->add_flag("--history", a->history, "すべての版");
}

void AddSearch(Cli& cli) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* search =
      cli.Command(nullptr, "search", "住民を検索する（検索すること自体が記録されます）", [a] { return ShowRecord(*a); });
  TakesOperator(search, *a);
  search->add_option("--name", a->name, "氏名・旧氏・通称・ローマ字。氏と名の間に空白を入れると氏は完全一致");
  search->add_option("--kana", a->kana, "振り仮名");
  search->add_option("--birth", a->birth, "生年月日。年、年月だけでも、和暦でもよい。不詳も可");
  search->add_option("--sex", a->sex, "性別")->check(CLI::IsMember({"male", "female"}));
  search->add_option("--address", a->address, "住所（先頭から）");
  search->add_option("--municipality", a->municipality, "市町村コード");
  search->add_option("--resident-code", a->resident_code, "住民票コード");
  search->add_option("--individual-number", a->individual_number, "個人番号");
  search->add_option("--match", a->match, "氏名・振り仮名の一致: prefix 前方、whole 完全、infix 部分")
      ->check(CLI::IsMember({"prefix", "whole", "infix"}));
  search->add_flag("--former", a->former, "過去の氏名・住所でも探す");
  search->add_option("--limit", a->limit, "示す人数の上限（規則の上限まで）");
  search->add_option("--after", a->after, "前の答えの続き");
  search->add_flag("--explain", a->explain, "どの索引を何件読んだか（標準エラー出力）");
}

}  // namespace record_commands

void AddRecordCommands(Cli& cli) {
  using namespace record_commands;
  AddRecord(cli);
  AddSearch(cli);
}

}  // namespace daicho
