// The arithmetic of 保存期間 against the examples of 民法140・143条, and which rule an entry falls under.
#include "events/retention.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

std::string LastDay(const char* start, std::uint32_t years) {
  return FormatDate(LastRetainedDay(*ParseDate(start), years));
}

TEST(Retention, TheFirstDayCounts) {
  EXPECT_EQ(LastDay("2026-11-23", 150), "2176-11-22");
  EXPECT_EQ(LastDay("2024-03-01", 150), "2174-02-28");
  EXPECT_EQ(LastDay("2015-07-08", 150), "2165-07-07");
  EXPECT_EQ(LastDay("2026-01-01", 7), "2032-12-31");
}

TEST(Retention, WhereTheLastYearHasNoSuchDayItsMonthsEndIsTheLast) {
  EXPECT_EQ(LastDay("2028-02-29", 150), "2178-02-28");
  EXPECT_EQ(LastDay("2028-02-29", 4), "2032-02-28");  // 2032 has the day: the day before it
  EXPECT_EQ(LastDay("2096-02-29", 4), "2100-02-28");  // 2100 has it not
}

TEST(Retention, ALateRemovalAndARepeatEndTheCurrencyOfNothing) {
  EXPECT_TRUE(Supersedes(v1::EFFECT_AMENDED));
  EXPECT_TRUE(Supersedes(v1::EFFECT_REMOVED));
  EXPECT_TRUE(Supersedes(v1::EFFECT_MOVED_AHEAD));
  EXPECT_FALSE(Supersedes(v1::EFFECT_REMOVED_LATE));
  EXPECT_FALSE(Supersedes(v1::EFFECT_REPEATED));
  EXPECT_TRUE(IsRemoval(v1::EFFECT_REMOVED));
  EXPECT_FALSE(IsRemoval(v1::EFFECT_REMOVED_LATE));
  EXPECT_TRUE(CountsFromItself(v1::EFFECT_REMOVED, false));
  EXPECT_TRUE(CountsFromItself(v1::EFFECT_REMOVED_LATE, true));
  EXPECT_TRUE(CountsFromItself(v1::EFFECT_REPEATED, true));
  EXPECT_FALSE(CountsFromItself(v1::EFFECT_REPEATED, false));
  EXPECT_FALSE(CountsFromItself(v1::EFFECT_REVIVED, true));
}

TEST(Retention, RulesAreByClassAndOfNoticesByRemovalOrNot) {
  v1::PolicyRules rules;
  const auto add = [&](const char* name, v1::RetentionClass retention, std::vector<v1::NoticeKind> kinds) {
    v1::RetentionRule& rule = *rules.add_retention_rules();
    rule.set_rule(name);
    rule.set_retention(retention);
    for (const auto kind : kinds) rule.add_notice_kinds(kind);
  };
  add("notice", v1::RETENTION_CLASS_NOTICE, {v1::NOTICE_KIND_ENTRY, v1::NOTICE_KIND_AMEND});
  add("removal", v1::RETENTION_CLASS_NOTICE, {v1::NOTICE_KIND_REMOVAL});
  add("operation", v1::RETENTION_CLASS_OPERATION, {});
  EXPECT_EQ(RuleFor(rules, v1::RETENTION_CLASS_NOTICE, false)->rule(), "notice");
  EXPECT_EQ(RuleFor(rules, v1::RETENTION_CLASS_NOTICE, true)->rule(), "removal");
  EXPECT_EQ(RuleFor(rules, v1::RETENTION_CLASS_OPERATION, false)->rule(), "operation");
  EXPECT_EQ(RuleFor(rules, v1::RETENTION_CLASS_DISCLOSURE, false), nullptr);
}

}  // namespace
}  // namespace daicho
