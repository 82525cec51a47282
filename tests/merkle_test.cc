// The tree against RFC 6962 section 2.1 told as it stands there: slow, recursive, over all leaves.
// First the reference proves itself on the known answers of the Certificate Transparency project,
// then it is the oracle. Then the stored edge, and the same with damaged bytes.
#include "events/merkle.h"

#include <gtest/gtest.h>

#include <span>

#include "events/crypto.h"

namespace daicho {
namespace {

using Leaves = std::vector<std::string>;

// --- reference implementation --------------------------------------------------------------------

Digest ReferenceRoot(std::span<const std::string> leaves) {
  if (leaves.empty()) return Sha256Of({});
  if (leaves.size() == 1) return Sha256Of({std::string_view("\0", 1), leaves[0]});
  std::size_t k = 1;  // the largest power of two below the size
  while (2 * k < leaves.size()) k *= 2;
  return Sha256Of(
      {"\x01", View(ReferenceRoot(leaves.first(k))), View(ReferenceRoot(leaves.subspan(k)))});
}

const Leaves& KnownLeaves() {
  static const Leaves leaves = [] {
    Leaves out;
    for (const char* hex : {"", "00", "10", "2021", "3031", "40414243", "5051525354555657",
                            "606162636465666768696a6b6c6d6e6f"}) {
      out.push_back(FromHex(hex).value());
    }
    return out;
  }();
  return leaves;
}
constexpr const char* kKnownRoots[] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};

TEST(ReferenceTree, AgreesWithTheKnownAnswers) {
  EXPECT_EQ(ToHex(View(ReferenceRoot({}))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  for (std::size_t size = 1; size <= KnownLeaves().size(); ++size) {
    EXPECT_EQ(ToHex(View(ReferenceRoot(std::span(KnownLeaves()).first(size)))),
              kKnownRoots[size - 1]);
  }
}

// --- the tree ------------------------------------------------------------------------------------

TEST(MerkleEdge, AgreesWithTheKnownAnswers) {
  MerkleEdge tree;
  for (std::size_t i = 0; i < KnownLeaves().size(); ++i) {
    tree.Append(LeafHash(KnownLeaves()[i]));
    EXPECT_EQ(ToHex(View(tree.Root())), kKnownRoots[i]);
  }
}

TEST(MerkleEdge, HasTheReferencesRootAtEverySizeAlsoWhenStoredInBetween) {
  Leaves leaves;
  MerkleEdge tree;
  for (int size = 0; size <= 200; ++size) {
    ASSERT_EQ(tree.size(), static_cast<std::uint64_t>(size));
    ASSERT_EQ(tree.Root(), ReferenceRoot(leaves)) << size;
    const MerkleEdge stored = MerkleEdge::Decode(tree.Encode()).value();
    ASSERT_EQ(stored, tree);
    tree = stored;
    leaves.push_back("leaf " + std::to_string(size));
    tree.Append(LeafHash(leaves.back()));
  }
}

TEST(MerkleEdge, IsStoredAsItsSizeAndOneHashPerOneBit) {
  MerkleEdge tree;
  for (int i = 0; i < 7; ++i) tree.Append(LeafHash(KnownLeaves()[static_cast<std::size_t>(i)]));
  const std::string bytes = tree.Encode();
  ASSERT_EQ(bytes.size(), 8 + 3 * 32);
  EXPECT_EQ(ReadU64(bytes), 7);
  EXPECT_EQ(ToHex(bytes.substr(8, 32)), kKnownRoots[3]);
}

TEST(MerkleEdge, StoredBytesOfAnotherLengthAreCorrupt) {
  MerkleEdge tree;
  for (int i = 0; i < 7; ++i) tree.Append(LeafHash("x"));
  const std::string bytes = tree.Encode();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(MerkleEdge::Decode(bytes.substr(0, size)).status().code(), Code::kCorrupt) << size;
  }
  EXPECT_EQ(MerkleEdge::Decode(bytes + "x").status().code(), Code::kCorrupt);
}

TEST(MerkleEdge, AFlippedStoredByteIsCorruptOrAnotherTree) {
  MerkleEdge tree;
  for (int i = 0; i < 7; ++i) tree.Append(LeafHash("x"));
  for (std::size_t at = 0; at < tree.Encode().size(); ++at) {
    std::string bytes = tree.Encode();
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    const auto damaged = MerkleEdge::Decode(bytes);
    ASSERT_TRUE(damaged.ok() ? damaged->Root() != tree.Root()
                             : damaged.status().code() == Code::kCorrupt)
        << at;
  }
}

TEST(MerkleEdge, LeavesAndNodesCannotBeTakenForEachOther) {
  const Digest a = LeafHash("a"), b = LeafHash("b");
  EXPECT_NE(NodeHash(a, b), LeafHash(std::string(View(a)) + std::string(View(b))));
  EXPECT_NE(NodeHash(a, b), NodeHash(b, a));
}

}  // namespace
}  // namespace daicho
