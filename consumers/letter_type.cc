#include "consumers/letter_type.h"

#include <fmt/format.h>
#include <hb-ot.h>
#include <hb.h>
#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "events/deleter.h"
#include "events/utf8.h"

namespace daicho {
namespace {

using BlobPtr = std::unique_ptr<hb_blob_t, Deleter<hb_blob_destroy>>;
using FacePtr = std::unique_ptr<hb_face_t, Deleter<hb_face_destroy>>;
using FontPtr = std::unique_ptr<hb_font_t, Deleter<hb_font_destroy>>;
using BufferPtr = std::unique_ptr<hb_buffer_t, Deleter<hb_buffer_destroy>>;
using TextPtr = std::unique_ptr<UText, Deleter<utext_close>>;
using BreaksPtr = std::unique_ptr<UBreakIterator, Deleter<ubrk_close>>;

constexpr bool IsSelector(char32_t c) { return Between(c, 0xE0100, 0xE01EF) || Between(c, 0xFE00, 0xFE0F); }

constexpr bool IsImage(char32_t c) { return Between(c, kImageStandIn, kImageStandIn + kLetterImagesMax - 1); }

// The byte offsets at which a line may end. An image breaks as the ideograph does that it mostly is.
std::set<std::size_t> BreaksOf(std::string text) {
  constexpr std::string_view kIdeograph = "\U00020000";  // as long in UTF-8 as a stand-in
  for (std::size_t at = 0; at < text.size(); ++at) {
    std::string_view rest = std::string_view(text).substr(at);
    if (IsImage(TakeCodePoint(rest))) text.replace(at, kIdeograph.size(), kIdeograph);
  }
  UErrorCode error = U_ZERO_ERROR;
  const TextPtr utext(utext_openUTF8(nullptr, text.data(), static_cast<std::int64_t>(text.size()), &error));
  const BreaksPtr breaks(ubrk_open(UBRK_LINE, "ja@lb=strict", nullptr, 0, &error));
  if (breaks != nullptr) ubrk_setUText(breaks.get(), utext.get(), &error);
  CHECK(U_SUCCESS(error));
  std::set<std::size_t> out;
  for (std::int32_t at = ubrk_first(breaks.get()); at != UBRK_DONE; at = ubrk_next(breaks.get())) {
    out.insert(static_cast<std::size_t>(at));
  }
  return out;
}

// One character and its selector from the front.
struct Character {
  char32_t c;
  std::optional<char32_t> selector;

  explicit Character(std::string_view& text) : c(TakeCodePoint(text)) {
    std::string_view rest = text;
    if (c == kDamaged || rest.empty()) return;
    if (const char32_t next = TakeCodePoint(rest); next != kDamaged && IsSelector(next)) {
      selector = next;
      text = rest;
    }
  }
};

std::string NameOf(const Character& character) {
  std::string out = fmt::format("U+{:04X}", static_cast<std::uint32_t>(character.c));
  if (character.selector) out += fmt::format(" U+{:04X}", static_cast<std::uint32_t>(*character.selector));
  return out;
}

// A substitution would draw another glyph than the one that was looked up.
constexpr std::array<const char*, 6> kNoSubstitution = {"liga", "clig", "calt", "locl", "rlig", "dlig"};

}  // namespace

struct Typeface::Impl {
  FontPtr font;
  double em = 1;

  // None also where the font has the character and not the variant.
  std::optional<hb_codepoint_t> GlyphOf(const Character& of) const {
    hb_codepoint_t glyph = 0;
    const bool there = of.selector ? hb_font_get_variation_glyph(font.get(), of.c, *of.selector, &glyph) != 0
                                   : hb_font_get_nominal_glyph(font.get(), of.c, &glyph) != 0;
    return there && glyph != 0 ? std::optional(glyph) : std::nullopt;
  }

  Status Check(std::string_view text) const;
  // Appends what draws `text`, which holds neither images nor newlines.
  Status Shape(std::string_view text, std::vector<GlyphCluster>& out) const;
};

Status Typeface::Impl::Check(std::string_view text) const {
  while (!text.empty()) {
    const Character next(text);
    if (next.c == kDamaged) return Invalid("文字列がUTF-8ではありません");
    if (next.c < 0x20 || !GlyphOf(next)) {
      return Invalid(NameOf(next) + "の字形が書体にないため印字できません");
    }
  }
  return {};
}

Status Typeface::Impl::Shape(std::string_view text, std::vector<GlyphCluster>& out) const {
  if (text.empty()) return {};
  RETURN_IF_ERROR(Check(text));
  const BufferPtr buffer(hb_buffer_create());
  hb_buffer_add_utf8(buffer.get(), text.data(), static_cast<int>(text.size()), 0, -1);
  hb_buffer_set_cluster_level(buffer.get(), HB_BUFFER_CLUSTER_LEVEL_MONOTONE_GRAPHEMES);
  hb_buffer_set_direction(buffer.get(), HB_DIRECTION_LTR);
  hb_buffer_set_script(buffer.get(), HB_SCRIPT_HAN);
  hb_buffer_set_language(buffer.get(), hb_language_from_string("ja", -1));
  std::array<hb_feature_t, kNoSubstitution.size()> features{};
  std::ranges::transform(kNoSubstitution, features.begin(), [](const char* name) {
    return hb_feature_t{hb_tag_from_string(name, -1), 0, HB_FEATURE_GLOBAL_START, HB_FEATURE_GLOBAL_END};
  });
  hb_shape(font.get(), buffer.get(), features.data(), features.size());
  unsigned count = 0;
  const hb_glyph_info_t* infos = hb_buffer_get_glyph_infos(buffer.get(), &count);
  const hb_glyph_position_t* positions = hb_buffer_get_glyph_positions(buffer.get(), &count);
  for (unsigned at = 0; at < count;) {
    const std::size_t begin = infos[at].cluster;
    GlyphCluster cluster;
    for (; at < count && infos[at].cluster == begin; ++at) {
      cluster.glyphs.push_back(
          {infos[at].codepoint, cluster.advance + positions[at].x_offset / em, -positions[at].y_offset / em});
      cluster.advance += positions[at].x_advance / em;
    }
    const std::size_t end = at < count ? infos[at].cluster : text.size();
    cluster.text = text.substr(begin, end - begin);
    std::string_view rest = cluster.text;
    const Character single(rest);
    const bool other = rest.empty() ? cluster.glyphs.size() != 1 || cluster.glyphs[0].id != GlyphOf(single)
                                    : std::ranges::count(cluster.glyphs, 0U, &PlacedGlyph::id) > 0;
    if (other) return Invalid(NameOf(single) + "が別の字形になるため印字できません");
    out.push_back(std::move(cluster));
  }
  return {};
}

Typeface::Typeface(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Typeface::~Typeface() = default;

Result<std::unique_ptr<Typeface>> Typeface::Open(const std::string& file) {
  const BlobPtr blob(hb_blob_create_from_file_or_fail(file.c_str()));
  if (blob == nullptr) return Unavailable("font " + file + ": cannot be read");
  const FacePtr face(hb_face_create(blob.get(), 0));
  if (hb_face_get_glyph_count(face.get()) == 0) return Unavailable("font " + file + ": not a font");
  auto impl = std::make_unique<Impl>();
  impl->font.reset(hb_font_create(face.get()));
  impl->em = hb_face_get_upem(face.get());
  return std::unique_ptr<Typeface>(new Typeface(std::move(impl)));
}

Result<std::vector<GlyphCluster>> Typeface::Set(std::string_view text, std::size_t images) const {
  std::vector<GlyphCluster> out;
  std::size_t plain = 0;  // where what is neither image nor newline begins
  for (std::size_t at = 0; at < text.size();) {
    std::string_view rest = text.substr(at);
    const char32_t c = TakeCodePoint(rest);
    if (c == kDamaged) return Invalid("文字列がUTF-8ではありません");
    const std::size_t next = text.size() - rest.size();
    if (c == U'\n' || IsImage(c)) {
      RETURN_IF_ERROR(impl_->Shape(text.substr(plain, at - plain), out));
      GlyphCluster cluster;
      cluster.text = text.substr(at, next - at);
      cluster.must_break = c == U'\n';
      if (IsImage(c)) {
        cluster.image = static_cast<int>(c - kImageStandIn);
        cluster.advance = 1;
        if (static_cast<std::size_t>(cluster.image) >= images) return Invalid("外字の画像がありません");
      }
      out.push_back(std::move(cluster));
      plain = next;
    }
    at = next;
  }
  RETURN_IF_ERROR(impl_->Shape(text.substr(plain), out));
  const std::set<std::size_t> breaks = BreaksOf(std::string(text));
  for (GlyphCluster& cluster : out) {
    cluster.may_break =
        breaks.contains(static_cast<std::size_t>(cluster.text.data() - text.data()) + cluster.text.size());
  }
  return out;
}

double WidthOf(GlyphLine line) {
  double width = 0;
  for (const GlyphCluster& cluster : line) width += cluster.advance;
  return width;
}

std::vector<GlyphLine> BreakLines(std::span<const GlyphCluster> clusters, double width, double indent) {
  constexpr double kRounding = 1e-6;
  std::vector<GlyphLine> out;
  std::size_t begin = 0;
  double used = indent;
  std::size_t fits = 0;  // the last place so far where the line may end; begin: none
  for (std::size_t at = 0; at < clusters.size(); ++at) {
    const GlyphCluster& cluster = clusters[at];
    if (cluster.must_break) {
      out.push_back(clusters.subspan(begin, at - begin));
      begin = fits = at + 1;
      used = 0;
      continue;
    }
    const bool blank = cluster.text == " " || cluster.text == "　";  // may hang over the end of a line
    if (used + cluster.advance > width + kRounding && at > begin && !blank) {
      const std::size_t end = fits > begin ? fits : at;
      out.push_back(clusters.subspan(begin, end - begin));
      begin = fits = end;
      used = WidthOf(clusters.subspan(begin, at - begin));
    }
    used += cluster.advance;
    if (cluster.may_break) fits = at + 1;
  }
  out.push_back(clusters.subspan(begin));
  return out;
}

}  // namespace daicho
