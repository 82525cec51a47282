// The tree of RFC 6962 section 2.1, grown at its right edge. One construction serves an issuer's events
// and the ledger's entries.
//
//   size 7:        H0-3      H4-5   6      the edge: one hash per one-bit of the size,
//                 /    \     /  \   |      largest subtree first
//               01      23  4    5  6
#pragma once

#include <vector>

#include "events/bytes.h"

namespace daicho {

Digest LeafHash(std::string_view leaf);                      // SHA-256(0x00 ‖ leaf)
Digest NodeHash(const Digest& left, const Digest& right);    // SHA-256(0x01 ‖ left ‖ right)

class MerkleEdge {
 public:
  std::uint64_t size() const { return size_; }
  void Append(const Digest& leaf_hash);
  // Of the empty tree: SHA-256 of nothing.
  Digest Root() const;

  // size(8, big-endian) ‖ the edge's hashes, largest subtree first.
  std::string Encode() const;
  // Errors: kCorrupt.
  static Result<MerkleEdge> Decode(std::string_view bytes);
  friend bool operator==(const MerkleEdge&, const MerkleEdge&) = default;

 private:
  std::uint64_t size_ = 0;
  std::vector<Digest> edge_;
};

}  // namespace daicho
