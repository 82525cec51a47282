// daicho witness: somebody else's end, who vouches that a ledger only grows.
#include <fmt/format.h>
#include <poll.h>

#include "consumers/cli.h"
#include "consumers/progress.h"
#include "consumers/witness_follower.h"

namespace daicho {
namespace witness_commands {

constexpr std::chrono::milliseconds kCheckpointWait{500};

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string name, ledger_file, listen = "127.0.0.1:0", certificate, key, origin;
  bool new_key = false;
};

int WitnessInit(const Arguments& a) {
  const auto line = Witness::Create(a.cli.home, a.name);
  if (!line.ok()) return Fail(line.status());
  fmt::print("{}\n", *line);
  return 0;
}

int WitnessTrust(const Arguments& a) {
  const SystemClock clock;
  auto witness = Witness::Open(a.cli.home, clock);
  if (!witness.ok()) return Fail(witness.status());
  if (const Status status = (*witness)->Trust(a.ledger_file, a.new_key); !status.ok()) return Fail(status);
  for (const std::string& origin : (*witness)->Origins()) {
    fmt::print("{}\n", FormatNoteKey((*witness)->Find(origin)->key));
  }
  return 0;
}

int WitnessServe(const Arguments& a) {
  const SystemClock clock;
  auto witness = Witness::Open(a.cli.home, clock);
  if (!witness.ok()) return Fail(witness.status());
  HttpServerOptions options;
  options.listen = a.listen;
  options.certificate_file = a.certificate;
  options.key_file = a.key;
  options.limits.body_bytes_max = kAddCheckpointBytesMax;
  options.handler = [&](const HttpRequest& request) { return (*witness)->Handle(request); };
  const auto server = HttpServer::Listen(std::move(options));
  if (!server.ok()) return Fail(server.status());
  fmt::print(stderr, "daicho: witness {} listens on port {}\n", (*witness)->key().name,
             (*server)->port());
  while (!StopRequested()) ::poll(nullptr, 0, 200);
  return 0;
}

Result<std::string> OriginOf(const Arguments& a, const Witness& witness) {
  const auto origins = witness.Origins();
  if (!a.origin.empty()) return a.origin;
  if (origins.size() == 1) return origins.front();
  return Invalid(origins.empty() ? "the witness trusts no ledger yet; daicho witness trust adds one"
                                 : "the witness knows several ledgers: --origin says which");
}

int WitnessFollow(const Arguments& a) {
  if (a.cli.home.empty() || a.cli.log.empty())
    return Fail(Invalid("witness: --home and --log are needed"));
  const SystemClock clock;
  auto witness = Witness::Open(a.cli.home, clock);
  if (!witness.ok()) return Fail(witness.status());
  const auto origin = OriginOf(a, **witness);
  if (!origin.ok()) return Fail(origin.status());
  auto log = OpenLog(a.cli.log, a.cli.kafka_config);
  if (!log.ok()) return Fail(log.status());
  auto follower = WitnessFollower::Open(**witness, **log, *origin);
  if (!follower.ok()) return Fail(follower.status());
  fmt::print(stderr, "daicho: witness {} follows {}\n", (*witness)->key().name, *origin);
  while (!StopRequested()) {
    const auto cosigned = (*follower)->Step(kCheckpointWait);
    if (cosigned.ok()) continue;
    if (cosigned.status().retriable()) {
      fmt::print(stderr, "daicho: {}\n", cosigned.status().ToString());
      ::poll(nullptr, 0, 1'000);
      continue;
    }
    fmt::print(stderr, "daicho: ALARM: {}\n", cosigned.status().ToString());
    return ExitStatus(cosigned.status().code());
  }
  return 0;
}

}  // namespace witness_commands

void AddWitnessCommands(Cli& cli) {
  using namespace witness_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* witness = cli.Group("witness", "台帳が書き足されるだけであることの証人");
  witness->require_subcommand(0, 1);
  witness->add_option("--home", cli.home, "証人のディレクトリ");
  witness->add_option("--log", cli.log, "台帳を自ら読み直す: kafka://HOST:PORT[,…]");
  witness->add_option("--kafka-config", cli.kafka_config, "librdkafka の設定ファイル (NAME=VALUE)");
  witness->add_option("--origin", a->origin, "複数の台帳を知るとき、そのどれか (daicho/10/ledger)");
  witness->callback([a, witness] {
    if (witness->get_subcommands().empty()) a->cli.exit = WitnessFollow(*a);
  });

  CLI::App* init = cli.Command(witness, "init", "証人の鍵を作る", [a] { return WitnessInit(*a); });
  cli.TakesHome(init);
  init->add_option("--name", a->name, "鍵の名前")->required();

  CLI::App* trust =
      cli.Command(witness, "trust", "証する台帳を加える", [a] { return WitnessTrust(*a); });
  cli.TakesHome(trust);
  trust->add_option("--ledger", a->ledger_file, "都道府県の ledger.pub.json")->required();
  trust->add_flag("--new-key", a->new_key, "台帳の鍵が替わったことを確かめた上で、新しい鍵を信用する");

  CLI::App* serve = cli.Command(witness, "serve", "副署の求めに応える (C2SP tlog-witness)",
                                [a] { return WitnessServe(*a); });
  cli.TakesHome(serve);
  serve->add_option("--listen", a->listen, "アドレス:ポート");
  serve->add_option("--tls-cert", a->certificate, "TLS 証明書 (PEM)");
  serve->add_option("--tls-key", a->key, "その秘密鍵 (PEM)");
}

}  // namespace daicho
