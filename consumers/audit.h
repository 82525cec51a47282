// Audit: verifies a whole ledger and believes none of it: every byte of every entry, every issuer's signed heads,
// the ledger's tree against every checkpoint, cosignatures against the policy, erasures against the rules. It
// needs the ledger's public part and no data key.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "consumers/audit_checkpoints.h"
#include "consumers/home.h"

namespace daicho {

struct AuditOptions {
  LedgerPublic ledger;
  // Borrowed, both.
  Log* log = nullptr;
  const Clock* clock = nullptr;
  std::optional<WitnessPolicy> policy;  // none: the ledger's own
  std::string kept_checkpoint;          // the ledger must extend it; empty: none
  std::optional<std::chrono::seconds> max_age;
  bool first_only = false;  // stop at the first finding
  // Of what else holds the ledger's entries, such as the tiles of an export.
  std::function<void(const LedgerReplay::Checked&)> each;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

// More are counted, not kept.
inline constexpr std::size_t kFindingsMax = 10'000;

struct AuditIssuer {
  std::uint64_t size = 0;
  Digest root{};
  bool whole = true;  // all of its events are there
};

struct AuditResult {
  LedgerPublic ledger;
  std::string source;  // for people
  TimeMicros begun, ended;
  std::uint64_t size = 0, bytes = 0;
  Digest root{};
  TimeMicros first_admitted_at, last_admitted_at;
  std::optional<CheckedCheckpoint> checkpoint;  // the newest
  std::uint64_t checkpoints = 0, covered = 0;   // entries covered by a good one
  std::vector<std::pair<std::uint64_t, Digest>> roots;  // of the ledger at regular sizes and at its end
  std::map<std::string, AuditIssuer> issuers;
  std::map<v1::EventKind, std::uint64_t> kinds;
  std::uint64_t erasures = 0, erased_keys = 0, erased_parts = 0;
  // Of all that the replay ends with: size, root, issuers. Equal for equal ledgers.
  Digest state{};
  std::vector<Finding> findings;
  std::uint64_t findings_total = 0;
  std::vector<std::string> warnings;  // for people, in Japanese

  bool good() const { return findings_total == 0; }
};

// Errors: those of the log; what the ledger is found to be is in the result.
Result<AuditResult> Audit(const AuditOptions& options);

}  // namespace daicho
