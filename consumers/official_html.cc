#include "consumers/official_html.h"

namespace daicho {
namespace {

constexpr char kStyle[] = R"(
body{font-family:"Noto Sans CJK JP","Noto Sans JP","Yu Gothic","Hiragino Sans",sans-serif;max-width:52rem;
margin:2rem auto;padding:0 1rem;line-height:1.7;color:#111}
h1{font-size:1.5rem;border-bottom:2px solid #111;padding-bottom:.3rem}h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;width:100%;margin:.5rem 0}th,td{border:1px solid #999;padding:.3rem .6rem;
text-align:left;vertical-align:top;overflow-wrap:anywhere;font-size:.9rem}th{background:#f2f2f2;font-weight:600}
table.facts th{width:13rem}td.n{text-align:right;white-space:nowrap}code{font-family:monospace;font-size:.8rem}
.verdict{border:2px solid #111;padding:.8rem 1rem;font-size:1.2rem;font-weight:700}
.good{border-color:#0a6b2d;color:#0a6b2d}.bad{border-color:#b00020;color:#b00020}
.sign td{height:3.2rem}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.75rem;background:#f7f7f7;padding:.6rem}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
@page{size:A4;margin:18mm}
)";

}  // namespace

std::string OfficialHtml(std::string_view title, std::string_view body, std::string_view style) {
  std::string out = "<!doctype html>\n<html lang=ja><head><meta charset=utf-8><title>";
  out.append(title).append("</title><style>").append(kStyle).append(style);
  out.append("</style></head><body>\n<h1>").append(title).append("</h1>\n").append(body);
  return out + "</body></html>\n";
}

std::string HtmlText(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string Grouped(std::uint64_t number) {
  const std::string digits = std::to_string(number);
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

}  // namespace daicho
