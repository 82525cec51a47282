// Collects the notices of one month and hands them to the files in each issuer's order of time.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "consumers/generate/notice.h"
#include "consumers/generate/output.h"
#include "events/result.h"

namespace daicho::generate {

class Recorder {
 public:
  explicit Recorder(World& world) : world_(world) {}  // borrowed

  // The person's next notice, as the person is now; counts it and remembers its days.
  void Emit(std::uint32_t person, const Notice& notice);
  Status WriteTo(NoticeFiles& files);

  std::uint64_t size() const { return lines_.size(); }

 private:
  struct Line {
    std::uint8_t issuer;
    Moment notified_at;
    std::uint32_t order;
    std::uint32_t length;
    std::uint64_t offset;
  };

  World& world_;
  std::string text_;
  std::vector<Line> lines_;
};

}  // namespace daicho::generate
