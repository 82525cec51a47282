#include "consumers/generate/calendar.h"

namespace daicho::generate {
namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

constexpr Day kEpoch = 10957;  // 2000-01-01
constexpr std::uint32_t kDaySeconds = 86400;

bool IsWorkingDay(Day day) {
  const int weekday = (day + 4) % 7;  // 1970-01-01 was a Thursday; 0 is Sunday
  const Civil civil = CivilOf(day);
  const bool new_year =
      (civil.month == 12 && civil.day >= 29) || (civil.month == 1 && civil.day <= 3);
  return weekday != 0 && weekday != 6 && !new_year;
}

void AppendTwo(int value, std::string& out) {
  out += static_cast<char>('0' + value / 10);
  out += static_cast<char>('0' + value % 10);
}

}  // namespace

Civil CivilOf(Day day) {
  const year_month_day date{sys_days(std::chrono::days(day))};
  return {int(date.year()), static_cast<int>(unsigned(date.month())),
          static_cast<int>(unsigned(date.day()))};
}

Day DayOf(Moment moment) { return kEpoch + static_cast<Day>(moment / kDaySeconds); }

Moment StartOf(Day day) { return static_cast<Moment>(day - kEpoch) * kDaySeconds; }

bool IsLeap(int year) { return std::chrono::year(year).is_leap(); }

int AgeOn(Day birth, Day day) {
  const Civil from = CivilOf(birth);
  const Civil to = CivilOf(day);
  const bool before = to.month < from.month || (to.month == from.month && to.day < from.day);
  return to.year - from.year - (before ? 1 : 0);
}

void AppendDate(Day day, std::string& out) {
  const Civil civil = CivilOf(day);
  AppendTwo(civil.year / 100, out);
  AppendTwo(civil.year % 100, out);
  out += '-';
  AppendTwo(civil.month, out);
  out += '-';
  AppendTwo(civil.day, out);
}

void AppendMoment(Moment moment, std::string& out) {
  AppendDate(DayOf(moment), out);
  const int seconds = static_cast<int>(moment % kDaySeconds);
  out += 'T';
  AppendTwo(seconds / 3600, out);
  out += ':';
  AppendTwo(seconds / 60 % 60, out);
  out += ':';
  AppendTwo(seconds % 60, out);
  out += "+09:00";
}

Period::Period(int year, int month)
    : month_(month),
      first_(DayOf(Civil{month == 1 ? year - 1 : year, month == 1 ? 12 : month - 1, 21})),
      last_(DayOf(Civil{year, month, 20})) {
  for (Day day = first_; day <= last_; ++day) {
    if (IsWorkingDay(day)) working_days_.push_back(day);
  }
}

Moment Period::AnyMoment(Random& random) const {
  const Day day = working_days_[random.Below(static_cast<std::uint32_t>(working_days_.size()))];
  return StartOf(day) + 30600 + random.Below(31500);
}

}  // namespace daicho::generate
