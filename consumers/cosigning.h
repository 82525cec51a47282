// Cosigning: takes each new checkpoint of the ledger round to the witnesses of the policy and
// brings back their cosignatures. No one waits for it: admission, checkpoints and readings go on
// without witnesses; what is late is told.
//
//   Offer(checkpoint) ─► round: every witness, each on its own thread ─► verified line ─► accept
//
// A round is one checkpoint, so that cosignatures of slow and fast witnesses meet on one text. The
// next begins with the newest checkpoint when every witness has answered or failed; one that failed
// is left alone for a while, longer each time, and then asked about the round at hand.
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
#include "ledger/notary.h"

namespace daicho {

struct CosigningOptions {
  WitnessPolicy policy;
  // That the log's tree of `size` continues that of `old_size`. Of any thread.
  std::function<Result<Proof>(std::uint64_t old_size, std::uint64_t size)> prove;
  // Takes a witness's verified line of the checkpoint of that size; it counts once this returned
  // OK. Of any thread.
  std::function<Status(std::uint64_t size, const NoteKey& witness, const std::string& line)> accept;
  const Clock* clock = nullptr;  // borrowed
  // The newest checkpoint of an earlier run, with its cosignatures; empty: none.
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
    std::uint64_t newest_size = 0;    // offered
    std::uint64_t cosigned_size = 0;  // newest with the quorum satisfied
    std::optional<TimeMicros>
        waiting_since;  // the oldest append that is not cosigned; none when all are
    std::string alarm;  // what a person must know; empty: nothing
    std::vector<WitnessState> witnesses;
  };

  // Errors: kInvalid when `cosigned` is no checkpoint of the policy's log.
  static Result<std::unique_ptr<Cosigning>> Start(CosigningOptions options);
  // Waits for the calls under way, which time out.
  ~Cosigning();
  Cosigning(const Cosigning&) = delete;

  // The newest checkpoint, signed by the log. Never blocks; what was offered before and is not yet
  // under way is passed over, and so is a text that was offered last.
  void Offer(const std::string& note);
  // A checkpoint seen elsewhere with cosignatures, as witnesses that follow the log themselves
  // leave on its topic. Their lines are accepted when it is the text of the round; a quorum of its
  // own counts always. Errors: kCorrupt, kTampered for what the policy's logs and witnesses did not
  // sign; those of `accept`.
  Status Take(const std::string& note);
  State GetState() const;

 private:
  struct Impl;
  explicit Cosigning(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Proofs from the notary's trees, lines to the notary, and the newest checkpoint that it has.
CosigningOptions CosigningFor(Notary& notary, WitnessPolicy policy, const Clock& clock);

}  // namespace daicho
