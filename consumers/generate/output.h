// The directory of notice files: cuts each issuer's lines into files, numbers and hashes them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "events/result.h"

namespace daicho::generate {

struct RoundTotals {
  std::uint64_t files = 0;
  std::uint64_t notices = 0;
  std::uint64_t bytes = 0;
};

class NoticeFiles {
 public:
  // Creates `directory`, which must be absent or empty. `issuers` are the municipality codes.
  static Result<NoticeFiles> Create(std::string directory, std::vector<std::string> issuers);

  Status BeginRound(int round);
  // Appends a line (without newline) to the issuer's current file, which is written when full.
  Status Add(std::size_t issuer, std::string_view line);
  // Writes what is left of the round.
  Result<RoundTotals> EndRound();

  // Requires: nothing is left of a round.
  Status WriteManifest(std::string_view json);

 private:
  struct Issuer {
    std::string code;
    std::string lines;
    std::uint64_t count = 0;
    std::uint64_t sequence = 0;
  };

  NoticeFiles(std::string directory, std::vector<std::string> issuers);
  Status Flush(Issuer& issuer);

  std::string directory_;
  std::string round_directory_;
  std::vector<Issuer> issuers_;
  RoundTotals totals_;
};

}  // namespace daicho::generate
