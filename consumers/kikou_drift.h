// What goes wrong at the stand-in for 機構 on demand, and what exactly went wrong, so that a reconciliation can be held
// against it. The same seed on the same rows hits the same residents.
//
//   drop       a row vanishes                       lose     a coming notice is acknowledged and forgotten
//   duplicate  the same person again under another 住民票コード
//   delay      a coming notice waits for release    release  what waited is taken; count and seed say nothing
//   alter      a field is changed                   glyph    a character becomes its variant, or loses its selector
//   reorder    an earlier notice stands             removed  記載 becomes 消除, or the reverse
//   retention  保存期間フラグ is not what the state asks for
//
// A hit is a line of JSON: {"kind","resident_code"} and, by kind, "copy" (the code of the duplicate), "field",
// "update_number" (that stands now), "removed", "retention", "position" (of a notice).
#pragma once

#include <string>

#include "consumers/kikou_holding.h"

namespace daicho {

// The lines of those who were hit at once: of lose and delay none, their notices are yet to come. Fewer than asked for
// where there are fewer to hit. Errors: kInvalid for an unknown kind or a count of 0.
Result<std::string> ApplyDrift(KikouHolding& holding, const kikou::Drift& drift);

}  // namespace daicho
