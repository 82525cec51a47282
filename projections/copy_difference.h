// What is the same in two copies of the record file, and what is not: the one definition, for every way by which
// differences are found. README.md, *Copy difference*. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/consistency.pb.h"
#include "projections/variants.h"

namespace daicho {

namespace v1 = events::v1;

struct RowDifference {
  v1::DifferenceClass difference_class = v1::DIFFERENCE_CLASS_UNSPECIFIED;
  // Those of v1::ResidentRecord in its order, then "update_number", "status", "retention". Empty where one side has no row.
  std::vector<std::string> fields;
};

// One person in both copies; null: has no row there. Nothing: no field differs by a byte. Never DUPLICATE, which
// no row shows by itself. Requires: not both null, and of one 住民票コード.
//
//   MISSING_THERE, MISSING_HERE   one side has no row
//   REMOVED_STATE                 消除 on one side
//   ORDER                         更新順番号 differ
//   ANCILLARY                     保存期間フラグ, and no field but by how its characters are written
//   GLYPH                         what differs is how characters are written: selectors, 異体字, images of 外字
//   FIELD                         anything else
std::optional<RowDifference> CompareRows(const v1::HeldCopy* here, const v1::HeldCopy* there,
                                         const VariantTable& variants);

// Who it is, the update number, the state with its 保存期間フラグ, and those fields of the record; without `fields` the whole row.
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

// What one 住民票コード is in two copies: DUPLICATE before all else, where it has two rows there ("resident_code") or a 個人番号 of
// it clashes ("individual_number"); then as CompareRows. Null, and empty: has no row there. Requires: not both.
std::optional<RowDifference> CompareCopies(const v1::HeldCopy* here, std::span<const v1::HeldCopy> there,
                                           const NumberClashes& clashes, const VariantTable& variants);

}  // namespace daicho
