// Version marks: the versions of a record file as keyed hashes, so that two record files are compared version by version
// wherever they lie, and nothing of a person leaves either. What is the same of two: every version, byte for byte. The key
// belongs to one comparison.
//
// Versions are kept by position, so a record file is compared as of any entry that it has applied, also while it goes on. What
// an erasure took is not there for any position: a person whose versions it took is marked so.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/lthash.h"
#include "ledger/store.h"
#include "projections/copy_item.h"
#include "projections/record_file.h"

namespace daicho {

struct VersionMark {
  Position position;
  Digest mac{};  // of all that is stored of the version
};
// One person's, newest first.
struct SubjectMarks {
  KeySlot slot;
  SubjectHandle handle{};           // zeros when no version can be decoded, or none is left
  bool erased = false;              // an erasure took versions of this person
  std::optional<Digest> standing;   // of the row that stands, as a copy's item (record_copy.h)
  std::vector<VersionMark> versions;
};
struct VersionPage {
  std::vector<SubjectMarks> subjects;  // by ascending slot
  LtHash content;                      // of their versions, as RecordFile::ContentDigest
  std::optional<KeySlot> next;         // where the next page begins; none: this is the last

  std::string Encode() const;
  static Result<VersionPage> Decode(std::string_view bytes);  // Errors: kCorrupt
};
// The persons from `from` on, of `most` versions or few more, as known behind the entry at `at`. A version that cannot be decoded
// has its mark, and no part in `content` or `standing`.
Result<VersionPage> ReadVersionPage(const Store& record_file, const CopyKeying& keying, KeySlot from, Position at,
                                    std::size_t most = 4'096);

// What a record file says of itself, as of one moment.
struct RecordFileState {
  LedgerId ledger{};
  Position next;     // everything below it is applied
  Digest content{};  // RecordFile::ContentDigest, as it was kept along the way
};
// Errors: kNotFound while nothing was applied.
Result<RecordFileState> StateOf(const Store& record_file);

struct VersionDifference {
  enum class What { kOnlyFirst, kOnlySecond, kBytes };
  SubjectHandle handle{};
  Position position;
  What what = What::kBytes;
  bool erased = false;    // the side that lacks it has erased versions of this person
  bool standing = false;  // the person's standing row differs
};
struct VersionComparison {
  struct Side {
    std::uint64_t subjects = 0, versions = 0;
    std::uint64_t only = 0;         // versions that the other lacks
    std::uint64_t only_erased = 0;  // of those: of persons of whom the other has erased versions
    LtHash content;
  };
  Side first, second;
  std::uint64_t bytes_differ = 0;  // versions
  std::uint64_t subjects = 0;      // who differ
  std::uint64_t standing = 0;      // of those: whose standing row does

  bool same() const { return first.only + second.only + bytes_differ == 0; }
};
using VersionPages = std::function<Result<VersionPage>(KeySlot from)>;
using VersionSink = std::function<Status(const VersionDifference&)>;
// Each difference by ascending slot, a person's newest first. Requires: pages of one key and one position. Memory: a page of each.
Result<VersionComparison> CompareVersions(const VersionPages& first, const VersionPages& second, const VersionSink& sink);

}  // namespace daicho
