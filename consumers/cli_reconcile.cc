// daicho reconcile: one comparison (整合性確認). daicho consistency: what was found and how it ended; a sketch of our own copy.
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/cli.h"
#include "consumers/consistency_report.h"
#include "consumers/operator_act.h"
#include "consumers/reconciling.h"
#include "events/clock.h"
#include "ledger/files.h"

namespace daicho {
namespace reconcile_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string with, holder, municipality, out;
  std::string operator_id, operator_key, terminal;
  std::string as, settled_by, from, to;
  std::uint64_t found = 0, notice = 0;
  bool open = false;
};

std::string Absolute(const std::string& path) { return path.empty() ? "" : std::filesystem::absolute(path).string(); }

// Of the differences, until nobody needs it any more.
class AnswerFile {
 public:
  AnswerFile(std::string path, bool keep) : path_(std::move(path)), keep_(keep) {}
  ~AnswerFile() {
    std::error_code ignored;
    if (!keep_) std::filesystem::remove(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool keep_;
};

std::string_view ClassText(const std::string& name) {
  static const std::map<std::string, std::string_view> texts = {
      {"missing_there", "相手にない"}, {"missing_here", "県にない（通知漏れ等）"}, {"field", "項目の不一致"},
      {"order", "更新順番号の不一致"}, {"glyph", "文字の違い"},          {"duplicate", "番号の重複"},
      {"removed_state", "消除の状態の違い"}, {"ancillary", "保存期間フラグの違い"}};
  const auto found = texts.find(name);
  return found == texts.end() ? std::string_view(name) : found->second;
}

void PrintOutcome(const ordered_json& outcome) {
  fmt::print("整合性確認  相手 {}  位置 {} まで  県 {}件  相手 {}件\n", outcome["holder"].get<std::string>(),
             outcome["evaluated_at"].dump(), outcome["here"].dump(), outcome["there"].dump());
  if (outcome["differences"].empty()) fmt::print("不整合はありません\n");
  for (const auto& [name, count] : outcome["differences"].items()) fmt::print("  {}  {}件\n", ClassText(name), count.dump());
  if (outcome["found_again"] != 0) fmt::print("  うち前回から続くもの  {}件\n", outcome["found_again"].dump());
  if (outcome["resolved"] != 0) fmt::print("解消を確認したもの  {}件\n", outcome["resolved"].dump());
  if (outcome.value("corrected", 0) != 0) fmt::print("機構に改めて通知したもの  {}件\n", outcome["corrected"].dump());
  if (outcome.contains("correction_failure")) {
    fmt::print("機構への通知ができませんでした: {}\n", outcome["correction_failure"].get<std::string>());
  }
}

int Compare(const Arguments& a) {
  if (a.operator_id.empty()) return Fail(Invalid("--operator: 操作者が要ります"));
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  const AnswerFile answer(a.out.empty() ? Absolute(node->home().Path("reconcile-" + ToHex(View(RandomArray<8>())))) : Absolute(a.out),
                          !a.out.empty());
  ReconcileOrder order;
  order.holder = a.holder;
  order.municipality = a.municipality;
  const bool by_line = a.with.empty() || a.with == "kikou" || a.with.find("://") != std::string::npos;
  if (!by_line) order.file = Absolute(a.with);
  if (a.with.find("://") != std::string::npos) order.url = a.with;
  order.out = answer.path();
  const auto key = ReadOperatorKey(node->home(), a.operator_id, a.operator_key);
  if (!key.ok()) return Fail(key.status());
  const auto act = SignAct(a.operator_id, *key, a.terminal, kReconcileTag, order.SignedDigest(), SystemClock().Now());
  if (!act.ok()) return Fail(act.status());
  node::Request request;
  node::Reconcile& reconcile = *request.mutable_reconcile();
  reconcile.set_holder(order.holder);
  reconcile.set_municipality(order.municipality);
  reconcile.set_file(order.file);
  reconcile.set_url(order.url);
  reconcile.set_out(order.out);
  reconcile.set_operator_act(act->SerializeAsString());
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  const auto outcome = ordered_json::parse(response->json());
  if (outcome.contains("errors")) return FailFile(response->json(), a.cli.json);
  if (a.cli.json) {
    std::ifstream lines(answer.path());
    std::cout << lines.rdbuf();
  } else {
    PrintOutcome(outcome);
    if (!a.out.empty()) fmt::print("内訳は {}\n", a.out);
  }
  return outcome["differences"].empty() ? 0 : 1;
}

int PrintLines(const Arguments& a, const node::Request& request, const std::function<void(const ordered_json&)>& print) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json();
    return 0;
  }
  std::istringstream lines(response->json());
  for (std::string line; std::getline(lines, line);) print(ordered_json::parse(line));
  return 0;
}

int ListCases(const Arguments& a) {
  node::Request request;
  request.mutable_list_differences()->set_holder(a.holder);
  request.mutable_list_differences()->set_open(a.open);
  return PrintLines(a, request, [](const ordered_json& line) {
    fmt::print("案件 {}  相手 {}  {}  発見 {}  {}\n", line["case"].dump(), line["holder"].get<std::string>(),
               ClassText(line["class"]), line["found_at"].get<std::string>(),
               line["open"] == true ? "未解消" : "解消 " + line["resolved_at"].get<std::string>());
  });
}

int ListRuns(const Arguments& a) {
  node::Request request;
  request.mutable_list_comparisons();
  return PrintLines(a, request, [](const ordered_json& line) {
    std::uint64_t differences = 0;
    for (const auto& [name, count] : line["differences"].items()) differences += count.get<std::uint64_t>();
    fmt::print("{}  相手 {}  位置 {} まで  県 {}件  相手 {}件  不整合 {}件\n", line["ended_at"].get<std::string>(),
               line["holder"].get<std::string>(), line["evaluated_at"].dump(), line["here"].dump(), line["there"].dump(),
               differences);
  });
}

int ResolveCase(const Arguments& a) {
  static const std::map<std::string, v1::DifferenceResolution> resolutions = {
      {"no_error", v1::DIFFERENCE_RESOLUTION_NO_ERROR},
      {"erased", v1::DIFFERENCE_RESOLUTION_ERASED},
      {"holder_corrected", v1::DIFFERENCE_RESOLUTION_HOLDER_CORRECTED}};
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  v1::DifferenceResolved event;
  event.set_found_position(a.found);
  event.set_resolution(resolutions.at(a.as));
  event.set_notice_position(a.notice);
  event.set_settled_by(a.settled_by);
  const auto key = ReadOperatorKey(node->home(), a.operator_id, a.operator_key);
  if (!key.ok()) return Fail(key.status());
  const std::string bytes = event.SerializeAsString();
  const auto act = SignAct(a.operator_id, *key, a.terminal, kResolveTag, Sha256Of({bytes}), SystemClock().Now());
  if (!act.ok()) return Fail(act.status());
  node::Request request;
  request.mutable_resolve_difference()->set_event(bytes);
  request.mutable_resolve_difference()->set_operator_act(act->SerializeAsString());
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) std::cout << ordered_json({{"position", response->end()}}).dump() << "\n";
  else fmt::print("案件 {} を終えました。記録は位置 {}\n", a.found, response->end());
  return 0;
}

int Report(const Arguments& a) {
  const bool on_paper = a.out.ends_with(".pdf");
  if (!on_paper && !a.out.ends_with(".html")) return Fail(Invalid("--out: 名が .html か .pdf で終わるファイルを指定してください"));
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request of_runs, of_cases;
  of_runs.mutable_list_comparisons();
  of_cases.mutable_list_differences();
  const auto runs = node->Call(of_runs), cases = node->Call(of_cases);
  if (!runs.ok()) return Fail(runs.status());
  if (!cases.ok()) return Fail(cases.status());
  ConsistencyPeriod period;
  period.made_at = SystemClock().Now();
  const Date today = JapanDate(period.made_at);
  Date first = today;
  if (!runs->json().empty()) {
    const auto line = ordered_json::parse(runs->json().substr(0, runs->json().find('\n')));
    first = JapanDate(ParseTimestamp(line["ended_at"].get<std::string>()).value_or(period.made_at));
  }
  const auto from = a.from.empty() ? Result<Date>(Date{first.year, first.month, 1}) : MonthOf("--from", a.from);
  if (!from.ok()) return Fail(from.status());
  const auto to = a.to.empty() ? Result<Date>(today) : MonthOf("--to", a.to);
  if (!to.ok()) return Fail(to.status());
  period.from = *from;
  period.to = LastOfMonth(*to);
  if (period.to < period.from) return Fail(Invalid("--to: --from より前です"));
  const auto report = on_paper ? ConsistencyPdf(runs->json(), cases->json(), period)
                               : Result<std::string>(ConsistencyHtml(runs->json(), cases->json(), period));
  if (!report.ok()) return Fail(report.status());
  if (Status status = WriteFileDurably(a.out, *report, 0644); !status.ok()) return Fail(status);
  if (!a.cli.json) fmt::print("{} に書きました\n", a.out);
  return 0;
}

// Has the node write `out`.
int Write(const Arguments& a, const node::Request& request) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (!a.cli.json) fmt::print("{} に書きました\n", a.out);
  return 0;
}

int Sketch(const Arguments& a) {
  node::Request request;
  request.mutable_write_sketch()->set_file(Absolute(a.out));
  request.mutable_write_sketch()->set_lengthened(a.cli.long_sketch);
  return Write(a, request);
}

int Key(const Arguments& a) {
  node::Request request;
  request.mutable_write_copy_key()->set_municipality(a.municipality);
  request.mutable_write_copy_key()->set_file(Absolute(a.out));
  return Write(a, request);
}

void TakesOperator(CLI::App* command, const std::shared_ptr<Arguments>& a) {
  command->add_option("--operator", a->operator_id, "操作者ID");
  command->add_option("--operator-key", a->operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  command->add_option("--terminal", a->terminal, "操作端末ID");
}

}  // namespace reconcile_commands

void AddReconcileCommands(Cli& cli) {
  using namespace reconcile_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* reconcile = cli.Command(nullptr, "reconcile", "整合性確認: 機構か市町村の写しと照合する", [a] { return Compare(*a); });
  cli.TakesHome(reconcile);
  reconcile->add_option("--with", a->with, "相手: 機構の URL、写しのファイル（daicho-copy/1、要約）。既定は登録した機構");
  reconcile->add_option("--holder", a->holder, "写しを持つ者: kikou か市町村コード。既定はファイルのとおり（要約では県の複製）");
  reconcile->add_option("--municipality", a->municipality, "この市町村の住民だけ（市町村コード）");
  reconcile->add_option("--out", a->out, "不整合の内訳（NDJSON）を残すファイル");
  TakesOperator(reconcile, a);

  CLI::App* group = cli.Group("consistency", "整合性確認の記録");
  CLI::App* cases = cli.Command(group, "cases", "不整合の案件（住民の情報は含まない）", [a] { return ListCases(*a); });
  cli.TakesHome(cases);
  cases->add_option("--holder", a->holder, "相手で絞る");
  cases->add_flag("--open", a->open, "未解消だけ");

  cli.TakesHome(cli.Command(group, "runs", "これまでの整合性確認", [a] { return ListRuns(*a); }));

  CLI::App* resolve = cli.Command(group, "resolve", "案件を判断して終える", [a] { return ResolveCase(*a); });
  cli.TakesHome(resolve);
  resolve->add_option("--case", a->found, "案件の番号（位置）")->required();
  resolve->add_option("--as", a->as, "no_error 誤りなし、erased 消去済み、holder_corrected 相手が訂正")
      ->required()
      ->check(CLI::IsMember({"no_error", "erased", "holder_corrected"}));
  resolve->add_option("--notice", a->notice, "根拠となる通知の位置");
  resolve->add_option("--settled-by", a->settled_by, "だれの言によるか: kikou か市町村コード");
  TakesOperator(resolve, a);

  CLI::App* report = cli.Command(group, "report", "整合性確認報告書（住民の情報は含まない）", [a] { return Report(*a); });
  cli.TakesHome(report);
  report->add_option("--from", a->from, "最初の月（2026-04）。既定は最初の照合の月");
  report->add_option("--to", a->to, "最後の月。既定は今月");
  report->add_option("--out", a->out, "書き出し先。名が .pdf で終われば PDF、.html なら HTML")->required();

  CLI::App* sketch = cli.Command(group, "sketch", "県の写しの要約を書く（鍵がなければ何も読み取れない）", [a] { return Sketch(*a); });
  cli.TakesHome(sketch);
  sketch->add_option("--out", a->out, "書き先")->required();
  cli.TakesLongSketch(sketch);

  CLI::App* key = cli.Command(group, "key", "市町村が写しの要約を作る鍵を書く（その市町村だけに渡す）", [a] { return Key(*a); });
  cli.TakesHome(key);
  key->add_option("--municipality", a->municipality, "市町村コード（6桁）")->required();
  key->add_option("--out", a->out, "書き先（新しいファイル）")->required();
}

}  // namespace daicho
