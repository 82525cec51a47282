// daicho matching: which 異体字 a search takes for one another.
#include <fmt/format.h>

#include "consumers/cli.h"
#include "consumers/matching_files.h"

namespace daicho {
namespace matching_commands {

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  VariantFiles files;
};

int Show(const Arguments& a) {
  const auto home = OpenHome(a.cli.home);
  if (!home.ok()) return Fail(home.status());
  const auto matching = CurrentMatching(*home);
  if (!matching.ok()) return Fail(matching.status());
  fmt::print("{}\n", (*matching)->id());
  return 0;
}

int Use(const Arguments& a, const std::string& id) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.set_use_matching(id);
  const auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  fmt::print("{}\n", id);
  return 0;
}

int Set(const Arguments& a) {
  if (a.files.mj_list.empty() && a.files.shrink_map.empty() && a.files.substitutes.empty()) {
    return Fail(Invalid("one of --mj-list, --shrink-map and --substitutes is wanted; reset goes back to the shipped definition"));
  }
  const auto home = OpenHome(a.cli.home);
  if (!home.ok()) return Fail(home.status());
  const auto id = KeepMatching(*home, a.files);
  if (!id.ok()) return Fail(id.status());
  return Use(a, *id);
}

}  // namespace matching_commands

void AddMatchingCommands(Cli& cli) {
  using namespace matching_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* group = cli.Group("matching", "検索の照合の定義（異体字の対応表）");
  cli.TakesHome(cli.Command(group, "show", "使われている定義", [a] { return Show(*a); }));
  CLI::App* set = cli.Command(group, "set", "対応表を加えた定義に切り替える。索引を作り直す間も、検索は止まらない",
                              [a] { return Set(*a); });
  cli.TakesHome(set);
  set->add_option("--mj-list", a->files.mj_list, "MJ文字情報一覧表（CSVまたはTSV）")->check(CLI::ExistingFile);
  set->add_option("--shrink-map", a->files.shrink_map, "MJ縮退マップ（JSON）")->check(CLI::ExistingFile);
  set->add_option("--substitutes", a->files.substitutes, "行政事務標準文字の代替マップ（CSVまたはTSV）")
      ->check(CLI::ExistingFile);
  cli.TakesHome(cli.Command(group, "reset", "備え付けの定義に戻す", [a] { return Use(*a, Matching::Shipped()->id()); }));
}

}  // namespace daicho
