#include "projections/version_cache.h"

#include <sys/mman.h>

#include <cstring>

namespace daicho {

void VersionCache::Unmap::operator()(Place* places) const { ::munmap(places, bytes); }

VersionCache::VersionCache(const Store& store, std::size_t bytes)
    : store_(store), count_(bytes / sizeof(Place)), places_(nullptr, Unmap{bytes}) {
  if (count_ == 0) return;
  // Zeroes, which are empty places, and no memory before they are used.
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(mapped != MAP_FAILED);
  // Read at random: with small pages most of a look-up would go into finding the page.
  static_cast<void>(::madvise(mapped, bytes, MADV_HUGEPAGE));
  places_.reset(static_cast<Place*>(mapped));
}

Result<Version> VersionCache::Read(KeySlot subject, Position position) const {
  const std::string key = record_file::EncodeKey({subject, position});
  std::string value;
  const std::size_t at = count_ == 0 ? 0 : static_cast<std::size_t>(subject.value() % count_);
  if (count_ != 0) {
    const std::lock_guard lock(MutexOf(at));
    const Place& place = places_[at];
    if (place.subject == subject.value() + 1 && place.position == position.value()) {
      value.assign(place.value.data(), place.size);
    }
  }
  if (value.empty()) {
    auto stored = store_.Get(RecordFile::kVersions, key);
    if (stored.status().code() == Code::kNotFound) return Corrupt("a version that the search index names is not there");
    RETURN_IF_ERROR(stored.status());
    value = *std::move(stored);
    if (count_ != 0 && value.size() <= kValueBytesMax) {
      const std::lock_guard lock(MutexOf(at));
      Place& place = places_[at];
      place.subject = subject.value() + 1;
      place.position = position.value();
      place.size = static_cast<std::uint32_t>(value.size());
      std::memcpy(place.value.data(), value.data(), value.size());
    }
  }
  return record_file::DecodeVersion(key, value);
}

}  // namespace daicho
