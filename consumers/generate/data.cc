#include "consumers/generate/data.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

#include "consumers/generate/tables.h"
#include "events/result.h"

namespace daicho::generate {
namespace {

std::vector<std::string_view> Split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

// Rows of a table; '#' begins a comment line.
std::vector<std::vector<std::string_view>> Rows(std::string_view table, std::size_t columns) {
  std::vector<std::vector<std::string_view>> rows;
  for (const std::string_view line : Split(table, '\n')) {
    if (line.empty() || line[0] == '#') continue;
    rows.push_back(Split(line, '\t'));
    CHECK(rows.back().size() == columns);
  }
  return rows;
}

std::uint32_t Number(std::string_view text, int base = 10) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  CHECK(error == std::errc() && end == text.data() + text.size());
  return value;
}

void AppendUtf8(std::uint32_t c, std::string& out) {
  CHECK(c >= 0x800);
  if (c >= 0x10000) {
    out += static_cast<char>(0xf0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | c >> 12);
  }
  out += static_cast<char>(0x80 | (c >> 6 & 0x3f));
  out += static_cast<char>(0x80 | (c & 0x3f));
}

// "辻<E0100>" with the code point in place of its number: variation selectors and compatibility
// ideographs would not survive every editor.
std::string Unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t open = text.find('<');
    out += text.substr(0, open);
    if (open == std::string_view::npos) break;
    const std::size_t close = text.find('>', open);
    CHECK(close != std::string_view::npos);
    AppendUtf8(Number(text.substr(open + 1, close - open - 1), 16), out);
    text.remove_prefix(close + 1);
  }
  return out;
}

std::size_t MunicipalityIndex(const Data& data, std::string_view code) {
  const auto found = std::find_if(data.municipalities.begin(), data.municipalities.end(),
                                  [&](const Municipality& m) { return m.code == code; });
  CHECK(found != data.municipalities.end());
  return static_cast<std::size_t>(found - data.municipalities.begin());
}

void LoadMunicipalities(Data& data) {
  for (const auto& row : Rows(k_municipalities, 5)) {
    Municipality& m = data.municipalities.emplace_back();
    m.code = row[0];
    m.name = row[1];
    m.population = Number(row[2]);
    m.foreign_per_million = Number(row[3]) * 1000;
    m.factories = row[4] == "1";
    data.municipality_weights.Add(m.population);
  }
}

void LoadTowns(Data& data) {
  for (const auto& row : Rows(k_towns, 6)) {
    const std::size_t index = MunicipalityIndex(data, row[0]);
    Municipality& m = data.municipalities[index];
    std::string code = std::to_string(10001 + m.towns.size()).substr(1);
    const Numbering numbering = row[2] == "B"   ? Numbering::kBlocks
                                : row[2] == "C" ? Numbering::kChomeLots
                                                : Numbering::kLots;
    m.towns.push_back(static_cast<std::uint16_t>(data.towns.size()));
    m.town_weights.Add(Number(row[4]));
    data.towns.push_back({static_cast<std::uint8_t>(index), std::move(code), std::string(row[1]),
                          std::string(row[5]), numbering,
                          static_cast<std::uint8_t>(Number(row[3]))});
  }
  for (const Municipality& m : data.municipalities) CHECK(!m.towns.empty());
}

// Rarer surnames, each as frequent as a surname of weight kComposedWeight: without them the listed
// ones would have nearly twice the share of the population that they really have.
void ComposeSurnames(Data& data) {
  constexpr std::uint32_t kComposedWeight = 3;
  std::set<std::string> known;
  for (const Surname& surname : data.surnames) {
    known.insert(surname.forms.begin(), surname.forms.end());
  }
  using Part = std::pair<std::vector<std::string_view>, std::string_view>;  // forms, reading
  std::vector<Part> heads;
  std::vector<Part> tails;
  for (const auto& row : Rows(k_surname_parts, 2)) {
    for (const std::string_view entry : Split(row[1], ' ')) {
      const auto fields = Split(entry, ':');
      CHECK(fields.size() == 2);
      (row[0] == "head" ? heads : tails).emplace_back(Split(fields[0], '/'), fields[1]);
    }
  }
  for (const auto& [head, head_kana] : heads) {
    for (const auto& [tail, tail_kana] : tails) {
      if (head[0] == tail[0] || known.contains(std::string(head[0]) += tail[0])) continue;
      Surname surname{.kana = std::string(head_kana) += tail_kana, .forms = {}, .form_weights = {}};
      for (const std::string_view first : head) {
        for (const std::string_view second : tail) {
          surname.forms.push_back(std::string(first) += second);
          surname.form_weights.Add(surname.forms.size() == 1 ? 7 : 2);
        }
      }
      data.surnames.push_back(std::move(surname));
      data.surname_weights.Add(kComposedWeight);
    }
  }
}

void LoadSurnames(Data& data) {
  for (const auto& row : Rows(k_surnames, 3)) {
    Surname surname{.kana = std::string(row[0]), .forms = {}, .form_weights = {}};
    for (const std::string_view entry : Split(row[2], ' ')) {
      const std::size_t equals = entry.find('=');
      surname.forms.push_back(Unescape(entry.substr(0, equals)));
      surname.form_weights.Add(equals == std::string_view::npos ? 1
                                                                : Number(entry.substr(equals + 1)));
    }
    data.surnames.push_back(std::move(surname));
    data.surname_weights.Add(Number(row[1]));
  }
  ComposeSurnames(data);
}

void LoadGivenNames(Data& data) {
  for (const auto& row : Rows(k_given_names, 3)) {
    const std::size_t female = row[0] == "female" ? 1 : 0;
    const std::size_t decade = (Number(row[1]) - kDecadeFirst) / 10;
    CHECK(decade < kDecadeCount);
    GivenGroup& group = data.given[female][decade];
    for (const std::string_view entry : Split(row[2], ' ')) {
      const auto parts = Split(entry, ':');
      CHECK(parts.size() == 3);
      const auto forms = Split(parts[0], '/');
      group.names.push_back(static_cast<std::uint16_t>(data.given_names.size()));
      group.weights.Add(Number(parts[2]));
      data.given_names.push_back({Unescape(forms[0]),
                                  forms.size() > 1 ? Unescape(forms[1]) : std::string(),
                                  std::string(parts[1])});
    }
  }
  for (const auto& decades : data.given) {
    for (const GivenGroup& group : decades) CHECK(!group.names.empty());
  }
}

std::string WithSpaces(std::string_view text) {
  std::string out(text);
  std::replace(out.begin(), out.end(), '_', ' ');
  return out;
}

void LoadNations(Data& data) {
  for (const auto& row : Rows(k_nations, 6)) {
    Nation& nation = data.nations.emplace_back();
    nation.code = row[0];
    data.nation_weights[0].Add(Number(row[1]));
    data.nation_weights[1].Add(Number(row[2]));
    nation.characters = row[3] == "1";
    nation.middle_names = row[4] == "1";
    nation.alias_per_million = Number(row[5]) * 1000;
  }
  for (const auto& row : Rows(k_foreign_names, 3)) {
    const auto nation = std::find_if(data.nations.begin(), data.nations.end(),
                                     [&](const Nation& n) { return n.code == row[0]; });
    CHECK(nation != data.nations.end());
    auto& names = row[1] == "family" ? nation->family : nation->given[row[1] == "female" ? 1 : 0];
    for (const std::string_view entry : Split(row[2], ' ')) {
      const auto parts = Split(entry, '=');
      CHECK(parts.size() == 2);
      names.push_back(static_cast<std::uint16_t>(data.foreign_names.size()));
      data.foreign_names.push_back({WithSpaces(parts[0]), WithSpaces(parts[1])});
    }
  }
  for (const Nation& nation : data.nations) {
    CHECK(!nation.family.empty() && !nation.given[0].empty() && !nation.given[1].empty());
  }
}

void LoadBuildings(Data& data) {
  for (const auto& row : Rows(k_buildings, 2)) {
    auto& parts = row[0] == "head" ? data.building_heads : data.building_tails;
    for (const std::string_view part : Split(row[1], ' ')) parts.emplace_back(part);
  }
  CHECK(!data.building_heads.empty() && !data.building_tails.empty());
}

}  // namespace

void Weighted::Add(std::uint32_t weight) { sums_.push_back(total() + weight); }

std::uint32_t Weighted::Draw(Random& random) const {
  const std::uint32_t at = random.Below(total());
  return static_cast<std::uint32_t>(std::upper_bound(sums_.begin(), sums_.end(), at) -
                                    sums_.begin());
}

Data LoadData() {
  Data data;
  LoadMunicipalities(data);
  LoadTowns(data);
  LoadSurnames(data);
  LoadGivenNames(data);
  LoadNations(data);
  LoadBuildings(data);
  return data;
}

}  // namespace daicho::generate
