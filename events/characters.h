// Which characters a field of 本人確認情報 may hold. Text is judged, never changed: no
// normalisation, variation selectors stay where they are (NFC alone would turn the 神 U+FA19 of a
// name into U+795E).
//
// "Assigned" is what the linked ICU knows. That may grow with a newer ICU and never shrinks, and a
// notice is judged only once, at admission: replay does not ask again.
#pragma once

#include <cstddef>
#include <string_view>

namespace daicho {

// Limits in Unicode code points. Ours: the widths of the official messages are not public.
inline constexpr std::size_t kNameCodePointsMax = 200;
inline constexpr std::size_t kKanaCodePointsMax = 300;
inline constexpr std::size_t kLatinNameCodePointsMax = 200;
inline constexpr std::size_t kAddressCodePointsMax = 300;

enum class TextKind {
  // 氏名, 旧氏, 通称: any assigned character but controls, format and bidi controls, private use,
  // noncharacters, invisible fillers, U+FFFD, and spaces other than U+0020 and U+3000. A variation
  // selector (U+E0100–E01EF, U+FE00–FE02) only right after a unified ideograph.
  kName,
  // 振り仮名: hiragana, katakana, ー, ゝゞヽヾ, the two spaces.
  kKana,
  // ローマ字氏名: letters of the Latin script, space, - ' , .
  kLatinName,
  // 住所: as kName.
  kAddress,
};

std::size_t CodePointsMax(TextKind kind);

struct TextCheck {
  bool utf8 = true;             // false: the other answers end at the damaged byte
  bool characters = true;       // every character is allowed
  bool blank = true;            // empty, or nothing but spaces
  std::size_t code_points = 0;  // selectors count
};

TextCheck CheckText(TextKind kind, std::string_view text);

// Strict: overlong forms, surrogates and values beyond U+10FFFF are refused.
bool IsValidUtf8(std::string_view text);

}  // namespace daicho
