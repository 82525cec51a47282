// daicho policy, agreement: the rules by which the prefecture provides, and what they decide.
#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "consumers/cli_registry.h"
#include "consumers/provision_request.h"
#include "events/provision.pb.h"
#include "ledger/files.h"

namespace daicho {
namespace policy_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string file;
  std::vector<std::string> operators, operator_keys;  // of who consents
  // Of an agreement.
  std::string agreement, municipality, ordinance, concluded_on, valid_from, valid_until, document;
  std::vector<std::string> agencies, duties;
  // Of what is explained.
  std::string agency, basis, duty, mode = "immediate", method = "line", as_of, on;
  std::vector<std::string> keys, fields;
  std::optional<std::uint64_t> position;
  bool consent = false;
};

// The consents of --operator, to what has that digest.
template <typename Event>
Status Confirm(const Arguments& a, const Home& home, v1::EventKind kind, const std::string& what, Event& event) {
  return AddConsents(home, a.operators, a.operator_keys, kind, Sha256Of({what}), *event.mutable_consents());
}

int PolicyShow(const Arguments& a) {
  return ShowRegistry(a.cli, "policy", [](const ordered_json& rule) { return rule.dump(); });
}

int PolicySet(const Arguments& a) {
  auto text = ReadFile(a.file);
  if (!text.ok()) return Fail(text.status());
  v1::PolicyRules rules;
  if (const auto parsed = google::protobuf::util::JsonStringToMessage(*text, &rules); !parsed.ok()) {
    return Fail(Invalid(a.file + ": " + std::string(parsed.message())));
  }
  return ChangeRegistry(a.cli, "規則を定めました", a.file, [&](NodeAccess& node) -> Status {
    ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
    const std::uint32_t version = registry["policy"]["rules"].value("version", 0u);
    v1::PolicyRules same = rules;
    same.set_version(version);
    v1::PolicyRules current;
    if (google::protobuf::util::JsonStringToMessage(registry["policy"]["rules"].dump(), &current).ok() &&
        current.SerializeAsString() == same.SerializeAsString()) {
      return Conflict("these are the rules in force");
    }
    rules.set_version(version + 1);
    v1::PolicySet set;
    set.set_rules(rules.SerializeAsString());
    RETURN_IF_ERROR(Confirm(a, node.home(), v1::EVENT_KIND_POLICY_SET, set.rules(), set));
    return node.Administer(v1::EVENT_KIND_POLICY_SET, set.SerializeAsString());
  });
}

// What the node answers, as a person reads it.
void PrintExplanation(const ordered_json& said) {
  const bool permitted = said["permitted"];
  fmt::print("{}（位置 {}、{} 現在）\n", permitted ? "提供できます" : "提供できません", said["position"].dump(),
             said["on"].get<std::string>());
  if (!permitted) fmt::print("  理由    {}\n", said["reason"].get<std::string>());
  if (said.contains("policy_position")) fmt::print("  規則    位置 {}\n", said["policy_position"].dump());
  if (said.contains("agreement_position")) fmt::print("  協定    位置 {}\n", said["agreement_position"].dump());
  if (said.contains("rule")) {
    const ordered_json& rule = said["rule"];
    fmt::print("  根拠    {}", rule["basis"].get<std::string>());
    for (const char* also : {"ordinance", "number_basis"}) {
      if (rule.contains(also)) fmt::print("  {}", rule[also].get<std::string>());
    }
    fmt::print("\n  事務    {}\n  照会の鍵 {}\n", Words(rule["duties"]), Words(rule["condition_keys"]));
    if (rule.contains("counts_only")) fmt::print("  件数のみ\n");
  }
  if (permitted) fmt::print("  項目    {}\n", Words(said["fields"]));
}

int PolicyExplain(const Arguments& a) {
  node::Request request;
  node::ExplainPolicy& asked = *request.mutable_explain_policy();
  asked.set_agency(a.agency);
  asked.set_basis(a.basis);
  asked.set_duty(a.duty);
  asked.set_mode(*ModeFromName(a.mode));
  asked.set_method(*MethodFromName(a.method));
  for (const std::string& key : a.keys) asked.add_condition_keys(key);
  for (const std::string& field : a.fields) asked.add_fields(field);
  asked.set_consent(a.consent);
  if (a.position) asked.set_position(*a.position);
  if (!a.as_of.empty()) {
    if (Status status = PutDate("--as-of", a.as_of, asked.mutable_date()); !status.ok()) return Fail(status);
  }
  if (Status status = PutDate("--on", a.on, asked.mutable_on_date()); !status.ok()) return Fail(status);
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  const ordered_json said = ordered_json::parse(response->json());
  if (a.cli.json) {
    std::cout << response->json() << "\n";
  } else {
    PrintExplanation(said);
  }
  return said["permitted"] ? 0 : 1;
}

// --- agreements ----------------------------------------------------------------------------------

int AgreementSet(const Arguments& a) {
  auto document = ReadFile(a.document);
  if (!document.ok()) return Fail(document.status());
  v1::Agreement agreement;
  agreement.set_agreement(a.agreement);
  agreement.set_municipality(a.municipality);
  for (const std::string& agency : a.agencies) agreement.add_agencies(agency);
  agreement.set_ordinance(a.ordinance);
  for (const std::string& duty : a.duties) agreement.add_duties(duty);
  for (const auto& [option, typed, out] : {std::tuple{"--concluded-on", &a.concluded_on, agreement.mutable_concluded_on()},
                                           std::tuple{"--valid-from", &a.valid_from, agreement.mutable_valid_from()},
                                           std::tuple{"--valid-until", &a.valid_until, agreement.mutable_valid_until()}}) {
    if (Status status = PutDate(option, *typed, out); !status.ok()) return Fail(status);
  }
  agreement.set_document_digest(std::string(View(Sha256Of({*document}))));
  return ChangeRegistry(a.cli, "協定を登録しました", a.agreement, [&](NodeAccess& node) -> Status {
    v1::AgreementSet set;
    set.set_agreement(agreement.SerializeAsString());
    RETURN_IF_ERROR(Confirm(a, node.home(), v1::EVENT_KIND_AGREEMENT_SET, set.agreement(), set));
    return node.Administer(v1::EVENT_KIND_AGREEMENT_SET, set.SerializeAsString());
  });
}

int AgreementList(const Arguments& a) {
  return ShowRegistry(a.cli, "agreements", [](const ordered_json& item) {
    return fmt::format("{:16} {}  {} から {}  {}  {}", item["agreement"].get<std::string>(),
                       item["municipality"].get<std::string>(), item["valid_from"].get<std::string>(),
                       item["valid_until"].get<std::string>(), Words(item["agencies"]), Words(item["duties"]));
  });
}

}  // namespace policy_commands

void AddPolicyCommands(Cli& cli) {
  using namespace policy_commands;
  auto a = std::make_shared<Arguments>(cli);
  const auto command = [&](CLI::App* group, const char* name, const char* what, int (*run)(const Arguments&)) {
    CLI::App* out = cli.Command(group, name, what, [a, run] { return run(*a); });
    cli.TakesHome(out);
    return out;
  };
  CLI::App* policy = cli.Group("policy", "規則の管理");
  command(policy, "show", "今の規則", PolicyShow);
  CLI::App* set = command(policy, "set", "規則を、二人の確認で定める", PolicySet);
  set->add_option("--file", a->file, "PolicyRules の JSON（版は自動）")->required();
  CLI::App* explain = command(policy, "explain", "提供できるか、できないならなぜか（過去のどの位置でも）", PolicyExplain);
  explain->add_option("--agency", a->agency, "利用機関")->required();
  explain->add_option("--basis", a->basis, "根拠")->required();
  explain->add_option("--duty", a->duty, "事務コード")->required();
  explain->add_option("--mode", a->mode, "即時・一括・継続")->check(CLI::IsMember({"immediate", "batch", "standing"}));
  explain->add_option("--method", a->method, "回線・媒体")->check(CLI::IsMember({"line", "medium"}));
  explain->add_option("--key", a->keys, "照会の鍵（name, kana, birth, sex, address, individual_number …）");
  explain->add_option("--field", a->fields, "求める項目（なければ規則のすべて）");
  explain->add_flag("--consent", a->consent, "本人の同意がある");
  CLI::Option* as_of = explain->add_option("--as-of", a->as_of, "その日の終わりの規則と登録");
  explain->add_option("--position", a->position, "その位置での規則と登録")->excludes(as_of);
  explain->add_option("--on", a->on, "判断する日（なければ --as-of の日、または今日）");

  CLI::App* agreements = cli.Group("agreement", "住基条例に基づく協定の管理");
  command(agreements, "list", "協定の一覧", AgreementList);
  CLI::App* conclude = command(agreements, "set", "協定を、二人の確認で登録（同じ番号は置き換える）", AgreementSet);
  conclude->add_option("--agreement", a->agreement, "協定の番号")->required();
  conclude->add_option("--municipality", a->municipality, "市町村コード")->required();
  conclude->add_option("--agency", a->agencies, "協定による市町村の機関")->required();
  conclude->add_option("--duty", a->duties, "事務コード")->required();
  conclude->add_option("--ordinance", a->ordinance, "条例とその条")->required();
  conclude->add_option("--concluded-on", a->concluded_on, "締結の日")->required();
  conclude->add_option("--valid-from", a->valid_from, "最初の日")->required();
  conclude->add_option("--valid-until", a->valid_until, "最後の日（なければ改めるまで）");
  conclude->add_option("--document", a->document, "協定書のファイル（要約値が記録される）")->required();
  for (CLI::App* change : {set, conclude}) {
    change->add_option("--operator", a->operators, "確認する操作者ID（二人）")->required();
    change->add_option("--operator-key", a->operator_keys, "ID=秘密鍵のファイル");
  }
}

}  // namespace daicho
