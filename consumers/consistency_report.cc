#include "consumers/consistency_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "consumers/letter.h"
#include "consumers/official_html.h"
#include "events/codes.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

constexpr char kTitle[] = "整合性確認報告書";
// More would be a report that nobody reads; what is left out is counted.
constexpr std::size_t kComparisonsShown = 60;
constexpr std::size_t kOpenCasesShown = 60;
constexpr std::size_t kBars = 40;

struct DifferenceKind {
  const char* word;  // DifferenceClassName
  char letter;
  const char* name;
};
constexpr DifferenceKind kKinds[] = {{"missing_there", 'A', "県のみに存在（相手にない）"},
                                     {"missing_here", 'B', "相手のみに存在（通知漏れ等）"},
                                     {"field", 'C', "項目の不一致"},
                                     {"order", 'D', "更新順番号の欠番・逆転"},
                                     {"duplicate", 'F', "住民票コード又は個人番号の重複・食い違い"},
                                     {"removed_state", 'G', "消除の状態の違い"},
                                     {"ancillary", 'H', "附帯の情報（保存期間フラグ）の違い"},
                                     {"glyph", 'E', "文字差（字形・外字の表し方だけの違い）"}};
constexpr std::size_t kClasses = std::size(kKinds);
constexpr std::size_t kGlyph = kClasses - 1;  // is no 不整合, and counted apart

struct Counts {
  std::array<std::uint64_t, kClasses> of{};

  std::uint64_t mismatches() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kGlyph; ++i) sum += of[i];
    return sum;
  }
  std::uint64_t glyphs() const { return of[kGlyph]; }
  std::uint64_t all() const { return mismatches() + glyphs(); }
  void Add(std::string_view word, std::uint64_t count) {
    for (std::size_t i = 0; i < kClasses; ++i) {
      if (kKinds[i].word == word) of[i] += count;
    }
  }
  void Add(const ordered_json& by_word) {
    for (const auto& [word, count] : by_word.items()) Add(word, count.get<std::uint64_t>());
  }
};

// A to H without E, their sum, and E.
void AppendHeadings(std::vector<std::string>& headings) {
  for (std::size_t i = 0; i < kGlyph; ++i) headings.emplace_back(1, kKinds[i].letter);
  headings.insert(headings.end(), {"計", "E"});
}
void AppendCells(const Counts& counts, std::vector<std::string>& cells) {
  for (std::size_t i = 0; i < kGlyph; ++i) cells.push_back(Grouped(counts.of[i]));
  cells.insert(cells.end(), {Grouped(counts.mismatches()), Grouped(counts.glyphs())});
}

std::string Text(const ordered_json& line, const char* key) { return line.value(key, std::string()); }
std::uint64_t Number(const ordered_json& line, const char* key) { return line[key].get<std::uint64_t>(); }

// "2026-11-26\n10:00" in Japan.
std::string Moment(const std::string& timestamp) {
  const auto time = ParseTimestamp(timestamp);
  if (!time) return timestamp;
  const std::string text = FormatTimestamp(*time);
  return text.substr(0, 10) + "\n" + text.substr(11, 5);
}
std::optional<Date> DayOf(const ordered_json& line, const char* key) {
  const auto time = ParseTimestamp(Text(line, key));
  return time ? std::optional(JapanDate(*time)) : std::nullopt;
}
std::string Month(Date day) { return FormatDate(day).substr(0, 7); }

std::string MunicipalityName(const std::string& code) {
  const Municipality* municipality = FindMunicipality(code);
  return municipality == nullptr ? code : std::string(municipality->name);
}
std::string HolderName(const std::string& holder) {
  if (holder == "kikou") return "機構";
  return holder == "replica" ? "県の複製" : MunicipalityName(holder);
}
// With whom a comparison was, and of whose residents.
std::string Scope(const ordered_json& run) {
  const std::string holder = Text(run, "holder"), municipality = Text(run, "municipality");
  const std::string name = HolderName(holder);
  return municipality.empty() || municipality == holder ? name : name + "（" + MunicipalityName(municipality) + "分）";
}

const char* MethodInJapanese(const std::string& method) {
  if (method == "fingerprint") return "回線";
  if (method == "file") return "写し";
  return method == "sketch" ? "要約" : "不明";
}

// What is to be done about an open case.
enum Step : std::size_t { kCorrect, kReport, kExamine, kSteps };
constexpr const char* kStepNames[kSteps] = {"機構へ再通知", "市町村へ通報", "職員が確認"};
Step StepOf(const ordered_json& line) {
  if (line.contains("report")) return kReport;
  return Text(line, "holder") == "kikou" ? kCorrect : kExamine;
}

struct Age {
  const char* name;
  std::int64_t days_max;
};
constexpr Age kAges[] = {{"7日以内", 7}, {"8〜30日", 30}, {"31〜90日", 90}, {"91日以上", INT64_MAX}};

struct Ending {
  const char* word;  // of a case's resolution
  const char* name;
};
constexpr Ending kEndings[] = {{"new_notice", "市町村の新たな通知により一致"},
                               {"caught_up", "照合のときに届く途中だった通知により一致"},
                               {"holder_corrected", "相手が写しを訂正"},
                               {"replaced", "異なる不整合として改めて記録"},
                               {"no_error", "誤りなしと判断"},
                               {"erased", "保存期間の満了により消去"}};

// --- what the report says -------------------------------------------------------------------------------------------

struct Table {
  std::string caption;
  std::vector<double> widths;
  std::vector<std::string> headings;
  std::vector<std::vector<std::string>> rows;
  std::size_t words = 1;  // columns from the left; the others are numbers
};
struct Section {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<Table> tables;
};
struct Fact {
  std::string name, value;
};
struct Bar {
  std::string when, holder;
  Counts counts;
};

class Report {
 public:
  Report(std::string_view runs, std::string_view cases, const ConsistencyPeriod& period)
      : period_(period), as_of_(std::min(period.to, JapanDate(period.made_at))) {
    for (ordered_json& run : Lines(runs)) {
      const auto day = DayOf(run, "ended_at");
      if (day && period_.from <= *day && *day <= period_.to) runs_.push_back(std::move(run));
    }
    for (ordered_json& line : Lines(cases)) {
      const auto found = DayOf(line, "found_at");
      if (!found || *found > as_of_) continue;
      Case each{std::move(line), *found, {}};
      if (const auto ended = DayOf(each.line, "resolved_at"); ended && *ended <= as_of_) each.ended = ended;
      cases_.push_back(std::move(each));
    }
  }

  std::vector<Fact> Facts() const {
    Counts found, fresh;
    std::size_t equal = 0, ended = 0;
    for (const ordered_json& run : runs_) {
      found.Add(run["differences"]);
      equal += run["differences"].empty() ? 1 : 0;
    }
    for (const Case& each : cases_) {
      if (each.found >= period_.from) fresh.Add(Text(each.line, "class"), 1);
      ended += each.ended && *each.ended >= period_.from ? 1 : 0;
    }
    return {{"対象の期間", FormatEraDate(period_.from) + " から " + FormatEraDate(period_.to) + " まで"},
            {"照合", fmt::format("{} 回（うち差異なし {} 回）", Grouped(runs_.size()), Grouped(equal))},
            {"見つかった差異（延べ）",
             fmt::format("不整合 {} 件、文字差 {} 件", Grouped(found.mismatches()), Grouped(found.glyphs()))},
            {"新たに見つかった案件",
             fmt::format("不整合 {} 件、文字差 {} 件", Grouped(fresh.mismatches()), Grouped(fresh.glyphs()))},
            {"期間中に終わった案件", Grouped(ended) + " 件"},
            {"未解消の案件", fmt::format("{} 件（{} 現在）", Grouped(Open().size()), FormatEraDate(as_of_))}};
  }

  std::vector<Section> Sections() const { return {Comparisons(), Municipalities(), Cases()}; }

  std::vector<Bar> Bars() const {
    std::vector<Bar> out;
    for (std::size_t i = runs_.size() - std::min(runs_.size(), kBars); i < runs_.size(); ++i) {
      Counts counts;
      counts.Add(runs_[i]["differences"]);
      std::string when = Moment(Text(runs_[i], "ended_at"));
      std::ranges::replace(when, '\n', ' ');
      out.push_back({std::move(when), Scope(runs_[i]), counts});
    }
    return out;
  }

  bool compared() const { return !runs_.empty(); }
  std::size_t open() const { return Open().size(); }

 private:
  struct Case {
    ordered_json line;
    Date found;
    std::optional<Date> ended;  // none: open at the end
  };

  static std::vector<ordered_json> Lines(std::string_view text) {
    std::vector<ordered_json> out;
    std::istringstream in{std::string(text)};
    for (std::string line; std::getline(in, line);) out.push_back(ordered_json::parse(line));
    return out;
  }

  std::int64_t AgeOf(const Case& each) const { return DayNumber(as_of_) - DayNumber(each.found); }
  // The oldest first.
  std::vector<const Case*> Open() const {
    std::vector<const Case*> out;
    for (const Case& each : cases_) {
      if (!each.ended) out.push_back(&each);
    }
    std::ranges::sort(out, {}, [](const Case* each) { return std::pair(each->found, Number(each->line, "case")); });
    return out;
  }

  Section Comparisons() const {
    Section out{"照合の結果", {}, {}};
    std::string letters = "　区分は次のとおりです。";
    for (const DifferenceKind& kind : kKinds) {
      if (&kind != &kKinds[kGlyph]) letters += fmt::format("{} {}、", kind.letter, kind.name);
    }
    letters += fmt::format("計はその合計です。{} {}は、不整合と分けて数えます。", kKinds[kGlyph].letter, kKinds[kGlyph].name);
    out.paragraphs.push_back(std::move(letters));
    out.paragraphs.emplace_back(
        "　方法の「回線」は機構と要約及び差分の行を通信回線で交わしたもの、「写し」は相手の写しの全行を突き合わせたもの、「要約」は写しの"
        "要約を比べたものです。位置は、県の側をとった台帳の位置です。");
    if (runs_.empty()) {
      out.paragraphs.emplace_back("　この期間に照合はありません。");
    } else {
      out.tables.push_back(ComparisonTable(out.paragraphs));
    }
    out.tables.push_back(Trend());
    return out;
  }

  // Of many comparisons those are left out that found nothing, but for the newest with each.
  Table ComparisonTable(std::vector<std::string>& paragraphs) const {
    Table out{"照合ごとの結果", {61, 38, 30, 46, 61, 58, 20, 20, 20, 20, 20, 20, 20, 24, 21},
              {"照合日時", "相手", "方法", "位置", "相手の\n基準日時", "県の件数\n相手の件数"}, {}, 5};
    AppendHeadings(out.headings);
    std::set<std::string> seen;
    std::size_t left_out = 0;
    for (auto run = runs_.rbegin(); run != runs_.rend(); ++run) {
      const bool newest = seen.insert(Scope(*run)).second;
      const bool worth = newest || !(*run)["differences"].empty();
      if (runs_.size() > kComparisonsShown && (!worth || out.rows.size() >= kComparisonsShown)) {
        ++left_out;
        continue;
      }
      const std::string as_of = Text(*run, "holder_as_of");
      std::vector<std::string> cells = {Moment(Text(*run, "ended_at")), Scope(*run), MethodInJapanese(Text(*run, "method")),
                                        std::to_string(Number(*run, "evaluated_at")),
                                        as_of.empty() ? "位置による" : Moment(as_of),
                                        Grouped(Number(*run, "here")) + "\n" + Grouped(Number(*run, "there"))};
      Counts counts;
      counts.Add((*run)["differences"]);
      AppendCells(counts, cells);
      out.rows.push_back(std::move(cells));
    }
    std::ranges::reverse(out.rows);
    if (left_out > 0) paragraphs.push_back(fmt::format("　照合が多いため、差異のないもの等 {} 回を表から除きました。", Grouped(left_out)));
    return out;
  }

  Table Trend() const {
    Table out{"月ごとの推移", {16, 12, 14, 14, 14, 14, 14, 16},
              {"年月", "照合", "うち差異なし", "不整合（延べ）", "文字差（延べ）", "新たな案件", "終わった案件", "月末の未解消"}, {}, 1};
    for (Date month{period_.from.year, period_.from.month, 1}; month <= as_of_;) {
      const std::string name = Month(month);
      Counts found;
      std::uint64_t compared = 0, equal = 0, fresh = 0, ended = 0, open = 0;
      for (const ordered_json& run : runs_) {
        if (Month(*DayOf(run, "ended_at")) != name) continue;
        ++compared;
        equal += run["differences"].empty() ? 1 : 0;
        found.Add(run["differences"]);
      }
      for (const Case& each : cases_) {
        fresh += Month(each.found) == name ? 1 : 0;
        ended += each.ended && Month(*each.ended) == name ? 1 : 0;
        open += Month(each.found) <= name && !(each.ended && Month(*each.ended) <= name) ? 1 : 0;
      }
      out.rows.push_back({name, Grouped(compared), Grouped(equal), Grouped(found.mismatches()), Grouped(found.glyphs()),
                          Grouped(fresh), Grouped(ended), Grouped(open)});
      month = month.month == 12 ? Date{static_cast<std::int16_t>(month.year + 1), 1, 1}
                                : Date{month.year, static_cast<std::uint8_t>(month.month + 1), 1};
    }
    return out;
  }

  // Counts of all comparisons of the period, and of the newest one with each holder.
  Section Municipalities() const {
    std::map<std::pair<std::string, std::string>, Counts> all, newest;
    std::map<std::string, const ordered_json*> newest_run;
    for (const ordered_json& run : runs_) {
      const std::string holder = Text(run, "holder") == "kikou" ? "機構" : "その市町村";
      for (const auto& [municipality, counts] : run["municipalities"].items()) all[{municipality, holder}].Add(counts);
      newest_run[Text(run, "holder") + " " + Text(run, "municipality")] = &run;
    }
    for (const auto& [scope, run] : newest_run) {
      const std::string holder = Text(*run, "holder") == "kikou" ? "機構" : "その市町村";
      for (const auto& [municipality, counts] : (*run)["municipalities"].items()) newest[{municipality, holder}].Add(counts);
    }
    Table table{"", {20, 16, 9, 9, 9, 9, 9, 9, 9, 11, 9, 14}, {"市町村", "照合の相手"}, {}, 2};
    AppendHeadings(table.headings);
    table.headings.emplace_back("最新の照合");
    for (const auto& [key, counts] : all) {
      std::vector<std::string> cells = {MunicipalityName(key.first), key.second};
      AppendCells(counts, cells);
      cells.push_back(Grouped(newest[key].all()));
      table.rows.push_back(std::move(cells));
    }
    Section out{"市町村ごとの差異", {"　期間中の照合で見つかった件数の延べです。同じ差異も、見つけた照合ごとに数えます。右端は、相手ごとの最新の"
                                     "照合での件数（文字差を含む）です。"}, {}};
    if (table.rows.empty()) {
      out.paragraphs = {"　市町村の住民に関する差異はありません。"};
    } else {
      out.tables.push_back(std::move(table));
    }
    return out;
  }

  Section Cases() const {
    return {"差異の案件とその処理",
            {"　差異は一件ごとの案件とし、双方が等しくなるか、職員が判断を記録したときに終わります。県の記録は市町村の新たな通知だけで"
             "改め、照合によっては改めません。"},
            {NewCases(), OpenByAge(), OldestOpen(), Endings()}};
  }

  Table NewCases() const {
    Table out{"期間中に新たに見つかった案件", {36, 10, 10, 10, 10, 10, 10, 10, 12, 10}, {"相手"}, {}, 1};
    AppendHeadings(out.headings);
    std::map<std::string, Counts> by_holder;
    for (const Case& each : cases_) {
      if (each.found >= period_.from) by_holder[Text(each.line, "holder")].Add(Text(each.line, "class"), 1);
    }
    for (const auto& [holder, counts] : by_holder) {
      std::vector<std::string> cells = {HolderName(holder)};
      AppendCells(counts, cells);
      out.rows.push_back(std::move(cells));
    }
    return out;
  }

  Table OpenByAge() const {
    Table out{"未解消の案件（次の処理と、見つかってからの日数）", {30}, {"次の処理"}, {}, 1};
    for (const Age& age : kAges) {
      out.widths.push_back(14);
      out.headings.emplace_back(age.name);
    }
    out.widths.push_back(14);
    out.headings.emplace_back("計");
    std::array<std::array<std::uint64_t, std::size(kAges)>, kSteps> counts{};
    for (const Case* each : Open()) {
      const auto age = std::ranges::find_if(kAges, [&](const Age& a) { return AgeOf(*each) <= a.days_max; });
      ++counts[StepOf(each->line)][static_cast<std::size_t>(age - std::begin(kAges))];
    }
    for (std::size_t step = 0; step < kSteps; ++step) {
      std::vector<std::string> cells = {kStepNames[step]};
      std::uint64_t sum = 0;
      for (const std::uint64_t count : counts[step]) {
        cells.push_back(Grouped(count));
        sum += count;
      }
      cells.push_back(Grouped(sum));
      out.rows.push_back(std::move(cells));
    }
    return out;
  }

  Table OldestOpen() const {
    Table out{"", {14, 16, 10, 18, 20, 34, 12}, {"案件", "相手", "区分", "見つかった日", "次の処理", "通報先・文書番号", "日数"}, {}, 6};
    const auto open = Open();
    for (const Case* each : open) {
      if (out.rows.size() >= kOpenCasesShown) break;
      std::string letter;
      for (const DifferenceKind& kind : kKinds) {
        if (Text(each->line, "class") == kind.word) letter = kind.letter;
      }
      std::string report = "なし";
      if (each->line.contains("report")) {
        const ordered_json& told = each->line["report"];
        report = MunicipalityName(Text(told, "municipality")) + "　" + Text(told, "reference");
      }
      out.rows.push_back({std::to_string(Number(each->line, "case")), HolderName(Text(each->line, "holder")), letter, FormatDate(each->found),
                          kStepNames[StepOf(each->line)], report, std::to_string(AgeOf(*each))});
    }
    out.caption = open.size() > out.rows.size() ? fmt::format("未解消の案件のうち古いもの {} 件", out.rows.size()) : "未解消の案件";
    return out;
  }

  Table Endings() const {
    Table out{"期間中に終わった案件", {52, 12, 12, 12, 12, 14, 14},
              {"終わり方", "機構", "市町村", "県の複製", "計", "平均日数", "最長日数"}, {}, 1};
    for (const Ending& ending : kEndings) {
      std::uint64_t kikou = 0, municipality = 0, replica = 0;
      std::int64_t days = 0, longest = 0;
      for (const Case& each : cases_) {
        if (!each.ended || *each.ended < period_.from || Text(each.line, "resolution") != ending.word) continue;
        const std::string holder = Text(each.line, "holder");
        ++(holder == "kikou" ? kikou : holder == "replica" ? replica : municipality);
        const std::int64_t took = DayNumber(*each.ended) - DayNumber(each.found);
        days += took;
        longest = std::max(longest, took);
      }
      const std::uint64_t sum = kikou + municipality + replica;
      if (sum == 0) continue;
      out.rows.push_back({ending.name, Grouped(kikou), Grouped(municipality), Grouped(replica), Grouped(sum),
                          fmt::format("{:.1f}", static_cast<double>(days) / static_cast<double>(sum)), std::to_string(longest)});
    }
    return out;
  }

  const ConsistencyPeriod period_;
  const Date as_of_;
  std::vector<ordered_json> runs_;  // of the period, in their order
  std::vector<Case> cases_;         // found by its end
};

// --- as HTML --------------------------------------------------------------------------------------------------------

constexpr char kStyle[] = R"(h3{font-size:.95rem;margin:1.4rem 0 .2rem}
body{max-width:60rem}th,td{padding:.2rem .4rem;font-size:.8rem}td.n,th.n{text-align:right}th.n{white-space:normal}
table.bars td{border:0;border-bottom:1px solid #ddd;vertical-align:middle}table.bars td.w{white-space:nowrap;width:1%}
svg{display:block}.key{font-size:.8rem}.key span{display:inline-block;width:.8rem;height:.8rem;margin:0 .3rem 0 1rem}
)";

std::string Cell(const char* element, const std::string& text, bool number) {
  std::string shown = HtmlText(text);
  if (const auto line = shown.find('\n'); line != std::string::npos) shown.replace(line, 1, "<br>");
  return fmt::format("<{0}{1}>{2}</{0}>", element, number ? " class=n" : "", shown);
}

std::string TableHtml(const Table& table) {
  std::string out = table.caption.empty() ? "" : "<h3>" + table.caption + "</h3>\n";
  if (table.rows.empty()) return out + "<p>ありません。</p>\n";
  const auto row = [&](const char* element, const std::vector<std::string>& cells) {
    out += "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i) out += Cell(element, cells[i], i >= table.words);
    out += "</tr>\n";
  };
  out += "<table>\n";
  row("th", table.headings);
  for (const auto& cells : table.rows) row("td", cells);
  return out + "</table>\n";
}

std::string BarsHtml(const std::vector<Bar>& bars) {
  constexpr double kWidth = 420;
  std::uint64_t most = 1;
  for (const Bar& bar : bars) most = std::max(most, bar.counts.all());
  std::string out = "<h3>照合ごとの推移</h3>\n<p class=key><span style=\"background:#b00020\"></span>不整合"
                    "<span style=\"background:#d9a441\"></span>文字差</p>\n<table class=bars>\n";
  for (const Bar& bar : bars) {
    const auto width = [&](std::uint64_t count) { return kWidth * static_cast<double>(count) / static_cast<double>(most); };
    const double mismatches = width(bar.counts.mismatches()), glyphs = width(bar.counts.glyphs());
    out += fmt::format(
        "<tr><td class=w>{}</td><td class=w>{}</td><td><svg width=\"{}\" height=\"12\" role=\"img\" aria-label=\"不整合 {} 件、文字差 "
        "{} 件\"><rect width=\"{:.1f}\" height=\"12\" fill=\"#b00020\"/><rect x=\"{:.1f}\" width=\"{:.1f}\" height=\"12\" "
        "fill=\"#d9a441\"/></svg></td><td class=w>不整合 {}　文字差 {}</td></tr>\n",
        bar.when, HtmlText(bar.holder), kWidth, bar.counts.mismatches(), bar.counts.glyphs(), mismatches, mismatches, glyphs,
        Grouped(bar.counts.mismatches()), Grouped(bar.counts.glyphs()));
  }
  return out + "</table>\n";
}

std::string Verdict(const Report& report) {
  if (report.open() > 0) {
    return fmt::format("<p class=\"verdict bad\">未解消の案件が {} 件あります。</p>\n", Grouped(report.open()));
  }
  if (!report.compared()) return "<p class=\"verdict\">この期間に照合はありません。未解消の案件もありません。</p>\n";
  return "<p class=\"verdict good\">見つかった差異は、すべて終わっています。</p>\n";
}

}  // namespace

std::string ConsistencyHtml(std::string_view runs, std::string_view cases, const ConsistencyPeriod& period) {
  const Report report(runs, cases, period);
  std::string out = Verdict(report) + "<h2>1 概要</h2>\n<table class=facts>\n";
  for (const Fact& fact : report.Facts()) out += "<tr><th>" + fact.name + "</th><td>" + HtmlText(fact.value) + "</td></tr>\n";
  out += "<tr><th>作成</th><td>" + FormatEraDate(JapanDate(period.made_at)) + "</td></tr>\n</table>\n";
  int number = 2;
  for (const Section& section : report.Sections()) {
    out += fmt::format("<h2>{} {}</h2>\n", number++, section.title);
    for (const std::string& paragraph : section.paragraphs) out += "<p>" + HtmlText(paragraph) + "</p>\n";
    for (const Table& table : section.tables) out += TableHtml(table);
    if (number == 3 && report.compared()) out += BarsHtml(report.Bars());
  }
  out += fmt::format("<h2>{} 確認</h2>\n<table class=sign><tr><th>所属・氏名</th><th>署名</th><th>日付</th></tr>\n"
                     "<tr><td></td><td></td><td></td></tr>\n<tr><td></td><td></td><td></td></tr></table>\n",
                     number);
  return OfficialHtml(kTitle, out, kStyle);
}

Result<std::string> ConsistencyPdf(std::string_view runs, std::string_view cases, const ConsistencyPeriod& period) {
  const Report report(runs, cases, period);
  Letter letter;
  letter.date = FormatEraDate(JapanDate(period.made_at));
  letter.sender = {"群馬県知事"};
  letter.title = kTitle;
  letter.paragraphs = {"　都道府県知事保存本人確認情報ファイルと、機構及び市町村の写しとの整合性確認の結果は、次のとおりです。内訳は別紙"
                       "のとおりです。"};
  for (const Fact& fact : report.Facts()) letter.items.push_back({fact.name, fact.value});
  letter.contact = {"群馬県 総務部 市町村課 行政係"};
  letter.made_at = period.made_at;
  for (const Section& section : report.Sections()) {
    LetterAnnex& annex = letter.annexes.emplace_back();
    annex.title = section.title;
    annex.paragraphs = section.paragraphs;
    for (const Table& table : section.tables) {
      if (table.rows.empty()) {
        annex.paragraphs.push_back("　" + table.caption + "は、ありません。");
        continue;
      }
      annex.tables.push_back({table.caption, table.widths, table.headings, table.rows, false});
    }
  }
  return LetterPdf(letter);
}

}  // namespace daicho
