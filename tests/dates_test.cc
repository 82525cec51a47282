// Dates as machines, the law and people write them: exact bounds, and what is refused.
#include "events/dates.h"

#include <gtest/gtest.h>

#include <string>

namespace daicho {
namespace {

TEST(Date, ParsesOnlyDaysThatExist) {
  EXPECT_EQ(ParseDate("2026-11-23"), (Date{2026, 11, 23}));
  EXPECT_EQ(ParseDate("2028-02-29"), (Date{2028, 2, 29}));
  EXPECT_EQ(ParseDate("0001-01-01"), (Date{1, 1, 1}));
  for (const char* bad : {"", "2026-02-29", "1900-02-29", "2026-13-01", "2026-00-01", "2026-01-00",
                          "2026-04-31", "0000-01-01", "2026-1-01", "2026/11/23", "2026-11-23 ",
                          " 2026-11-23", "2026-11-2a", "+026-11-23", "20261123", "２026-11-23"}) {
    EXPECT_EQ(ParseDate(bad), std::nullopt) << bad;
  }
}

TEST(Date, DayNumbersGoBothWays) {
  EXPECT_EQ(DayNumber({1970, 1, 1}), 0);
  EXPECT_EQ(DayNumber({1969, 12, 31}), -1);
  EXPECT_EQ(DayNumber({2026, 11, 23}), 20780);
  for (std::int64_t day = DayNumber({1, 1, 1}); day <= DayNumber({9999, 12, 31}); day += 97) {
    const Date date = DateOfDayNumber(day);
    ASSERT_EQ(DayNumber(date), day);
    ASSERT_EQ(ParseDate(FormatDate(date)), date);
  }
}

TEST(JapanTime, DayBeginsAtFifteenHoursUtc) {
  const TimeMicros midnight = *ParseTimestamp("2026-11-23T15:00:00Z");
  EXPECT_EQ(JapanDate(midnight), (Date{2026, 11, 24}));
  EXPECT_EQ(JapanDate(TimeMicros(midnight.value() - 1)), (Date{2026, 11, 23}));
  EXPECT_EQ(StartOfDay({2026, 11, 24}), midnight);
  EXPECT_EQ(EndOfDay({2026, 11, 23}), TimeMicros(midnight.value() - 1));
  EXPECT_EQ(JapanDate(*ParseTimestamp("1969-12-31T14:59:59Z")), (Date{1969, 12, 31}));
}

TEST(Timestamp, OffsetsMeanTheSameMoment) {
  const auto moment = ParseTimestamp("2026-11-24T09:12:03+09:00");
  ASSERT_TRUE(moment);
  EXPECT_EQ(moment, ParseTimestamp("2026-11-24T00:12:03Z"));
  EXPECT_EQ(moment, ParseTimestamp("2026-11-23T18:42:03-05:30"));
  EXPECT_EQ(moment, ParseTimestamp("2026-11-24T00:12:03.000000999Z"));
  EXPECT_EQ(FormatTimestamp(*moment), "2026-11-24T09:12:03+09:00");
}

TEST(Timestamp, KeepsMicroseconds) {
  EXPECT_EQ(FormatTimestamp(*ParseTimestamp("2026-11-24T09:12:03.000450+09:00")),
            "2026-11-24T09:12:03.000450+09:00");
  EXPECT_EQ(FormatTimestamp(*ParseTimestamp("1965-01-01T00:00:00.5+09:00")),
            "1965-01-01T00:00:00.500000+09:00");
}

TEST(Timestamp, RefusesEverythingElse) {
  for (const char* bad :
       {"", "2026-11-24", "2026-11-24T09:12:03", "2026-11-24 09:12:03Z", "2026-11-24t09:12:03Z",
        "2026-11-24T09:12:03z", "2026-11-24T24:00:00Z", "2026-11-24T09:60:00Z",
        "2026-11-24T23:59:60Z", "2026-02-29T00:00:00Z", "2026-11-24T09:12:03.Z",
        "2026-11-24T09:12:03.1234567890Z", "2026-11-24T09:12:03+0900", "2026-11-24T09:12:03+9:00",
        "2026-11-24T09:12:03+24:00", "2026-11-24T09:12:03-00:00", "2026-11-24T09:12:03+09:00 ",
        "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59Z"}) {
    EXPECT_EQ(ParseTimestamp(bad), std::nullopt) << bad;
  }
}

TEST(LenientDate, AllowsUnknownPartsAndDaysThatNoCalendarHas) {
  EXPECT_EQ(ParseLenientDate("1988-02-29"), (LenientDate{1988, 2, 29}));
  EXPECT_EQ(ParseLenientDate("1911-02-29"), (LenientDate{1911, 2, 29}));
  EXPECT_EQ(ParseLenientDate("1950-04-31"), (LenientDate{1950, 4, 31}));
  EXPECT_EQ(ParseLenientDate("1950-02-??"), (LenientDate{1950, 2, 0}));
  EXPECT_EQ(ParseLenientDate("1950-??-??"), (LenientDate{1950, 0, 0}));
  EXPECT_EQ(ParseLenientDate("????-??-??"), (LenientDate{0, 0, 0}));
}

TEST(LenientDate, RefusesNonsense) {
  for (const char* bad : {"", "1950-13-01", "1950-00-01", "1950-01-32", "1950-01-00", "1950-??-03",
                          "????-02-03", "????-02-??", "195?-02-03", "1950-0?-??", "1799-12-31",
                          "0000-01-01", "1950-02-3?", "昭和25年2月3日", "1950-02-033"}) {
    EXPECT_EQ(ParseLenientDate(bad), std::nullopt) << bad;
  }
}

TEST(LenientDate, IsAfterADayOnlyIfItMustBe) {
  const Date day{2026, 11, 23};
  EXPECT_TRUE(IsAfter({2026, 11, 24}, day));
  EXPECT_TRUE(IsAfter({2026, 12, 0}, day));
  EXPECT_TRUE(IsAfter({2027, 0, 0}, day));
  EXPECT_FALSE(IsAfter({2026, 11, 23}, day));
  EXPECT_FALSE(IsAfter({2026, 11, 0}, day));
  EXPECT_FALSE(IsAfter({2026, 0, 0}, day));
  EXPECT_FALSE(IsAfter({0, 0, 0}, day));
  EXPECT_FALSE(IsAfter({2025, 12, 31}, day));
}

std::string Typed(std::string_view text) {
  const Result<Date> date = ParsePersonDate(text);
  return date.ok() ? FormatDate(*date) : date.status().message();
}

TEST(PersonDate, ReadsTheWaysPeopleWrite) {
  for (const char* text : {"2026-11-23", "2026/11/23", "2026.11.23", "20261123", "2026年11月23日",
                           "西暦2026年11月23日", "令和8年11月23日", "令和08年11月23日", "R8.11.23",
                           "r8.11.23", "R08/11/23", "R8-11-23", "Ｒ８．１１．２３",
                           "令和　８年 １１月 ２３日", "㋿8年11月23日", " 2026-11-23 "}) {
    EXPECT_EQ(Typed(text), "2026-11-23") << text;
  }
  EXPECT_EQ(Typed("2026-4-1"), "2026-04-01");
}

TEST(PersonDate, BelongsToTheNewEraFromTheDayOfChange) {
  EXPECT_EQ(Typed("令和元年5月1日"), "2019-05-01");
  EXPECT_EQ(Typed("R1.5.1"), "2019-05-01");
  EXPECT_EQ(Typed("平成31年4月30日"), "2019-04-30");
  EXPECT_EQ(Typed("平成元年1月8日"), "1989-01-08");
  EXPECT_EQ(Typed("昭和64年1月7日"), "1989-01-07");
  EXPECT_EQ(Typed("昭和元年12月25日"), "1926-12-25");
  EXPECT_EQ(Typed("大正15年12月24日"), "1926-12-24");
  EXPECT_EQ(Typed("大正元年7月30日"), "1912-07-30");
  EXPECT_EQ(Typed("明治45年7月29日"), "1912-07-29");
  EXPECT_EQ(Typed("明治6年1月1日"), "1873-01-01");
  EXPECT_EQ(Typed("S63.2.29"), "1988-02-29");
}

TEST(PersonDate, RefusesDaysOutsideTheirEra) {
  for (const char* text :
       {"平成31年5月1日", "昭和64年1月8日", "令和元年4月30日", "平成元年1月7日", "大正15年12月25日",
        "昭和元年12月24日", "明治45年7月30日", "大正元年7月29日"}) {
    EXPECT_EQ(Typed(text), "元号の期間の外の日付です") << text;
  }
  EXPECT_EQ(Typed("明治5年12月2日"), "明治5年以前の日付は旧暦のため、西暦で入力してください");
}

TEST(PersonDate, RefusesWhatIsNoDate) {
  for (const char* text : {"2026-02-29", "令和8年2月29日", "2026年13月1日", "2026-00-10"}) {
    EXPECT_EQ(Typed(text), "暦にない日付です") << text;
  }
  for (const char* text : {"", "きのう", "令和", "令和8年", "令和8年11月", "令和0年1月1日",
                           "8.11.23", "2026-11/23", "2026年11-23", "2026-11-23日", "R8.11.23.",
                           "令和元元年1月1日", "26-11-23", "令和100年1月1日", "2026-111-2"}) {
    EXPECT_EQ(Typed(text), "日付として読めません") << text;
  }
  EXPECT_EQ(Typed(std::string(1000, ' ')), "日付として読めません");
}

TEST(Date, IsWrittenInItsEra) {
  for (const auto& [date, text] : {std::pair{"2026-11-26", "令和8年11月26日"}, {"2019-05-01", "令和元年5月1日"},
                                   {"2019-04-30", "平成31年4月30日"}, {"1989-01-08", "平成元年1月8日"},
                                   {"1989-01-07", "昭和64年1月7日"}, {"1926-12-25", "昭和元年12月25日"},
                                   {"1926-12-24", "大正15年12月24日"}, {"1912-07-30", "大正元年7月30日"},
                                   {"1912-07-29", "明治45年7月29日"}, {"1873-01-01", "明治6年1月1日"},
                                   {"1872-12-31", "1872年12月31日"}, {"1950-02-??", "昭和25年2月（日不詳）"},
                                   {"1950-??-??", "昭和25年（月日不詳）"}, {"1989-??-??", "1989年（月日不詳）"},
                                   {"1989-01-??", "1989年1月（日不詳）"}, {"1989-02-??", "平成元年2月（日不詳）"},
                                   {"????-??-??", "年月日不詳"}, {"1911-02-29", "明治44年2月29日"}}) {
    const auto lenient = ParseLenientDate(date);
    ASSERT_TRUE(lenient) << date;
    EXPECT_EQ(FormatEraDate(*lenient), text);
    if (const auto exact = ParseDate(date)) {
      EXPECT_EQ(FormatEraDate(*exact), text);
      if (exact->year > 1872) {
        EXPECT_EQ(*ParsePersonDate(text), *exact);
      }
    }
  }
}

}  // namespace
}  // namespace daicho
