// What LedgerReplay believes of a damaged ledger: nothing. Method: a ledger of five submissions is
// made by a real sequencer and taken as a list of records; each test damages the list in one way
// and asks where, with which code, a follower that also opens the content would stop.
//
// Not to be seen by replay alone, and so not here: a later time of admission in an entry that has
// no sealed content. The ledger's own signed head covers it.
#include "ledger/replay.h"

#include <gtest/gtest.h>

#include "tests/prefecture.h"

namespace daicho {
namespace {

//  0 opening   1 issuer   2 issuer   3 4 5 Maebashi, one submission   6 Takasaki   7 8 Maebashi
class ReplayTest : public ::testing::Test {
 protected:
  ReplayTest() {
    prefecture_.Found();
    prefecture_.Notify(kMaebashi, {Birth(Person(1), kMaebashi), Birth(Person(2), kMaebashi),
                                   Birth(Person(3), kMaebashi)});
    prefecture_.Notify(kTakasaki, {Birth(Person(4), kTakasaki)});
    prefecture_.Notify(kMaebashi,
                       {AddressChange(Person(1), 2, kMaebashi), MoveOut(Person(1), 3, kMaebashi)});
    EXPECT_TRUE(prefecture_.Stop().ok());
    records_ = prefecture_.Records();
  }

  // "ok", or the code and the position at which a careful follower stops: "tampered at 4".
  std::string Follow(const std::vector<std::string>& records) {
    LedgerReplay replay = prefecture_.NewReplay();
    for (const std::string& record : records) {
      const std::string at = " at " + std::to_string(replay.next_position().value());
      auto entry = replay.Next(record);
      if (!entry.ok()) {
        EXPECT_EQ(entry.status().message().find("position " + at.substr(4) + ": "), 0u)
            << entry.status().ToString();
        return std::string(CodeName(entry.status().code())) + at;
      }
      for (int part = 0; part < entry->header.commitments_size(); ++part) {
        auto opened = OpenPart(*entry, part, prefecture_.key_store());
        if (!opened.ok()) return std::string(CodeName(opened.status().code())) + at + " content";
      }
      if (Status heads = replay.VerifyHeads(); !heads.ok())
        return std::string(CodeName(heads.code())) + at + " head";
    }
    return replay.between_submissions() ? "ok" : "unfinished";
  }

  // The list with one record changed.
  std::vector<std::string> With(std::size_t position,
                                const std::function<void(v1::Entry&)>& change) const {
    auto records = records_;
    v1::Entry entry;
    EXPECT_TRUE(entry.ParseFromString(records[position]));
    change(entry);
    records[position] = entry.SerializeAsString();
    return records;
  }
  std::vector<std::string> WithLeaf(std::size_t position,
                                    const std::function<void(v1::EntryLeaf&)>& change) const {
    return With(position, [&](v1::Entry& entry) {
      v1::EntryLeaf leaf;
      EXPECT_TRUE(leaf.ParseFromString(entry.leaf()));
      change(leaf);
      entry.set_leaf(leaf.SerializeAsString());
    });
  }
  std::vector<std::string> WithHeader(std::size_t position,
                                      const std::function<void(v1::EventHeader&)>& change) const {
    return WithLeaf(position, [&](v1::EntryLeaf& leaf) {
      v1::EventHeader header;
      EXPECT_TRUE(header.ParseFromString(leaf.header()));
      change(header);
      leaf.set_header(header.SerializeAsString());
    });
  }
  std::vector<std::string> Without(std::size_t first, std::size_t count = 1) const {
    auto records = records_;
    records.erase(records.begin() + static_cast<long>(first),
                  records.begin() + static_cast<long>(first + count));
    return records;
  }
  static void Flip(std::string& bytes, std::size_t at) {
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
  }

  Prefecture prefecture_;
  std::vector<std::string> records_;
};

TEST_F(ReplayTest, AnUndamagedLedgerIsFollowedToItsEnd) {
  ASSERT_EQ(records_.size(), 9);
  EXPECT_EQ(Follow(records_), "ok");
}

TEST_F(ReplayTest, EveryFieldOfALeafIsCovered) {
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.set_version(2); })), "unsupported at 4");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { Flip(*leaf.mutable_ledger(), 0); })),
            "tampered at 4");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.set_position(5); })), "tampered at 4");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.set_admitted_at(leaf.admitted_at() + 1); })),
            "tampered at 4 content");
  EXPECT_EQ(Follow(WithLeaf(2, [](auto& leaf) { leaf.set_admitted_at(1); })), "tampered at 2");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.set_effect(v1::EFFECT_REVIVED); })),
            "tampered at 4 content");
  EXPECT_EQ(
      Follow(WithLeaf(4, [](auto& leaf) { Flip(*leaf.mutable_keys(0)->mutable_subject(), 3); })),
      "tampered at 4 content");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.mutable_keys(0)->set_slot(0); })),
            "tampered at 4 content");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.mutable_keys(0)->set_slot(99); })),
            "not found at 4 content");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.mutable_keys(0)->set_step(7); })),
            "tampered at 4 content");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.clear_keys(); })), "corrupt at 4");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { Flip(*leaf.mutable_part_digests(0), 0); })),
            "tampered at 4");
  EXPECT_EQ(Follow(WithLeaf(4, [](auto& leaf) { leaf.clear_part_digests(); })), "corrupt at 4");
  EXPECT_EQ(Follow(WithLeaf(4,
                            [](auto& leaf) {
                              leaf.GetReflection()->MutableUnknownFields(&leaf)->AddVarint(100, 1);
                            })),
            "unsupported at 4");
}

TEST_F(ReplayTest, EveryFieldOfAHeaderIsCovered) {
  EXPECT_EQ(Follow(WithHeader(4, [](auto& h) { h.set_kind(v1::EVENT_KIND_SEARCH); })),
            "tampered at 4");
  EXPECT_EQ(Follow(WithHeader(4, [](auto& h) { h.set_kind(static_cast<v1::EventKind>(9)); })),
            "unsupported at 4");
  EXPECT_EQ(Follow(WithHeader(4, [](auto& h) { h.set_issuer(kTakasaki); })), "tampered at 4");
  EXPECT_EQ(Follow(WithHeader(3, [](auto& h) { h.set_issuer("102032"); })), "tampered at 3");
  EXPECT_EQ(Follow(WithHeader(4, [](auto& h) { h.set_sequence(3); })), "tampered at 4");
  EXPECT_EQ(Follow(WithHeader(4, [](auto& h) { Flip(*h.mutable_commitments(0), 0); })),
            "tampered at 4 content");
  // What no key seals is covered by the head of its submission.
  EXPECT_EQ(Follow(WithHeader(2, [](auto& h) { h.set_schema_version(2); })), "tampered at 2 head");
  EXPECT_EQ(Follow(WithHeader(2, [](auto& h) { h.set_retention(v1::RETENTION_CLASS_NOTICE); })),
            "tampered at 2 head");
}

TEST_F(ReplayTest, EveryByteOfASubmissionsHeadIsCovered) {
  v1::Entry entry;
  v1::EntryLeaf leaf;
  ASSERT_TRUE(entry.ParseFromString(records_[2]) && leaf.ParseFromString(entry.leaf()));
  for (std::size_t at = 0; at < leaf.head().size(); ++at) {
    const std::string expected = at >= 8 && at < 12 ? "corrupt at 2" : "tampered at 2 head";  // the length of its line
    EXPECT_EQ(Follow(WithLeaf(2, [&](auto& l) { Flip(*l.mutable_head(), at); })), expected) << "byte " << at;
  }
  EXPECT_EQ(Follow(WithLeaf(2, [](auto& l) { l.mutable_head()->pop_back(); })), "corrupt at 2");
  EXPECT_EQ(Follow(WithLeaf(2, [](auto& l) { l.clear_head(); })), "tampered at 3");
}

TEST_F(ReplayTest, TheFirstHeadThatFailsIsNamed) {
  // Heads of 前橋市 at 5 and 8, judged together.
  const auto follow = [&](const std::vector<std::string>& records) {
    LedgerReplay replay = prefecture_.NewReplay();
    for (const std::string& record : records) EXPECT_TRUE(replay.Next(record).ok());
    return replay.VerifyHeads().message();
  };
  const auto flip_root = [](auto& header) { Flip(*header.mutable_commitments(0), 0); };
  EXPECT_EQ(follow(WithHeader(4, flip_root)).find("position 5: "), 0);
  EXPECT_EQ(follow(WithHeader(8, flip_root)).find("position 8: "), 0);
  EXPECT_EQ(follow(records_), "");
}

TEST_F(ReplayTest, TheHeadThatAnIssuerSignedIsToldAgain) {
  LedgerReplay replay = prefecture_.NewReplay();
  std::size_t heads = 0;
  for (const std::string& record : records_) {
    const auto entry = replay.Next(record).value();
    if (!entry.ends_submission) continue;
    const std::string& issuer = entry.header.issuer();
    const auto head = VerifyTreeHead(replay.IssuerHead(entry), *replay.FindIssuer(issuer)->key);
    ASSERT_TRUE(head.ok());
    EXPECT_EQ(head->root, replay.FindIssuer(issuer)->tree.Root());
    ++heads;
  }
  EXPECT_GT(heads, 4);
}

TEST_F(ReplayTest, ContentThatWasChangedOrLeftOutIsNoticed) {
  for (const std::size_t at : {0u, 20u, 60u}) {  // nonce, ciphertext
    EXPECT_EQ(Follow(With(4, [&](auto& entry) { Flip(*entry.mutable_parts(0), at); })),
              "tampered at 4");
  }
  EXPECT_EQ(Follow(With(
                4, [](auto& entry) { Flip(*entry.mutable_parts(0), entry.parts(0).size() - 1); })),
            "tampered at 4");
  EXPECT_EQ(Follow(With(4, [](auto& entry) { entry.mutable_parts(0)->resize(5); })),
            "tampered at 4");
  EXPECT_EQ(Follow(With(4, [](auto& entry) { entry.clear_parts(); })), "tampered at 4");
  EXPECT_EQ(Follow(With(4, [](auto& entry) { entry.add_parts("more"); })), "tampered at 4");
  EXPECT_EQ(Follow(With(1, [](auto& entry) { Flip(*entry.mutable_parts(0), 20); })),
            "tampered at 1");
}

TEST_F(ReplayTest, ErasedContentIsErasedAndNotTampered) {
  EXPECT_EQ(Follow(With(4, [](auto& entry) { entry.set_parts(0, ""); })), "erased at 4 content");
  LedgerReplay replay = prefecture_.NewReplay();
  for (const std::string& record : With(4, [](auto& entry) { entry.set_parts(0, ""); })) {
    EXPECT_TRUE(replay.Next(record).ok());
  }
  EXPECT_TRUE(replay.VerifyHeads().ok());
}

TEST(ReplayOfRotations, AHeadByTheOldKeyAfterTheRotationIsTampered) {
  Prefecture p;
  p.Found();
  const SigningKey old = p.KeyOf(kMaebashi), next = SigningKey::Generate();
  p.Notify(kMaebashi, {Birth(Person(1), kMaebashi)});
  p.Submit(Prefecture::Registrar(), {p.Give(v1::KEY_USE_ISSUER, kMaebashi, next.public_key())});
  p.KeyOf(kMaebashi) = next;
  p.Answer(kMaebashi, p.Forge(kMaebashi, {Update(AddressChange(Person(1), 2, kMaebashi))}).Seal());
  EXPECT_TRUE(p.Stop().ok());
  auto records = p.Records();
  ASSERT_EQ(records.size(), 6);
  const auto follow = [&] {
    LedgerReplay replay = p.NewReplay();
    for (const std::string& record : records) {
      if (auto entry = replay.Next(record); !entry.ok()) return entry.status().code();
    }
    return replay.VerifyHeads().code();
  };
  EXPECT_EQ(follow(), Code::kOk);
  // The same head, signed by the key before.
  v1::Entry entry;
  v1::EntryLeaf leaf;
  ASSERT_TRUE(entry.ParseFromString(records[5]) && leaf.ParseFromString(entry.leaf()));
  const MerkleEdge tree = p.TreeOf(kMaebashi);
  leaf.set_head(DetachHead(SignTreeHead({IssuerOrigin(10, kMaebashi), tree.size(), tree.Root(), leaf.ledger(), p.clock().Now()}, old)).value());
  entry.set_leaf(leaf.SerializeAsString());
  records[5] = entry.SerializeAsString();
  EXPECT_EQ(follow(), Code::kTampered);
}

TEST_F(ReplayTest, ContentOfTwoEntriesCannotBeExchanged) {
  v1::Entry other;
  ASSERT_TRUE(other.ParseFromString(records_[5]));
  EXPECT_EQ(Follow(With(4, [&](auto& entry) { entry.set_parts(0, other.parts(0)); })),
            "tampered at 4");
}

TEST_F(ReplayTest, ASubmissionWithoutItsTailIsUnfinishedAndOneThatGoesOnIsTampered) {
  EXPECT_EQ(Follow({records_.begin(), records_.begin() + 5}), "unfinished");
  EXPECT_EQ(Follow(Without(5)), "tampered at 5");
}

TEST_F(ReplayTest, ARecordDroppedAnywhereIsNoticedAtItsPlace) {
  for (std::size_t position = 0; position + 1 < records_.size(); ++position) {
    EXPECT_EQ(Follow(Without(position)), "tampered at " + std::to_string(position));
  }
  EXPECT_EQ(Follow(Without(3, 3)), "tampered at 3");
}

TEST_F(ReplayTest, RecordsInAnotherOrderAreNoticedAtTheFirst) {
  for (std::size_t position = 0; position + 1 < records_.size(); ++position) {
    auto records = records_;
    std::swap(records[position], records[position + 1]);
    EXPECT_EQ(Follow(records), "tampered at " + std::to_string(position));
  }
}

TEST_F(ReplayTest, ARecordTwiceIsNoticedAtTheSecond) {
  for (std::size_t position = 0; position < records_.size(); ++position) {
    auto records = records_;
    records.insert(records.begin() + static_cast<long>(position), records[position]);
    EXPECT_EQ(Follow(records), "tampered at " + std::to_string(position + 1));
  }
}

TEST_F(ReplayTest, AnotherLedgersRecordIsNoticedWhereverItStands) {
  Prefecture other;
  other.Found();
  const auto spliced = other.Records();
  for (std::size_t position = 0; position < spliced.size(); ++position) {
    auto records = records_;
    records[position] = spliced[position];
    EXPECT_EQ(Follow(records), "tampered at " + std::to_string(position));
  }
}

TEST_F(ReplayTest, ALedgerOfAnotherRegistrarIsRefusedAtItsOpening) {
  LedgerReplay replay(prefecture_.ledger_id(), SigningKey::Generate().public_key());
  EXPECT_EQ(replay.Next(records_[0]).status().code(), Code::kTampered);
}

TEST_F(ReplayTest, WhatIsNoEntryIsCorrupt) {
  for (const std::string& foreign : {std::string(), records_[4].substr(0, 40)}) {
    auto records = records_;
    records[4] = foreign;
    EXPECT_EQ(Follow(records), "corrupt at 4");
  }
  auto records = records_;
  records[4] = "no entry";
  EXPECT_EQ(Follow(records), "unsupported at 4") << "a field that no entry has";
}

TEST_F(ReplayTest, NoFlippedByteOfAnUpdatePasses) {
  for (const std::size_t position : {4u, 5u}) {
    for (std::size_t at = 0; at < records_[position].size(); ++at) {
      auto records = records_;
      Flip(records[position], at);
      ASSERT_NE(Follow(records), "ok") << "byte " << at << " of record " << position;
    }
  }
}

TEST_F(ReplayTest, WhatWasSavedIsLoadedAndGoesOn) {
  StoreOptions options;
  options.path = prefecture_.Path("saved");
  options.families = {"meta"};
  auto store = Store::Open(options).value();
  for (const std::size_t cut : {1u, 2u, 3u, 6u, 7u}) {
    LedgerReplay first = prefecture_.NewReplay();
    for (std::size_t i = 0; i < cut; ++i) ASSERT_TRUE(first.Next(records_[i]).ok());
    ASSERT_TRUE(first.VerifyHeads().ok());
    StoreBatch batch;
    first.Save(batch, 0);
    ASSERT_TRUE(store->Write(batch, false).ok());
    LedgerReplay second = prefecture_.NewReplay();
    ASSERT_TRUE(second.Load(*store, 0).ok());
    for (std::size_t i = cut; i < records_.size(); ++i)
      ASSERT_TRUE(second.Next(records_[i]).ok()) << i;
    EXPECT_TRUE(second.VerifyHeads().ok());
    EXPECT_EQ(second.FindIssuer(kMaebashi)->tree, prefecture_.TreeOf(kMaebashi));
  }
  LedgerReplay other(RandomArray<16>(), prefecture_.registrar_key().public_key());
  EXPECT_EQ(other.Load(*store, 0).code(), Code::kTampered);
}

}  // namespace
}  // namespace daicho
