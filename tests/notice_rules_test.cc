// Each rule of a notice, broken alone: a good notice is changed in one place, and exactly that
// field and rule must be reported.
#include "events/notice_rules.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace daicho {
namespace {

constexpr std::string_view kIssuer = "102016";
const std::string kPng("\x89PNG\r\n\x1A\n rest", 13);

v1::UpdateNotice Good() {
  v1::UpdateNotice notice;
  notice.set_resident_code("24727059608");
  notice.set_update_number(3);
  notice.set_kind(v1::NOTICE_KIND_AMEND);
  notice.set_reason(v1::CHANGE_REASON_ADDRESS_CHANGE);
  notice.set_changed_on("2026-11-22");
  notice.set_notified_at("2026-11-24T09:12:03+09:00");
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊\U000E0101 花子");
  record.set_kana("わたなべ はなこ");
  record.set_kana_certified(true);
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality(std::string(kIssuer));
  record.mutable_address()->set_town("0012000");
  record.mutable_address()->set_text("大手町一丁目１番１号");
  record.mutable_address()->set_postal_code("3710026");
  record.set_individual_number("123456789018");
  return notice;
}

void SetReason(v1::UpdateNotice& notice, v1::ChangeReason reason) {
  notice.set_kind(KindOf(reason));
  notice.set_reason(reason);
}

v1::ExternalGlyph& AddGlyph(v1::UpdateNotice& notice, const std::string& field, unsigned index) {
  v1::ExternalGlyph& glyph = *notice.mutable_record()->add_external_glyphs();
  glyph.set_field(field);
  glyph.set_index(index);
  glyph.set_image_png(kPng);
  return glyph;
}

using Change = std::function<void(v1::UpdateNotice&)>;

// "field rule" of every break, separated by "; ".
std::string Breaks(const Change& change) {
  v1::UpdateNotice notice = Good();
  change(notice);
  std::string out;
  for (const RuleBreak& b : CheckNotice(notice, kIssuer)) {
    EXPECT_FALSE(b.message.empty());
    if (!out.empty()) out += "; ";
    out += b.field + " " + b.rule;
  }
  return out;
}

TEST(NoticeRules, AcceptAGoodNotice) {
  EXPECT_EQ(Breaks([](auto&) {}), "");
}

TEST(NoticeRules, NumbersNeedFormAndCheckDigit) {
  EXPECT_EQ(Breaks([](auto& n) { n.set_resident_code(""); }), "resident_code required");
  EXPECT_EQ(Breaks([](auto& n) { n.set_resident_code("2472705960"); }), "resident_code format");
  EXPECT_EQ(Breaks([](auto& n) { n.set_resident_code("24727059609"); }),
            "resident_code check_digit");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_individual_number("123456789012"); }),
            "record.individual_number check_digit");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_individual_number("12345678901x"); }),
            "record.individual_number format");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_individual_number(""); }), "");
}

TEST(NoticeRules, ReasonBelongsToKind) {
  EXPECT_EQ(Breaks([](auto& n) { n.set_kind(v1::NOTICE_KIND_ENTRY); }), "reason reason_of_kind");
  EXPECT_EQ(Breaks([](auto& n) { n.set_kind(v1::NOTICE_KIND_UNSPECIFIED); }), "kind required");
  EXPECT_EQ(Breaks([](auto& n) { n.set_kind(static_cast<v1::NoticeKind>(9)); }), "kind required");
  EXPECT_EQ(Breaks([](auto& n) { n.set_reason(v1::CHANGE_REASON_UNSPECIFIED); }),
            "reason required");
  EXPECT_EQ(Breaks([](auto& n) { n.set_reason(static_cast<v1::ChangeReason>(99)); }),
            "reason required");
}

TEST(NoticeRules, EveryReasonIsAcceptedWithItsOwnKindOnly) {
  const auto* reasons = v1::ChangeReason_descriptor();
  for (int i = 0; i < reasons->value_count(); ++i) {
    const auto reason = static_cast<v1::ChangeReason>(reasons->value(i)->number());
    if (reason == v1::CHANGE_REASON_UNSPECIFIED) continue;
    for (const auto kind :
         {v1::NOTICE_KIND_ENTRY, v1::NOTICE_KIND_REMOVAL, v1::NOTICE_KIND_AMEND}) {
      v1::UpdateNotice notice = Good();
      notice.set_kind(kind);
      notice.set_reason(reason);
      const std::string& name = reasons->value(i)->name();
      if (name.find("RESIDENT_CODE_") != std::string::npos) {
        notice.set_former_resident_code("24846016224");
      }
      if (name.find("INDIVIDUAL_NUMBER_") != std::string::npos) {
        notice.set_former_individual_number("379474484458");
      }
      EXPECT_EQ(CheckNotice(notice, kIssuer).empty(), KindOf(reason) == kind) << name << kind;
    }
  }
}

TEST(NoticeRules, OnlyAMoveOutMayLieAhead) {
  EXPECT_EQ(Breaks([](auto& n) { n.set_changed_on("2026-11-25"); }), "changed_on future");
  EXPECT_EQ(Breaks([](auto& n) { n.set_changed_on("2026-11-24"); }), "");
  EXPECT_EQ(Breaks([](auto& n) {
              SetReason(n, v1::CHANGE_REASON_MOVE_OUT);
              n.set_changed_on("2027-03-31");
            }),
            "");
  // The day of the notice is the day in Japan.
  EXPECT_EQ(Breaks([](auto& n) {
              n.set_notified_at("2026-11-23T15:00:00Z");
              n.set_changed_on("2026-11-24");
            }),
            "");
}

TEST(NoticeRules, DatesAreDates) {
  EXPECT_EQ(Breaks([](auto& n) { n.set_changed_on("2026-02-29"); }), "changed_on date");
  EXPECT_EQ(Breaks([](auto& n) { n.set_changed_on(""); }), "changed_on required");
  EXPECT_EQ(Breaks([](auto& n) { n.set_notified_at("2026-11-24T09:12:03"); }),
            "notified_at timestamp");
  EXPECT_EQ(Breaks([](auto& n) { n.set_notified_at(""); }), "notified_at required");
  for (const char* birth : {"1911-02-29", "1950-02-??", "1950-??-??", "????-??-??"}) {
    EXPECT_EQ(Breaks([&](auto& n) { n.mutable_record()->set_birth(birth); }), "") << birth;
  }
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_birth("1988-13-01"); }),
            "record.birth date");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_birth(""); }), "record.birth required");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_birth("2026-11-25"); }),
            "record.birth future");
}

TEST(NoticeRules, FormerResidentCodeComesExactlyWithItsReasons) {
  EXPECT_EQ(Breaks([](auto& n) { n.set_former_resident_code("24846016224"); }),
            "former_resident_code unexpected");
  for (const auto reason :
       {v1::CHANGE_REASON_RESIDENT_CODE_CHANGE, v1::CHANGE_REASON_RESIDENT_CODE_EX_OFFICIO}) {
    const auto with = [&](const char* code) {
      return Breaks([&](auto& n) {
        SetReason(n, reason);
        n.set_former_resident_code(code);
      });
    };
    EXPECT_EQ(with(""), "former_resident_code required");
    EXPECT_EQ(with("24846016224"), "");
    EXPECT_EQ(with("24846016225"), "former_resident_code check_digit");
    EXPECT_EQ(with("24727059608"), "former_resident_code unchanged");
  }
}

TEST(NoticeRules, FormerIndividualNumberComesExactlyWithItsReasons) {
  const auto with = [](v1::ChangeReason reason, const char* former) {
    return Breaks([&](auto& n) {
      SetReason(n, reason);
      n.set_former_individual_number(former);
    });
  };
  EXPECT_EQ(with(v1::CHANGE_REASON_ADDRESS_CHANGE, "379474484458"),
            "former_individual_number unexpected");
  for (const auto reason : {v1::CHANGE_REASON_INDIVIDUAL_NUMBER_CHANGE,
                            v1::CHANGE_REASON_INDIVIDUAL_NUMBER_EX_OFFICIO}) {
    EXPECT_EQ(with(reason, ""), "former_individual_number required");
    EXPECT_EQ(with(reason, "379474484458"), "");
    EXPECT_EQ(with(reason, "123456789018"), "former_individual_number unchanged");
  }
  EXPECT_EQ(with(v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY, ""), "");
  EXPECT_EQ(with(v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY, "379474484458"), "");
  EXPECT_EQ(Breaks([](auto& n) {
              SetReason(n, v1::CHANGE_REASON_INDIVIDUAL_NUMBER_ENTRY);
              n.mutable_record()->clear_individual_number();
            }),
            "record.individual_number required");
}

TEST(NoticeRules, CancelNamesAnEarlierNoticeAndAnExOfficioReason) {
  const auto cancel = [](v1::ChangeReason reason, unsigned cancels) {
    return Breaks([&](auto& n) {
      SetReason(n, reason);
      n.set_cancels(cancels);
    });
  };
  EXPECT_EQ(cancel(v1::CHANGE_REASON_EX_OFFICIO_ENTRY, 2), "");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_EX_OFFICIO_REMOVAL, 2), "");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT, 1), "");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT, 3), "cancels range");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_MOVE_IN, 2), "reason cancel_reason");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_DEATH, 2), "reason cancel_reason");
  EXPECT_EQ(cancel(v1::CHANGE_REASON_MINOR_AMENDMENT, 2), "reason cancel_reason");
  EXPECT_EQ(Breaks([](auto& n) { n.set_update_number(0); }), "update_number range");
}

TEST(NoticeRules, NamesAreThereAndReadable) {
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name(""); }), "record.name required");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name("　 "); }), "record.name required");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name("山\u202E田"); }),
            "record.name characters");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name("山\xC0\x80"); }),
            "record.name utf8");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name(std::string(201, 'A')); }),
            "record.name length");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_name(std::string(200, 'A')); }), "");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_kana(""); }), "");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_kana("ﾜﾀﾅﾍﾞ"); }),
            "record.kana characters");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->mutable_former_name()->set_kana("さとう"); }),
            "record.former_name.name required");
  EXPECT_EQ(Breaks([](auto& n) {
              n.mutable_record()->mutable_alias()->set_name("佐藤");
              n.mutable_record()->mutable_alias()->set_kana("佐藤");
            }),
            "record.alias.kana characters");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_latin_name("ＳＭＩＴＨ"); }),
            "record.latin_name characters");
}

TEST(NoticeRules, SexIsKnown) {
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->clear_sex(); }), "record.sex required");
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->set_sex(static_cast<v1::Sex>(3)); }),
            "record.sex required");
}

TEST(NoticeRules, MunicipalitySpeaksForItsOwnResidentsOnly) {
  const auto in = [](const char* municipality) {
    return Breaks(
        [&](auto& n) { n.mutable_record()->mutable_address()->set_municipality(municipality); });
  };
  const std::string field = "record.address.municipality";
  EXPECT_EQ(in("102024"), field + " issuer");
  EXPECT_EQ(in("131016"), field + " municipality; " + field + " issuer");
  EXPECT_EQ(in("100005"), field + " municipality; " + field + " issuer");
  EXPECT_EQ(in("102017"), field + " check_digit");
  EXPECT_EQ(in("10201"), field + " format");
  EXPECT_EQ(in(""), field + " required");
}

TEST(NoticeRules, AddressIsThereAndFormed) {
  const auto address = [](const std::function<void(v1::Address&)>& change) {
    return Breaks([&](auto& n) { change(*n.mutable_record()->mutable_address()); });
  };
  EXPECT_EQ(Breaks([](auto& n) { n.mutable_record()->clear_address(); }),
            "record.address required");
  EXPECT_EQ(Breaks([](auto& n) { n.clear_record(); }), "record required");
  EXPECT_EQ(address([](auto& a) { a.set_text(""); }), "record.address.text required");
  EXPECT_EQ(address([](auto& a) { a.set_text("大手町\n"); }), "record.address.text characters");
  EXPECT_EQ(address([](auto& a) { a.set_town("12000"); }), "record.address.town format");
  EXPECT_EQ(address([](auto& a) { a.set_postal_code("371-0026"); }),
            "record.address.postal_code format");
  EXPECT_EQ(address([](auto& a) {
              a.clear_town();
              a.clear_postal_code();
            }),
            "");
}

TEST(NoticeRules, ExternalGlyphsStandInAFieldAndArePng) {
  // 渡, 邊, its selector, space, 花, 子.
  EXPECT_EQ(Breaks([](auto& n) { AddGlyph(n, "name", 5); }), "");
  EXPECT_EQ(Breaks([](auto& n) { AddGlyph(n, "name", 6); }),
            "record.external_glyphs[0].index glyph_index");
  EXPECT_EQ(Breaks([](auto& n) { AddGlyph(n, "alias", 0); }),
            "record.external_glyphs[0].index glyph_index");
  EXPECT_EQ(Breaks([](auto& n) { AddGlyph(n, "birth", 0); }),
            "record.external_glyphs[0].field glyph_field");
  EXPECT_EQ(Breaks([](auto& n) {
              AddGlyph(n, "address", 9);
              AddGlyph(n, "address", 9);
            }),
            "record.external_glyphs[1].index duplicate");
  EXPECT_EQ(Breaks([](auto& n) { AddGlyph(n, "kana", 0).set_image_png("GIF89a"); }),
            "record.external_glyphs[0].image_png png");
  EXPECT_EQ(Breaks([](auto& n) {
              AddGlyph(n, "kana", 0)
                  .set_image_png(kPng + std::string(kGlyphImageBytesMax - kPng.size(), 'x'));
            }),
            "");
  EXPECT_EQ(Breaks([](auto& n) {
              AddGlyph(n, "kana", 0)
                  .set_image_png(kPng + std::string(kGlyphImageBytesMax - kPng.size() + 1, 'x'));
            }),
            "record.external_glyphs[0].image_png length");
  EXPECT_EQ(Breaks([](auto& n) {
              n.mutable_record()->mutable_address()->set_text(std::string(30, 'x'));
              for (unsigned i = 0; i < 21; ++i) AddGlyph(n, "address", i);
            }),
            "record.external_glyphs count");
}

TEST(NoticeRules, ReportEverythingAtOnceAndNoPersonalData) {
  v1::UpdateNotice notice = Good();
  notice.set_resident_code("24727059609");
  notice.set_changed_on("2027-01-01");
  notice.mutable_record()->set_name("山\u202E田");
  notice.mutable_record()->set_individual_number("999999999999");
  const std::vector<RuleBreak> breaks = CheckNotice(notice, kIssuer);
  ASSERT_EQ(breaks.size(), 4u);
  EXPECT_EQ(breaks[3], (RuleBreak{"record.individual_number", "check_digit",
                                  "個人番号の検査数字が一致しません"}));
  for (const RuleBreak& b : breaks) {
    for (const char* secret : {"24727059609", "山", "999999999999", "2027"}) {
      EXPECT_EQ(b.message.find(secret), std::string::npos);
    }
  }
}

TEST(NoticeRules, AnEmptyNoticeLacksEverythingOnce) {
  const std::vector<RuleBreak> breaks = CheckNotice({}, kIssuer);
  std::string fields;
  for (const RuleBreak& b : breaks) fields += b.field + " ";
  EXPECT_EQ(fields, "kind reason update_number changed_on notified_at resident_code record ");
}

}  // namespace
}  // namespace daicho
