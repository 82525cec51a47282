// Cosigning: takes each new checkpoint of the ledger round to the witnesses of the policy and brings back
// their cosignatures. No one waits for it: admission, checkpoints and readings go on without witnesses; what
// is late is told.
//
//   Offer(checkpoint) ─► round: every witness at once, each on its own thread ─► verified lines ─► publish
//
// A round is one checkpoint, so that cosignatures of slow and fast witnesses meet on one text. The next begins
// with the newest checkpoint when every witness has answered or failed; one that failed is left alone for a
// while, longer each time, and then asked about the round at hand.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "events/clock.h"
#include "events/merkle.h"
#include "events/witness_policy.h"

namespace daicho {

struct CosigningOptions {
  WitnessPolicy policy;
  // That the log's tree of `size` continues that of `old_size`. Of any thread.
  std::function<Result<Proof>(std::uint64_t old_size, std::uint64_t size)> prove;
  // Takes a checkpoint with all cosignatures that it has: when they first satisfy the quorum, and at the end
  // of a round that brought more. Calls follow one another; a failure is told in the state.
  std::function<Status(const std::string& note)> publish;
  const Clock* clock = nullptr;  // borrowed
  // The newest checkpoint that was published with its quorum, from an earlier run; empty: none.
  std::string cosigned;
  std::string ca_file;  // for witnesses' https://; empty: the system's
  std::chrono::milliseconds call_timeout{2'000};
  std::chrono::milliseconds backoff_min{1'000}, backoff_max{60'000};
  std::chrono::microseconds deadline = std::chrono::seconds(60);
};

class Cosigning {
 public:
  struct WitnessState {
    std::string name;                   // within the policy
    std::optional<std::uint64_t> size;  // what it has cosigned last, as it said
    std::string error;                  // of its last answer; empty: none
  };
  struct State {
    std::uint64_t newest_size = 0;           // offered
    std::uint64_t cosigned_size = 0;         // newest with the quorum satisfied
    std::optional<TimeMicros> waiting_since; // the oldest append that is not cosigned; none when all are
    std::string alarm;                       // what a person must know; empty: nothing
    std::vector<WitnessState> witnesses;
  };

  // Errors: kInvalid when `cosigned` is no checkpoint of the policy's log.
  static Result<std::unique_ptr<Cosigning>> Start(CosigningOptions options);
  // Waits for the calls under way, which time out.
  ~Cosigning();
  Cosigning(const Cosigning&) = delete;

  // The newest checkpoint, signed by the log. Never blocks; what was offered before and is not yet under way
  // is passed over.
  void Offer(const std::string& note);
  // A checkpoint seen elsewhere with cosignatures, as witnesses that follow the log themselves leave on its
  // topic: those of the policy's witnesses join the round's when it is the same text.
  // Errors: kCorrupt, kTampered for what the policy's logs and witnesses did not sign.
  Status Take(const std::string& note);
  State GetState() const;

 private:
  struct Impl;
  explicit Cosigning(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
