// Evidence: one file that proves, to whoever has the ledger's key and nothing else, that an issuer said something
// and the ledger holds it: a C2SP tlog-proof with events/evidence.proto as its extra.
#pragma once

#include <map>
#include <string>

#include "consumers/home.h"
#include "events/tree_head.h"
#include "events/witness_policy.h"
#include "ledger/log.h"

namespace daicho {

// Of the entry at `position`, under the newest checkpoint. Reads and verifies the ledger up to it.
// Errors: kNotFound when no checkpoint covers it, kTampered, those of the log.
Result<std::string> ProveEntry(const LedgerPublic& ledger, Log& log, Position position);

struct ProvenEntry {
  Position position;
  TimeMicros admitted_at;
  v1::EventHeader header;
  std::string payload;          // of a clear kind
  TreeHead checkpoint, issuer_head;
  std::string issuer_key;       // 32 bytes
  std::map<std::string, TimeMicros> cosigners;
  WitnessPolicy::Verdict verdict;
};
// `key`: the ledger's, its name the origin of its checkpoints. Errors: kCorrupt, kTampered.
Result<ProvenEntry> CheckEvidence(std::string_view text, const NoteKey& key, const WitnessPolicy& policy);

}  // namespace daicho
