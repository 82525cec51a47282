// VersionCache: versions by slot and position, those read lately in memory. A version never changes while its store
// lives, so what is kept is never stale.
//
// A table of equal places, without a list of what was used last: a slot has one place, and there are as many as fit, so
// that neighbours do not displace each other. Finding a version is one place of memory instead of the way down to a
// block of RocksDB and through it, which is some 20.
#pragma once

#include <array>
#include <memory>
#include <mutex>

#include "projections/record_file.h"

namespace daicho {

class VersionCache {
 public:
  // Longer versions, as those with images of glyphs, are not kept.
  static constexpr std::size_t kValueBytesMax = 364;

  // `store`: borrowed. `bytes`: at most so many are used, but for one place that there always is; memory is taken as it
  // fills.
  VersionCache(const Store& store, std::size_t bytes);

  // The version that stands at exactly `position`. Errors: kCorrupt when none does. Thread-safe.
  Result<Version> Read(KeySlot subject, Position position) const;

 private:
  struct Place {
    std::uint64_t subject = 0;  // + 1; 0: empty
    std::uint64_t position = 0;
    std::uint32_t size = 0;
    std::array<char, kValueBytesMax> value;
  };
  static_assert(sizeof(Place) == 384);
  struct Unmap {
    std::size_t count;
    void operator()(Place* places) const;
  };

  // Its value, if it is kept; else empty.
  std::string Find(KeySlot subject, Position position) const;
  void Keep(KeySlot subject, Position position, std::string_view value) const;
  std::size_t PlaceOf(KeySlot subject) const { return static_cast<std::size_t>(subject.value() % count_); }
  std::mutex& MutexOf(std::size_t place) const { return mutexes_[place % mutexes_.size()]; }

  const Store& store_;
  std::size_t count_;
  std::unique_ptr<Place[], Unmap> places_;
  mutable std::array<std::mutex, 64> mutexes_;
};

}  // namespace daicho
