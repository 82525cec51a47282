// A sequencer whose log fails. Method: every append of a batch fails, not having acted or having
// acted after all, and then each later call that the sequencer makes of its log while it recovers
// fails in its turn. Whatever fails, each submission is admitted once and refused once, and the
// ledger verifies.
#include <gtest/gtest.h>

#include "tests/log_wrappers.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

class SequencerFaults : public ::testing::TestWithParam<bool> {
 protected:
  SequencerFaults() : log_(prefecture_.log(), faults_) {
    prefecture_.Found();
    EXPECT_TRUE(prefecture_.Stop().ok());
    prefecture_.GiveSequencer(&log_);
    prefecture_.Start();
  }

  // A good submission and nonsense from each municipality, while the calls of `mask` fail.
  void SubmitWhileFailing(std::uint64_t mask) {
    faults_.Set(mask, GetParam());
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      const Forgery next =
          prefecture_.Forge(issuer, {Update(Birth(Person(++persons_), issuer))}, trees_[issuer]);
      trees_[issuer] = next.After();
      prefecture_.Deliver(issuer, next.Seal());
      prefecture_.Deliver(issuer, "nonsense");
    }
    ++rounds_;
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      ASSERT_EQ(prefecture_.AwaitReceipts(issuer, 2 * rounds_).size(), 2 * rounds_);
    }
  }
  // Each submission stands in the ledger once, and was answered once.
  void ExpectNothingLostOrDoubled() {
    EXPECT_EQ(prefecture_.Size(), 3 + persons_);
    for (const char* issuer : {kMaebashi, kTakasaki}) {
      EXPECT_EQ(prefecture_.TreeOf(issuer), trees_[issuer]);
      const auto receipts = prefecture_.Receipts(issuer);
      EXPECT_EQ(receipts.size(), 2 * rounds_);
      for (std::size_t i = 0; i < receipts.size(); ++i) {
        EXPECT_EQ(receipts[i].outcome(), i % 2 == 0 ? v1::OUTCOME_ADMITTED : v1::OUTCOME_REJECTED);
      }
    }
  }

  Prefecture prefecture_;
  Faults faults_;
  FaultyLog log_;
  std::map<std::string, MerkleEdge> trees_;
  int persons_ = 0;
  std::size_t rounds_ = 0;
};

TEST_P(SequencerFaults, AnAppendOfUnknownOutcomeLosesAndDoublesNothing) {
  for (int failures = 1; failures <= 3; ++failures) {
    ASSERT_NO_FATAL_FAILURE(SubmitWhileFailing((1u << failures) - 1));
    EXPECT_EQ(faults_.failed, failures);
  }
  ExpectNothingLostOrDoubled();
}

TEST_P(SequencerFaults, AFailureWhileItRecoversFromAnotherIsRecoveredFromToo) {
  for (int call = 1; call <= 16; ++call) {
    SCOPED_TRACE("call " + std::to_string(call));
    ASSERT_NO_FATAL_FAILURE(SubmitWhileFailing(1 | std::uint64_t{1} << call));
  }
  ExpectNothingLostOrDoubled();
}

TEST_P(SequencerFaults, AnIssuerIsRegisteredOnceAlsoWhenItsTopicsCannotBeCreatedAtFirst) {
  for (int call = 0; call < 4; ++call) {
    faults_.Set(std::uint64_t{1} << call, GetParam());
    const std::string issuer(kMunicipalities[static_cast<std::size_t>(4 + call)].code);
    const v1::Receipt receipt =
        prefecture_.Submit(Prefecture::Registrar(), {prefecture_.Registration(issuer)});
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
    EXPECT_EQ(prefecture_.Notify(issuer, {Birth(Person(100 + call), issuer)}).outcome(),
              v1::OUTCOME_ADMITTED);
  }
  EXPECT_EQ(prefecture_.Size(), 3 + 4 * 2);
}

INSTANTIATE_TEST_SUITE_P(Outcome, SequencerFaults, ::testing::Bool(),
                         [](const auto& row) { return row.param ? "Acted" : "DidNotAct"; });

}  // namespace
}  // namespace daicho
