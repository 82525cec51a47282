// By which rules a notice follows from those before it. Method: stories of single residents told to
// Residents alone, each refusal with its field, rule and the number expected; then thousands of
// random notices, good and nearly good, against the rules told a second time in
// tests/resident_model.h.
#include "ledger/residents.h"

#include <gtest/gtest.h>

#include "tests/resident_model.h"

namespace daicho {
namespace {

std::string Names(const std::vector<v1::Violation>& violations) {
  std::string out;
  for (const v1::Violation& violation : violations) {
    if (!out.empty()) out += "; ";
    out += violation.field() + " " + violation.rule();
    if (violation.expected() != 0) out += " " + std::to_string(violation.expected());
  }
  return out;
}

class ResidentsTest : public ::testing::Test {
 protected:
  enum : Family { kResidents, kNumbers, kNotices };

  ResidentsTest() {
    StoreOptions options;
    options.path = directory_ / "state";
    options.families = {"residents", "numbers", "notices"};
    store_ = Store::Open(options).value();
    Reload();
  }

  // What is admitted from here on stands in the store alone, as after a restart.
  void Reload() {
    if (overlay_ != nullptr) {
      overlay_->Keep();
      StoreBatch batch = overlay_->Seal();
      EXPECT_TRUE(store_->Write(batch, false).ok());
    }
    overlay_ = std::make_unique<StateOverlay>(*store_);
    residents_ =
        std::make_unique<Residents>(*overlay_, ResidentFamilies{kResidents, kNumbers, kNotices});
  }

  // The name of the effect, or what was broken.
  std::string Say(const v1::UpdateNotice& notice) {
    return Say(notice, notice.record().address().municipality());
  }
  std::string Say(const v1::UpdateNotice& notice, const std::string& issuer) {
    EXPECT_TRUE(CheckNotice(notice, issuer).empty());
    const std::string digest = NoticeDigest(notice.SerializeAsString());
    Decision decision = residents_->Decide(notice, issuer, digest).value();
    if (!decision.violations.empty()) return Names(decision.violations);
    if (decision.effect == v1::EFFECT_ENTERED) decision.resident.handle = RandomArray<16>();
    EXPECT_TRUE(residents_->Apply(decision, notice, issuer, digest).ok());
    last_ = decision.resident;
    return v1::Effect_Name(decision.effect).substr(7);
  }
  // What decides on the resident's next notice.
  std::string StateOf(const Person& person) {
    const Decision decision =
        residents_->Decide(AddressChange(person, 1000, kMaebashi), kMaebashi, "no digest").value();
    const Resident& r = decision.resident;
    return r.code + " " + std::to_string(r.update_number) +
           (r.removed ? " removed " : " resident ") + r.municipality + " " + r.individual_number +
           " " + std::to_string(r.next_step) + " " + std::to_string(r.outstanding.size());
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<StateOverlay> overlay_;
  std::unique_ptr<Residents> residents_;
  Resident last_;  // as it was before the last notice admitted
  Person hanako_{1}, taro_{2};
};

TEST_F(ResidentsTest, AResidentIsEnteredAmendedRemovedAndEnteredAgain) {
  EXPECT_EQ(Say(Birth(hanako_, kMaebashi)), "ENTERED");
  EXPECT_EQ(Say(AddressChange(hanako_, 2, kMaebashi)), "AMENDED");
  EXPECT_EQ(Say(MoveOut(hanako_, 3, kMaebashi)), "REMOVED");
  EXPECT_EQ(Say(MoveIn(hanako_, 4, kTakasaki)), "REVIVED");
  EXPECT_EQ(Say(AddressChange(hanako_, 5, kTakasaki)), "AMENDED");
}

TEST_F(ResidentsTest, ASubjectKeepsItsHandleAndUsesTheNextKeyStepForEachNotice) {
  Say(Birth(hanako_, kMaebashi));
  Say(MoveOut(hanako_, 2, kMaebashi));
  const SubjectHandle handle = last_.handle;
  EXPECT_EQ(last_.next_step, 1);
  Say(MoveIn(hanako_, 3, kTakasaki));
  EXPECT_EQ(last_.handle, handle);
  EXPECT_EQ(last_.next_step, 2);
}

TEST_F(ResidentsTest, ARemovalPlannedForALaterDayRemovesAtOnce) {
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(Notice(hanako_, v1::CHANGE_REASON_MOVE_OUT, 2, kMaebashi, "2026-12-31")),
            "REMOVED");
  EXPECT_EQ(Say(AddressChange(hanako_, 3, kMaebashi)), "kind not_resident");
}

TEST_F(ResidentsTest, TheFirstNoticeIsAnEntryWithNumberOne) {
  EXPECT_EQ(Say(AddressChange(hanako_, 1, kMaebashi)), "resident_code unknown");
  EXPECT_EQ(Say(MoveOut(hanako_, 1, kMaebashi)), "resident_code unknown");
  EXPECT_EQ(Say(MoveIn(hanako_, 2, kMaebashi)), "update_number update_number 1");
}

TEST_F(ResidentsTest, NobodyIsRemovedOrAmendedWhoIsNotThere) {
  Say(Birth(hanako_, kMaebashi));
  Say(MoveOut(hanako_, 2, kMaebashi));
  EXPECT_EQ(Say(MoveOut(hanako_, 3, kMaebashi)), "kind not_resident");
  EXPECT_EQ(Say(AddressChange(hanako_, 3, kMaebashi)), "kind not_resident");
}

TEST_F(ResidentsTest, NobodyIsEnteredTwice) {
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(MoveIn(hanako_, 2, kMaebashi)), "kind already_resident");
  EXPECT_EQ(Say(Notice(hanako_, v1::CHANGE_REASON_EX_OFFICIO_ENTRY, 3, kTakasaki)),
            "kind already_resident");
}

TEST_F(ResidentsTest, AnotherMunicipalityNeitherAmendsNorRemoves) {
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(AddressChange(hanako_, 2, kTakasaki)), "resident_code issuer");
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kTakasaki)), "resident_code issuer");
}

TEST_F(ResidentsTest, AnUpdateNumberSkippedOrTakenIsRefusedWithTheOneExpected) {
  Say(Birth(hanako_, kMaebashi));
  Say(AddressChange(hanako_, 2, kMaebashi));
  EXPECT_EQ(Say(AddressChange(hanako_, 4, kMaebashi)), "update_number update_number 3");
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "update_number update_number 3");
  Say(MoveOut(hanako_, 3, kMaebashi));
  EXPECT_EQ(Say(MoveIn(hanako_, 3, kMaebashi)), "update_number update_number 4");
  EXPECT_EQ(Say(MoveIn(hanako_, 5, kTakasaki)), "update_number update_number 4");
}

TEST_F(ResidentsTest, AnyNoticeMayBeRepeatedByteForByteAtAnyTime) {
  const auto birth = Birth(hanako_, kMaebashi), change = AddressChange(hanako_, 2, kMaebashi);
  for (const auto& notice : {birth, change, MoveOut(hanako_, 3, kMaebashi)}) Say(notice);
  Reload();
  EXPECT_EQ(Say(birth), "REPEATED");
  EXPECT_EQ(Say(change), "REPEATED");
  EXPECT_EQ(Say(MoveOut(hanako_, 3, kMaebashi)), "REPEATED");
  EXPECT_EQ(Say(MoveIn(hanako_, 4, kMaebashi)), "REVIVED");
}

TEST_F(ResidentsTest, ARepeatThatDiffersIsRefused) {
  Say(Birth(hanako_, kMaebashi));
  auto differing = Birth(hanako_, kMaebashi);
  differing.mutable_record()->set_kana("べつじん");
  EXPECT_EQ(Say(differing), "kind already_resident");
  Say(AddressChange(hanako_, 2, kMaebashi));
  differing = AddressChange(hanako_, 2, kMaebashi);
  differing.mutable_record()->set_kana("べつじん");
  EXPECT_EQ(Say(differing), "update_number update_number 3");
}

TEST_F(ResidentsTest, AMoveBetweenMunicipalitiesEndsTheSameInEitherOrder) {
  for (const Person& person : {hanako_, taro_}) Say(Birth(person, kMaebashi));
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "REMOVED");
  EXPECT_EQ(Say(MoveIn(hanako_, 3, kTakasaki)), "REVIVED");
  EXPECT_EQ(Say(MoveIn(taro_, 3, kTakasaki)), "MOVED_AHEAD");
  EXPECT_EQ(Say(MoveOut(taro_, 2, kMaebashi)), "REMOVED_LATE");
  EXPECT_EQ(StateOf(hanako_).substr(kResidentCodeDigits),
            std::string(StateOf(taro_).substr(kResidentCodeDigits))
                .replace(StateOf(taro_).substr(kResidentCodeDigits).find(taro_.number), 12,
                         hanako_.number));
}

TEST_F(ResidentsTest, ALateRemovalDoesNotDisturbWhatCameSince) {
  Say(Birth(hanako_, kMaebashi));
  Say(MoveIn(hanako_, 3, kTakasaki));
  Say(AddressChange(hanako_, 4, kTakasaki));
  Reload();
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "REMOVED_LATE");
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "REPEATED");
  EXPECT_EQ(Say(AddressChange(hanako_, 5, kTakasaki)), "AMENDED");
}

TEST_F(ResidentsTest, OnlyTheMunicipalityLeftMaySendTheLateRemovalAndNothingElse) {
  Say(Birth(hanako_, kMaebashi));
  Say(MoveIn(hanako_, 3, kTakasaki));
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kTakasaki)), "update_number update_number 4");
  EXPECT_EQ(Say(AddressChange(hanako_, 2, kMaebashi)), "resident_code issuer");
  EXPECT_EQ(Say(MoveOut(hanako_, 4, kMaebashi)), "resident_code issuer");
}

TEST_F(ResidentsTest, AMoveInRunsOneNoticeAheadAndNoMore) {
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(MoveIn(hanako_, 2, kTakasaki)), "update_number update_number 3");
  EXPECT_EQ(Say(MoveIn(hanako_, 4, kTakasaki)), "update_number update_number 3");
}

TEST_F(ResidentsTest, MovesToAndFroMayAllRunAheadAndTheirRemovalsComeInAnyOrder) {
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(MoveIn(hanako_, 3, kTakasaki)), "MOVED_AHEAD");
  EXPECT_EQ(Say(MoveIn(hanako_, 5, kMaebashi)), "MOVED_AHEAD");
  EXPECT_EQ(Say(MoveOut(hanako_, 4, kTakasaki)), "REMOVED_LATE");
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "REMOVED_LATE");
  EXPECT_EQ(Say(AddressChange(hanako_, 6, kMaebashi)), "AMENDED");
}

TEST_F(ResidentsTest, RemovalsThatNeverComeAreBounded) {
  Say(Birth(hanako_, kMaebashi));
  for (std::uint32_t i = 0; i < kOutstandingRemovalsMax; ++i) {
    EXPECT_EQ(Say(MoveIn(hanako_, 3 + 2 * i, i % 2 == 0 ? kTakasaki : kMaebashi)), "MOVED_AHEAD");
  }
  EXPECT_EQ(Say(MoveIn(hanako_, 3 + 2 * kOutstandingRemovalsMax, kTakasaki)),
            "kind outstanding_removals");
  EXPECT_EQ(Say(MoveOut(hanako_, 2, kMaebashi)), "REMOVED_LATE");
  EXPECT_EQ(Say(MoveIn(hanako_, 3 + 2 * kOutstandingRemovalsMax, kTakasaki)), "MOVED_AHEAD");
}

TEST_F(ResidentsTest, ACancellationIsANewVersionAndUndoesARemoval) {
  Say(Birth(hanako_, kMaebashi));
  Say(MoveOut(hanako_, 2, kMaebashi));
  auto cancellation = Notice(hanako_, v1::CHANGE_REASON_EX_OFFICIO_ENTRY, 3, kMaebashi);
  cancellation.set_cancels(2);
  EXPECT_EQ(Say(cancellation), "REVIVED");
  EXPECT_EQ(Say(AddressChange(hanako_, 4, kMaebashi)), "AMENDED");
}

TEST_F(ResidentsTest, AfterAChangeOfCodeTheOldOneIsRefused) {
  const Person before = hanako_;
  Say(Birth(hanako_, kMaebashi));
  EXPECT_EQ(Say(CodeChange(hanako_, 50, 2, kMaebashi)), "AMENDED");
  EXPECT_EQ(Say(AddressChange(before, 3, kMaebashi)), "resident_code former");
  EXPECT_EQ(Say(Birth(Person(1), kMaebashi)), "REPEATED");
  EXPECT_EQ(Say(AddressChange(hanako_, 3, kMaebashi)), "AMENDED");
}

TEST_F(ResidentsTest, ACodeIsNeverGivenTwice) {
  Say(Birth(hanako_, kMaebashi));
  Say(Birth(taro_, kMaebashi));
  Person wants_taros = hanako_;
  EXPECT_EQ(Say(CodeChange(wants_taros, 2, 2, kMaebashi)), "resident_code in_use");
  Say(CodeChange(hanako_, 50, 2, kMaebashi));
  Person newcomer(3);
  newcomer.code = CodeOf(1);
  EXPECT_EQ(Say(Birth(newcomer, kMaebashi)), "resident_code former");
  Person takes_former = taro_;
  EXPECT_EQ(Say(CodeChange(takes_former, 1, 2, kMaebashi)), "resident_code former");
}

TEST_F(ResidentsTest, AChangeOfCodeNeedsTheResidentsPresentCode) {
  Person nobody(9);
  EXPECT_EQ(Say(CodeChange(nobody, 50, 2, kMaebashi)), "former_resident_code unknown");
  Person stale = hanako_;
  Say(Birth(hanako_, kMaebashi));
  Say(CodeChange(hanako_, 50, 2, kMaebashi));
  EXPECT_EQ(Say(CodeChange(stale, 51, 3, kMaebashi)), "former_resident_code unknown");
}

TEST_F(ResidentsTest, ALateRemovalMayComeUnderTheCodeOfItsTime) {
  const Person before = hanako_;
  Say(Birth(hanako_, kMaebashi));
  Say(MoveIn(hanako_, 3, kTakasaki));
  Say(CodeChange(hanako_, 50, 4, kTakasaki));
  Say(CodeChange(hanako_, 51, 5, kTakasaki));
  Reload();
  EXPECT_EQ(Say(MoveOut(before, 2, kMaebashi)), "REMOVED_LATE");
  EXPECT_EQ(Say(AddressChange(hanako_, 6, kTakasaki)), "AMENDED");
}

TEST_F(ResidentsTest, ANumberChangesWithAReasonAndFromTheOneHeld) {
  Say(Birth(hanako_, kMaebashi));
  Person other = hanako_;
  other.number = NumberOf(60);
  EXPECT_EQ(Say(AddressChange(other, 2, kMaebashi)),
            "record.individual_number changed_without_reason");
  EXPECT_EQ(Say(NumberChange(other, 61, 2, kMaebashi)), "former_individual_number mismatch");
  EXPECT_EQ(Say(NumberChange(hanako_, 60, 2, kMaebashi)), "AMENDED");
  EXPECT_EQ(Say(AddressChange(hanako_, 3, kMaebashi)), "AMENDED");
}

TEST_F(ResidentsTest, AFirstNumberIsEnteredOnce) {
  hanako_.number.clear();
  Say(Birth(hanako_, kMaebashi));
  Person with_number = hanako_;
  EXPECT_EQ(Say(NumberChange(with_number, 60, 2, kMaebashi)), "AMENDED");
  hanako_.number.clear();
  EXPECT_EQ(Say(NumberChange(hanako_, 61, 3, kMaebashi)), "former_individual_number mismatch");
}

TEST_F(ResidentsTest, ANumberBelongsToOnePersonForEver) {
  Say(Birth(hanako_, kMaebashi));
  Person twin = taro_;
  twin.number = hanako_.number;
  EXPECT_EQ(Say(Birth(twin, kMaebashi)), "record.individual_number in_use");
  Say(NumberChange(hanako_, 60, 2, kMaebashi));
  EXPECT_EQ(Say(Birth(twin, kMaebashi)), "record.individual_number in_use");
  Say(Birth(taro_, kMaebashi));
  EXPECT_EQ(Say(NumberChange(taro_, 60, 2, kMaebashi)), "record.individual_number in_use");
  EXPECT_EQ(Say(NumberChange(hanako_, 1, 3, kMaebashi)), "AMENDED") << "back to her own";
}

TEST_F(ResidentsTest, RandomNoticesAreJudgedAsTheModelJudgesThem) {
  const std::uint64_t seed = Seed();
  ResidentModel model;
  RandomNotices notices(model, seed, 12);
  std::map<std::string, int> seen;
  for (int i = 0; i < 5'000; ++i) {
    const auto [issuer, notice] = notices.Draw();
    const Verdict verdict = model.Judge(notice, issuer);
    const std::string expected =
        verdict.error.empty() ? v1::Effect_Name(verdict.effect).substr(7) : verdict.error;
    ASSERT_EQ(Say(notice, issuer), expected) << "seed " << seed << ", notice " << i;
    if (verdict.error.empty()) model.Apply(verdict, notice, issuer);
    ++seen[verdict.error.empty() ? expected : "refused"];
    if (i % 100 == 0) Reload();
  }
  for (const char* what : {"ENTERED", "REVIVED", "MOVED_AHEAD", "AMENDED", "REMOVED",
                           "REMOVED_LATE", "REPEATED", "refused"}) {
    EXPECT_GT(seen[what], 3) << what;
  }
}

}  // namespace
}  // namespace daicho
