// Erasing: what has outlived its period goes (消去), in this order:
//
//   find what has expired ─► two operators consent, or a standing order stands ─► Erasure in the ledger
//     ─► the sequencer destroys the keys under a new epoch, and builds its own state anew
//     ─► the record file is built anew; the intake key rotates ─► ErasureCompleted: what is gone, and where not yet
//
// A crash after the order delays the rest: whoever opens the home next carries it on.
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "events/clock.h"
#include "events/dates.h"
#include "ledger/key_store.h"
#include "projections/live_projector.h"

namespace daicho {

inline constexpr std::size_t kErasedPerOrderMax = 20'000;  // ranges of keys in one Erasure
inline constexpr std::size_t kErasedPerRunMax = 2'000'000;

struct ErasingOptions {
  LedgerId ledger{};
  // Borrowed, all three.
  LiveProjector* projector = nullptr;
  KeyStore* keys = nullptr;
  const Clock* clock = nullptr;
  // Submits events of the retention role together; returns when they are admitted, with their last position.
  std::function<Result<Position>(const std::vector<DraftEvent>&)> submit;
  // So that what was sent before becomes unreadable in the inboxes too. Errors: kConflict while an earlier
  // rotation still waits for its inboxes.
  std::function<Status()> rotate_intake;
  // Whether no intake key but the one in force is left.
  std::function<Result<bool>()> old_intake_destroyed;
  std::chrono::milliseconds inboxes_wait{30'000};  // for that
  // Copies of older keys that are still about, and until when.
  std::function<Result<std::vector<v1::ErasedPlace>>(Position erased_through)> backups;
  std::size_t keys_per_order = kErasedPerOrderMax;
};

class Erasing {
 public:
  explicit Erasing(ErasingOptions options) : options_(std::move(options)) {}

  // The plans of what has expired on that day, one per chunk: serialised v1::ErasurePlan. None: nothing has.
  Result<std::vector<std::string>> Plan(Date today) const;
  // Orders them and carries them out; returns what was done, as `retention run --json` prints it.
  // Errors: kInvalid for an order that the ledger refuses.
  Result<std::string> Run(const std::vector<v1::Erasure>& orders);
  // Runs without consents what the rules in force allow by their standing order. Returns whether there was any.
  Result<bool> RunStanding(Date today);
  // Completes what an earlier process had ordered.
  Status CarryOn();

 private:
  Result<std::string> Complete(const std::string& run, Position last);
  // False: inboxes can be read yet by a key from before.
  Result<bool> RenewIntake();

  ErasingOptions options_;
  std::mutex mutex_;  // one run at a time
};

}  // namespace daicho
