// How the sides of the search bench are checked against each other, and measured.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/search_sides.h"

namespace daicho::search_bench {

struct Measured {
  std::vector<double> micros;  // of each
  double seconds = 0;          // of all
  double cpu_seconds = 0;      // of the asking and the answering thread: what a busy machine does not blur
  std::uint64_t rows = 0;

  void Add(const Measured& more);
};

// Every question of one shape in their order, after 500 of them to warm up.
Result<Measured> MeasureShape(Side& side, std::size_t shape, const Questions& questions);
// `asked` questions by the shapes' weights; the same for the same seed.
Result<Measured> MeasureMix(Side& side, const Questions& questions, std::uint64_t seed, std::size_t asked);

// RESULT side=SIDE WHAT asked=… p50_us=… p90_us=… p99_us=… max_us=… cpu_us=… rate=… rows=…
void Report(const std::string& side, const std::string& what, Measured measured);

// Both must answer every question with the same persons and columns. Beyond kRowsMax - 1 rows it is enough that
// both have more. Differences are printed. Errors: kConflict when there is one.
Status CheckSameRows(Side& expected, Side& actual, const Questions& questions);

}  // namespace daicho::search_bench
