// Sorts more rows than memory holds. Runs of them are sorted in memory and lie in one file, which has no name any
// more once it is open, mode 0600, and is encrypted under a key that only this object has: what the disk keeps of it
// says nothing.
//
// One thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "events/crypto.h"
#include "ledger/files.h"

namespace daicho {

class SpillSort {
 public:
  static constexpr std::size_t kKeyBytesMax = 255;
  static constexpr std::size_t kRowBytesMax = 16u << 20;

  // `directory` must exist by the time that more than `run_bytes` have come.
  SpillSort(std::string directory, std::size_t run_bytes);

  // Requires: key and value within the limits; Finish was not called. Errors: kUnavailable.
  Status Add(std::string_view key, std::string_view value);
  // After the last row. Errors: kUnavailable.
  Status Finish();

  // The values by ascending key, bytewise; those of one key as they were added. From the first again with Rewind.
  // Requires: finished. `value` stays until the next call. Errors: kUnavailable, kCorrupt.
  Status Rewind();
  Result<bool> Next(std::string_view& value);

 private:
  // Rows of a run, read in order from memory or from the file.
  struct Run {
    std::uint64_t next = 0, end = 0;  // in the file
    std::string buffer;               // deciphered, read up to `at`
    std::size_t at = 0;
    std::string_view key, value;      // of the row that comes next
  };

  Status Spill();
  Status Open();
  Status Write(std::string_view bytes);
  Status Fill(Run& run, std::size_t size);
  Result<bool> Advance(Run& run);
  bool After(std::size_t a, std::size_t b) const;

  std::string directory_;
  std::size_t run_bytes_;
  std::string rows_;                 // length u32 ‖ key length(1) ‖ key ‖ value, each
  std::vector<std::uint64_t> index_;  // where they begin

  Descriptor file_;
  Key256 key_ = RandomArray<32>();
  std::uint64_t written_ = 0;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spilled_;  // from, to

  std::vector<Run> runs_;
  std::vector<std::size_t> heap_;  // runs with a row, the one of the least key first
  std::size_t given_ = 0;          // rows since Rewind
  bool started_ = false;
};

}  // namespace daicho
