#include "consumers/publishing.h"

#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "consumers/cosigning.h"
#include "consumers/tlog_endpoints.h"
#include "events/dates.h"
#include "events/topics.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;
using std::chrono::milliseconds;

constexpr milliseconds kLook{100};
constexpr std::size_t kNotesPerPoll = 64;

}  // namespace

struct Publishing::Impl {
  PublishingOptions options;
  std::unique_ptr<Notary> notary;
  std::unique_ptr<HttpServer> server;

  mutable std::mutex mutex;
  std::string policy_text;                // guarded by mutex, like all below
  std::string policy_error;               // the ledger's policy cannot be followed
  std::shared_ptr<Cosigning> cosigning;   // none without a policy

  std::unique_ptr<LogReader> notes;  // of the rounds' thread: checkpoints that witnesses left on the topic
  std::jthread signing, rounds;      // last: they end before what they use

  Status Start() {
    ASSIGN_OR_RETURN(notary, Notary::Open(options.notary));
    if (!options.listen.empty()) {
      HttpServerOptions o;
      o.listen = options.listen;
      o.certificate_file = options.certificate_file;
      o.key_file = options.key_file;
      o.handler = [this](const HttpRequest& request) { return Answer(request); };
      ASSIGN_OR_RETURN(server, HttpServer::Listen(std::move(o)));
    }
    signing = std::jthread([this](std::stop_token stop) {
      if (const Status status = notary->Run(stop); !status.ok()) options.failed(status);
    });
    rounds = std::jthread([this](std::stop_token stop) { Rounds(stop); });
    return {};
  }

  HttpResponse Answer(const HttpRequest& request) const {
    if (auto answer = AnswerTlog(*notary, request)) return std::move(*answer);
    HttpResponse out;
    out.status = 404;
    out.body = "no such path\n";
    return out;
  }

  // Offers each new checkpoint to the witnesses of the policy in force, and takes what they left on the topic.
  void Rounds(std::stop_token stop) {
    std::uint64_t next = 1;
    while (!stop.stop_requested()) {
      const bool fresh = notary->WaitFor(next, kLook);
      const std::shared_ptr<Cosigning> current = FollowPolicy();
      const std::string note = fresh ? notary->checkpoint() : "";
      // Waited for is only what is newer, with witnesses or without.
      if (const auto head = ParseTreeHead(note); head.ok()) next = head->size + 1;
      if (current == nullptr) continue;
      if (fresh) current->Offer(note);
      TakeFromTopic(*current);
    }
  }

  std::shared_ptr<Cosigning> FollowPolicy() {
    const std::shared_ptr<const Registry> registry = notary->registry();
    const PolicyInForce* policy = registry->policy();
    const std::string text = policy == nullptr ? "" : policy->rules.witness_policy();
    {
      const std::lock_guard lock(mutex);
      if (text == policy_text) return cosigning;
    }
    auto begun = Begin(text, policy == nullptr ? 0 : policy->rules.cosign_deadline_s());
    const std::lock_guard lock(mutex);
    policy_text = text;
    policy_error = begun.ok() ? "" : begun.status().message();
    cosigning = begun.ok() ? std::move(*begun) : nullptr;
    return cosigning;
  }

  Result<std::shared_ptr<Cosigning>> Begin(const std::string& text, std::uint32_t deadline_s) {
    if (text.empty()) return std::shared_ptr<Cosigning>();
    ASSIGN_OR_RETURN(WitnessPolicy policy, WitnessPolicy::Parse(text));
    CosigningOptions o = CosigningFor(*notary, std::move(policy), *options.notary.clock);
    o.ca_file = options.witness_ca_file;
    if (deadline_s != 0) o.deadline = std::chrono::seconds(deadline_s);
    ASSIGN_OR_RETURN(auto begun, Cosigning::Start(std::move(o)));
    if (const std::string newest = notary->checkpoint(); !newest.empty()) begun->Offer(newest);
    return std::shared_ptr<Cosigning>(std::move(begun));
  }

  // What is on the topic was signed by others too: what does not verify there is theirs to explain, the auditor's
  // to find, and not a reason to stop.
  void TakeFromTopic(Cosigning& current) {
    if (notes == nullptr && !Follow().ok()) {
      notes.reset();
      return;
    }
    const auto records = notes->Poll(kNotesPerPoll, milliseconds(0));
    if (!records.ok()) {
      notes.reset();
      return;
    }
    for (const Received& record : *records) static_cast<void>(current.Take(record.value).ok());
  }

  Status Follow() {
    Log& log = *options.notary.log;
    const std::string topic = Topics{options.notary.prefecture}.Checkpoint();
    ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
    ASSIGN_OR_RETURN(notes, log.OpenReader());
    return notes->Assign(topic, bounds.end).status();
  }
};

Publishing::Publishing(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Publishing::~Publishing() { impl_->server.reset(); }

Result<std::unique_ptr<Publishing>> Publishing::Start(PublishingOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<Publishing>(new Publishing(std::move(impl)));
}

std::string Publishing::url() const {
  if (impl_->server == nullptr) return "";
  const std::string& listen = impl_->options.listen;
  return (impl_->options.certificate_file.empty() ? "http://" : "https://") + listen.substr(0, listen.rfind(':')) + ":" +
         std::to_string(impl_->server->port());
}

std::string Publishing::StatusJson() const {
  const std::string note = impl_->notary->checkpoint();
  const auto head = ParseTreeHead(note);
  if (!head.ok()) return "null";
  const std::lock_guard lock(impl_->mutex);
  ordered_json out = {{"size", head->size},
                      {"root", ToBase64(View(head->root))},
                      {"at", FormatTimestamp(head->time)},
                      {"cosignatures", 0}};
  if (!impl_->policy_error.empty()) out["alarm"] = "witness policy: " + impl_->policy_error;
  if (impl_->cosigning == nullptr) return out.dump();
  const auto parsed = ParseNote(note);
  const auto policy = WitnessPolicy::Parse(impl_->policy_text);
  if (parsed.ok() && policy.ok()) {
    if (const auto cosigners = policy->Cosigners(*parsed); cosigners.ok()) out["cosignatures"] = cosigners->size();
  }
  const Cosigning::State state = impl_->cosigning->GetState();
  out["cosigned_size"] = state.cosigned_size;
  if (state.waiting_since) out["waiting_since"] = FormatTimestamp(*state.waiting_since);
  if (!state.alarm.empty()) out["alarm"] = state.alarm;
  out["witnesses"] = ordered_json::array();
  for (const auto& witness : state.witnesses) {
    ordered_json item = {{"name", witness.name}};
    if (witness.size) item["size"] = *witness.size;
    if (!witness.error.empty()) item["error"] = witness.error;
    out["witnesses"].push_back(std::move(item));
  }
  return out.dump();
}

}  // namespace daicho
