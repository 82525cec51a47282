// variants.tsv as compiled in by ops/embed.cmake: 字体, what it is folded to, source.
#pragma once

#include <string_view>

namespace daicho::variants {

extern const std::string_view k_variants;

}  // namespace daicho::variants
