// Text set in one font: characters to glyphs, and glyphs to lines. The one door to HarfBuzz.
//
// What is drawn is what was checked. A text that holds a character, or a character with a variation selector (IVS),
// that the font has no glyph for is refused: no other font steps in, and no base glyph stands for the variant that was
// meant. Lengths are in em, to be multiplied by the size of the type.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "events/result.h"

namespace daicho {

// 外字: characters of Plane 15, which no text of the record may hold, stand for images of the letter, one em square.
inline constexpr char32_t kImageStandIn = 0xF0000;
inline constexpr std::size_t kLetterImagesMax = 1'000;

struct PlacedGlyph {
  std::uint32_t id = 0;
  double x = 0;  // from the cluster's origin
  double y = 0;  // downwards
};

// What is drawn as one: a character with its selector and marks, or an image.
struct GlyphCluster {
  std::string_view text;  // of the text that was set
  std::vector<PlacedGlyph> glyphs;
  double advance = 0;
  int image = -1;           // index of the image drawn instead of glyphs
  bool may_break = false;   // a line may end after it
  bool must_break = false;  // a newline: draws nothing
};

using GlyphLine = std::span<const GlyphCluster>;

class Typeface {
 public:
  // Errors: kUnavailable when there is no such font.
  static Result<std::unique_ptr<Typeface>> Open(const std::string& file);
  ~Typeface();

  // The glyphs of a text, which must outlive them. `images`: how many there are to stand in. Errors: kInvalid, naming
  // the character that cannot be drawn; also for text that is not UTF-8, and for an image that is not there.
  Result<std::vector<GlyphCluster>> Set(std::string_view text, std::size_t images) const;

 private:
  struct Impl;
  explicit Typeface(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Cut into lines of at most `width`, the first begun at `indent`, by the rules for Japanese (禁則). What has no break
// within a line is cut where the line is full. At least one line.
std::vector<GlyphLine> BreakLines(std::span<const GlyphCluster> clusters, double width, double indent = 0);
double WidthOf(GlyphLine line);

}  // namespace daicho
