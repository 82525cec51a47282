// A stream of bytes, decompressed on the way if its first bytes say gzip or zstd.
#pragma once

#include <cstdint>
#include <functional>
#include <iosfwd>
#include <string_view>

#include "events/result.h"

namespace daicho {

enum class StreamEnd {
  kComplete,
  kStopped,    // the sink wanted no more
  kTooLong,    // more than `input_bytes_max` came in
  kTruncated,  // the input ended within compressed data
  kDamaged,    // compressed data that does not decode, or needs more than 16 MiB to be decoded
  kTrailing,   // something follows the compressed data
};

// Hands the bytes to `sink` in pieces of at most 64 KiB until it returns false. Memory is constant.
// A file of several gzip members or zstd frames is their concatenation, as for gzip(1) and zstd(1).
// Errors: kUnavailable when reading fails.
Result<StreamEnd> Decompress(std::istream& in, std::uint64_t input_bytes_max,
                             const std::function<bool(std::string_view)>& sink);

}  // namespace daicho
