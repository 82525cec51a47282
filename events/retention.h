// How long an event is kept (令30条の6), as arithmetic on days and on what an entry's leaf tells: whoever
// erases and whoever audits an erasure count alike. Pure.
#pragma once

#include "events/administration.pb.h"
#include "events/dates.h"
#include "events/envelope.pb.h"

namespace daicho {

namespace v1 = events::v1;

// Last day on which something is kept whose period began on `start`. The first day counts (起算して, 民法140条);
// where the last year has no such day, its month's end (143条).
Date LastRetainedDay(Date start, std::uint32_t years);

// A removal counts from its own receipt; any other notice from the receipt of the one that supersedes it.
// A late removal takes its place in the history only: it supersedes nothing, and is superseded like any
// other, since keys end in the order of their steps. So does a repeat. One that comes when the resident is removed
// already is superseded by nothing, and counts from its own receipt as a removal does.
bool IsRemoval(v1::Effect effect);    // 消除, whose period begins when it is received
bool Supersedes(v1::Effect effect);   // ends the currency of the notices before it
// Whether its period begins with itself; `removed`: of a resident who was removed before.
bool CountsFromItself(v1::Effect effect, bool removed);

// The rule for a notice (removal or not) or for another class. Null: it is kept.
const v1::RetentionRule* RuleFor(const v1::PolicyRules& rules, v1::RetentionClass retention, bool removal);

}  // namespace daicho
