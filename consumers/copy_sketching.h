// What a municipality hands over in place of its copy file: a sketch file (projections/copy_fingerprint.h) of the rows
// that stand with it, under the key that the prefecture gave it. It names to the prefecture the records that differ, and
// tells who has not that key how many there are and nothing of any.
//
//   copy file, key ─► daicho gateway sketch ─► sketch file ─► daicho reconcile --with FILE --holder C
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "consumers/notice_file.h"
#include "events/ids.h"

namespace daicho {

struct CopySketchOrder {
  std::string gateway;    // its home
  std::string key, copy;  // files: as `consistency key` wrote it; consumers/copy_file.h
  std::string out;
  bool lengthened = false;  // names some 130,000 records instead of 17,000 (copy_fingerprint.h)
  std::optional<Position> position;  // behind which entry the copy was taken; none: that of the newest notice admitted
};

struct CopySketch {
  Position position;
  std::uint64_t rows = 0;         // that it is of
  std::uint64_t passed_over = 0;  // of the copy file: who is removed, or stands elsewhere
  std::vector<FileError> errors;  // not empty: the copy file is refused, and nothing was written
};

// Errors: kNotFound, kInvalid with what is wrong with home, key or holder; kUnavailable. Nothing is written then.
Result<CopySketch> WriteCopySketch(const CopySketchOrder& order);

}  // namespace daicho
