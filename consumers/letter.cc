#include "consumers/letter.h"

#include <dlfcn.h>

#include "consumers/letter_drawing.h"
#include "consumers/letter_type.h"
#include "events/utf8.h"

namespace daicho {
namespace {

// Never closed: cairo and fontconfig keep what they have loaded.
Result<decltype(&DrawLetter)> LoadModule() {
  void* module = ::dlopen(kLetterModule, RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return Unavailable(std::string("letters: ") + ::dlerror());
  void* found = ::dlsym(module, "DrawLetter");
  if (found == nullptr) return Unavailable(std::string("letters: ") + ::dlerror());
  return reinterpret_cast<decltype(&DrawLetter)>(found);
}

}  // namespace

std::string Letter::StandIn(std::string png) {
  CHECK(images.size() < kLetterImagesMax);
  std::string out;
  AppendUtf8(out, kImageStandIn + static_cast<char32_t>(images.size()));
  images.push_back(std::move(png));
  return out;
}

Result<std::string> LetterPdf(const Letter& letter, const std::string& font) {
  static const Result<decltype(&DrawLetter)> draw = LoadModule();
  RETURN_IF_ERROR(draw.status());
  Result<std::string> pdf = std::string();
  (*draw)(letter, font, pdf);
  return pdf;
}

}  // namespace daicho
