#include "projections/copy_difference.h"

#include <algorithm>
#include <string_view>

#include "events/codes.h"
#include "events/utf8.h"
#include "projections/copy_item.h"
#include "projections/folding.h"

namespace daicho {
namespace {

using Record = v1::ResidentRecord;
using Glyphs = google::protobuf::RepeatedPtrField<v1::ExternalGlyph>;

// A character as it counts when two texts are compared for how they are written.
struct Written {
  folding::Characters folded;
  bool image = false;  // 外字: shown as an image, and the character in the text stands for any
};

// Ideographs, also the compatibility forms of some.
bool IsFolded(char32_t c) {
  return folding::IsIdeograph(c) || Between(c, 0xF900, 0xFAFF) || Between(c, 0x2F800, 0x2FA1F);
}

std::vector<Written> WrittenAs(std::string_view text, std::string_view field, const Glyphs& glyphs,
                               const VariantTable& variants) {
  std::vector<Written> out;
  for (std::uint32_t index = 0; !text.empty(); ++index) {
    const std::string_view from = text;
    const char32_t c = TakeCodePoint(text);
    if (c == kDamaged) text = from.substr(1);
    const std::string_view character = from.substr(0, from.size() - text.size());
    if (folding::IsSelector(c)) continue;
    Written written;
    if (IsFolded(c)) {
      std::string_view after = text;
      const bool selected = !after.empty() && folding::IsSelector(TakeCodePoint(after));
      written.folded = folding::ReadCharacters(
          variants, selected ? from.substr(0, from.size() - after.size()) : character);
    } else {
      written.folded.assign(character.begin(), character.end());
    }
    written.image = std::ranges::any_of(
        glyphs, [&](const v1::ExternalGlyph& g) { return g.index() == index && g.field() == field; });
    out.push_back(std::move(written));
  }
  return out;
}

// The two records of a person, field by field.
class Fields {
 public:
  Fields(const Record& here, const Record& there, const VariantTable& variants)
      : here_(here), there_(there), variants_(variants) {
    Text("name", &Record::name);
    Text("kana", &Record::kana);
    Plain("kana_certified", here.kana_certified() == there.kana_certified());
    Additional("former_name", here.has_former_name(), there.has_former_name(), &Record::former_name);
    Additional("alias", here.has_alias(), there.has_alias(), &Record::alias);
    Plain("latin_name", here.latin_name() == there.latin_name());
    Plain("birth", here.birth() == there.birth());
    Plain("sex", here.sex() == there.sex());
    Addresses();
    Plain("individual_number", here.individual_number() == there.individual_number());
    if (!SameGlyphs()) differing_.push_back("external_glyphs");
  }

  std::vector<std::string>& differing() { return differing_; }
  // No field differs but in how its characters are written.
  bool alike() const { return alike_; }

 private:
  using TextOf = const std::string& (Record::*)() const;
  using NameOf = const v1::AdditionalName& (Record::*)() const;

  void Plain(std::string_view field, bool same) {
    if (same) return;
    differing_.emplace_back(field);
    alike_ = false;
  }
  void Differs(std::string_view field, bool alike) {
    differing_.emplace_back(field);
    alike_ = alike_ && alike;
  }

  bool Alike(std::string_view field, std::string_view here, std::string_view there) const {
    if (here == there) return true;
    return std::ranges::equal(
        WrittenAs(here, field, here_.external_glyphs(), variants_),
        WrittenAs(there, field, there_.external_glyphs(), variants_),
        [](const Written& a, const Written& b) { return a.image || b.image || a.folded == b.folded; });
  }

  void Text(std::string_view field, TextOf text) {
    const std::string &here = (here_.*text)(), &there = (there_.*text)();
    if (here != there) Differs(field, Alike(field, here, there));
  }

  void Additional(std::string_view field, bool has_here, bool has_there, NameOf name) {
    const v1::AdditionalName &here = (here_.*name)(), &there = (there_.*name)();
    if (has_here == has_there && here.name() == there.name() && here.kana() == there.kana()) return;
    Differs(field, has_here == has_there && here.kana() == there.kana() && Alike(field, here.name(), there.name()));
  }

  void Addresses() {
    const v1::Address &here = here_.address(), &there = there_.address();
    const bool same_place = here_.has_address() == there_.has_address() &&
                            here.municipality() == there.municipality() && here.town() == there.town() &&
                            here.postal_code() == there.postal_code();
    if (same_place && here.text() == there.text()) return;
    Differs("address", same_place && Alike("address", here.text(), there.text()));
  }

  bool SameGlyphs() const {
    return std::ranges::equal(
        here_.external_glyphs(), there_.external_glyphs(), [](const v1::ExternalGlyph& a, const v1::ExternalGlyph& b) {
          return a.field() == b.field() && a.index() == b.index() && a.image_png() == b.image_png();
        });
  }

  const Record &here_, &there_;
  const VariantTable& variants_;
  std::vector<std::string> differing_;
  bool alike_ = true;
};

std::uint64_t NumberOf(std::string_view digits) {
  std::uint64_t number = 0;
  for (const char digit : digits) number = number * 10 + static_cast<std::uint64_t>(digit - '0');
  return number;
}

}  // namespace

std::optional<RowDifference> CompareRows(const v1::HeldCopy* here, const v1::HeldCopy* there,
                                         const VariantTable& variants) {
  CHECK(here != nullptr || there != nullptr);
  if (there == nullptr) return RowDifference{v1::DIFFERENCE_CLASS_MISSING_THERE, {}};
  if (here == nullptr) return RowDifference{v1::DIFFERENCE_CLASS_MISSING_HERE, {}};
  CHECK(here->resident_code() == there->resident_code());
  Fields fields(here->record(), there->record(), variants);
  RowDifference out{v1::DIFFERENCE_CLASS_UNSPECIFIED, std::move(fields.differing())};
  const bool ordered = here->update_number() == there->update_number();
  const bool same_state = here->removed() == there->removed();
  const bool same_retention = StatedRetention(*here) == StatedRetention(*there);
  if (!ordered) out.fields.push_back("update_number");
  if (!same_state) out.fields.push_back("status");
  if (!same_retention) out.fields.push_back("retention");
  if (out.fields.empty()) return std::nullopt;
  out.difference_class = !same_state      ? v1::DIFFERENCE_CLASS_REMOVED_STATE
                         : !ordered       ? v1::DIFFERENCE_CLASS_ORDER
                         : !fields.alike() ? v1::DIFFERENCE_CLASS_FIELD
                         : !same_retention ? v1::DIFFERENCE_CLASS_ANCILLARY
                                           : v1::DIFFERENCE_CLASS_GLYPH;
  return out;
}

v1::HeldCopy DifferingFields(const v1::HeldCopy& row, const std::vector<std::string>& fields) {
  v1::HeldCopy out = row;
  if (fields.empty() || !row.has_record()) return out;
  const auto* type = v1::ResidentRecord::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const auto* field = type->field(i);
    if (std::ranges::find(fields, field->name()) == fields.end()) {
      out.record().GetReflection()->ClearField(out.mutable_record(), field);
    }
  }
  return out;
}

void NumberClashes::Take(const v1::HeldCopy& row) {
  const std::string& number = row.record().individual_number();
  if (!IsDigits(number, kIndividualNumberDigits)) return;
  pairs_.push_back({NumberOf(number), NumberOf(row.resident_code())});
}

void NumberClashes::Close() {
  std::ranges::sort(pairs_);
  for (std::size_t i = 1; i < pairs_.size(); ++i) {
    const bool clash = pairs_[i].number == pairs_[i - 1].number && pairs_[i].code != pairs_[i - 1].code;
    if (clash && (clashing_.empty() || clashing_.back() != pairs_[i].number)) clashing_.push_back(pairs_[i].number);
  }
  pairs_ = {};
}

bool NumberClashes::Has(std::string_view individual_number) const {
  return !clashing_.empty() && IsDigits(individual_number, kIndividualNumberDigits) &&
         std::ranges::binary_search(clashing_, NumberOf(individual_number));
}

std::optional<RowDifference> CompareCopies(const v1::HeldCopy* here, std::span<const v1::HeldCopy> there,
                                           const NumberClashes& clashes, const VariantTable& variants) {
  RowDifference duplicate{.difference_class = v1::DIFFERENCE_CLASS_DUPLICATE, .fields = {}};
  const auto clashing = [&](const v1::HeldCopy& row) { return clashes.Has(row.record().individual_number()); };
  if (there.size() > 1) duplicate.fields.push_back("resident_code");
  if ((here != nullptr && clashing(*here)) || std::ranges::any_of(there, clashing)) {
    duplicate.fields.push_back("individual_number");
  }
  if (!duplicate.fields.empty()) return duplicate;
  return CompareRows(here, there.empty() ? nullptr : &there.front(), variants);
}

}  // namespace daicho
