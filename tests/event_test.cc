// From a payload to an entry's parts and back, and receipts. Method: everything is made once, then
// each thing that binds (salt, leaf, key, step, commitment, signature) is exchanged for another.
#include "events/event.h"

#include <gtest/gtest.h>

#include <functional>

#include "events/canonical.h"

namespace daicho {
namespace {

DraftEvent Event() {
  DraftEvent event;
  event.kind = v1::EVENT_KIND_UPDATE;
  event.retention = v1::RETENTION_CLASS_NOTICE;
  event.payload = "the payload";
  event.subject = std::string(16, 's');
  return event;
}

TEST(Commitment, IsTheTaggedHashOfSaltAndPayload) {
  EXPECT_EQ(Commit("0123456789abcdef", "payload"),
            Sha256Of({"daicho/commitment/1\n0123456789abcdefpayload"}));
  EXPECT_NE(Commit("0123456789abcdef", "payload"), Commit("0123456789abcdeF", "payload"));
  EXPECT_NE(Commit("0123456789abcdef", "payload"), Commit("0123456789abcdef", "Payload"));
}

TEST(Draft, CarriesItsEventAndCommitsToIt) {
  const v1::Draft draft = MakeDraft(Event(), "102016", Sequence(7));
  const v1::EventHeader header = ParseHeader(draft.header()).value();
  EXPECT_EQ(header.kind(), v1::EVENT_KIND_UPDATE);
  EXPECT_EQ(header.issuer(), "102016");
  EXPECT_EQ(header.sequence(), 7);
  EXPECT_EQ(header.schema_version(), 1);
  ASSERT_EQ(draft.parts_size(), 1);
  EXPECT_EQ(draft.parts(0).payload(), "the payload");
  EXPECT_EQ(draft.parts(0).subject(), std::string(16, 's'));
  EXPECT_EQ(header.commitments(0), View(Commit(draft.parts(0).salt(), draft.parts(0).payload())));
}

TEST(Draft, OfTheSameEventCommitsToItUnrecognisably) {
  const v1::Draft one = MakeDraft(Event(), "102016", Sequence(7)),
                  two = MakeDraft(Event(), "102016", Sequence(7));
  EXPECT_NE(one.parts(0).salt(), two.parts(0).salt());
  EXPECT_NE(one.header(), two.header());
}

TEST(Header, WithoutAPartOrWithAStrangeOneIsRefused) {
  const std::string good = MakeDraft(Event(), "102016", Sequence(7)).header();
  const auto code = [&](const std::function<void(v1::EventHeader&)>& change) {
    v1::EventHeader header = ParseHeader(good).value();
    change(header);
    return ParseHeader(header.SerializeAsString()).status().code();
  };
  EXPECT_EQ(code([](auto&) {}), Code::kOk);
  EXPECT_EQ(code([](auto& h) { h.clear_issuer(); }), Code::kCorrupt);
  EXPECT_EQ(code([](auto& h) { h.clear_sequence(); }), Code::kCorrupt);
  EXPECT_EQ(code([](auto& h) { h.clear_commitments(); }), Code::kCorrupt);
  EXPECT_EQ(code([](auto& h) { h.mutable_commitments(0)->pop_back(); }), Code::kCorrupt);
  EXPECT_EQ(code([](auto& h) {
              while (h.commitments_size() <= static_cast<int>(kPartsPerEventMax))
                h.add_commitments(h.commitments(0));
            }),
            Code::kCorrupt);
  EXPECT_EQ(ParseHeader(good + "\xa0\x06\x01").status().code(), Code::kUnsupported);
  EXPECT_EQ(ParseHeader(good.substr(0, good.size() - 1)).status().code(), Code::kCorrupt);
}

TEST(Leaf, EndsWithTheDigestsOfItsSealedParts) {
  v1::EntryLeaf leaf;
  leaf.set_version(kLeafVersion);
  leaf.set_ledger(std::string(16, 'l'));
  for (const char subject : {'s', 't'}) leaf.add_keys()->set_subject(std::string(16, subject));
  const std::string before = leaf.SerializeAsString();
  std::string bytes = before;
  AppendDigests(bytes, {"first part", "second part"});
  EXPECT_EQ(BeforeDigests(bytes, 2), before);
  const auto parsed = ParseLeaf(bytes);
  ASSERT_TRUE(parsed.ok()) << parsed.status().ToString();
  EXPECT_EQ(parsed->part_digests(1), View(Sha256Of({"second part"})));
  // The same fields in another order have another boundary: refused.
  EXPECT_EQ(ParseLeaf(bytes.substr(before.size()) + before).status().code(), Code::kCorrupt);
}

TEST(Leaf, OfAnotherVersionOrWithoutItsLedgerIsRefused) {
  v1::EntryLeaf leaf;
  leaf.set_version(kLeafVersion);
  leaf.set_ledger(std::string(16, 'l'));
  leaf.add_keys()->set_subject(std::string(16, 's'));
  EXPECT_EQ(ParseLeaf(leaf.SerializeAsString()).status().code(), Code::kCorrupt);  // no digest
  leaf.add_part_digests(std::string(32, 'd'));
  EXPECT_TRUE(ParseLeaf(leaf.SerializeAsString()).ok());
  EXPECT_EQ(ParseLeaf(leaf.SerializeAsString() + "\xa0\x06\x01").status().code(),
            Code::kUnsupported);
  v1::EntryLeaf changed = leaf;
  changed.set_version(2);
  EXPECT_EQ(ParseLeaf(changed.SerializeAsString()).status().code(), Code::kUnsupported);
  changed = leaf;
  changed.set_ledger("short");
  EXPECT_EQ(ParseLeaf(changed.SerializeAsString()).status().code(), Code::kCorrupt);
  changed = leaf;
  changed.mutable_keys(0)->set_subject("short");
  EXPECT_EQ(ParseLeaf(changed.SerializeAsString()).status().code(), Code::kCorrupt);
}

// Every byte of a header and a leaf is dropped, doubled and set to each value: whatever the hand-written reader
// takes, Protobuf reads as the same message and writes as the same bytes.
template <typename Message>
void ExpectReadersAgree(const std::string& bytes, std::size_t& taken) {
  Message fast, slow;
  if (!ReadCanonical(bytes, fast)) return;
  ++taken;
  ASSERT_TRUE(slow.ParseFromString(bytes)) << ToHex(bytes);
  ASSERT_EQ(slow.SerializeAsString(), bytes) << ToHex(bytes);
  ASSERT_EQ(fast.SerializeAsString(), bytes) << ToHex(bytes);
}
template <typename Message>
void ExpectReadersAgreeAround(const std::string& good) {
  std::size_t taken = 0;
  ExpectReadersAgree<Message>(good, taken);
  ASSERT_EQ(taken, 1u);
  for (std::size_t i = 0; i < good.size(); ++i) {
    ExpectReadersAgree<Message>(good.substr(0, i), taken);
    ExpectReadersAgree<Message>(std::string(good).erase(i, 1), taken);
    ExpectReadersAgree<Message>(std::string(good).insert(i, 1, good[i]), taken);
    ExpectReadersAgree<Message>(good.substr(i) + good.substr(0, i), taken);
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = good;
      changed[i] = static_cast<char>(byte);
      ExpectReadersAgree<Message>(changed, taken);
    }
  }
  EXPECT_GT(taken, good.size());
}

TEST(Canonical, ReaderAgreesWithProtobufOnAllThatItTakes) {
  v1::EventHeader header = ParseHeader(MakeDraft(Event(), "102016", Sequence(300)).header()).value();
  header.add_commitments(header.commitments(0));
  ExpectReadersAgreeAround<v1::EventHeader>(header.SerializeAsString());
  v1::EntryLeaf leaf;
  leaf.set_version(kLeafVersion);
  leaf.set_ledger(std::string(16, 'l'));
  leaf.set_position(1'000'000);
  leaf.set_admitted_at(1'790'000'000'000'000);
  leaf.set_header(header.SerializeAsString());
  leaf.set_effect(v1::EFFECT_MOVED_AHEAD);
  leaf.set_head("a note");
  for (const std::uint32_t step : {0u, 4'000'000'000u}) {
    v1::KeyReference& key = *leaf.add_keys();
    key.set_subject(std::string(16, 's'));
    key.set_slot(std::uint64_t{7} << 40);
    key.set_step(step);
    leaf.add_part_digests(std::string(32, 'd'));
  }
  ExpectReadersAgreeAround<v1::EntryLeaf>(leaf.SerializeAsString());
}

TEST(Canonical, ReaderLeavesToProtobufWhatItsSerialiserWouldWriteOtherwise) {
  v1::EventHeader header;
  for (const std::string_view bytes : {std::string_view("\x08\x00", 2),          // a default
                                       std::string_view("\x18\x81\x00", 3),      // a varint too long
                                       std::string_view("\x18\x01\x08\x0a", 4),  // an order
                                       std::string_view("\x18\x01\x18\x01", 4),  // a repetition
                                       std::string_view("\x38\x01", 2),          // an unknown field
                                       std::string_view("\x12\x01\xc3", 3)}) {   // no UTF-8
    EXPECT_FALSE(ReadCanonical(bytes, header)) << ToHex(bytes);
  }
  EXPECT_TRUE(ReadCanonical("", header));
}

// Two entries' parts, each sealed under its own leaf.
class PartTest : public ::testing::Test {
 protected:
  const Key256 key_ = RandomArray<32>();
  const std::string salt_ = std::string(16, 'a'), other_salt_ = std::string(16, 'b');
  const std::string commitment_ = std::string(View(Commit(salt_, "payload")));
  const std::string other_commitment_ = std::string(View(Commit(other_salt_, "payload")));
  const std::string part_ = SealPart(key_, "leaf", salt_, "payload");
  const std::string other_part_ = SealPart(key_, "other leaf", other_salt_, "payload");
};

TEST_F(PartTest, OpensUnderItsOwnLeafAndCommitment) {
  EXPECT_EQ(OpenSealedPart(key_, "leaf", part_, commitment_).value(), "payload");
  EXPECT_EQ(OpenSealedPart(key_, "other leaf", other_part_, other_commitment_).value(), "payload");
}

TEST_F(PartTest, OfAnotherEntryDoesNotOpen) {
  EXPECT_EQ(OpenSealedPart(key_, "leaf", other_part_, commitment_).status().code(),
            Code::kTampered);
  EXPECT_EQ(OpenSealedPart(key_, "other leaf", part_, other_commitment_).status().code(),
            Code::kTampered);
  EXPECT_EQ(OpenSealedPart(key_, "leaf", part_, other_commitment_).status().code(),
            Code::kTampered);
  EXPECT_EQ(OpenSealedPart(RandomArray<32>(), "leaf", part_, commitment_).status().code(),
            Code::kTampered);
  EXPECT_EQ(OpenSealedPart(RatchetKey(key_, 1), "leaf", part_, commitment_).status().code(),
            Code::kTampered);
}

TEST_F(PartTest, ChangedOrCutDoesNotOpen) {
  for (std::size_t at = 0; at < part_.size(); ++at) {
    std::string damaged = part_;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_EQ(OpenSealedPart(key_, "leaf", damaged, commitment_).status().code(), Code::kTampered)
        << at;
    if (at == 0) continue;
    EXPECT_EQ(OpenSealedPart(key_, "leaf", part_.substr(0, at), commitment_).status().code(),
              Code::kTampered)
        << at;
  }
}

TEST_F(PartTest, ThatIsEmptyIsErased) {
  EXPECT_EQ(OpenSealedPart(key_, "leaf", "", commitment_).status().code(), Code::kErased);
  EXPECT_EQ(OpenClearPart("", commitment_).status().code(), Code::kErased);
}

TEST_F(PartTest, InTheClearIsCheckedAgainstItsCommitmentToo) {
  EXPECT_EQ(OpenClearPart(salt_ + "payload", commitment_).value(), "payload");
  EXPECT_EQ(OpenClearPart(salt_ + "Payload", commitment_).status().code(), Code::kTampered);
  EXPECT_EQ(OpenClearPart(other_salt_ + "payload", commitment_).status().code(), Code::kTampered);
  EXPECT_EQ(OpenClearPart("short", commitment_).status().code(), Code::kTampered);
}

TEST(Ratchet, StepNIsNSingleStepsAndNoneIsLikeAnother) {
  const Key256 base = RandomArray<32>();
  Key256 key = base;
  for (std::uint32_t step = 0; step < 50; ++step) {
    ASSERT_EQ(RatchetKey(base, step), key);
    const Key256 next = RatchetKey(key, 1);
    ASSERT_NE(next, key);
    key = next;
  }
}

TEST(Submission, IsSealedToOneLedgerUnderItsHead) {
  const HpkeKeyPair intake = HpkeKeyPair::Generate();
  const LedgerId ledger = RandomArray<16>();
  v1::SubmissionBody body;
  *body.add_drafts() = MakeDraft(Event(), "102016", Sequence(1));
  v1::Submission submission;
  ASSERT_TRUE(
      submission.ParseFromString(SealSubmission(body, "head", intake.public_key, ledger).value()));
  EXPECT_EQ(submission.head(), "head");
  EXPECT_EQ(HpkeOpen(intake, IntakeInfo(ledger), "head", submission.sealed_body()).value(),
            body.SerializeAsString());
  EXPECT_FALSE(
      HpkeOpen(intake, IntakeInfo(RandomArray<16>()), "head", submission.sealed_body()).ok());
  EXPECT_EQ(submission.sealed_body().find("the payload"), std::string::npos);
}

class ReceiptTest : public ::testing::Test {
 protected:
  static v1::Receipt Receipt() {
    v1::Receipt receipt;
    receipt.set_version(kReceiptVersion);
    receipt.set_issuer("102016");
    receipt.set_outcome(v1::OUTCOME_ADMITTED);
    receipt.set_first_position(120);
    return receipt;
  }
  Code CodeOf(const std::string& bytes) const {
    return VerifyReceipt(bytes, verifier_).status().code();
  }
  // Several signed together: the first of them is Receipt().
  std::vector<std::string> Signed(std::size_t count) const {
    std::vector<std::string> receipts;
    for (std::size_t i = 0; i < count; ++i) {
      v1::Receipt receipt = Receipt();
      receipt.set_first_position(120 + i);
      receipts.push_back(receipt.SerializeAsString());
    }
    return SignReceipts(std::move(receipts), key_).value();
  }
  static std::string SignedBy(const SigningKey& key, const v1::Receipt& receipt) {
    return SignReceipts({receipt.SerializeAsString()}, key).value().front();
  }

  const SigningKey key_ = SigningKey::Generate();
  const VerifyingKey verifier_ = VerifyingKey::From(key_.public_key()).value();
};

TEST_F(ReceiptTest, ReadsAsItWasSignedEachByItself) {
  for (const std::size_t count : {1u, 2u, 3u, 7u, 64u, 1'001u}) {
    const std::vector<std::string> receipts = Signed(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto receipt = VerifyReceipt(receipts[i], verifier_);
      ASSERT_TRUE(receipt.ok()) << i << " of " << count << ": " << receipt.status().ToString();
      EXPECT_EQ(receipt->first_position(), 120 + i);
    }
  }
  EXPECT_EQ(VerifyReceipt(Signed(1)[0], verifier_)->SerializeAsString(), Receipt().SerializeAsString());
}

TEST_F(ReceiptTest, OfAnotherKeyOrChangedIsRefused) {
  EXPECT_EQ(CodeOf(SignedBy(SigningKey::Generate(), Receipt())), Code::kTampered);
  for (const std::size_t count : {1u, 5u}) {
    for (const std::string& bytes : Signed(count)) {
      for (std::size_t at = 0; at < bytes.size(); ++at) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ 1);
        EXPECT_NE(CodeOf(damaged), Code::kOk) << at;
        EXPECT_NE(CodeOf(bytes.substr(0, at)), Code::kOk) << at;
      }
    }
  }
}

// What was signed for a batch says nothing of a receipt that was not in it.
TEST_F(ReceiptTest, UnderTheSignatureOfOthersIsRefused) {
  v1::SignedReceipt one, other;
  ASSERT_TRUE(one.ParseFromString(Signed(4)[1]) && other.ParseFromString(Signed(4)[2]));
  other.set_receipt(one.receipt());
  EXPECT_EQ(CodeOf(other.SerializeAsString()), Code::kTampered);
  // An inner node is no receipt.
  v1::SignedReceipt inner = one;
  inner.set_receipt(std::string("\x01", 1) + inner.path());
  inner.clear_path();
  EXPECT_EQ(CodeOf(inner.SerializeAsString()), Code::kTampered);
  one.mutable_path()->append(32, 'x');
  EXPECT_EQ(CodeOf(one.SerializeAsString()), Code::kTampered);
  one.mutable_path()->append(1, 'x');
  EXPECT_EQ(CodeOf(one.SerializeAsString()), Code::kTampered);
}

TEST_F(ReceiptTest, OfANewerVersionIsRefusedThoughSigned) {
  v1::Receipt newer = Receipt();
  newer.set_version(2);
  EXPECT_EQ(CodeOf(SignedBy(key_, newer)), Code::kUnsupported);
  newer = Receipt();
  newer.GetReflection()->MutableUnknownFields(&newer)->AddVarint(100, 1);
  EXPECT_EQ(CodeOf(SignedBy(key_, newer)), Code::kUnsupported);
}

}  // namespace
}  // namespace daicho
