// Names that must survive, and everything invisible, reordering or damaged that must not get in.
#include "events/characters.h"

#include <gtest/gtest.h>

#include <string>

namespace daicho {
namespace {

std::string Utf8(char32_t c) {
  const auto byte = [](char32_t value) { return static_cast<char>(value); };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000) {
    return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  }
  return {byte(0xF0 | c >> 18), byte(0x80 | (c >> 12 & 0x3F)), byte(0x80 | (c >> 6 & 0x3F)),
          byte(0x80 | (c & 0x3F))};
}

bool Allows(TextKind kind, std::string_view text) {
  const TextCheck check = CheckText(kind, text);
  return check.utf8 && check.characters;
}

TEST(Utf8, AcceptsExactlyTheScalarValues) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
    ASSERT_EQ(IsValidUtf8(Utf8(c)), !surrogate) << std::hex << static_cast<unsigned>(c);
  }
}

TEST(Utf8, RefusesOverlongTruncatedAndTooLarge) {
  for (const std::string bad :
       {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xE0\x9F\xBF", "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xFE", "\x80", "\xC3",
        "\xE3\x81", "\xF0\xA0\xAE", "\xC3\x41", "\xE3\x81\x41", "\xED\xA0\x80", "\xED\xBF\xBF"}) {
    EXPECT_FALSE(IsValidUtf8(bad));
    EXPECT_FALSE(IsValidUtf8("abcdefgh" + bad + "abcdefgh"));
    EXPECT_FALSE(CheckText(TextKind::kName, "山田" + bad).utf8);
  }
}

TEST(Name, KeepsTheCharactersThatNamesHave) {
  for (const char* name : {"渡邊\U000E0101 花子", "葛\U000E0100城 𠮷子", "𠮷田　一郎", "髙橋 﨑",
                           "\uFA19谷 \uFA10", "山田 ゝ子", "佐々木", "ジョン・スミス", "SMITH JOHN",
                           "Núñez", "〓田", "邉\uFE00", "\U0001B001", "O’Brien"}) {
    EXPECT_TRUE(Allows(TextKind::kName, name)) << name;
  }
}

TEST(Name, RefusesWhatCannotBeSeen) {
  for (const char32_t c :
       {U'\u0000', U'\t',     U'\n',         U'\u007F',     U'\u0085',    U'\u00A0', U'\u00AD',
        U'\u034F', U'\u115F', U'\u200B',     U'\u200D',     U'\u200E',    U'\u202A', U'\u202E',
        U'\u2028', U'\u2029', U'\u2066',     U'\u2069',     U'\u3164',    U'\uFEFF', U'\uFFF9',
        U'\uFFFD', U'\u2003', U'\U000E0001', U'\U000E0041', U'\U0001D173'}) {
    EXPECT_FALSE(Allows(TextKind::kName, "山" + Utf8(c) + "田")) << std::hex << unsigned{c};
    EXPECT_FALSE(Allows(TextKind::kAddress, "大手町" + Utf8(c))) << std::hex << unsigned{c};
  }
}

TEST(Name, RefusesPrivateUseNoncharactersAndUnassigned) {
  for (const char32_t c : {U'\uE000', U'\uF8FF', U'\U000F0000', U'\U0010FFFD', U'\uFDD0', U'\uFFFE',
                           U'\U0001FFFF', U'\u0378', U'\U000323B0', U'\U000E01F0'}) {
    EXPECT_FALSE(Allows(TextKind::kName, "山" + Utf8(c))) << std::hex << unsigned{c};
  }
}

TEST(Name, AllowsASelectorOnlyRightAfterAnIdeograph) {
  EXPECT_TRUE(Allows(TextKind::kName, "辻\U000E0102"));
  EXPECT_TRUE(Allows(TextKind::kName, "𠮷\U000E01EF"));
  EXPECT_TRUE(
      Allows(TextKind::kName, "\uFA0E\U000E0100"));  // a unified one of the compatibility block
  EXPECT_FALSE(Allows(TextKind::kName, "\uFA19\U000E0100"));  // a compatibility ideograph
  EXPECT_FALSE(Allows(TextKind::kName, "\U000E0100辻"));
  EXPECT_FALSE(Allows(TextKind::kName, "辻\U000E0100\U000E0101"));
  EXPECT_FALSE(Allows(TextKind::kName, "辻 \U000E0100"));
  EXPECT_FALSE(Allows(TextKind::kName, "あ\U000E0100"));
  EXPECT_FALSE(Allows(TextKind::kName, "A\uFE0F"));
  EXPECT_FALSE(Allows(TextKind::kName, "辻\uFE0F"));
}

TEST(Kana, IsKanaMarksAndSpaces) {
  for (const char* kana :
       {"", "わたなべ はなこ", "ワタナベ　ハナコ", "ゔぁれりー", "いすゞ", "バナヽ", "ヷヺ"}) {
    EXPECT_TRUE(Allows(TextKind::kKana, kana)) << kana;
  }
  for (const char* text : {"渡邊", "ﾜﾀﾅﾍﾞ", "watanabe", "わたなべ1", "ジョン・スミス", "か\u3099",
                           "わたなべ\u00A0", "ヿ"}) {
    EXPECT_FALSE(Allows(TextKind::kKana, text)) << text;
  }
}

TEST(LatinName, IsLatinLettersAndFourMarks) {
  for (const char* name : {"SMITH JOHN", "O'Brien-Núñez, J. Łukasz", "Nguyễn", "ÿ"}) {
    EXPECT_TRUE(Allows(TextKind::kLatinName, name)) << name;
  }
  for (const char* name :
       {"ＳＭＩＴＨ", "山田", "Smith2", "a_b", "Иван", "×", "÷", "a\tb", "a;b", "O’Brien"}) {
    EXPECT_FALSE(Allows(TextKind::kLatinName, name)) << name;
  }
}

TEST(Text, LengthCountsCodePointsWithSelectors) {
  EXPECT_EQ(CheckText(TextKind::kName, "渡邊\U000E0101 花子").code_points, 6u);
  EXPECT_EQ(CheckText(TextKind::kName, "𠮷").code_points, 1u);
}

TEST(Text, IsBlankWhenOnlySpaces) {
  EXPECT_TRUE(CheckText(TextKind::kName, "").blank);
  EXPECT_TRUE(CheckText(TextKind::kName, " 　").blank);
  EXPECT_FALSE(CheckText(TextKind::kName, " 山").blank);
}

}  // namespace
}  // namespace daicho
