#include "events/notice_rules.h"

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

#include "events/characters.h"
#include "events/codes.h"
#include "events/dates.h"

namespace daicho {
namespace {

constexpr std::string_view kPngSignature("\x89PNG\r\n\x1A\n", 8);

struct NumberKind {
  std::size_t digits;
  bool (*valid)(std::string_view);
  std::string_view format;       // message for a wrong form
  std::string_view check_digit;  // message for a wrong check digit
};
constexpr NumberKind kIndividualNumber = {kIndividualNumberDigits, IsValidIndividualNumber,
                                          "個人番号は数字12桁です",
                                          "個人番号の検査数字が一致しません"};
constexpr NumberKind kResidentCode = {kResidentCodeDigits, IsValidResidentCode,
                                      "住民票コードは数字11桁です",
                                      "住民票コードの検査数字が一致しません"};
constexpr NumberKind kMunicipalityCode = {kMunicipalityCodeDigits, IsValidMunicipalityCode,
                                          "市町村コードは数字6桁です",
                                          "市町村コードの検査数字が一致しません"};

bool ChangesIndividualNumber(v1::ChangeReason reason) {
  return reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE ||
         reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO;
}

// The reason that an 異動の取消し of this kind carries.
v1::ChangeReason ReasonOfCancel(v1::NoticeKind kind) {
  switch (kind) {
    case v1::NOTICE_KIND_ENTRY:
      return v1::CHANGE_REASON_EX_OFFICIO_ENTRY;
    case v1::NOTICE_KIND_REMOVAL:
      return v1::CHANGE_REASON_EX_OFFICIO_REMOVAL;
    case v1::NOTICE_KIND_AMEND:
      return v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT;
    default:
      return v1::CHANGE_REASON_UNSPECIFIED;
  }
}

class Checker {
 public:
  Checker(const v1::UpdateNotice& notice, std::string_view issuer)
      : notice_(notice), record_(notice.record()), issuer_(issuer) {}

  std::vector<RuleBreak> Run() && {
    CheckKindAndReason();
    CheckDates();
    CheckNumbers();
    if (notice_.has_record()) {
      CheckRecord();
    } else {
      Break("record", "required", "本人確認情報がありません");
    }
    return std::move(breaks_);
  }

 private:
  void Break(std::string_view field, std::string_view rule, std::string_view message) {
    breaks_.push_back({std::string(field), std::string(rule), std::string(message)});
  }

  void CheckKindAndReason() {
    const v1::NoticeKind kind = notice_.kind();
    const v1::ChangeReason reason = notice_.reason();
    const bool kind_known = kind != v1::NOTICE_KIND_UNSPECIFIED && v1::NoticeKind_IsValid(kind);
    const v1::NoticeKind kind_of_reason = KindOf(reason);
    const bool reason_known = kind_of_reason != v1::NOTICE_KIND_UNSPECIFIED;
    if (!kind_known) Break("kind", "required", "異動区分がありません");
    if (!reason_known) Break("reason", "required", "異動事由がありません");
    if (kind_known && reason_known) {
      if (kind_of_reason != kind) {
        Break("reason", "reason_of_kind", "異動事由が異動区分に属しません");
      } else if (notice_.cancels() != 0 && reason != ReasonOfCancel(kind)) {
        Break("reason", "cancel_reason",
              "異動の取消しの異動事由は職権記載等、職権消除等又は職権修正等です");
      }
    }
    if (notice_.update_number() == 0) {
      Break("update_number", "range", "更新順番号は1以上です");
    } else if (notice_.cancels() >= notice_.update_number()) {
      Break("cancels", "range",
            "取り消す更新順番号は、この通知の更新順番号より前でなければなりません");
    }
  }

  void CheckDates() {
    const std::optional<Date> changed_on = ParseDate(notice_.changed_on());
    if (notice_.changed_on().empty()) {
      Break("changed_on", "required", "異動年月日がありません");
    } else if (!changed_on) {
      Break("changed_on", "date", "異動年月日が暦日（YYYY-MM-DD）ではありません");
    }
    const std::optional<TimeMicros> notified_at = ParseTimestamp(notice_.notified_at());
    if (notice_.notified_at().empty()) {
      Break("notified_at", "required", "通知日時がありません");
    } else if (!notified_at) {
      Break("notified_at", "timestamp", "通知日時が時差付きの日時（RFC 3339）ではありません");
    } else {
      notified_day_ = JapanDate(*notified_at);
    }
    if (changed_on && notified_day_ && *changed_on > *notified_day_ &&
        notice_.reason() != v1::CHANGE_REASON_MOVE_OUT) {
      Break("changed_on", "future", "異動年月日が通知の日より後です（転出だけが予定日を持てます）");
    }
  }

  void CheckNumbers() {
    const v1::ChangeReason reason = notice_.reason();
    CheckNumber("resident_code", notice_.resident_code(), kResidentCode, Presence::kRequired);
    // An unknown reason is one error; what it would have asked for is not guessed.
    const bool reason_known = KindOf(reason) != v1::NOTICE_KIND_UNSPECIFIED;
    const auto presence = [&](bool required, bool optional) {
      if (!reason_known || optional) return Presence::kOptional;
      return required ? Presence::kRequired : Presence::kForbidden;
    };
    CheckFormer("former_resident_code", notice_.former_resident_code(), notice_.resident_code(),
                kResidentCode, presence(ChangesCode(reason), false));
    CheckFormer("former_individual_number", notice_.former_individual_number(),
                record_.individual_number(), kIndividualNumber,
                presence(ChangesIndividualNumber(reason),
                         reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY));
  }

  enum class Presence { kRequired, kOptional, kForbidden };

  // True if the number is there and whole.
  bool CheckNumber(std::string_view field, const std::string& number, const NumberKind& kind,
                   Presence presence) {
    if (number.empty()) {
      if (presence == Presence::kRequired) Break(field, "required", "必須の項目がありません");
      return false;
    }
    if (!IsDigits(number, kind.digits)) {
      Break(field, "format", kind.format);
      return false;
    }
    if (!kind.valid(number)) {
      Break(field, "check_digit", kind.check_digit);
      return false;
    }
    return true;
  }

  void CheckFormer(std::string_view field, const std::string& former, const std::string& now,
                   const NumberKind& kind, Presence presence) {
    if (presence == Presence::kForbidden) {
      if (!former.empty()) Break(field, "unexpected", "この異動事由は変更前の番号を伴いません");
      return;
    }
    if (CheckNumber(field, former, kind, presence) && former == now) {
      Break(field, "unchanged", "変更前と変更後の番号が同じです");
    }
  }

  // Returns the number of code points.
  std::size_t CheckTextField(std::string_view field, const std::string& text, TextKind kind,
                             Presence presence) {
    const TextCheck check = CheckText(kind, text);
    if (!check.utf8) {
      Break(field, "utf8", "UTF-8として正しくありません");
      return check.code_points;
    }
    if (presence == Presence::kRequired && check.blank) {
      Break(field, "required", "必須の項目がありません");
    }
    if (!check.characters) Break(field, "characters", "使用できない文字が含まれています");
    if (check.code_points > CodePointsMax(kind)) Break(field, "length", "項目が長すぎます");
    return check.code_points;
  }

  void CheckRecord() {
    name_length_ =
        CheckTextField("record.name", record_.name(), TextKind::kName, Presence::kRequired);
    kana_length_ =
        CheckTextField("record.kana", record_.kana(), TextKind::kKana, Presence::kOptional);
    if (record_.has_former_name()) {
      former_name_length_ = CheckTextField("record.former_name.name", record_.former_name().name(),
                                           TextKind::kName, Presence::kRequired);
      CheckTextField("record.former_name.kana", record_.former_name().kana(), TextKind::kKana,
                     Presence::kOptional);
    }
    if (record_.has_alias()) {
      alias_length_ = CheckTextField("record.alias.name", record_.alias().name(), TextKind::kName,
                                     Presence::kRequired);
      CheckTextField("record.alias.kana", record_.alias().kana(), TextKind::kKana,
                     Presence::kOptional);
    }
    CheckTextField("record.latin_name", record_.latin_name(), TextKind::kLatinName,
                   Presence::kOptional);
    CheckBirthAndSex();
    if (record_.has_address()) {
      CheckAddress(record_.address());
    } else {
      Break("record.address", "required", "住所がありません");
    }
    const bool number_needed = ChangesIndividualNumber(notice_.reason()) ||
                               notice_.reason() == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY;
    CheckNumber("record.individual_number", record_.individual_number(), kIndividualNumber,
                number_needed ? Presence::kRequired : Presence::kOptional);
    CheckGlyphs();
  }

  void CheckBirthAndSex() {
    const std::optional<LenientDate> birth = ParseLenientDate(record_.birth());
    if (record_.birth().empty()) {
      Break("record.birth", "required", "生年月日がありません");
    } else if (!birth) {
      Break("record.birth", "date", "生年月日の形が正しくありません");
    } else if (notified_day_ && IsAfter(*birth, *notified_day_)) {
      Break("record.birth", "future", "生年月日が通知の日より後です");
    }
    if (record_.sex() == v1::SEX_UNSPECIFIED || !v1::Sex_IsValid(record_.sex())) {
      Break("record.sex", "required", "性別がありません");
    }
  }

  void CheckAddress(const v1::Address& address) {
    constexpr std::string_view kField = "record.address.municipality";
    if (CheckNumber(kField, address.municipality(), kMunicipalityCode, Presence::kRequired)) {
      if (FindMunicipality(address.municipality()) == nullptr) {
        Break(kField, "municipality", "群馬県の市町村ではありません");
      }
      if (address.municipality() != issuer_) {
        Break(kField, "issuer", "市町村は自らの住民についてのみ通知できます");
      }
    }
    if (!address.town().empty() && !IsDigits(address.town(), 7)) {
      Break("record.address.town", "format", "大字・字コードは数字7桁です");
    }
    address_length_ = CheckTextField("record.address.text", address.text(), TextKind::kAddress,
                                     Presence::kRequired);
    if (!address.postal_code().empty() && !IsDigits(address.postal_code(), 7)) {
      Break("record.address.postal_code", "format", "郵便番号は数字7桁です");
    }
  }

  // Length of the field that a glyph names, or nothing if no glyph may stand there.
  std::optional<std::size_t> LengthOf(std::string_view glyph_field) const {
    if (glyph_field == "name") return name_length_;
    if (glyph_field == "kana") return kana_length_;
    if (glyph_field == "former_name") return former_name_length_;
    if (glyph_field == "alias") return alias_length_;
    if (glyph_field == "address") return address_length_;
    return std::nullopt;
  }

  void CheckGlyphs() {
    if (record_.external_glyphs_size() > kExternalGlyphsMax) {
      Break("record.external_glyphs", "count", "外字は20個までです");
      return;
    }
    for (int i = 0; i < record_.external_glyphs_size(); ++i) CheckGlyph(i);
  }

  void CheckGlyph(int at) {
    const v1::ExternalGlyph& glyph = record_.external_glyphs(at);
    const auto break_at = [&](std::string_view member, std::string_view rule,
                              std::string_view message) {
      Break("record.external_glyphs[" + std::to_string(at) + "]." + std::string(member), rule,
            message);
    };
    const std::optional<std::size_t> length = LengthOf(glyph.field());
    if (!length) {
      break_at("field", "glyph_field", "外字を置ける項目ではありません");
    } else if (glyph.index() >= *length) {
      break_at("index", "glyph_index", "外字の位置が項目の文字数を超えています");
    }
    for (int earlier = 0; earlier < at; ++earlier) {
      const v1::ExternalGlyph& other = record_.external_glyphs(earlier);
      if (other.field() == glyph.field() && other.index() == glyph.index()) {
        break_at("index", "duplicate", "同じ位置に外字が重なっています");
        break;
      }
    }
    if (glyph.image_png().size() > kGlyphImageBytesMax) {
      break_at("image_png", "length", "外字の画像は64KiBまでです");
    }
    if (!std::string_view(glyph.image_png()).starts_with(kPngSignature)) {
      break_at("image_png", "png", "外字の画像がPNGではありません");
    }
  }

  const v1::UpdateNotice& notice_;
  const v1::ResidentRecord& record_;
  const std::string_view issuer_;
  std::vector<RuleBreak> breaks_;
  std::optional<Date> notified_day_;  // in Japan
  std::size_t name_length_ = 0;
  std::size_t kana_length_ = 0;
  std::size_t former_name_length_ = 0;
  std::size_t alias_length_ = 0;
  std::size_t address_length_ = 0;
};

}  // namespace

v1::NoticeKind KindOf(v1::ChangeReason reason) {
  switch (reason) {
    case v1::CHANGE_REASON_MOVE_IN:
    case v1::CHANGE_REASON_BIRTH:
    case v1::CHANGE_REASON_EX_OFFICIO_ENTRY:
      return v1::NOTICE_KIND_ENTRY;
    case v1::CHANGE_REASON_MOVE_OUT:
    case v1::CHANGE_REASON_DEATH:
    case v1::CHANGE_REASON_EX_OFFICIO_REMOVAL:
      return v1::NOTICE_KIND_REMOVAL;
    case v1::CHANGE_REASON_ADDRESS_CHANGE:
    case v1::CHANGE_REASON_MINOR_AMENDMENT:
    case v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT:
    case v1::CHANGE_REASON_RESIDENT_CODE_CHANGE:
    case v1::CHANGE_REASON_RESIDENT_CODE_EX_OFFICIO:
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE:
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO:
    case v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY:
      return v1::NOTICE_KIND_AMEND;
    default:
      return v1::NOTICE_KIND_UNSPECIFIED;
  }
}

bool ChangesCode(v1::ChangeReason reason) {
  return reason == v1::CHANGE_REASON_RESIDENT_CODE_CHANGE ||
         reason == v1::CHANGE_REASON_RESIDENT_CODE_EX_OFFICIO;
}

bool ChangesNumber(v1::ChangeReason reason) {
  return reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE ||
         reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO ||
         reason == v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY;
}

std::vector<RuleBreak> CheckNotice(const v1::UpdateNotice& notice, std::string_view issuer) {
  return Checker(notice, issuer).Run();
}

}  // namespace daicho
