// Re-execution: every answer that the prefecture gave is evaluated again, from the log and the data keys alone, on all
// cores. What the ledger says must be what the law as set then, the conditions and the records of then give, to the byte;
// what stands on the agencies' topics must be what the ledger says; requests must be answered whole and once. And what
// comparisons with other copies found, and how it ended, is judged again (consistency_audit.h).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "consumers/answer_audit.h"
#include "consumers/consistency_audit.h"
#include "consumers/home.h"

namespace daicho {

struct ReexecutionOptions {
  LedgerPublic ledger;
  // Borrowed, all.
  Log* log = nullptr;
  const KeyStore* keys = nullptr;
  const Clock* clock = nullptr;
  KeyHolder* at_rest = nullptr;  // null: the record file is in clear
  std::shared_ptr<const Matching> matching;
  std::optional<CopyKey> copy_key;  // by which copies are compared; none: what rests on it is not judged
  std::string dir;               // of a record file of its own, made or continued
  bool keep = false;             // leave it there
  Position from;                 // events of these positions, both included
  std::optional<Position> to;
  unsigned workers = 0;          // 0: as many as cores
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // of positions, then of the same again
};

struct Reexecution {
  TimeMicros begun, ended;
  std::uint64_t size = 0;     // entries of the ledger
  std::uint64_t events = 0;   // 提供 and 移転, refused ones too
  std::uint64_t answers = 0;  // evaluated again
  std::uint64_t receipts = 0;
  std::uint64_t deliveries = 0;  // records on the agencies' topics
  std::uint64_t runs = 0, differences = 0;  // of comparisons
  std::uint64_t erased = 0, unjudged = 0;   // see AnswerAudit and ConsistencyAudit
  double seconds = 0;         // that evaluating answers took, without making the record file
  double processor_seconds = 0;
  double comparing_seconds = 0;  // that repeating comparisons took
  std::vector<ReexecutionFinding> findings;     // by position and part
  std::uint64_t findings_total = 0;        // more than kFindingsMax are counted, not kept
  std::vector<std::string> warnings;       // for people, in Japanese

  bool good() const { return findings_total == 0; }
};

// Errors: kTampered when the ledger does not verify; those of the log and the store.
Result<Reexecution> Reexecute(const ReexecutionOptions& options);

std::string ReexecutionJson(const Reexecution& result);
std::string ReexecutionText(const Reexecution& result);

}  // namespace daicho
