// What the HTML reports for officials have in common: one self-contained page, printable on A4.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace daicho {

// The page with `body` under its heading. `style` is added to the common one.
std::string OfficialHtml(std::string_view title, std::string_view body, std::string_view style = "");
// Text for an element or a quoted attribute.
std::string HtmlText(std::string_view text);
// 1234567 as 1,234,567.
std::string Grouped(std::uint64_t number);

}  // namespace daicho
