// What the module libdaicho_letters.so exports. LetterPdf loads it for the first letter: cairo comes with 20 libraries
// (X11, fontconfig, GLib), and every command would take 9 ms longer to start.
#pragma once

#include "consumers/letter.h"

namespace daicho {

inline constexpr const char* kLetterModule = "libdaicho_letters.so";

// LetterPdf; `made_at` as RFC 3339.
extern "C" [[gnu::visibility("default")]] void DrawLetter(const Letter& letter, const std::string& made_at,
                                                          const std::string& font, Result<std::string>& pdf);

}  // namespace daicho
