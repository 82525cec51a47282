// daicho init, issuer, serve, status, rebuild: the prefecture's node.
#include <fmt/format.h>
#include <sys/resource.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "consumers/cli.h"
#include "consumers/matching_files.h"
#include "consumers/progress.h"
#include "events/codes.h"
#include "events/sanitizers.h"
#include "events/tree_head.h"
#include "ledger/files.h"
#include "projections/projector.h"

namespace daicho {
namespace node_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::uint32_t reconcile_every = 0;
  std::string roles = "sequencer,projector,records,provider,disclosure,notary,retention,kikou,reconciler";
  std::string listen, certificate, key, key_holder;
  int prefecture = 10;
  unsigned cache_mib = 192;
  std::string issuer, public_key;
};

int Init(const Arguments& a) {
  auto home = CreateHome(a.cli.home, a.prefecture, a.cli.log, a.cli.kafka_config, a.key_holder);
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
  if (a.cli.json) {
    std::cout << ordered_json({{"home", a.cli.home},
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

// An issuer that is registered but whose key was revoked is given this one.
Status RegisterOrAddKey(NodeAccess& node, const v1::IssuerRegistered& issuer) {
  node::Request request;
  request.mutable_registry();
  ASSIGN_OR_RETURN(const node::Response response, node.Call(request));
  const auto registry = ordered_json::parse(response.json());
  const auto is_it = [&](const ordered_json& known) { return known["issuer"] == issuer.issuer(); };
  if (std::none_of(registry["issuers"].begin(), registry["issuers"].end(), is_it)) {
    return node.Administer(v1::EVENT_KIND_ISSUER_REGISTERED, issuer.SerializeAsString());
  }
  v1::KeyChanged change;
  change.set_use(v1::KEY_USE_ISSUER);
  change.set_holder(issuer.issuer());
  change.set_action(v1::KEY_ACTION_ADD);
  change.set_new_public_key(issuer.public_key());
  change.set_new_key_id(issuer.key_id());
  change.set_algorithm("ed25519");
  change.set_reason("再登録");
  return node.Administer(v1::EVENT_KIND_KEY_CHANGED, change.SerializeAsString());
}

int IssuerAdd(const Arguments& a) {
  const Municipality* municipality = FindMunicipality(a.issuer);
  if (municipality == nullptr) return Fail(Invalid("issuer: no municipality of the prefecture"));
  auto text = ReadFile(a.public_key);
  if (!text.ok()) return Fail(text.status());
  while (!text->empty() && text->back() == '\n') text->pop_back();
  auto bytes = FromHex(*text);
  if (!bytes.ok() || bytes->size() != 32) return Fail(Invalid(a.public_key + ": no public key of 32 bytes in hex"));
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  auto key = ToArray<32>(*bytes);
  v1::IssuerRegistered issuer;
  issuer.set_issuer(a.issuer);
  issuer.set_name(std::string(municipality->name));
  issuer.set_public_key(*bytes);
  issuer.set_key_id(NoteKeyId(IssuerOrigin(node->home().prefecture, a.issuer), *key));
  issuer.set_role(v1::ISSUER_ROLE_MUNICIPALITY);
  if (Status status = RegisterOrAddKey(*node, issuer); !status.ok()) return Fail(status);
  if (a.cli.json) {
    std::cout << ordered_json({{"issuer", a.issuer}, {"name", municipality->name}}).dump() << "\n";
  } else {
    fmt::print("{} {} を登録しました\n", a.issuer, municipality->name);
  }
  return 0;
}

int Serve(const Arguments& a) {
  // AddressSanitizer's search for leaks reads this process as a debugger does.
  if (!kAddressSanitizer) {
    if (Status status = ProtectProcessMemory(); !status.ok()) return Fail(status);
  }
  auto home = OpenHome(a.cli.home);
  if (!home.ok()) return Fail(home.status());
  NodeOptions options;
  options.roles.clear();
  std::istringstream names(a.roles);
  for (std::string role; std::getline(names, role, ',');) {
    if (!NodeOptions().roles.contains(role)) return Fail(Invalid("roles: no such role: " + role));
    options.roles.insert(role);
  }
  options.listen = options.roles.contains("records");
  options.http = a.listen;
  options.cache_bytes = std::size_t{a.cache_mib} << 20;
  options.reconcile_every = std::chrono::seconds(a.reconcile_every);
  options.certificate_file = a.certificate;
  options.key_file = a.key;
  Progress progress("projector");
  options.progress = [&](std::uint64_t done, std::uint64_t total) { progress.Set(done, total); };
  auto node = Node::Start(*home, options);
  if (!node.ok()) return Fail(node.status());
  fmt::print(stderr, "daicho: serving {} ({}), log {}\n", a.cli.home, a.roles, home->log);
  const Status status = (*node)->Wait([] { return StopRequested(); });
  if (!status.ok()) {
    fmt::print(stderr, "daicho: ALARM: {}\n", status.ToString());
    return ExitStatus(status.code());
  }
  return 0;
}

void PrintCheckpoint(const ordered_json& checkpoint) {
  if (checkpoint.is_null()) return;
  fmt::print("証明        {} 件まで  {}  連署 {}", checkpoint["size"].dump(), checkpoint["at"].get<std::string>(),
             checkpoint["cosignatures"].dump());
  if (checkpoint.contains("cosigned_size")) {
    fmt::print("（定足数を満たすのは {} 件まで）", checkpoint["cosigned_size"].dump());
  }
  fmt::print("\n");
  if (checkpoint.contains("alarm")) fmt::print("警報        {}\n", checkpoint["alarm"].get<std::string>());
}

// What agencies were given and have not confirmed, and what is on its way to them.
void PrintProvider(const ordered_json& provider) {
  for (const auto& agency : provider["agencies"]) {
    fmt::print("提供先      {}  送付 {}  未受領 {}", agency["agency"].get<std::string>(), agency["delivered"].dump(),
               agency["unconfirmed"].dump());
    if (agency.contains("oldest_at")) {
      fmt::print("（最古 位置 {}、{}）", agency["oldest_unconfirmed"].dump(), agency["oldest_at"].get<std::string>());
    }
    fmt::print("\n");
  }
  for (const auto& request : provider["requests"]) {
    fmt::print("照会中      {} {}  {}/{}件\n", request["agency"].get<std::string>(),
               request["reference"].get<std::string>(), request["done"].dump(), request["count"].dump());
  }
  if (provider["unpublished"] != 0) fmt::print("送付待ち    {}件\n", provider["unpublished"].dump());
  if (provider.contains("ignored")) fmt::print("読めない照会 {}\n", provider["ignored"].get<std::string>());
}

// How far 機構 is notified.
void PrintKikou(const ordered_json& kikou) {
  if (kikou["configured"] != true) {
    fmt::print("機構        接続は設定されていません\n");
    return;
  }
  fmt::print("機構        {}  位置 {} まで通知済み  未処理 {}", kikou["url"].get<std::string>(), kikou["position"].dump(),
             kikou["lag"].dump());
  if (kikou.contains("notified_at")) fmt::print("（最後の受領 {}）", kikou["notified_at"].get<std::string>());
  fmt::print("\n");
  if (kikou.contains("refused")) fmt::print("機構の拒否  {}件（最後の通知）\n", kikou["refused"].dump());
  if (kikou.contains("error")) fmt::print("機構の障害  {}\n", kikou["error"].get<std::string>());
}

int ShowStatus(const Arguments& a) {
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  node::Request request;
  request.mutable_status();
  auto response = node->Call(request);
  if (!response.ok()) return Fail(response.status());
  if (a.cli.json) {
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
  PrintCheckpoint(status["checkpoint"]);
  if (status["roles"].contains("provider")) PrintProvider(status["roles"]["provider"]);
  if (status["roles"].contains("kikou")) PrintKikou(status["roles"]["kikou"]);
  fmt::print("鍵          世代 {}  消去済み 位置 {} まで\n", number(status["keys"], "epoch"),
             number(status["keys"], "erased_through"));
  if (status.contains("http")) fmt::print("公開        {}\n", status["http"].get<std::string>());
  return 0;
}

// Builds the record file anew from the ledger beside the live one, then takes its place.
int Rebuild(const Arguments& a) {
  auto home = OpenHome(a.cli.home);
  if (!home.ok()) return Fail(home.status());
  if (SocketClient::Connect(home->Socket()).ok()) {
    return Fail(Unavailable("a node is serving this home; stop it before rebuilding"));
  }
  auto log = OpenLog(home->log, home->kafka_config, LogUse::kReadToEnd);
  if (!log.ok()) return Fail(log.status());
  auto holder = OpenHolder(*home);
  if (!holder.ok()) return Fail(holder.status());
  auto keys = KeyStore::Open(home->Path("keystore"), KeyStore::Mode::kRead, holder->get());
  if (!keys.ok()) return Fail(keys.status());
  auto matching = CurrentMatching(*home);
  if (!matching.ok()) return Fail(matching.status());
  const std::string beside = home->Path("record_file.new");
  std::filesystem::remove_all(beside);
  const auto begun = std::chrono::steady_clock::now();
  ordered_json out;
  {
    Progress progress("rebuild");
    ProjectorOptions options;
    options.prefecture = home->prefecture;
    options.ledger = home->ledger;
    options.registrar_public_key = home->root;
    options.dir = beside;
    options.log = log->get();
    options.keys = keys->get();
    options.at_rest = holder->get();
    options.matching = *std::move(matching);
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
  if (a.cli.json) {
    std::cout << out.dump() << "\n";
  } else {
    fmt::print("{} 件から作り直しました（{:.1f} 秒）。照合値 {}\n", out["entries"].dump(),
               out["seconds"].get<double>(), out["digest"].get<std::string>());
  }
  return 0;
}

}  // namespace node_commands

void AddNodeCommands(Cli& cli) {
  using namespace node_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* init = cli.Command(nullptr, "init", "新しい台帳: 鍵、最初の操作者、スキーマ", [a] { return Init(*a); });
  cli.TakesHome(init);
  cli.TakesLog(init);
  init->add_option("--prefecture", a->prefecture, "都道府県コード 1–47")->required()->check(CLI::Range(1, 47));
  init->add_option("--key-holder", a->key_holder, "鍵を包むトークン（pkcs11: URI）。既定 HOME/holder のファイル");

  CLI::App* issuer = cli.Group("issuer", "発行者の管理");
  CLI::App* issuer_add = cli.Command(issuer, "add", "市町村を登録", [a] { return IssuerAdd(*a); });
  cli.TakesHome(issuer_add);
  issuer_add->add_option("--issuer", a->issuer, "市町村コード（6桁）")->required();
  issuer_add->add_option("--public-key", a->public_key, "公開鍵のファイル（16進）")->required();

  CLI::App* serve = cli.Command(nullptr, "serve", "ノードを動かす", [a] { return Serve(*a); });
  cli.TakesHome(serve);
  serve->add_option("--roles", a->roles, "sequencer,projector,records,provider,disclosure,notary,retention,kikou,reconciler");
  serve->add_option("--cache", a->cache_mib, "記録ファイルの読取りに使うメモリ（MiB、既定 192）")->check(CLI::Range(16, 65'536));
  serve->add_option("--reconcile-every", a->reconcile_every, "機構との整合性確認を行う間隔（秒）。既定は行わない")
      ->check(CLI::Range(1, 31'536'000));
  serve->add_option("--listen", a->listen, "HTTP のアドレス（例 127.0.0.1:8443）");
  serve->add_option("--tls-cert", a->certificate, "TLS の証明書（PEM）。ループバック以外では必須");
  serve->add_option("--tls-key", a->key, "その鍵（PEM）");

  cli.TakesHome(cli.Command(nullptr, "status", "位置、件数、照合値", [a] { return ShowStatus(*a); }));
  cli.TakesHome(cli.Command(nullptr, "rebuild", "記録ファイルを台帳から作り直す", [a] { return Rebuild(*a); }));
}

}  // namespace daicho
