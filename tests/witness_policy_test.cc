// Trust policies of witnesses. Method: the example of C2SP tlog-policy, then a matrix of texts that
// break one rule each, then verdicts against every subset of the witnesses.
#include "events/witness_policy.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

constexpr const char* kNames[] = {"X1", "X2", "X3", "Y1", "Y2", "Y3"};

SigningKey KeyOf(int n) { return SigningKey::FromSeed(Key256{static_cast<std::uint8_t>(n)}); }
std::string VKey(int n, NoteAlgorithm algorithm = NoteAlgorithm::kCosignatureV1,
                 const std::string& name = "") {
  return FormatNoteKey({name.empty() ? "witness.example/" + std::to_string(n) : name, algorithm,
                        VerifyingKey::From(KeyOf(n).public_key()).value()});
}
std::string LogKey(int n) { return VKey(n, NoteAlgorithm::kEd25519, "daicho/10/ledger"); }

// Two levels of groups.
std::string Example() {
  std::string out = "log " + LogKey(90) + "\n\n";
  for (int n = 0; n < 3; ++n) out += std::string("witness ") + kNames[n] + " " + VKey(n) + "\n";
  out += "group X-witnesses 2 X1 X2 X3\n\n";
  for (int n = 3; n < 6; ++n) out += std::string("witness ") + kNames[n] + " " + VKey(n) + "\n";
  return out +
         "group Y-witnesses any Y1 Y2 Y3\n\ngroup X-and-Y all X-witnesses Y-witnesses\nquorum "
         "X-and-Y\n";
}

TEST(WitnessPolicy, ReadsLogsWitnessesGroupsAndQuorum) {
  const WitnessPolicy policy = WitnessPolicy::Parse(Example()).value();
  ASSERT_EQ(policy.logs().size(), 1u);
  EXPECT_EQ(policy.logs()[0].key.name, "daicho/10/ledger");
  ASSERT_EQ(policy.witnesses().size(), 6u);
  EXPECT_EQ(policy.witnesses()[4].name, "Y2");
  EXPECT_EQ(FormatNoteKey(policy.witnesses()[4].key), VKey(4));
  ASSERT_EQ(policy.groups().size(), 3u);
  EXPECT_EQ(policy.groups()[0].threshold, 2u);
  EXPECT_EQ(policy.groups()[1].threshold, 1u);
  EXPECT_EQ(policy.groups()[2].threshold, 2u);
  EXPECT_EQ(policy.groups()[2].members, (std::vector<std::string>{"X-witnesses", "Y-witnesses"}));
  EXPECT_EQ(policy.quorum(), "X-and-Y");
}

TEST(WitnessPolicy, TakesBlanksCommentsUrlsAndBytesBeyondAscii) {
  const std::string text = "# 前橋市\n\t # again\n \t\n\tlog\t" + LogKey(9) +
                           "  https://log.example/ \n" + " witness 前橋市 " + VKey(1) +
                           " https://witness.example/\t\n" + "witness \xff " + VKey(2) +
                           "\nquorum 前橋市\n";
  const WitnessPolicy policy = WitnessPolicy::Parse(text).value();
  EXPECT_EQ(policy.logs()[0].url, "https://log.example/");
  EXPECT_EQ(policy.witnesses()[0].url, "https://witness.example/");
  EXPECT_EQ(policy.witnesses()[1].name, "\xff");
  EXPECT_EQ(policy.quorum(), "前橋市");
}

TEST(WitnessPolicy, EveryBrokenRuleIsNamedWithItsLine) {
  const std::string a = "witness a " + VKey(1) + "\n", b = "witness b " + VKey(2) + "\n";
  const std::string unknown = "w+00000000+" + ToBase64("\x06" + std::string(1312, 'k'));
  const struct {
    std::string text, error;
    Code code = Code::kInvalid;
  } bad[] = {
      {"", "quorum: missing"},
      {a, "quorum: missing"},
      {"quorum none", "line 1: newline"},
      {"quorum none\r\n", "line 1: characters"},
      {std::string("quorum none\n#\0\n", 15), "line 2: characters"},
      {"quorum none\n#\x7f\n", "line 2: characters"},
      {"quorum none\nQuorum none\n", "line 2: keyword"},
      {"quorum\n", "line 1: quorum: takes"},
      {"quorum none # no comment\n", "line 1: quorum: takes"},
      {"quorum none\nquorum none\n", "line 2: quorum: given already"},
      {"quorum a\n" + a, "line 1: quorum: not defined above"},
      {"log\n", "line 1: log: takes"},
      {"log " + LogKey(1) + " url more\n", "line 1: log: takes"},
      {"log nonsense\n", "line 1: vkey: key: not name"},
      {"log " + VKey(1) + "\n", "line 1: vkey: of an algorithm for another use"},
      {"log " + LogKey(1) + "\nlog " + VKey(1, NoteAlgorithm::kEd25519, "other") + "\n",
       "line 2: vkey: the key of an earlier log"},
      {"log " + unknown + "\n", "line 1: vkey: key: algorithm 06", Code::kUnsupported},
      {"witness a\n", "line 1: witness: takes"},
      {"witness a " + VKey(1) + " url more\n", "line 1: witness: takes"},
      {"witness a " + LogKey(1) + "\n", "line 1: vkey: of an algorithm for another use"},
      {"witness a " + unknown + "\n", "line 1: vkey: key: algorithm 06", Code::kUnsupported},
      {"witness none " + VKey(1) + "\n", "line 1: name: none"},
      {a + "witness a " + VKey(2) + "\n", "line 2: name: defined already"},
      {a + "witness b " + VKey(1, NoteAlgorithm::kCosignatureV1, "other") + "\n",
       "line 2: vkey: the key of an earlier witness"},
      {a + "group g any\n", "line 2: group: takes"},
      {a + "group a any a\n", "line 2: name: defined already"},
      {a + "group none any a\n", "line 2: name: none"},
      {a + "group g any b\n" + b, "line 2: member: not defined above"},
      {a + "group g any g\n", "line 2: member: not defined above"},
      {a + "group g any none\n", "line 2: member: not defined above"},
      {a + "group g any a a\n", "line 2: member: in a group already"},
      {a + b + "group g any a\ngroup h any a b\n", "line 4: member: in a group already"},
      {a + "group g 0 a\n", "line 2: threshold: not from 1"},
      {a + "group g 2 a\n", "line 2: threshold: not from 1"},
      {a + "group g 01 a\n", "line 2: threshold: none of"},
      {a + "group g -1 a\n", "line 2: threshold: none of"},
      {a + "group g ALL a\n", "line 2: threshold: none of"},
      {a + "group g 99999999999999999999999 a\n", "line 2: threshold: none of"},
      {std::string(kPolicyBytesMax, '\n') + "quorum none\n", "policy: too long"},
  };
  for (const auto& [text, error, code] : bad) {
    const auto policy = WitnessPolicy::Parse(text);
    ASSERT_FALSE(policy.ok()) << text;
    EXPECT_EQ(policy.status().code(), code) << text;
    EXPECT_TRUE(policy.status().message().starts_with(error)) << policy.status().message() << "\n"
                                                              << text;
  }
}

TEST(WitnessPolicy, HoldsAsManyAsItsBoundAndNoMore) {
  std::string text;
  for (std::size_t n = 0; n < kPolicyItemsMax; ++n) {
    text += "witness w" + std::to_string(n) + " " + VKey(static_cast<int>(n)) + "\n";
  }
  EXPECT_TRUE(WitnessPolicy::Parse(text + "quorum none\n").ok());
  EXPECT_EQ(WitnessPolicy::Parse(text + "witness more " + VKey(99) + "\nquorum none\n")
                .status()
                .message(),
            "line 65: witness: too many");
}

// Of the example's six witnesses, every subset.
TEST(WitnessPolicy, AQuorumIsSatisfiedAsItsGroupsSay) {
  const WitnessPolicy policy = WitnessPolicy::Parse(Example()).value();
  for (unsigned subset = 0; subset < 64; ++subset) {
    std::set<std::string> cosigned;
    std::vector<std::string> missing;
    for (unsigned n = 0; n < 6; ++n) {
      if ((subset >> n & 1) != 0) {
        cosigned.insert(kNames[n]);
      } else {
        missing.emplace_back(kNames[n]);
      }
    }
    const int x = __builtin_popcount(subset & 7), y = __builtin_popcount(subset >> 3);
    const WitnessPolicy::Verdict verdict = policy.Judge(cosigned);
    EXPECT_EQ(verdict.satisfied, x >= 2 && y >= 1) << subset;
    EXPECT_EQ(verdict.missing, missing) << subset;
  }
}

TEST(WitnessPolicy, OnlyTheQuorumsWitnessesCanBeMissing) {
  std::string text = Example();
  text.replace(text.find("quorum X-and-Y"), 14, "quorum Y1");
  const WitnessPolicy policy = WitnessPolicy::Parse(text).value();
  EXPECT_EQ(policy.Judge({"X1", "Y2"}).missing, std::vector<std::string>{"Y1"});
  EXPECT_TRUE(policy.Judge({"Y1"}).satisfied);
}

TEST(WitnessPolicy, WithQuorumNoneEveryCheckpointIsGood) {
  const WitnessPolicy policy =
      WitnessPolicy::Parse("witness a " + VKey(1) + "\nquorum none\n").value();
  EXPECT_TRUE(policy.Judge({}).satisfied);
  EXPECT_TRUE(policy.Judge({}).missing.empty());
  EXPECT_TRUE(WitnessPolicy().Judge({}).satisfied);
}

class CosignersTest : public ::testing::Test {
 protected:
  std::string Line(int n) const {
    return Cosign(note_, "witness.example/" + std::to_string(n), KeyOf(n),
                  TimeMicros(1'795'000'000'000'000 + n))
        .value();
  }
  const WitnessPolicy policy_ = WitnessPolicy::Parse(Example()).value();
  const std::string note_ = SignNote("daicho/10/ledger\n7\n" + ToBase64(View(Digest{})) + "\n",
                                     "daicho/10/ledger", KeyOf(90));
};

TEST_F(CosignersTest, AreThoseOfThePolicyWhoseLinesVerify) {
  const std::string cosigned = note_ + Line(0) + Line(7) + Line(2) + Line(5);
  const auto cosigners = policy_.Cosigners(ParseNote(cosigned).value()).value();
  std::set<std::string> names;
  for (const auto& [name, time] : cosigners) {
    names.insert(name);
    EXPECT_EQ(time, TimeMicros(1'795'000'000'000'000));
  }
  EXPECT_EQ(names, (std::set<std::string>{"X1", "X3", "Y3"}));
  EXPECT_TRUE(policy_.Judge(names).satisfied);
}

TEST_F(CosignersTest, ALineOfAWitnessThatDoesNotVerifyIsTampered) {
  const std::string forged =
      note_ +
      SignatureLine("witness.example/1", policy_.witnesses()[1].key.id(), std::string(72, 'f'));
  const auto cosigners = policy_.Cosigners(ParseNote(forged).value());
  EXPECT_EQ(cosigners.status().code(), Code::kTampered);
  EXPECT_TRUE(cosigners.status().message().starts_with("witness X2: "));
}

}  // namespace
}  // namespace daicho
