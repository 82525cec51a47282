#include "consumers/audit_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "consumers/official_html.h"
#include "events/codes.h"
#include "events/dates.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

constexpr char kFormat[] = "daicho-audit/1";
constexpr std::size_t kFindingsShown = 200;

ordered_json CheckpointJson(const CheckedCheckpoint& checkpoint) {
  ordered_json cosigned = ordered_json::object();
  for (const auto& [name, time] : checkpoint.cosigners) cosigned[name] = FormatTimestamp(time);
  return {{"size", checkpoint.head.size},
          {"root", ToHex(View(checkpoint.head.root))},
          {"time", FormatTimestamp(checkpoint.head.time)},
          {"cosignatures", cosigned},
          {"policy", {{"satisfied", checkpoint.verdict.satisfied}, {"missing", checkpoint.verdict.missing}}},
          {"note", checkpoint.note}};
}

ordered_json FindingJson(const Finding& finding) {
  const FindingInfo& info = InfoOf(finding.kind);
  return {{"position", finding.position.value()},
          {"kind", info.id},
          {"detail", finding.detail},
          {"meaning", info.japanese}};
}

std::string Row(std::string_view name, std::string_view value) {
  return fmt::format("<tr><th>{}</th><td>{}</td></tr>\n", name, value);
}

std::string Cosigners(const CheckedCheckpoint& checkpoint) {
  std::string out;
  for (const auto& [name, time] : checkpoint.cosigners) {
    out += (out.empty() ? "" : "、") + name + "（" + FormatTimestamp(time) + "）";
  }
  return out.empty() ? "なし" : out;
}

std::string IssuerName(const std::string& issuer) {
  const Municipality* municipality = FindMunicipality(issuer);
  return municipality == nullptr ? issuer : issuer + " " + std::string(municipality->name);
}

constexpr char kScope[] =
    "<ol>\n"
    "<li>台帳の全記録の全バイト（位置・日時・発行者・封をした内容・鍵の参照）</li>\n"
    "<li>発行者（市町村など）ごとの一連番号と、署名付き集計</li>\n"
    "<li>発行者の権限、鍵の有効期間（失効・漏えいを含む）、登録された様式</li>\n"
    "<li>台帳の署名付き証明（チェックポイント）と台帳の内容の一致、立会人の連署</li>\n"
    "<li>消去の決定と、保存期間の経過</li>\n"
    "</ol>\n";

std::string FindingsTable(const AuditResult& result) {
  if (result.good()) return "<p>指摘はありません。</p>\n";
  std::string out = "<table><tr><th>位置</th><th>種別</th><th>意味</th><th>詳細</th></tr>\n";
  for (std::size_t i = 0; i < std::min(result.findings.size(), kFindingsShown); ++i) {
    const Finding& finding = result.findings[i];
    const FindingInfo& info = InfoOf(finding.kind);
    out += fmt::format("<tr><td class=n>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
                       Grouped(finding.position.value()), info.id, info.japanese, HtmlText(finding.detail));
  }
  out += "</table>\n";
  if (result.findings_total > kFindingsShown) {
    out += fmt::format("<p>ほか {} 件。</p>\n", Grouped(result.findings_total - kFindingsShown));
  }
  return out;
}

std::string CheckpointTable(const AuditResult& result) {
  if (!result.checkpoint) return "<p>署名付き証明はありません。</p>\n";
  const CheckedCheckpoint& checkpoint = *result.checkpoint;
  std::string policy = "規則の数を満たす";
  if (!checkpoint.verdict.satisfied) {
    policy = "不足:";
    for (const std::string& name : checkpoint.verdict.missing) policy += " " + name;
  }
  return "<table class=facts>\n" + Row("記録の件数", Grouped(checkpoint.head.size)) +
         Row("日時", FormatTimestamp(checkpoint.head.time)) + Row("立会人の連署", HtmlText(Cosigners(checkpoint))) +
         Row("規則", HtmlText(policy)) + Row("照合した証明の数", Grouped(result.checkpoints)) + "</table>\n<pre>" +
         HtmlText(checkpoint.note) + "</pre>\n";
}

std::string IssuersTable(const AuditResult& result) {
  std::string out = "<table><tr><th>発行者</th><th>件数</th><th>ハッシュ</th></tr>\n";
  for (const auto& [name, issuer] : result.issuers) {
    out += fmt::format("<tr><td>{}</td><td class=n>{}</td><td><code>{}</code></td></tr>\n",
                       HtmlText(IssuerName(name)), Grouped(issuer.size),
                       issuer.whole ? ToHex(View(issuer.root)) : "照合できません");
  }
  return out + "</table>\n";
}

std::string KindsTable(const AuditResult& result) {
  std::string out = "<table><tr><th>種類</th><th>件数</th></tr>\n";
  for (const auto& [kind, count] : result.kinds) {
    out += fmt::format("<tr><td>{}</td><td class=n>{}</td></tr>\n", FindKind(kind)->japanese, Grouped(count));
  }
  return out + "</table>\n";
}

Result<ordered_json> ParseAudit(const std::string& text) {
  ordered_json document = ordered_json::parse(text, nullptr, false);
  if (!document.is_object() || document.value("format", "") != kFormat || !document["roots"].is_array() ||
      !document["ledger"].is_string() || !document["size"].is_number_unsigned() || !document["state"].is_string()) {
    return Invalid("not the document of an audit");
  }
  for (const auto& root : document["roots"]) {
    if (!root.is_array() || root.size() != 2 || !root[0].is_number_unsigned() || !root[1].is_string()) {
      return Invalid("roots: pairs of a size and a root");
    }
  }
  return document;
}

}  // namespace

std::string AuditJson(const AuditResult& result) {
  ordered_json out = {{"format", kFormat},
                      {"verdict", result.good() ? "good" : "findings"},
                      {"ledger", ToHex(View(result.ledger.ledger))},
                      {"prefecture", result.ledger.prefecture},
                      {"source", result.source},
                      {"begun", FormatTimestamp(result.begun)},
                      {"ended", FormatTimestamp(result.ended)},
                      {"size", result.size},
                      {"bytes", result.bytes},
                      {"root", ToHex(View(result.root))},
                      {"covered", result.covered},
                      {"checkpoints", result.checkpoints},
                      {"checkpoint", nullptr}};
  if (result.checkpoint) out["checkpoint"] = CheckpointJson(*result.checkpoint);
  out["roots"] = ordered_json::array();
  for (const auto& [size, root] : result.roots) out["roots"].push_back({size, ToHex(View(root))});
  out["issuers"] = ordered_json::object();
  for (const auto& [name, issuer] : result.issuers) {
    out["issuers"][name] = {{"size", issuer.size}, {"root", ToHex(View(issuer.root))}, {"whole", issuer.whole}};
  }
  out["kinds"] = ordered_json::object();
  for (const auto& [kind, count] : result.kinds) out["kinds"][std::string(FindKind(kind)->type)] = count;
  out["erasures"] = {
      {"orders", result.erasures}, {"keys", result.erased_keys}, {"empty_parts", result.erased_parts}};
  out["state"] = ToHex(View(result.state));
  out["warnings"] = result.warnings;
  out["findings"] = ordered_json::array();
  for (const Finding& finding : result.findings) out["findings"].push_back(FindingJson(finding));
  out["findings_total"] = result.findings_total;
  return out.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string AuditText(const AuditResult& result) {
  std::string out = fmt::format("台帳        {}\n対象        {}\n記録        {} 件\nハッシュ    {}\n",
                                ToHex(View(result.ledger.ledger)), result.source, Grouped(result.size),
                                ToHex(View(result.root)));
  out += fmt::format("証明        {} 件を照合、記録 {} 件までを証明\n", Grouped(result.checkpoints),
                     Grouped(result.covered));
  if (result.checkpoint) {
    out += fmt::format("最新の証明  {} 件  {}\n立会人      {}\n", Grouped(result.checkpoint->head.size),
                       FormatTimestamp(result.checkpoint->head.time), Cosigners(*result.checkpoint));
  }
  if (result.erasures > 0 || result.erased_parts > 0) {
    out += fmt::format("消去        決定 {} 件  鍵 {} 個  失われた内容 {} 件\n", Grouped(result.erasures),
                       Grouped(result.erased_keys), Grouped(result.erased_parts));
  }
  out += fmt::format("状態        {}\n", ToHex(View(result.state)));
  for (const std::string& warning : result.warnings) out += "注意        " + warning + "\n";
  for (std::size_t i = 0; i < std::min(result.findings.size(), kFindingsShown); ++i) {
    const Finding& finding = result.findings[i];
    const FindingInfo& info = InfoOf(finding.kind);
    out += fmt::format("指摘        位置 {}  {}  {}\n            {}\n", finding.position.value(), info.id,
                       info.japanese, finding.detail);
  }
  if (result.findings_total > kFindingsShown) {
    out += fmt::format("ほか {} 件の指摘\n", result.findings_total - kFindingsShown);
  }
  return out + (result.good() ? "結果        正しい（指摘なし）\n"
                              : fmt::format("結果        指摘 {} 件\n", Grouped(result.findings_total)));
}

std::string AuditHtml(const AuditResult& result) {
  std::string out;
  out += result.good()
             ? "<p class=\"verdict good\">適正: 検査したすべての項目で指摘はありませんでした。</p>\n"
             : fmt::format("<p class=\"verdict bad\">指摘あり: {} 件の指摘があります。</p>\n",
                           Grouped(result.findings_total));
  for (const std::string& warning : result.warnings) out += "<p>注意: " + HtmlText(warning) + "</p>\n";
  out += "<h2>1 対象</h2>\n<table class=facts>\n";
  out += Row("台帳", "<code>" + ToHex(View(result.ledger.ledger)) + "</code>");
  out += Row("都道府県コード", fmt::format("{:02}", result.ledger.prefecture));
  out += Row("読み取り元", HtmlText(result.source));
  out += Row("監査の日時", FormatTimestamp(result.begun) + " から " + FormatTimestamp(result.ended));
  out += Row("記録の件数", Grouped(result.size));
  if (result.size > 0) {
    out += Row("記録の期間", FormatTimestamp(result.first_admitted_at) + " から " +
                                  FormatTimestamp(result.last_admitted_at));
  }
  out += Row("台帳のハッシュ", "<code>" + ToHex(View(result.root)) + "</code>");
  out += Row("状態の照合値", "<code>" + ToHex(View(result.state)) + "</code>");
  out += Row("消去", fmt::format("決定 {} 件、鍵 {} 個、失われた内容 {} 件", Grouped(result.erasures),
                                   Grouped(result.erased_keys), Grouped(result.erased_parts)));
  out += "</table>\n<h2>2 検査した項目</h2>\n" + std::string(kScope);
  out += "<h2>3 指摘</h2>\n" + FindingsTable(result);
  out += "<h2>4 最新の署名付き証明</h2>\n" + CheckpointTable(result);
  out += "<h2>5 発行者ごとの件数</h2>\n" + IssuersTable(result);
  out += "<h2>6 種類ごとの件数</h2>\n" + KindsTable(result);
  out += "<h2>7 確認</h2>\n<table class=sign><tr><th>監査人 所属・氏名</th><th>署名</th><th>日付</th></tr>\n"
         "<tr><td></td><td></td><td></td></tr>\n<tr><td></td><td></td><td></td></tr></table>\n";
  return OfficialHtml("台帳監査報告書", out);
}

Result<AuditComparison> CompareAudits(const std::string& a, const std::string& b) {
  auto first = ParseAudit(a), second = ParseAudit(b);
  if (!first.ok()) return first.status().With("the first");
  if (!second.ok()) return second.status().With("the second");
  AuditComparison out;
  out.sizes[0] = (*first)["size"];
  out.sizes[1] = (*second)["size"];
  out.same_ledger = (*first)["ledger"] == (*second)["ledger"];
  std::map<std::uint64_t, std::string> roots;
  for (const auto& root : (*first)["roots"]) roots.emplace(root[0], root[1]);
  std::map<std::uint64_t, std::string> others;
  for (const auto& root : (*second)["roots"]) others.emplace(root[0], root[1]);
  for (const auto& [size, root] : roots) {
    const auto other = others.find(size);
    if (other == others.end()) continue;
    if (other->second == root) {
      out.agreed = std::max(out.agreed, size);
    } else if (!out.differs) {
      out.differs = size;
    }
  }
  out.consistent = out.same_ledger && !out.differs;
  out.equal = out.consistent && (*first)["state"] == (*second)["state"] && out.sizes[0] == out.sizes[1];
  return out;
}

}  // namespace daicho
