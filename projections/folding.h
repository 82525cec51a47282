// The steps of the matching definition that all fields share: width, case, diacritics, 異体字, size of kana,
// repetition marks, dashes, spaces. README.md, *Matching*. Part of matching.h; not for others.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "events/utf8.h"
#include "projections/variants.h"

namespace daicho::folding {

using Characters = std::u32string;

constexpr char32_t kDash = U'-';  // every dash, and ー
constexpr char32_t kSpace = U' ';

constexpr bool IsDigit(char32_t c) { return Between(c, U'0', U'9'); }
constexpr bool IsKatakana(char32_t c) { return Between(c, U'ァ', U'ヺ'); }

// Variation selectors: which of its shapes the character before has.
constexpr bool IsSelector(char32_t c) { return Between(c, 0xFE00, 0xFE0F) || Between(c, 0xE0100, 0xE01EF); }

// CJK unified ideographs: what has no compatibility form, and may be in a class of variants. Twelve of them, 﨑
// among them, stand among the compatibility ideographs.
constexpr bool IsIdeograph(char32_t c) {
  if (Between(c, 0xFA0E, 0xFA29)) {
    return std::u32string_view(U"\uFA0E\uFA0F\uFA11\uFA13\uFA14\uFA1F\uFA21\uFA23\uFA24\uFA27\uFA28\uFA29")
               .find(c) != std::u32string_view::npos;
  }
  return Between(c, 0x4E00, 0x9FFF) || Between(c, 0x3400, 0x4DBF) || Between(c, 0x20000, 0x2F7FF) ||
         Between(c, 0x30000, 0x3FFFF);
}

// A table over the katakana block, U+30A0 to U+30FF, that changes the characters of `from` into those of `to`.
struct KanaTable {
  std::array<char32_t, 0x60> to{};
  constexpr KanaTable(std::u32string_view from, std::u32string_view into) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = 0x30A0 + static_cast<char32_t>(i);
    for (std::size_t i = 0; i < from.size(); ++i) to[from[i] - 0x30A0] = into[i];
  }
  constexpr char32_t operator[](char32_t c) const { return to[c - 0x30A0]; }
};

// Ideographs become the heads of their classes, kana large katakana, Latin letters capitals without diacritics,
// every dash and ー kDash, every space kSpace; selectors, controls and interpunction go. Total: bytes that are
// not UTF-8 are left out.
Characters ReadCharacters(const VariantTable& variants, std::string_view text);

}  // namespace daicho::folding
