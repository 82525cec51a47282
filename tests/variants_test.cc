// The table of 異体字: its shape, the merges that must not be in it, and what an operator's files add or are
// refused for. The files are made by hand in the layout that is published.
#include "projections/variants.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "events/utf8.h"
#include "projections/matching.h"

namespace daicho {
namespace {

std::string Head(const VariantTable& table, std::string_view character) {
  const char32_t c = TakeCodePoint(character);
  std::string head;
  AppendUtf8(head, character.empty() ? table.Head(c) : table.Head(c, TakeCodePoint(character)));
  return head;
}
std::string Head(std::string_view character) { return Head(*VariantTable::Shipped(), character); }

bool OneClass(const VariantTable& table, std::string_view pair) {
  const char32_t a = TakeCodePoint(pair);
  const char32_t b = TakeCodePoint(pair);
  return table.Head(a) == table.Head(b);
}

TEST(ShippedTable, IsOfStars) {
  const VariantTable& table = *VariantTable::Shipped();
  std::map<char32_t, int> sizes;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    const char32_t head = table.Head(c);
    ASSERT_EQ(table.Head(head), head);
    if (head != c) ++sizes[head];
  }
  EXPECT_GT(sizes.size(), 400u);
  for (const auto& [head, others] : sizes) EXPECT_LE(others, 7);
}

TEST(ShippedTable, KnowsNewAndOldForms) {
  for (const char* pair : {"沢澤", "辺邊", "辺邉", "斎齋", "斎斉", "高髙", "崎﨑", "浜濵", "桜櫻", "広廣", "国國", "竜龍",
                           "恵惠", "真眞", "徳德", "台臺", "余餘", "予豫", "弁辨", "芸藝", "円圓", "会會", "万萬", "与與",
                           "吉𠮷", "曽曾", "塩鹽", "証證", "県縣", "鉄鐵", "蔵藏", "弥彌", "礼禮", "栄榮", "瀬瀨"}) {
    EXPECT_TRUE(OneClass(*VariantTable::Shipped(), pair)) << pair;
  }
}

TEST(ShippedTable, DoesNotMergeWhatIsAnotherName) {
  for (const char* pair :
       {"后後", "谷穀", "云雲", "斗鬥", "斗闘", "干乾", "干幹", "乾幹", "松鬆", "里裏", "余予", "台颱", "丑醜", "几幾",
        "叶葉", "才纔", "征徴", "志誌", "郁鬱", "准準", "岳獄", "朱硃", "板闆", "姜薑", "沈瀋", "系係", "制製", "面麺",
        "丰豊", "只隻", "千韆", "仆僕", "卜蔔", "了瞭", "御禦", "岩巌", "佑祐", "敦惇", "徹澈", "幸倖", "輝煇", "彬斌",
        "杉椙", "畑畠", "太大", "辺部", "未末", "荻萩", "粟栗", "藤籐", "麻磨", "鮎鯰", "浜瀕", "朗郎", "真慎", "瀬頼",
        "竜滝", "国団", "会曽", "弥祢", "徳得", "英栄", "一壱", "二弐", "三参", "十拾", "千仟", "百佰", "喜憙", "連聯"}) {
    EXPECT_FALSE(OneClass(*VariantTable::Shipped(), pair)) << pair;
  }
}

TEST(ShippedTable, FoldsASequenceByItsBase) {
  EXPECT_EQ(Head("邊\U000E0101"), "辺");
  EXPECT_EQ(Head("葛\U000E0100"), "葛");
}

// ---- what an operator supplies

class Pack : public ::testing::Test {
 protected:
  Pack() {
    std::string path = ::testing::TempDir() + "variants.XXXXXX";
    EXPECT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path + "/";
  }
  ~Pack() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, std::string_view content) {
    std::ofstream(directory_ + name, std::ios::binary) << content;
    return directory_ + name;
  }

  // With the list of mj_list_, or what is given.
  Result<std::shared_ptr<const VariantTable>> Load(std::string_view map, std::string_view list = kList) {
    return VariantTable::Load({.mj_list = File("mji.csv", list), .shrink_map = File("map.json", map), .substitutes = {}});
  }
  Result<std::shared_ptr<const VariantTable>> LoadSubstitutes(std::string_view rows) {
    return VariantTable::Load({.mj_list = {}, .shrink_map = {}, .substitutes = File("sub.csv", rows)});
  }

  // The message without the directory.
  template <typename T>
  std::string Fault(const Result<T>& result) {
    if (result.ok()) return "no fault";
    EXPECT_EQ(result.status().code(), Code::kInvalid);
    std::string message = result.status().message();
    return message.starts_with(directory_) ? message.substr(directory_.size()) : message;
  }

  static constexpr std::string_view kList =
      "図形,font,MJ文字図形名,対応するUCS,実装したUCS,実装したMoji_JohoコレクションIVS,実装したSVS,備考\r\n"
      ",,MJ000001,U+5CB8,U+37C1,,,\"岸の\n異体\"\r\n"
      ",,MJ000002,U+67F9,U+67F9,67F9_E0100,,\r\n"
      ",,MJ000003,U+908A,,908A_E0109;908A_E010A,,\r\n"
      ",,MJ000004,U+28622,U+28622,,,\r\n"
      ",,MJ000005,U+5CA9,U+5CA9,5CA9_E0100,,\r\n"
      ",,MJ000006,U+4E57,U+4E57,,,\r\n"
      ",,MJ000007,U+266B0,U+266B0,,,\r\n";
  static constexpr std::string_view kMap = R"({
    "meta": {"version": "1.2.0"},
    "content": [
      {"MJ文字図形名": "MJ000001", "辞書類等による関連字": [{"JIS X 0213": "1-20-63", "UCS": "U+5CB8"}]},
      {"MJ文字図形名": "MJ000002",
       "読み・字形による類推": [{"JIS X 0213": "1-19-33", "UCS": "U+67FF"}],
       "法務省戸籍法関連通達・通知": [{"JIS X 0213": "1-19-33", "UCS": "U+67FF", "種別": "戸籍統一文字情報 親字・正字", "ホップ数": 1}]},
      {"MJ文字図形名": "MJ000003", "法務省告示582号別表第四": [{"JIS X 0213": "1-42-53", "UCS": "U+8FBA", "表": "一", "順位": "第1順位"}]},
      {"MJ文字図形名": "MJ000004", "辞書類等による関連字": [{"UCS": "U+8FBA"}, {"UCS": "U+908A"}], "参考情報": "二つある"},
      {"MJ文字図形名": "MJ000005", "法務省戸籍法関連通達・通知": [{"UCS": "U+5DCC", "付記": "別字"}]},
      {"MJ文字図形名": "MJ000006", "読み・字形による類推": [{"UCS": "U+4E38"}]},
      {"MJ文字図形名": "MJ000007"}
    ]
  })";

  std::string directory_;
};

TEST_F(Pack, AddsSourcesWithOneCandidate) {
  const auto loaded = Load(kMap);
  ASSERT_TRUE(loaded.ok()) << loaded.status().ToString();
  const VariantTable& table = **loaded;
  EXPECT_EQ(Head(table, "㟁"), "岸");
  EXPECT_EQ(Head(table, "柹"), "柿");                  // two reasons, one candidate
  EXPECT_EQ(Head(table, "柹\U000E0100"), "柿");
  EXPECT_EQ(Head(table, "邊\U000E0109"), "辺");        // known by its selector alone
  EXPECT_EQ(Head(table, "𨘢"), "𨘢");                  // two candidates
  EXPECT_EQ(Head(table, "岩"), "岩");                  // 別字
  EXPECT_EQ(Head(table, "𦚰"), "𦚰");                  // none
  EXPECT_EQ(Head(table, "澤"), "沢");                  // what is shipped stays
}

TEST_F(Pack, DoesNotChangeWhatIsShipped) {
  const auto table = Load(kMap);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(Head(**table, "乘"), Head("乗"));
  EXPECT_EQ(Head(**table, "乗"), "乗");  // MJ000006 is 乗 and would become 丸
}

TEST_F(Pack, FollowsADirectedChainAndBreaksACircle) {
  const auto table = LoadSubstitutes(
      "UCS,代替UCS\nU+37C1,U+5CB7\nU+5CB7,U+5CB8\nU+4E07,U+5343\nU+67F9,U+67FB\nU+3403,U+3404\nU+3404,U+3403\n"
      "U+3405,U+3403\nU+9090,U+6FA4\n");
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_EQ(Head(**table, "㟁"), "岸");
  EXPECT_EQ(Head(**table, "万"), "万");  // shipped
  EXPECT_EQ(Head(**table, "\u3403"), "\u3403");
  EXPECT_EQ(Head(**table, "\u3405"), "\u3405");
  EXPECT_EQ(Head(**table, "\u9090"), "沢");  // to the head of what it becomes
  for (char32_t c = 0; c <= 0x10FFFF; ++c) ASSERT_EQ((*table)->Head((*table)->Head(c)), (*table)->Head(c));
}

TEST_F(Pack, ASubstituteComesBeforeTheShrinkMap) {
  const auto table = VariantTable::Load({.mj_list = File("mji.csv", kList),
                                         .shrink_map = File("map.json", kMap),
                                         .substitutes = File("sub.tsv", "UCS\t代替UCS\nU+28622\tU+8FBA\n"
                                                                        "908A_E0109\tU+5CB8\nU+9AD9\tU+9AD8;U+5CB8\n")});
  ASSERT_TRUE(table.ok()) << table.status().ToString();
  EXPECT_EQ(Head(**table, "𨘢"), "辺");
  EXPECT_EQ(Head(**table, "邊\U000E0109"), "岸");
  EXPECT_EQ(Head(**table, "髙"), "高");
}

TEST_F(Pack, ChangesTheDefinitionsName) {
  const auto table = Load(kMap);
  ASSERT_TRUE(table.ok());
  EXPECT_FALSE((*table)->shipped());
  const Matching matching(*table);
  EXPECT_EQ(matching.id(), "1+" + (*table)->digest().substr(0, 16));
  const auto same = Load(kMap);
  ASSERT_TRUE(same.ok());
  EXPECT_EQ((*same)->digest(), (*table)->digest());
  const auto other = LoadSubstitutes("UCS,代替UCS\nU+37C1,U+5CB8\n");
  ASSERT_TRUE(other.ok());
  EXPECT_NE((*other)->digest(), (*table)->digest());
  EXPECT_EQ(matching.FoldName("山㟁 邊\U000E0109").text, "山岸辺");
  EXPECT_EQ(Matching::Shipped()->FoldName("山㟁").text, "山㟁");
}

TEST_F(Pack, NamesFileLineAndRuleOfAFault) {
  const std::string heading = "MJ文字図形名,実装したUCS,実装したMoji_JohoコレクションIVS\n";
  EXPECT_EQ(Fault(Load(kMap, "MJ文字図形名,実装したUCS\n")),
            "mji.csv:1: 見出しに「実装したMoji_JohoコレクションIVS」の列がありません");
  EXPECT_EQ(Fault(Load(kMap, "")), "mji.csv:1: 見出しに「MJ文字図形名」の列がありません");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001,U+5CB8,\nMJ1,U+5CB8,\n")),
            "mji.csv:3: MJ文字図形名は MJ と数字6桁です");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001,U+5CB8,\nMJ000001,,\n")),
            "mji.csv:3: 同じ MJ文字図形名 が二度あります");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001,5CB8,\n")), "mji.csv:2: 実装したUCS は U+ と16進数です");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001,,5CB8_0041\n")), "mji.csv:2: IVS は 9089_E0101 の形です");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001\n")), "mji.csv:2: 列が足りません");
  EXPECT_EQ(Fault(Load(kMap, heading + "\"MJ000001,,\n")), "mji.csv:2: 引用符が閉じていません");
  EXPECT_EQ(Fault(Load(kMap, heading + "\"MJ000001\"x,,\n")), "mji.csv:2: 引用符の後に文字があります");
  EXPECT_EQ(Fault(Load(kMap, heading + "\"MJ\n000001\",,\n\"MJ000001\",,\n")),
            "mji.csv:2: MJ文字図形名は MJ と数字6桁です");
  EXPECT_EQ(Fault(Load(kMap, heading + "MJ000001,,\n\xFF\n")), "mji.csv:1: UTF-8 ではありません");
  EXPECT_EQ(Fault(Load(kMap, heading + std::string(101, ','))), "mji.csv:2: 列が多すぎます");

  EXPECT_EQ(Fault(Load("{\n\"content\": [\n}")), "map.json:3: JSON として読めません");
  EXPECT_EQ(Fault(Load("{}")), "map.json:1: 「content」の配列がありません");
  EXPECT_EQ(Fault(Load("[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]")), "map.json:1: 入れ子が深すぎます");
  EXPECT_EQ(Fault(Load("{\"content\": [\n{\"MJ文字図形名\": \"MJ999999\"}]}")),
            "map.json:2: MJ文字図形名が MJ文字情報一覧表 にありません");
  EXPECT_EQ(Fault(Load("{\"content\": [\n\n{}]}")), "map.json:3: 項目に MJ文字図形名 がありません");
  EXPECT_EQ(Fault(Load("{\"content\": [{\"MJ文字図形名\": \"岸\"}]}")),
            "map.json:1: MJ文字図形名は MJ と数字6桁です");
  EXPECT_EQ(Fault(Load("{\"content\": [{\"MJ文字図形名\": \"MJ000001\",\n\"根拠\": [{\"UCS\": \"岸\"}]}]}")),
            "map.json:2: UCS は U+ と16進数です");
  EXPECT_EQ(Fault(Load("{\"content\": [{\"MJ文字図形名\": \"MJ000001\",\n\"根拠\": [\n{\"表\": \"一\"}]}]}")),
            "map.json:3: 候補に UCS がありません");

  EXPECT_EQ(Fault(LoadSubstitutes("UCS,代替UCS\nU+110000,U+5CB8\n")),
            "sub.csv:2: UCS は U+9089 か 9089_E0101 の形です");
  EXPECT_EQ(Fault(LoadSubstitutes("UCS,代替UCS\nU+37C1,岸\n")), "sub.csv:2: 代替UCS は U+ と16進数です");
  EXPECT_EQ(Fault(VariantTable::Load({.mj_list = {}, .shrink_map = File("map.json", kMap), .substitutes = {}})),
            "MJ縮退マップと MJ文字情報一覧表は、両方を指定してください");
}

TEST_F(Pack, HasBounds) {
  std::string rows = "UCS,代替UCS\n";
  for (std::size_t i = 0; i <= kVariantRowsMax; ++i) rows += "U+37C1,U+5CB8\n";
  EXPECT_EQ(Fault(LoadSubstitutes(rows)),
            "sub.csv:" + std::to_string(kVariantRowsMax + 2) + ": 行が多すぎます");
  const std::string large = File("large.csv", "UCS,代替UCS\n");
  std::filesystem::resize_file(large, kVariantFileBytesMax + 1);
  EXPECT_EQ(Fault(VariantTable::Load({.mj_list = {}, .shrink_map = {}, .substitutes = large})),
            "large.csv:1: ファイルが大きすぎます(64 MiB まで)");
  EXPECT_EQ(VariantTable::Load({.mj_list = {}, .shrink_map = {}, .substitutes = directory_ + "none"}).status().code(),
            Code::kNotFound);
}

}  // namespace
}  // namespace daicho
