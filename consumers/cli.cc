#include "consumers/cli.h"

#include <fmt/format.h>

#include <atomic>
#include <csignal>
#include <nlohmann/json.hpp>

#include "consumers/consent.h"
#include "consumers/progress.h"
#include "events/clock.h"
#include "events/dates.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

std::atomic<bool> g_stop{false};  // lock-free, so a signal handler may set it
static_assert(std::atomic<bool>::is_always_lock_free);

}  // namespace

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

int FailFile(const std::string& errors_json, bool json) {
  if (json) fmt::print("{}\n", errors_json);
  else {
    for (const auto& error : ordered_json::parse(errors_json)["errors"]) {
      fmt::print(stderr, "{}行 {} {}: {}\n", error["line"].dump(), error["field"].get<std::string>(),
                 error["rule"].get<std::string>(), error["message"].get<std::string>());
    }
  }
  return ExitStatus(Code::kInvalid);
}

void WatchForStop() {
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = true; };
  ::sigaction(SIGINT, &stop, nullptr);
  ::sigaction(SIGTERM, &stop, nullptr);
}

bool StopRequested() { return g_stop; }

Result<SigningKey> ReadOperatorKey(const Home& home, const std::string& id, const std::string& given) {
  const std::string path = given.empty() ? home.Path("operators/" + id + ".key") : given;
  auto key = ReadSigningKey(path);
  if (!key.ok()) return Denied("operator " + id + ": no key at " + path);
  return key;
}

Status AddConsents(const Home& home, const std::vector<std::string>& operators, const std::vector<std::string>& given,
                   v1::EventKind kind, const Digest& digest, google::protobuf::RepeatedPtrField<v1::Consent>& out) {
  for (const std::string& id : operators) {
    std::string path;
    for (const std::string& each : given) {
      if (each.starts_with(id + "=")) path = each.substr(id.size() + 1);
    }
    ASSIGN_OR_RETURN(const SigningKey key, ReadOperatorKey(home, id, path));
    ASSIGN_OR_RETURN(*out.Add(), GiveConsent(home.ledger, id, key, kind, digest, SystemClock().Now()));
  }
  return {};
}

Status PutDate(const char* option, const std::string& typed, std::string* out) {
  if (typed.empty()) return {};
  auto date = ParsePersonDate(typed);
  if (!date.ok()) return date.status().With(option);
  *out = FormatDate(*date);
  return {};
}

Result<Date> MonthOf(const char* option, const std::string& typed) {
  const auto date = ParsePersonLenientDate(typed);
  if (!date.ok() || date->month == 0 || date->day != 0) return Invalid(std::string(option) + ": 年月を指定してください（2026-04）");
  return Date{date->year, date->month, 1};
}

Date LastOfMonth(Date day) {
  const Date behind = day.month == 12 ? Date{static_cast<std::int16_t>(day.year + 1), 1, 1}
                                      : Date{day.year, static_cast<std::uint8_t>(day.month + 1), 1};
  return DateOfDayNumber(DayNumber(behind) - 1);
}

Result<node::ReadRecord> SignReading(const Home& home, const Reader& reader, std::string_view tag,
                                     v1::ReadRequest request) {
  request.set_version(1);
  request.set_ledger(std::string(View(home.ledger)));
  request.set_operator_id(reader.operator_id);
  request.set_duty(reader.duty);
  request.set_purpose(reader.purpose);
  request.set_terminal(reader.terminal);
  request.set_requested_at(SystemClock().Now().value());
  request.set_nonce(std::string(View(RandomArray<16>())));
  ASSIGN_OR_RETURN(const SigningKey key, ReadOperatorKey(home, reader.operator_id, reader.operator_key));
  node::ReadRecord out;
  out.set_request(request.SerializeAsString());
  ASSIGN_OR_RETURN(*out.mutable_signature(), key.TrySign(std::string(tag) + out.request()));
  return out;
}

CLI::App* Cli::Group(const char* name, const char* what) {
  const auto known = app_.get_subcommands([&](CLI::App* sub) { return sub->get_name() == name; });
  if (!known.empty()) return known.front();
  CLI::App* group = app_.add_subcommand(name, what);
  group->require_subcommand(1);
  return group;
}

CLI::App* Cli::Command(CLI::App* parent, const char* name, const char* what, std::function<int()> run) {
  CLI::App* sub = (parent != nullptr ? parent : &app_)->add_subcommand(name, what);
  sub->add_flag("--json", json, "JSON で出力");
  sub->callback([this, run = std::move(run)] { exit = run(); });
  return sub;
}

void Cli::TakesHome(CLI::App* command) {
  command->add_option("--home", home, "ノードのディレクトリ")->required();
}

void Cli::TakesLongSketch(CLI::App* command) {
  command->add_flag("--long", long_sketch, "長い要約: 1万7千件までのところを13万件まで特定できる（10 MB 弱。写しをすべて読む）");
}

void Cli::TakesLog(CLI::App* command) {
  command->add_option("--log", log, "local:DIR または kafka://HOST:PORT[,…]")->required();
  command->add_option("--kafka-config", kafka_config, "librdkafka の設定ファイル (NAME=VALUE)");
}

Result<NodeAccess> NodeAccess::Open(const std::string& dir) {
  NodeAccess out;
  ASSIGN_OR_RETURN(out.home_, OpenHome(dir));
  if (auto client = SocketClient::Connect(out.home_.Socket()); client.ok()) {
    out.client_ = std::move(client).value();
    return out;
  }
  NodeOptions options;
  auto started = Node::Start(out.home_, options);
  if (started.status().code() == Code::kUnavailable && !IsLocal(out.home_.log)) {
    options.roles = {"projector", "records", "provider", "disclosure"};  // another process of this home has the others
    started = Node::Start(out.home_, options);
  }
  RETURN_IF_ERROR(started.status());
  out.node_ = std::move(started).value();
  RETURN_IF_ERROR(out.AwaitProjector());
  return out;
}

Result<node::Response> NodeAccess::Call(const node::Request& request) {
  if (client_ != nullptr) return client_->Call(request);
  node::Response response = node_->Answer(request);
  if (response.code() != 0) return Status(static_cast<Code>(response.code()), response.message());
  return response;
}

Status NodeAccess::AwaitProjector() {
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
    // A notary answers for the ledger once it has compared it with what it signed before.
    const bool signs = status["roles"].contains("notary");
    return position >= size && (!signs || !status["checkpoint"].is_null());
  };
  RETURN_IF_ERROR(node_->Wait(caught_up));
  return failure;
}

Status NodeAccess::Administer(v1::EventKind kind, const std::string& payload) {
  node::Request request;
  request.mutable_administer()->set_kind(static_cast<std::uint32_t>(kind));
  request.mutable_administer()->set_payload(payload);
  return Call(request).status();
}

}  // namespace daicho
