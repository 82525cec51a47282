// daicho disclose, correction, suspension: a resident's matter, from the office's document of it to the letter.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/cli.h"
#include "consumers/disclosing.h"
#include "consumers/matter_request.h"
#include "consumers/operator_act.h"
#include "events/clock.h"
#include "events/dates.h"
#include "ledger/files.h"

namespace daicho {
namespace disclosure_commands {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string request, out, number, reason, until, from;
  std::string operator_id, operator_key, terminal;
  std::vector<std::string> consents, consent_keys;
  // Of a correction.
  std::string finding, investigated_on, municipality, reported_on, report_number, reference;
  std::uint64_t position = 0;
  // Of a suspension.
  std::string result;
};

// One command at work: the office's document, the node, today.
struct Session {
  MatterRequest request;
  NodeAccess node;
  std::string today;
};

Result<Session> Begin(const Arguments& a, const char* format) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(a.request));
  auto request = ReadMatterRequest(text);
  if (!request.ok()) return request.status().With(a.request);
  if (request->format != format) return Invalid(a.request + ": format: " + format + " ではありません");
  ASSIGN_OR_RETURN(NodeAccess node, NodeAccess::Open(a.cli.home));
  return Session{*std::move(request), std::move(node), FormatDate(JapanDate(SystemClock().Now()))};
}

Result<ordered_json> ListOf(NodeAccess& node, Duty duty) {
  node::Request request;
  request.set_list_matters(static_cast<std::uint32_t>(duty));
  ASSIGN_OR_RETURN(const node::Response response, node.Call(request));
  ordered_json out = ordered_json::array();
  std::istringstream lines(response.json());
  for (std::string line; std::getline(lines, line);) out.push_back(ordered_json::parse(line));
  return out;
}

Result<ordered_json> MatterOf(NodeAccess& node, Duty duty, const std::string& reference) {
  ASSIGN_OR_RETURN(const ordered_json all, ListOf(node, duty));
  for (const ordered_json& line : all) {
    if (line["reference"] == reference) return line;
  }
  return NotFound("reference: その番号の案件はありません");
}

// Moves what is in the node's folder to where it was asked for; the folder goes when all of it is there.
Status HandOut(const std::string& folder, const std::string& out) {
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(folder, error)) {
    if (!entry.is_regular_file()) continue;
    const fs::path to = fs::path(out) / fs::relative(entry.path(), folder);
    RETURN_IF_ERROR(MakeDirectories(to.parent_path().string()));
    ASSIGN_OR_RETURN(const std::string bytes, ReadFile(entry.path().string()));
    RETURN_IF_ERROR(WriteFileDurably(to.string(), bytes));
  }
  if (error) return Unavailable(folder + ": " + error.message());
  fs::remove_all(folder, error);
  return error ? Unavailable(folder + ": " + error.message()) : Status();
}

Result<ordered_json> Order(const Arguments& a, NodeAccess& node, const MatterRequest* request, v1::EventKind kind,
                           const std::string& event) {
  ASSIGN_OR_RETURN(const SigningKey key, ReadOperatorKey(node.home(), a.operator_id, a.operator_key));
  const Digest digest = Sha256Of({event});
  ASSIGN_OR_RETURN(const v1::OperatorAct act,
                   SignAct(a.operator_id, key, a.terminal, kDiscloseTag, digest, SystemClock().Now()));
  node::Request asked;
  node::Disclose& order = *asked.mutable_disclose();
  order.set_kind(static_cast<std::uint32_t>(kind));
  order.set_event(event);
  order.set_operator_act(act.SerializeAsString());
  if (!a.consents.empty()) {
    google::protobuf::RepeatedPtrField<v1::Consent> consents;
    RETURN_IF_ERROR(AddConsents(node.home(), {a.consents[0]}, a.consent_keys, kind, digest, consents));
    order.set_confirmed_by(consents[0].SerializeAsString());
  }
  order.set_number(a.number);
  order.set_details(a.reason);
  if (request != nullptr) {
    for (const std::string& line : request->address) order.add_addressee(line);
    order.add_addressee(request->name);
    order.set_governor(request->governor);
    for (const auto& [character, png] : request->glyphs) {
      node::Disclose::Glyph& glyph = *order.add_glyphs();
      glyph.set_character(character);
      glyph.set_png(png);
    }
  }
  ASSIGN_OR_RETURN(const node::Response response, node.Call(asked));
  ordered_json out = ordered_json::parse(response.json());
  if (out.contains("folder") && !a.out.empty()) {
    RETURN_IF_ERROR(HandOut(out["folder"].get<std::string>(), a.out));
    out["out"] = a.out;
    out.erase("folder");
  }
  return out;
}

int Show(const Arguments& a, const Result<ordered_json>& outcome) {
  if (!outcome.ok()) return Fail(outcome.status());
  if (a.cli.json) {
    std::cout << outcome->dump() << "\n";
    return 0;
  }
  fmt::print("記録しました（位置 {}）\n", (*outcome)["position"].dump());
  if (outcome->contains("due_on")) fmt::print("開示の期限 {}\n", (*outcome)["due_on"].get<std::string>());
  if (outcome->contains("result")) fmt::print("{}\n", (*outcome)["result"] == "not_held" ? "不存在" : "開示");
  if (outcome->contains("out")) fmt::print("文書は {} にあります\n", (*outcome)["out"].get<std::string>());
  return 0;
}

// --- 開示 ----------------------------------------------------------------------------------------------------

v1::Disclosure DisclosureOf(const MatterRequest& request, v1::DisclosureStage stage) {
  v1::Disclosure event;
  event.set_reference(request.reference);
  event.set_stage(stage);
  if (request.record) event.add_scopes(v1::DISCLOSURE_SCOPE_RECORD);
  if (request.use) event.add_scopes(v1::DISCLOSURE_SCOPE_USE);
  *event.mutable_applicant() = request.applicant;
  event.set_due_on(FormatDate(DisclosureDue(*ParseDate(request.applicant.received_on()))));
  *event.mutable_condition() = request.condition;
  event.set_history(request.history);
  return event;
}

Result<ordered_json> Receive(const Arguments& a, Session& session) {
  const v1::Disclosure event = DisclosureOf(session.request, v1::DISCLOSURE_STAGE_RECEIVED);
  ASSIGN_OR_RETURN(ordered_json out, Order(a, session.node, &session.request, v1::EVENT_KIND_DISCLOSURE, event.SerializeAsString()));
  out["due_on"] = event.due_on();
  return out;
}

Result<ordered_json> Decide(const Arguments& a, Session& session, v1::DisclosureResult result) {
  v1::Disclosure event = DisclosureOf(session.request, v1::DISCLOSURE_STAGE_DECIDED);
  ASSIGN_OR_RETURN(const ordered_json matter, MatterOf(session.node, Duty::kDisclosure, session.request.reference));
  if (matter.contains("extended_to")) {
    event.set_extended_to(matter["extended_to"].get<std::string>());
    event.set_extension_reason(matter["extension_reason"].get<std::string>());
  }
  event.set_result(result);
  event.set_decided_on(session.today);
  if (result != v1::DISCLOSURE_RESULT_WITHDRAWN) event.set_form(v1::DISCLOSURE_FORM_DOCUMENT);
  return Order(a, session.node, &session.request, v1::EVENT_KIND_DISCLOSURE, event.SerializeAsString());
}

Result<ordered_json> Extend(const Arguments& a, Session& session) {
  v1::Disclosure event = DisclosureOf(session.request, v1::DISCLOSURE_STAGE_EXTENDED);
  RETURN_IF_ERROR(PutDate("--until", a.until, event.mutable_extended_to()));
  event.set_extension_reason(a.reason);
  return Order(a, session.node, &session.request, v1::EVENT_KIND_DISCLOSURE, event.SerializeAsString());
}

using Run = std::function<Result<ordered_json>(const Arguments&, Session&)>;

int With(const Arguments& a, const char* format, const Run& run) {
  auto session = Begin(a, format);
  return session.ok() ? Show(a, run(a, *session)) : Fail(session.status());
}

int Disclose(const Arguments& a, const Run& run) { return With(a, "daicho-disclosure/1", run); }
int Correct(const Arguments& a, const Run& run) { return With(a, "daicho-correction/1", run); }
int Suspend(const Arguments& a, const Run& run) { return With(a, "daicho-suspension/1", run); }

// --- 訂正 ----------------------------------------------------------------------------------------------------

Result<ordered_json> AskCorrection(const Arguments& a, Session& session) {
  const MatterRequest& request = session.request;
  ASSIGN_OR_RETURN(const ordered_json disclosure, MatterOf(session.node, Duty::kDisclosure, request.disclosure));
  v1::CorrectionRequested event;
  event.set_reference(request.reference);
  event.set_disclosure_position(disclosure["position"]);
  *event.mutable_applicant() = request.applicant;
  for (const v1::CorrectionItem& item : request.items) *event.add_items() = item;
  return Order(a, session.node, &request, v1::EVENT_KIND_CORRECTION_REQUESTED, event.SerializeAsString());
}

const std::map<std::string, v1::CorrectionFinding> kFindings = {
    {"no_error", v1::CORRECTION_FINDING_NO_ERROR},
    {"copy_error", v1::CORRECTION_FINDING_COPY_ERROR},
    {"register_error", v1::CORRECTION_FINDING_REGISTER_ERROR}};

Result<ordered_json> DecideCorrection(const Arguments& a, Session& session) {
  ASSIGN_OR_RETURN(const ordered_json matter, MatterOf(session.node, Duty::kCorrection, session.request.reference));
  v1::CorrectionDecided event;
  event.set_reference(session.request.reference);
  event.set_requested_position(matter["requested_position"]);
  event.set_finding(kFindings.at(a.finding));
  RETURN_IF_ERROR(PutDate("--investigated-on", a.investigated_on, event.mutable_investigated_on()));
  event.set_replied_on(session.today);
  if (event.finding() == v1::CORRECTION_FINDING_REGISTER_ERROR) {
    event.mutable_report()->set_municipality(a.municipality);
    event.mutable_report()->set_reported_on(session.today);
    RETURN_IF_ERROR(PutDate("--reported-on", a.reported_on, event.mutable_report()->mutable_reported_on()));
    event.mutable_report()->set_reference(a.report_number);
  }
  return Order(a, session.node, &session.request, v1::EVENT_KIND_CORRECTION_DECIDED, event.SerializeAsString());
}

int LinkCorrection(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  const auto matter = MatterOf(*node, Duty::kCorrection, a.reference);
  if (!matter.ok()) return Fail(matter.status());
  v1::CorrectionDecided event;
  event.set_reference(a.reference);
  event.set_requested_position((*matter)["requested_position"]);
  event.set_notice_position(a.position);
  return Show(a, Order(a, *node, nullptr, v1::EVENT_KIND_CORRECTION_DECIDED, event.SerializeAsString()));
}

// --- 利用停止 --------------------------------------------------------------------------------------------------

Result<ordered_json> AskSuspension(const Arguments& a, Session& session) {
  const MatterRequest& request = session.request;
  v1::SuspensionRequested event;
  event.set_reference(request.reference);
  *event.mutable_applicant() = request.applicant;
  *event.mutable_condition() = request.condition;
  for (const std::string& basis : request.bases) event.add_bases(basis);
  event.set_grounds(request.grounds);
  return Order(a, session.node, &request, v1::EVENT_KIND_SUSPENSION_REQUESTED, event.SerializeAsString());
}

// What is stopped is what was asked for.
Result<ordered_json> DecideSuspension(const Arguments& a, Session& session, v1::SuspensionResult result) {
  ASSIGN_OR_RETURN(const ordered_json matter, MatterOf(session.node, Duty::kSuspension, session.request.reference));
  v1::SuspensionDecided event;
  event.set_reference(session.request.reference);
  event.set_requested_position(matter["requested_position"]);
  event.set_result(result);
  if (result == v1::SUSPENSION_RESULT_SUSPENDED || result == v1::SUSPENSION_RESULT_LIFTED) {
    for (const std::string& basis : session.request.bases) event.add_bases(basis);
    event.set_valid_from(session.today);
    RETURN_IF_ERROR(PutDate("--from", a.from, event.mutable_valid_from()));
    RETURN_IF_ERROR(PutDate("--until", a.until, event.mutable_valid_until()));
  }
  event.set_decided_on(session.today);
  return Order(a, session.node, &session.request, v1::EVENT_KIND_SUSPENSION_DECIDED, event.SerializeAsString());
}

// --- What is open ----------------------------------------------------------------------------------------------

std::string Words(const ordered_json& line) {
  static const std::map<std::string, std::string> words = {
      {"received", "受理"},         {"extended", "延長"},       {"requested", "受付"},        {"decided", "決定"},
      {"linked", "訂正の通知あり"}, {"disclosed", "開示"},      {"not_held", "不存在"},       {"refused", "不開示・拒否"},
      {"withdrawn", "取下げ"},      {"suspended", "利用停止"},  {"lifted", "解除"},           {"no_error", "誤りなし"},
      {"copy_error", "写し誤り"},   {"register_error", "住民票の誤り"}};
  std::string out;
  for (const char* key : {"stage", "result", "finding"}) {
    if (line.contains(key)) out += (out.empty() ? "" : " ") + words.at(line[key]);
  }
  if (line.contains("days_left")) {
    out += fmt::format("  期限 {}、残り {}日", line.value("extended_to", line["due_on"].get<std::string>()), line["days_left"].dump());
  }
  if (line.contains("warning")) out += line["warning"] == "overdue" ? "  ★期限を過ぎています" : "  ★期限が近づいています";
  if (line.contains("in_force")) out += line["in_force"] ? "  停止中" : "";
  if (line.contains("notices_since") && !line["notices_since"].empty()) {
    out += fmt::format("  その後の通知 {}", line["notices_since"].dump());
  }
  return out;
}

int List(const Arguments& a, Duty duty) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  const auto lines = ListOf(*node, duty);
  if (!lines.ok()) return Fail(lines.status());
  for (const ordered_json& line : *lines) {
    if (a.cli.json) {
      std::cout << line.dump() << "\n";
    } else {
      fmt::print("{}  受理 {}  {}\n", line["reference"].get<std::string>(), line["received_on"].get<std::string>(), Words(line));
    }
  }
  return 0;
}

// --- The command line -----------------------------------------------------------------------------------------

void TakesOperator(CLI::App* command, Arguments& a) {
  command->add_option("--operator", a.operator_id, "操作者ID")->required();
  command->add_option("--operator-key", a.operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  command->add_option("--terminal", a.terminal, "操作端末ID");
}

void TakesRequest(CLI::App* command, Arguments& a) {
  a.cli.TakesHome(command);
  command->add_option("--request", a.request, "請求を書き取ったファイル（JSON）")->required();
  TakesOperator(command, a);
}

void TakesLetter(CLI::App* command, Arguments& a) {
  command->add_option("--number", a.number, "文書番号")->required();
  command->add_option("--out", a.out, "文書を置くディレクトリ")->required();
}

void TakesConsent(CLI::App* command, Arguments& a) {
  command->add_option("--consent", a.consents, "確認する別の操作者ID")->required()->expected(1);
  command->add_option("--consent-key", a.consent_keys, "ID=FILE（既定 HOME/operators/ID.key）");
}

void AddDisclosure(Cli& cli, const std::shared_ptr<Arguments>& a) {
  CLI::App* disclose = cli.Command(nullptr, "disclose", "自己の本人確認情報の開示（受理と決定。段階ごとの命令もある）", [] { return 0; });
  disclose->callback([a, disclose] {
    if (!disclose->get_subcommands().empty()) return;
    for (const auto& [option, given] : {std::pair{"--home", &a->cli.home}, std::pair{"--request", &a->request},
                                        std::pair{"--operator", &a->operator_id}, std::pair{"--number", &a->number},
                                        std::pair{"--out", &a->out}}) {
      if (given->empty()) throw CLI::RequiredError(option);
    }
    a->cli.exit = Disclose(*a, [](const Arguments& args, Session& session) -> Result<ordered_json> {
      RETURN_IF_ERROR(Receive(args, session).status());
      return Decide(args, session, v1::DISCLOSURE_RESULT_UNSPECIFIED);
    });
  });
  disclose->add_option("--home", cli.home, "ノードのディレクトリ");
  disclose->add_option("--request", a->request, "請求を書き取ったファイル（JSON）");
  disclose->add_option("--operator", a->operator_id, "操作者ID");
  disclose->add_option("--operator-key", a->operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  disclose->add_option("--terminal", a->terminal, "操作端末ID");
  disclose->add_option("--number", a->number, "文書番号");
  disclose->add_option("--out", a->out, "文書を置くディレクトリ");

  TakesRequest(cli.Command(disclose, "receive", "請求を受理する（30日の期限が始まる）", [a] { return Disclose(*a, Receive); }), *a);
  CLI::App* extend = cli.Command(disclose, "extend", "期限を延長し、理由を通知する", [a] { return Disclose(*a, Extend); });
  TakesRequest(extend, *a);
  TakesLetter(extend, *a);
  extend->add_option("--until", a->until, "延長後の期限")->required();
  extend->add_option("--reason", a->reason, "延長の理由")->required();
  CLI::App* decide = cli.Command(disclose, "decide", "開示する、又は不存在を通知する", [a] {
    return Disclose(*a, [](const Arguments& args, Session& session) {
      return Decide(args, session, v1::DISCLOSURE_RESULT_UNSPECIFIED);
    });
  });
  TakesRequest(decide, *a);
  TakesLetter(decide, *a);
  CLI::App* refuse = cli.Command(disclose, "refuse", "開示しないことを決定する", [a] {
    return Disclose(*a, [](const Arguments& args, Session& session) {
      return Decide(args, session, v1::DISCLOSURE_RESULT_REFUSED);
    });
  });
  TakesRequest(refuse, *a);
  TakesLetter(refuse, *a);
  refuse->add_option("--reason", a->reason, "開示しない理由")->required();
  TakesRequest(cli.Command(disclose, "withdraw", "取下げを記録する", [a] {
    return Disclose(*a, [](const Arguments& args, Session& session) {
      return Decide(args, session, v1::DISCLOSURE_RESULT_WITHDRAWN);
    });
  }), *a);
  cli.TakesHome(cli.Command(disclose, "list", "請求の一覧と残りの日数", [a] { return List(*a, Duty::kDisclosure); }));
}

void AddCorrection(Cli& cli, const std::shared_ptr<Arguments>& a) {
  CLI::App* correction = cli.Group("correction", "訂正、追加又は削除の申出");
  TakesRequest(cli.Command(correction, "request", "申出を受け付ける", [a] { return Correct(*a, AskCorrection); }), *a);
  CLI::App* decide = cli.Command(correction, "decide", "調査の結果を通知する（住民票の誤りは市町村に通報する）",
                                 [a] { return Correct(*a, DecideCorrection); });
  TakesRequest(decide, *a);
  TakesLetter(decide, *a);
  TakesConsent(decide, *a);
  decide->add_option("--finding", a->finding, "no_error 誤りなし、copy_error 写し誤り、register_error 住民票の誤り")
      ->required()
      ->check(CLI::IsMember({"no_error", "copy_error", "register_error"}));
  decide->add_option("--investigated-on", a->investigated_on, "調査を終えた日")->required();
  decide->add_option("--details", a->reason, "調査の経緯");
  decide->add_option("--municipality", a->municipality, "通報する市町村");
  decide->add_option("--reported-on", a->reported_on, "通報した日（既定 今日）");
  decide->add_option("--report-number", a->report_number, "通報書の文書番号");
  CLI::App* link = cli.Command(correction, "link", "訂正の通知を結び付ける", [a] { return LinkCorrection(*a); });
  cli.TakesHome(link);
  TakesOperator(link, *a);
  link->add_option("--reference", a->reference, "申出の番号")->required();
  link->add_option("--position", a->position, "訂正の通知の位置")->required();
  cli.TakesHome(cli.Command(correction, "list", "申出の一覧", [a] { return List(*a, Duty::kCorrection); }));
}

void AddSuspension(Cli& cli, const std::shared_ptr<Arguments>& a) {
  CLI::App* suspension = cli.Group("suspension", "利用停止の請求");
  TakesRequest(cli.Command(suspension, "request", "請求を受け付ける", [a] { return Suspend(*a, AskSuspension); }), *a);
  CLI::App* decide = cli.Command(suspension, "decide", "利用停止をする、又はしないことを決定する", [a] {
    return Suspend(*a, [](const Arguments& args, Session& session) {
      return DecideSuspension(args, session, args.result == "suspended" ? v1::SUSPENSION_RESULT_SUSPENDED
                                                                        : v1::SUSPENSION_RESULT_REFUSED);
    });
  });
  decide->add_option("--result", a->result, "suspended 停止する、refused しない")
      ->required()
      ->check(CLI::IsMember({"suspended", "refused"}));
  CLI::App* lift = cli.Command(suspension, "lift", "利用停止を解除する", [a] {
    return Suspend(*a, [](const Arguments& args, Session& session) {
      return DecideSuspension(args, session, v1::SUSPENSION_RESULT_LIFTED);
    });
  });
  for (CLI::App* decision : {decide, lift}) {
    TakesRequest(decision, *a);
    TakesLetter(decision, *a);
    TakesConsent(decision, *a);
    decision->add_option("--from", a->from, "初日（既定 今日）");
    decision->add_option("--reason", a->reason, "理由");
  }
  decide->add_option("--until", a->until, "末日（既定 解除するまで）");
  TakesRequest(cli.Command(suspension, "withdraw", "取下げを記録する", [a] {
    return Suspend(*a, [](const Arguments& args, Session& session) {
      return DecideSuspension(args, session, v1::SUSPENSION_RESULT_WITHDRAWN);
    });
  }), *a);
  cli.TakesHome(cli.Command(suspension, "list", "請求の一覧", [a] { return List(*a, Duty::kSuspension); }));
}

}  // namespace disclosure_commands

void AddDisclosureCommands(Cli& cli) {
  using namespace disclosure_commands;
  auto a = std::make_shared<Arguments>(cli);
  AddDisclosure(cli, a);
  AddCorrection(cli, a);
  AddSuspension(cli, a);
}

}  // namespace daicho
