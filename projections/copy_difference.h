// What is the same in two copies of the record file, and what is not: the one definition, for every way by which
// differences are found. README.md, *Copy difference*. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/consistency.pb.h"
#include "events/result.h"
#include "projections/variants.h"

namespace daicho {

namespace v1 = events::v1;

struct RowDifference {
  v1::DifferenceClass difference_class = v1::DIFFERENCE_CLASS_UNSPECIFIED;
  // Those of v1::ResidentRecord in its order, then "update_number", "status". Empty where one side has no row.
  std::vector<std::string> fields;
};

// One person in both copies; null: has no row there. Nothing: no field differs by a byte. Never DUPLICATE, which
// no row shows by itself. Requires: not both null, and of one 住民票コード.
//
//   MISSING_THERE, MISSING_HERE   one side has no row
//   REMOVED_STATE                 消除 on one side
//   ORDER                         更新順番号 differ
//   GLYPH                         what differs is how characters are written: selectors, 異体字, images of 外字
//   FIELD                         anything else
std::optional<RowDifference> CompareRows(const v1::HeldCopy* here, const v1::HeldCopy* there,
                                         const VariantTable& variants);

// Who it is, the update number, the state, and those fields of the record; without `fields` the whole row.
v1::HeldCopy DifferingFields(const v1::HeldCopy& row, const std::vector<std::string>& fields);

// 個人番号 that stand for two 住民票コード, over the rows of both sides. 16 bytes a row.
class NumberClashes {
 public:
  // A row without a number counts nothing.
  void Take(const v1::HeldCopy& row);
  // After the last row.
  void Close();
  // Requires: closed.
  bool Has(std::string_view individual_number) const;

 private:
  struct Pair {
    std::uint64_t number, code;
    friend auto operator<=>(const Pair&, const Pair&) = default;
  };
  std::vector<Pair> pairs_;      // until closed
  std::vector<std::uint64_t> clashing_;
};

// Fills `row` with the next one; false: there is none. Rows come by ascending 住民票コード.
using CopyRows = std::function<Result<bool>(v1::HeldCopy& row)>;
// Called once for each 住民票コード that differs, ascending. Null: has no row there.
using DifferenceSink = std::function<Status(const RowDifference&, const v1::HeldCopy* here, const v1::HeldCopy* there)>;

struct MergeCounts {
  std::uint64_t here = 0, there = 0;  // rows
};
// Every difference of two copies, DUPLICATE before all else: a 住民票コード with two rows on a side ("resident_code"), or a
// 個人番号 that clashes ("individual_number"). Memory is constant. Errors: kInvalid for rows out of order; those of
// the streams and the sink.
Result<MergeCounts> MergeCopies(const CopyRows& here, const CopyRows& there, const NumberClashes& clashes,
                                const VariantTable& variants, const DifferenceSink& sink);

}  // namespace daicho
