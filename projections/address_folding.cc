#include "projections/address_folding.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace daicho::folding {
namespace {

// -1: not a digit.
constexpr int KanjiDigit(char32_t c) {
  constexpr std::u32string_view kDigits = U"〇一二三四五六七八九";
  const std::size_t at = kDigits.find(c);
  return at != std::u32string_view::npos ? static_cast<int>(at) : c == U'零' ? 0 : -1;
}
constexpr int KanjiUnit(char32_t c) { return c == U'十' ? 10 : c == U'百' ? 100 : c == U'千' ? 1000 : 0; }
constexpr bool IsKanjiNumeral(char32_t c) { return KanjiDigit(c) >= 0 || KanjiUnit(c) > 0; }

// 二十三, 二三 and 〇二三 are "23".
std::string KanjiNumber(std::u32string_view numerals) {
  const bool units = std::any_of(numerals.begin(), numerals.end(), [](char32_t c) { return KanjiUnit(c) > 0; });
  std::string digits;
  if (!units) {
    for (const char32_t c : numerals) digits.push_back(static_cast<char>('0' + KanjiDigit(c)));
    digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
    return digits;
  }
  // No house number has more digits; what is longer stays bounded.
  std::uint64_t sum = 0;
  std::uint64_t current = 0;
  for (const char32_t c : numerals) {
    if (const int unit = KanjiUnit(c); unit > 0) {
      sum += std::max<std::uint64_t>(current, 1) * static_cast<std::uint64_t>(unit);
      current = 0;
    } else {
      current = (current * 10 + static_cast<std::uint64_t>(KanjiDigit(c))) % 1'000'000'000;
    }
  }
  return std::to_string(sum + current);
}

class AddressFolder {
 public:
  explicit AddressFolder(std::u32string_view text) : text_(text) {}

  std::string Fold() {
    out_.reserve(text_.size() * 3);
    while (at_ < text_.size()) Step();
    return std::move(out_);
  }

 private:
  bool Next(std::u32string_view expected) const { return text_.substr(at_).starts_with(expected); }
  // Right after a number: every number ends with '-'.
  bool AfterNumber() const { return !out_.empty() && out_.back() == '-' && !spaced_; }
  bool Eat(std::u32string_view expected) {
    if (!Next(expected)) return false;
    at_ += expected.size();
    return true;
  }

  void Step() {
    const char32_t c = text_[at_];
    if (IsDigit(c)) return Digits();
    if (IsKanjiNumeral(c)) return Numerals();
    if (AfterNumber() && AfterNumberStep()) return;
    if (c == kSpace) return Space();
    chome_ = false;
    if (Eat(U"-") || Eat(U"大字")) return;
    if (c != U'字' || !DropsAza()) Put(c);
    ++at_;
  }

  // Between numbers 丁目, 番地, 番, 号, の and dashes say the same.
  bool AfterNumberStep() {
    if (Eat(U"丁目")) return chome_ = true;
    if (Eat(U"番地") || Eat(U"番") || Eat(U"号") || Eat(U"-")) {
      chome_ = false;
      return true;
    }
    if (text_[at_] == U'ノ' && BeginsNumber(at_ + 1)) return Eat(U"ノ");
    return false;
  }

  void Digits() {
    std::size_t end = at_;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    while (at_ + 1 < end && text_[at_] == U'0') ++at_;
    for (; at_ < end; ++at_) Put(text_[at_]);
    Close();
  }

  void Numerals() {
    const std::size_t end = NumeralsEnd(at_);
    const std::u32string_view numerals = text_.substr(at_, end - at_);
    if (IsNumber(end, AfterNumber())) {
      for (const char digit : KanjiNumber(numerals)) Put(static_cast<char32_t>(digit));
      Close();
    } else {
      for (const char32_t c : numerals) Put(c);
      chome_ = false;
    }
    at_ = end;
  }

  void Put(char32_t c) {
    if (spaced_) {
      out_.push_back('|');
      building_ = true;
      spaced_ = false;
    }
    AppendUtf8(out_, c);
  }
  void Close() {
    out_.push_back('-');
    chome_ = false;
  }

  std::size_t NumeralsEnd(std::size_t at) const {
    while (at < text_.size() && IsKanjiNumeral(text_[at])) ++at;
    return at;
  }

  // Whether numerals that end at `end` are a number rather than part of a name (三夜沢町, 八幡町, 六合): by what
  // follows. `chained`: they follow a number, so that nothing needs to follow.
  bool IsNumber(std::size_t end, bool chained) const {
    while (true) {
      const std::u32string_view rest = text_.substr(end);
      if (rest.starts_with(U"丁目") || rest.starts_with(U"番") || rest.starts_with(U"号")) return true;
      if (rest.empty() || rest[0] == kSpace) return chained;
      if (rest[0] != kDash && rest[0] != U'ノ') return false;
      ++end;
      if (end < text_.size() && IsDigit(text_[end])) return true;
      const std::size_t next = NumeralsEnd(end);
      if (next == end) return false;
      end = next;
      chained = true;
    }
  }
  bool BeginsNumber(std::size_t at) const {
    if (at >= text_.size()) return false;
    if (IsDigit(text_[at])) return true;
    const std::size_t end = NumeralsEnd(at);
    return end > at && IsNumber(end, true);
  }

  // 方書 comes after a space after the numbers; other spaces say nothing, nor one after 丁目.
  void Space() {
    spaced_ = spaced_ || (AfterNumber() && !chome_ && !building_);
    ++at_;
  }

  // 字 before a name (字北原), but not the end of one (十文字町, 名字).
  bool DropsAza() const {
    if (at_ + 1 == text_.size()) return false;
    return at_ == 0 || (text_[at_ - 1] != U'文' && text_[at_ - 1] != U'名');
  }

  std::u32string_view text_;
  std::size_t at_ = 0;
  std::string out_;
  bool chome_ = false;     // the last number was closed by 丁目
  bool spaced_ = false;    // a space after numbers: what follows, if anything does, is the 方書
  bool building_ = false;  // there is a '|'
};

}  // namespace

Characters ReadAddress(const VariantTable& variants, std::string_view text) {
  Characters characters = ReadCharacters(variants, text);
  for (char32_t& c : characters) {
    if (c == U'ガ') c = U'ケ';
    if (c == U'|') c = kSpace;
  }
  return characters;
}

std::string FoldAddress(std::u32string_view characters) { return AddressFolder(characters).Fold(); }

}  // namespace daicho::folding
