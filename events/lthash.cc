#include "events/lthash.h"

#include <bit>

namespace daicho {

static_assert(std::endian::native == std::endian::little, "words are kept little-endian");

LtHash::Words LtHash::Expand(std::initializer_list<std::string_view> element) {
  Words words;
  KeyStream(Sha256Of(element), words.data(), sizeof(words));
  return words;
}

void LtHash::Add(std::initializer_list<std::string_view> element) {
  const Words words = Expand(element);
  for (std::size_t i = 0; i < words.size(); ++i) words_[i] = static_cast<std::uint16_t>(words_[i] + words[i]);
}

void LtHash::Remove(std::initializer_list<std::string_view> element) {
  const Words words = Expand(element);
  for (std::size_t i = 0; i < words.size(); ++i) words_[i] = static_cast<std::uint16_t>(words_[i] - words[i]);
}

void LtHash::Merge(const LtHash& other) {
  for (std::size_t i = 0; i < words_.size(); ++i) words_[i] = static_cast<std::uint16_t>(words_[i] + other.words_[i]);
}

std::string LtHash::Encode() const {
  return {reinterpret_cast<const char*>(words_.data()), sizeof(words_)};
}

Digest LtHash::Fingerprint() const { return Sha256Of({Encode()}); }

Result<LtHash> LtHash::Decode(std::string_view bytes) {
  LtHash out;
  if (bytes.size() != sizeof(out.words_)) return Corrupt("state digest has the wrong size");
  std::memcpy(out.words_.data(), bytes.data(), bytes.size());
  return out;
}

}  // namespace daicho
