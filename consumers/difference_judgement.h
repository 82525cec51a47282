// How a difference between the record file and another copy is judged (整合性確認): who it is about, what follows from it, and why it
// has ended. One definition for who compares (reconciling.h) and for who repeats a comparison from the ledger
// (consistency_audit.h). Pure but for what it reads from the record file; thread-safe.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "projections/consistency_register.h"
#include "projections/copy_difference.h"
#include "projections/copy_fingerprint.h"
#include "projections/copy_item.h"
#include "projections/record_file.h"

namespace daicho {

// Whose copy it is: ConsistencyRun.holder. Any other is a 市町村コード.
inline constexpr char kHolderKikou[] = "kikou";
inline constexpr char kHolderReplica[] = "replica";  // another node of the prefecture
bool IsMunicipality(const std::string& holder);

// Whether the row stands with the municipality: its sketch is of such rows, and so is our side of it.
bool StandsWith(const v1::HeldCopy& row, std::string_view municipality);
bool StandsWith(const v1::UpdateNotice& notice, std::string_view municipality);  // the row that it leaves

// By what the run's fingerprints are made, of the key of its epoch.
CopyKey FingerprintKey(const CopyKey& key, const v1::ConsistencyRun& run);
// Our rows that the run compares; null: all.
std::function<bool(const v1::UpdateNotice&)> ComparedRows(const v1::ConsistencyRun& run);
// Of a municipality's sketch: though the run is of one municipality, its differences are all that parts the two sides.
bool IsMunicipalitySketch(const v1::ConsistencyRun& run);

// Whom the prefecture has under a 住民票コード.
struct HeldPerson {
  std::optional<Version> version;        // whose row stands under the code
  std::optional<SubjectHandle> subject;  // also of who had the code before, like the slot
  std::optional<KeySlot> slot;

  std::optional<v1::HeldCopy> Row() const;
};
// As known after the entry at `at`; nobody is no error. Errors: those of the store.
Result<HeldPerson> HeldUnder(const RecordFile& file, const std::string& code, Position at);

// Takes the number of each row, and of who has it here at `at`. Errors: those of the store.
Status TakeNumbers(const RecordFile& file, Position at, const v1::HeldCopy& row, NumberClashes& clashes);

// CompareCopies, by the variants that are shipped. `there_unknown`: there is a row there, of which nothing is known but that it
// differs. Requires: a row on either side.
std::optional<RowDifference> ClassifyDifference(const v1::HeldCopy* here, std::span<const v1::HeldCopy> there,
                                                bool there_unknown, const NumberClashes& clashes);

// As ConsistencyRun has it.
std::string FingerprintBytes(const CopyTotal& total);

// What is to be done about a difference with that holder. `there`: null where its row is not known or there is none.
enum class DifferenceWay {
  kNone,
  kCorrect,    // 機構 is told our row again
  kSayAbsent,  // 機構 is told that we have nobody
  kReport,     // 通報: whose resident it is looks at it
};
DifferenceWay WayOf(const std::string& holder, const HeldPerson& here, const v1::HeldCopy* there);

// Of the run, and of the municipality that the difference counts for; empty: none.
void CountDifference(v1::ConsistencyRun& run, v1::DifferenceClass difference_class, const std::string& municipality);
std::string CountedFor(const v1::ConsistencyRun& run, const v1::HeldCopy* here, const v1::HeldCopy* there);
v1::MunicipalityResult& ResultOf(v1::ConsistencyRun& run, const std::string& municipality);

// Whether the run would find the case again if it still stood. `here`: as the run takes it.
bool Covers(const v1::ConsistencyRun& run, const v1::DifferenceFound& found, const HeldPerson& here);

// The event, but for its report.
v1::DifferenceFound FoundBy(const v1::ConsistencyRun& run, std::uint64_t number, const std::string& code,
                            const RowDifference& difference, const v1::HeldCopy* here, const v1::HeldCopy* there);
// Whom the 通報 goes to, and under what number; and what the run's result tells of it. Requires: kReport.
v1::MunicipalityReport ReportOf(const v1::DifferenceFound& found, const HeldPerson& here);
v1::MunicipalityCase ToldCase(const v1::DifferenceFound& found, const HeldPerson& here);

// The row of the other holder, all of it, as the event tells it where `here` is our whole row at its `evaluated_at` or at
// that of a run which found it again. None: the holder has no row, or it is not known what it has.
std::optional<v1::HeldCopy> RowThere(const v1::DifferenceFound& found, const v1::HeldCopy* here);

// Whether it is what was found before: the same fields, and the same in them there. What we have may be newer.
bool IsSameDifference(const v1::DifferenceFound& before, const v1::DifferenceFound& now);

// How a case ended that a later run covers: it was not found again, or otherwise than before (`replaced`). `here`: as the
// later run took it. Without the date.
v1::DifferenceResolved SettlementOf(const ConsistencyRegister::Case& open, const HeldPerson& here, bool replaced);

}  // namespace daicho
