// A witness that believes no proof because it needs none: it reads the whole ledger, checks every
// entry as any follower does, computes the tree, and cosigns a checkpoint only when that is the
// tree it computed.
//
//   ledger topic ─► LedgerReplay ─► tree ─┐
//   checkpoint topic ─► newest head ──────┴─► same root? ─► Witness ─► note with its line
//          ▲                                                                  │
//          └──────────────────────────────────────────────────────────────────┘
#pragma once

#include <functional>
#include <memory>

#include "consumers/witness.h"
#include "ledger/log.h"

namespace daicho {

class WitnessFollower {
 public:
  // Follows the ledger of that origin from its first entry: what was cosigned before is computed
  // again too. Both are borrowed. Errors: kNotFound for an origin that is not pinned, or a ledger
  // without its topics; kInvalid for one that is no ledger's.
  static Result<std::unique_ptr<WitnessFollower>> Open(Witness& witness, Log& log,
                                                       const std::string& origin);
  ~WitnessFollower();
  WitnessFollower(const WitnessFollower&) = delete;

  // Takes what the topics hold and cosigns the newest checkpoint, if there is a new one; waits up
  // to `wait` for one. True when it cosigned. `read`: entries so far, now and then. Errors:
  // kTampered when ledger, checkpoint and what was cosigned before do not fit: final.
  Result<bool> Step(std::chrono::milliseconds wait,
                    const std::function<void(std::uint64_t)>& read = {});

 private:
  struct Impl;
  explicit WitnessFollower(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
