#include "events/characters.h"

#include <unicode/uchar.h>

#include <cstdint>
#include <cstring>

#include "events/result.h"
#include "events/utf8.h"

namespace daicho {
namespace {

constexpr bool IsSpace(char32_t c) { return c == U' ' || c == U'\u3000'; }

constexpr bool IsSelector(char32_t c) {
  return Between(c, 0xE0100, 0xE01EF) || Between(c, 0xFE00, 0xFE02);
}

// Sequences are registered on unified ideographs only (UTS #37).
bool TakesSelector(char32_t base) {
  return base != 0 && u_hasBinaryProperty(static_cast<UChar32>(base), UCHAR_UNIFIED_IDEOGRAPH) != 0;
}

bool IsVisibleCharacter(char32_t c) {
  // What nearly every name is made of needs no table.
  if (Between(c, 0x4E00, 0x9FFF) || Between(c, 0x3041, 0x3096) || Between(c, 0x30A1, 0x30FE) ||
      IsSpace(c) || Between(c, 0x21, 0x7E)) {
    return true;
  }
  const auto code_point = static_cast<UChar32>(c);
  switch (u_charType(code_point)) {
    case U_UNASSIGNED:  // noncharacters too
    case U_CONTROL_CHAR:
    case U_FORMAT_CHAR:  // bidi controls, joiners, tags, the byte order mark
    case U_PRIVATE_USE_CHAR:
    case U_SURROGATE:
    case U_LINE_SEPARATOR:
    case U_PARAGRAPH_SEPARATOR:
    case U_SPACE_SEPARATOR:
      return false;
    default:
      // U+FFFD is the scar of a broken conversion.
      return c != 0xFFFD &&
             u_hasBinaryProperty(code_point, UCHAR_DEFAULT_IGNORABLE_CODE_POINT) == 0;
  }
}

constexpr bool IsKana(char32_t c) {
  return Between(c, 0x3041, 0x3096) || Between(c, 0x309D, 0x309E) || Between(c, 0x30A1, 0x30FA) ||
         Between(c, 0x30FC, 0x30FE) || IsSpace(c);
}

constexpr bool IsLatin(char32_t c) {
  return Between(c, U'A', U'Z') || Between(c, U'a', U'z') || c == U' ' || c == U'-' || c == U'\'' ||
         c == U',' || c == U'.' || (Between(c, 0xC0, 0x24F) && c != 0xD7 && c != 0xF7) ||
         Between(c, 0x1E00, 0x1EFF);
}

bool IsAllowed(TextKind kind, char32_t c, char32_t previous) {
  switch (kind) {
    case TextKind::kKana:
      return IsKana(c);
    case TextKind::kLatinName:
      return IsLatin(c);
    case TextKind::kName:
    case TextKind::kAddress:
      break;
  }
  return IsSelector(c) ? TakesSelector(previous) : IsVisibleCharacter(c);
}

}  // namespace

std::size_t CodePointsMax(TextKind kind) {
  switch (kind) {
    case TextKind::kName:
      return kNameCodePointsMax;
    case TextKind::kKana:
      return kKanaCodePointsMax;
    case TextKind::kLatinName:
      return kLatinNameCodePointsMax;
    case TextKind::kAddress:
      return kAddressCodePointsMax;
  }
  Die(__FILE__, __LINE__, "unknown TextKind");
}

TextCheck CheckText(TextKind kind, std::string_view text) {
  TextCheck check;
  char32_t previous = 0;
  while (!text.empty()) {
    const char32_t c = TakeCodePoint(text);
    if (c == kDamaged) {
      check.utf8 = false;
      return check;
    }
    ++check.code_points;
    if (!IsSpace(c)) check.blank = false;
    if (check.characters && !IsAllowed(kind, c, previous)) check.characters = false;
    previous = c;
  }
  return check;
}

bool IsValidUtf8(std::string_view text) {
  while (!text.empty()) {
    std::uint64_t eight = 0;
    if (text.size() >= sizeof eight) {
      std::memcpy(&eight, text.data(), sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        text.remove_prefix(sizeof eight);
        continue;
      }
    }
    if (TakeCodePoint(text) == kDamaged) return false;
  }
  return true;
}

}  // namespace daicho
