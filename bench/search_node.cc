#include "bench/search_node.h"

#include <algorithm>

#include "bench/search_measure.h"
#include "consumers/home.h"
#include "consumers/node.h"
#include "consumers/node_socket.h"
#include "events/clock.h"

namespace daicho::search_bench {
namespace {

constexpr std::size_t kAsked = 500;

class Operator : public Side {
 public:
  Operator(const Home& home, SigningKey key, SocketClient& node) : home_(home), key_(std::move(key)), node_(node) {}

  Result<std::size_t> Ask(std::size_t, const Question& question) override {
    v1::ReadRequest request;
    request.set_version(1);
    request.set_ledger(std::string(View(home_.ledger)));
    request.set_operator_id("op1");
    request.set_duty("5-1");
    request.set_purpose("bench");
    *request.mutable_condition() = question.condition;
    request.set_requested_at(clock_.Now().value());
    request.set_nonce(std::string(View(RandomArray<16>())));
    node::Request call;
    node::ReadRecord& read = *call.mutable_read_record();
    read.set_request(request.SerializeAsString());
    ASSIGN_OR_RETURN(*read.mutable_signature(), key_.TrySign(std::string(kReadRequestTag) + read.request()));
    const auto answer = node_.Call(call);
    // Nobody found, or too broad for the duty: recorded as well.
    if (answer.status().code() == Code::kNotFound || answer.status().code() == Code::kDenied) return std::size_t{0};
    RETURN_IF_ERROR(answer.status());
    return static_cast<std::size_t>(std::count(answer->json().begin(), answer->json().end(), '\n'));
  }
  // A node answers in JSON, to be shown.
  std::vector<Row> Rows() const override { return {}; }
  int process() const override { return 0; }

 private:
  const Home& home_;
  SigningKey key_;
  SocketClient& node_;
  SystemClock clock_;
};

}  // namespace

Status MeasureNode(const std::string& work, const std::string& data) {
  ASSIGN_OR_RETURN(const Questions questions, ReadQuestions(data));
  ASSIGN_OR_RETURN(const Home home, OpenHome(work + "/home"));
  NodeOptions options;
  options.roles = {"sequencer", "projector", "records"};
  options.listen = true;
  ASSIGN_OR_RETURN(const auto node, Node::Start(home, options));
  ASSIGN_OR_RETURN(const auto client, SocketClient::Connect(home.Socket()));
  ASSIGN_OR_RETURN(SigningKey key, ReadSigningKey(home.Path("operators/op1.key")));
  Operator asker(home, std::move(key), *client);
  RETURN_IF_ERROR(MeasureMix(asker, questions, 0, kAsked).status());
  ASSIGN_OR_RETURN(const Measured measured, MeasureMix(asker, questions, 1, kAsked));
  Report("node", "stage=search", measured);
  return {};
}

}  // namespace daicho::search_bench
