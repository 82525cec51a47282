// daicho audit, export: what an auditor does, with public keys only.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/audit.h"
#include "consumers/audit_diff.h"
#include "consumers/audit_reexecute.h"
#include "consumers/audit_replay.h"
#include "consumers/audit_report.h"
#include "consumers/audit_show.h"
#include "consumers/cli.h"
#include "consumers/evidence.h"
#include "consumers/export.h"
#include "consumers/kikou_line.h"
#include "consumers/matching_files.h"
#include "consumers/progress.h"
#include "events/dates.h"
#include "ledger/files.h"

namespace daicho {
namespace audit_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string log, exported, home, ledger, policy, checkpoint, report, to;
  std::optional<std::int64_t> max_age;
  bool first_only = false;
  std::string a, b;
  std::optional<std::uint64_t> position, first, last;
  std::string dir;
  std::string as_of, out, from, auditor_key, file, key;
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
  auto log = OpenLog(home.log, home.kafka_config, LogUse::kReadToEnd);
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
    ASSIGN_OR_RETURN(out.log, OpenLog(a.log, a.cli.kafka_config, LogUse::kReadToEnd));
    out.name = a.log;
  }
  ASSIGN_OR_RETURN(out.ledger, ReadLedgerPublic(pinned));
  if (!out.export_dir.empty()) {
    ASSIGN_OR_RETURN(out.log, OpenExport(out.export_dir, out.ledger.prefecture));
  }
  return out;
}

Result<WitnessPolicy> ReadPolicy(const std::string& path) {
  if (path.empty()) return WitnessPolicy();
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  auto policy = WitnessPolicy::Parse(text);
  return policy.ok() ? std::move(policy) : Result<WitnessPolicy>(policy.status().With(path));
}

int Verify(const Arguments& a) {
  auto source = OpenSource(a);
  if (!source.ok()) return Fail(source.status());
  const SystemClock clock;
  AuditOptions options;
  options.ledger = source->ledger;
  options.log = source->log.get();
  options.clock = &clock;
  options.first_only = a.first_only;
  if (a.max_age) options.max_age = std::chrono::seconds(*a.max_age);
  if (!a.policy.empty()) {
    auto policy = ReadPolicy(a.policy);
    if (!policy.ok()) return Fail(policy.status());
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

int Show(const Arguments& a) {
  auto source = OpenSource(a);
  if (!source.ok()) return Fail(source.status());
  std::optional<Position> position;
  if (a.position) position = Position(*a.position);
  const Status shown = ShowEntries(*source->log, source->ledger.prefecture, position,
                                   [](const std::string& line) { std::cout << line << "\n"; });
  return shown.ok() ? 0 : Fail(shown);
}

int Prove(const Arguments& a) {
  auto source = OpenSource(a);
  if (!source.ok()) return Fail(source.status());
  auto proof = ProveEntry(source->ledger, *source->log, Position(*a.position));
  if (!proof.ok()) return Fail(proof.status());
  if (Status status = WriteFileDurably(a.out, *proof, 0644); !status.ok()) return Fail(status);
  fmt::print("位置 {} の証拠を {} に書きました\n", *a.position, a.out);
  return 0;
}

Result<NoteKey> LedgerKeyOf(const Arguments& a) {
  if (!a.key.empty()) return ParseNoteKey(a.key);
  ASSIGN_OR_RETURN(const LedgerPublic ledger, ReadLedgerPublic(a.ledger));
  ASSIGN_OR_RETURN(const VerifyingKey key, VerifyingKey::From(ledger.sequencer));
  return NoteKey{LedgerOrigin(ledger.prefecture), NoteAlgorithm::kEd25519, key};
}

int Check(const Arguments& a) {
  auto key = LedgerKeyOf(a);
  if (!key.ok()) return Fail(key.status());
  auto policy = ReadPolicy(a.policy);
  if (!policy.ok()) return Fail(policy.status());
  auto text = ReadFile(a.file);
  if (!text.ok()) return Fail(text.status());
  auto proven = CheckEvidence(*text, *key, *policy);
  if (!proven.ok()) return Fail(proven.status());
  const KindInfo* kind = FindKind(proven->header.kind());
  ordered_json cosigned = ordered_json::object();
  for (const auto& [name, time] : proven->cosigners) cosigned[name] = FormatTimestamp(time);
  if (a.cli.json) {
    std::cout << ordered_json({{"position", proven->position.value()},
                               {"admitted_at", FormatTimestamp(proven->admitted_at)},
                               {"issuer", proven->header.issuer()},
                               {"sequence", proven->header.sequence()},
                               {"kind", kind == nullptr ? "" : std::string(kind->type)},
                               {"ledger", ToHex(proven->checkpoint.ledger)},
                               {"checkpoint_size", proven->checkpoint.size},
                               {"checkpoint_time", FormatTimestamp(proven->checkpoint.time)},
                               {"issuer_key", ToHex(proven->issuer_key)},
                               {"cosignatures", cosigned},
                               {"policy_satisfied", proven->verdict.satisfied}})
                     .dump()
              << "\n";
  } else {
    fmt::print("証拠は正しい\n台帳        {}\n位置        {}（{} に受理）\n発行者      {} の {} 番目\n種類        {}\n",
               ToHex(proven->checkpoint.ledger), proven->position.value(), FormatTimestamp(proven->admitted_at),
               proven->header.issuer(), proven->header.sequence(), kind == nullptr ? "" : kind->japanese);
    fmt::print("署名付き証明 {} 件  {}\n", proven->checkpoint.size, FormatTimestamp(proven->checkpoint.time));
    for (const auto& [name, time] : proven->cosigners) fmt::print("立会人      {}  {}\n", name, FormatTimestamp(time));
    if (!proven->verdict.satisfied) fmt::print("立会人の連署が規則の数に足りません\n");
  }
  return proven->verdict.satisfied ? 0 : 1;
}

// A home whose contents an auditor may open: its log, with the keys of what is sealed there.
struct OpenedHome {
  Home home;
  std::unique_ptr<Log> log;
  std::unique_ptr<KeyHolder> holder;
  std::unique_ptr<KeyStore> keys;
  LedgerPublic ledger;

  static Result<OpenedHome> Open(const Arguments& a) {
    OpenedHome out;
    ASSIGN_OR_RETURN(out.home, OpenHome(a.home));
    ASSIGN_OR_RETURN(out.log, OpenLogOfHome(out.home));
    ASSIGN_OR_RETURN(out.holder, OpenHolder(out.home));
    ASSIGN_OR_RETURN(out.keys, KeyStore::Open(out.home.Path("keystore"), KeyStore::Mode::kRead, out.holder.get()));
    ASSIGN_OR_RETURN(out.ledger, ReadLedgerPublic(a.ledger.empty() ? out.home.Path("ledger.pub.json") : a.ledger));
    return out;
  }
};

int Replay(const Arguments& a) {
  auto opened = OpenedHome::Open(a);
  if (!opened.ok()) return Fail(opened.status());
  ReplayOptions options;
  options.ledger = opened->ledger;
  options.log = opened->log.get();
  options.keys = opened->keys.get();
  options.out = a.out;
  options.from = a.from;
  if (a.position) options.position = Position(*a.position);
  if (!a.as_of.empty()) {
    auto day = ParsePersonDate(a.as_of);
    if (!day.ok()) return Fail(day.status().With("--as-of"));
    options.as_of = *day;
  }
  if (!a.auditor_key.empty()) {
    auto key = ReadSigningKey(a.auditor_key);
    if (!key.ok()) return Fail(key.status());
    options.auditor = *key;
  }
  auto progress = std::make_unique<Progress>("replay");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress->Set(done, total); };
  auto state = ReplayTo(options);
  progress.reset();
  if (!state.ok()) return Fail(state.status());
  std::cout << *state;
  return 0;
}

// Leaves nothing of a record file that was made for one command.
class RecordFileDirectory {
 public:
  RecordFileDirectory(const Home& home, const std::string& kept)
      : kept_(!kept.empty()), path_(kept_ ? kept : home.Path("reexecution-" + ToHex(View(RandomArray<8>())))) {}
  ~RecordFileDirectory() {
    std::error_code error;
    if (!kept_) std::filesystem::remove_all(path_, error);
  }
  RecordFileDirectory(const RecordFileDirectory&) = delete;
  const std::string& path() const { return path_; }

 private:
  const bool kept_;
  const std::string path_;
};

int RunReexecution(const Arguments& a) {
  auto opened = OpenedHome::Open(a);
  if (!opened.ok()) return Fail(opened.status());
  auto matching = CurrentMatching(opened->home);
  if (!matching.ok()) return Fail(matching.status());
  const RecordFileDirectory dir(opened->home, a.dir);
  const SystemClock clock;
  ReexecutionOptions options;
  options.ledger = opened->ledger;
  options.log = opened->log.get();
  options.keys = opened->keys.get();
  options.clock = &clock;
  options.matching = *matching;
  if (auto copy_key = ReadCopyKeyFile(opened->home.Path(kCopyKeyFile)); copy_key.ok()) options.copy_key = *copy_key;
  options.at_rest = opened->holder.get();
  options.dir = dir.path();
  options.keep = !a.dir.empty();
  if (a.first) options.from = Position(*a.first);
  if (a.last) options.to = Position(*a.last);
  auto progress = std::make_unique<Progress>("reexecute");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress->Set(done, total); };
  auto result = Reexecute(options);
  progress.reset();
  if (!result.ok()) return Fail(result.status());
  std::cout << (a.cli.json ? ReexecutionJson(*result) + "\n" : ReexecutionText(*result));
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

// A replay's directory, or a home: through its node, running or started for the purpose.
Result<DiffSide> OpenSide(const std::string& dir) {
  if (FileExists(dir + "/state.json")) return SideOfReplay(dir);
  if (!FileExists(dir + "/daicho.toml")) return Invalid(dir + ": audit replay の書き出し先でも、ノードのディレクトリでもありません");
  ASSIGN_OR_RETURN(NodeAccess opened, NodeAccess::Open(dir));
  const auto node = std::make_shared<NodeAccess>(std::move(opened));
  return SideOfNode(dir, [node](const node::Request& request) { return node->Call(request); });
}

int RunDiff(const Arguments& a) {
  constexpr std::uint64_t kShown = 100;
  auto first = OpenSide(a.a);
  if (!first.ok()) return Fail(first.status());
  auto second = OpenSide(a.b);
  if (!second.ok()) return Fail(second.status());
  std::uint64_t found = 0;
  auto result = Diff(*first, *second, [&](const VersionDifference& difference) -> Status {
    if (a.cli.json) {
      std::cout << DifferenceJson(difference) << "\n";
    } else if (found++ < kShown) {
      std::cout << DifferenceText(difference) << "\n";
    }
    return {};
  });
  if (!result.ok()) return Fail(result.status());
  if (found > kShown) fmt::print("  ほか {} 件\n", found - kShown);
  std::cout << (a.cli.json ? DiffJson(*result) + "\n" : DiffText(*result));
  return result->same() ? 0 : 1;
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

}  // namespace audit_commands

void AddAuditCommands(Cli& cli) {
  using namespace audit_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* audit = cli.Group("audit", "台帳の監査");

  CLI::App* verify = cli.Command(audit, "verify", "台帳のすべてを検証する（鍵は不要）", [a] { return Verify(*a); });
  TakesSource(*a, verify);
  verify->add_option("--policy", a->policy, "立会人の規則（C2SP tlog-policy。既定は台帳の規則）");
  verify->add_option("--checkpoint", a->checkpoint, "前に控えた署名付き証明。台帳はその続きでなければならない");
  verify->add_option("--max-age", a->max_age, "最新の証明の古さの上限（秒）")->check(CLI::NonNegativeNumber);
  verify->add_flag("--first", a->first_only, "最初の指摘で止まる");
  verify->add_option("--report", a->report, "報告書（HTML）の書き出し先");

  CLI::App* compare = cli.Command(audit, "compare", "二つの監査の結果を比べる", [a] { return Compare(*a); });
  compare->add_option("a", a->a, "audit verify --json の結果")->required();
  compare->add_option("b", a->b, "audit verify --json の結果")->required();

  CLI::App* diff = cli.Command(audit, "diff", "二つの記録ファイルを版ごとに比べる（住民の情報は出ない）", [a] { return RunDiff(*a); });
  diff->add_option("a", a->a, "audit replay の書き出し先か、ノードのディレクトリ")->required();
  diff->add_option("b", a->b, "audit replay の書き出し先か、ノードのディレクトリ")->required();

  CLI::App* show = cli.Command(audit, "show", "記録を、台帳自身の様式だけで読む（JSON 行）", [a] { return Show(*a); });
  TakesSource(*a, show);
  show->add_option("--position", a->position, "その位置だけ");

  CLI::App* replay = cli.Command(audit, "replay", "その日の状態を台帳から作る", [a] { return Replay(*a); });
  replay->add_option("--home", a->home, "ノードのディレクトリ")->required();
  replay->add_option("--ledger", a->ledger, "台帳の ledger.pub.json（信頼する鍵）");
  CLI::Option_group* when = replay->add_option_group("when");
  when->add_option("--as-of", a->as_of, "その日の終わり");
  when->add_option("--position", a->position, "その位置の一括の届けまで");
  when->require_option(1);
  replay->add_option("--out", a->out, "書き出し先（新しいディレクトリ）")->required();
  replay->add_option("--from", a->from, "前の replay の書き出し先から続ける");
  replay->add_option("--auditor-key", a->auditor_key, "監査人の鍵（署名し、--from の署名を確かめる）");

  CLI::App* reexecute = cli.Command(audit, "reexecute", "すべての提供・移転・整合性確認を評価し直し、記録と比べる",
                                    [a] { return RunReexecution(*a); });
  reexecute->add_option("--home", a->home, "ノードのディレクトリ")->required();
  reexecute->add_option("--ledger", a->ledger, "台帳の ledger.pub.json（信頼する鍵）");
  reexecute->add_option("--from", a->first, "最初の位置");
  reexecute->add_option("--to", a->last, "最後の位置");
  reexecute->add_option("--dir", a->dir, "そのための記録ファイルを残すディレクトリ（次の回に続ける）");

  CLI::App* prove = cli.Command(audit, "prove", "一件の証拠を作る（C2SP tlog-proof）", [a] { return Prove(*a); });
  TakesSource(*a, prove);
  prove->add_option("--position", a->position, "位置")->required();
  prove->add_option("--out", a->out, "書き出し先")->required();

  CLI::App* check = cli.Command(audit, "check", "証拠を確かめる（台帳の鍵だけで）", [a] { return Check(*a); });
  check->add_option("file", a->file, "証拠")->required();
  CLI::Option_group* trusted = check->add_option_group("key");
  trusted->add_option("--ledger", a->ledger, "台帳の ledger.pub.json");
  trusted->add_option("--key", a->key, "台帳の鍵（vkey）");
  trusted->require_option(1);
  check->add_option("--policy", a->policy, "立会人の規則（C2SP tlog-policy）");

  CLI::App* exporting = cli.Command(nullptr, "export", "台帳を書き出す（監査人に渡す）", [a] { return RunExport(*a); });
  exporting->add_option("--home", a->home, "ノードのディレクトリ")->required();
  exporting->add_option("--to", a->to, "書き出し先")->required();
}

}  // namespace daicho
