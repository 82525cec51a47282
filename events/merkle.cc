#include "events/merkle.h"

#include <bit>
#include <optional>
#include <utility>

#include "events/crypto.h"
#include "events/crypto_batch.h"

namespace daicho {
namespace {

constexpr std::size_t kSideBySideMin = 4;

using NodeBytes = std::array<std::uint8_t, 65>;

// 0x01 ‖ left ‖ right
NodeBytes NodeMessage(const Digest& left, const Digest& right) {
  NodeBytes node;
  node[0] = 1;
  std::memcpy(node.data() + 1, left.data(), 32);
  std::memcpy(node.data() + 33, right.data(), 32);
  return node;
}

Digest EmptyRoot() { return Sha256Of({}); }

// Where RFC 6962 splits a tree of `size` leaves: the largest power of two below it.
std::uint64_t Split(std::uint64_t size) { return std::bit_floor(size - 1); }

// Root over [begin, begin + size), size > 0, of a tree in which that range is one side of a split: its
// complete subtrees, joined from the right.
Result<Digest> RootOfRange(std::uint64_t begin, std::uint64_t size, const NodeSource& nodes) {
  std::optional<Digest> root;
  std::uint64_t end = begin + size;
  for (std::uint64_t rest = size; rest != 0; rest &= rest - 1) {
    const int level = std::countr_zero(rest);
    end -= std::uint64_t{1} << level;
    ASSIGN_OR_RETURN(const Digest node, nodes(level, end >> level));
    root = root ? NodeHash(node, *root) : node;
  }
  return *root;
}

// Appends the path of leaf `index` of [begin, begin + size), counted from begin.
Status AppendPath(std::uint64_t index, std::uint64_t begin, std::uint64_t size,
                  const NodeSource& nodes, Proof& proof) {
  if (size == 1) return {};
  const std::uint64_t k = Split(size);
  const bool left = index < k;
  if (left) {
    RETURN_IF_ERROR(AppendPath(index, begin, k, nodes, proof));
  } else {
    RETURN_IF_ERROR(AppendPath(index - k, begin + k, size - k, nodes, proof));
  }
  ASSIGN_OR_RETURN(const Digest sibling, left ? RootOfRange(begin + k, size - k, nodes)
                                              : RootOfRange(begin, k, nodes));
  proof.push_back(sibling);
  return {};
}

// SUBPROOF of RFC 6962 2.1.2. `known`: the verifier has the root over [begin, begin + old_size) already.
Status AppendSubproof(std::uint64_t old_size, std::uint64_t begin, std::uint64_t size, bool known,
                      const NodeSource& nodes, Proof& proof) {
  if (old_size == size) {
    if (known) return {};
    ASSIGN_OR_RETURN(const Digest root, RootOfRange(begin, size, nodes));
    proof.push_back(root);
    return {};
  }
  const std::uint64_t k = Split(size);
  const bool left = old_size <= k;
  if (left) {
    RETURN_IF_ERROR(AppendSubproof(old_size, begin, k, known, nodes, proof));
  } else {
    RETURN_IF_ERROR(AppendSubproof(old_size - k, begin + k, size - k, false, nodes, proof));
  }
  ASSIGN_OR_RETURN(const Digest sibling, left ? RootOfRange(begin + k, size - k, nodes)
                                              : RootOfRange(begin, k, nodes));
  proof.push_back(sibling);
  return {};
}

// A place in the tree on the way up: a node of the path, and the last node of its level.
struct Climb {
  std::uint64_t node;
  std::uint64_t last;

  void Up() {
    node >>= 1;
    last >>= 1;
  }
  // The next hash of the proof stands to the left of the node at hand.
  bool SiblingIsLeft() const { return (node & 1) != 0 || node == last; }
  // A last node without a sibling is itself the node above.
  void UpToSibling() {
    while ((node & 1) == 0 && node != 0) Up();
  }
};

}  // namespace

Digest LeafHash(std::string_view leaf) { return Sha256Of({std::string_view("\0", 1), leaf}); }

Digest NodeHash(const Digest& left, const Digest& right) { return Sha256Of({View(NodeMessage(left, right))}); }

std::vector<Digest> LeafHashes(std::span<const std::string_view> leaves) {
  std::size_t bytes = leaves.size();
  for (const std::string_view leaf : leaves) bytes += leaf.size();
  std::string prefixed;
  prefixed.reserve(bytes);  // for the views into it
  std::vector<std::string_view> messages;
  messages.reserve(leaves.size());
  for (const std::string_view leaf : leaves) {
    const std::size_t start = prefixed.size();
    prefixed.append(1, '\0').append(leaf);
    messages.push_back(std::string_view(prefixed).substr(start));
  }
  return Sha256Each(messages);
}

std::vector<Digest> NodeHashes(std::span<const Digest> below) {
  std::vector<NodeBytes> nodes(below.size() / 2);
  std::vector<std::string_view> messages;
  messages.reserve(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i] = NodeMessage(below[2 * i], below[2 * i + 1]);
    messages.push_back(View(nodes[i]));
  }
  return Sha256Each(messages);
}

void MerkleEdge::AppendSubtree(int level, const Digest& root) {
  PutIn();
  Put(level, root);
}

void MerkleEdge::Put(int level, Digest node) const {
  CHECK(level >= 0 && level < 64);
  const std::uint64_t leaves = std::uint64_t{1} << level;
  CHECK(size_ % leaves == 0);
  for (std::uint64_t rest = size_ >> level; rest & 1; rest >>= 1) {
    node = NodeHash(edge_.back(), node);
    edge_.pop_back();
  }
  edge_.push_back(node);
  size_ += leaves;
}

// Level by level. On each, what the edge has there stands before what was made from below; without a sibling, the last
// becomes the edge's.
void MerkleEdge::PutIn() const {
  std::vector<Digest> made = std::exchange(waiting_, {});
  if (made.size() < kSideBySideMin) {
    for (const Digest& leaf : made) Put(0, leaf);
    return;
  }
  const std::uint64_t size = size_ + made.size();
  std::vector<Digest> left_over;
  for (std::uint64_t rest = size_; !made.empty(); rest >>= 1) {
    if (rest & 1) {
      made.insert(made.begin(), edge_.back());
      edge_.pop_back();
    }
    if (made.size() % 2 != 0) left_over.push_back(made.back());
    made = NodeHashes(made);
  }
  edge_.insert(edge_.end(), left_over.rbegin(), left_over.rend());
  size_ = size;
}

Digest MerkleEdge::Root() const {
  PutIn();
  if (edge_.empty()) return EmptyRoot();
  Digest root = edge_.back();
  for (std::size_t i = edge_.size() - 1; i-- > 0;) root = NodeHash(edge_[i], root);
  return root;
}

std::string MerkleEdge::Encode() const {
  PutIn();
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

Result<Digest> RootOf(std::uint64_t size, const NodeSource& nodes) {
  if (size == 0) return EmptyRoot();
  return RootOfRange(0, size, nodes);
}

Result<Proof> InclusionProof(std::uint64_t index, std::uint64_t size, const NodeSource& nodes) {
  if (index >= size) return Invalid("index: not below the tree's size");
  Proof proof;
  RETURN_IF_ERROR(AppendPath(index, 0, size, nodes, proof));
  return proof;
}

Result<Proof> ConsistencyProof(std::uint64_t old_size, std::uint64_t size, const NodeSource& nodes) {
  if (old_size > size) return Invalid("old size: above the tree's size");
  Proof proof;
  if (old_size != 0) RETURN_IF_ERROR(AppendSubproof(old_size, 0, size, true, nodes, proof));
  return proof;
}

Result<Digest> RootByInclusion(const Digest& leaf_hash, std::uint64_t index, std::uint64_t size,
                               std::span<const Digest> proof) {
  if (index >= size) return Tampered("inclusion: the index is not below the tree's size");
  Climb at{index, size - 1};
  Digest node = leaf_hash;
  for (const Digest& sibling : proof) {
    if (at.last == 0) return Tampered("inclusion: the proof is too long");
    if (at.SiblingIsLeft()) {
      node = NodeHash(sibling, node);
      at.UpToSibling();
    } else {
      node = NodeHash(node, sibling);
    }
    at.Up();
  }
  if (at.last != 0) return Tampered("inclusion: the proof is too short");
  return node;
}

Status VerifyInclusion(const Digest& leaf_hash, std::uint64_t index, std::uint64_t size,
                       std::span<const Digest> proof, const Digest& root) {
  ASSIGN_OR_RETURN(const Digest reached, RootByInclusion(leaf_hash, index, size, proof));
  return reached == root ? Status() : Tampered("inclusion: the proof does not lead to the root");
}

Status VerifyConsistency(std::uint64_t old_size, const Digest& old_root, std::uint64_t size,
                         const Digest& root, std::span<const Digest> proof) {
  if (old_size > size) return Tampered("consistency: the tree is smaller than it was");
  if (old_size == 0 || old_size == size) {
    if (!proof.empty()) return Tampered("consistency: the proof is too long");
    if (old_size == 0 && old_root != EmptyRoot()) {
      return Tampered("consistency: not the root of the empty tree");
    }
    if (old_size == size && old_root != root) {
      return Tampered("consistency: two roots of one size");
    }
    return {};
  }
  // The old tree, if complete, is itself the node that the proof begins with.
  const bool complete = std::has_single_bit(old_size);
  if (!complete && proof.empty()) return Tampered("consistency: the proof is too short");
  Digest old_node = complete ? old_root : proof[0], node = old_node;
  Climb at{old_size - 1, size - 1};
  while ((at.node & 1) != 0) at.Up();
  for (const Digest& sibling : proof.subspan(complete ? 0 : 1)) {
    if (at.last == 0) return Tampered("consistency: the proof is too long");
    if (at.SiblingIsLeft()) {
      old_node = NodeHash(sibling, old_node);
      node = NodeHash(sibling, node);
      at.UpToSibling();
    } else {
      node = NodeHash(node, sibling);
    }
    at.Up();
  }
  if (at.last != 0) return Tampered("consistency: the proof is too short");
  if (old_node != old_root) return Tampered("consistency: the proof does not lead to the old root");
  if (node != root) return Tampered("consistency: the proof does not lead to the root");
  return {};
}

}  // namespace daicho
