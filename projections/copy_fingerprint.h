// CopyFingerprint: what is kept of a copy of the record file so that two copies are compared without sending them.
// The first cells of its sketch, which name up to some 22,000 items that differ; a count and a sum of macs for
// each of 65,536 ranges of 住民票コード, which tell where more of them are; count and sum of all. Each is a function of the
// set of items alone, and follows it item by item: a changed row is its old item removed and its new one added.
//
// 4 MB; 13 of a long one. To copy one is to take a snapshot. An object belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events/ids.h"
#include "projections/copy_sketch.h"

namespace daicho {

inline constexpr std::size_t kCopyCells = 32'768;
// Of a long sketch, which names up to some 190,000. Beyond, it is cheaper to send the items.
inline constexpr std::size_t kCopyCellsMax = 262'144;
inline constexpr std::uint32_t kCopyBuckets = 65'536;

// Count, and sum modulo 2^256 of macs as little-endian numbers: its first 16 bytes are the sum of the ids in cells.
struct CopyTotal {
  std::uint64_t count = 0;
  std::array<std::uint64_t, 4> sum{};

  void Add(const Digest& mac);
  void Remove(const Digest& mac);
  friend bool operator==(const CopyTotal&, const CopyTotal&) = default;
};

// What a side says of its copy before anything else.
struct CopyCut {
  std::uint32_t epoch = 0;
  CopyKeying::KeyId key_id{};
  Position position;  // after which entry of the prefecture's ledger the copy was taken
  CopyTotal total;
  friend bool operator==(const CopyCut&, const CopyCut&) = default;

  static constexpr std::size_t kBytes = 60;
  std::string Encode() const;
  static Result<CopyCut> Decode(std::string_view bytes);  // Errors: kCorrupt
};
// Errors: kConflict unless the two can be compared: one key, one position.
Status Comparable(const CopyCut& here, const CopyCut& there);

// Errors: kTampered unless the totals differ by exactly those items: count, and sum of ids modulo 2^64.
Status AccountFor(const CopyDifference& difference, const CopyTotal& here, const CopyTotal& there);

// Which of the kCopyBuckets a code is in, and where the bucket's codes begin (of kCopyBuckets: kCopyCodeEnd).
std::uint32_t BucketOf(std::uint64_t code);
std::uint64_t BucketStart(std::uint32_t bucket);

class CopyFingerprint {
 public:
  explicit CopyFingerprint(std::shared_ptr<const CopyKeying> keying, std::size_t cells = kCopyCells);
  // The same of kCopyCellsMax cells. `scan` gives its items. Errors: kConflict when it gives others; those of the scan.
  Result<CopyFingerprint> Lengthened(const CopyScan& scan) const;

  void Add(const CopyItem& item);
  // Requires: it was added.
  void Remove(const CopyItem& item);

  const CopyKeying& keying() const { return *keying_; }
  const CopyTotal& total() const { return total_; }
  CopyCut Cut(Position position) const { return {keying_->epoch(), keying_->key_id(), position, total_}; }
  std::span<const CopyCell> cells() const { return cells_; }
  std::span<const CopyTotal> buckets() const { return buckets_; }

  // For the store: 3.4 MB. Requires: kCopyCells cells. Errors: kConflict for one of another key; kCorrupt.
  std::string Encode() const;
  static Result<CopyFingerprint> Decode(std::shared_ptr<const CopyKeying> keying, std::string_view bytes);

 private:
  std::shared_ptr<const CopyKeying> keying_;
  CopyTotal total_;
  std::vector<CopyCell> cells_;
  std::vector<CopyTotal> buckets_;
};

// Count and the first 16 bytes of the sum of each bucket: 1.1 MB.
std::string EncodeBuckets(const CopyFingerprint& fingerprint);
// The buckets in which `fingerprint` differs from those, ascending. Errors: kCorrupt.
Result<std::vector<std::uint32_t>> DifferingBuckets(const CopyFingerprint& fingerprint, const CopyTotal& total,
                                                    std::string_view buckets);

// --- The one-shot file: all that a fingerprint says, for who compares it with its own of the same position.

// 2.1 MB whatever the copies are, 9.0 MB of a long fingerprint. Tells who has not the key how many items there are, and
// nothing of any.
std::string WriteSketchFile(const CopyFingerprint& fingerprint, Position position);
// Of a copy with a fingerprint, a position and a Scan, which is read where its fingerprint is to be lengthened.
template <typename Copy>
Result<std::string> SketchOf(Copy& copy, bool lengthened) {
  if (!lengthened) return WriteSketchFile(copy.fingerprint(), copy.position());
  ASSIGN_OR_RETURN(const CopyFingerprint fingerprint, copy.fingerprint().Lengthened(ScanOf(copy)));
  return WriteSketchFile(fingerprint, copy.position());
}

// Whether a file that begins so is a sketch file, of whatever version.
bool IsSketchFile(std::string_view beginning);
inline constexpr std::size_t kSketchFileBeginning = 32;  // bytes that are enough to tell
struct SketchHead {
  CopyCut cut;            // which copy it is of
  std::size_t cells = 0;  // kCopyCells or kCopyCellsMax
};
// Not verified yet. Errors: kCorrupt, kUnsupported.
Result<SketchHead> ReadSketchHead(std::string_view file);

struct SketchComparison {
  CopyCut there;
  bool complete = false;                // `difference` is all of it
  CopyDifference difference;
  std::vector<std::uint32_t> buckets;   // where the differences are
};
// Requires: `here` has no fewer cells than the file.
// Errors: kConflict as Comparable; kCorrupt, kUnsupported; kTampered for bytes not made with the key, and when
// what the cells name does not account for the totals.
Result<SketchComparison> CompareSketchFile(const CopyFingerprint& here, Position position, std::string_view file);

}  // namespace daicho
