// 住所 in the matching definition: numbers and what stands between them. README.md, *Matching*. Part of
// matching.h; not for others.
#pragma once

#include <string>
#include <string_view>

#include "projections/folding.h"

namespace daicho::folding {

// ReadCharacters() for an address: が, ヶ and ケ are one.
Characters ReadAddress(const VariantTable& variants, std::string_view text);
// Of what ReadAddress() gave. Every number ends with '-', '|' stands before the 方書.
std::string FoldAddress(std::u32string_view characters);

}  // namespace daicho::folding
