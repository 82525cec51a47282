// The daicho command: one binary for every role.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/cli.h"
#include "consumers/generate.h"
#include "consumers/progress.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::uint64_t residents = 20'000, seed = 1;
  int years = 5;
  std::string out;
};

int RunGenerate(const Arguments& a) {
  Progress progress("generate");
  GenerateOptions options;
  options.residents = a.residents;
  options.seed = a.seed;
  options.out = a.out;
  options.years = a.years;
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress.Set(done, total); };
  auto summary = Generate(options);
  if (!summary.ok()) return Fail(summary.status());
  if (a.cli.json) {
    std::cout << ordered_json({{"rounds", summary->rounds},
                               {"files", summary->files},
                               {"notices", summary->notices},
                               {"bytes", summary->bytes},
                               {"residents", summary->residents},
                               {"removed", summary->removed}})
                     .dump()
              << "\n";
  } else {
    fmt::print("{} 件の通知を {} ファイルに書きました（住民 {}、消除 {}）\n", summary->notices, summary->files,
               summary->residents, summary->removed);
  }
  return 0;
}

void AddGenerateCommand(Cli& cli) {
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* generate =
      cli.Command(nullptr, "generate", "群馬県の市町村の模擬通知を作る", [a] { return RunGenerate(*a); });
  generate->add_option("--residents", a->residents, "住民の数")->required();
  generate->add_option("--seed", a->seed, "乱数の種");
  generate->add_option("--years", a->years, "年数");
  generate->add_option("--out", a->out, "書き出し先")->required();
}

int ShowHelp(CLI::App& app, const std::vector<std::string>& path) {
  CLI::App* shown = &app;
  std::string before;
  for (const std::string& name : path) {
    const auto known = shown->get_subcommands([&](CLI::App* sub) { return sub->get_name() == name; });
    if (known.empty()) return Fail(Invalid("no such command: " + name));
    before += (before.empty() ? "" : " ") + shown->get_name();
    shown = known.front();
  }
  shown->clear();  // what was parsed would narrow the text
  std::cout << shown->help(before, CLI::AppFormatMode::Normal);
  return 0;
}

// Of all groups, or of those alone that have the command named `first`: a gateway's command starts a millisecond sooner.
void AddCommands(Cli& cli, std::string_view first) {
  struct Group {
    void (*add)(Cli&);
    std::vector<std::string_view> names;
  };
  const std::vector<Group> groups = {
      {AddNodeCommands, {"init", "issuer", "serve", "status", "rebuild"}},
      {AddGatewayCommands, {"gateway"}},
      {AddKeyCommands, {"operator", "key", "agency", "issuer"}},
      {AddAgencyCommands, {"agency"}},
      {AddPolicyCommands, {"policy", "agreement"}},
      {AddProvideCommands, {"provide", "media"}},
      {AddDisclosureCommands, {"disclose", "correction", "suspension"}},
      {AddReconcileCommands, {"reconcile", "consistency"}},
      {AddRecordCommands, {"record", "search"}},
      {AddRegisterCommands, {"register"}},
      {AddMatchingCommands, {"matching"}},
      {AddAuditCommands, {"audit", "export"}},
      {AddRetentionCommands, {"retention", "backup", "restore"}},
      {AddWitnessCommands, {"witness"}},
      {AddKikouCommands, {"kikou"}},
      {AddGenerateCommand, {"generate"}},
  };
  const auto has = [&](const Group& group) { return std::ranges::find(group.names, first) != group.names.end(); };
  const bool known = std::ranges::any_of(groups, has);
  for (const Group& group : groups) {
    if (!known || has(group)) group.add(cli);
  }
}

int Main(int argc, char** argv) {
  WatchForStop();
  CLI::App app{"Daichō（台帳）: 都道府県の本人確認情報の台帳", "daicho"};
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "この説明");
  Cli cli(app);
  AddCommands(cli, argc > 1 ? argv[1] : "");

  CLI::App* help = app.add_subcommand("help", "コマンドの説明");
  std::vector<std::string> help_of;
  help->add_option("command", help_of, "コマンド");
  bool help_wanted = false;
  help->callback([&] { help_wanted = true; });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return help_wanted ? ShowHelp(app, help_of) : cli.exit;
}

}  // namespace
}  // namespace daicho

int main(int argc, char** argv) {
  ::umask(0077);  // stores and keys are this account's alone
  try {
    return daicho::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "daicho: %s\n", error.what());
    return 3;
  }
}
