// AnswerAudit: evaluates what was provided again, from the ledger's state as of the position that the event names, and
// compares. Needs a record file that reaches the event, with the search index, and knows nothing of who answered.
//
// Thread-safe.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "consumers/provision_answer.h"
#include "consumers/reexecution_finding.h"
#include "projections/projector.h"

namespace daicho {

// A PROVISION or TRANSFER, opened.
struct ProvidedEvent {
  Position position;
  TimeMicros admitted_at;
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  v1::Provision provision;
  struct Part {
    std::optional<v1::ProvisionResult> result;  // none: erased
    std::string subject;                        // whose key it is sealed under
  };
  std::vector<Part> parts;
};

// How long after it was evaluated the first answer of a request is in the ledger.
inline constexpr std::chrono::minutes kAnswerDelayMax{60};

class AnswerAudit {
 public:
  // Borrowed. `newest`: the registry behind the last entry.
  AnswerAudit(const Projector& projector, const Registry& newest) : projector_(projector), newest_(newest) {}

  // The entry at `position` changed the registry. In ascending order, each before the events behind it are checked.
  void RegistryChanged(Position position);
  // Errors: of the store.
  Status Check(const ProvidedEvent& event, const ReexecutionFindingSink& sink);
  // A DELIVERY_RECEIVED.
  Status CheckReceipt(Position position, const v1::DeliveryReceived& received, const ReexecutionFindingSink& sink);

  std::uint64_t answers() const { return answers_; }
  // Parts without a key: nothing can be said of them.
  std::uint64_t erased() const { return erased_; }
  // What cannot be judged any more or from the ledger alone: what it rested on is erased, it was found by another
  // matching definition, or a refusal for the form of the request or the age of a signature.
  std::uint64_t unjudged() const { return unjudged_; }

 private:
  class Judging;
  Result<std::shared_ptr<const Registry>> RegistryAt(Position at);

  const Projector& projector_;
  const Registry& newest_;
  std::mutex mutex_;
  std::vector<Position> changes_;                                // guarded by mutex_
  std::map<Position, std::shared_ptr<const Registry>> registries_;  // by the last change, likewise
  std::map<std::string, bool> signatures_;                       // whether they verify, likewise
  std::atomic<std::uint64_t> answers_ = 0, erased_ = 0, unjudged_ = 0;
};

}  // namespace daicho
