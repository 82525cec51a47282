// daicho retention, backup, restore: what goes when its time is over, and what is copied meanwhile.
#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/backup.h"
#include "consumers/cli.h"
#include "events/clock.h"

namespace daicho {
namespace retention_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string today;
  std::vector<std::string> operators, operator_keys;
  std::string dir, key_file, log, kafka_config;
  std::uint32_t keep_days = kBackupDaysDefault;
};

Result<Date> Today(const Arguments& a) {
  if (a.today.empty()) return JapanDate(SystemClock().Now());
  auto date = ParsePersonDate(a.today);
  return date.ok() ? date : Result<Date>(date.status().With("--today"));
}

Result<std::vector<v1::ErasurePlan>> AskForPlans(const Arguments& a, NodeAccess& node, std::vector<std::string>& bytes) {
  ASSIGN_OR_RETURN(const Date today, Today(a));
  node::Request request;
  request.mutable_plan_erasure()->set_today(FormatDate(today));
  ASSIGN_OR_RETURN(const node::Response response, node.Call(request));
  std::vector<v1::ErasurePlan> out;
  for (const std::string& blob : response.blobs()) {
    if (!out.emplace_back().ParseFromString(blob)) return Corrupt("the node's plan cannot be decoded");
    bytes.push_back(blob);
  }
  return out;
}

std::map<std::string, std::size_t> CountByRule(const std::vector<v1::ErasurePlan>& plans) {
  std::map<std::string, std::size_t> out;
  for (const v1::ErasurePlan& plan : plans) {
    for (const v1::ErasedKeys& keys : plan.keys()) ++out[keys.rule()];
  }
  return out;
}

int RetentionPlan(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  std::vector<std::string> bytes;
  auto plans = AskForPlans(a, *node, bytes);
  if (!plans.ok()) return Fail(plans.status());
  const auto counts = CountByRule(*plans);
  if (a.cli.json) {
    std::cout << ordered_json({{"expired", counts}}).dump() << "\n";
    return 0;
  }
  if (counts.empty()) fmt::print("保存期間の終了したものはありません\n");
  for (const auto& [rule, count] : counts) fmt::print("{}: {} 件の鍵\n", rule, count);
  return 0;
}

void PrintCompletion(const std::string& json) {
  const auto done = ordered_json::parse(json);
  fmt::print("消去を完了しました。鍵の世代 {} を破棄し、{} に移りました（位置 {} で命じ、{} で完了）\n",
             done["epoch_destroyed"].dump(), done["epoch_begun"].dump(), done["ordered_at"].dump(),
             done["completed_at"].dump());
  const std::map<std::string, std::string> means = {{"keys_destroyed", "鍵を破棄"},
                                                    {"rebuilt", "残るものから再構築"},
                                                    {"holds_none", "個人の情報なし"},
                                                    {"awaits", "まだ残る"}};
  for (const auto& place : done["places"]) {
    fmt::print("  {}: {}{}\n", place["place"].get<std::string>(), means.at(place["means"].get<std::string>()),
               place.contains("until") ? "（" + place["until"].get<std::string>() + " まで）" : "");
  }
}

int RetentionRun(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  std::vector<std::string> bytes;
  auto plans = AskForPlans(a, *node, bytes);
  if (!plans.ok()) return Fail(plans.status());
  if (plans->empty()) {
    if (a.cli.json) {
      std::cout << ordered_json({{"expired", ordered_json::object()}}).dump() << "\n";
    } else {
      fmt::print("保存期間の終了したものはありません\n");
    }
    return 0;
  }
  node::Request request;
  for (const std::string& plan : bytes) {
    v1::Erasure order;
    order.set_plan(plan);
    if (Status status = AddConsents(node->home(), a.operators, a.operator_keys, v1::EVENT_KIND_ERASURE,
                                    Sha256Of({plan}), *order.mutable_consents());
        !status.ok()) {
      return Fail(status);
    }
    request.mutable_run_erasure()->add_orders(order.SerializeAsString());
  }
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json() << "\n";
  } else {
    for (const auto& [rule, count] : CountByRule(*plans)) fmt::print("{}: {} 件の鍵\n", rule, count);
    PrintCompletion(response->json());
  }
  return 0;
}

int Backup(const Arguments& a) {
  auto key = ReadOrMakeBackupKey(a.key_file);
  if (!key.ok()) return Fail(key.status());
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.mutable_make_backup()->set_dir(std::filesystem::absolute(a.dir).lexically_normal().string());
  request.mutable_make_backup()->set_key(std::string(View(*key)));
  request.mutable_make_backup()->set_keep_days(a.keep_days);
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json() << "\n";
  } else {
    fmt::print("{} に写しを作りました（鍵 {}、{} まで保管）\n", a.dir, a.key_file,
               ordered_json::parse(response->json())["keep_until"].get<std::string>());
  }
  return 0;
}

int Restore(const Arguments& a) {
  if (!std::filesystem::exists(a.key_file)) return Fail(NotFound("--key: no file " + a.key_file));
  auto key = ReadOrMakeBackupKey(a.key_file);
  if (!key.ok()) return Fail(key.status());
  auto home = RestoreBackup(a.dir, *key, a.cli.home, a.log, a.kafka_config);
  if (!home.ok()) return Fail(home.status());
  // Carries out what the ledger has erased since, and builds the projections.
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.mutable_status();
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
    std::cout << response->json() << "\n";
  } else {
    fmt::print("{} に復元しました（位置 {}）\n", a.cli.home,
               ordered_json::parse(response->json())["size"].dump());
  }
  return 0;
}

}  // namespace retention_commands

void AddRetentionCommands(Cli& cli) {
  using namespace retention_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* retention = cli.Group("retention", "保存期間の終了したものの消去");
  CLI::App* plan = cli.Command(retention, "plan", "その日に消去すべきものを数える", [a] { return RetentionPlan(*a); });
  CLI::App* run = cli.Command(retention, "run", "消去する（二人の同意、または常例の決裁による）",
                              [a] { return RetentionRun(*a); });
  for (CLI::App* command : {plan, run}) {
    cli.TakesHome(command);
    command->add_option("--today", a->today, "判定日（既定: 今日）");
  }
  run->add_option("--operator", a->operators, "同意する操作者ID（二人）");
  run->add_option("--operator-key", a->operator_keys, "ID=鍵のファイル（既定 HOME/operators/ID.key）");

  CLI::App* backup = cli.Command(nullptr, "backup", "台帳と鍵の写しを作る", [a] { return Backup(*a); });
  cli.TakesHome(backup);
  backup->add_option("--to", a->dir, "書き出し先（新しいディレクトリ）")->required();
  backup->add_option("--key", a->key_file, "写しを封じる鍵のファイル（なければ作る）")->required();
  backup->add_option("--keep-days", a->keep_days, "保管する日数");

  CLI::App* restore = cli.Command(nullptr, "restore", "写しから復元し、以後の消去を再び行う", [a] { return Restore(*a); });
  cli.TakesHome(restore);
  restore->add_option("--from", a->dir, "写しのディレクトリ")->required();
  restore->add_option("--key", a->key_file, "写しを封じた鍵のファイル")->required();
  restore->add_option("--log", a->log, "台帳のログ（既定: 写しを作ったときの場所）");
  restore->add_option("--kafka-config", a->kafka_config, "librdkafka の設定ファイル (NAME=VALUE)");
}

}  // namespace daicho
