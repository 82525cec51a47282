// ConsistencyAudit: repeats what comparisons with other copies found (整合性確認), from the ledger's state as of the position that
// each names. Our side of every difference is taken anew, its class and what follows from it are judged anew, the run's counts and
// results are counted anew; and with the key of the copies it is shown that our copy had the fingerprint that the run names, and
// that the differences are all: our copy, changed by them, has the fingerprint of the other holder's copy.
//
// Needs a record file that reaches the events. Belongs to one thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "consumers/reexecution_finding.h"
#include "projections/consistency_register.h"
#include "projections/copy_item.h"
#include "projections/projector.h"

namespace daicho {

class ConsistencyAudit {
 public:
  // Borrowed. `newest`: the registry behind the last entry. `copy_key`: none, or of another epoch than a run's: its fingerprints
  // are not judged. `now`: what came just before it may be under way.
  ConsistencyAudit(const Projector& projector, const Registry& newest, const std::optional<CopyKey>& copy_key, TimeMicros now)
      : projector_(projector), newest_(newest), copy_key_(copy_key), now_(now), register_(projector.store()) {}

  // Runs, differences and their ends at these positions, both included. Errors: of the store.
  Status Check(Position from, Position last, const ReexecutionFindingSink& sink);

  std::uint64_t runs() const { return runs_; }
  std::uint64_t differences() const { return differences_; }
  // What cannot be judged any more or from the ledger alone: what it rested on is erased, or the key is another one.
  std::uint64_t unjudged() const { return unjudged_; }

 private:
  class RunAgain;
  using Case = ConsistencyRegister::Case;
  using Run = ConsistencyRegister::Run;

  // Whether the record file shows what it showed behind the entry at `at`: nothing was erased since.
  Result<bool> ShowsAll(Position at) const;
  Status CheckEnd(const Case& of, const std::vector<Run>& runs, const ReexecutionFindingSink& sink);
  Status CheckDecision(const Case& of, const ReexecutionFindingSink& sink);

  const Projector& projector_;
  const Registry& newest_;
  const std::optional<CopyKey> copy_key_;
  const TimeMicros now_;
  const ConsistencyRegister register_;
  std::map<std::string, std::set<std::string>> codes_of_;  // that each run found, by its name
  std::uint64_t runs_ = 0, differences_ = 0, unjudged_ = 0;
};

}  // namespace daicho
