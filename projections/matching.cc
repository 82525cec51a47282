#include "projections/matching.h"

#include <algorithm>
#include <utility>

#include "events/characters.h"
#include "events/codes.h"
#include "projections/address_folding.h"
#include "projections/folding.h"
#include "projections/kana_folding.h"
#include "projections/variants.h"

namespace daicho {
namespace {

using folding::Characters;
using folding::kSpace;

// Divided by its first space; by one that it begins with only if `leading`.
struct NameText {
  FoldedName name;
  bool divided = false;
};

NameText NameOf(const Characters& characters, bool leading) {
  NameText result;
  std::string& text = result.name.text;
  text.reserve(characters.size() * 3);
  for (const char32_t c : characters) {
    if (c == folding::kDash) continue;
    if (c == kSpace) {
      if (!result.divided && (leading || !text.empty())) {
        result.divided = true;
        result.name.first = text.size();
      }
    } else {
      // 鬼が島, 鬼ヶ島. Wherever it stands: what is before it may be another part of the name, or not typed.
      AppendUtf8(text, c == U'ガ' ? U'ケ' : c);
    }
  }
  if (!result.divided) result.name.first = text.size();
  return result;
}

Status CheckTyped(TextKind kind, std::size_t code_points_max, std::string_view typed) {
  // Four bytes a character and no more: nothing longer is worth a look.
  if (typed.size() > code_points_max * 4) return Invalid("検索条件が長すぎます");
  const TextCheck check = CheckText(kind, typed);
  if (!check.utf8 || !check.characters) return Invalid("記録に使われない文字があります");
  if (check.code_points > code_points_max) return Invalid("検索条件が長すぎます");
  return {};
}

Status Nothing() { return Invalid("検索条件に文字がありません"); }

}  // namespace

// Names as ReadAddress gives them.
struct Matching::Places {
  struct Town {
    Characters name;
    std::string_view code;
    bool may_be_town;  // 町 or 村: some 市 may have a 町 or 大字 of that name
  };
  Characters prefecture;
  std::vector<std::pair<Characters, const District*>> districts;
  std::vector<Town> towns;

  explicit Places(const VariantTable& variants) : prefecture(folding::ReadAddress(variants, "群馬県")) {
    for (const District& district : kDistricts) {
      districts.emplace_back(folding::ReadAddress(variants, district.name), &district);
    }
    for (const Municipality& town : kMunicipalities) {
      towns.push_back({folding::ReadAddress(variants, town.name), town.code, !town.name.ends_with("市")});
    }
  }

  const Town* FindTown(std::u32string_view text, const District* district) const {
    for (const Town& town : towns) {
      if ((district == nullptr || district->Has(town.code)) && text.starts_with(town.name)) return &town;
    }
    return nullptr;
  }
};

namespace {

// 千代田町 is a municipality of 邑楽郡 and a 町 of 前橋市: alone it means the latter, which is what an address
// without 県 or 郡 would be.
constexpr std::string_view kTownElsewhere = "105236";

// Whether the name of a 町 or 村 is that of a 町 or 大字 of some municipality: 千代田町1-1. A municipality's name
// is followed by that of a 大字, or by nothing.
bool MeansTown(std::u32string_view after, std::string_view code) {
  if (after.empty()) return code == kTownElsewhere;
  const std::string folded = folding::FoldAddress(after);
  return !folded.empty() && folded[0] >= '0' && folded[0] <= '9';
}

void SkipSpaces(std::u32string_view& text) {
  while (!text.empty() && text[0] == kSpace) text.remove_prefix(1);
}

}  // namespace

std::shared_ptr<const Matching> Matching::Shipped() {
  static const auto matching = std::make_shared<const Matching>(VariantTable::Shipped());
  return matching;
}

Matching::Matching(std::shared_ptr<const VariantTable> variants)
    : variants_(std::move(variants)),
      places_(std::make_unique<const Places>(*variants_)),
      id_(variants_->shipped() ? "1" : "1+" + variants_->digest().substr(0, 16)) {}

Matching::~Matching() = default;

FoldedName Matching::FoldName(std::string_view name) const {
  return NameOf(folding::ReadCharacters(*variants_, name), false).name;
}

FoldedName Matching::FoldKana(std::string_view kana) const {
  return folding::FoldKana(folding::ReadCharacters(*variants_, kana));
}

std::string Matching::FoldAddress(std::string_view text) const {
  return folding::FoldAddress(folding::ReadAddress(*variants_, text));
}

Result<NameQuery> Matching::ParseName(std::string_view typed) const {
  RETURN_IF_ERROR(CheckTyped(TextKind::kName, kNameCodePointsMax, typed));
  NameText text = NameOf(folding::ReadCharacters(*variants_, typed), true);
  if (text.name.text.empty()) return Nothing();
  NameQuery query;
  query.divided = text.divided;
  query.any.push_back(std::move(text.name));
  return query;
}

Result<NameQuery> Matching::ParseKana(std::string_view typed) const {
  RETURN_IF_ERROR(CheckTyped(TextKind::kName, kKanaCodePointsMax, typed));
  return folding::ParseKana(folding::ReadCharacters(*variants_, typed));
}

Result<BirthQuery> Matching::ParseBirth(std::string_view typed) const {
  ASSIGN_OR_RETURN(const LenientDate date, ParsePersonLenientDate(typed));
  return BirthQuery{date, date == LenientDate{}};
}

Result<AddressQuery> Matching::ParseAddress(std::string_view typed) const {
  RETURN_IF_ERROR(CheckTyped(TextKind::kAddress, kAddressCodePointsMax, typed));
  const Characters characters = folding::ReadAddress(*variants_, typed);
  std::u32string_view text = characters;
  SkipSpaces(text);
  const bool prefecture = text.starts_with(places_->prefecture);
  if (prefecture) text.remove_prefix(places_->prefecture.size());
  SkipSpaces(text);
  AddressQuery query;
  const District* district = nullptr;
  for (const auto& [name, known] : places_->districts) {
    if (!text.starts_with(name)) continue;
    district = known;
    text.remove_prefix(name.size());
    SkipSpaces(text);
    break;
  }
  if (const Places::Town* town = places_->FindTown(text, district)) {
    std::u32string_view after = text.substr(town->name.size());
    SkipSpaces(after);
    if (prefecture || district != nullptr || !town->may_be_town || !MeansTown(after, town->code)) {
      text = after;
      query.municipalities.emplace_back(town->code);
    }
  }
  if (query.municipalities.empty() && district != nullptr) {
    for (const Municipality& town : kMunicipalities) {
      if (district->Has(town.code)) query.municipalities.emplace_back(town.code);
    }
  }
  query.text = folding::FoldAddress(text);
  if (query.municipalities.empty() && query.text.empty()) return Nothing();
  return query;
}

namespace {

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// `rest`: what of a name follows the first part that was asked for.
bool MatchesRest(std::string_view asked, v1::NameMatch how, std::string_view rest) {
  switch (how) {
    case v1::NAME_MATCH_WHOLE:
      return rest == asked;
    case v1::NAME_MATCH_INFIX:
      return Contains(rest, asked);
    default:
      return rest.starts_with(asked);
  }
}

bool MatchesOne(const FoldedName& asked, bool divided, v1::NameMatch how, const FoldedName& name) {
  if (!divided) {
    if (!asked.Second().empty() && (asked.first != name.first || how == v1::NAME_MATCH_INFIX)) return false;
    if (how == v1::NAME_MATCH_INFIX) {
      return Contains(name.First(), asked.text) || Contains(name.Second(), asked.text);
    }
    return MatchesRest(asked.text, how, name.text);
  }
  if (name.Second().empty() && !asked.First().empty() && !asked.Second().empty()) {
    return name.text.starts_with(asked.First()) &&
           MatchesRest(asked.Second(), how, std::string_view(name.text).substr(asked.first));
  }
  if (!asked.First().empty() && asked.First() != name.First()) return false;
  return MatchesRest(asked.Second(), how, name.Second());
}

}  // namespace

bool Matches(const NameQuery& query, v1::NameMatch how, const FoldedName& name) {
  return std::any_of(query.any.begin(), query.any.end(),
                     [&](const FoldedName& asked) { return MatchesOne(asked, query.divided, how, name); });
}

bool Matches(const BirthQuery& query, LenientDate birth) {
  if (query.unknown) return birth == LenientDate{};
  const auto agree = [](int asked, int known) { return asked == 0 || known == 0 || asked == known; };
  return agree(query.date.year, birth.year) && agree(query.date.month, birth.month) &&
         agree(query.date.day, birth.day);
}

bool Matches(const AddressQuery& query, std::string_view municipality, std::string_view text) {
  const auto& codes = query.municipalities;
  return (codes.empty() || std::find(codes.begin(), codes.end(), municipality) != codes.end()) &&
         text.starts_with(query.text);
}

}  // namespace daicho
