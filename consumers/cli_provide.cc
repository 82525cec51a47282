// daicho provide: answers an agency's request, as an operator who handles it. daicho media handover: what went on a
// medium, to whom.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <atomic>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "consumers/cli.h"
#include "consumers/operator_act.h"
#include "consumers/progress.h"
#include "consumers/provision_request.h"
#include "consumers/providing.h"
#include "events/clock.h"
#include "ledger/files.h"

namespace daicho {
namespace provide_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string request, signature, out, agency, basis;
  std::string operator_id, operator_key, terminal;
  // Of a hand-over.
  std::string medium, direction = "out", counterparty, file, return_due_on, witness;
  std::uint64_t records = 0, position = 0;
};

Result<v1::OperatorAct> SignedAct(const Arguments& a, const Home& home, const Digest& request) {
  ASSIGN_OR_RETURN(const SigningKey key, ReadOperatorKey(home, a.operator_id, a.operator_key));
  return SignAct(a.operator_id, key, a.terminal, kProvideTag, request, SystemClock().Now());
}

Result<std::string> ReadSignature(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  auto bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() != 64) return Invalid(path + ": no signature of 64 bytes in hex");
  return bytes;
}

// Shows how far the request is, from what the running node says of it.
class Watching {
 public:
  Watching(const Home& home, const RequestHeader& header) : header_(header) {
    auto client = SocketClient::Connect(home.Socket());
    if (!client.ok()) return;
    thread_ = std::thread([this, client = std::move(client).value()] { Watch(*client); });
  }
  ~Watching() {
    done_ = true;
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Watch(SocketClient& client) {
    Progress progress("provide");
    node::Request request;
    request.mutable_status();
    while (!done_) {
      for (int i = 0; i < 10 && !done_; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
      const auto response = client.Call(request);
      if (!response.ok()) return;
      const auto status = ordered_json::parse(response->json());
      if (!status["roles"].contains("provider")) return;
      for (const auto& each : status["roles"]["provider"]["requests"]) {
        if (each["agency"] == header_.agency && each["reference"] == header_.reference) {
          progress.Set(each["done"], each["count"]);
        }
      }
    }
  }

  const RequestHeader& header_;
  std::atomic<bool> done_{false};
  std::thread thread_;
};

int Show(const Arguments& a, const node::Response& response) {
  const auto outcome = ordered_json::parse(response.json());
  const bool refused = outcome["outcome"] == "refused";
  if (a.cli.json) {
    std::cout << outcome.dump() << "\n";
  } else if (refused) {
    fmt::print("拒否しました（{}）: {}\n", outcome["refusal"].get<std::string>(), outcome["message"].get<std::string>());
    for (const auto& error : outcome.value("errors", ordered_json::array())) {
      fmt::print("  {}行 {} {}: {}\n", error["line"].dump(), error["field"].get<std::string>(),
                 error["rule"].get<std::string>(), error["message"].get<std::string>());
    }
  } else {
    fmt::print("該当 {}件、非該当 {}件、複数該当 {}件、拒否 {}件。記録は位置 {} から {}\n", outcome["found"].dump(),
               outcome["none"].dump(), outcome["multiple"].dump(), outcome["refused"].dump(),
               outcome["positions"][0].dump(), outcome["positions"][1].dump());
    if (!a.out.empty()) fmt::print("答えは {}（利用機関あてに暗号化）\n", a.out);
  }
  return refused ? 1 : 0;
}

int RunProvide(const Arguments& a) {
  auto bytes = ReadFile(a.request);
  if (!bytes.ok()) return Fail(bytes.status());
  auto reader = ProvisionRequestReader::Open(*bytes);
  if (!reader.ok()) return Fail(reader.status());
  const RequestHeader& header = reader->header();
  if (!a.agency.empty() && a.agency != header.agency) return Fail(Invalid("--agency: 照会の機関と違います"));
  if (!a.basis.empty() && a.basis != header.basis) return Fail(Invalid("--basis: 照会の根拠と違います"));
  auto signature = ReadSignature(a.signature.empty() ? a.request + ".sig" : a.signature);
  if (!signature.ok()) return Fail(signature.status());
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  auto act = SignedAct(a, node->home(), Sha256Of({*bytes}));
  if (!act.ok()) return Fail(act.status());
  node::Request request;
  node::Provide& provide = *request.mutable_provide();
  provide.set_request_file(std::filesystem::absolute(a.request).string());
  provide.set_signature(*signature);
  provide.set_operator_act(act->SerializeAsString());
  // One answer is returned by itself, under the name that was asked for.
  const bool one = header.mode == v1::PROVISION_MODE_IMMEDIATE && header.method == v1::DELIVERY_METHOD_LINE;
  if (!a.out.empty() && !one) provide.set_out(std::filesystem::absolute(a.out).string());
  Result<node::Response> response = [&] {
    const Watching watching(node->home(), header);
    return node->Call(request);
  }();
  if (!response.ok()) return Fail(response.status());
  if (one && !a.out.empty() && response->blobs_size() > 0) {
    if (Status written = WriteFileDurably(a.out, response->blobs(0)); !written.ok()) return Fail(written);
  }
  return Show(a, *response);
}

const std::map<std::string, v1::MediaDirection> kDirections = {{"out", v1::MEDIA_DIRECTION_OUT},
                                                              {"in", v1::MEDIA_DIRECTION_IN},
                                                              {"returned", v1::MEDIA_DIRECTION_RETURNED},
                                                              {"destroyed", v1::MEDIA_DIRECTION_DESTROYED}};

// 媒体授受: the digest is of the encrypted file, so that what is on the medium can be told from the ledger.
int RunHandover(const Arguments& a) {
  v1::MediaHandover event;
  event.set_medium(a.medium);
  event.set_direction(kDirections.at(a.direction));
  event.set_counterparty(a.counterparty);
  event.set_handed_at(SystemClock().Now().value());
  if (!a.file.empty()) {
    auto content = ReadFile(a.file);
    if (!content.ok()) return Fail(content.status());
    event.set_content_digest(std::string(View(Sha256Of({*content}))));
  }
  event.set_record_count(a.records);
  event.set_event_position(a.position);
  if (Status status = PutDate("--return-due", a.return_due_on, event.mutable_return_due_on()); !status.ok()) {
    return Fail(status);
  }
  if (a.operator_id == a.witness) return Fail(Invalid("--witness: 渡す者とは別の者が立ち会います"));
  event.set_operator_id(a.operator_id);
  event.set_witness_id(a.witness);
  auto node = NodeAccess::Open(a.cli.home);
  if (!node.ok()) return Fail(node.status());
  if (Status status = node->Administer(v1::EVENT_KIND_MEDIA_HANDOVER, event.SerializeAsString()); !status.ok()) {
    return Fail(status);
  }
  if (a.cli.json) {
    std::cout << ordered_json({{"medium", a.medium}, {"recorded", true}}).dump() << "\n";
  } else {
    fmt::print("媒体 {} の授受を記録しました\n", a.medium);
  }
  return 0;
}

}  // namespace provide_commands

void AddProvideCommands(Cli& cli) {
  using namespace provide_commands;
  auto a = std::make_shared<Arguments>(cli);
  CLI::App* provide = cli.Command(nullptr, "provide", "利用機関の照会に答える（記録が先、答えは後）", [a] { return RunProvide(*a); });
  cli.TakesHome(provide);
  provide->add_option("--request", a->request, "照会のファイル（署名は FILE.sig）")->required();
  provide->add_option("--signature", a->signature, "署名のファイル（既定 FILE.sig）");
  provide->add_option("--out", a->out, "答えのファイル（利用機関あてに暗号化）");
  provide->add_option("--agency", a->agency, "照会の機関であることを確かめる");
  provide->add_option("--basis", a->basis, "照会の根拠であることを確かめる");
  provide->add_option("--operator", a->operator_id, "操作者ID")->required();
  provide->add_option("--operator-key", a->operator_key, "操作者の鍵（既定 HOME/operators/ID.key）");
  provide->add_option("--terminal", a->terminal, "操作端末ID");

  CLI::App* media = cli.Group("media", "媒体授受");
  CLI::App* handover = cli.Command(media, "handover", "媒体を渡した、受け取った、廃棄したことを記録する", [a] { return RunHandover(*a); });
  cli.TakesHome(handover);
  handover->add_option("--medium", a->medium, "磁気ディスク管理簿の番号")->required();
  handover->add_option("--direction", a->direction, "out 渡した、in 受け取った、returned 戻った、destroyed 廃棄した")
      ->check(CLI::IsMember({"out", "in", "returned", "destroyed"}));
  handover->add_option("--counterparty", a->counterparty, "相手")->required();
  handover->add_option("--file", a->file, "媒体に入れた（暗号化した）ファイル");
  handover->add_option("--records", a->records, "含まれる人数");
  handover->add_option("--position", a->position, "提供・移転の記録の位置");
  handover->add_option("--return-due", a->return_due_on, "返却の期限");
  handover->add_option("--operator", a->operator_id, "渡した、または受け取った操作者ID")->required();
  handover->add_option("--witness", a->witness, "立ち会った操作者ID")->required();
}

}  // namespace daicho
