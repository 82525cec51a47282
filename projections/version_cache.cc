#include "projections/version_cache.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace daicho {

void VersionCache::Unmap::operator()(Place* places) const { ::munmap(places, count * sizeof(Place)); }

VersionCache::VersionCache(const Store& store, std::size_t bytes)
    : store_(store), count_(std::max<std::size_t>(bytes / sizeof(Place), 1)), places_(nullptr, Unmap{count_}) {
  // Zeroes, which are empty places, and no memory before they are used.
  const std::size_t size = count_ * sizeof(Place);
  void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(mapped != MAP_FAILED);
  // Read at random: with small pages most of a look-up would go into finding the page.
  static_cast<void>(::madvise(mapped, size, MADV_HUGEPAGE));
  places_.reset(static_cast<Place*>(mapped));
}

std::string VersionCache::Find(KeySlot subject, Position position) const {
  const std::size_t at = PlaceOf(subject);
  const std::lock_guard lock(MutexOf(at));
  const Place& place = places_[at];
  if (place.subject != subject.value() + 1 || place.position != position.value()) return {};
  return std::string(place.value.data(), place.size);
}

void VersionCache::Keep(KeySlot subject, Position position, std::string_view value) const {
  if (value.size() > kValueBytesMax) return;
  const std::size_t at = PlaceOf(subject);
  const std::lock_guard lock(MutexOf(at));
  Place& place = places_[at];
  place.subject = subject.value() + 1;
  place.position = position.value();
  place.size = static_cast<std::uint32_t>(value.size());
  std::memcpy(place.value.data(), value.data(), value.size());
}

Result<Version> VersionCache::Read(KeySlot subject, Position position) const {
  const std::string key = record_file::EncodeKey({subject, position});
  if (const std::string kept = Find(subject, position); !kept.empty()) return record_file::DecodeVersion(key, kept);
  const auto stored = store_.Get(RecordFile::kVersions, key);
  if (stored.status().code() == Code::kNotFound) return Corrupt("a version that the search index names is not there");
  RETURN_IF_ERROR(stored.status());
  Keep(subject, position, *stored);
  return record_file::DecodeVersion(key, *stored);
}

}  // namespace daicho
