// 振り仮名 in the matching definition: 清音化, long vowels, and what a typed reading may mean. README.md,
// *Matching*. Part of matching.h; not for others.
#pragma once

#include "events/result.h"
#include "projections/folding.h"
#include "projections/matching.h"

namespace daicho::folding {

FoldedName FoldKana(const Characters& characters);
// Errors: kInvalid, in Japanese.
Result<NameQuery> ParseKana(const Characters& characters);

}  // namespace daicho::folding
