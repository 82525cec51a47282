// The tables under data/, compiled in: municipalities, towns, names. Loading parses them once;
// a table that does not parse is a programmer's error.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/generate/random.h"

namespace daicho::generate {

// Draws an index with the given weights.
class Weighted {
 public:
  void Add(std::uint32_t weight);
  std::uint32_t Draw(Random& random) const;
  std::uint32_t total() const { return sums_.empty() ? 0 : sums_.back(); }

 private:
  std::vector<std::uint32_t> sums_;
};

enum class Numbering {
  kBlocks,     // 住居表示: 大手町一丁目１番１号
  kLots,       // 地番: 朝倉町１２３番地４
  kChomeLots,  // 丁目 and 地番: 本町二丁目１２番地３
};

struct Town {
  std::uint8_t municipality;
  std::string code;  // 大字・字コード without 丁目: four digits, by the order in the table
  std::string name;
  std::string postal_code;  // may be empty
  Numbering numbering;
  std::uint8_t chome_max;
};

struct Municipality {
  std::string code;
  std::string name;
  std::uint32_t population;
  std::uint32_t foreign_per_million;
  bool factories;  // where the Brazilian and Peruvian communities live
  std::vector<std::uint16_t> towns;
  Weighted town_weights;
};

struct Surname {
  std::string kana;
  std::vector<std::string> forms;  // the usual one first
  Weighted form_weights;
};

struct GivenName {
  std::string name;
  std::string variant;  // the same with an older form of a character, or empty
  std::string kana;
};

struct ForeignName {
  std::string latin;
  std::string text;  // katakana, or Chinese characters
};

struct Nation {
  std::string code;
  bool characters;  // names are written with Chinese characters
  bool middle_names;
  std::uint32_t alias_per_million;
  std::vector<std::uint16_t> family;
  std::array<std::vector<std::uint16_t>, 2> given;  // [female]
};

inline constexpr int kDecadeFirst = 1920;
inline constexpr int kDecadeCount = 11;

struct GivenGroup {
  std::vector<std::uint16_t> names;
  Weighted weights;
};

struct Data {
  std::vector<Municipality> municipalities;
  Weighted municipality_weights;
  std::vector<Town> towns;
  std::vector<Surname> surnames;
  Weighted surname_weights;
  std::vector<GivenName> given_names;
  std::array<std::array<GivenGroup, kDecadeCount>, 2> given;  // [female][decade]
  std::vector<ForeignName> foreign_names;
  std::vector<Nation> nations;
  std::array<Weighted, 2> nation_weights;  // [factories]
  std::vector<std::string> building_heads;
  std::vector<std::string> building_tails;
};

Data LoadData();

}  // namespace daicho::generate
