// An official letter (公文書) as PDF: A4 upright, in IPAmj明朝, laid out as offices do
// (右上に文書番号と日付、左に宛名、 右に発信者、中央に標題、本文、「記」), with annexes (別紙) of captioned tables that
// run over as many pages as they take.
//
// A character that the font cannot draw makes an error, never another glyph (see letter_type.h).
#pragma once

#include <string>
#include <vector>

#include "events/ids.h"
#include "events/result.h"

namespace daicho {

struct LetterTable {
  std::string caption;                // above it; may be empty
  std::vector<double> widths;         // of the columns, in proportion; they fill the page
  std::vector<std::string> headings;  // repeated on each page; none: no heading row
  std::vector<std::vector<std::string>>
      rows;                       // each of as many cells as there are widths; a newline breaks a cell's line
  bool first_is_heading = false;  // the first column names what the second holds
};

struct LetterItem {
  std::string label;
  std::string text;
};

struct LetterAnnex {
  std::string title;
  std::vector<std::string> paragraphs;
  std::vector<LetterTable> tables;
};

struct Letter {
  std::string number;                   // 文書番号: 市第123号
  std::string date;                     // 令和8年11月26日
  std::vector<std::string> addressee;   // 宛名, a line each, with 様 or 殿
  std::vector<std::string> sender;      // 発信者, a line each
  std::string title;                    // 標題
  std::vector<std::string> paragraphs;  // 本文
  std::vector<LetterItem> items;        // 記, numbered; none: no 「記」
  std::vector<std::string> remarks;     // after these: 教示 and notes, in small type
  std::vector<std::string> contact;     // 担当, in a box at the foot of the letter; none: no box
  std::vector<LetterAnnex> annexes;     // 別紙, each on a page of its own
  std::vector<std::string> images;      // PNG, of external glyphs; see StandIn
  TimeMicros made_at;                   // of the PDF's own date: the same letter gives the same bytes

  // Keeps the image and answers the character that stands for it in any text of this letter.
  std::string StandIn(std::string png);
};

inline constexpr const char* kLetterFont = "/usr/share/fonts/truetype/ipamj/ipamjm.ttf";  // Debian: fonts-ipamj-mincho

// Errors: kInvalid with the place (標題, 別紙1 表1 2行1列) and the character that the font lacks, or for an image that
// is no PNG of at most 1024 pixels a side; kUnavailable without the font or the module that draws.
Result<std::string> LetterPdf(const Letter& letter, const std::string& font = kLetterFont);

}  // namespace daicho
