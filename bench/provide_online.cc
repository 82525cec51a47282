// Online answers at a steady rate: signed requests go to a node's socket when their time has come, whether those before
// are answered or not, and each is counted from that moment until its encrypted answer is there, its event being in
// the ledger.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "consumers/home.h"
#include "consumers/node_socket.h"
#include "consumers/operator_act.h"
#include "consumers/providing.h"
#include "consumers/provision_request.h"
#include "events/clock.h"

namespace daicho {
namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::string home, agency_home, agency, basis, duty, numbers;
  double rate = 200;
  int seconds = 30;
  int warm_up = 15;  // seconds too: a broker that has just started still compiles what it runs
  unsigned clients = 24;
};

class Online {
 public:
  Online(Settings settings, Home home, SigningKey agency, SigningKey handler, std::vector<std::string> numbers)
      : settings_(std::move(settings)),
        home_(std::move(home)),
        agency_(std::move(agency)),
        handler_(std::move(handler)),
        numbers_(std::move(numbers)),
        run_(ToHex(View(RandomArray<6>()))) {}

  int Run() {
    const auto asked = static_cast<std::size_t>(settings_.rate * (settings_.seconds + settings_.warm_up));
    begun_ = Clock::now() + std::chrono::milliseconds(200);
    std::vector<std::thread> clients;
    for (unsigned i = 0; i < settings_.clients; ++i) clients.emplace_back([this, asked] { Serve(asked); });
    for (std::thread& client : clients) client.join();
    if (!failure_.ok()) {
      fmt::print(stderr, "provide_online: {}\n", failure_.ToString());
      return 3;
    }
    std::ranges::sort(milliseconds_);
    const auto at = [&](double share) {
      return milliseconds_[static_cast<std::size_t>(share * static_cast<double>(milliseconds_.size() - 1))];
    };
    fmt::print("RESULT online rate={} answers={} p50_ms={:.1f} p99_ms={:.1f} max_ms={:.1f}\n", settings_.rate,
               milliseconds_.size(), at(0.5), at(0.99), at(1));
    return 0;
  }

 private:
  void Serve(std::size_t asked) {
    auto client = SocketClient::Connect(home_.Socket());
    if (!client.ok()) return Fail(client.status());
    for (std::size_t i; (i = next_++) < asked;) {
      const auto due = begun_ + std::chrono::duration_cast<Clock::duration>(
                                    std::chrono::duration<double>(static_cast<double>(i) / settings_.rate));
      auto request = Prepare(i);
      if (!request.ok()) return Fail(request.status());
      std::this_thread::sleep_until(due);
      const auto answer = (*client)->Call(*request);
      const std::chrono::duration<double, std::milli> took = Clock::now() - due;
      if (!answer.ok()) return Fail(answer.status());
      if (answer->blobs_size() != 1) return Fail(Internal("no answer came: " + answer->json()));
      if (i < static_cast<std::size_t>(settings_.rate * settings_.warm_up)) continue;
      const std::lock_guard lock(mutex_);
      milliseconds_.push_back(took.count());
    }
  }

  Result<node::Request> Prepare(std::size_t i) {
    RequestHeader header;
    header.agency = settings_.agency;
    header.basis = settings_.basis;
    header.duty = settings_.duty;
    header.reference = fmt::format("{}-{}", run_, i);
    header.mode = v1::PROVISION_MODE_IMMEDIATE;
    header.count = 1;
    ProvisionRequestReader::Line line;
    line.id = "1";
    line.condition.set_individual_number(numbers_[i * 7'919 % numbers_.size()]);
    node::Request out;
    node::Provide& provide = *out.mutable_provide();
    provide.set_request(WriteRequest(header, RequestLine(line)));
    const Digest digest = Sha256Of({provide.request()});
    ASSIGN_OR_RETURN(*provide.mutable_signature(), agency_.TrySign(std::string(kRequestTag).append(View(digest))));
    ASSIGN_OR_RETURN(const v1::OperatorAct act, SignAct("op1", handler_, "", kProvideTag, digest, SystemClock().Now()));
    provide.set_operator_act(act.SerializeAsString());
    return out;
  }

  void Fail(const Status& status) {
    const std::lock_guard lock(mutex_);
    if (failure_.ok()) failure_ = status;
  }

  const Settings settings_;
  const Home home_;
  const SigningKey agency_, handler_;
  const std::vector<std::string> numbers_;
  const std::string run_;
  Clock::time_point begun_;
  std::atomic<std::size_t> next_{0};
  std::mutex mutex_;
  std::vector<double> milliseconds_;  // guarded by mutex_, like failure_
  Status failure_;
};

Result<int> Run(const Settings& settings) {
  ASSIGN_OR_RETURN(Home home, OpenHome(settings.home));
  ASSIGN_OR_RETURN(SigningKey agency, ReadSigningKey(settings.agency_home + "/keys/signing.key"));
  ASSIGN_OR_RETURN(SigningKey handler, ReadSigningKey(home.Path("operators/op1.key")));
  std::vector<std::string> numbers;
  std::ifstream in(settings.numbers);
  for (std::string line; std::getline(in, line);) numbers.push_back(line);
  if (numbers.empty()) return Invalid("numbers: empty");
  return Online(settings, std::move(home), std::move(agency), std::move(handler), std::move(numbers)).Run();
}

}  // namespace
}  // namespace daicho

int main(int argc, char** argv) {
  daicho::Settings settings;
  CLI::App app("online answers at a steady rate");
  app.add_option("--home", settings.home)->required();
  app.add_option("--agency-home", settings.agency_home)->required();
  app.add_option("--agency", settings.agency)->required();
  app.add_option("--basis", settings.basis)->required();
  app.add_option("--duty", settings.duty)->required();
  app.add_option("--numbers", settings.numbers, "個人番号, one a line")->required();
  app.add_option("--rate", settings.rate, "a second");
  app.add_option("--seconds", settings.seconds);
  app.add_option("--clients", settings.clients);
  CLI11_PARSE(app, argc, argv);
  const auto status = daicho::Run(settings);
  if (status.ok()) return *status;
  fmt::print(stderr, "provide_online: {}\n", status.status().ToString());
  return 3;
}
