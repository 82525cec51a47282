// A ledger's tree and the checkpoints its key signs, for tests: leaves are made up, histories can
// be split.
#pragma once

#include <string>
#include <vector>

#include "consumers/home.h"
#include "events/merkle.h"
#include "events/tree_head.h"

namespace daicho {

class SignedLedger {
 public:
  SignedLedger() : key_(SigningKey::Generate()) {}

  static constexpr std::int64_t kStart = 1'795'000'000'000'000;
  const SigningKey& key() const { return key_; }
  NoteKey note_key() const {
    return {LedgerOrigin(10), NoteAlgorithm::kEd25519,
            VerifyingKey::From(key_.public_key()).value()};
  }
  std::string ledger_hex() const { return "6f2c00112233445566778899aabbccdd"; }
  // As a node's home has it.
  std::string PublicFile() const {
    return PublicFile(key_);
  }
  // After its key was rotated.
  std::string PublicFile(const SigningKey& newer) const {
    return FormatLedgerPublic({10, ToArray<16>(FromHex(ledger_hex()).value()).value(), key_.public_key(),
                               newer.public_key(), newer.public_key()});
  }

  // Entries up to `size`; those from `split` on are of another history.
  static Digest Leaf(std::uint64_t index, std::uint64_t split = ~0ull) {
    return LeafHash((index < split ? "entry " : "other ") + std::to_string(index));
  }
  static Digest Node(int level, std::uint64_t index, std::uint64_t split) {
    if (level == 0) return Leaf(index, split);
    return NodeHash(Node(level - 1, 2 * index, split), Node(level - 1, 2 * index + 1, split));
  }
  static NodeSource Nodes(std::uint64_t split = ~0ull) {
    return [split](int level, std::uint64_t index) -> Result<Digest> {
      return Node(level, index, split);
    };
  }

  TreeHead Head(std::uint64_t size, std::uint64_t split = ~0ull) const {
    TreeHead head;
    head.origin = LedgerOrigin(10);
    head.size = size;
    head.root = RootOf(size, Nodes(split)).value();
    head.ledger = FromHex(ledger_hex()).value();
    head.time = TimeMicros(kStart + static_cast<std::int64_t>(size) * 1'000'000);
    return head;
  }
  std::string Sign(const TreeHead& head) const { return SignTreeHead(head, key_); }
  std::string At(std::uint64_t size, std::uint64_t split = ~0ull) const {
    return Sign(Head(size, split));
  }
  static Proof Between(std::uint64_t old_size, std::uint64_t size, std::uint64_t split = ~0ull) {
    return ConsistencyProof(old_size, size, Nodes(split)).value();
  }

 private:
  SigningKey key_;
};

// The body of C2SP tlog-witness' add-checkpoint.
inline std::string AddCheckpointBody(std::uint64_t old_size, const Proof& proof,
                                     const std::string& note) {
  std::string out = "old " + std::to_string(old_size) + "\n";
  for (const Digest& hash : proof) out += ToBase64(View(hash)) + "\n";
  return out + "\n" + note;
}

}  // namespace daicho
