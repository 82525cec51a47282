#include "events/merkle.h"

#include <bit>

#include "events/crypto.h"

namespace daicho {

Digest LeafHash(std::string_view leaf) { return Sha256Of({std::string_view("\0", 1), leaf}); }

Digest NodeHash(const Digest& left, const Digest& right) {
  std::array<std::uint8_t, 65> node;
  node[0] = 1;
  std::memcpy(node.data() + 1, left.data(), 32);
  std::memcpy(node.data() + 33, right.data(), 32);
  return Sha256Of({View(node)});
}

void MerkleEdge::Append(const Digest& leaf_hash) {
  Digest node = leaf_hash;
  for (std::uint64_t rest = size_; rest & 1; rest >>= 1) {
    node = NodeHash(edge_.back(), node);
    edge_.pop_back();
  }
  edge_.push_back(node);
  ++size_;
}

Digest MerkleEdge::Root() const {
  if (edge_.empty()) return Sha256Of({});
  Digest root = edge_.back();
  for (std::size_t i = edge_.size() - 1; i-- > 0;) root = NodeHash(edge_[i], root);
  return root;
}

std::string MerkleEdge::Encode() const {
  std::string out;
  out.reserve(8 + 32 * edge_.size());
  AppendU64(out, size_);
  for (const Digest& hash : edge_) out.append(View(hash));
  return out;
}

Result<MerkleEdge> MerkleEdge::Decode(std::string_view bytes) {
  if (bytes.size() < 8) return Corrupt("tree edge is too short");
  MerkleEdge out;
  out.size_ = ReadU64(bytes);
  const auto hashes = static_cast<std::size_t>(std::popcount(out.size_));
  if (bytes.size() != 8 + 32 * hashes) return Corrupt("tree edge does not fit its size");
  for (std::size_t i = 0; i < hashes; ++i) {
    ASSIGN_OR_RETURN(const Digest hash, ToArray<32>(bytes.substr(8 + 32 * i, 32)));
    out.edge_.push_back(hash);
  }
  return out;
}

}  // namespace daicho
