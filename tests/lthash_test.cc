// The digest of a set: what changes the set changes it, what does not does not.
#include "events/lthash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace daicho {
namespace {

LtHash Of(const std::vector<std::string>& elements) {
  LtHash out;
  for (const std::string& element : elements) out.Add({element});
  return out;
}

TEST(LtHash, OrderDoesNotMatter) {
  std::vector<std::string> elements = {"a", "b", "c", "d"};
  const Digest digest = Of(elements).Fingerprint();
  while (std::next_permutation(elements.begin(), elements.end()))
    EXPECT_EQ(Of(elements).Fingerprint(), digest);
}

TEST(LtHash, RemovingUndoesAdding) {
  LtHash hash = Of({"a", "b"});
  hash.Add({"c"});
  hash.Remove({"a"});
  hash.Remove({"c"});
  EXPECT_EQ(hash.Encode(), Of({"b"}).Encode());
  hash.Remove({"b"});
  EXPECT_EQ(hash.Encode(), LtHash().Encode());
  hash.Remove({"b"});  // also below nothing
  hash.Add({"b"});
  EXPECT_EQ(hash.Encode(), LtHash().Encode());
}

TEST(LtHash, MergingIsTheUnion) {
  LtHash merged = Of({"a", "b"});
  merged.Merge(Of({"c", "d"}));
  EXPECT_EQ(merged.Fingerprint(), Of({"a", "b", "c", "d"}).Fingerprint());
}

TEST(LtHash, AnElementIsTheConcatenationOfItsParts) {
  LtHash parts;
  parts.Add({"issuer", "\n", "payload"});
  EXPECT_EQ(parts.Fingerprint(), Of({"issuer\npayload"}).Fingerprint());
}

TEST(LtHash, AnyOtherSetHasAnotherDigest) {
  const std::vector<std::vector<std::string>> sets = {
      {},   {"a"},     {"b"},      {"a", "b"},      {"a", "a"},  {"ab"},
      {""}, {"a", ""}, {"b", "b"}, {"a", "a", "b"}, {"a", "bb"}, {"aa", "b"}};
  std::set<Digest> digests;
  for (const auto& set : sets) digests.insert(Of(set).Fingerprint());
  EXPECT_EQ(digests.size(), sets.size());
}

TEST(LtHash, WordsAreAddedEachForItself) {
  // 65,536 times one element is nothing, modulo 2^16 in every word: carries do not cross words.
  LtHash hash;
  LtHash power = Of({"a"});
  for (int doubling = 0; doubling < 16; ++doubling) power.Merge(LtHash(power));
  EXPECT_EQ(power.Encode(), hash.Encode());
}

TEST(LtHash, IsStoredWholeAndReadBack) {
  const LtHash hash = Of({"a", "b"});
  ASSERT_EQ(hash.Encode().size(), 2'048);
  LtHash again = LtHash::Decode(hash.Encode()).value();
  EXPECT_EQ(again.Fingerprint(), hash.Fingerprint());
  again.Remove({"a"});
  EXPECT_EQ(again.Fingerprint(), Of({"b"}).Fingerprint());
  EXPECT_EQ(LtHash::Decode(hash.Encode().substr(1)).status().code(), Code::kCorrupt);
  EXPECT_EQ(LtHash::Decode(hash.Encode() + "x").status().code(), Code::kCorrupt);
}

// The expansion, pinned: digests are compared across decades and programs.
TEST(LtHash, ExpandsAnElementByTheKeyStreamUnderItsHash) {
  std::string words(2'048, '\0');
  KeyStream(Sha256Of({"a"}), words.data(), words.size());
  EXPECT_EQ(Of({"a"}).Encode(), words);
}

}  // namespace
}  // namespace daicho
