// daicho audit, export: what an auditor does, with public keys only.
#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/audit.h"
#include "consumers/audit_report.h"
#include "consumers/cli.h"
#include "consumers/export.h"
#include "consumers/progress.h"
#include "events/dates.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string log, exported, home, ledger, policy, checkpoint, report, to;
  std::optional<std::int64_t> max_age;
  bool first = false;
  std::string a, b;
};

// Where an auditor reads, and what is believed of it beforehand.
struct Source {
  std::unique_ptr<Log> log;
  LedgerPublic ledger;
  std::string name;
  std::string export_dir;  // empty: not an export
  std::vector<std::string> warnings;
};

// A node that is running has its local log open: it is read through the node then.
Result<std::unique_ptr<Log>> OpenLogOfHome(const Home& home) {
  auto log = OpenLog(home.log, home.kafka_config);
  if (log.ok() || !IsLocal(home.log) || log.status().code() != Code::kUnavailable) return log;
  auto socket = OpenSocketLog(home.Socket());
  return socket.ok() ? std::move(socket) : std::move(log);
}

Result<Source> OpenSource(const Arguments& a) {
  Source out;
  std::string pinned = a.ledger;
  if (!a.home.empty()) {
    ASSIGN_OR_RETURN(const Home home, OpenHome(a.home));
    ASSIGN_OR_RETURN(out.log, OpenLogOfHome(home));
    out.name = home.log;
    if (pinned.empty()) pinned = home.Path("ledger.pub.json");
  } else if (!a.exported.empty()) {
    out.export_dir = a.exported;
    out.name = "export:" + a.exported;
    if (pinned.empty()) {
      pinned = a.exported + "/ledger.pub.json";
      out.warnings.push_back(
          "台帳の公開鍵は書き出し自身のものです。別の経路で得た ledger.pub.json を --ledger で指定してください");
    }
  } else {
    if (pinned.empty()) return Invalid("--ledger: needed with --log");
    ASSIGN_OR_RETURN(out.log, OpenLog(a.log, a.cli.kafka_config));
    out.name = a.log;
  }
  ASSIGN_OR_RETURN(out.ledger, ReadLedgerPublic(pinned));
  if (!out.export_dir.empty()) {
    ASSIGN_OR_RETURN(out.log, OpenExport(out.export_dir, out.ledger.prefecture));
  }
  return out;
}

int Verify(const Arguments& a) {
  auto source = OpenSource(a);
  if (!source.ok()) return Fail(source.status());
  const SystemClock clock;
  AuditOptions options;
  options.ledger = source->ledger;
  options.log = source->log.get();
  options.clock = &clock;
  options.first_only = a.first;
  if (a.max_age) options.max_age = std::chrono::seconds(*a.max_age);
  if (!a.policy.empty()) {
    auto text = ReadFile(a.policy);
    if (!text.ok()) return Fail(text.status());
    auto policy = WitnessPolicy::Parse(*text);
    if (!policy.ok()) return Fail(policy.status().With(a.policy));
    options.policy = std::move(*policy);
  }
  if (!a.checkpoint.empty()) {
    auto kept = ReadFile(a.checkpoint);
    if (!kept.ok()) return Fail(kept.status());
    options.kept_checkpoint = *kept;
  }
  auto progress = std::make_unique<Progress>("audit");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress->Set(done, total); };
  auto result = source->export_dir.empty() ? Audit(options) : AuditExport(source->export_dir, options);
  progress.reset();
  if (!result.ok()) return Fail(result.status());
  result->source = source->name;
  result->warnings.insert(result->warnings.begin(), source->warnings.begin(), source->warnings.end());
  if (!a.report.empty()) {
    if (Status status = WriteFileDurably(a.report, AuditHtml(*result), 0644); !status.ok()) return Fail(status);
  }
  std::cout << (a.cli.json ? AuditJson(*result) + "\n" : AuditText(*result));
  return result->good() ? 0 : 1;
}

int Compare(const Arguments& a) {
  auto first = ReadFile(a.a), second = ReadFile(a.b);
  if (!first.ok()) return Fail(first.status());
  if (!second.ok()) return Fail(second.status());
  auto compared = CompareAudits(*first, *second);
  if (!compared.ok()) return Fail(compared.status());
  if (a.cli.json) {
    ordered_json out = {{"same_ledger", compared->same_ledger},
                        {"consistent", compared->consistent},
                        {"equal", compared->equal},
                        {"agreed", compared->agreed},
                        {"differs", nullptr}};
    if (compared->differs) out["differs"] = *compared->differs;
    std::cout << out.dump() << "\n";
  } else if (!compared->same_ledger) {
    fmt::print("別の台帳です\n");
  } else if (compared->differs) {
    fmt::print("異なる履歴です: {} 件までは一致し、{} 件までの内容が異なります\n", compared->agreed,
               *compared->differs);
  } else if (compared->equal) {
    fmt::print("同じ台帳、同じ状態です（{} 件）\n", compared->sizes[0]);
  } else {
    fmt::print("同じ台帳です: {} 件までの一致を確認しました（{} 件と {} 件）\n", compared->agreed,
               compared->sizes[0], compared->sizes[1]);
  }
  return compared->consistent ? 0 : 1;
}

int RunExport(const Arguments& a) {
  auto home = OpenHome(a.home);
  if (!home.ok()) return Fail(home.status());
  auto log = OpenLogOfHome(*home);
  if (!log.ok()) return Fail(log.status());
  ExportOptions options;
  options.prefecture = home->prefecture;
  options.public_part = home->Path("ledger.pub.json");
  options.log = log->get();
  options.to = a.to;
  Progress progress("export");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress.Set(done, total); };
  auto result = Export(options);
  if (!result.ok()) return Fail(result.status());
  if (a.cli.json) {
    std::cout << ordered_json({{"entries", result->entries}, {"checkpoints", result->checkpoints}}).dump() << "\n";
  } else {
    fmt::print("記録 {} 件、署名付き証明 {} 件を {} に書き出しました\n", result->entries, result->checkpoints, a.to);
  }
  return 0;
}

void TakesSource(Arguments& a, CLI::App* command) {
  CLI::Option_group* source = command->add_option_group("source");
  source->add_option("--home", a.home, "ノードのディレクトリ");
  source->add_option("--log", a.log, "local:DIR または kafka://HOST:PORT[,…]");
  source->add_option("--export", a.exported, "書き出しのディレクトリ");
  source->require_option(1);
  command->add_option("--kafka-config", a.cli.kafka_config, "librdkafka の設定ファイル (NAME=VALUE)");
  command->add_option("--ledger", a.ledger, "台帳の ledger.pub.json（信頼する鍵）");
}

}  // namespace

void AddAuditCommands(Cli& cli) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* audit = cli.Group("audit", "台帳の監査");

  CLI::App* verify = cli.Command(audit, "verify", "台帳のすべてを検証する（鍵は不要）", [a] { return Verify(*a); });
  TakesSource(*a, verify);
  verify->add_option("--policy", a->policy, "立会人の規則（C2SP tlog-policy。既定は台帳の規則）");
  verify->add_option("--checkpoint", a->checkpoint, "前に控えた署名付き証明。台帳はその続きでなければならない");
  verify->add_option("--max-age", a->max_age, "最新の証明の古さの上限（秒）")->check(CLI::NonNegativeNumber);
  verify->add_flag("--first", a->first, "最初の指摘で止まる");
  verify->add_option("--report", a->report, "報告書（HTML）の書き出し先");

  CLI::App* compare = cli.Command(audit, "compare", "二つの監査の結果を比べる", [a] { return Compare(*a); });
  compare->add_option("a", a->a, "audit verify --json の結果")->required();
  compare->add_option("b", a->b, "audit verify --json の結果")->required();

  CLI::App* exporting = cli.Command(nullptr, "export", "台帳を書き出す（監査人に渡す）", [a] { return RunExport(*a); });
  exporting->add_option("--home", a->home, "ノードのディレクトリ")->required();
  exporting->add_option("--to", a->to, "書き出し先")->required();
}

}  // namespace daicho
