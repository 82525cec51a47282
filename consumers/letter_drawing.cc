#include "consumers/letter_drawing.h"

#include <cairo-ft.h>
#include <cairo-pdf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>

#include "consumers/letter_type.h"
#include "events/deleter.h"
#include "events/utf8.h"

namespace daicho {
namespace {

using SurfacePtr = std::unique_ptr<cairo_surface_t, Deleter<cairo_surface_destroy>>;
using CairoPtr = std::unique_ptr<cairo_t, Deleter<cairo_destroy>>;
using FacePtr = std::unique_ptr<cairo_font_face_t, Deleter<cairo_font_face_destroy>>;

// In points.
constexpr double kPageWidth = 595.276, kPageHeight = 841.89;
constexpr double kTextLeft = 71, kTextRight = kPageWidth - 62, kTextTop = 71, kTextBottom = kPageHeight - 71;
constexpr double kTextWidth = kTextRight - kTextLeft;
constexpr double kRule = 0.5;  // thickness of lines

struct Style {
  double size;
  double pitch;  // from line to line
};
constexpr Style kBody{11, 19}, kTitle{14, 24}, kAnnexTitle{12, 22}, kCell{9, 13.5}, kSmall{9, 14.5}, kFolio{9, 13};
constexpr double kCellPadX = 4, kCellPadY = 3;

enum class Align { kLeft, kRight, kCentre, kJustify };

struct Box {
  double x, width;
};
constexpr Box kFullWidth{kTextLeft, kTextWidth};

// --- What is on a page -----------------------------------------------------------------------------------

struct PlacedLine {
  GlyphLine line;
  double x, baseline, size;
  double gap;  // added between clusters, in points
};

struct PlacedRule {
  double x1, y1, x2, y2;
};

struct PlacedFill {
  double x, y, width, height;
};

struct Page {
  std::vector<PlacedFill> fills;
  std::vector<PlacedRule> rules;
  std::vector<PlacedLine> lines;
};

// "１" to "９", then ASCII: the numbering of 記.
std::string FullWidthNumber(std::size_t number) {
  if (number > 9) return std::to_string(number);
  std::string out;
  AppendUtf8(out, U'０' + static_cast<char32_t>(number));
  return out;
}

// Trailing spaces hang over the end of a line.
GlyphLine Trimmed(GlyphLine line) {
  while (!line.empty() && (line.back().text == " " || line.back().text == "　")) line = line.first(line.size() - 1);
  return line;
}

// --- Layout ------------------------------------------------------------------------------------------------

// Places blocks one below the other, on as many pages as it takes. Remembers the first error.
class Layout {
 public:
  Layout(const Typeface& face, const Letter& letter) : face_(face), letter_(letter) { pages_.emplace_back(); }

  Status Place();
  std::vector<Page>& pages() { return pages_; }

 private:
  struct Cell {
    std::vector<GlyphLine> lines;
  };
  using Row = std::vector<Cell>;

  std::vector<GlyphLine> Lines(const std::string& text, const std::string& where, double width_points, Style style,
                               double indent = 0);
  void Fail(Status status) {
    if (status_.ok()) status_ = std::move(status);
  }
  void Keep(double height);  // a new page when there is less room
  void Skip(double height) { y_ += height; }
  void NewPage();
  void PlaceLine(GlyphLine line, Box box, Style style, Align align, double top);
  void Text(const std::string& text, const std::string& where, Style style, Align align, Box box = kFullWidth,
            double indent = 0);
  void Stack(const std::vector<std::string>& lines, const std::string& where);
  void Head();
  void Items();
  void Contact();
  void Annex(const LetterAnnex& annex, std::size_t index);
  void Table(const LetterTable& table, const std::string& where);
  Row SetRow(const std::vector<std::string>& cells, const std::string& where, const std::vector<Box>& columns);
  // Draws lines `from` to `to` of each cell, within a frame.
  void DrawRow(const Row& row, std::size_t from, std::size_t to, const std::vector<Box>& columns, std::size_t shaded);

  const Typeface& face_;
  const Letter& letter_;
  Status status_;
  std::deque<std::vector<GlyphCluster>> texts_;  // what the lines of all pages point into
  std::deque<std::string> strings_;              // and these the clusters
  std::vector<Page> pages_;
  double y_ = kTextTop;
};

std::vector<GlyphLine> Layout::Lines(const std::string& text, const std::string& where, double width_points,
                                     Style style, double indent) {
  strings_.push_back(text);
  auto set = face_.Set(strings_.back(), letter_.images.size());
  if (!set.ok()) {
    Fail(set.status().With(where));
    return {};
  }
  texts_.push_back(*std::move(set));
  return BreakLines(texts_.back(), width_points / style.size, indent);
}

void Layout::NewPage() {
  pages_.emplace_back();
  y_ = kTextTop;
}

void Layout::Keep(double height) {
  if (y_ + height > kTextBottom && y_ > kTextTop) NewPage();
}

void Layout::PlaceLine(GlyphLine line, Box box, Style style, Align align, double top) {
  const GlyphLine shown = Trimmed(line);
  const double slack = box.width - WidthOf(shown) * style.size;
  double x = box.x;
  double gap = 0;
  if (align == Align::kRight) x += slack;
  if (align == Align::kCentre) x += slack / 2;
  // A line that an unbreakable word ended early keeps its natural width.
  if (align == Align::kJustify && shown.size() > 1 && slack < 2 * style.size) {
    gap = slack / static_cast<double>(shown.size() - 1);
  }
  // The ideographic square stands in the middle of its pitch: 0.88 em above the baseline, 0.12 below.
  const double baseline = top + (style.pitch - style.size) / 2 + 0.88 * style.size;
  pages_.back().lines.push_back({shown, x, baseline, style.size, gap});
}

void Layout::Text(const std::string& text, const std::string& where, Style style, Align align, Box box, double indent) {
  const std::vector<GlyphLine> lines = Lines(text, where, box.width, style, indent);
  for (std::size_t at = 0; at < lines.size(); ++at) {
    // No single line of a paragraph alone at the foot of a page.
    Keep(style.pitch * (at == 0 && lines.size() > 1 ? 2 : 1));
    const double shift = at == 0 ? indent * style.size : 0;
    const bool wrapped = at + 1 < lines.size() && lines[at].data() + lines[at].size() == lines[at + 1].data();
    PlaceLine(lines[at], {box.x + shift, box.width - shift}, style,
              align == Align::kJustify && !wrapped ? Align::kLeft : align, y_);
    y_ += style.pitch;
  }
}

// Lines that begin at one place, the longest ending two characters before the right margin, where the seal would be.
void Layout::Stack(const std::vector<std::string>& lines, const std::string& where) {
  const double room = kTextWidth - 2 * kBody.size;
  double width = 0;
  for (const std::string& text : lines) {
    for (const GlyphLine line : Lines(text, where, room, kBody)) width = std::max(width, WidthOf(line) * kBody.size);
  }
  for (const std::string& text : lines)
    Text(text, where, kBody, Align::kLeft, {kTextLeft + room - width, width + 0.01});
}

void Layout::Head() {
  Text(letter_.number, "文書番号", kBody, Align::kRight);
  Text(letter_.date, "日付", kBody, Align::kRight);
  Skip(kBody.pitch / 2);
  for (const std::string& line : letter_.addressee) {
    Text(line, "宛名", kBody, Align::kLeft, {kTextLeft + kBody.size, kTextWidth - kBody.size});
  }
  Skip(kBody.pitch / 2);
  Stack(letter_.sender, "発信者");
  Skip(kBody.pitch);
  Text(letter_.title, "標題", kTitle, Align::kCentre);
  Skip(kBody.pitch / 2);
  for (std::size_t at = 0; at < letter_.paragraphs.size(); ++at) {
    Text(letter_.paragraphs[at], fmt::format("本文{}", at + 1), kBody, Align::kJustify, kFullWidth, 1);
  }
}

void Layout::Items() {
  if (letter_.items.empty()) return;
  Skip(kBody.pitch / 2);
  Keep(kBody.pitch * 3);
  Text("記", "記", kBody, Align::kCentre);
  Skip(kBody.pitch / 2);
  constexpr double kNumber = 2;  // em
  double label_width = 0;
  for (const LetterItem& item : letter_.items) {
    for (const GlyphLine line : Lines(item.label, "記", kTextWidth, kBody))
      label_width = std::max(label_width, WidthOf(line));
  }
  label_width = std::min(label_width, 12.0);
  const double text_at = (kNumber + label_width + 1) * kBody.size;
  for (std::size_t at = 0; at < letter_.items.size(); ++at) {
    const std::string where = fmt::format("記{}", at + 1);
    const std::vector<GlyphLine> number = Lines(FullWidthNumber(at + 1), where, kTextWidth, kBody);
    const std::vector<GlyphLine> label = Lines(letter_.items[at].label, where, label_width * kBody.size + 0.01, kBody);
    Keep(kBody.pitch * static_cast<double>(label.size()));
    if (!number.empty()) PlaceLine(number[0], kFullWidth, kBody, Align::kLeft, y_);
    for (std::size_t line = 0; line < label.size(); ++line) {
      PlaceLine(label[line], {kTextLeft + kNumber * kBody.size, label_width * kBody.size}, kBody, Align::kLeft,
                y_ + static_cast<double>(line) * kBody.pitch);
    }
    const double top = y_;
    const std::size_t page = pages_.size();
    Text(letter_.items[at].text, where, kBody, Align::kJustify, {kTextLeft + text_at, kTextWidth - text_at});
    if (page == pages_.size()) y_ = std::max(y_, top + kBody.pitch * static_cast<double>(label.size()));
  }
}

void Layout::Contact() {
  if (letter_.contact.empty()) return;
  constexpr double kBoxWidth = 235;
  const Box box{kTextRight - kBoxWidth, kBoxWidth};
  const Box inner{box.x + 2 * kCellPadX, box.width - 4 * kCellPadX};
  std::size_t count = 0;
  for (const std::string& line : letter_.contact) count += Lines(line, "担当", inner.width, kSmall).size();
  const double height = static_cast<double>(count) * kSmall.pitch + 4 * kCellPadY;
  Skip(kBody.pitch / 2);
  Keep(height);
  y_ = std::max(y_, kTextBottom - height);
  const double top = y_;
  Skip(2 * kCellPadY);
  for (const std::string& line : letter_.contact) Text(line, "担当", kSmall, Align::kLeft, inner);
  const double right = box.x + box.width;
  auto& rules = pages_.back().rules;
  rules.insert(rules.end(), {{box.x, top, right, top},
                             {box.x, kTextBottom, right, kTextBottom},
                             {box.x, top, box.x, kTextBottom},
                             {right, top, right, kTextBottom}});
}

Layout::Row Layout::SetRow(const std::vector<std::string>& cells, const std::string& where,
                           const std::vector<Box>& columns) {
  Row row;
  for (std::size_t at = 0; at < columns.size(); ++at) {
    row.push_back({Lines(cells[at], fmt::format("{}{}列", where, at + 1), columns[at].width - 2 * kCellPadX, kCell)});
  }
  return row;
}

void Layout::DrawRow(const Row& row, std::size_t from, std::size_t to, const std::vector<Box>& columns,
                     std::size_t shaded) {
  const double height = static_cast<double>(to - from) * kCell.pitch + 2 * kCellPadY;
  Page& page = pages_.back();
  for (std::size_t at = 0; at < columns.size(); ++at) {
    const Box& column = columns[at];
    if (at < shaded) page.fills.push_back({column.x, y_, column.width, height});
    const std::vector<GlyphLine>& lines = row[at].lines;
    for (std::size_t line = from; line < std::min(to, lines.size()); ++line) {
      PlaceLine(lines[line], {column.x + kCellPadX, column.width - 2 * kCellPadX}, kCell, Align::kLeft,
                y_ + kCellPadY + static_cast<double>(line - from) * kCell.pitch);
    }
    page.rules.push_back({column.x, y_, column.x, y_ + height});
  }
  page.rules.insert(page.rules.end(), {{kTextLeft, y_, kTextRight, y_},
                                       {kTextLeft, y_ + height, kTextRight, y_ + height},
                                       {kTextRight, y_, kTextRight, y_ + height}});
  y_ += height;
}

void Layout::Table(const LetterTable& table, const std::string& where) {
  std::vector<Box> columns;
  double total = 0;
  for (const double width : table.widths) total += width;
  for (double x = kTextLeft; const double width : table.widths) {
    columns.push_back({x, kTextWidth * width / total});
    x += columns.back().width;
  }
  const auto lines_of = [](const Row& row) {
    std::size_t most = 1;
    for (const Cell& cell : row) most = std::max(most, cell.lines.size());
    return most;
  };
  const auto height_of = [&](const Row& row) {
    return static_cast<double>(lines_of(row)) * kCell.pitch + 2 * kCellPadY;
  };
  const bool headed = !table.headings.empty();
  if (headed && table.headings.size() != columns.size())
    return Fail(Invalid(where + ": 見出しの列数が幅の数と違います"));
  const Row headings = headed ? SetRow(table.headings, where + " 見出し", columns) : Row();
  const double heading_height = headed ? height_of(headings) : 0;
  const double page_room = kTextBottom - kTextTop - heading_height - kSmall.pitch;

  const auto begin = [&](bool again) {
    if (!table.caption.empty()) {
      Text(table.caption + (again ? "（続き）" : ""), where + " 題", kSmall, Align::kLeft);
    }
    if (headed) DrawRow(headings, 0, lines_of(headings), columns, columns.size());
  };
  bool begun = false;
  for (std::size_t at = 0; at < table.rows.size(); ++at) {
    if (table.rows[at].size() != columns.size()) {
      return Fail(Invalid(fmt::format("{}: {}行の列数が幅の数と違います", where, at + 1)));
    }
    const Row row = SetRow(table.rows[at], fmt::format("{} {}行", where, at + 1), columns);
    const std::size_t count = lines_of(row);
    const bool splits = height_of(row) > page_room;
    const double needed = splits ? 3 * kCell.pitch + 2 * kCellPadY : height_of(row);
    if (!begun) {
      Keep(kSmall.pitch + heading_height + needed);
      begin(false);
      begun = true;
    } else if (y_ + needed > kTextBottom) {
      NewPage();
      begin(true);
    }
    for (std::size_t from = 0; from < count;) {
      const double room = (kTextBottom - y_ - 2 * kCellPadY) / kCell.pitch + 1e-6;
      const std::size_t to = std::min(count, from + std::max<std::size_t>(1, static_cast<std::size_t>(room)));
      DrawRow(row, from, to, columns, table.first_is_heading ? 1 : 0);
      from = to;
      if (from < count) {
        NewPage();
        begin(true);
      }
    }
  }
  if (!begun) begin(false);
  Skip(kSmall.pitch / 2);
}

void Layout::Annex(const LetterAnnex& annex, std::size_t index) {
  NewPage();
  const std::string where = fmt::format("別紙{}", index + 1);
  Text(where, where, kBody, Align::kLeft);
  Text(annex.title, where + " 標題", kAnnexTitle, Align::kCentre);
  Skip(kSmall.pitch / 2);
  for (std::size_t at = 0; at < annex.paragraphs.size(); ++at) {
    Text(annex.paragraphs[at], fmt::format("{} 本文{}", where, at + 1), kSmall, Align::kJustify, kFullWidth, 1);
  }
  if (!annex.paragraphs.empty()) Skip(kSmall.pitch / 2);
  for (std::size_t at = 0; at < annex.tables.size(); ++at) {
    Table(annex.tables[at], fmt::format("{} 表{}", where, at + 1));
  }
}

Status Layout::Place() {
  Head();
  Items();
  if (!letter_.remarks.empty()) Skip(kBody.pitch / 2);
  for (std::size_t at = 0; at < letter_.remarks.size(); ++at) {
    Text(letter_.remarks[at], fmt::format("備考{}", at + 1), kSmall, Align::kJustify, kFullWidth, 1);
  }
  Contact();
  for (std::size_t at = 0; at < letter_.annexes.size(); ++at) Annex(letter_.annexes[at], at);
  const std::size_t count = pages_.size();
  for (std::size_t at = 0; at < count; ++at) {
    const std::vector<GlyphLine> folio = Lines(fmt::format("{} / {}", at + 1, count), "頁", kTextWidth, kFolio);
    if (!folio.empty()) {
      const GlyphLine line = folio[0];
      const double x = kTextLeft + (kTextWidth - WidthOf(line) * kFolio.size) / 2;
      pages_[at].lines.push_back({line, x, kPageHeight - 40, kFolio.size, 0});
    }
  }
  return status_;
}

// --- Painting ----------------------------------------------------------------------------------------------

Result<std::vector<SurfacePtr>> Images(const std::vector<std::string>& pngs) {
  constexpr std::uint32_t kSideMax = 1'024;
  constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
  std::vector<SurfacePtr> out;
  for (const std::string& png : pngs) {
    const auto side = [&](std::size_t at) {
      std::uint32_t value = 0;
      for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(png[at + i]);
      return value;
    };
    // What unpacks to more than the memory there is says so in its first bytes.
    if (png.size() < 24 || !std::string_view(png).starts_with(kSignature) || side(16) > kSideMax ||
        side(20) > kSideMax) {
      return Invalid(fmt::format("外字の画像{}: 一辺{}画素までのPNGではありません", out.size() + 1, kSideMax));
    }
    std::string_view rest = png;
    const auto read = [](void* closure, unsigned char* data, unsigned length) {
      auto& left = *static_cast<std::string_view*>(closure);
      if (left.size() < length) return CAIRO_STATUS_READ_ERROR;
      std::memcpy(data, left.data(), length);
      left.remove_prefix(length);
      return CAIRO_STATUS_SUCCESS;
    };
    SurfacePtr image(cairo_image_surface_create_from_png_stream(read, &rest));
    if (cairo_surface_status(image.get()) != CAIRO_STATUS_SUCCESS) {
      return Invalid(fmt::format("外字の画像{}: PNGとして読めません", out.size() + 1));
    }
    out.push_back(std::move(image));
  }
  return out;
}

// The font's file as cairo reads it, which may keep it for longer than the letter takes.
Result<FacePtr> OpenFace(const std::string& file) {
  struct Font {
    FT_Library library = nullptr;
    FT_Face face = nullptr;
    ~Font() {
      if (face != nullptr) FT_Done_Face(face);
      if (library != nullptr) FT_Done_FreeType(library);
    }
  };
  static const cairo_user_data_key_t key{};
  auto font = std::make_unique<Font>();
  if (FT_Init_FreeType(&font->library) != 0 || FT_New_Face(font->library, file.c_str(), 0, &font->face) != 0) {
    return Unavailable("font " + file + ": cannot be read");
  }
  FacePtr out(cairo_ft_font_face_create_for_ft_face(font->face, FT_LOAD_NO_HINTING));
  CHECK(cairo_font_face_set_user_data(out.get(), &key, font.get(),
                                      [](void* kept) { delete static_cast<Font*>(kept); }) == CAIRO_STATUS_SUCCESS);
  font.release();
  return out;
}

void PaintImage(cairo_t* cairo, cairo_surface_t* image, double x, double baseline, double size) {
  const double width = cairo_image_surface_get_width(image);
  const double height = cairo_image_surface_get_height(image);
  const double scale = size / std::max(width, height);
  cairo_save(cairo);
  cairo_translate(cairo, x + (size - width * scale) / 2, baseline - 0.88 * size + (size - height * scale) / 2);
  cairo_scale(cairo, scale, scale);
  cairo_set_source_surface(cairo, image, 0, 0);
  cairo_paint(cairo);
  cairo_restore(cairo);
}

void PaintLine(cairo_t* cairo, const PlacedLine& placed, const std::vector<SurfacePtr>& images) {
  std::string text;
  std::vector<cairo_glyph_t> glyphs;
  std::vector<cairo_text_cluster_t> clusters;
  double x = placed.x;
  for (const GlyphCluster& cluster : placed.line) {
    if (cluster.image >= 0) {
      PaintImage(cairo, images[static_cast<std::size_t>(cluster.image)].get(), x, placed.baseline, placed.size);
    } else {
      for (const PlacedGlyph& glyph : cluster.glyphs) {
        glyphs.push_back({glyph.id, x + glyph.x * placed.size, placed.baseline + glyph.y * placed.size});
      }
      clusters.push_back({static_cast<int>(cluster.text.size()), static_cast<int>(cluster.glyphs.size())});
      text += cluster.text;
    }
    x += cluster.advance * placed.size + placed.gap;
  }
  cairo_set_font_size(cairo, placed.size);
  cairo_set_source_rgb(cairo, 0, 0, 0);
  // With its text, so that what is copied or searched is what is read.
  cairo_show_text_glyphs(cairo, text.data(), static_cast<int>(text.size()), glyphs.data(),
                         static_cast<int>(glyphs.size()), clusters.data(), static_cast<int>(clusters.size()),
                         cairo_text_cluster_flags_t{});
}

void PaintPage(cairo_t* cairo, const Page& page, const std::vector<SurfacePtr>& images) {
  cairo_set_source_rgb(cairo, 0.93, 0.93, 0.93);
  for (const PlacedFill& fill : page.fills) cairo_rectangle(cairo, fill.x, fill.y, fill.width, fill.height);
  cairo_fill(cairo);
  cairo_set_source_rgb(cairo, 0, 0, 0);
  cairo_set_line_width(cairo, kRule);
  cairo_set_line_cap(cairo, CAIRO_LINE_CAP_SQUARE);
  for (const PlacedRule& rule : page.rules) {
    cairo_move_to(cairo, rule.x1, rule.y1);
    cairo_line_to(cairo, rule.x2, rule.y2);
  }
  cairo_stroke(cairo);
  for (const PlacedLine& line : page.lines) PaintLine(cairo, line, images);
  cairo_show_page(cairo);
}

Result<std::string> Draw(const Letter& letter, const std::string& made_at, const std::string& font) {
  ASSIGN_OR_RETURN(const std::unique_ptr<Typeface> typeface, Typeface::Open(font));
  ASSIGN_OR_RETURN(const FacePtr face, OpenFace(font));
  ASSIGN_OR_RETURN(const std::vector<SurfacePtr> images, Images(letter.images));
  Layout layout(*typeface, letter);
  RETURN_IF_ERROR(layout.Place());

  std::string pdf;
  const auto write = [](void* closure, const unsigned char* data, unsigned length) {
    static_cast<std::string*>(closure)->append(reinterpret_cast<const char*>(data), length);
    return CAIRO_STATUS_SUCCESS;
  };
  const SurfacePtr surface(cairo_pdf_surface_create_for_stream(write, &pdf, kPageWidth, kPageHeight));
  cairo_pdf_surface_restrict_to_version(surface.get(), CAIRO_PDF_VERSION_1_5);
  cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_TITLE, letter.title.c_str());
  cairo_pdf_surface_set_metadata(surface.get(), CAIRO_PDF_METADATA_CREATE_DATE, made_at.c_str());
  {
    const CairoPtr cairo(cairo_create(surface.get()));
    cairo_set_font_face(cairo.get(), face.get());
    for (const Page& page : layout.pages()) PaintPage(cairo.get(), page, images);
    if (const cairo_status_t status = cairo_status(cairo.get()); status != CAIRO_STATUS_SUCCESS) {
      return Internal(std::string("pdf: ") + cairo_status_to_string(status));
    }
  }
  cairo_surface_finish(surface.get());
  if (const cairo_status_t status = cairo_surface_status(surface.get()); status != CAIRO_STATUS_SUCCESS) {
    return Internal(std::string("pdf: ") + cairo_status_to_string(status));
  }
  return pdf;
}

}  // namespace

void DrawLetter(const Letter& letter, const std::string& made_at, const std::string& font, Result<std::string>& pdf) {
  pdf = Draw(letter, made_at, font);
}

}  // namespace daicho
