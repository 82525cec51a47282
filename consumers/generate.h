// Synthetic notices of Gunma's 35 municipalities: an initial load and some years of life on top.
// The same options give the same bytes on every machine: integers only, an own random generator,
// no clock. Memory is proportional to the residents (some 300 bytes each), not to the notices.
// The people are invented; data/ and README.md say where names and towns come from.
//
//   OUT/0001/102016-000001.ndjson   round 0001: everyone resident on the first day, one entry each
//   OUT/0002/…                      one round per month, the last one ends on 2026-11-20
//   OUT/manifest.json               what was written, the expected final counts, examples
//
// Files of one round may be sent concurrently and in any order of issuers (per issuer by
// sequence); a round must be admitted before the next one is sent. Within a round a resident has
// notices of one issuer only, with one exception: a move between two municipalities, where the
// removal is the only notice of the old one and the move-in the only notice of the new one, so that
// the move-in never runs more than one ahead.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "events/result.h"

namespace daicho {

struct GenerateOptions {
  std::uint64_t residents = 0;  // 1 … kGenerateResidentsMax, alive on the first day
  std::uint64_t seed = 0;
  std::string out;  // created if missing; must not hold anything yet
  int years = 5;    // 0 … kGenerateYearsMax; 0: the initial load only
  // Called every few thousand notices and at the end. `total` is an estimate until the last call.
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

inline constexpr std::uint64_t kGenerateResidentsMax = 50'000'000;
inline constexpr int kGenerateYearsMax = 20;

struct GenerateSummary {
  std::uint64_t rounds = 0;
  std::uint64_t files = 0;
  std::uint64_t notices = 0;
  std::uint64_t bytes = 0;      // of the notice files
  std::uint64_t residents = 0;  // resident after the last round
  std::uint64_t removed = 0;    // known, but removed
};

// Guarantees: the manifest is written last, so that a directory with one is complete.
// Errors: kInvalid for options out of range, kConflict if `out` is not empty, kUnavailable for I/O.
Result<GenerateSummary> Generate(const GenerateOptions& options);

}  // namespace daicho
