// The letters as their readers get them: every item is there, the article is the right one, and what the font has not
// is drawn from an image or refused.
#include "consumers/disclosure_letters.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

namespace daicho {
namespace {

namespace fs = std::filesystem;

class DisclosureLettersTest : public ::testing::Test {
 protected:
  DisclosureLettersTest() {
    std::string name = (fs::temp_directory_path() / "daicho-letters-XXXXXX").string();
    dir_ = mkdtemp(name.data());
    head_.number = "市第123号";
    head_.date = {2026, 11, 26};
    head_.addressee = {"〒371-8570　前橋市大手町一丁目１番１号", "渡邊\U000E010B　花子"};
  }
  ~DisclosureLettersTest() override { fs::remove_all(dir_); }

  std::string Extracted(const Letter& letter) {
    const auto pdf = LetterPdf(letter);
    EXPECT_TRUE(pdf.ok()) << pdf.status().ToString();
    if (!pdf.ok()) return "";
    const char* keep = std::getenv("DAICHO_LETTERS");  // a folder to look at them in
    const std::string file = (keep == nullptr ? dir_ : std::string(keep)) + "/" + letter.title + ".pdf";
    std::ofstream(file, std::ios::binary) << *pdf;
    EXPECT_EQ(std::system(("pdftotext -raw " + file + " " + dir_ + "/letter.txt").c_str()), 0);
    std::ifstream in(dir_ + "/letter.txt", std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    for (const std::string_view space : {" ", "\n", "\f", "　"}) {
      for (std::size_t at = 0; (at = text.find(space, at)) != std::string::npos;) text.erase(at, space.size());
    }
    return text;
  }

  static void ExpectAll(const std::string& text, const std::vector<std::string>& phrases) {
    for (const std::string& phrase : phrases) EXPECT_NE(text.find(phrase), std::string::npos) << phrase << "\n" << text;
  }

  static Version VersionOf(std::uint32_t number, v1::NoticeKind kind, v1::ChangeReason reason, const std::string& on,
                           const std::string& address) {
    Version version;
    version.position = Position(100 + number);
    version.admitted_at = TimeMicros(1'790'000'000'000'000 + number * 86'400'000'000LL);
    version.issuer = "102016";
    v1::UpdateNotice& notice = version.notice;
    notice.set_resident_code("24727059608");
    notice.set_update_number(number);
    notice.set_kind(kind);
    notice.set_reason(reason);
    notice.set_changed_on(on);
    v1::ResidentRecord& record = *notice.mutable_record();
    record.set_name("渡邊\U000E010B　花子");
    record.set_kana("わたなべ　はなこ");
    record.set_kana_certified(true);
    record.mutable_former_name()->set_name("髙﨑");
    record.mutable_former_name()->set_kana("たかさき");
    record.set_birth("1988-02-29");
    record.set_sex(v1::SEX_FEMALE);
    record.mutable_address()->set_municipality("102016");
    record.mutable_address()->set_town("0012000");
    record.mutable_address()->set_postal_code("3710026");
    record.mutable_address()->set_text(address);
    record.set_individual_number("123456789018");
    return version;
  }

  DisclosedRecord Disclosed() {
    DisclosedRecord out;
    out.reference = "開-2026-0017";
    out.received_on = {2026, 11, 2};
    out.evaluated_at = Position(5120);
    out.evaluated_time = TimeMicros(1'795'640'400'000'000);
    out.history = {
        VersionOf(1, v1::NOTICE_KIND_ENTRY, v1::CHANGE_REASON_MOVE_IN, "2019-05-01", "大手町一丁目１番１号"),
        VersionOf(2, v1::NOTICE_KIND_AMEND, v1::CHANGE_REASON_ADDRESS_CHANGE, "2024-04-10", "本町二丁目３番４号")};
    out.current = out.history.back();
    out.use = true;
    out.provisions = {{Position(4001), TimeMicros(1'794'000'000'000'000), false, "群馬県教育委員会", "30-15-2/6-3", "6-3-1",
                       {"name", "birth", "address"}, false},
                      {Position(4300), TimeMicros(1'795'000'000'000'000), true, "群馬県総務部税務課", "30-15-1/5-tax",
                       "5-tax-1", {"name", "sex", "address"}, true}};
    out.evidence = true;
    return out;
  }

  std::string dir_;
  LetterHead head_;
};

TEST_F(DisclosureLettersTest, TheDisclosureShowsTheRecordItsHistoryAndEveryProvision) {
  const std::string text = Extracted(DisclosureLetter(head_, Disclosed()));
  ExpectAll(text, {"市第123号令和8年11月26日", "渡邊\U000E010B花子様", "群馬県知事", "本人確認情報開示決定通知書",
                   "令和8年11月2日付けで受理した", "住民基本台帳法第30条の32第2項", "開-2026-0017", "別紙3のとおり",
                   "担当群馬県総務部市町村課行政係"});
  // Every item of the record, in the annex of what holds now.
  ExpectAll(text, {"住民票コード24727059608",
                   "氏名渡邊\U000E010B花子",
                   "氏名の振り仮名わたなべはなこ",
                   "振り仮名の公証公証済みのもの",
                   "旧氏髙﨑",
                   "旧氏の振り仮名たかさき",
                   "通称（記録なし）",
                   "ローマ字氏名（記録なし）",
                   "生年月日昭和63年2月29日",
                   "性別女",
                   "住所群馬県前橋市本町二丁目３番４号",
                   "郵便番号3710026",
                   "市町村コード102016",
                   "大字・字コード0012000",
                   "個人番号123456789018",
                   "外字の数0",
                   "状態住民",
                   "異動区分修正",
                   "異動事由転居",
                   "異動年月日令和6年4月10日",
                   "更新順番号2",
                   "通知した市町村前橋市",
                   "台帳の記録番号102"});
  ExpectAll(text, {"異動の履歴", "更新順番号1転入等（記載）令和元年5月1日", "更新順番号2転居（修正）令和6年4月10日",
                   "住所群馬県前橋市本町二丁目３番４号変更"});
  ExpectAll(text, {"群馬県教育委員会", "住民基本台帳法第30条の15第2項（別表第6の3の項）", "氏名、生年月日、住所",
                   "移転", "（別表第5地方税に関する項）", "利用停止中であるが、法令の定めにより提供"});
}

TEST_F(DisclosureLettersTest, ASingleUseIsToldAndNoUseToo) {
  DisclosedRecord facts = Disclosed();
  facts.current.reset();
  facts.history.clear();
  facts.provisions.clear();
  const std::string text = Extracted(DisclosureLetter(head_, facts));
  ExpectAll(text, {"提供及び移転の状況別紙1のとおり", "提供及び移転の記録は、ありません。"});
  EXPECT_EQ(text.find("別紙2"), std::string::npos);
}

TEST_F(DisclosureLettersTest, AnExternalGlyphIsDrawnAndAForeignVariantNeedsAnImage) {
  DisclosedRecord facts = Disclosed();
  facts.history.clear();
  facts.current->notice.mutable_record()->set_name("渡邊\U000E0100　〓子");
  v1::ExternalGlyph& glyph = *facts.current->notice.mutable_record()->add_external_glyphs();
  glyph.set_field("name");
  glyph.set_index(4);
  glyph.set_image_png("not a png");
  Letter letter = DisclosureLetter(head_, facts);
  EXPECT_EQ(letter.annexes[0].tables[0].rows[1][1], "渡邊\U000E0100　\U000F0000子");
  ASSERT_EQ(letter.images.size(), 1U);
  letter.images[0].clear();
  EXPECT_NE(LetterPdf(letter).status().message().find("外字の画像1"), std::string::npos);
  // The officer gives an image for the variant that the font has not.
  head_.glyphs["邊\U000E0100"] = "another image";
  letter = DisclosureLetter(head_, facts);
  EXPECT_EQ(letter.annexes[0].tables[0].rows[1][1], "渡\U000F0001　\U000F0000子");
  EXPECT_EQ(letter.images[1], "another image");
}

TEST_F(DisclosureLettersTest, WhatIsNotHeldIsSaidAndHowToAppeal) {
  const NotDisclosed facts{
      "開-1", {2026, 11, 2}, Position(9), TimeMicros(1'795'640'400'000'000), "資格を証する書類の提示がないため"};
  ExpectAll(Extracted(NotHeldLetter(head_, facts)), {"本人確認情報不存在通知書", "住民基本台帳法第30条の32の規定により",
                                                     "存在しない", "台帳の記録番号9まで", "審査請求"});
  ExpectAll(Extracted(RefusalLetter(head_, facts)),
            {"本人確認情報不開示決定通知書", "資格を証する書類の提示がないため", "審査請求"});
}

TEST_F(DisclosureLettersTest, AnExtensionNamesTheOldDayTheNewDayAndTheReason) {
  ExpectAll(Extracted(ExtensionLetter(
                head_, {"開-1", {2026, 11, 2}, {2026, 12, 1}, {2026, 12, 15}, "記録の確認に日数を要するため"})),
            {"住民基本台帳法第30条の33第1項", "同条第2項", "延長前の開示の期限令和8年12月1日",
             "延長後の開示の期限令和8年12月15日", "記録の確認に日数を要するため"});
}

TEST_F(DisclosureLettersTest, ACorrectionTellsEachOfThreeFindings) {
  CorrectionAnswer facts;
  facts.reference = "訂-1";
  facts.received_on = {2026, 11, 10};
  v1::CorrectionItem& item = facts.items.emplace_back();
  item.set_kind(v1::CORRECTION_KIND_CORRECT);
  item.set_field("birth");
  item.set_claimed("1988-03-01");
  facts.investigated_on = {2026, 11, 20};
  facts.municipality = "102016";
  facts.reported_on = {2026, 11, 21};
  facts.finding = v1::CORRECTION_FINDING_NO_ERROR;
  ExpectAll(Extracted(CorrectionLetter(head_, facts)),
            {"住民基本台帳法第30条の35", "いずれにも誤りは認められませんでした", "訂正生年月日昭和63年3月1日"});
  facts.finding = v1::CORRECTION_FINDING_COPY_ERROR;
  ExpectAll(Extracted(CorrectionLetter(head_, facts)),
            {"住民票の記載に誤りはありませんが", "前橋市長に本人確認情報の通知を改めて求め"});
  facts.finding = v1::CORRECTION_FINDING_REGISTER_ERROR;
  ExpectAll(Extracted(CorrectionLetter(head_, facts)),
            {"住民票に誤記又は記載漏れがある", "第12条の5", "令和8年11月21日に前橋市長に通報しました"});

  ExpectAll(Extracted(MunicipalityReportLetter(head_, {"訂-1", "102016", "24727059608", "渡邊\U000E010B　花子",
                                                       "1988-02-29", facts.items, "戸籍謄本による確認"})),
            {"前橋市長様", "住民基本台帳法第12条の5の規定により通報します", "24727059608", "誤記等と認められる内容",
             "戸籍謄本による確認"});
}

TEST_F(DisclosureLettersTest, ASuspensionSaysWhatItHoldsUpAndWhatItDoesNot) {
  SuspensionAnswer facts;
  facts.reference = "停-1";
  facts.received_on = {2026, 11, 10};
  facts.result = v1::SUSPENSION_RESULT_SUSPENDED;
  facts.valid_from = {2026, 11, 26};
  ExpectAll(Extracted(SuspensionLetter(head_, facts)),
            {"個人情報の保護に関する法律第101条第1項", "全ての提供及び移転", "令和8年11月26日から解除するまで",
             "他の法令の定めにより提供しなければならないものを除きます"});
  facts.bases = {"30-15-1/5-28"};
  facts.valid_until = Date{2027, 3, 31};
  ExpectAll(Extracted(SuspensionLetter(head_, facts)), {"別表第5の28の項", "令和9年3月31日まで"});
  facts.result = v1::SUSPENSION_RESULT_REFUSED;
  facts.reason = "適正に利用されているため";
  ExpectAll(Extracted(SuspensionLetter(head_, facts)), {"第101条第2項", "適正に利用されているため", "審査請求"});
  facts.result = v1::SUSPENSION_RESULT_LIFTED;
  ExpectAll(Extracted(SuspensionLetter(head_, facts)), {"利用停止解除通知書", "解除の日令和8年11月26日"});
}

TEST(Basis, IsToldAsTheLawIsCited) {
  for (const auto& [code, text] : {std::pair{"30-7", "住民基本台帳法第30条の7"},
                                   {"30-15-2/6-3", "住民基本台帳法第30条の15第2項（別表第6の3の項）"},
                                   {"30-15-2/o-1", "住民基本台帳法第30条の15第2項（条例で定める事務1）"},
                                   {"30-15-1-3", "住民基本台帳法第30条の15第1項第3号"},
                                   {"30-13-1", "住民基本台帳法第30条の13第1項"},
                                   {"foreign", "foreign"},
                                   {"", ""}}) {
    EXPECT_EQ(BasisText(code), text);
  }
  EXPECT_EQ(FieldText("kana"), "氏名の振り仮名");
  EXPECT_EQ(FieldText("unheard_of"), "unheard_of");
}

}  // namespace
}  // namespace daicho
