// Replay: the state of a past day, from the ledger alone and verified on the way: a record file of that position,
// every resident's current version as JSON lines, and a statement of what it is.
//
//   DIR/record_file/      as a node's
//   DIR/records.ndjson    one line per resident, as `record --json` prints them, by handle
//   DIR/state.json        position, the ledger's and the issuers' trees, digest, the first checkpoint that covers it:
//                         signed, and of the ledger that is there, or empty
//   DIR/state.note        state.json as a signed note of the auditor, if there is a key
#pragma once

#include <optional>
#include <string>

#include "consumers/home.h"
#include "events/dates.h"
#include "ledger/key_store.h"
#include "ledger/log.h"

namespace daicho {

struct ReplayOptions {
  LedgerPublic ledger;
  Log* log = nullptr;             // borrowed, both
  const KeyStore* keys = nullptr;
  std::optional<Date> as_of;      // its end, in Japan; or
  std::optional<Position> position;  // the submission of this entry is the last
  std::string out;
  std::string from;               // DIR of an earlier replay to go on from; empty: from the beginning
  std::optional<SigningKey> auditor;  // signs; and must have signed `from`
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

// The statement, state.json's text. Errors: kTampered when the ledger, a checkpoint up to
// the one that covers the state, or `from` does not verify, kNotFound when the
// ledger had not begun, kConflict when `out` exists.
Result<std::string> ReplayTo(const ReplayOptions& options);

}  // namespace daicho
