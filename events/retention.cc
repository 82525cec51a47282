#include "events/retention.h"

#include <algorithm>

namespace daicho {
namespace {

constexpr int kYearMax = 9'999;

int DaysInMonth(int year, int month) {
  constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
  return month == 2 && leap ? 29 : kDays[month - 1];
}

}  // namespace

std::optional<Date> LastRetainedDay(Date start, std::uint32_t years) {
  const std::uint64_t year = static_cast<std::uint64_t>(start.year) + years;
  if (year > kYearMax) return std::nullopt;
  const int days = DaysInMonth(static_cast<int>(year), start.month);
  Date last{static_cast<std::int16_t>(year), start.month, start.day};
  if (start.day <= days) return DateOfDayNumber(DayNumber(last) - 1);
  last.day = static_cast<std::uint8_t>(days);  // no corresponding day: the month's last
  return last;
}

bool IsExpired(Date start, std::uint32_t years, Date judged_on) {
  const auto last = LastRetainedDay(start, years);
  return last && *last < judged_on;
}

events::v1::RetentionStart StartOf(events::v1::RetentionClass retention, events::v1::Effect effect) {
  using namespace events::v1;  // NOLINT: names of its enums
  if (retention != RETENTION_CLASS_NOTICE) return RETENTION_START_ADMITTED;
  const bool removal = effect == EFFECT_REMOVED || effect == EFFECT_REMOVED_LATE;
  return removal ? RETENTION_START_RECEIVED : RETENTION_START_SUPERSEDED;
}

std::optional<Date> RetentionStartDay(const RetentionFacts& facts) {
  if (StartOf(facts.retention, facts.effect) == events::v1::RETENTION_START_SUPERSEDED) return facts.superseded;
  return facts.admitted;
}

}  // namespace daicho
