// Naming the items in which two copies differ, by questions and answers. Totals first; then cells in growing numbers
// until they name every item; if that takes too many, the buckets that differ and the items within them by ascending
// code. Questions and answers are bytes: what carries them, and who may ask, is not decided here. Answers of the last
// kind carry 住民票コード in clear, so what carries them must be encrypted.
//
//   question                                              answer
//   01                                                    CopyCut
//   02 ‖ position u64 ‖ varint from ‖ varint count        cells
//   03 ‖ position u64                                     buckets
//   04 ‖ position u64 ‖ (varint passed over ‖ varint       items of those buckets: varint of code less the one before ‖
//      buckets)*                                           id(8)
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "projections/copy_fingerprint.h"

namespace daicho {

inline constexpr std::uint32_t kCopyBucketsAsked = 4'096;  // the items of so many at once
inline constexpr std::size_t kCopyAnswerBytesMax = 64u << 20;  // what carries answers may refuse longer ones

// The other holder. Errors of Ask: its own, and those of what carries it; the question may be asked again.
class CopyHolder {
 public:
  virtual ~CopyHolder() = default;
  virtual Result<std::string> Ask(std::string_view question) = 0;
};

// The side that answers. Nothing is remembered from one question to the next but a long fingerprint, which takes a
// reading of all items.
class CopyAnswers : public CopyHolder {
 public:
  // Of the copy at `position`; `scan` must give the items of the fingerprint. Borrowed.
  CopyAnswers(const CopyFingerprint& fingerprint, Position position, CopyScan scan);
  // Errors: kInvalid for what is no question; kConflict when it asks of another position; those of the scan.
  Result<std::string> Ask(std::string_view question) override;

 private:
  Result<std::string> Cells(std::string_view in);
  Result<std::string> Items(std::string_view in);

  const CopyFingerprint& fingerprint_;
  Position position_;
  CopyScan scan_;
  std::optional<CopyFingerprint> long_;  // once asked for cells from kCopyCells on
};

// How far a comparison has come: all there is to it, so that it may be stored, and go on later where it was.
struct CopyProgress {
  CopyCut there;
  bool opened = false;
  std::uint64_t cells = 0;        // so many were received
  std::string received;           // they
  bool by_bucket = false;         // cells do not do
  std::uint32_t next_bucket = 0;  // those before it are done,
  CopyDifference found;           // with this outcome
  std::uint64_t bytes_sent = 0, bytes_received = 0;

  std::string Encode() const;
  static Result<CopyProgress> Decode(std::string_view bytes);  // Errors: kCorrupt
};

// `scan` gives the items of `here`, which is the copy at `position`. After an error `progress` is where a further call
// begins. Errors: kConflict as Comparable; kCorrupt for answers that cannot be read; kTampered for ones that no copy
// gives, or when what was named does not account for the totals; those of `holder` and `scan`.
Result<CopyDifference> Reconcile(const CopyFingerprint& here, Position position, const CopyScan& scan,
                                 CopyHolder& holder, CopyProgress& progress);

}  // namespace daicho
