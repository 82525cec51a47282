// The register of comparisons (整合性確認): each run, each difference as a case, and how it ended. Made of the ledger's
// CONSISTENCY_RUN and DIFFERENCE_… entries, in the record file's store, by the projector. An entry whose key is erased leaves
// nothing.
//
//   family        key (big-endian)                                        value
//   consistency   'r' ‖ position(8)                                       admitted_at(8) ‖ ConsistencyRun
//                 'd' ‖ position(8)                                       admitted_at(8) ‖ handle(16) ‖ DifferenceFound
//                 'c' ‖ holder ‖ 00 ‖ 住民票コード(8, a number) ‖ position(8)   nothing: the difference there
//                 'n' ‖ run(16) ‖ position(8)                             nothing: the difference there
//                 's' ‖ position of the difference(8)                     position(8) ‖ admitted_at(8) ‖ DifferenceResolved
//
// Thread-safe for reading while a Projector writes.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "events/consistency.pb.h"
#include "events/event.h"
#include "ledger/key_store.h"
#include "ledger/replay.h"
#include "ledger/store.h"

namespace daicho {

class ConsistencyRegister {
 public:
  struct Run {
    Position position;
    TimeMicros admitted_at;
    v1::ConsistencyRun event;
  };
  struct Case {
    Position position;  // of the difference
    TimeMicros found_at;
    SubjectHandle subject{};  // of nobody in the record file, where the prefecture has no such person
    v1::DifferenceFound found;
    std::optional<Position> settled_at;  // none: open
    TimeMicros resolved_at;
    v1::DifferenceResolved resolved;
  };

  explicit ConsistencyRegister(const Store& record_file) : store_(record_file) {}  // borrowed

  // What was known at `at`, each by position. Errors: kCorrupt; kNotFound of CaseAt when there is none.
  Result<std::vector<Run>> Runs(Position at) const;
  Result<Case> CaseAt(Position found, Position at) const;
  // The differences that the run found and no run before it.
  Result<std::vector<Case>> CasesOf(std::string_view run, Position at) const;
  // The newest case of that person with that holder, if it is open.
  Result<std::optional<Case>> OpenCase(const std::string& holder, std::uint64_t code, Position at) const;
  // Of one holder; empty: of all. By holder and 住民票コード.
  Result<std::vector<Case>> Cases(const std::string& holder, Position at) const;
  Result<std::vector<Case>> OpenCases(const std::string& holder, Position at) const;
  // How many cases are open and how many runs there are, as of now, and the newest run's time; reads keys alone.
  struct Totals {
    std::uint64_t open = 0, runs = 0;
    std::optional<TimeMicros> last_run;
  };
  Result<Totals> Count() const;

 private:
  const Store& store_;
};

namespace consistency_register {

using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
using Erased = std::function<void(const v1::KeyReference&)>;

// The projector's side: what an entry puts into the register. `erased` is told of a part that has no key any more.
// Errors: kTampered, kCorrupt.
Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased);

}  // namespace consistency_register

}  // namespace daicho
