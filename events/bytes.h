// Byte strings are std::string; a hash is a Digest. Conversions between them, hex, base64, big-endian
// integers and varints.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "events/ids.h"
#include "events/result.h"

namespace daicho {

using Digest = std::array<std::uint8_t, 32>;

template <std::size_t N>
std::string_view View(const std::array<std::uint8_t, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

// Errors: kCorrupt unless `bytes` has exactly N bytes.
template <std::size_t N>
Result<std::array<std::uint8_t, N>> ToArray(std::string_view bytes) {
  if (bytes.size() != N) {
    return Corrupt("expected " + std::to_string(N) + " bytes, got " + std::to_string(bytes.size()));
  }
  std::array<std::uint8_t, N> out;
  std::memcpy(out.data(), bytes.data(), N);
  return out;
}

inline const unsigned char* Data(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* Data(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

inline void AppendU64(std::string& out, std::uint64_t value) {
  for (int shift = 56; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
inline void AppendU32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
inline void AppendU24(std::string& out, std::uint32_t value) {
  for (int shift = 16; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
// Requires: at least 8 (4, 3) bytes.
inline std::uint64_t ReadU64(std::string_view in) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<std::uint8_t>(in[static_cast<std::size_t>(i)]);
  return value;
}
inline std::uint32_t ReadU32(std::string_view in) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(in[static_cast<std::size_t>(i)]);
  return value;
}

inline std::uint32_t ReadU24(std::string_view in) {
  std::uint32_t value = 0;
  for (int i = 0; i < 3; ++i) value = value << 8 | static_cast<std::uint8_t>(in[static_cast<std::size_t>(i)]);
  return value;
}

// Base 128, low bits first, as in Protobuf. Of the forms of a number only the shortest is read.
inline void AppendVarint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}
// False: `in` does not begin with one.
inline bool TakeVarint(std::string_view& in, std::uint64_t& value) {
  value = 0;
  for (unsigned shift = 0; shift < 64 && !in.empty(); shift += 7) {
    const auto byte = static_cast<std::uint8_t>(in.front());
    in.remove_prefix(1);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return (byte != 0 || shift == 0) && (shift < 63 || byte == 1);
  }
  return false;
}

std::string ToHex(std::string_view bytes);
Result<std::string> FromHex(std::string_view hex);
std::string ToBase64(std::string_view bytes);
// Strict: canonical padding, no white space.
Result<std::string> FromBase64(std::string_view text);

}  // namespace daicho
