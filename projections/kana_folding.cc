#include "projections/kana_folding.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace daicho::folding {
namespace {

// 清音化.
constexpr KanaTable kSeion(U"ガギグゲゴザジズゼゾダヂヅデドバビブベボパピプペポヴヷヸヹヺ",
                           U"カキクケコサシスセソタチツテトハヒフヘホハヒフヘホフハヒヘホ");
// The vowel that a kana ends in; as a long vowel is written after it: コウ, ケイ.
constexpr KanaTable kVowel(U"アカサタナハマヤラワイキシチニヒミリウクスツヌフムユルエケセテネヘメレオコソトノホモヨロ",
                           U"アアアアアアアアアアイイイイイイイイウウウウウウウウウエエエエエエエエオオオオオオオオオ");
// What ヴ becomes before these.
constexpr KanaTable kOpened(U"アイエオヤユヨ", U"ハヒヘホヒヒヒ");

constexpr char KanaByte(char32_t kana) { return static_cast<char>(kana - 0x3020); }

// A reading that grows by one kana at a time. Within a part, that is: nothing here looks across the space.
struct Kana {
  FoldedName name;
  std::size_t part = 0;     // where the part begins
  char32_t last = 0;        // folded
  bool after_vu = false;    // the last was ヴ
  bool began_name = false;  // a kana was taken for the beginning of a 名, at name.first, that nothing showed

  bool AtStart() const { return name.text.size() == part; }

  void Add(char32_t kana) {
    if (after_vu && AddAfterVu(kana)) return;
    after_vu = kana == U'ヴ';
    char32_t folded = kSeion[kana];
    if (folded == U'ウ' && !AtStart() && kVowel[last] == U'オ') folded = U'オ';
    Push(folded);
  }
  void Push(char32_t folded) {
    name.text.push_back(KanaByte(folded));
    last = folded;
  }
  // ヴァ is バ, ヴュ is ビュ.
  bool AddAfterVu(char32_t kana) {
    after_vu = false;
    if (kOpened[kana] == kana) return false;
    last = kOpened[kana];
    name.text.back() = KanaByte(last);
    if (kVowel[kana] != kana) Push(kana);  // ヤユヨ
    return true;
  }
  // Whether the kana would be another at the beginning of a part: サト ウメ, エヴ アンヌ.
  bool Joins(char32_t kana) const {
    if (AtStart() || began_name) return false;
    return (kana == U'ウ' && kVowel[last] == U'オ') || (after_vu && kOpened[kana] != kana);
  }
  void BeginName(char32_t kana) {
    began_name = true;
    name.first = name.text.size();
    after_vu = false;
    Push(kSeion[kana]);
  }
  void Divide() {
    name.first = part = name.text.size();
    last = 0;
    after_vu = false;
  }
};

// The readings that a typed text may mean, grown together. What comes first in the text gets its other
// readings first, and there are never more than kReadingsMax.
class KanaReadings {
 public:
  void Divide() {
    divided_ = true;
    for (Kana& reading : readings_) reading.Divide();
  }
  bool divided() const { return divided_; }

  void Add(char32_t kana, bool may_begin_name, bool ends) {
    const std::size_t count = readings_.size();
    for (std::size_t i = 0; i < count; ++i) {
      if (const char32_t other = Other(kana, readings_[i])) {
        Fork(i, [&](Kana& reading) { reading.Add(other); });
      }
      if (kana == U'ヴ' && ends) {
        // Cut within ヴァ, ヴィ, ヴェ or ヴォ.
        for (const char32_t opened : {U'ハ', U'ヒ', U'ヘ', U'ホ'}) {
          Fork(i, [&](Kana& reading) { reading.Add(opened); });
        }
      }
      if (may_begin_name && readings_[i].Joins(kana)) {
        Fork(i, [&](Kana& reading) { reading.BeginName(kana); });
      }
    }
    for (std::size_t i = 0; i < count; ++i) readings_[i].Add(kana);
  }

  // ー: nothing, or the vowel once more.
  void AddLong() {
    const std::size_t count = readings_.size();
    for (std::size_t i = 0; i < count; ++i) {
      const char32_t vowel = readings_[i].AtStart() ? 0 : kVowel[readings_[i].last];
      if (vowel == 0 || !Between(vowel, U'ア', U'オ')) continue;  // ン, ッ at a beginning
      Fork(i, [&](Kana& reading) { reading.Add(vowel == U'エ' ? U'イ' : vowel); });
    }
  }

  std::vector<FoldedName> Names() && {
    std::vector<FoldedName> names;
    for (Kana& reading : readings_) {
      if (!divided_ && !reading.began_name) reading.name.first = reading.name.text.size();
      if (std::find(names.begin(), names.end(), reading.name) == names.end()) {
        names.push_back(std::move(reading.name));
      }
    }
    return names;
  }

 private:
  // What is written for the same sound: ヅ and ズ, ヂ and ジ, and ハ and ワ but at the beginning of a part.
  static char32_t Other(char32_t kana, const Kana& reading) {
    switch (kana) {
      case U'ヅ':
        return U'ズ';
      case U'ズ':
        return U'ヅ';
      case U'ヂ':
        return U'ジ';
      case U'ジ':
        return U'ヂ';
      case U'ハ':
        return reading.AtStart() ? 0 : U'ワ';
      case U'ワ':
        return reading.AtStart() ? 0 : U'ハ';
      default:
        return 0;
    }
  }

  template <typename Change>
  void Fork(std::size_t of, const Change& change) {
    if (readings_.size() == kReadingsMax) return;
    readings_.push_back(readings_[of]);
    change(readings_.back());
  }

  std::vector<Kana> readings_ = std::vector<Kana>(1);
  bool divided_ = false;
};

}  // namespace

FoldedName FoldKana(const Characters& characters) {
  Kana kana;
  bool divided = false;
  kana.name.text.reserve(characters.size());
  for (const char32_t c : characters) {
    if (IsKatakana(c)) {
      kana.Add(c);
    } else if (c == kSpace && !kana.name.text.empty() && !divided) {
      divided = true;
      kana.Divide();
    } else if (IsDigit(c) || Between(c, U'A', U'Z')) {
      // No reading has them; whatever a record holds is folded all the same.
      kana.name.text.push_back(static_cast<char>(c));
      kana.last = U'ン';
    }
  }
  if (!divided) kana.name.first = kana.name.text.size();
  return std::move(kana.name);
}

Result<NameQuery> ParseKana(const Characters& characters) {
  const bool undivided = characters.find(kSpace) == Characters::npos;
  KanaReadings readings;
  for (std::size_t i = 0; i < characters.size(); ++i) {
    const char32_t c = characters[i];
    if (IsKatakana(c)) {
      readings.Add(c, undivided, i + 1 == characters.size());
    } else if (c == kDash) {
      readings.AddLong();
    } else if (c != kSpace) {
      return Invalid("振り仮名に使えない文字があります");
    } else if (!readings.divided()) {
      readings.Divide();
    }
  }
  NameQuery query;
  query.divided = !undivided;
  query.any = std::move(readings).Names();
  if (query.any[0].text.empty()) return Invalid("検索条件に文字がありません");
  return query;
}

}  // namespace daicho::folding
