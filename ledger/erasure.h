// Erasure: carries out in the key store what the ledger has ordered. The order stands first; whoever opens
// the ledger with a key store that is behind it, after a crash or a restored backup, catches up here before
// anything is read.
#pragma once

#include <string>
#include <vector>

#include "events/erasure.pb.h"
#include "ledger/key_store.h"
#include "ledger/log.h"
#include "ledger/replay.h"

namespace daicho {

// The plan of an entry of EVENT_KIND_ERASURE. Errors: kCorrupt.
Result<v1::ErasurePlan> PlanOf(const PreparedEntry& entry);
Result<v1::ErasurePlan> PlanOf(const LedgerReplay::Checked& entry);

// Destroys the keys that the erasures at `positions` (ascending, all of the ledger) name, but for those that
// `keys` has carried out already. Nothing happens when it has all. Returns whether there were any.
// Requires: `keys` is open for writing, and `positions` come from a replay of this log.
Result<bool> CarryOutErasures(Log& log, const std::string& ledger_topic, const std::vector<Position>& positions,
                              KeyStore& keys);

}  // namespace daicho
