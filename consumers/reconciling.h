// Reconciling (整合性確認): compares the record file with the copy that 機構 or a municipality holds, as of one entry of the
// ledger, judges each difference by the ledger, and sees it to its end. The record is never edited: a difference is a case,
// closed by what makes both sides equal, or by a stated decision.
//
//   order ─► cut ─► codes that differ ─► rows ─► judged ─► ledger (DifferenceFound …, DifferenceResolved …, ConsistencyRun)
//                   line: sketch, buckets         kept on     └► 機構: corrections    └► municipalities, by their receipts
//                   file: merge                   disk
//
// What was judged is on disk before its first event is submitted, so that a crash repeats the rest of it and nothing else. One
// comparison at a time. Definitions: projections/README.md, *Copy difference*.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "consumers/kikou_line.h"
#include "consumers/notice_file.h"
#include "events/clock.h"
#include "events/event.h"
#include "projections/projector.h"

namespace daicho {

namespace reconciling {
class Pending;
}

// What an operator signs: see operator_act.h, over ReconcileOrder::Digest, or of a resolution the digest of the
// DifferenceResolved as ordered.
inline constexpr std::string_view kReconcileTag = "daicho/reconcile/1\n";
inline constexpr std::string_view kResolveTag = "daicho/resolve/1\n";

struct ReconcilingOptions {
  int prefecture = 0;
  LedgerId ledger{};
  std::string dir;
  const Clock* clock = nullptr;  // borrowed
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves; keeps copies
  std::function<Result<std::optional<KikouPeer>>()> peer;       // whom the node knows as 機構; none: nobody yet
  std::function<SigningKey()> kikou_key;                        // of the role kikou, which speaks to 機構
  CopyKey copy_key;                                             // by which copies are compared
  std::function<Result<std::uint64_t>()> ledger_size;           // entries that are in the ledger now
  // As of KikouNotifyingOptions.
  std::function<Status()> prepare;
  std::function<Result<v1::Receipt>(const std::vector<DraftEvent>&)> submit;
  std::function<Result<std::optional<Position>>()> settle;
  std::chrono::milliseconds timeout{30'000};  // of one message to 機構
  int line_tries = 5;                         // when the line is lost, a second apart and more
};

struct ReconcileOrder {
  std::string holder;        // "kikou", or a 市町村コード; empty: as the file says, or "kikou"; of a sketch "replica"
  std::string municipality;  // narrows; empty: all
  std::string file;          // a copy file or a sketch file of the node's machine; empty: over the line
  std::string url;           // of 機構's end of the line, where it is not the one known
  std::string out;           // a file for the differences, a line of JSON each, and the summary; empty: none
  v1::OperatorAct operator_act;  // empty operator_id: a scheduled run

  Digest SignedDigest() const;  // of all above but the act
};

struct ReconcileOutcome {
  Position position;  // of the ConsistencyRun
  v1::ConsistencyRun run;
  std::uint64_t resolved = 0;      // cases that this run closed
  std::uint64_t corrected = 0;     // notices and absent codes that 機構 took
  std::string correction_failure;  // why it did not; empty: it did, or there was none
  std::vector<FileError> errors;   // the copy file is refused: nothing was compared
};

// The summary, one line of JSON (consumers/README.md); of a copy file that is refused {"errors":[…]}.
std::string ComparisonJson(const ReconcileOutcome& outcome);

class Reconciling {
 public:
  explicit Reconciling(ReconcilingOptions options);
  ~Reconciling();

  // Blocks until all of it is in the ledger. Errors: kDenied for an operator who may not (recorded); kInvalid with field and rule;
  // kTampered, kCorrupt for a counterpart that answers what no copy gives; kUnavailable when the line is lost for good or an
  // event could not be recorded: what was judged is finished at the next start or call.
  Result<ReconcileOutcome> Run(const ReconcileOrder& order);
  // Records what a crash cut off. Run does it first.
  Status FinishPending();
  // A stated decision on an open case: `event` is a DifferenceResolved with found_position, resolution and, as there is,
  // notice_position and settled_by. Errors: kDenied; kNotFound, kConflict when there is no such open case; kInvalid.
  Result<Position> Resolve(v1::DifferenceResolved event, const v1::OperatorAct& act);

  // {"running","holder","open"}: what is compared at this moment; cases that are open.
  Result<std::string> StatusJson() const;
  // Runs, or cases, a line of JSON each, without anything about a person.
  Result<std::string> RunsJson() const;
  Result<std::string> CasesJson(const std::string& holder, bool open_only) const;
  // A sketch file of our own copy, for a replica or 機構 to compare with theirs; says nothing without the key. A long one
  // takes a reading of all items.
  Status WriteSketch(const std::string& path, bool lengthened) const;
  // The key that a municipality makes its sketch files with, into a new file of its owner's alone (WriteCopyKeyFile).
  // Errors: kInvalid, kNotFound unless it is a registered municipality; kConflict for a file that is there.
  Status WriteKeyOf(const std::string& municipality, const std::string& path) const;

 private:
  struct Comparison;
  struct Turn;

  Status Visible(Position position) const;
  Status Settle();
  Status Submit(std::vector<DraftEvent> events);
  Status CheckOperator(const ReconcileOrder& order, v1::ConsistencyRun& run);
  Status FinishLeft();
  Result<ReconcileOutcome> Finish(const reconciling::Pending& pending, const std::optional<KikouPeer>& peer);
  Result<Position> RecordRun(const v1::ConsistencyRun& run);
  void Correct(const kikou::Corrections& corrections, const std::optional<KikouPeer>& peer, ReconcileOutcome& outcome) const;
  Status WriteLines(const std::string& path, const std::vector<std::string>& lines, const ReconcileOutcome& outcome) const;

  ReconcilingOptions options_;
  std::mutex mutex_;  // one comparison at a time
  std::atomic<bool> running_ = false;
};

}  // namespace daicho
