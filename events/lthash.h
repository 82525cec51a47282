// LtHash: a digest of a set that is updated by adding and removing elements, in any order (Bellare and
// Micciancio 1997, AdHash over vectors; the lattice variant of Lewi et al. 2019, eprint 2019/227). Each element is expanded
// to 1,024 words of 16 bits and added word by word. Unlike sums or XORs of hashes, chosen elements do
// not make it collide. Expansion here: AES-256-CTR keystream under SHA-256(element).
#pragma once

#include "events/crypto.h"

namespace daicho {

class LtHash {
 public:
  void Add(std::initializer_list<std::string_view> element);
  void Remove(std::initializer_list<std::string_view> element);
  // Of the union of two disjoint sets.
  void Merge(const LtHash& other);
  Digest Fingerprint() const;  // SHA-256 of the state

  std::string Encode() const;  // 2,048 bytes, words little-endian
  static Result<LtHash> Decode(std::string_view bytes);

 private:
  using Words = std::array<std::uint16_t, 1024>;
  static Words Expand(std::initializer_list<std::string_view> element);
  Words words_{};
};

}  // namespace daicho
