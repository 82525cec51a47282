#include "consumers/letter.h"

#include <dlfcn.h>

#include <filesystem>

#include "consumers/letter_drawing.h"
#include "consumers/letter_type.h"
#include "events/dates.h"
#include "events/utf8.h"

namespace daicho {
namespace {

struct Module {
  decltype(&DrawLetter) draw;
};

// Beside the program, or beside daicho in its build. By its path: a search by name might find another, and a
// sanitizer's dlopen does not search where the program says.
std::string ModulePath() {
  std::error_code error;
  const auto directory = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const auto beside = directory / kLetterModule;
  return std::filesystem::exists(beside, error) ? beside : directory.parent_path() / "consumers" / kLetterModule;
}

// Never closed: cairo and fontconfig keep what they have loaded.
Result<Module> LoadModule() {
  void* module = ::dlopen(ModulePath().c_str(), RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) return Unavailable(std::string("letters: ") + ::dlerror());
  void* found = ::dlsym(module, "DrawLetter");
  if (found == nullptr) return Unavailable(std::string("letters: ") + ::dlerror());
  return Module{reinterpret_cast<decltype(&DrawLetter)>(found)};
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
  static const Result<Module> module = LoadModule();
  RETURN_IF_ERROR(module.status());
  Result<std::string> pdf = std::string();
  const TimeMicros second(letter.made_at.value() / 1'000'000 * 1'000'000);
  module->draw(letter, FormatTimestamp(second), font, pdf);
  return pdf;
}

}  // namespace daicho
