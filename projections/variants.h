// 異体字: which 字体 the matching definition takes for one another. A class has a head; what is searched is
// folded to it, what is recorded never. Classes are stars around a head: a pair does not chain into the next.
//
// Immutable; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "events/result.h"

namespace daicho {

// What an operator may add; paths, empty where there is none. Only rows with exactly one candidate are used, and
// a character that the shipped table knows stays as it is there. Text is UTF-8, at most kVariantFileBytesMax.
struct VariantFiles {
  // MJ文字情報一覧表 saved as CSV or TSV, with its heading line: "MJ文字図形名", "実装したUCS",
  // "実装したMoji_JohoコレクションIVS" are used. Needed by `shrink_map`.
  std::string mj_list;
  std::string shrink_map;  // MJ縮退マップ, MJShrinkMap.1.2.0.json
  // 行政事務標準文字 to JIS X 0213, CSV or TSV: columns "UCS" (U+9089, or 9089_E0101) and "代替UCS" (U+8FBA).
  // That map's own layout is not public; the columns are ours.
  std::string substitutes;
};
inline constexpr std::size_t kVariantFileBytesMax = std::size_t{64} << 20;
inline constexpr std::size_t kVariantRowsMax = 200'000;

class VariantTable {
 public:
  // variants/variants.tsv, compiled in.
  static std::shared_ptr<const VariantTable> Shipped();
  // The shipped table and what the files add. Errors: kInvalid "<file>:<line>: <rule>", and those of ReadFile.
  static Result<std::shared_ptr<const VariantTable>> Load(const VariantFiles& files);

  // The head of the character's class; the character itself if it is in none. Head(Head(c)) == Head(c).
  char32_t Head(char32_t c) const {
    const std::uint16_t page = index_[c >> 8];
    return page == 0 ? c : pages_[page][c & 0xFF];
  }
  // Of a character with a variation selector: what is known of the two together, or else of the character.
  char32_t Head(char32_t base, char32_t selector) const;

  // SHA-256 of all rows, in hex; the table of matching definition 1 has one that a test knows.
  const std::string& digest() const { return digest_; }
  bool shipped() const { return shipped_; }  // nothing was added

 private:
  using Heads = std::map<char32_t, char32_t>;
  using SequenceHeads = std::map<std::pair<char32_t, char32_t>, char32_t>;

  VariantTable(const Heads& heads, SequenceHeads sequences, bool shipped);

  // 256 code points a page, of those pages that hold a row; page 0 stands for the others.
  std::array<std::uint16_t, 0x1100> index_{};
  std::vector<std::array<char32_t, 256>> pages_;
  SequenceHeads sequences_;
  std::string digest_;
  bool shipped_;
};

}  // namespace daicho
