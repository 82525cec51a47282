// The arithmetic of retention periods. Method: the examples that follow from 令30条の6 and 民法140・143条, by
// hand; and a walk over every day of leap and common years against the plain reading of the rule.
#include "events/retention.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

std::string LastDay(const char* start, std::uint32_t years) {
  const auto last = LastRetainedDay(ParseDate(start).value(), years);
  return last ? FormatDate(*last) : "never";
}
bool Expired(const char* start, std::uint32_t years, const char* on) {
  return IsExpired(ParseDate(start).value(), years, ParseDate(on).value());
}

TEST(Retention, TheFirstDayCounts) {
  EXPECT_EQ(LastDay("2026-11-23", 150), "2176-11-22");
  EXPECT_EQ(LastDay("2024-03-01", 150), "2174-02-28");
  EXPECT_EQ(LastDay("2015-07-08", 150), "2165-07-07");
  EXPECT_EQ(LastDay("2026-01-01", 7), "2032-12-31");
}

TEST(Retention, WhereTheLastYearHasNoSuchDayTheMonthsLastDayCounts) {
  EXPECT_EQ(LastDay("2028-02-29", 150), "2178-02-28");
  EXPECT_EQ(LastDay("2028-02-29", 4), "2032-02-28") << "that year has the day: the day before it";
}

TEST(Retention, WhatIsKeptThroughADayMayGoOnTheNext) {
  EXPECT_FALSE(Expired("2015-07-08", 150, "2165-07-07"));
  EXPECT_TRUE(Expired("2015-07-08", 150, "2165-07-08"));
}

TEST(Retention, APeriodBeyondTheCalendarNeverEnds) {
  EXPECT_EQ(LastDay("9990-01-01", 10), "never");
  EXPECT_FALSE(Expired("9990-01-01", 10, "9999-12-31"));
}

TEST(Retention, EveryDayEndsOneDayBeforeItsReturn) {
  for (std::int64_t day = DayNumber({2024, 1, 1}); day < DayNumber({2029, 1, 1}); ++day) {
    const Date start = DateOfDayNumber(day);
    const Date last = LastRetainedDay(start, 150).value();
    const Date next = DateOfDayNumber(DayNumber(last) + 1);
    if (start.month == 2 && start.day == 29) {
      EXPECT_EQ(next, (Date{static_cast<std::int16_t>(start.year + 150), 3, 1}));
    } else {
      EXPECT_EQ(next, (Date{static_cast<std::int16_t>(start.year + 150), start.month, start.day}));
    }
  }
}

TEST(Retention, ARemovalCountsFromItselfAnotherNoticeFromTheNextOneAndAllElseFromItsEntry) {
  const Date admitted{2026, 11, 24}, superseded{2027, 1, 2};
  RetentionFacts facts{events::v1::RETENTION_CLASS_NOTICE, events::v1::EFFECT_AMENDED, admitted, superseded};
  EXPECT_EQ(RetentionStartDay(facts), superseded);
  facts.superseded.reset();
  EXPECT_EQ(RetentionStartDay(facts), std::nullopt) << "the current record is kept";
  for (const auto effect : {events::v1::EFFECT_REMOVED, events::v1::EFFECT_REMOVED_LATE}) {
    facts.effect = effect;
    EXPECT_EQ(RetentionStartDay(facts), admitted);
  }
  facts = {events::v1::RETENTION_CLASS_OPERATION, events::v1::EFFECT_NONE, admitted, {}};
  EXPECT_EQ(RetentionStartDay(facts), admitted);
}

}  // namespace
}  // namespace daicho
