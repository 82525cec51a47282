// The files of data/ as compiled in by ops/embed.cmake.
#pragma once

#include <string_view>

namespace daicho::generate {

extern const std::string_view k_buildings;
extern const std::string_view k_foreign_names;
extern const std::string_view k_given_names;
extern const std::string_view k_municipalities;
extern const std::string_view k_nations;
extern const std::string_view k_surname_parts;
extern const std::string_view k_surnames;
extern const std::string_view k_towns;

}  // namespace daicho::generate
