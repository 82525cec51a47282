// The letter as its reader gets it: poppler, which is not of our making, extracts the text and draws the pages; a
// character without its glyph is refused; a long table repeats its headings.
#include "consumers/letter.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "consumers/letter_type.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

// 8 × 8 pixels, a filled diamond.
const std::string kGlyphPng = [] {
  static constexpr unsigned char bytes[] = {
      0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d, 0x49, 0x48, 0x44, 0x52,
      0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x08, 0x01, 0x00, 0x00, 0x00, 0x00, 0xec, 0x74, 0x83,
      0x26, 0x00, 0x00, 0x00, 0x14, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9c, 0x63, 0x78, 0xce, 0x70, 0x98,
      0xa1, 0x91, 0x01, 0x04, 0x1a, 0x81, 0xac, 0xe7, 0x00, 0x22, 0xc0, 0x04, 0x57, 0x43, 0xc9, 0xf4,
      0x54, 0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82,
  };
  return std::string(reinterpret_cast<const char*>(bytes), sizeof bytes);
}();

class LetterTest : public ::testing::Test {
 protected:
  LetterTest() {
    std::string name = (fs::temp_directory_path() / "daicho-letter-XXXXXX").string();
    dir_ = mkdtemp(name.data());
    letter_.number = "市第123号";
    letter_.date = "令和8年11月26日";
    letter_.addressee = {"前橋市大手町一丁目１番１号", "群馬　花子　様"};
    letter_.sender = {"群馬県知事", "（総務部市町村課）"};
    letter_.title = "本人確認情報開示決定通知書";
    letter_.paragraphs = {
        "令和8年11月2日付けで請求のありました自己に係る都道府県知事保存本人確認情報について、"
        "住民基本台帳法第30条の32第2項の規定により、下記のとおり開示することを決定しましたので通知します。"};
    letter_.items = {{"開示する本人確認情報", "別紙１のとおり"}, {"開示の方法", "書面の交付"}};
    letter_.contact = {"担当　群馬県総務部市町村課行政係"};
    letter_.made_at = TimeMicros(1'795'000'000'000'000);
  }
  ~LetterTest() override { fs::remove_all(dir_); }

  // What a reader's program finds in the PDF, without the spaces by which it shows the layout.
  std::string Extracted() {
    const auto pdf = LetterPdf(letter_);
    EXPECT_TRUE(pdf.ok()) << pdf.status().ToString();
    if (!pdf.ok()) return "";
    std::ofstream(dir_ + "/letter.pdf", std::ios::binary) << *pdf;
    EXPECT_EQ(std::system(("pdftotext -raw " + dir_ + "/letter.pdf " + dir_ + "/letter.txt").c_str()), 0);
    std::ifstream in(dir_ + "/letter.txt", std::ios::binary);
    return Packed({std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()});
  }

  static std::string Packed(std::string text) {
    for (const std::string_view space : {" ", "\n", "\f", "　"}) {
      for (std::size_t at = 0; (at = text.find(space, at)) != std::string::npos;) text.erase(at, space.size());
    }
    return text;
  }

  static std::size_t Count(const std::string& text, const std::string& what) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++count;
    return count;
  }

  std::string dir_;
  Letter letter_;
};

TEST_F(LetterTest, SaysWhatWentIntoIt) {
  letter_.annexes = {
      {"開示する本人確認情報", {"令和8年11月26日現在"}, {{"", {1, 3}, {"項目", "内容"}, {{"氏名", "群馬　花子"}}}}}};
  const std::string text = Extracted();
  EXPECT_EQ(text.find("市第123号令和8年11月26日前橋市大手町一丁目１番１号群馬花子様群馬県知事（総務部市町村課）"), 0U)
      << text;
  EXPECT_NE(text.find(Packed(letter_.title + letter_.paragraphs[0] + "記")), std::string::npos) << text;
  EXPECT_NE(text.find("１開示する本人確認情報別紙１のとおり２開示の方法書面の交付"), std::string::npos) << text;
  EXPECT_NE(text.find("別紙1開示する本人確認情報令和8年11月26日現在項目内容氏名群馬花子"), std::string::npos) << text;
  EXPECT_NE(text.find("1/2"), std::string::npos) << text;
  EXPECT_NE(text.find("2/2"), std::string::npos) << text;
}

TEST_F(LetterTest, IsTheSameBytesForTheSameLetter) {
  const auto once = LetterPdf(letter_);
  const auto again = LetterPdf(letter_);
  ASSERT_TRUE(once.ok() && again.ok());
  EXPECT_EQ(*once, *again);
}

TEST_F(LetterTest, KeepsVariantsAndRareCharactersThroughToTheText) {
  for (const char* name : {"葛\U000E0102飾　太郎", "渡邊\U000E010B　𠮷子", "髙﨑　塚", "辻\U000E0102　神"}) {
    letter_.addressee = {name};
    EXPECT_NE(Extracted().find(Packed(name)), std::string::npos) << name;
  }
}

TEST_F(LetterTest, RefusesWhatTheFontCannotDrawAndSaysWhere) {
  const auto refused = [&] {
    const auto pdf = LetterPdf(letter_);
    EXPECT_EQ(pdf.status().code(), Code::kInvalid);
    return pdf.status().message();
  };
  letter_.addressee = {"葛\U000E0100飾　太郎"};  // Adobe-Japan1's: the font would draw the base character
  EXPECT_EQ(refused(), "宛名: U+845B U+E0100の字形が書体にないため印字できません");
  letter_.addressee = {"\U0002B820"};
  EXPECT_EQ(refused(), "宛名: U+2B820の字形が書体にないため印字できません");
  letter_.addressee = {"あ\xff"};
  EXPECT_EQ(refused(), "宛名: 文字列がUTF-8ではありません");
  letter_.addressee = {"tab\t"};
  EXPECT_EQ(refused(), "宛名: U+0009の字形が書体にないため印字できません");
  letter_.addressee.clear();
  letter_.annexes = {{"題", {}, {{"", {1, 1}, {}, {{"ア", "イ"}, {"ウ", "㋿"}}}}}};
  EXPECT_EQ(refused(), "別紙1 表1 2行2列: U+32FFの字形が書体にないため印字できません");
  letter_.annexes = {{"題", {}, {{"", {1, 1}, {}, {{"ア"}}}}}};
  EXPECT_EQ(refused(), "別紙1 表1: 1行の列数が幅の数と違います");
}

TEST_F(LetterTest, ContinuesATableUnderItsHeadings) {
  LetterTable table{"提供の状況", {1, 2}, {"日付", "提供先"}, {}};
  for (int row = 0; row < 100; ++row) table.rows.push_back({std::to_string(row), "第" + std::to_string(row) + "番"});
  letter_.annexes = {{"別紙", {}, {table}}};
  const std::string text = Extracted();
  EXPECT_EQ(Count(text, "日付提供先"), 4U);
  EXPECT_EQ(Count(text, "提供の状況（続き）"), 3U);
  for (int row = 0; row < 100; ++row) {
    EXPECT_EQ(Count(text, "第" + std::to_string(row) + "番"), 1U) << row;
  }
}

TEST_F(LetterTest, SplitsACellThatIsLongerThanAPage) {
  std::string cell;
  for (int line = 0; line < 150; ++line) cell += "行" + std::to_string(line) + "終\n";
  letter_.annexes = {{"別紙", {}, {{"", {1, 1}, {"見出し", "内容"}, {{"長い", cell}}}}}};
  const std::string text = Extracted();
  for (int line = 0; line < 150; ++line) EXPECT_EQ(Count(text, "行" + std::to_string(line) + "終"), 1U) << line;
}

TEST_F(LetterTest, DrawsAnImageWhereACharacterIsOutsideEverySet) {
  const auto ink = [&] {
    EXPECT_NE(Extracted(), "");
    EXPECT_EQ(std::system(("pdftoppm -r 72 -gray -singlefile " + dir_ + "/letter.pdf " + dir_ + "/page").c_str()), 0);
    std::ifstream in(dir_ + "/page.pgm", std::ios::binary);
    const std::string pixels((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    return std::ranges::count_if(pixels, [](char pixel) { return static_cast<unsigned char>(pixel) < 64; });
  };
  letter_.addressee = {"群馬　子"};
  const auto without = ink();
  letter_.addressee = {"群馬" + letter_.StandIn(kGlyphPng) + "子"};
  EXPECT_GT(ink(), without + 20);
  EXPECT_NE(Extracted().find("群馬子"), std::string::npos);
  letter_.images[0].resize(40);
  EXPECT_EQ(LetterPdf(letter_).status().message(), "外字の画像1: PNGとして読めません");
  letter_.images[0] = "GIF89a";
  EXPECT_EQ(LetterPdf(letter_).status().message(), "外字の画像1: 一辺1024画素までのPNGではありません");
  letter_.images.clear();
  EXPECT_EQ(LetterPdf(letter_).status().message(), "宛名: 外字の画像がありません");
}

TEST_F(LetterTest, NeedsItsFont) {
  EXPECT_EQ(LetterPdf(letter_, dir_ + "/none.ttf").status().code(), Code::kUnavailable);
  std::ofstream(dir_ + "/bad.ttf") << "not a font";
  EXPECT_EQ(LetterPdf(letter_, dir_ + "/bad.ttf").status().code(), Code::kUnavailable);
}

class TypeTest : public ::testing::Test {
 protected:
  TypeTest() : face_(Typeface::Open(kLetterFont).value()) {}

  std::vector<std::uint32_t> Glyphs(const std::string& text) {
    std::vector<std::uint32_t> out;
    auto set = face_->Set(text, 0);
    EXPECT_TRUE(set.ok()) << set.status().ToString();
    if (!set.ok()) return out;
    for (const GlyphCluster& cluster : *set) {
      for (const PlacedGlyph& glyph : cluster.glyphs) out.push_back(glyph.id);
    }
    return out;
  }
  std::vector<std::string> Broken(const std::string& text, double width) {
    auto set = face_->Set(text, 0);
    EXPECT_TRUE(set.ok());
    std::vector<std::string> out;
    for (const GlyphLine line : BreakLines(*set, width)) {
      EXPECT_LE(WidthOf(line), width + 1e-6);
      out.emplace_back();
      for (const GlyphCluster& cluster : line) out.back() += cluster.text;
    }
    return out;
  }

  std::unique_ptr<Typeface> face_;
};

// Of each a base and two registered variants (Moji_Joho); one of the variants may be the base's own shape.
TEST_F(TypeTest, AVariantIsAnotherGlyphThanItsBase) {
  for (const auto& [base, first, second] :
       {std::array{"葛", "\U000E0102", "\U000E0104"}, std::array{"邊", "\U000E010B", "\U000E0109"},
        std::array{"邉", "\U000E0117", "\U000E0110"}}) {
    std::set<std::vector<std::uint32_t>> seen;
    for (const std::string& text : {std::string(base), std::string(base) + first, std::string(base) + second}) {
      const std::vector<std::uint32_t> glyphs = Glyphs(text);
      EXPECT_EQ(glyphs.size(), 1U);
      seen.insert(glyphs);
    }
    EXPECT_EQ(seen.size(), 3U) << base;
  }
}

TEST_F(TypeTest, NoLineBeginsWithAMarkThatMayNotBeginOne) {
  EXPECT_EQ(Broken("あいうえお。かきくけこ", 5), (std::vector<std::string>{"あいうえ", "お。かきく", "けこ"}));
  EXPECT_EQ(Broken("あいうえ「かき」", 5), (std::vector<std::string>{"あいうえ", "「かき」"}));
  EXPECT_EQ(Broken("キャッシュカード", 3), (std::vector<std::string>{"キャッ", "シュ", "カード"}));
}

TEST_F(TypeTest, WhatHasNoBreakIsCutWhereTheLineIsFull) {
  for (const std::string& line : Broken(std::string(60, 'a'), 5)) EXPECT_FALSE(line.empty());
  EXPECT_EQ(Broken("", 5), std::vector<std::string>{""});
  EXPECT_EQ(Broken("あ\n\nい", 5), (std::vector<std::string>{"あ", "", "い"}));
}

}  // namespace
}  // namespace daicho
