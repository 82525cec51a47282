// One line of progress with rate and time left: redrawn on a terminal, a plain line every few seconds
// otherwise. Silent for work that is over at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace daicho {

class Progress {
 public:
  explicit Progress(std::string what) : what_(std::move(what)) {}
  ~Progress();
  void Set(std::uint64_t done, std::uint64_t total);

 private:
  void Show(bool last);
  std::string what_;
  std::uint64_t done_ = 0, total_ = 0;
  bool shown_ = false;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_shown_ = begun_;
};

}  // namespace daicho
