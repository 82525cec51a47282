// The tree of RFC 6962 section 2.1, grown at its right edge, and its proofs. One construction serves an
// issuer's events and the ledger's entries.
//
//   size 7:        H0-3      H4-5   6      the edge: one hash per one-bit of the size,
//                 /    \     /  \   |      largest subtree first
//               01      23  4    5  6
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "events/bytes.h"

namespace daicho {

Digest LeafHash(std::string_view leaf);                      // SHA-256(0x00 ‖ leaf)
Digest NodeHash(const Digest& left, const Digest& right);    // SHA-256(0x01 ‖ left ‖ right)
// Of each leaf, and of each two of `below` (what is left over of an odd number has no node), hashed side by side.
std::vector<Digest> LeafHashes(std::span<const std::string_view> leaves);
std::vector<Digest> NodeHashes(std::span<const Digest> below);

// Belongs to one thread at a time: what asks for its hashes puts leaves that wait into the tree.
class MerkleEdge {
 public:
  std::uint64_t size() const { return size_ + waiting_.size(); }
  void Append(const Digest& leaf_hash) {
    waiting_.push_back(leaf_hash);
    if (waiting_.size() == kWaitingMax) PutIn();
  }
  // Appends 2^level leaves at once, by the root of their subtree.
  // Requires: level 0 to 63; size() is a multiple of 2^level.
  void AppendSubtree(int level, const Digest& root);
  // Of the empty tree: SHA-256 of nothing.
  Digest Root() const;

  // size(8, big-endian) ‖ the edge's hashes, largest subtree first.
  std::string Encode() const;
  // Errors: kCorrupt.
  static Result<MerkleEdge> Decode(std::string_view bytes);
  friend bool operator==(const MerkleEdge& a, const MerkleEdge& b) { return a.Encode() == b.Encode(); }

 private:
  // So many that they are hashed side by side.
  static constexpr std::size_t kWaitingMax = 256;

  void Put(int level, Digest node) const;
  void PutIn() const;

  mutable std::uint64_t size_ = 0;  // without those that wait
  mutable std::vector<Digest> edge_;
  mutable std::vector<Digest> waiting_;  // leaves
};

// Root of the complete subtree over the leaves [index · 2^level, (index + 1) · 2^level). What follows asks it
// only for subtrees that lie whole within the tree.
using NodeSource = std::function<Result<Digest>(int level, std::uint64_t index)>;
using Proof = std::vector<Digest>;

inline constexpr std::size_t kProofHashesMax = 64;

// Errors: those of the source.
Result<Digest> RootOf(std::uint64_t size, const NodeSource& nodes);
// PATH of RFC 6962 2.1.1: from the leaf's sibling up. Errors: kInvalid unless index < size.
Result<Proof> InclusionProof(std::uint64_t index, std::uint64_t size, const NodeSource& nodes);
// PROOF of RFC 6962 2.1.2; empty when old_size is 0 or size. Errors: kInvalid when old_size > size.
Result<Proof> ConsistencyProof(std::uint64_t old_size, std::uint64_t size, const NodeSource& nodes);

// As RFC 9162 2.1.3.2: the root that a leaf and its path make. Errors: kTampered for a path that is longer or shorter
// than it must be.
Result<Digest> RootByInclusion(const Digest& leaf_hash, std::uint64_t index, std::uint64_t size,
                               std::span<const Digest> proof);
// That it is `root`. Errors: kTampered.
Status VerifyInclusion(const Digest& leaf_hash, std::uint64_t index, std::uint64_t size,
                       std::span<const Digest> proof, const Digest& root);
// As RFC 9162 2.1.4.2. From the empty tree, and between equal sizes, only the empty proof is right: the
// first binds nothing but the empty tree's own root, the second demands equal roots. Errors: kTampered.
Status VerifyConsistency(std::uint64_t old_size, const Digest& old_root, std::uint64_t size,
                         const Digest& root, std::span<const Digest> proof);

}  // namespace daicho
