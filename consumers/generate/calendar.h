// Days counted from 1970-01-01 and seconds of Japan time counted from 2000-01-01T00:00:00+09:00.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "consumers/generate/random.h"

namespace daicho::generate {

using Day = std::int32_t;
using Moment = std::uint32_t;

struct Civil {
  int year;
  int month;
  int day;
};

constexpr Day DayOf(Civil civil) {
  const std::chrono::year_month_day date{std::chrono::year(civil.year),
                                         std::chrono::month(static_cast<unsigned>(civil.month)),
                                         std::chrono::day(static_cast<unsigned>(civil.day))};
  return static_cast<Day>(std::chrono::sys_days(date).time_since_epoch().count());
}

Civil CivilOf(Day day);
Day DayOf(Moment moment);
Moment StartOf(Day day);
bool IsLeap(int year);
int AgeOn(Day birth, Day day);

void AppendDate(Day day, std::string& out);
void AppendMoment(Moment moment, std::string& out);

// The office hours of one month of notices: from the 21st to the 20th.
class Period {
 public:
  // The period that ends on the 20th of the given month.
  Period(int year, int month);

  Day first() const { return first_; }
  Day last() const { return last_; }
  int month() const { return month_; }
  // A moment on a working day, between 8:30 and 17:15.
  Moment AnyMoment(Random& random) const;

 private:
  int month_;
  Day first_;
  Day last_;
  std::vector<Day> working_days_;
};

}  // namespace daicho::generate
