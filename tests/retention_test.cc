// What has outlived its period, and when. Method: notices are admitted by a real sequencer on days
// of a simulated clock, and the record file is asked on the last retained day and on the day after.
// The answer is written "slot: first-last rule": whoever enters first has slot 0.
#include "projections/retention.h"

#include <gtest/gtest.h>

#include "tests/retaining.h"

namespace daicho {
namespace {

constexpr char kNever[] = "9000-01-01";

class RetentionTest : public ::testing::Test {
 protected:
  // The first notice is admitted on 2026-11-24, Japan time.
  void WaitUntil(const std::string& day) {
    const std::int64_t days =
        DayNumber(ParseDate(day).value()) - DayNumber(JapanDate(r_.p.clock().Now()));
    ASSERT_GE(days, 0);
    r_.p.clock().Advance(std::chrono::hours(24 * days));
  }
  void Admit(const v1::UpdateNotice& notice, const std::string& day) {
    WaitUntil(day);
    r_.Admit(notice);
  }
  static std::string Said(const std::vector<v1::ErasedKeys>& expired) {
    std::string out;
    for (const v1::ErasedKeys& keys : expired) {
      EXPECT_EQ(keys.subject().size(), 16);
      if (!out.empty()) out += ", ";
      out += std::to_string(keys.slot()) + ": " + std::to_string(keys.first_step()) + "-" +
             std::to_string(keys.last_step()) + " " + keys.rule();
    }
    return out;
  }
  std::string Expired(const std::string& today, std::size_t keys_max = 100) {
    const auto projector = r_.CaughtUp("file");
    return Said(
        FindExpired(projector->store(), Retaining::Rules(), ParseDate(today).value(), keys_max)
            .value());
  }
  std::string HandleOf(const Person& person) {
    const auto projector = r_.CaughtUp("file");
    const Position at(projector->position().value() - 1);
    const KeySlot subject = projector->file().FindByResidentCode(person.code, at).value();
    return std::string(View(projector->file().Read(subject, at, std::nullopt)->handle));
  }
  // Carries the order out in the ledger only: the record file plans by what is ordered.
  void Erase(const std::string& today) {
    const auto plan = r_.Plan(*r_.CaughtUp("file"), today);
    ASSERT_GT(plan.keys_size(), 0);
    Retaining::ExpectAdmitted(r_.Submit(r_.Order(plan)));
  }

  Retaining r_;
  Person hanako_{1}, taro_{2};
};

TEST_F(RetentionTest, TheCurrentNoticeOfAResidentIsKeptForever) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  EXPECT_EQ(Expired(kNever), "");
}

TEST_F(RetentionTest, ANoticeCountsFromTheReceiptOfTheOneThatSupersedesIt) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2027-03-01");
  EXPECT_EQ(Expired("2177-02-28"), "");
  EXPECT_EQ(Expired("2177-03-01"), "0: 0-0 notice");
}

TEST_F(RetentionTest, TheDayIsJapans) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  WaitUntil("2027-02-28");
  r_.p.clock().Advance(std::chrono::hours(13));  // 23:00 in Japan
  r_.Admit(AddressChange(hanako_, 2, kMaebashi));
  r_.p.clock().Advance(std::chrono::hours(1));
  r_.Admit(AddressChange(hanako_, 3, kMaebashi));
  EXPECT_EQ(Expired("2177-02-28"), "0: 0-0 notice");
  EXPECT_EQ(Expired("2177-03-01"), "0: 0-1 notice");
}

TEST_F(RetentionTest, ARemovalCountsFromItsOwnReceiptAndEndsAllBeforeIt) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2030-01-01");
  Admit(MoveOut(hanako_, 3, kMaebashi), "2040-01-01");
  EXPECT_EQ(Expired("2180-01-01"), "0: 0-0 notice");
  EXPECT_EQ(Expired("2189-12-31"), "0: 0-0 notice");
  EXPECT_EQ(Expired("2190-01-01"), "0: 0-1 notice, 0: 2-2 removal");
}

TEST_F(RetentionTest, EnteredAndRemovedOnOneDayAllIsDueTogether) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2026-11-24");
  Admit(MoveOut(hanako_, 3, kMaebashi), "2026-11-24");
  EXPECT_EQ(Expired("2176-11-23"), "");
  EXPECT_EQ(Expired("2176-11-24"), "0: 0-1 notice, 0: 2-2 removal");
}

TEST_F(RetentionTest, AReentryStartsAnewAndIsKept) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2030-01-01");
  Admit(MoveIn(hanako_, 3, kTakasaki), "2031-01-01");
  EXPECT_EQ(Expired("2180-01-01"), "0: 0-0 notice, 0: 1-1 removal");
  EXPECT_EQ(Expired(kNever), "0: 0-0 notice, 0: 1-1 removal");
}

TEST_F(RetentionTest, AReentryOnTheDayOfTheRemovalLeavesTheRemovalItsRule) {
  for (const auto& notice : {Birth(hanako_, kMaebashi), MoveOut(hanako_, 2, kMaebashi), MoveOut(hanako_, 2, kMaebashi),
                             MoveIn(hanako_, 3, kTakasaki), AddressChange(hanako_, 4, kTakasaki)}) {
    Admit(notice, "2026-11-24");
  }
  EXPECT_EQ(Expired("2176-11-24"), "0: 0-0 notice, 0: 1-1 removal, 0: 2-3 notice");
}

TEST_F(RetentionTest, AMoveAheadSupersedesAndTheLateRemovalWaitsForTheNextNotice) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(MoveIn(hanako_, 3, kTakasaki), "2030-01-01");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2030-02-01");
  EXPECT_EQ(Expired("2180-01-01"), "0: 0-0 notice");
  EXPECT_EQ(Expired(kNever), "0: 0-0 notice");
  Admit(AddressChange(hanako_, 4, kTakasaki), "2035-01-01");
  EXPECT_EQ(Expired("2184-12-31"), "0: 0-0 notice");
  EXPECT_EQ(Expired("2185-01-01"), "0: 0-2 notice");
}

TEST_F(RetentionTest, ARepeatOfWhatIsCurrentStaysWithIt) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(Birth(hanako_, kMaebashi), "2027-01-01");
  EXPECT_EQ(Expired(kNever), "");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2030-01-01");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2031-01-01");
  EXPECT_EQ(Expired("2180-01-01"), "0: 0-1 notice");
  EXPECT_EQ(Expired(kNever), "0: 0-1 notice");
}

TEST_F(RetentionTest, WhatComesBehindARemovalCountsFromItsOwnReceipt) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(MoveIn(hanako_, 3, kTakasaki), "2027-01-01");
  Admit(MoveOut(hanako_, 4, kTakasaki), "2028-01-01");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2029-01-01");
  Admit(MoveOut(hanako_, 4, kTakasaki), "2030-01-01");
  EXPECT_EQ(Expired("2178-12-31"), "0: 0-1 notice, 0: 2-2 removal");
  EXPECT_EQ(Expired("2179-01-01"), "0: 0-1 notice, 0: 2-2 removal, 0: 3-3 notice");
  EXPECT_EQ(Expired("2180-01-01"), "0: 0-1 notice, 0: 2-2 removal, 0: 3-4 notice");
}

TEST_F(RetentionTest, ARepeatOnTheDayOfTheRemovalIsNotForgotten) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  for (int i = 0; i < 3; ++i) Admit(MoveOut(hanako_, 2, kMaebashi), "2028-01-01");
  EXPECT_EQ(Expired("2178-01-01"), "0: 0-0 notice, 0: 1-1 removal, 0: 2-3 notice");
}

TEST_F(RetentionTest, WhatWasOrderedIsNotPlannedAgainAndTheNextStepsAre) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(AddressChange(hanako_, 2, kMaebashi), "2030-01-01");
  Admit(AddressChange(hanako_, 3, kMaebashi), "2031-01-01");
  Admit(Birth(taro_, kMaebashi), "2032-01-01");
  Admit(AddressChange(taro_, 2, kMaebashi), "2032-01-02");
  Erase("2180-01-01");
  EXPECT_EQ(Expired("2180-01-01"), "");
  EXPECT_EQ(Expired("2181-01-01"), "0: 1-1 notice");
  EXPECT_EQ(Expired("2182-01-02"), "0: 1-1 notice, 1: 0-0 notice");
  Erase("2182-01-02");
  EXPECT_EQ(Expired(kNever), "");
}

TEST_F(RetentionTest, ARepeatBehindARemovalThatIsGoneIsPlannedByItself) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2027-01-01");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2028-01-01");
  Erase("2177-01-01");
  EXPECT_EQ(Expired("2177-12-31"), "");
  EXPECT_EQ(Expired("2178-01-01"), "0: 2-2 notice");
}

TEST_F(RetentionTest, EachReadingCountsFromItsOwnAdmission) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  const std::string handle = HandleOf(hanako_);
  WaitUntil("2027-01-01");
  r_.RecordReading(handle);
  WaitUntil("2028-01-01");
  r_.RecordReading(handle);
  EXPECT_EQ(Expired("2033-12-31"), "");
  EXPECT_EQ(Expired("2034-01-01"), "1: 0-0 operation");
  EXPECT_EQ(Expired("2035-01-01"), "1: 0-1 operation");
}

TEST_F(RetentionTest, TheOldestComeFirstWhenThereAreTooMany) {
  for (int i = 0; i < 3; ++i) Admit(Birth(Person(10 + i), kMaebashi), "2026-11-24");
  Admit(AddressChange(Person(12), 2, kMaebashi), "2027-01-01");
  Admit(AddressChange(Person(10), 2, kMaebashi), "2028-01-01");
  Admit(AddressChange(Person(11), 2, kMaebashi), "2029-01-01");
  Admit(AddressChange(Person(10), 3, kMaebashi), "2030-01-01");
  EXPECT_EQ(Expired(kNever, 2), "0: 0-0 notice, 2: 0-0 notice");
  EXPECT_EQ(Expired(kNever, 4), "0: 0-1 notice, 1: 0-0 notice, 2: 0-0 notice");
}

TEST_F(RetentionTest, WithoutARuleOrUnderAPermanentOneNothingEnds) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  Admit(MoveOut(hanako_, 2, kMaebashi), "2026-11-24");
  const auto projector = r_.CaughtUp("file");
  v1::PolicyRules rules;
  EXPECT_EQ(Said(FindExpired(projector->store(), rules, ParseDate(kNever).value(), 100).value()),
            "");
  rules = Retaining::Rules();
  for (auto& rule : *rules.mutable_retention_rules()) {
    rule.set_permanent(true);
    rule.set_years(0);
  }
  EXPECT_EQ(Said(FindExpired(projector->store(), rules, ParseDate(kNever).value(), 100).value()),
            "");
}

TEST_F(RetentionTest, FilledInBulkOrFollowedTheDaysAreTheSame) {
  Admit(Birth(hanako_, kMaebashi), "2026-11-24");
  r_.RecordReading(HandleOf(hanako_));
  Admit(MoveOut(hanako_, 2, kMaebashi), "2027-01-01");
  Admit(Birth(taro_, kMaebashi), "2027-01-01");
  Erase("2034-01-01");
  ProjectorOptions options = r_.OptionsOf("bulk", r_.p.log(), r_.p.key_store());
  options.bulk_from = 1;
  const auto bulk = Projector::Open(options).value();
  ASSERT_TRUE(bulk->CatchUp().ok());
  const auto in_bulk =
      FindExpired(bulk->store(), Retaining::Rules(), ParseDate(kNever).value(), 100).value();
  EXPECT_EQ(Said(in_bulk), "0: 0-0 notice, 0: 1-1 removal");
  EXPECT_EQ(Expired(kNever), Said(in_bulk));
}

}  // namespace
}  // namespace daicho
