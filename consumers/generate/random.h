// Randomness that is the same everywhere: xoshiro256** and a keyed permutation. Not for secrets.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace daicho::generate {

// Mixes `state` forward; the seed of everything below.
inline std::uint64_t SplitMix(std::uint64_t& state) {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : state_) word = SplitMix(seed);
  }

  std::uint64_t Next() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // 0 … bound-1. Requires: bound > 0.
  std::uint32_t Below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(((Next() >> 32) * bound) >> 32);
  }
  // low … high, both included.
  int Between(int low, int high) {
    return low + static_cast<int>(Below(static_cast<std::uint32_t>(high - low + 1)));
  }
  bool Chance(std::uint32_t per_million) { return Below(1'000'000) < per_million; }

 private:
  std::array<std::uint64_t, 4> state_;
};

// A permutation of 0 … 10^digits - 1 that looks random: numbers handed out by counting through it
// are unique without a table. Feistel network over the next even power of two, walking the cycle.
class Permutation {
 public:
  Permutation(int digits, std::uint64_t seed) {
    for (int i = 0; i < digits; ++i) size_ *= 10;
    while ((std::uint64_t{1} << (2 * half_bits_)) < size_) ++half_bits_;
    for (std::uint64_t& key : keys_) key = SplitMix(seed);
  }

  // Requires: index < 10^digits.
  std::uint64_t operator()(std::uint64_t index) const {
    do {
      index = Shuffle(index);
    } while (index >= size_);
    return index;
  }

 private:
  std::uint64_t Shuffle(std::uint64_t x) const {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = x >> half_bits_;
    std::uint64_t right = x & mask;
    for (const std::uint64_t key : keys_) {
      std::uint64_t mixed = right ^ key;
      const std::uint64_t next = left ^ (SplitMix(mixed) & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  std::uint64_t size_ = 1;
  int half_bits_ = 1;
  std::array<std::uint64_t, 6> keys_;
};

}  // namespace daicho::generate
