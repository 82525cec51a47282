// The daicho command: one binary for every role. Exit status: 0 done, 1 the answer is no, 2 wrong usage or
// bad input, 3 the system could not do it, 4 denied.
#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "consumers/gateway.h"
#include "consumers/generate.h"
#include "consumers/node.h"
#include "consumers/node_socket.h"
#include "consumers/progress.h"
#include "events/codes.h"
#include "events/dates.h"
#include "events/tree_head.h"
#include "ledger/files.h"
#include "projections/projector.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

volatile std::sig_atomic_t g_stop = 0;  // set by SIGINT and SIGTERM

int ExitStatus(Code code) {
  switch (code) {
    case Code::kOk: return 0;
    case Code::kNotFound:
    case Code::kTampered:
    case Code::kErased: return 1;
    case Code::kInvalid:
    case Code::kConflict: return 2;
    case Code::kDenied: return 4;
    default: return 3;
  }
}

int Fail(const Status& status) {
  fmt::print(stderr, "daicho: {}\n", status.ToString());
  return ExitStatus(status.code());
}

struct Arguments {
  bool json = false;
  std::string home, log, kafka_config, roles = "sequencer,projector,records";
  int prefecture = 10;
  // gateway, issuer
  std::string issuer, public_key, ledger_file, spool;
  std::vector<std::string> files;
  // record
  std::string operator_id, operator_key, duty, purpose, terminal;
  std::string resident_code, individual_number, handle, as_of, on;
  std::optional<std::uint64_t> position;
  bool history = false;
  // generate
  std::uint64_t residents = 20'000, seed = 1;
  int years = 5;
  std::string out;
};

// A node for one command: the running one over its socket, or one started for the purpose.
class NodeAccess {
 public:
  static Result<NodeAccess> Open(const std::string& dir) {
    NodeAccess out;
    ASSIGN_OR_RETURN(out.home_, OpenHome(dir));
    if (auto client = SocketClient::Connect(out.home_.Socket()); client.ok()) {
      out.client_ = std::move(client).value();
      return out;
    }
    NodeOptions options;
    auto started = Node::Start(out.home_, options);
    if (started.status().code() == Code::kUnavailable && !IsLocal(out.home_.log)) {
      options.roles.erase("sequencer");  // another process of this home has it
      started = Node::Start(out.home_, options);
    }
    RETURN_IF_ERROR(started.status());
    out.node_ = std::move(started).value();
    RETURN_IF_ERROR(out.AwaitProjector());
    return out;
  }

  const Home& home() const { return home_; }
  Result<node::Response> Call(const node::Request& request) {
    if (client_ != nullptr) return client_->Call(request);
    node::Response response = node_->Answer(request);
    if (response.code() != 0) return Status(static_cast<Code>(response.code()), response.message());
    return response;
  }

 private:
  Status AwaitProjector() {
    node::Request request;
    request.mutable_status();
    Progress progress("projector");
    Status failure;
    const auto caught_up = [&] {
      auto response = Call(request);
      if (!response.ok()) {
        failure = response.status();
        return true;
      }
      const auto status = ordered_json::parse(response->json());
      const std::uint64_t size = status["size"], position = status["record_file"]["position"];
      progress.Set(position, size);
      return position >= size;
    };
    RETURN_IF_ERROR(node_->Wait(caught_up));
    return failure;
  }

  Home home_;
  std::unique_ptr<SocketClient> client_;
  std::unique_ptr<Node> node_;
};

int Init(const Arguments& a) {
  auto home = CreateHome(a.home, a.prefecture, a.log, a.kafka_config);
  if (!home.ok()) return Fail(home.status());
  std::vector<Founder> founders;
  ordered_json keys = ordered_json::object();
  if (Status status = MakeDirectories(home->Path("operators")); !status.ok()) return Fail(status);
  for (const char* id : {"op1", "op2"}) {
    const SigningKey key = SigningKey::Generate();
    const std::string path = home->Path("operators/" + std::string(id) + ".key");
    if (Status status = WriteSigningKey(path, key); !status.ok()) return Fail(status);
    founders.push_back({id, key.public_key()});
    keys[id] = path;
  }
  if (Status status = Found(*home, founders); !status.ok()) {
    std::filesystem::remove_all(home->Path("daicho.toml"));
    return Fail(status);
  }
  if (a.json) {
    std::cout << ordered_json({{"home", a.home},
                               {"prefecture", std::to_string(a.prefecture)},
                               {"ledger", ToHex(View(home->ledger))},
                               {"log", home->log},
                               {"operators", keys}})
                     .dump()
              << "\n";
    return 0;
  }
  fmt::print("台帳を開設しました: {}\n  ログ      {}\n  公開鍵    {}\n", ToHex(View(home->ledger)), home->log,
             home->Path("ledger.pub.json"));
  for (const auto& [id, path] : keys.items()) {
    fmt::print("  操作者    {}  鍵 {}（本人に引き渡してください）\n", id, path.get<std::string>());
  }
  return 0;
}

int GatewayInit(const Arguments& a) {
  auto key = CreateGateway(a.home, a.issuer, a.ledger_file);
  if (!key.ok()) return Fail(key.status());
  fmt::print("{}\n", ToHex(View(*key)));
  return 0;
}

void PrintAnswer(const Arguments& a, const FileAnswer& answer) {
  if (a.json) {
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
  auto gateway = Gateway::Open(a.home, a.log, a.kafka_config);
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
  while (g_stop == 0) {
    TakeChanges(changes.get(), complete);
    if (gateway == nullptr) {
      auto opened = Gateway::Open(a.home, a.log, a.kafka_config);
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

Status Administer(NodeAccess& node, v1::EventKind kind, const std::string& payload) {
  node::Request request;
  request.mutable_administer()->set_kind(static_cast<std::uint32_t>(kind));
  request.mutable_administer()->set_payload(payload);
  return node.Call(request).status();
}

int IssuerAdd(const Arguments& a) {
  const Municipality* municipality = FindMunicipality(a.issuer);
  if (municipality == nullptr) return Fail(Invalid("issuer: no municipality of the prefecture"));
  auto text = ReadFile(a.public_key);
  if (!text.ok()) return Fail(text.status());
  while (!text->empty() && text->back() == '\n') text->pop_back();
  auto bytes = FromHex(*text);
  if (!bytes.ok() || bytes->size() != 32) return Fail(Invalid(a.public_key + ": no public key of 32 bytes in hex"));
  auto node = NodeAccess::Open(a.home);
  if (!node.ok()) return Fail(node.status());
  auto key = ToArray<32>(*bytes);
  v1::IssuerRegistered issuer;
  issuer.set_issuer(a.issuer);
  issuer.set_name(std::string(municipality->name));
  issuer.set_public_key(*bytes);
  issuer.set_key_id(NoteKeyId(IssuerOrigin(node->home().prefecture, a.issuer), *key));
  issuer.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
  if (Status status = Administer(*node, v1::EVENT_KIND_ISSUER_REGISTERED, issuer.SerializeAsString()); !status.ok()) {
    return Fail(status);
  }
  if (a.json) {
    std::cout << ordered_json({{"issuer", a.issuer}, {"name", municipality->name}}).dump() << "\n";
  } else {
    fmt::print("{} {} を登録しました\n", a.issuer, municipality->name);
  }
  return 0;
}

int Serve(const Arguments& a) {
  auto home = OpenHome(a.home);
  if (!home.ok()) return Fail(home.status());
  NodeOptions options;
  options.roles.clear();
  std::istringstream names(a.roles);
  for (std::string role; std::getline(names, role, ',');) {
    if (role != "sequencer" && role != "projector" && role != "records") {
      return Fail(Invalid("roles: no such role: " + role));
    }
    options.roles.insert(role);
  }
  options.listen = options.roles.contains("records");
  Progress progress("projector");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress.Set(done, total); };
  auto node = Node::Start(*home, options);
  if (!node.ok()) return Fail(node.status());
  fmt::print(stderr, "daicho: serving {} ({}), log {}\n", a.home, a.roles, home->log);
  const Status status = (*node)->Wait([] { return g_stop != 0; });
  if (!status.ok()) {
    fmt::print(stderr, "daicho: ALARM: {}\n", status.ToString());
    return ExitStatus(status.code());
  }
  return 0;
}

int ShowStatus(const Arguments& a) {
  auto node = NodeAccess::Open(a.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.mutable_status();
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.json) {
    std::cout << response->json() << "\n";
    return 0;
  }
  const auto status = ordered_json::parse(response->json());
  const auto number = [](const ordered_json& object, const char* key) {
    return object.contains(key) ? object[key].dump() : std::string("–");
  };
  fmt::print("都道府県    {}\nログ        {}\n位置        {}\n", status["prefecture"].get<std::string>(),
             status["log"].get<std::string>(), number(status, "size"));
  if (status.contains("record_file")) {
    const auto& file = status["record_file"];
    fmt::print("記録ファイル 位置 {}  住民 {}  消除 {}  版 {}\n", number(file, "position"),
               number(file, "residents"), number(file, "removed"), number(file, "versions"));
    if (file.contains("digest")) fmt::print("照合値      {}\n", file["digest"].get<std::string>());
  }
  return 0;
}

Result<std::string> SignedRequest(const Arguments& a, const Home& home, std::string& signature) {
  v1::ReadRequest request;
  request.set_version(1);
  request.set_ledger(std::string(View(home.ledger)));
  request.set_operator_id(a.operator_id);
  request.set_duty(a.duty);
  request.set_purpose(a.purpose);
  request.set_terminal(a.terminal);
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
  if (!a.as_of.empty()) {
    auto date = ParsePersonDate(a.as_of);
    if (!date.ok()) return date.status().With("--as-of");
    request.set_date(FormatDate(*date));
  }
  if (!a.on.empty()) {
    auto date = ParsePersonDate(a.on);
    if (!date.ok()) return date.status().With("--on");
    request.set_on_date(FormatDate(*date));
  }
  request.set_history(a.history);
  request.set_requested_at(SystemClock().Now().value());
  request.set_nonce(std::string(View(RandomArray<16>())));
  const std::string path =
      a.operator_key.empty() ? home.Path("operators/" + a.operator_id + ".key") : a.operator_key;
  auto key = ReadSigningKey(path);
  if (!key.ok()) return Denied("operator " + a.operator_id + ": no key at " + path);
  std::string bytes = request.SerializeAsString();
  signature = key->Sign(std::string(kReadRequestTag) + bytes);
  return bytes;
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
  auto node = NodeAccess::Open(a.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  auto bytes = SignedRequest(a, node->home(), *request.mutable_read_record()->mutable_signature());
  if (!bytes.ok()) return Fail(bytes.status());
  request.mutable_read_record()->set_request(*bytes);
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.json) {
    std::cout << response->json();
    return 0;
  }
  std::istringstream lines(response->json());
  for (std::string line; std::getline(lines, line);) PrintVersion(ordered_json::parse(line));
  return 0;
}

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
  if (a.json) {
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

// Builds the record file anew from the ledger beside the live one, then takes its place.
int Rebuild(const Arguments& a) {
  auto home = OpenHome(a.home);
  if (!home.ok()) return Fail(home.status());
  if (SocketClient::Connect(home->Socket()).ok()) {
    return Fail(Unavailable("a node is serving this home; stop it before rebuilding"));
  }
  auto log = OpenLog(home->log, home->kafka_config);
  if (!log.ok()) return Fail(log.status());
  auto keys = KeyStore::Open(home->Path("keystore"), KeyStore::Mode::kRead);
  if (!keys.ok()) return Fail(keys.status());
  const std::string beside = home->Path("record_file.new");
  std::filesystem::remove_all(beside);
  const auto begun = std::chrono::steady_clock::now();
  ordered_json out;
  {
    Progress progress("rebuild");
    ProjectorOptions options;
    options.prefecture = home->prefecture;
    options.ledger = home->ledger;
    options.registrar_public_key = home->registrar.public_key();
    options.dir = beside;
    options.log = log->get();
    options.keys = keys->get();
    options.progress = [&](std::uint64_t done, std::uint64_t total) { progress.Set(done, total); };
    auto projector = Projector::Open(std::move(options));
    if (!projector.ok()) return Fail(projector.status());
    if (Status status = (*projector)->CatchUp(); !status.ok()) return Fail(status);
    if (Status status = (*projector)->store().Flush(); !status.ok()) return Fail(status);
    auto digest = (*projector)->file().ContentDigest();
    if (!digest.ok()) return Fail(digest.status());
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    const std::uint64_t entries = (*projector)->position().value();
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    out = {{"entries", entries},
           {"seconds", seconds},
           {"rate", static_cast<double>(entries) / seconds},
           {"digest", ToHex(View(*digest))},
           {"peak_memory_bytes", static_cast<std::uint64_t>(usage.ru_maxrss) * 1024}};
  }
  const std::string live = home->Path("record_file"), old = home->Path("record_file.old");
  std::error_code error;
  std::filesystem::remove_all(old, error);
  if (FileExists(live)) std::filesystem::rename(live, old, error);
  if (!error) std::filesystem::rename(beside, live, error);
  if (error) return Fail(Unavailable("putting the new record file in place: " + error.message()));
  std::filesystem::remove_all(old, error);
  if (a.json) {
    std::cout << out.dump() << "\n";
  } else {
    fmt::print("{} 件から作り直しました（{:.1f} 秒）。照合値 {}\n", out["entries"].dump(),
               out["seconds"].get<double>(), out["digest"].get<std::string>());
  }
  return 0;
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

int Main(int argc, char** argv) {
  Arguments a;
  int exit = 0;
  CLI::App app{"Daichō（台帳）: 都道府県の本人確認情報の台帳", "daicho"};
  app.require_subcommand(1);
  app.set_help_flag("-h,--help", "この説明");
  const auto command = [&](CLI::App* parent, const char* name, const char* what, int (*run)(const Arguments&)) {
    CLI::App* sub = parent->add_subcommand(name, what);
    sub->add_flag("--json", a.json, "JSON で出力");
    sub->callback([&a, &exit, run] { exit = run(a); });
    return sub;
  };
  const auto home = [&](CLI::App* sub) { sub->add_option("--home", a.home, "ノードのディレクトリ")->required(); };
  const auto log = [&](CLI::App* sub) {
    sub->add_option("--log", a.log, "local:DIR または kafka://HOST:PORT[,…]")->required();
    sub->add_option("--kafka-config", a.kafka_config, "librdkafka の設定ファイル (NAME=VALUE)");
  };

  CLI::App* init = command(&app, "init", "新しい台帳: 鍵、最初の操作者、スキーマ", Init);
  home(init);
  log(init);
  init->add_option("--prefecture", a.prefecture, "都道府県コード 1–47")->required()->check(CLI::Range(1, 47));

  CLI::App* gateway = app.add_subcommand("gateway", "市町村の送信端");
  gateway->require_subcommand(1);
  CLI::App* gateway_init = command(gateway, "init", "市町村の鍵を作り、公開鍵を表示", GatewayInit);
  home(gateway_init);
  gateway_init->add_option("--issuer", a.issuer, "市町村コード（6桁）")->required();
  gateway_init->add_option("--ledger", a.ledger_file, "台帳の ledger.pub.json（鍵を固定する）");
  CLI::App* send = command(gateway, "send", "通知ファイルを送り、受理の結果を表示", GatewaySend);
  home(send);
  log(send);
  send->add_option("files", a.files, "通知ファイル")->required();
  CLI::App* watch = command(gateway, "watch", "ディレクトリに現れるファイルを送り続ける", GatewayWatch);
  home(watch);
  log(watch);
  watch->add_option("--spool", a.spool, "監視するディレクトリ")->required();

  CLI::App* issuer = app.add_subcommand("issuer", "発行者の管理");
  issuer->require_subcommand(1);
  CLI::App* issuer_add = command(issuer, "add", "市町村を登録", IssuerAdd);
  home(issuer_add);
  issuer_add->add_option("--issuer", a.issuer, "市町村コード（6桁）")->required();
  issuer_add->add_option("--public-key", a.public_key, "公開鍵のファイル（16進）")->required();

  CLI::App* serve = command(&app, "serve", "ノードを動かす", Serve);
  home(serve);
  serve->add_option("--roles", a.roles, "sequencer,projector,records");

  CLI::App* status = command(&app, "status", "位置、件数、照合値", ShowStatus);
  home(status);

  CLI::App* record = command(&app, "record", "住民の記録を読む（読むこと自体が記録されます）", ShowRecord);
  home(record);
  record->add_option("--operator", a.operator_id, "操作者ID")->required();
  record->add_option("--operator-key", a.operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  record->add_option("--duty", a.duty, "事務コード")->required();
  record->add_option("--purpose", a.purpose, "目的（文書番号など）");
  record->add_option("--terminal", a.terminal, "操作端末ID");
  CLI::Option_group* key = record->add_option_group("key");
  key->add_option("--resident-code", a.resident_code, "住民票コード");
  key->add_option("--individual-number", a.individual_number, "個人番号");
  key->add_option("--handle", a.handle, "ハンドル（16進）");
  key->require_option(1);
  CLI::Option* as_of = record->add_option("--as-of", a.as_of, "その日の終わりに台帳が知っていた内容");
  record->add_option("--position", a.position, "その位置まで")->excludes(as_of);
  record->add_option("--on", a.on, "その日に有効だった内容（異動年月日）");
  record->add_flag("--history", a.history, "すべての版");

  CLI::App* generate = command(&app, "generate", "群馬県の市町村の模擬通知を作る", RunGenerate);
  generate->add_option("--residents", a.residents, "住民の数")->required();
  generate->add_option("--seed", a.seed, "乱数の種");
  generate->add_option("--years", a.years, "年数");
  generate->add_option("--out", a.out, "書き出し先")->required();

  CLI::App* rebuild = command(&app, "rebuild", "記録ファイルを台帳から作り直す", Rebuild);
  home(rebuild);

  CLI::App* help = app.add_subcommand("help", "コマンドの説明");
  std::vector<std::string> help_of;
  help->add_option("command", help_of, "コマンド");
  bool help_wanted = false;
  help->callback([&] { help_wanted = true; });

  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  ::sigaction(SIGINT, &stop, nullptr);
  ::sigaction(SIGTERM, &stop, nullptr);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  return help_wanted ? ShowHelp(app, help_of) : exit;
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
