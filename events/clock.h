// The clock, so that tests and replays choose their own time.
#pragma once

#include <atomic>
#include <chrono>

#include "events/ids.h"

namespace daicho {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimeMicros Now() const = 0;
};

class SystemClock final : public Clock {
 public:
  TimeMicros Now() const override {
    return TimeMicros(std::chrono::duration_cast<std::chrono::microseconds>(
                          std::chrono::system_clock::now().time_since_epoch())
                          .count());
  }
};

class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(TimeMicros start) : now_(start.value()) {}
  TimeMicros Now() const override { return TimeMicros(now_.load()); }
  void Advance(std::chrono::microseconds by) { now_ += by.count(); }

 private:
  std::atomic<std::int64_t> now_;
};

}  // namespace daicho
