// When a retention period ends (令30条の6). The first day counts (民法140条・143条): what is kept for 150 years
// from 2026-11-23 is kept through 2176-11-22. Where the last year has no such day, through that month's last.
#pragma once

#include <optional>

#include "events/administration.pb.h"
#include "events/dates.h"
#include "events/envelope.pb.h"

namespace daicho {

// Requires: years of at least 1. Null when it lies beyond the calendar.
std::optional<Date> LastRetainedDay(Date start, std::uint32_t years);
// What may be erased on `judged_on`: its last retained day is over.
bool IsExpired(Date start, std::uint32_t years, Date judged_on);

// From which day an event's period counts. A removal counts from its own notice; any other notice from the
// next notice about the same person, and before there is one it never ends; what is no notice from its entry.
events::v1::RetentionStart StartOf(events::v1::RetentionClass retention, events::v1::Effect effect);

// What there is to know of one event to tell when it expires.
struct RetentionFacts {
  events::v1::RetentionClass retention = events::v1::RETENTION_CLASS_UNSPECIFIED;
  events::v1::Effect effect = events::v1::EFFECT_NONE;
  Date admitted;                     // day in Japan of its entry
  std::optional<Date> superseded;    // day of the next notice about the same person
};
// The day that its period counts from. Null: it has not begun.
std::optional<Date> RetentionStartDay(const RetentionFacts& facts);

}  // namespace daicho
