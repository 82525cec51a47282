#include "consumers/matter_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "consumers/notice_json.h"
#include "consumers/strict_json.h"
#include "events/characters.h"

namespace daicho {
namespace {

constexpr std::size_t kReferenceBytesMax = 60;
constexpr int kDisclosureDays = 30;

template <typename T, std::size_t N>
std::optional<T> Named(const std::array<std::pair<std::string_view, T>, N>& words, std::string_view name) {
  const auto found = std::ranges::find(words, name, [](const auto& word) { return word.first; });
  return found == words.end() ? std::nullopt : std::optional(found->second);
}

constexpr std::array<std::pair<std::string_view, v1::ApplicantCapacity>, 4> kCapacities = {
    {{"self", v1::APPLICANT_CAPACITY_SELF},
     {"legal_representative", v1::APPLICANT_CAPACITY_LEGAL_REPRESENTATIVE},
     {"empowered_guardian", v1::APPLICANT_CAPACITY_EMPOWERED_GUARDIAN},
     {"agent", v1::APPLICANT_CAPACITY_AGENT}}};
constexpr std::array<std::pair<std::string_view, v1::IdentityDocument>, 6> kDocuments = {
    {{"individual_number_card", v1::IDENTITY_DOCUMENT_INDIVIDUAL_NUMBER_CARD},
     {"driving_licence", v1::IDENTITY_DOCUMENT_DRIVING_LICENCE},
     {"passport", v1::IDENTITY_DOCUMENT_PASSPORT},
     {"health_insurance", v1::IDENTITY_DOCUMENT_HEALTH_INSURANCE},
     {"representation", v1::IDENTITY_DOCUMENT_REPRESENTATION},
     {"other", v1::IDENTITY_DOCUMENT_OTHER}}};
constexpr std::array<std::pair<std::string_view, v1::CorrectionKind>, 3> kKinds = {
    {{"correct", v1::CORRECTION_KIND_CORRECT}, {"add", v1::CORRECTION_KIND_ADD}, {"delete", v1::CORRECTION_KIND_DELETE}}};

std::optional<v1::ApplicantCapacity> CapacityOf(std::string_view name) { return Named(kCapacities, name); }
std::optional<v1::CorrectionKind> KindOf(std::string_view name) { return Named(kKinds, name); }

struct Glyph {
  std::string character, image;
};

// The document as it is read.
struct Read : MatterRequest {
  struct Who {
    std::string name;
    std::vector<std::string> address;
  };
  Who who;
  std::vector<std::string> documents, scope;
  std::vector<std::unique_ptr<Glyph>> pictures;
  std::string received_on;

  void set_capacity(v1::ApplicantCapacity capacity) { applicant.set_capacity(capacity); }
  Who* applicant_object() { return &who; }
  v1::SearchCondition* condition_object() { return &condition; }
  v1::CorrectionItem* add_item() { return &items.emplace_back(); }
  Glyph* add_glyph() { return pictures.emplace_back(std::make_unique<Glyph>()).get(); }
};

constexpr JsonField kWhoFields[] = {JsonText<&Read::Who::name>("name", kRequired),
                                    JsonTexts<&Read::Who::address>("address", kOptional)};
constexpr JsonSchema kWhoSchema = {kWhoFields};
constexpr JsonField kConditionFields[] = {
    JsonText<&v1::SearchCondition::mutable_resident_code>("resident_code", kOptional),
    JsonText<&v1::SearchCondition::mutable_individual_number>("individual_number", kOptional),
    JsonText<&v1::SearchCondition::mutable_name>("name", kOptional),
    JsonText<&v1::SearchCondition::mutable_kana>("kana", kOptional),
    JsonText<&v1::SearchCondition::mutable_birth>("birth", kOptional),
    JsonWord<&v1::SearchCondition::set_sex, &SexFromName>("sex", kOptional),
    JsonText<&v1::SearchCondition::mutable_address>("address", kOptional),
    JsonText<&v1::SearchCondition::mutable_municipality>("municipality", kOptional)};
constexpr JsonSchema kConditionSchema = {kConditionFields};
constexpr JsonField kItemFields[] = {JsonWord<&v1::CorrectionItem::set_kind, &KindOf>("kind", kRequired),
                                     JsonText<&v1::CorrectionItem::mutable_field>("field", kRequired),
                                     JsonText<&v1::CorrectionItem::mutable_claimed>("claimed", kOptional)};
constexpr JsonSchema kItemSchema = {kItemFields};
constexpr JsonField kGlyphFields[] = {JsonText<&Glyph::character>("character", kRequired),
                                      JsonBase64<&Glyph::image>("image_png", kRequired)};
constexpr JsonSchema kGlyphSchema = {kGlyphFields};
constexpr JsonField kFields[] = {
    JsonText<&MatterRequest::format>("format", kRequired),
    JsonText<&MatterRequest::reference>("reference", kRequired),
    JsonText<&Read::received_on>("received_on", kRequired),
    JsonWord<&Read::set_capacity, &CapacityOf>("capacity", kRequired),
    JsonTexts<&Read::documents>("documents", kRequired),
    JsonObject<&Read::applicant_object>("applicant", kRequired, kWhoSchema),
    JsonText<&MatterRequest::governor>("governor", kOptional),
    JsonObjects<&Read::add_glyph>("glyphs", kOptional, kGlyphSchema),
    JsonObject<&Read::condition_object>("condition", kOptional, kConditionSchema),
    JsonTexts<&Read::scope>("scope", kOptional),
    JsonText<&MatterRequest::disclosure>("disclosure", kOptional),
    JsonObjects<&Read::add_item>("items", kOptional, kItemSchema),
    JsonTexts<&MatterRequest::bases>("bases", kOptional),
    JsonText<&MatterRequest::grounds>("grounds", kOptional),
};
constexpr JsonSchema kSchema = {kFields};

// What each kind of document must and may have beside what all have.
Status CheckShape(const Read& read) {
  const bool disclosure = read.format == "daicho-disclosure/1";
  const bool correction = read.format == "daicho-correction/1";
  const bool suspension = read.format == "daicho-suspension/1";
  if (!disclosure && !correction && !suspension) return Invalid("format: 知らない形式です");
  const auto only = [](bool allowed, bool given, const char* field) {
    return given && !allowed ? Invalid(std::string(field) + ": この形式にはない項目です") : Status();
  };
  RETURN_IF_ERROR(only(!correction, read.condition.ByteSizeLong() > 0, "condition"));
  RETURN_IF_ERROR(only(disclosure, !read.scope.empty(), "scope"));
  RETURN_IF_ERROR(only(correction, !read.disclosure.empty(), "disclosure"));
  RETURN_IF_ERROR(only(correction, !read.items.empty(), "items"));
  RETURN_IF_ERROR(only(suspension, !read.bases.empty(), "bases"));
  RETURN_IF_ERROR(only(suspension, !read.grounds.empty(), "grounds"));
  if (!correction && read.condition.ByteSizeLong() == 0) return Invalid("condition: 請求に係る者を指定してください");
  if (disclosure && read.scope.empty()) return Invalid("scope: record、history、use のいずれかが要ります");
  if (correction && (read.disclosure.empty() || read.items.empty())) {
    return Invalid("items: 申出の対象である開示（disclosure）と項目が要ります");
  }
  if (suspension && read.grounds.empty()) return Invalid("grounds: 請求の理由が要ります");
  return {};
}

}  // namespace

Date DisclosureDue(Date received_on) { return DateOfDayNumber(DayNumber(received_on) + kDisclosureDays - 1); }

Status CheckReference(const std::string& reference) {
  const bool bad = std::ranges::any_of(reference, [](char c) {
    return c == '/' || static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7f;
  });
  if (reference.empty() || reference.size() > kReferenceBytesMax || bad || reference[0] == '.' ||
      !IsValidUtf8(reference)) {
    return Invalid("reference: 60バイトまでで、/と制御文字を含まず、.で始まらないものです");
  }
  return {};
}

Status CheckApplicant(const v1::Applicant& applicant, bool record_asked) {
  if (!ParseDate(applicant.received_on())) return Invalid("received_on: 日付ではありません");
  const auto count = [&](v1::IdentityDocument document) {
    return std::ranges::count(applicant.identity_documents(), static_cast<int>(document));
  };
  const auto photographs = count(v1::IDENTITY_DOCUMENT_INDIVIDUAL_NUMBER_CARD) +
                           count(v1::IDENTITY_DOCUMENT_DRIVING_LICENCE) + count(v1::IDENTITY_DOCUMENT_PASSPORT);
  const auto others = count(v1::IDENTITY_DOCUMENT_HEALTH_INSURANCE) + count(v1::IDENTITY_DOCUMENT_OTHER);
  if (photographs == 0 && others < 2) return Invalid("documents: 本人確認書類が足りません（保険証等は2点）");
  if (applicant.capacity() != v1::APPLICANT_CAPACITY_SELF && count(v1::IDENTITY_DOCUMENT_REPRESENTATION) == 0) {
    return Invalid("documents: 代理人の資格を証する書類が要ります");
  }
  if (applicant.capacity() == v1::APPLICANT_CAPACITY_AGENT && record_asked) {
    return Invalid("capacity: 任意代理人が請求できるのは提供及び移転の状況のみです");
  }
  return applicant.capacity() == v1::APPLICANT_CAPACITY_UNSPECIFIED ? Invalid("capacity: 資格が要ります") : Status();
}

Result<MatterRequest> ReadMatterRequest(std::string_view json) {
  Read read;
  const JsonReading reading = ReadJson(json, kSchema, &read);
  if (!reading.breaks.empty()) {
    return Invalid(reading.breaks[0].field + ": " + std::string(reading.breaks[0].message));
  }
  if (!reading.complete) return Invalid("JSONとして読めません");
  RETURN_IF_ERROR(CheckReference(read.reference));
  RETURN_IF_ERROR(CheckShape(read));
  auto received = ParsePersonDate(read.received_on);
  if (!received.ok()) return received.status().With("received_on");
  read.applicant.set_received_on(FormatDate(*received));
  for (const std::string& name : read.documents) {
    const auto document = Named(kDocuments, name);
    if (!document) return Invalid("documents: 定められた値のいずれでもありません");
    read.applicant.add_identity_documents(*document);
  }
  for (const std::string& scope : read.scope) {
    bool MatterRequest::*asked = scope == "record"    ? &MatterRequest::record
                                 : scope == "history" ? &MatterRequest::history
                                 : scope == "use"     ? &MatterRequest::use
                                                      : nullptr;
    if (asked == nullptr) return Invalid("scope: record、history、use のいずれかです");
    read.*asked = true;
  }
  if (!read.condition.birth().empty()) {
    auto birth = ParsePersonDate(read.condition.birth());
    if (birth.ok()) read.condition.set_birth(FormatDate(*birth));
  }
  read.name = read.who.name;
  read.address = read.who.address;
  if (read.name.empty()) return Invalid("applicant.name: 氏名が要ります");
  for (const auto& picture : read.pictures) read.glyphs[picture->character] = picture->image;
  RETURN_IF_ERROR(CheckApplicant(read.applicant, read.record || read.history));
  return static_cast<MatterRequest&&>(read);
}

}  // namespace daicho
