#include "projections/folding.h"

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/utf16.h>

#include <cstdint>
#include <utility>

#include "events/result.h"

namespace daicho::folding {
namespace {

// Small to large, and the letters that sound as others do: what counts in no field.
constexpr KanaTable kLarge(U"ァィゥェォヵヶッャュョヮヰヱヲ", U"アイウエオカケツヤユヨワイエオ");
constexpr KanaTable kVoiced(U"ウカキクケコサシスセソタチツテトハヒフヘホ",
                            U"ヴガギグゲゴザジズゼゾダヂヅデドバビブベボ");
constexpr KanaTable kUnvoiced(U"ガギグゲゴザジズゼゾダヂヅデドバビブベボヴ",
                              U"カキクケコサシスセソタチツテトハヒフヘホウ");
constexpr KanaTable kHalfVoiced(U"ハヒフヘホ", U"パピプペポ");
// U+FF66 to U+FF9D.
constexpr std::u32string_view kHalfWidth =
    U"ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン";

// What all fields have in common: width, case, diacritics, size of kana, variants, dashes, spaces.
class Reader {
 public:
  Reader(const VariantTable& variants, std::string_view text) : variants_(variants), rest_(text) {
    out_.reserve(text.size());
  }

  Characters Read() {
    while (!rest_.empty()) {
      const char32_t c = TakeCodePoint(rest_);
      if (c == kDamaged) {
        rest_.remove_prefix(1);
      } else {
        Put(c, true);
      }
    }
    return std::move(out_);
  }

 private:
  // `whole`: c stands in the text, and is not part of what another character decomposes into.
  void Put(char32_t c, bool whole) {
    if (c < 0x80) return PutAscii(c);
    if (IsIdeograph(c)) return PutIdeograph(c);
    if (Between(c, 0x3041, 0x3096)) return PutKatakana(c + 0x60);
    if (IsKatakana(c)) return PutKatakana(c);
    if (Between(c, 0xFF01, 0xFF5E)) return PutAscii(c - 0xFEE0);
    if (Between(c, 0xFF66, 0xFF9D)) return PutHalfWidth(kHalfWidth[c - 0xFF66]);
    if (PutMark(c)) return;
    if (whole) return Decompose(c);
    PutOther(c);
  }

  void PutAscii(char32_t c) {
    if (Between(c, U'a', U'z')) {
      out_.push_back(c - 0x20);
    } else if (c >= 0x20 && c != 0x7F && c != U'\'' && c != U',' && c != U'.' && c != U'`') {
      out_.push_back(c);
    }
  }

  void PutIdeograph(char32_t c) {
    std::string_view ahead = rest_;
    const char32_t next = ahead.empty() ? kDamaged : TakeCodePoint(ahead);
    if (!IsSelector(next)) {
      out_.push_back(variants_.Head(c));
    } else {
      out_.push_back(variants_.Head(c, next));
      rest_ = ahead;
    }
  }

  void PutKatakana(char32_t c) { out_.push_back(kLarge[c]); }
  void PutHalfWidth(char32_t c) {
    if (c == U'ー') {
      out_.push_back(kDash);
    } else {
      PutKatakana(c);
    }
  }

  // Dashes, spaces, marks that repeat or change what stands before them, and what is left out.
  bool PutMark(char32_t c) {
    const char32_t last = out_.empty() ? 0 : out_.back();
    switch (c) {
      case U'ー':
      case 0x2010:
      case 0x2011:
      case 0x2012:
      case 0x2013:
      case 0x2014:
      case 0x2015:
      case 0x2043:
      case 0x2212:
      case 0x2500:
      case 0x2501:
        out_.push_back(kDash);
        return true;
      case 0x3000:
        out_.push_back(kSpace);
        return true;
      case U'々':
      case U'〻':
      case U'ゝ':
      case U'ヽ':
      case U'ゞ':
      case U'ヾ':
        Repeat(c);
        return true;
      case 0x3099:
      case 0x309B:
      case 0xFF9E:  // ゛, combining, alone and of half width
        if (IsKatakana(last)) out_.back() = kVoiced[last];
        return true;
      case 0x309A:
      case 0x309C:
      case 0xFF9F:  // ゜
        if (IsKatakana(last)) out_.back() = kHalfVoiced[last];
        return true;
      case U'・':
      case U'、':
      case U'。':
      case 0xB4:
      case 0xB7:
      case 0x2BC:
      case 0x2018:
      case 0x2019:
        return true;
      default:
        // Controls; half-width 。「」、・; diacritics, which decomposition has split off; selectors.
        return Between(c, 0x80, 0x9F) || Between(c, 0xFF61, 0xFF65) || Between(c, 0x300, 0x36F) ||
               IsSelector(c);
    }
  }

  // What is repeated is the last letter: a space or a dash between may go later on. But not a numeral: the 大字
  // 百々 and a number after it would be one number.
  void Repeat(char32_t mark) {
    const std::size_t at = out_.find_last_not_of(U" -");
    const char32_t last = at == Characters::npos ? 0 : out_[at];
    const bool of_ideographs = mark == U'々' || mark == U'〻';
    if (of_ideographs) {
      const bool numeral = std::u32string_view(U"一二三四五六七八九十百千").find(last) != std::u32string_view::npos;
      out_.push_back(IsIdeograph(last) && !numeral ? last : U'々');
    } else if (IsKatakana(last)) {
      const char32_t plain = kUnvoiced[last];
      out_.push_back(mark == U'ゞ' || mark == U'ヾ' ? kVoiced[plain] : plain);
    }
  }

  // NFKD rather than NFKC: letters with diacritics then fall to their base in every script.
  void Decompose(char32_t c) {
    UErrorCode error = U_ZERO_ERROR;
    const UNormalizer2* nfkd = unorm2_getNFKDInstance(&error);
    CHECK(U_SUCCESS(error));
    std::array<UChar, 64> units;
    const int32_t size =
        unorm2_getDecomposition(nfkd, static_cast<UChar32>(c), units.data(), units.size(), &error);
    if (size < 0) return PutOther(c);
    CHECK(U_SUCCESS(error));
    for (int32_t at = 0; at < size;) {
      UChar32 part = 0;
      U16_NEXT(units.data(), at, size, part);
      Put(static_cast<char32_t>(part), false);
    }
  }

  void PutOther(char32_t c) {
    switch (c) {  // Latin letters that do not decompose
      case 0xDF:
      case 0x1E9E:
        out_ += U"SS";
        return;
      case 0xC6:
      case 0xE6:
        out_ += U"AE";
        return;
      case 0x152:
      case 0x153:
        out_ += U"OE";
        return;
      case 0xDE:
      case 0xFE:
        out_ += U"TH";
        return;
      case 0xD8:
      case 0xF8:
        out_ += U'O';
        return;
      case 0xD0:
      case 0xF0:
      case 0x110:
      case 0x111:
        out_ += U'D';
        return;
      case 0x141:
      case 0x142:
        out_ += U'L';
        return;
      case 0x126:
      case 0x127:
        out_ += U'H';
        return;
      default: {
        const auto upper = static_cast<char32_t>(u_toupper(static_cast<UChar32>(c)));
        out_.push_back(Between(upper, 0x300, 0x36F) ? kSpace : upper);
      }
    }
  }

  const VariantTable& variants_;
  std::string_view rest_;
  Characters out_;
};

}  // namespace

Characters ReadCharacters(const VariantTable& variants, std::string_view text) {
  return Reader(variants, text).Read();
}

}  // namespace daicho::folding
