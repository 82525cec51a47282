// The matching definition: its steps by example, and what it finds and what it does not, on spellings that come
// from outside the program (matching/classes.tsv). The table that Recall prints is the one in
// projections/README.md.
#include "projections/matching.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "consumers/generate/tables.h"
#include "events/codes.h"
#include "events/utf8.h"
#include "projections/variants.h"

namespace daicho {
namespace {

const Matching& Definition() { return *Matching::Shipped(); }

bool Finds(std::string_view typed, std::string_view recorded, v1::NameMatch how = v1::NAME_MATCH_PREFIX) {
  const auto query = Definition().ParseName(typed);
  return query.ok() && Matches(*query, how, Definition().FoldName(recorded));
}

bool FindsKana(std::string_view typed, std::string_view recorded, v1::NameMatch how = v1::NAME_MATCH_PREFIX) {
  const auto query = Definition().ParseKana(typed);
  return query.ok() && Matches(*query, how, Definition().FoldKana(recorded));
}

bool FindsAddress(std::string_view typed, std::string_view recorded, std::string_view municipality = "102016") {
  const auto query = Definition().ParseAddress(typed);
  return query.ok() && Matches(*query, municipality, Definition().FoldAddress(recorded));
}

std::vector<std::string> Split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + separator.size());
  }
}

// One byte a kana, back to katakana.
std::string Kana(std::string_view folded) {
  std::string out;
  for (const char byte : folded) AppendUtf8(out, 0x3020 + static_cast<unsigned char>(byte));
  return out;
}
std::string FoldedKana(std::string_view recorded) { return Kana(Definition().FoldKana(recorded).text); }

std::vector<std::string> Readings(std::string_view typed) {
  std::vector<std::string> readings;
  const auto query = Definition().ParseKana(typed);
  if (!query.ok()) return readings;
  for (const FoldedName& name : query->any) readings.push_back(Kana(name.text));
  return readings;
}

// ---- 氏名

TEST(Name, FoldsVariantsWidthCaseAndSelectors) {
  const FoldedName name = Definition().FoldName("渡邊\U000E0101　花子");
  EXPECT_EQ(name.First(), "渡辺");
  EXPECT_EQ(name.Second(), "花子");
  EXPECT_EQ(Definition().FoldName("髙橋").text, "高橋");
  EXPECT_EQ(Definition().FoldName("\uFA19谷").text, "神谷");  // a compatibility ideograph
  EXPECT_EQ(Definition().FoldName("Ｎｇｕｙễｎ　văn").text, "NGUYENVAN");
  EXPECT_EQ(Definition().FoldName("Łukasz Øster Straße Æsir").text, "LUKASZOSTERSTRASSEAESIR");
  EXPECT_EQ(Definition().FoldName("ｼﾞｮﾝ･ｽﾐｽ").text, "ジヨンスミス");
  EXPECT_EQ(Definition().FoldName("⾼橋").text, "高橋");  // a radical, U+2FBC
}

TEST(Name, RepeatsWhatAnIterationMarkRepeats) {
  EXPECT_EQ(Definition().FoldName("佐々木").text, "佐佐木");
  EXPECT_EQ(Definition().FoldName("みすゞ").text, "ミスズ");
  EXPECT_EQ(Definition().FoldName("々木").text, "々木");
  EXPECT_EQ(Definition().FoldAddress("境百々三番地"), "境百々3-");
  EXPECT_FALSE(Finds("々木", "佐々木", v1::NAME_MATCH_INFIX));  // documented
}

TEST(Name, WithoutASpaceIsABeginningOfTheWhole) {
  EXPECT_TRUE(Finds("渡邉", "渡辺 花子"));
  EXPECT_TRUE(Finds("渡辺花", "渡辺　花子"));
  EXPECT_FALSE(Finds("花子", "渡辺 花子"));
  EXPECT_FALSE(Finds("渡辺花子", "渡辺 花"));
  EXPECT_TRUE(Finds("渡辺花子", "渡辺 花子", v1::NAME_MATCH_WHOLE));
  EXPECT_FALSE(Finds("渡辺花", "渡辺 花子", v1::NAME_MATCH_WHOLE));
}

TEST(Name, WithASpaceIsAWholeFirstPartAndABeginningOfTheSecond) {
  EXPECT_TRUE(Finds("渡辺 花", "渡邊 花子"));
  EXPECT_FALSE(Finds("渡 花", "渡邊 花子"));
  EXPECT_TRUE(Finds(" 花", "渡邊 花子"));
  EXPECT_TRUE(Finds("　花", "渡邊 花子"));
  EXPECT_FALSE(Finds(" 子", "渡邊 花子"));
  EXPECT_TRUE(Finds("渡辺 ", "渡邊 花子"));
  EXPECT_FALSE(Finds("渡 ", "渡邊 花子"));
  EXPECT_FALSE(Finds("渡辺 花", "渡邊 花子", v1::NAME_MATCH_WHOLE));
  EXPECT_TRUE(Finds("渡辺 花子", "渡邊 花子", v1::NAME_MATCH_WHOLE));
  EXPECT_TRUE(Finds("SMITH JOHN P", "SMITH JOHN PAUL"));
}

TEST(Name, InfixStaysWithinOnePart) {
  EXPECT_TRUE(Finds("川", "長谷川 花子", v1::NAME_MATCH_INFIX));
  EXPECT_TRUE(Finds("子", "長谷川 花子", v1::NAME_MATCH_INFIX));
  EXPECT_FALSE(Finds("川花", "長谷川 花子", v1::NAME_MATCH_INFIX));
  EXPECT_TRUE(Finds("長谷川 子", "長谷川 花子", v1::NAME_MATCH_INFIX));
  EXPECT_FALSE(Finds("谷川 子", "長谷川 花子", v1::NAME_MATCH_INFIX));
}

TEST(Name, ARecordWithoutASpaceMayBeDividedAnywhere) {
  EXPECT_TRUE(Finds("渡辺 花", "渡辺花子"));
  EXPECT_TRUE(Finds("渡 辺花", "渡辺花子"));
  EXPECT_FALSE(Finds(" 花", "渡辺花子"));
  EXPECT_FALSE(Finds("渡辺 子", "渡辺花子"));
  EXPECT_TRUE(Finds("渡辺 子", "渡辺花子", v1::NAME_MATCH_INFIX));
}

TEST(Name, EveryBeginningOfANameFindsIt) {
  for (const std::string recorded : {"渡邊 花子", "佐々木　みすゞ", "鬼が島 ガブリエル",
                                     "Nguyễn Văn Ấnh", "ジョージ・ヴァン", "Strauß Æsir"}) {
    std::string typed;
    for (std::string_view rest = recorded; !rest.empty();) {
      AppendUtf8(typed, TakeCodePoint(rest));
      EXPECT_TRUE(Finds(typed, recorded)) << typed << " / " << recorded;
    }
  }
}

TEST(Name, RefusesWhatAsksForNothing) {
  for (const char* typed : {"", " ", "　", "・", "-", "山\n田", "\xFF", "山\u200B田", "\U000E0101"}) {
    EXPECT_EQ(Definition().ParseName(typed).status().code(), Code::kInvalid) << typed;
  }
  EXPECT_EQ(Definition().ParseName(std::string(201, 'A')).status().code(), Code::kInvalid);
  EXPECT_TRUE(Definition().ParseName(std::string(200, 'A')).ok());
}

// ---- 振り仮名

TEST(Kana, FoldsToOneByteAKana) {
  EXPECT_EQ(Definition().FoldKana("ア").text, "\x82");
  EXPECT_EQ(Definition().FoldKana("ﾊﾟｰ").text, Definition().FoldKana("は").text);
  for (char32_t c = 0x3041; c <= 0x30FE; ++c) {
    if (Between(c, 0x3097, 0x309C) || c == 0x309F) continue;  // no reading holds them
    std::string letter;
    AppendUtf8(letter, c);
    EXPECT_LE(Definition().FoldKana("ア" + letter).text.size(), 2u);
  }
}

TEST(Kana, DropsVoicingAndWritesLargeLetters) {
  EXPECT_EQ(FoldedKana("やまざき"), "ヤマサキ");
  EXPECT_EQ(FoldedKana("ハッピ"), "ハツヒ");
  EXPECT_EQ(FoldedKana("ヰヱヲ"), "イエオ");
  EXPECT_EQ(FoldedKana("ヴァレリー"), "ハレリ");
  EXPECT_EQ(FoldedKana("ヴィヴヴェヴォヴュ"), "ヒフヘホヒユ");
  EXPECT_EQ(FoldedKana("ヷヸヹヺ"), "ハヒヘホ");
  EXPECT_EQ(FoldedKana("ｶﾞﾊﾟｳﾞｧ"), "カハハ");
  EXPECT_EQ(FoldedKana("みすゞ"), "ミスス");
  EXPECT_EQ(FoldedKana("ヽ"), "");
}

TEST(Kana, WritesLongOAsO) {
  EXPECT_EQ(FoldedKana("コウノ"), "コオノ");
  EXPECT_EQ(FoldedKana("ショウイチ"), "シヨオイチ");
  EXPECT_EQ(FoldedKana("コーノ"), "コノ");
  // Not across the space.
  EXPECT_EQ(FoldedKana("サト ウメ"), "サトウメ");
  EXPECT_EQ(Definition().FoldKana("サト ウメ").first, 2u);
}

TEST(Kana, ATypedReadingMayMeanSeveral) {
  using Expected = std::vector<std::string>;
  EXPECT_EQ(Readings("ヤマダ "), (Expected{"ヤマタ"}));
  EXPECT_EQ(Readings("ミズキ"), (Expected{"ミスキ", "ミツキ"}));
  EXPECT_EQ(Readings("フヂ"), (Expected{"フチ", "フシ"}));
  EXPECT_EQ(Readings("コーノ"), (Expected{"コノ", "コオノ"}));
  EXPECT_EQ(Readings("カハ ハナ"), (Expected{"カハハナ", "カワハナ"}));
  EXPECT_EQ(Readings("ヴ"), (Expected{"フ", "ハ", "ヒ", "ヘ", "ホ"}));
  EXPECT_EQ(Readings("サトウメ"), (Expected{"サトオメ", "サトウメ"}));
  EXPECT_EQ(Readings("サトウ メ"), (Expected{"サトオメ"}));
  EXPECT_EQ(Readings("ジズジズジ").size(), kReadingsMax);
  EXPECT_EQ(Readings("ジズジズジ")[0], "シスシスシ");
}

TEST(Kana, RefusesWhatNoReadingHolds) {
  for (const char* typed : {"", "　", "ー", "渡辺", "ABC", "ア1", "ア（イ）", "\xE3\x81"}) {
    EXPECT_EQ(Definition().ParseKana(typed).status().code(), Code::kInvalid) << typed;
  }
}

TEST(Kana, ADivisionThatIsGuessedMustBeTheRecords) {
  EXPECT_TRUE(FindsKana("さとうめこ", "サト ウメコ"));
  EXPECT_TRUE(FindsKana("さとうめこ", "サトウ メコ"));
  EXPECT_FALSE(FindsKana("ヴァレリー", "フアレリ"));
  EXPECT_TRUE(FindsKana("エヴアンヌ", "エヴ アンヌ"));
}

// Whatever was typed of a reading up to some letter finds it, with and without the space.
TEST(Kana, EveryBeginningOfAReadingFindsIt) {
  for (const std::string recorded : {"ヴァレリー コウノ", "サトウ ウメコ", "みすゞ ヂョウジ",
                                     "オオノ ウタ", "コオロギ ユウ", "ショウヅ ヅウノスケ", "ハハキギ ワハハ", "エヴ アンヌ"}) {
    std::string typed;
    std::string close;
    for (std::string_view rest = recorded; !rest.empty();) {
      const char32_t c = TakeCodePoint(rest);
      AppendUtf8(typed, c);
      if (c != U' ') AppendUtf8(close, c);
      EXPECT_TRUE(FindsKana(typed, recorded)) << typed << " / " << recorded;
      EXPECT_TRUE(FindsKana(close, recorded)) << close << " / " << recorded;
    }
  }
}

// ---- 生年月日

TEST(Birth, TakesWholeDatesAndPartsOfThem) {
  const std::map<std::string, LenientDate> expected = {
      {"1988-02-29", {1988, 2, 29}}, {"1988年2月29日", {1988, 2, 29}}, {"昭和63年2月29日", {1988, 2, 29}},
      {"S63.2.29", {1988, 2, 29}},   {"19880229", {1988, 2, 29}},      {"１９８８／２／２９", {1988, 2, 29}},
      {"1988", {1988, 0, 0}},        {"1988年", {1988, 0, 0}},         {"1988-02", {1988, 2, 0}},
      {"1988年2月", {1988, 2, 0}},   {"昭和63年", {1988, 0, 0}},       {"昭和63年2月", {1988, 2, 0}},
      {"S63", {1988, 0, 0}},         {"S63.2", {1988, 2, 0}},          {"㍼63年2月", {1988, 2, 0}},
      {"1988-02-??", {1988, 2, 0}},  {"1988-??-??", {1988, 0, 0}},     {"平成元年", {1989, 0, 0}},
      {"昭和64年1月", {1989, 1, 0}}, {"1911-02-29", {1911, 2, 29}},    {"明治44年2月29日", {1911, 2, 29}},
      {"1911/2/29", {1911, 2, 29}},  {"西暦1988年2月", {1988, 2, 0}},  {"令和8年11月23日", {2026, 11, 23}}};
  for (const auto& [typed, date] : expected) {
    const auto query = Definition().ParseBirth(typed);
    ASSERT_TRUE(query.ok()) << typed;
    EXPECT_EQ(query->date, date) << typed;
    EXPECT_FALSE(query->unknown) << typed;
  }
  for (const char* typed : {"不詳", "生年月日不詳", "????-??-??", "　不詳　", "？？？？－？？－？？"}) {
    const auto query = Definition().ParseBirth(typed);
    ASSERT_TRUE(query.ok()) << typed;
    EXPECT_TRUE(query->unknown) << typed;
  }
}

TEST(Birth, RefusesOtherTexts) {
  for (const char* typed :
       {"", "88", "1988-13", "1988-02-32", "1799", "17990101", "昭和65年", "昭和64年2月", "平成31年5月1日", "明治5年",
        "1988-??-01", "1988年2", "1988/2月", "1988-2-", "昭和", "S63.2.29日", "198802", "生年"}) {
    EXPECT_EQ(Definition().ParseBirth(typed).status().code(), Code::kInvalid) << typed;
  }
}

TEST(Birth, WhatIsUnknownInTheRecordMatchesWhatIsAsked) {
  const auto finds = [](std::string_view typed, LenientDate birth) {
    return Matches(*Definition().ParseBirth(typed), birth);
  };
  EXPECT_TRUE(finds("1988-02-29", {1988, 2, 29}));
  EXPECT_FALSE(finds("1988-02-28", {1988, 2, 29}));
  EXPECT_TRUE(finds("1988-02-29", {1988, 2, 0}));
  EXPECT_TRUE(finds("1988-02-29", {1988, 0, 0}));
  EXPECT_FALSE(finds("1988-02-29", {1987, 0, 0}));
  EXPECT_TRUE(finds("1988-02-29", {0, 0, 0}));
  EXPECT_TRUE(finds("昭和63年", {1988, 2, 29}));
  EXPECT_TRUE(finds("不詳", {0, 0, 0}));
  EXPECT_FALSE(finds("不詳", {1988, 0, 0}));
}

// ---- 住所

TEST(Address, ClosesEveryNumber) {
  EXPECT_EQ(Definition().FoldAddress("大手町一丁目１番１号　前橋中央マンション１０１号室"),
            "大手町1-1-1-|前橋中央マンシヨン101-室");
  EXPECT_FALSE(FindsAddress("大手町1-2", "大手町1-23"));
  EXPECT_FALSE(FindsAddress("大手町1-1-1-1", "大手町1-1-1"));
  EXPECT_TRUE(FindsAddress("大手町1", "大手町一丁目１番１号"));
  EXPECT_TRUE(FindsAddress("大手町", "大手町一丁目１番１号"));
  EXPECT_TRUE(FindsAddress("大", "大手町一丁目１番１号"));
}

TEST(Address, ReadsKanjiNumbersOnlyWhereNumbersStand) {
  const std::map<std::string, std::string> expected = {
      {"三夜沢町10番地", "三夜沢町10-"},
      {"八幡町五番地", "八幡町5-"},
      {"千代田町二丁目三番四号", "千代田町2-3-4-"},
      {"六合", "六合"},
      {"二之宮町", "二之宮町"},
      {"十文字町千二百三十四番地", "十文字町1234-"},
      {"大手町二十三ノ五", "大手町23-5-"},
      {"大手町一〇一番", "大手町101-"},
      {"三ノ丸一番", "三ノ丸1-"},
      {"大手町一－八幡", "大手町一八幡"},
      {"大手町1-八幡荘", "大手町1-八幡荘"},
      {"大手町００１", "大手町1-"},
      {"千百", "千百"}};
  for (const auto& [text, folded] : expected) EXPECT_EQ(Definition().FoldAddress(text), folded) << text;
}

TEST(Address, DropsOazaAndAzaButNotPartsOfNames) {
  EXPECT_EQ(Definition().FoldAddress("大字赤岩字北原1番地"), "赤岩北原1-");
  EXPECT_EQ(Definition().FoldAddress("十文字町1"), "十文字町1-");
  EXPECT_EQ(Definition().FoldAddress("大原町1"), "大原町1-");
  EXPECT_EQ(Definition().FoldAddress("無番地"), "無番地");
}

TEST(Address, APlaceNameInFrontMeansItsCode) {
  const auto codes = [](std::string_view typed) { return Definition().ParseAddress(typed)->municipalities; };
  const auto text = [](std::string_view typed) { return Definition().ParseAddress(typed)->text; };
  using Codes = std::vector<std::string>;
  for (const char* typed : {"前橋市大手町1-1", "群馬県前橋市大手町1-1", " 群馬県 前橋市 大手町１－１",
                            "羣馬縣前橋市大手町一ノ一"}) {
    EXPECT_EQ(codes(typed), Codes{"102016"}) << typed;
    EXPECT_EQ(text(typed), "大手町1-1-") << typed;
  }
  for (const char* typed : {"吾妻郡中之条町大字伊勢町1", "群馬県吾妻郡中之條町伊勢町1", "中之条町伊勢町1",
                            "群馬県中之条町伊勢町1"}) {
    EXPECT_EQ(codes(typed), Codes{"104213"}) << typed;
    EXPECT_EQ(text(typed), "伊勢町1-") << typed;
  }
  EXPECT_EQ(codes("髙崎市"), Codes{"102024"});
  EXPECT_EQ(text("髙崎市"), "");
  EXPECT_EQ(codes("ミドリ市"), Codes{"102121"});
  EXPECT_EQ(codes("舘林市"), Codes{"102075"});
  EXPECT_EQ(codes("澁川市"), Codes{"102083"});
  EXPECT_EQ(codes("多野郡"), (Codes{"103667", "103675"}));
  EXPECT_EQ(codes("多野郡大字万場1"), (Codes{"103667", "103675"}));
  EXPECT_EQ(codes("北群馬郡吉岡町"), Codes{"103454"});
  EXPECT_EQ(codes("甘楽郡甘楽町"), Codes{"103845"});
  EXPECT_EQ(codes("大手町1"), Codes{});
  // A 郡 and a municipality of another one do not fit: what was typed is searched as it stands.
  EXPECT_EQ(codes("多野郡草津町"), (Codes{"103667", "103675"}));
  EXPECT_EQ(text("多野郡草津町"), "草津町");
}

TEST(Address, EveryMunicipalityIsRead) {
  for (const Municipality& town : kMunicipalities) {
    const auto query = Definition().ParseAddress("群馬県" + std::string(town.name) + "大字上原1番地");
    ASSERT_TRUE(query.ok());
    EXPECT_EQ(query->municipalities, std::vector<std::string>{std::string(town.code)}) << town.name;
    EXPECT_EQ(query->text, "上原1-") << town.name;
  }
  std::size_t in_districts = 0;
  for (const District& district : kDistricts) {
    const auto query = Definition().ParseAddress(district.name);
    ASSERT_TRUE(query.ok());
    in_districts += query->municipalities.size();
    EXPECT_EQ(query->municipalities.front(), district.first);
    EXPECT_EQ(query->municipalities.back(), district.last);
  }
  EXPECT_EQ(in_districts, kMunicipalities.size() - 12);  // all but the 市
}

// 千代田町 is one of 邑楽郡's municipalities and one of 前橋市's 町.
TEST(Address, AMunicipalitysNameMayBeATowns) {
  const auto query = [](std::string_view typed) { return *Definition().ParseAddress(typed); };
  using Codes = std::vector<std::string>;
  EXPECT_EQ(query("千代田町2丁目1番1号").municipalities, Codes{});
  EXPECT_TRUE(FindsAddress("千代田町2-1-1", "千代田町二丁目1番1号"));
  EXPECT_EQ(query("千代田町").municipalities, Codes{});
  EXPECT_EQ(query("千代田町赤岩100").municipalities, Codes{"105236"});
  EXPECT_EQ(query("邑楽郡千代田町").municipalities, Codes{"105236"});
  EXPECT_EQ(query("群馬県千代田町").municipalities, Codes{"105236"});
  EXPECT_EQ(query("前橋市千代田町").municipalities, Codes{"102016"});
  EXPECT_EQ(query("前橋市千代田町").text, "千代田町");
  EXPECT_EQ(query("草津町").municipalities, Codes{"104264"});
  EXPECT_EQ(query("中之条町1091").text, "中之条町1091-");  // 大字中之条町
  EXPECT_EQ(query("中之条町大字中之条町1091").municipalities, Codes{"104213"});
}

// On some 360 real towns: no part of a name is taken for a number, and each is found with or without what stands
// before it, also where a municipality has its name.
TEST(Address, EveryTownIsFoundInEveryNotation) {
  std::size_t towns = 0;
  for (const std::string& line : Split(generate::k_towns, "\n")) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> cells = Split(line, "\t");
    const std::string& town = cells[1];
    ++towns;
    const std::string folded = Definition().FoldAddress(town);
    EXPECT_EQ(folded.find_first_of("0123456789-|"), std::string::npos) << town;
    const std::string name(FindMunicipality(cells[0])->name);
    for (const std::string recorded : {"三丁目十二番地の五", "３丁目１２番５号", "3-12-5", "三ノ十二ノ五　荘"}) {
      for (const std::string typed : {"3-12-5", "三丁目十二番五号", "3の12の5"}) {
        for (const std::string& before : {std::string(), name, "群馬県" + name}) {
          const auto query = Definition().ParseAddress(before + town + typed);
          ASSERT_TRUE(query.ok());
          EXPECT_EQ(query->municipalities.empty(), before.empty()) << before << town;
          EXPECT_TRUE(Matches(*query, cells[0], Definition().FoldAddress(town + recorded)))
              << before << town << typed << " does not find " << town << recorded;
          EXPECT_FALSE(Matches(*query, cells[0], Definition().FoldAddress(town + "3-12-51")));
          EXPECT_FALSE(Matches(*query, cells[0], Definition().FoldAddress("上" + town + recorded)));
        }
      }
    }
  }
  EXPECT_GT(towns, 300u);
}

TEST(Address, RefusesWhatAsksForNothing) {
  for (const char* typed : {"", "　", "群馬県", "大字", "-", "・", "\xFF", "大手町\n1"}) {
    EXPECT_EQ(Definition().ParseAddress(typed).status().code(), Code::kInvalid) << typed;
  }
}

// ---- the definition

TEST(Definition, IsNamedByItsNumberAndTable) {
  EXPECT_EQ(Matching::Shipped()->id(), "1");
  // A change of the table is a change of the definition: then give it the next number.
  EXPECT_EQ(VariantTable::Shipped()->digest(), "f8c3ebcda785c13f5434635a6103d998fec18debf12be498ae290c95b382172d");
}

TEST(Definition, FoldsWhateverARecordHolds) {
  std::string all;
  for (char32_t c = 1; c <= 0x3FFFF; ++c) {
    if (Between(c, 0xD800, 0xDFFF)) continue;
    AppendUtf8(all, c);
    if (all.size() < 400) continue;
    for (const std::string& folded :
         {Definition().FoldName(all).text, Definition().FoldKana(all).text, Definition().FoldAddress(all)}) {
      ASSERT_TRUE(std::none_of(folded.begin(), folded.end(),
                               [](char byte) { return static_cast<unsigned char>(byte) < 0x20; }));
    }
    ASSERT_EQ(Definition().FoldName(Definition().FoldName(all).text).text, Definition().FoldName(all).text);
    all.clear();
  }
}

// ---- what finds what

struct Row {
  std::string field, group;
  std::vector<std::string> typed, recorded, others, missed;
};

std::string Unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t open = std::min(text.find('<'), text.size());
    out += text.substr(0, open);
    text.remove_prefix(open);
    if (text.empty()) break;
    const std::size_t close = text.find('>');
    AppendUtf8(out, static_cast<char32_t>(std::stoul(std::string(text.substr(1, close - 1)), nullptr, 16)));
    text.remove_prefix(close + 1);
  }
  return out;
}

std::vector<std::string> Spellings(std::string_view cell) {
  std::vector<std::string> spellings;
  if (cell.empty()) return spellings;
  for (const std::string& part : Split(cell, " / ")) spellings.push_back(Unescape(part));
  return spellings;
}

std::vector<Row> Rows() {
  std::ifstream in(DAICHO_CLASSES);
  std::vector<Row> rows;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::vector<std::string> cells = Split(line, "\t");
    EXPECT_EQ(cells.size(), 5u) << line;
    Row row{cells[0], cells[1], {}, {}, Spellings(cells[3]), Spellings(cells[4])};
    for (const std::string& spelling : Spellings(cells[2])) {
      const bool only_typed = spelling.starts_with('?');
      row.typed.push_back(only_typed ? spelling.substr(1) : spelling);
      if (!only_typed) row.recorded.push_back(spelling);
    }
    rows.push_back(std::move(row));
  }
  return rows;
}

bool RowFinds(const Row& row, const std::string& typed, const std::string& recorded) {
  if (row.field == "name") return Finds(typed, recorded, v1::NAME_MATCH_WHOLE);
  if (row.field == "kana") return FindsKana(typed, recorded, v1::NAME_MATCH_WHOLE);
  return FindsAddress(typed, recorded);
}

struct Score {
  int classes = 0, pairs = 0, found = 0, others = 0, merged = 0, missed = 0;
};

TEST(Recall, OfSpellingsFromOutside) {
  std::map<std::string, Score> scores;
  for (const Row& row : Rows()) {
    Score& score = scores[row.field + ", " + row.group];
    ++score.classes;
    for (const std::string& typed : row.typed) {
      for (const std::string& recorded : row.recorded) {
        const bool found = RowFinds(row, typed, recorded);
        ++score.pairs;
        score.found += found;
        EXPECT_TRUE(found) << typed << " does not find " << recorded;
      }
      for (const std::string& other : row.others) {
        const bool merged = RowFinds(row, typed, other);
        ++score.others;
        score.merged += merged;
        EXPECT_FALSE(merged) << typed << " finds " << other;
      }
    }
    for (const std::string& recorded : row.recorded) {
      for (const std::string& other : row.others) {
        const bool merged = RowFinds(row, other, recorded);
        ++score.others;
        score.merged += merged;
        EXPECT_FALSE(merged) << other << " finds " << recorded;
      }
    }
    for (const std::string& missed : row.missed) {
      ++score.missed;
      EXPECT_FALSE(RowFinds(row, missed, row.recorded[0])) << missed << " is found by now: say so in the table";
    }
  }
  std::printf("| field, group | names | pairs | recall | others | false merges | missed spellings |\n");
  std::printf("| --- | --: | --: | --: | --: | --: | --: |\n");
  for (const auto& [group, score] : scores) {
    std::printf("| %s | %d | %d | %.3f | %d | %d | %d |\n", group.c_str(), score.classes, score.pairs,
                static_cast<double>(score.found) / score.pairs, score.others, score.merged, score.missed);
  }
  EXPECT_GE(scores.size(), 8u);
}

}  // namespace
}  // namespace daicho
