// A witness that reads the ledger itself. Method: a real sequencer's ledger is signed by a real notary on one
// log, which the witness follows; then the log is told otherwise than it was, in one way each, and the witness
// must stop before it cosigns.
#include "consumers/witness_follower.h"

#include <gtest/gtest.h>

#include "consumers/home.h"
#include "ledger/files.h"
#include "ledger/notary.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

class WitnessFollowerTest : public ::testing::Test {
 protected:
  WitnessFollowerTest() {
    prefecture_.Found();
    Births(1, 4);
    const SequencerOptions sequencer = prefecture_.SequencerWith(prefecture_.key_store());
    NotaryOptions options;
    options.prefecture = sequencer.prefecture;
    options.ledger = sequencer.ledger;
    options.registrar_public_key = sequencer.registrar_public_key;
    options.key_of = [key = prefecture_.ledger_key()](const Key256&) -> Result<SigningKey> { return key; };
    options.dir = directory_ / "notary";
    options.log = &prefecture_.log();
    options.clock = sequencer.clock;
    notary_ = std::move(Notary::Open(options).value());
    key_ = prefecture_.ledger_key();
    EXPECT_TRUE(Witness::Create(Dir(), "witness/a").ok());
    const LedgerPublic pub{10, sequencer.ledger, sequencer.registrar_public_key, key_.public_key(), key_.public_key()};
    EXPECT_TRUE(WriteFileDurably(directory_ / "pub", FormatLedgerPublic(pub)).ok());
    OpenWitness();
    EXPECT_TRUE(witness_->Trust(directory_ / "pub").ok());
  }
  std::string Dir() const { return directory_ / "witness"; }
  std::string Topic() const { return Topics{10}.Checkpoint(); }
  void OpenWitness() {
    follower_.reset();
    witness_.reset();
    witness_ = std::move(Witness::Open(Dir(), clock_).value());
  }
  void Births(int from, int to) {
    std::vector<v1::UpdateNotice> births;
    for (int i = from; i < to; ++i) births.push_back(Birth(Person(i), kMaebashi));
    prefecture_.Notify(kMaebashi, births);
  }
  void Sign() { ASSERT_TRUE(notary_->CatchUp().ok()); }
  // Puts a checkpoint on the topic that the notary would not sign.
  void Forge(const std::function<void(TreeHead&)>& change) {
    TreeHead head = *ParseTreeHead(notary_->checkpoint());
    change(head);
    ASSERT_TRUE(prefecture_.log().Append(Topic(), {"", SignTreeHead(head, key_), {}}).ok());
  }
  Result<bool> Step() {
    if (follower_ == nullptr) {
      auto opened = WitnessFollower::Open(*witness_, prefecture_.log(), LedgerOrigin(10));
      if (!opened.ok()) return opened.status();
      follower_ = std::move(*opened);
    }
    return follower_->Step(milliseconds(0));
  }
  std::uint64_t Cosigned() const { return witness_->Find(LedgerOrigin(10))->size; }

  Prefecture prefecture_;
  TemporaryDirectory directory_;
  SystemClock clock_;
  SigningKey key_;
  std::unique_ptr<Notary> notary_;
  std::unique_ptr<Witness> witness_;
  std::unique_ptr<WitnessFollower> follower_;
};

TEST_F(WitnessFollowerTest, CosignsEachCheckpointOnceAndLeavesItOnTheTopic) {
  Sign();
  EXPECT_TRUE(Step().value());
  EXPECT_EQ(Cosigned(), 6u);
  const Received last = prefecture_.log().ReadLast(Topic()).value();
  EXPECT_TRUE(VerifyCosignature(*ParseNote(last.value), witness_->key()).ok());
  EXPECT_FALSE(Step().value());  // what it left itself
  Births(4, 7);
  Sign();
  EXPECT_TRUE(Step().value());
  EXPECT_EQ(Cosigned(), 9u);
}

TEST_F(WitnessFollowerTest, WaitsForTheFirstCheckpoint) {
  EXPECT_FALSE(Step().value());
  Sign();
  EXPECT_TRUE(Step().value());
}

TEST_F(WitnessFollowerTest, ComputesAgainWhatItCosignedBeforeItsRestart) {
  Sign();
  ASSERT_TRUE(Step().value());
  OpenWitness();
  Births(4, 7);
  Sign();
  EXPECT_TRUE(Step().value());
  EXPECT_EQ(Cosigned(), 9u);
}

TEST_F(WitnessFollowerTest, ARootThatTheEntriesDoNotGiveStopsIt) {
  Sign();
  Forge([](TreeHead& head) { head.root[0] ^= 1; });
  EXPECT_EQ(Step().status().code(), Code::kTampered);
  EXPECT_EQ(Cosigned(), 0u);
}

TEST_F(WitnessFollowerTest, ACheckpointBeyondTheLedgerStopsIt) {
  Sign();
  Forge([](TreeHead& head) { ++head.size; });
  EXPECT_EQ(Step().status().code(), Code::kTampered);
}

TEST_F(WitnessFollowerTest, AShorterCheckpointStopsIt) {
  Sign();
  ASSERT_TRUE(Step().value());
  Forge([](TreeHead& head) { --head.size; });
  EXPECT_EQ(Step().status().code(), Code::kTampered);
}

TEST_F(WitnessFollowerTest, AnotherHistoryThanTheOneItCosignedStopsItAfterARestart) {
  Sign();
  TreeHead other = *ParseTreeHead(notary_->checkpoint());
  other.root[0] ^= 1;
  ASSERT_TRUE(witness_->CosignAs(SignTreeHead(other, key_), [](std::uint64_t, const Digest&) { return Status(); }).ok());
  EXPECT_EQ(Step().status().code(), Code::kTampered);
}

TEST_F(WitnessFollowerTest, WhatOthersWriteToTheTopicIsPassedOver) {
  Sign();
  ASSERT_TRUE(prefecture_.log().Append(Topic(), {"", "noise", {}}).ok());
  TreeHead head = *ParseTreeHead(notary_->checkpoint());
  head.size += 100;
  ASSERT_TRUE(prefecture_.log().Append(Topic(), {"", SignTreeHead(head, SigningKey::Generate()), {}}).ok());
  EXPECT_TRUE(Step().value());
  EXPECT_EQ(Cosigned(), 6u);
}

TEST_F(WitnessFollowerTest, ALedgerThatIsNotPinnedIsNotFollowed) {
  EXPECT_EQ(WitnessFollower::Open(*witness_, prefecture_.log(), LedgerOrigin(11)).status().code(), Code::kNotFound);
}

}  // namespace
}  // namespace daicho
