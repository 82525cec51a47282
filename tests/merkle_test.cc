// The tree against RFC 6962 section 2.1 told as it stands there: slow, recursive, over all leaves.
// First the reference proves itself on the known answers of the Certificate Transparency project,
// then it is the oracle. Then the stored edge, and the same with damaged bytes. Proofs the same way:
// known answers, then every proof of every size up to 70 against the definitions of RFC 6962 2.1.1 and
// 2.1.2, then each of them spoiled in every way.
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

TEST(MerkleEdge, SubtreesAppendedWholeMakeTheSameTree) {
  for (int level = 0; level <= 4; ++level) {
    const std::uint64_t width = 1u << level;
    MerkleEdge tree, by_subtrees;
    for (std::uint64_t block = 0; block < 9; ++block) {
      MerkleEdge subtree;
      for (std::uint64_t i = 0; i < width; ++i) {
        const Digest leaf = LeafHash(std::to_string(block * width + i));
        tree.Append(leaf);
        subtree.Append(leaf);
      }
      by_subtrees.AppendSubtree(level, subtree.Root());
      ASSERT_EQ(by_subtrees, tree);
    }
  }
}

TEST(MerkleEdge, IsTheSameWhetherAskedAfterEachLeafOrAfterMany) {
  for (const std::size_t before : {0, 1, 2, 3, 7, 8, 31, 100}) {
    for (const std::size_t more : {1, 2, 7, 8, 9, 64, 255, 256, 257, 600}) {
      MerkleEdge asked, tree;
      for (std::size_t i = 0; i < before + more; ++i) {
        const Digest leaf = LeafHash(std::to_string(i));
        asked.Append(leaf);
        tree.Append(leaf);
        static_cast<void>(asked.Root());
        if (i + 1 == before) static_cast<void>(tree.Root());
      }
      ASSERT_EQ(tree.size(), before + more);
      ASSERT_EQ(tree, asked) << before << " + " << more;
      ASSERT_EQ(tree.Root(), asked.Root());
    }
  }
}

TEST(MerkleEdge, ASubtreeWhereNoneBeginsIsAProgrammersError) {
  MerkleEdge tree;
  for (int i = 0; i < 6; ++i) tree.Append(LeafHash("x"));
  EXPECT_DEATH(tree.AppendSubtree(2, LeafHash("x")), "CHECK");
  EXPECT_DEATH(tree.AppendSubtree(64, LeafHash("x")), "CHECK");
}

// --- proofs --------------------------------------------------------------------------------------

constexpr std::uint64_t kSizeMax = 70;

Proof ReferencePath(std::size_t m, std::span<const std::string> leaves) {
  if (leaves.size() == 1) return {};
  std::size_t k = 1;
  while (2 * k < leaves.size()) k *= 2;
  const auto left = leaves.first(k), right = leaves.subspan(k);
  Proof path = m < k ? ReferencePath(m, left) : ReferencePath(m - k, right);
  path.push_back(ReferenceRoot(m < k ? right : left));
  return path;
}

Proof ReferenceSubproof(std::size_t m, std::span<const std::string> leaves, bool known) {
  if (m == leaves.size()) return known ? Proof() : Proof{ReferenceRoot(leaves)};
  std::size_t k = 1;
  while (2 * k < leaves.size()) k *= 2;
  const auto left = leaves.first(k), right = leaves.subspan(k);
  Proof proof = m <= k ? ReferenceSubproof(m, left, known) : ReferenceSubproof(m - k, right, false);
  proof.push_back(ReferenceRoot(m <= k ? right : left));
  return proof;
}

// A tree of `size` leaves that answers for its complete subtrees and fails the test for any other.
struct Tree {
  explicit Tree(Leaves from) : leaves(std::move(from)) {}
  explicit Tree(std::uint64_t size) {
    for (std::uint64_t i = 0; i < size; ++i) leaves.push_back("leaf " + std::to_string(i));
  }
  std::uint64_t size() const { return leaves.size(); }
  std::span<const std::string> First(std::uint64_t count) const {
    return std::span(leaves).first(count);
  }
  Digest Root(std::uint64_t count) const { return ReferenceRoot(First(count)); }
  NodeSource Nodes() const {
    return [this](int level, std::uint64_t index) -> Result<Digest> {
      const std::uint64_t width = std::uint64_t{1} << level;
      EXPECT_LE((index + 1) * width, leaves.size());
      if ((index + 1) * width > leaves.size()) return Internal("asked beyond the tree");
      return ReferenceRoot(std::span(leaves).subspan(index * width, width));
    };
  }
  Leaves leaves;
};

Proof FromHexes(std::initializer_list<const char*> hexes) {
  Proof out;
  for (const char* hex : hexes) out.push_back(ToArray<32>(FromHex(hex).value()).value());
  return out;
}

TEST(MerkleProofs, AreTheKnownAnswers) {
  const Tree tree(KnownLeaves());
  const char *h0 = kKnownRoots[0], *h01 = kKnownRoots[1], *h03 = kKnownRoots[3],
             *h1 = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
             *h23 = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
             *h4 = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
             *h45 = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
             *h67 = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
             *h47 = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
             *h6 = "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f";
  const auto path = [&](std::uint64_t index, std::uint64_t size) {
    return InclusionProof(index, size, tree.Nodes()).value();
  };
  EXPECT_EQ(path(0, 1), Proof());
  EXPECT_EQ(path(0, 8), FromHexes({h1, h23, h47}));
  EXPECT_EQ(path(5, 8), FromHexes({h4, h67, h03}));
  EXPECT_EQ(path(7, 8), FromHexes({h6, h45, h03}));
  EXPECT_EQ(path(2, 3), FromHexes({h01}));
  EXPECT_EQ(path(1, 5), FromHexes({h0, h23, h4}));
  EXPECT_EQ(path(5, 6), FromHexes({h4, h03}));
  const auto consistency = [&](std::uint64_t old_size, std::uint64_t size) {
    return ConsistencyProof(old_size, size, tree.Nodes()).value();
  };
  EXPECT_EQ(consistency(1, 1), Proof());
  EXPECT_EQ(consistency(1, 8), FromHexes({h1, h23, h47}));
  EXPECT_EQ(consistency(6, 8), FromHexes({h45, h67, h03}));
  EXPECT_EQ(consistency(2, 5), FromHexes({h23, h4}));
  for (std::uint64_t size = 1; size <= 8; ++size) {
    EXPECT_EQ(ToHex(View(RootOf(size, tree.Nodes()).value())), kKnownRoots[size - 1]);
  }
}

TEST(MerkleProofs, AreTheReferencesAtEverySizeAndVerify) {
  const Tree tree(kSizeMax);
  EXPECT_EQ(RootOf(0, tree.Nodes()).value(), tree.Root(0));
  for (std::uint64_t size = 1; size <= kSizeMax; ++size) {
    const Digest root = tree.Root(size);
    ASSERT_EQ(RootOf(size, tree.Nodes()).value(), root);
    for (std::uint64_t i = 0; i < size; ++i) {
      const Proof path = InclusionProof(i, size, tree.Nodes()).value();
      ASSERT_EQ(path, ReferencePath(i, tree.First(size))) << i << " in " << size;
      ASSERT_TRUE(VerifyInclusion(LeafHash(tree.leaves[i]), i, size, path, root).ok());
    }
    for (std::uint64_t old = 1; old <= size; ++old) {
      const Proof proof = ConsistencyProof(old, size, tree.Nodes()).value();
      ASSERT_EQ(proof, ReferenceSubproof(old, tree.First(size), true)) << old << " to " << size;
      ASSERT_TRUE(VerifyConsistency(old, tree.Root(old), size, root, proof).ok());
    }
  }
}

// Every hash flipped, the first and the last one gone, one too many at either end.
std::vector<Proof> Spoiled(const Proof& proof) {
  std::vector<Proof> out;
  for (std::size_t i = 0; i < proof.size(); ++i) {
    out.push_back(proof);
    out.back()[i][i % 32] ^= 1;
  }
  if (!proof.empty()) {
    out.emplace_back(proof.begin() + 1, proof.end());
    out.emplace_back(proof.begin(), proof.end() - 1);
  }
  const Digest more = proof.empty() ? Digest{} : proof.back();
  out.push_back(proof);
  out.back().push_back(more);
  out.push_back(proof);
  out.back().insert(out.back().begin(), more);
  return out;
}

Digest Flipped(Digest digest) {
  digest[31] ^= 0x80;
  return digest;
}

TEST(MerkleProofs, AnInclusionProofSpoiledInAnyWayIsRefused) {
  const Tree tree(40);
  for (const std::uint64_t size : {1, 2, 3, 7, 8, 11, 16, 33, 40}) {
    const Digest root = tree.Root(size);
    for (std::uint64_t i = 0; i < size; ++i) {
      const Digest leaf = LeafHash(tree.leaves[i]);
      const Proof path = InclusionProof(i, size, tree.Nodes()).value();
      const auto code = [&](const Digest& l, std::uint64_t index, std::uint64_t n,
                            const Proof& proof, const Digest& r) {
        return VerifyInclusion(l, index, n, proof, r).code();
      };
      for (const Proof& spoiled : Spoiled(path)) {
        ASSERT_EQ(code(leaf, i, size, spoiled, root), Code::kTampered) << i << " in " << size;
      }
      ASSERT_EQ(code(Flipped(leaf), i, size, path, root), Code::kTampered);
      ASSERT_EQ(code(leaf, i, size, path, Flipped(root)), Code::kTampered);
      ASSERT_EQ(code(leaf, size, i, path, root), Code::kTampered) << "index and size swapped";
      for (std::uint64_t other = 0; other <= size; ++other) {
        if (other != i) {
          ASSERT_EQ(code(leaf, other, size, path, root), Code::kTampered) << other;
        }
      }
    }
  }
}

TEST(MerkleProofs, AConsistencyProofSpoiledInAnyWayIsRefused) {
  const Tree tree(40);
  for (const std::uint64_t size : {2, 3, 7, 8, 11, 16, 33, 40}) {
    const Digest root = tree.Root(size);
    for (std::uint64_t old = 1; old < size; ++old) {
      const Digest old_root = tree.Root(old);
      const Proof proof = ConsistencyProof(old, size, tree.Nodes()).value();
      const auto code = [&](std::uint64_t m, const Digest& from, std::uint64_t n, const Digest& to,
                            const Proof& p) { return VerifyConsistency(m, from, n, to, p).code(); };
      for (const Proof& spoiled : Spoiled(proof)) {
        ASSERT_EQ(code(old, old_root, size, root, spoiled), Code::kTampered) << old << " " << size;
      }
      ASSERT_EQ(code(old, Flipped(old_root), size, root, proof), Code::kTampered);
      ASSERT_EQ(code(old, old_root, size, Flipped(root), proof), Code::kTampered);
      ASSERT_EQ(code(size, root, old, old_root, proof), Code::kTampered) << "sizes swapped";
      ASSERT_EQ(code(old, root, size, old_root, proof), Code::kTampered) << "roots swapped";
    }
  }
}

TEST(MerkleProofs, FromTheEmptyTreeAndBetweenEqualSizesOnlyTheEmptyProofIsRight) {
  const Tree tree(5);
  const Digest none = tree.Root(0), root = tree.Root(5);
  EXPECT_EQ(ConsistencyProof(0, 5, tree.Nodes()).value(), Proof());
  EXPECT_EQ(ConsistencyProof(5, 5, tree.Nodes()).value(), Proof());
  EXPECT_TRUE(VerifyConsistency(0, none, 5, root, {}).ok());
  EXPECT_TRUE(VerifyConsistency(0, none, 0, none, {}).ok());
  EXPECT_TRUE(VerifyConsistency(5, root, 5, root, {}).ok());
  EXPECT_EQ(VerifyConsistency(0, root, 5, root, {}).code(), Code::kTampered);
  EXPECT_EQ(VerifyConsistency(0, none, 0, root, {}).code(), Code::kTampered);
  EXPECT_EQ(VerifyConsistency(5, root, 5, none, {}).code(), Code::kTampered);
  EXPECT_EQ(VerifyConsistency(0, none, 5, root, Proof{root}).code(), Code::kTampered);
  EXPECT_EQ(VerifyConsistency(5, root, 5, root, Proof{root}).code(), Code::kTampered);
  EXPECT_EQ(VerifyInclusion(root, 0, 0, {}, none).code(), Code::kTampered);
}

TEST(MerkleProofs, WhatDoesNotExistCannotBeProven) {
  const Tree tree(5);
  EXPECT_EQ(InclusionProof(5, 5, tree.Nodes()).status().code(), Code::kInvalid);
  EXPECT_EQ(InclusionProof(0, 0, tree.Nodes()).status().code(), Code::kInvalid);
  EXPECT_EQ(ConsistencyProof(6, 5, tree.Nodes()).status().code(), Code::kInvalid);
}

TEST(MerkleProofs, AFailingSourceFailsTheProof) {
  const NodeSource failing = [](int, std::uint64_t) -> Result<Digest> { return Corrupt("tile"); };
  EXPECT_EQ(RootOf(5, failing).status().code(), Code::kCorrupt);
  EXPECT_EQ(InclusionProof(1, 5, failing).status().code(), Code::kCorrupt);
  EXPECT_EQ(ConsistencyProof(3, 5, failing).status().code(), Code::kCorrupt);
}

// Where the numbers are as large as they can be, by a tree of equal leaves.
TEST(MerkleProofs, HoldAtTheLargestSizes) {
  std::vector<Digest> equal = {LeafHash("x")};
  for (int level = 1; level < 64; ++level) equal.push_back(NodeHash(equal.back(), equal.back()));
  const NodeSource nodes = [&](int level, std::uint64_t) -> Result<Digest> {
    return equal[static_cast<std::size_t>(level)];
  };
  constexpr std::uint64_t kLargest = ~std::uint64_t{0};
  const Digest root = RootOf(kLargest, nodes).value();
  for (const std::uint64_t index : {std::uint64_t{0}, kLargest / 2, kLargest / 2 + 1, kLargest - 1}) {
    const Proof path = InclusionProof(index, kLargest, nodes).value();
    EXPECT_LE(path.size(), kProofHashesMax);
    EXPECT_TRUE(VerifyInclusion(equal[0], index, kLargest, path, root).ok());
    EXPECT_TRUE(VerifyConsistency(index + 1, RootOf(index + 1, nodes).value(), kLargest, root,
                                  ConsistencyProof(index + 1, kLargest, nodes).value())
                    .ok());
  }
}

}  // namespace
}  // namespace daicho
