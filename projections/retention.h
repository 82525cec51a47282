// Retention: what has outlived its period (保存期間) and is to be erased. The projector writes down, as
// entries come, from which day the steps of a data key count; a question on a day then reads those days that
// lie far enough back.
//
//   due      class(1) ‖ day(4) ‖ slot(8) ‖ step(4)   →  counts(1) ‖ handle(16)
//            the period of that step of the slot's key counts from `day` (days since 1970); `counts` says of what else
//   erased   slot(8)                                 →  first step that is still to be read, as the erasures ordered
//
// Of notices: a notice that supersedes makes those before it due, and a removal itself too; a late removal or a
// repeat is due from its own receipt once all before it is over. Of all else: each part is due from its own
// admission. Judged from leaves alone (events/retention.h).
#pragma once

#include <functional>
#include <vector>

#include "events/erasure.pb.h"
#include "events/event.h"
#include "events/retention.h"
#include "ledger/replay.h"
#include "ledger/store.h"

namespace daicho {

namespace retention {

using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
// What one entry puts: the days it sets, or, of an Erasure, how far keys are gone.
Status PutEntry(const LedgerReplay::Checked& entry, const Put& put);

}  // namespace retention

// Rows to erase when `today` comes: those whose last retained day lies before it by `rules`, and that no
// erasure has ordered yet. Of one row the steps follow on one another, each range by one rule. At most `keys_max`
// rows, the oldest first.
Result<std::vector<v1::ErasedKeys>> FindExpired(const Store& record_file, const v1::PolicyRules& rules, Date today,
                                                std::size_t keys_max);

}  // namespace daicho
