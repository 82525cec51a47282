// One character at a time from and to UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace daicho {

inline constexpr char32_t kDamaged = 0xFFFFFFFF;

constexpr bool Between(char32_t c, char32_t first, char32_t last) {
  return c >= first && c <= last;
}

// Takes one character from the front of `text`; kDamaged, and nothing taken, if none is there. Strict:
// overlong forms, surrogates and values beyond U+10FFFF are damage. Requires: text not empty.
inline char32_t TakeCodePoint(std::string_view& text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const auto continues = [&](std::size_t at) { return (byte(at) & 0xC0) == 0x80; };
  const auto low = [&](std::size_t at) { return static_cast<char32_t>(byte(at) & 0x3F); };
  const char32_t lead = byte(0);
  if (lead < 0x80) {
    text.remove_prefix(1);
    return lead;
  }
  if (Between(lead, 0xC2, 0xDF)) {
    if (text.size() < 2 || !continues(1)) return kDamaged;
    const char32_t c = ((lead & 0x1F) << 6) | low(1);
    text.remove_prefix(2);
    return c;
  }
  if (Between(lead, 0xE0, 0xEF)) {
    if (text.size() < 3 || !continues(1) || !continues(2)) return kDamaged;
    const char32_t c = ((lead & 0x0F) << 12) | (low(1) << 6) | low(2);
    if (c < 0x800 || Between(c, 0xD800, 0xDFFF)) return kDamaged;
    text.remove_prefix(3);
    return c;
  }
  if (Between(lead, 0xF0, 0xF4)) {
    if (text.size() < 4 || !continues(1) || !continues(2) || !continues(3)) return kDamaged;
    const char32_t c = ((lead & 0x07) << 18) | (low(1) << 12) | (low(2) << 6) | low(3);
    if (!Between(c, 0x10000, 0x10FFFF)) return kDamaged;
    text.remove_prefix(4);
    return c;
  }
  return kDamaged;
}

// Requires: a scalar value.
inline void AppendUtf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xC0 | c >> 6);
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12);
    put(0x80 | (c >> 6 & 0x3F));
  } else {
    put(0xF0 | c >> 18);
    put(0x80 | (c >> 12 & 0x3F));
    put(0x80 | (c >> 6 & 0x3F));
  }
  put(0x80 | (c & 0x3F));
}

}  // namespace daicho
