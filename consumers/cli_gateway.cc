// daicho gateway: the municipality's end.
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "consumers/cli.h"
#include "consumers/copy_file.h"
#include "consumers/copy_sketching.h"
#include "consumers/gateway.h"
#include "consumers/progress.h"
#include "ledger/files.h"

namespace daicho {
namespace gateway_commands {

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string issuer, ledger_file, spool, token, key, copy, out;
  std::optional<std::uint64_t> position;
  std::vector<std::string> files;
};

int GatewayInit(const Arguments& a) {
  auto key = CreateGateway(a.cli.home, a.issuer, a.ledger_file);
  if (!key.ok()) return Fail(key.status());
  fmt::print("{}\n", ToHex(View(*key)));
  return 0;
}

void PrintAnswer(const Arguments& a, const FileAnswer& answer) {
  if (a.cli.json) {
    std::cout << answer.Json() << std::endl;
    return;
  }
  const char* outcome = answer.outcome == "admitted"           ? "受理"
                        : answer.outcome == "already_admitted" ? "受理済み"
                                                               : "却下";
  fmt::print("{}: {}", answer.file, outcome);
  if (answer.outcome != "rejected") fmt::print("  位置 {}–{}", answer.first_position, answer.last_position);
  fmt::print("\n");
  for (const FileError& error : answer.errors) {
    fmt::print("  {}行目 {} [{}] {}{}\n", error.line, error.field, error.rule, error.message,
               error.expected && error.message.find("期待値") == std::string::npos
                   ? fmt::format("（期待値 {}）", *error.expected)
                   : "");
  }
  std::cout.flush();
}

int GatewaySend(const Arguments& a) {
  auto gateway = Gateway::Open(a.cli.home, a.cli.log, a.cli.kafka_config);
  if (!gateway.ok()) return Fail(gateway.status());
  int exit = 0;
  Progress progress((*gateway)->issuer());
  for (std::size_t i = 0; i < a.files.size(); ++i) {
    auto answer = (*gateway)->Send(a.files[i]);
    if (!answer.ok()) return Fail(answer.status().With(a.files[i]));
    PrintAnswer(a, *answer);
    if (answer->outcome == "rejected") exit = 1;
    progress.Set(i + 1, a.files.size());
  }
  return exit;
}

int GatewayRotate(const Arguments& a) {
  auto path = RequestRotation(a.cli.home, a.token);
  if (!path.ok()) return Fail(path.status());
  if (a.cli.json) {
    std::cout << nlohmann::ordered_json({{"request", *path}}).dump() << "\n";
  } else {
    fmt::print("申請書: {}（都道府県に渡してください。台帳に入りしだい新しい鍵に替わります）\n", *path);
  }
  return 0;
}

// Names of the spool's files, in order.
std::vector<std::string> SpoolFiles(const std::string& spool) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(spool, error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_regular_file() && !name.starts_with(".") && name.find(".ndjson") != std::string::npos) {
      out.push_back(name);
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

// A file that nobody has closed or renamed while we watched may still be being written: it was there before
// us, or its writer is at work. It is taken once it has rested.
constexpr std::chrono::seconds kSpoolRest{2};

bool HasRested(const std::filesystem::path& path) {
  std::error_code error;
  const auto written = std::filesystem::last_write_time(path, error);
  return !error && std::filesystem::file_time_type::clock::now() - written >= kSpoolRest;
}

// Adds the names of what was closed after writing, or renamed into the spool, since the last call.
void TakeChanges(int changes, std::set<std::string>& complete) {
  alignas(inotify_event) char buffer[16384];
  for (ssize_t size; (size = ::read(changes, buffer, sizeof(buffer))) > 0;) {
    for (const char* at = buffer; at < buffer + size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(at);
      if (event->len > 0) complete.insert(event->name);
      at += sizeof(inotify_event) + event->len;
    }
  }
}

Status WatchOnce(const Arguments& a, Gateway& gateway, std::set<std::string>& complete) {
  const std::filesystem::path spool(a.spool);
  for (const std::string& name : SpoolFiles(a.spool)) {
    if (!complete.contains(name) && !HasRested(spool / name)) continue;
    ASSIGN_OR_RETURN(const FileAnswer answer, gateway.Send((spool / name).string()));
    PrintAnswer(a, answer);
    const auto to = spool / (answer.outcome == "rejected" ? "rejected" : "done");
    RETURN_IF_ERROR(WriteFileDurably((to / (name + ".answer.json")).string(), answer.Json() + "\n", 0644));
    std::error_code error;
    std::filesystem::rename(spool / name, to / name, error);
    if (error) return Unavailable("moving " + name + ": " + error.message());
    complete.erase(name);
  }
  complete.clear();  // names of what is hidden, or gone
  return {};
}

int GatewayResults(const Arguments& a) {
  auto gateway = Gateway::Open(a.cli.home, a.cli.log, a.cli.kafka_config);
  if (!gateway.ok()) return Fail(gateway.status());
  const auto lines = (*gateway)->ComparisonsJson();
  if (!lines.ok()) return Fail(lines.status());
  if (a.cli.json) {
    std::cout << *lines;
    return 0;
  }
  std::istringstream in(*lines);
  for (std::string line; std::getline(in, line);) {
    const auto result = nlohmann::ordered_json::parse(line);
    fmt::print("{}  相手 {}  位置 {} まで  {}\n", result["at"].get<std::string>(), result["holder"].get<std::string>(),
               result["evaluated_at"].dump(), result["differences"].empty() ? "一致" : result["differences"].dump());
    for (const auto& each : result["cases"]) {
      fmt::print("  {}番 {}", each["number"].dump(), each["class"].get<std::string>());
      if (each.contains("position")) fmt::print("  通知の位置 {}", each["position"].dump());
      if (each.contains("row")) fmt::print("  写しの {}行目（住民票コード順。要約では現に住民の行で数える）", each["row"].dump());
      fmt::print("\n");
    }
  }
  return 0;
}

int GatewaySketch(const Arguments& a) {
  CopySketchOrder order{.gateway = a.cli.home, .key = a.key, .copy = a.copy, .out = a.out,
                        .lengthened = a.cli.long_sketch, .position = {}};
  if (a.position) order.position = Position(*a.position);
  const auto sketch = WriteCopySketch(order);
  if (!sketch.ok()) return Fail(sketch.status());
  if (!sketch->errors.empty()) return FailFile(FileErrorsJson(sketch->errors), a.cli.json);
  if (a.cli.json) {
    std::cout << nlohmann::ordered_json({{"position", sketch->position.value()},
                                         {"rows", sketch->rows},
                                         {"passed_over", sketch->passed_over}}).dump()
              << "\n";
  } else {
    fmt::print("{} に書きました  位置 {} まで  {}件", a.out, sketch->position.value(), sketch->rows);
    if (sketch->passed_over > 0) fmt::print("（ほかに消除または他市町村の {}件は含めていません）", sketch->passed_over);
    fmt::print("\n");
  }
  return 0;
}

int GatewayWatch(const Arguments& a) {
  for (const char* folder : {"done", "rejected"}) {
    if (Status status = MakeDirectories(a.spool + "/" + folder); !status.ok()) return Fail(status);
  }
  const Descriptor changes(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
  if (::inotify_add_watch(changes.get(), a.spool.c_str(), IN_CLOSE_WRITE | IN_MOVED_TO) < 0) {
    return Fail(ErrnoStatus("watching " + a.spool));
  }
  std::unique_ptr<Gateway> gateway;
  std::set<std::string> complete;
  while (!StopRequested()) {
    TakeChanges(changes.get(), complete);
    if (gateway == nullptr) {
      auto opened = Gateway::Open(a.cli.home, a.cli.log, a.cli.kafka_config);
      if (!opened.ok() && !opened.status().retriable()) return Fail(opened.status());
      if (opened.ok()) {
        gateway = std::move(opened).value();
      } else {
        fmt::print(stderr, "daicho: {}; trying again\n", opened.status().ToString());
      }
    }
    if (gateway != nullptr) {
      if (Status status = WatchOnce(a, *gateway, complete); !status.ok()) {
        if (!status.retriable()) return Fail(status);
        fmt::print(stderr, "daicho: {}; trying again\n", status.ToString());
        gateway.reset();
      }
    }
    pollfd waiting{changes.get(), POLLIN, 0};
    ::poll(&waiting, 1, 1000);
  }
  return 0;
}

}  // namespace gateway_commands

void AddGatewayCommands(Cli& cli) {
  using namespace gateway_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* gateway = cli.Group("gateway", "市町村の送信端");
  CLI::App* init = cli.Command(gateway, "init", "市町村の鍵を作り、公開鍵を表示", [a] { return GatewayInit(*a); });
  cli.TakesHome(init);
  init->add_option("--issuer", a->issuer, "市町村コード（6桁）")->required();
  init->add_option("--ledger", a->ledger_file, "台帳の ledger.pub.json（鍵を固定する）");
  CLI::App* rotate = cli.Command(gateway, "rotate", "新しい鍵を作り、更新の申請書を書く", [a] { return GatewayRotate(*a); });
  cli.TakesHome(rotate);
  rotate->add_option("--token", a->token, "新しい鍵が入っているトークンの pkcs11 URI");
  CLI::App* send = cli.Command(gateway, "send", "通知ファイルを送り、受理の結果を表示", [a] { return GatewaySend(*a); });
  cli.TakesHome(send);
  cli.TakesLog(send);
  send->add_option("files", a->files, "通知ファイル")->required();
  CLI::App* watch =
      cli.Command(gateway, "watch", "ディレクトリに現れるファイルを送り続ける", [a] { return GatewayWatch(*a); });
  cli.TakesHome(watch);
  cli.TakesLog(watch);
  watch->add_option("--spool", a->spool, "監視するディレクトリ")->required();
  CLI::App* sketch = cli.Command(gateway, "sketch", "自市町村の写しの要約を書く（県が渡した鍵がなければ何も読み取れない）",
                                 [a] { return GatewaySketch(*a); });
  cli.TakesHome(sketch);
  sketch->add_option("--key", a->key, "県が渡した鍵のファイル（daicho consistency key）")->required();
  sketch->add_option("--copy", a->copy, "写しのファイル (daicho-copy/1)")->required();
  sketch->add_option("--out", a->out, "書き先")->required();
  sketch->add_option("--position", a->position, "写しを取った位置。既定は最後に受理された通知の位置");
  cli.TakesLongSketch(sketch);
  CLI::App* results = cli.Command(gateway, "results", "県の整合性確認の結果を表示", [a] { return GatewayResults(*a); });
  cli.TakesHome(results);
  cli.TakesLog(results);
}

}  // namespace daicho
