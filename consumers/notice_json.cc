#include "consumers/notice_json.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace daicho {
namespace {

template <typename T>
using Named = std::pair<T, std::string_view>;

constexpr std::array<Named<v1::NoticeKind>, 3> kKinds = {{
    {v1::NOTICE_KIND_ENTRY, "entry"},
    {v1::NOTICE_KIND_REMOVAL, "removal"},
    {v1::NOTICE_KIND_AMEND, "amend"},
}};

constexpr std::array<Named<v1::ChangeReason>, 14> kReasons = {{
    {v1::CHANGE_REASON_MOVE_IN, "move_in"},
    {v1::CHANGE_REASON_BIRTH, "birth"},
    {v1::CHANGE_REASON_EX_OFFICIO_ENTRY, "ex_officio_entry"},
    {v1::CHANGE_REASON_MOVE_OUT, "move_out"},
    {v1::CHANGE_REASON_DEATH, "death"},
    {v1::CHANGE_REASON_EX_OFFICIO_REMOVAL, "ex_officio_removal"},
    {v1::CHANGE_REASON_ADDRESS_CHANGE, "address_change"},
    {v1::CHANGE_REASON_MINOR_AMENDMENT, "minor_amendment"},
    {v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT, "ex_officio_amendment"},
    {v1::CHANGE_REASON_RESIDENT_CODE_CHANGE, "resident_code_change"},
    {v1::CHANGE_REASON_RESIDENT_CODE_EX_OFFICIO, "resident_code_ex_officio"},
    {v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE, "individual_number_change"},
    {v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO, "individual_number_ex_officio"},
    {v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY, "individual_number_entry"},
}};

constexpr std::array<Named<v1::Sex>, 2> kSexes = {{
    {v1::SEX_MALE, "male"},
    {v1::SEX_FEMALE, "female"},
}};

template <typename T, std::size_t N>
std::string_view NameIn(const std::array<Named<T>, N>& table, T value) {
  for (const auto& [known, name] : table) {
    if (known == value) return name;
  }
  return {};
}

template <typename T, std::size_t N>
std::optional<T> FromNameIn(const std::array<Named<T>, N>& table, std::string_view name) {
  for (const auto& [value, known] : table) {
    if (known == name) return value;
  }
  return std::nullopt;
}

constexpr JsonField kAdditionalNameFields[] = {
    JsonText<&v1::AdditionalName::mutable_name>("name", kRequired),
    JsonText<&v1::AdditionalName::mutable_kana>("kana", kRequired),
};
constexpr JsonSchema kAdditionalNameSchema = {kAdditionalNameFields};

constexpr JsonField kAddressFields[] = {
    JsonText<&v1::Address::mutable_municipality>("municipality", kRequired),
    JsonText<&v1::Address::mutable_town>("town", kOptional),
    JsonText<&v1::Address::mutable_text>("text", kRequired),
    JsonText<&v1::Address::mutable_postal_code>("postal_code", kOptional),
};
constexpr JsonSchema kAddressSchema = {kAddressFields};

constexpr JsonField kGlyphFields[] = {
    JsonText<&v1::ExternalGlyph::mutable_field>("field", kRequired),
    JsonNumber<&v1::ExternalGlyph::set_index>("index", kRequired),
    JsonBase64<&v1::ExternalGlyph::mutable_image_png>("image_png", kRequired),
};
constexpr JsonSchema kGlyphSchema = {kGlyphFields};

constexpr JsonField kRecordFields[] = {
    JsonText<&v1::ResidentRecord::mutable_name>("name", kRequired),
    JsonText<&v1::ResidentRecord::mutable_kana>("kana", kRequired),
    JsonBool<&v1::ResidentRecord::set_kana_certified>("kana_certified", kRequired),
    JsonObject<&v1::ResidentRecord::mutable_former_name>("former_name", kOptional,
                                                         kAdditionalNameSchema),
    JsonObject<&v1::ResidentRecord::mutable_alias>("alias", kOptional, kAdditionalNameSchema),
    JsonText<&v1::ResidentRecord::mutable_latin_name>("latin_name", kOptional),
    JsonText<&v1::ResidentRecord::mutable_birth>("birth", kRequired),
    JsonWord<&v1::ResidentRecord::set_sex, &SexFromName>("sex", kRequired),
    JsonObject<&v1::ResidentRecord::mutable_address>("address", kRequired, kAddressSchema),
    JsonText<&v1::ResidentRecord::mutable_individual_number>("individual_number", kOptional),
    JsonObjects<&v1::ResidentRecord::add_external_glyphs>("external_glyphs", kOptional,
                                                          kGlyphSchema),
};

}  // namespace

constexpr JsonSchema kRecordSchema = {kRecordFields};

namespace {

constexpr JsonField kNoticeFields[] = {
    JsonText<&v1::UpdateNotice::mutable_resident_code>("resident_code", kRequired),
    JsonNumber<&v1::UpdateNotice::set_update_number>("update_number", kRequired),
    JsonWord<&v1::UpdateNotice::set_kind, &KindFromName>("kind", kRequired),
    JsonWord<&v1::UpdateNotice::set_reason, &ReasonFromName>("reason", kRequired),
    JsonText<&v1::UpdateNotice::mutable_changed_on>("changed_on", kRequired),
    JsonText<&v1::UpdateNotice::mutable_notified_at>("notified_at", kRequired),
    JsonNumber<&v1::UpdateNotice::set_cancels, 1>("cancels", kOptional),
    JsonText<&v1::UpdateNotice::mutable_former_resident_code>("former_resident_code", kOptional),
    JsonText<&v1::UpdateNotice::mutable_former_individual_number>("former_individual_number",
                                                                  kOptional),
    JsonObject<&v1::UpdateNotice::mutable_record>("record", kRequired, kRecordSchema),
};
constexpr JsonSchema kNoticeSchema = {kNoticeFields};

// Writes one object, closed when it goes out of scope.
class ObjectWriter {
 public:
  explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
  ~ObjectWriter() { out_ += '}'; }
  ObjectWriter(const ObjectWriter&) = delete;

  // What follows is the value.
  std::string& Key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    ((out_ += '"') += name) += "\":";
    return out_;
  }
  void Text(std::string_view name, std::string_view value) { AppendJsonString(Key(name), value); }
  void TextUnlessEmpty(std::string_view name, std::string_view value) {
    if (!value.empty()) Text(name, value);
  }
  void Number(std::string_view name, std::uint64_t value) { Key(name) += std::to_string(value); }

 private:
  std::string& out_;
  bool first_ = true;
};

void AppendAdditionalName(std::string& out, const v1::AdditionalName& name) {
  ObjectWriter object(out);
  object.Text("name", name.name());
  object.Text("kana", name.kana());
}

void AppendAddress(std::string& out, const v1::Address& address) {
  ObjectWriter object(out);
  object.Text("municipality", address.municipality());
  object.TextUnlessEmpty("town", address.town());
  object.Text("text", address.text());
  object.TextUnlessEmpty("postal_code", address.postal_code());
}

void AppendGlyphs(std::string& out, std::span<const v1::ExternalGlyph* const> glyphs) {
  out += '[';
  for (std::size_t i = 0; i < glyphs.size(); ++i) {
    if (i > 0) out += ',';
    const v1::ExternalGlyph& glyph = *glyphs[i];
    ObjectWriter object(out);
    object.Text("field", glyph.field());
    object.Number("index", glyph.index());
    object.Text("image_png", Base64Encode(glyph.image_png()));
  }
  out += ']';
}

// The fields that `wanted` names.
void AppendRecord(ObjectWriter& object, const v1::ResidentRecord& record, auto wanted) {
  if (wanted("name")) object.Text("name", record.name());
  if (wanted("kana")) object.Text("kana", record.kana());
  if (wanted("kana_certified")) object.Key("kana_certified") += record.kana_certified() ? "true" : "false";
  if (record.has_former_name() && wanted("former_name")) {
    AppendAdditionalName(object.Key("former_name"), record.former_name());
  }
  if (record.has_alias() && wanted("alias")) AppendAdditionalName(object.Key("alias"), record.alias());
  if (wanted("latin_name")) object.TextUnlessEmpty("latin_name", record.latin_name());
  if (wanted("birth")) object.Text("birth", record.birth());
  if (wanted("sex")) object.TextUnlessEmpty("sex", SexName(record.sex()));
  if (record.has_address() && wanted("address")) AppendAddress(object.Key("address"), record.address());
  if (wanted("individual_number")) object.TextUnlessEmpty("individual_number", record.individual_number());
  std::vector<const v1::ExternalGlyph*> glyphs;
  for (const v1::ExternalGlyph& glyph : record.external_glyphs()) {
    if (wanted(glyph.field())) glyphs.push_back(&glyph);
  }
  if (!glyphs.empty() && wanted("external_glyphs")) AppendGlyphs(object.Key("external_glyphs"), glyphs);
}

void AppendRecord(std::string& out, const v1::ResidentRecord& record) {
  ObjectWriter object(out);
  AppendRecord(object, record, [](std::string_view) { return true; });
}

}  // namespace

std::string_view KindName(v1::NoticeKind kind) { return NameIn(kKinds, kind); }
std::string_view ReasonName(v1::ChangeReason reason) { return NameIn(kReasons, reason); }
std::string_view SexName(v1::Sex sex) { return NameIn(kSexes, sex); }

std::optional<v1::NoticeKind> KindFromName(std::string_view name) {
  return FromNameIn(kKinds, name);
}
std::optional<v1::ChangeReason> ReasonFromName(std::string_view name) {
  return FromNameIn(kReasons, name);
}
std::optional<v1::Sex> SexFromName(std::string_view name) { return FromNameIn(kSexes, name); }

std::string_view DifferenceClassName(v1::DifferenceClass difference_class) {
  switch (difference_class) {
    case v1::DIFFERENCE_CLASS_MISSING_THERE: return "missing_there";
    case v1::DIFFERENCE_CLASS_MISSING_HERE: return "missing_here";
    case v1::DIFFERENCE_CLASS_FIELD: return "field";
    case v1::DIFFERENCE_CLASS_ORDER: return "order";
    case v1::DIFFERENCE_CLASS_GLYPH: return "glyph";
    case v1::DIFFERENCE_CLASS_DUPLICATE: return "duplicate";
    case v1::DIFFERENCE_CLASS_REMOVED_STATE: return "removed_state";
    case v1::DIFFERENCE_CLASS_ANCILLARY: return "ancillary";
    default: return "unknown";
  }
}

std::string NoticeLine(const v1::UpdateNotice& notice) {
  std::string out;
  out.reserve(1024);
  {
    ObjectWriter object(out);
    object.Text("resident_code", notice.resident_code());
    object.Number("update_number", notice.update_number());
    object.TextUnlessEmpty("kind", KindName(notice.kind()));
    object.TextUnlessEmpty("reason", ReasonName(notice.reason()));
    object.Text("changed_on", notice.changed_on());
    object.Text("notified_at", notice.notified_at());
    if (notice.cancels() != 0) object.Number("cancels", notice.cancels());
    object.TextUnlessEmpty("former_resident_code", notice.former_resident_code());
    object.TextUnlessEmpty("former_individual_number", notice.former_individual_number());
    if (notice.has_record()) AppendRecord(object.Key("record"), notice.record());
  }
  return out;
}

std::string RecordJson(const v1::ResidentRecord& record) {
  std::string out;
  AppendRecord(out, record);
  return out;
}

std::string ReleasedRecordJson(const v1::UpdateNotice& notice, const std::vector<std::string>& fields) {
  const auto wanted = [&](std::string_view name) { return std::ranges::find(fields, name) != fields.end(); };
  std::string out;
  {
    ObjectWriter object(out);
    if (wanted("resident_code")) object.Text("resident_code", notice.resident_code());
    AppendRecord(object, notice.record(), wanted);
  }
  return out;
}

JsonReading ReadNotice(std::string_view json, v1::UpdateNotice& notice) {
  notice.Clear();
  return ReadJson(json, kNoticeSchema, &notice);
}

JsonReading ReadRecord(std::string_view json, v1::ResidentRecord& record) {
  record.Clear();
  return ReadJson(json, kRecordSchema, &record);
}

}  // namespace daicho
