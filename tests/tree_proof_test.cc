// Proofs that leave the house: the text of C2SP tlog-proof. Method: a golden text made of fixed
// keys, read and written again; then the same text spoiled.
#include "events/tree_proof.h"

#include <gtest/gtest.h>

#include "events/witness_policy.h"

namespace daicho {
namespace {

constexpr char kGolden[] = R"(c2sp.org/tlog-proof@v1
extra bGVhZg==
index 5
vBoGQ7EuTS18d5GPROD095qDi2z57FtcKD4fTYhZnms=
yoVOoSjtBQtBs1/8G4e46yveRh6eO1WW7Oa51ZdaCuA=
037kGJdt2VdTwcc4Yrk5j6Kiz5tP8P3+izDNlSCWFLc=

daicho/10/ledger
8
XcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=
ledger aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
time 1795479124000000

)";

class TreeProofTest : public ::testing::Test {
 protected:
  TreeProofTest() {
    // The eight leaves of the known answers of RFC 6962 (merkle_test).
    std::vector<Digest> leaves;
    for (const char* hex : {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                            "606162636465666768696a6b6c6d6e6f"}) {
      leaves.push_back(LeafHash(FromHex(hex).value()));
    }
    const NodeSource nodes = [&](int level, std::uint64_t index) -> Result<Digest> {
      MerkleEdge subtree;
      for (std::uint64_t i = index << level; i < (index + 1) << level; ++i)
        subtree.Append(leaves[i]);
      return subtree.Root();
    };
    leaf_ = leaves[5];
    TreeHead head;
    head.origin = LedgerOrigin(10);
    head.size = 8;
    head.root = RootOf(8, nodes).value();
    head.ledger = std::string(16, '\xaa');
    head.time = TimeMicros(1'795'479'124'000'000);
    proof_ = {"leaf", 5, InclusionProof(5, 8, nodes).value(), SignTreeHead(head, key_)};
  }
  Code CodeOf(const std::string& text) const {
    const auto proof = ParseTreeProof(text);
    return proof.ok() ? VerifyTreeProof(leaf_, *proof, verifier_).status().code()
                      : proof.status().code();
  }
  std::string Told(const std::string& that, const std::string& instead) const {
    std::string text = FormatTreeProof(proof_);
    EXPECT_NE(text.find(that), std::string::npos) << that;
    return text.replace(text.find(that), that.size(), instead);
  }

  const SigningKey key_ = SigningKey::FromSeed(Key256{0x01});
  const VerifyingKey verifier_ = VerifyingKey::From(key_.public_key()).value();
  Digest leaf_;
  TreeProof proof_;
};

TEST_F(TreeProofTest, IsTheDocumentedText) {
  const std::string text = FormatTreeProof(proof_);
  EXPECT_EQ(text.substr(0, text.find("\xe2\x80\x94")), kGolden);
  EXPECT_EQ(ParseTreeProof(text).value(), proof_);
  EXPECT_EQ(VerifyTreeProof(leaf_, proof_, verifier_).value().size, 8u);
}

// The example of events/README.md.
TEST(TreeProofExample, IsMadeAgainAndHoldsUnderItsPolicy) {
  Key256 seed, witness_seed;
  seed.fill(0x01);
  witness_seed.fill(0x06);
  const SigningKey key = SigningKey::FromSeed(seed);
  TreeHead head;
  head.origin = IssuerOrigin(10, "102016");
  head.size = 1;
  const char* leaf = "a47b3652154798d32c2d6f187c190055aacaa1b8aa99493aff73971353cfc903";
  head.root = ToArray<32>(FromHex(leaf).value()).value();
  head.ledger = std::string(16, '\xaa');
  head.time = TimeMicros(1'795'479'124'000'000);
  const std::string note = SignTreeHead(head, key);
  const std::string line = Cosign(note, "witness/102024", SigningKey::FromSeed(witness_seed),
                                  TimeMicros(1'795'479'126'000'000))
                               .value();
  EXPECT_EQ(
      line,
      "\xe2\x80\x94 witness/102024 "
      "2CayiwAAAABrBNZWVUvqi6fHFmpicBsXlcWwxkbyJYI4uCy3t5LQWyHp6xrblkoXIsASBMJdZn0yT4p7QwiitgUBE+"
      "twpPdU4OPVAw==\n");
  const WitnessPolicy policy =
      WitnessPolicy::Parse(
          "log daicho/10/issuer/102016+0e61d1ac+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c\n"
          "witness takasaki witness/102024+d826b28b+BIqHX/8es4RRV3rNWv7kBUVlaN18ieCQhjoFV7x69J8X\n"
          "quorum takasaki\n")
          .value();
  const std::string text = FormatTreeProof({"", 0, {}, note + line});
  const TreeProof proof = ParseTreeProof(text).value();
  EXPECT_EQ(VerifyTreeProof(head.root, proof, policy.logs()[0].key.key).value(), head);
  const auto cosigners = policy.Cosigners(ParseNote(proof.checkpoint).value()).value();
  ASSERT_TRUE(cosigners.contains("takasaki"));
  EXPECT_TRUE(policy.Judge({"takasaki"}).satisfied);
}

TEST_F(TreeProofTest, WithoutExtraOrHashesTheirLinesAreNotThere) {
  TreeProof alone = proof_;
  alone.extra.clear();
  alone.index = 0;
  alone.hashes.clear();
  const std::string text = FormatTreeProof(alone);
  EXPECT_TRUE(text.starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\ndaicho/10/ledger\n")) << text;
  EXPECT_EQ(ParseTreeProof(text).value(), alone);
}

TEST_F(TreeProofTest, EveryFlippedByteOfWhatIsProvenIsRefused) {
  const std::string text = FormatTreeProof(proof_);
  const std::size_t extra = text.find("bGVhZg==");
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (at >= extra && at < extra + 8) continue;  // nothing vouches for it
    std::string damaged = text;
    damaged[at] = static_cast<char>(damaged[at] ^ 1);
    EXPECT_NE(CodeOf(damaged), Code::kOk) << "byte " << at;
  }
}

TEST_F(TreeProofTest, EveryCutIsRefused) {
  const std::string text = FormatTreeProof(proof_);
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_EQ(CodeOf(text.substr(0, size)), Code::kCorrupt) << size;
  }
}

TEST_F(TreeProofTest, ASecondTextOfTheSameProofIsRefused) {
  EXPECT_EQ(CodeOf(Told("index 5", "index 5")), Code::kOk);
  for (const auto& [that, instead] : std::vector<std::pair<std::string, std::string>>{
           {"index 5", "index 05"},
           {"index 5", "index  5"},
           {"index 5", "index +5"},
           {"index 5", "index 18446744073709551616"},
           {"index 5", "Index 5"},
           {"index 5\n", ""},
           {"extra bGVhZg==", "extra "},
           {"extra bGVhZg==", "extra bGVhZh=="},
           {"extra bGVhZg==\nindex 5", "index 5\nextra bGVhZg=="},
           {"@v1", "@v2"},
           {"@v1\n", "@v1\r\n"},
           {"nms=\n", "nms=\n\n"},
           {"FLc=\n\n", "FLc=\n"},
           {"vBoGQ7EuTS", "vBoGQ7Eu"}}) {
    EXPECT_EQ(CodeOf(Told(that, instead)), Code::kCorrupt) << instead;
  }
}

TEST_F(TreeProofTest, AnotherLeafIndexOrKeyIsNotProven) {
  EXPECT_EQ(VerifyTreeProof(LeafHash("x"), proof_, verifier_).status().code(), Code::kTampered);
  EXPECT_EQ(CodeOf(Told("index 5", "index 4")), Code::kTampered);
  EXPECT_EQ(CodeOf(Told("index 5", "index 8")), Code::kTampered);
  const VerifyingKey other = VerifyingKey::From(SigningKey::Generate().public_key()).value();
  EXPECT_EQ(VerifyTreeProof(leaf_, proof_, other).status().code(), Code::kTampered);
}

TEST_F(TreeProofTest, MoreHashesThanATreeCanHaveAreRefused) {
  proof_.hashes.resize(kProofHashesMax + 1);
  EXPECT_EQ(CodeOf(FormatTreeProof(proof_)), Code::kCorrupt);
}

}  // namespace
}  // namespace daicho
