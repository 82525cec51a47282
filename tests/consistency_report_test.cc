// The report of comparisons as officials read it. Method: lines as the reconciler writes them, made by hand; what stands in the
// rows of the tables is compared with what was told. On paper the same words are found by poppler.
#include "consumers/consistency_report.h"

#include <gtest/gtest.h>

#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "tests/prefecture.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

class ConsistencyReport : public ::testing::Test {
 protected:
  void Compared(const std::string& at, const std::string& holder, const ordered_json& differences,
                const std::string& municipality = "") {
    ordered_json run = {{"run", "00"},       {"position", 9},     {"holder", holder},
                        {"method", "file"},  {"evaluated_at", 1'234}, {"holder_as_of", at},
                        {"here", 1'900'000}, {"there", 1'899'998},    {"differences", differences},
                        {"ended_at", at},    {"municipalities", ordered_json::object()}};
    if (!municipality.empty()) run["municipality"] = municipality;
    run["municipalities"][municipality.empty() ? kMaebashi : municipality] = differences;
    runs_ += run.dump() + "\n";
  }
  ordered_json& Found(std::uint64_t number, const std::string& holder, const std::string& what, const std::string& at) {
    cases_.push_back({{"case", number}, {"holder", holder}, {"class", what}, {"fields", ordered_json::array()},
                      {"found_at", at}, {"open", true}});
    return cases_.back();
  }
  void Ended(std::uint64_t number, const std::string& how, const std::string& at) {
    for (ordered_json& line : cases_) {
      if (line["case"] != number) continue;
      line["open"] = false;
      line["resolution"] = how;
      line["resolved_at"] = at;
    }
  }
  std::string Cases() const {
    std::string out;
    for (const ordered_json& line : cases_) out += line.dump() + "\n";
    return out;
  }
  std::string Html(const std::string& from, const std::string& to) {
    return ConsistencyHtml(runs_, Cases(), {ParseDate(from).value(), ParseDate(to).value(), made_at_});
  }
  // The cells of each row, joined by '|'.
  static std::string Rows(std::string html) {
    html = std::regex_replace(html, std::regex("</t[hd]><t[hd][^>]*>"), "|");
    return std::regex_replace(html, std::regex("<(/?(tr|td|th|table|h[123]|p)[^>]*|br)>"), " ");
  }
  static bool Has(const std::string& html, const std::string& row) {
    const bool found = Rows(html).find(row) != std::string::npos;
    EXPECT_TRUE(found) << row << "\nin\n" << Rows(html);
    return found;
  }

  std::string runs_;
  std::deque<ordered_json> cases_;
  TimeMicros made_at_ = ParseTimestamp("2026-11-26T10:00:00+09:00").value();
};

TEST_F(ConsistencyReport, TellsEachComparisonByClassAndGlyphsApart) {
  Compared("2026-11-02T09:30:00+09:00", "kikou", {{"field", 3}, {"missing_there", 1}, {"ancillary", 1}, {"glyph", 7}});
  Compared("2026-11-03T09:30:00+09:00", kTakasaki, ordered_json::object(), kTakasaki);
  const std::string html = Html("2026-11-01", "2026-11-30");
  Has(html, "2026-11-02 09:30|機構|写し|1234|2026-11-02 09:30|1,900,000 1,899,998|1|0|3|0|0|0|1|5|7");
  Has(html, "2026-11-03 09:30|高崎市|写し|1234|2026-11-03 09:30|1,900,000 1,899,998|0|0|0|0|0|0|0|0|0");
  Has(html, "照合|2 回（うち差異なし 1 回）");
  Has(html, "見つかった差異（延べ）|不整合 5 件、文字差 7 件");
  EXPECT_NE(html.find("aria-label=\"不整合 5 件、文字差 7 件\""), std::string::npos);
}

TEST_F(ConsistencyReport, OfAMunicipalityAllThatWasFoundAndWhatTheNewestComparisonFound) {
  Compared("2026-11-02T09:30:00+09:00", "kikou", {{"order", 4}, {"glyph", 1}});
  Compared("2026-11-03T09:30:00+09:00", "kikou", {{"order", 1}});
  Compared("2026-11-03T10:30:00+09:00", kTakasaki, {{"duplicate", 2}}, kTakasaki);
  const std::string html = Html("2026-11-01", "2026-11-30");
  Has(html, "前橋市|機構|0|0|0|5|0|0|0|5|1|1");
  Has(html, "高崎市|その市町村|0|0|0|0|2|0|0|2|0|2");
}

TEST_F(ConsistencyReport, OpenCasesStandByWhatIsToBeDoneAndTheirAge) {
  Found(11, "kikou", "field", "2026-08-01T09:00:00+09:00");
  Found(12, "kikou", "glyph", "2026-11-20T09:00:00+09:00");
  Found(13, kMaebashi, "missing_here", "2026-11-01T09:00:00+09:00")["report"] = {
      {"municipality", kMaebashi}, {"reported_on", "2026-11-01"}, {"reference", "整合00-1"}};
  Found(14, "replica", "order", "2026-11-26T09:00:00+09:00");
  const std::string html = Html("2026-11-01", "2026-11-30");
  Has(html, "未解消の案件が 4 件あります");
  Has(html, "機構へ再通知|1|0|0|1|2");
  Has(html, "市町村へ通報|0|1|0|0|1");
  Has(html, "職員が確認|1|0|0|0|1");
  Has(html, "11|機構|C|2026-08-01|機構へ再通知|なし|117");
  Has(html, "13|前橋市|B|2026-11-01|市町村へ通報|前橋市　整合00-1|25");
  Has(html, "新たに見つかった案件|不整合 2 件、文字差 1 件");
}

TEST_F(ConsistencyReport, EndedCasesStandByHowTheyEnded) {
  for (std::uint64_t number = 1; number <= 3; ++number) Found(number, "kikou", "field", "2026-10-01T09:00:00+09:00");
  Found(4, kMaebashi, "field", "2026-11-01T09:00:00+09:00");
  Compared("2026-11-12T09:00:00+09:00", "kikou", ordered_json::object());
  Ended(1, "holder_corrected", "2026-10-02T09:00:00+09:00");
  Ended(2, "holder_corrected", "2026-11-03T09:00:00+09:00");
  Ended(3, "holder_corrected", "2026-11-06T09:00:00+09:00");
  Ended(4, "new_notice", "2026-11-11T09:00:00+09:00");
  const std::string html = Html("2026-11-01", "2026-11-30");
  Has(html, "相手が写しを訂正|2|0|0|2|34.5|36");
  Has(html, "市町村の新たな通知により一致|0|1|0|1|10.0|10");
  Has(html, "すべて終わっています");
  Has(Html("2026-10-01", "2026-11-30"), "2026-10|0|0|0|0|3|1|2");
  // As it was at the end of October.
  Has(Html("2026-10-01", "2026-10-31"), "未解消の案件が 2 件あります");
}

TEST_F(ConsistencyReport, WithoutAComparisonItSaysSo) {
  Compared("2026-11-02T09:30:00+09:00", "kikou", {{"field", 3}});
  Has(Html("2026-10-01", "2026-10-31"), "この期間に照合はありません");
}

TEST_F(ConsistencyReport, OfManyComparisonsThoseAreLeftOutThatFoundNothing) {
  for (int i = 0; i < 100; ++i) Compared("2026-11-02T09:30:00+09:00", "kikou", ordered_json::object());
  Compared("2026-11-01T08:00:00+09:00", kMaebashi, {{"field", 1}}, kMaebashi);
  const std::string html = Html("2026-11-01", "2026-11-30");
  Has(html, "差異のないもの等 99 回を表から除きました");
  Has(html, "2026-11-01 08:00|前橋市");
}

TEST_F(ConsistencyReport, OnPaperItHasTheSameTables) {
  Compared("2026-11-02T09:30:00+09:00", "kikou", {{"field", 3}, {"missing_there", 2}, {"glyph", 7}});
  Found(11, "kikou", "field", "2026-11-02T09:00:00+09:00");
  Found(12, "kikou", "glyph", "2026-11-02T09:00:00+09:00");
  Ended(12, "no_error", "2026-11-03T09:00:00+09:00");
  const auto pdf =
      ConsistencyPdf(runs_, Cases(), {ParseDate("2026-11-01").value(), ParseDate("2026-11-30").value(), made_at_});
  ASSERT_TRUE(pdf.ok()) << pdf.status().ToString();
  const TemporaryDirectory dir;
  std::ofstream(dir / "report.pdf", std::ios::binary) << *pdf;
  ASSERT_EQ(std::system(("pdftotext -layout " + (dir / "report.pdf") + " " + (dir / "report.txt")).c_str()), 0);
  std::ifstream in(dir / "report.txt");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  text = std::regex_replace(text, std::regex("[ \n\f]+|　"), "");
  for (const char* phrase : {"整合性確認報告書", "群馬県知事", "1回（うち差異なし0回）", "機構へ再通知", "誤りなしと判断", "前橋市"}) {
    EXPECT_NE(text.find(phrase), std::string::npos) << phrase << "\n" << text;
  }
}

}  // namespace
}  // namespace daicho
