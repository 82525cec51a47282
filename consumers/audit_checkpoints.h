// CheckpointAudit: holds every checkpoint of the checkpoint topic against the ledger as it is replayed: signed by
// the key in force, the replayed root at its size, no second history, cosigned as the policy asks.
//
// Checkpoints are read as the replay reaches their sizes, so memory does not grow with their number.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "events/clock.h"
#include "events/tree_head.h"
#include "events/witness_policy.h"
#include "ledger/log.h"
#include "ledger/replay.h"

namespace daicho {

struct CheckpointAuditOptions {
  int prefecture = 0;
  LedgerId ledger{};
  Key256 sequencer{};                   // the ledger's first key, until the ledger tells
  std::optional<WitnessPolicy> policy;  // none: the ledger's own
  std::string kept;                     // a checkpoint that the auditor kept; empty: none
  std::optional<std::chrono::seconds> max_age;
  const Clock* clock = nullptr;         // borrowed
};

// The newest checkpoint found good.
struct CheckedCheckpoint {
  std::string note;
  TreeHead head;
  std::map<std::string, TimeMicros> cosigners;  // by the policy's names
  WitnessPolicy::Verdict verdict;
};

class CheckpointAudit {
 public:
  CheckpointAudit(CheckpointAuditOptions options, FindingSink sink);

  // Takes the checkpoints that the log holds at this moment. Call before the ledger's bounds are taken.
  Status Open(Log& log);
  // Judges those that the replay has reached. Cheap while there are none.
  Status Reached(const LedgerReplay& replay) {
    return replay.next_position().value() < next_size_ ? Status() : Judge(replay);
  }
  // The ledger has ended.
  Status Finish(const LedgerReplay& replay);

  const std::optional<CheckedCheckpoint>& newest() const { return newest_; }
  // Largest size of the checkpoints read so far; those read ahead count too.
  std::uint64_t last_size() const { return pending_.empty() ? good_size_ : pending_.rbegin()->first; }
  std::uint64_t count() const { return count_; }
  // Checkpoints that cannot be held against a ledger of which entries are missing.
  std::uint64_t unjudged() const { return unjudged_; }
  // Largest size of a checkpoint that the ledger agreed with.
  std::uint64_t good_size() const { return good_size_; }

 private:
  // A line of somebody whom the ledger has not named by then: a witness may cosign a checkpoint that is older than
  // the rules that name it.
  struct Stranger {
    std::uint64_t size = 0;
    std::string note;
    std::size_t line = 0;
  };
  struct Pending {
    std::string text;  // of the note
    std::string note;
    TreeHead head;
    bool kept = false;
  };

  Status Refill();
  void Read(const std::string& key, const std::string& note, bool kept);
  Status Judge(const LedgerReplay& replay);
  void JudgeOne(const Pending& pending, const LedgerReplay& replay);
  bool CheckSigned(const Pending& pending, const Note& note, const LedgerReplay& replay);
  void CheckRoot(const Pending& pending, const LedgerReplay& replay);
  void CheckCosigners(const Pending& pending, const Note& note, const LedgerReplay& replay);
  void LearnWitnesses(const LedgerReplay& replay);
  void CheckStranger(const Stranger& stranger);
  void CheckAge(const LedgerReplay& replay);
  void Report(std::uint64_t size, FindingKind kind, std::string detail);

  CheckpointAuditOptions options_;
  FindingSink sink_;
  std::unique_ptr<LogReader> reader_;
  Cursor end_;
  std::multimap<std::uint64_t, Pending> pending_;   // by size
  std::map<std::uint64_t, std::string> recent_;     // of the newest sizes read, the text
  std::uint64_t next_size_ = 0;                     // least of those pending
  Position policy_from_;                            // of the ledger's own policy
  bool policy_taken_ = false;
  WitnessPolicy policy_;
  std::map<std::string, NoteKey> witnesses_;        // ever named, by vkey
  std::vector<Stranger> strangers_;                 // at most kStrangersMax
  std::optional<CheckedCheckpoint> newest_;
  std::optional<TimeMicros> satisfied_at_;          // of the newest checkpoint that the policy is content with
  std::uint64_t satisfied_size_ = 0;
  std::uint64_t count_ = 0, unjudged_ = 0, good_size_ = 0;
  bool broken_ = false;  // the tree's disagreement has been reported
};

}  // namespace daicho
