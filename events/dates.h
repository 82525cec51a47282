// Dates as the law, machines and people write them. Japan time is UTC+9 all year, so no time zone
// database is consulted: what a date meant stays computable from these functions alone.
//
// Parsers are strict and allocate nothing (but ParsePersonDate, which serves people); none of them
// changes what was received.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "events/ids.h"
#include "events/result.h"

namespace daicho {

// A day of the (proleptic) Gregorian calendar, years 1 to 9999. Members are always a real day when
// the value came from a function of this header.
struct Date {
  std::int16_t year = 1;
  std::uint8_t month = 1;
  std::uint8_t day = 1;
  friend constexpr auto operator<=>(const Date&, const Date&) = default;
};

// Exactly "YYYY-MM-DD", and a day that exists.
std::optional<Date> ParseDate(std::string_view text);
std::string FormatDate(Date date);

// Days since 1970-01-01; may be negative.
std::int64_t DayNumber(Date date);
// Requires: a day of the years 1 to 9999.
Date DateOfDayNumber(std::int64_t day_number);

// The day it is in Japan at that moment. Requires: a moment of the years 1 to 9999.
Date JapanDate(TimeMicros time);
// First and last microsecond of that day in Japan.
TimeMicros StartOfDay(Date date);
TimeMicros EndOfDay(Date date);

// RFC 3339 with an offset: "2026-11-24T09:12:03+09:00", "…03.123456Z". Digits beyond microseconds
// (at most nine) are dropped. Refused: no offset, the unknown offset -00:00, lower case, a leap
// second.
std::optional<TimeMicros> ParseTimestamp(std::string_view text);
// In Japan time; microseconds only when they are not zero.
std::string FormatTimestamp(TimeMicros time);

// 生年月日 may be incomplete (不詳) or name a day no calendar has (非暦日). 0: unknown.
struct LenientDate {
  std::int16_t year = 0;
  std::uint8_t month = 0;
  std::uint8_t day = 0;
  friend constexpr auto operator<=>(const LenientDate&, const LenientDate&) = default;
};

inline constexpr int kLenientYearMin = 1800;

// "1950-02-03", "1950-02-??", "1950-??-??", "????-??-??". Days run to 31 in every month
// ("1911-02-29", "1950-04-31"); a month 13, a day 32, a day without its month and a year before
// 1800 are refused.
std::optional<LenientDate> ParseLenientDate(std::string_view text);
// True if the date, whatever its unknown parts are, can only lie after `day`.
bool IsAfter(LenientDate date, Date day);

// As official letters write it: "令和8年11月26日", "令和元年5月1日"; before 明治6年 without an era.
std::string FormatEraDate(Date date);
// "昭和25年2月（日不詳）", "昭和25年（月日不詳）", "年月日不詳", "明治44年2月29日"; without an era where the known part leaves
// two open ("1989年（月日不詳）").
std::string FormatEraDate(LenientDate date);

// What a person types: "2026-11-23", "2026/11/23", "2026年11月23日", "20261123", 令和8年11月23日,
// 令和元年5月1日, "R8.11.23"; full-width digits and spaces are taken as such. A date outside its
// era (平成31年5月1日, 昭和64年1月8日) is refused; so is an era date before 明治6年, whose months
// were lunar. Errors: kInvalid with a Japanese message that does not repeat the input.
Result<Date> ParsePersonDate(std::string_view text);
// What a person types to find a 生年月日: as above, and a year, or a year and month, alone ("1988", "1988-02",
// "昭和63年", "S63.2"), what ParseLenientDate takes, and days that no calendar has. All unknown: "不詳",
// "生年月日不詳", "????-??-??". A year and month are held to their era as far as they say: 昭和64年 is 1989.
Result<LenientDate> ParsePersonLenientDate(std::string_view text);

}  // namespace daicho
