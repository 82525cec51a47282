// Reads what an operator supplies of 異体字 (VariantFiles). Part of variants.h; not for others.
#pragma once

#include <map>
#include <set>
#include <utility>

#include "events/result.h"
#include "projections/variants.h"

namespace daicho::variants {

// A character and a variation selector, or 0.
using Sequence = std::pair<char32_t, char32_t>;
// Every source that the files name, with all that it may become.
using Candidates = std::map<Sequence, std::set<char32_t>>;

// Ideographs only, unified ones. Errors: as VariantTable::Load.
Result<Candidates> ReadVariantFiles(const VariantFiles& files);

}  // namespace daicho::variants
