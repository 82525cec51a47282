#include "projections/bulk_load.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <vector>

namespace daicho {
namespace {

// Key and value of an entry, one after the other in a buffer.
struct Item {
  std::uint64_t prefix;  // first 8 bytes of the key: most comparisons end here
  std::uint64_t offset;
  std::uint32_t key_bytes;
  std::uint32_t value_bytes;
};

struct Buffer {
  std::string bytes;
  std::vector<std::vector<Item>> families;

  std::string_view Key(const Item& item) const {
    return std::string_view(bytes).substr(item.offset, item.key_bytes);
  }
  std::string_view Value(const Item& item) const {
    return std::string_view(bytes).substr(item.offset + item.key_bytes, item.value_bytes);
  }
};

std::uint64_t PrefixOf(std::string_view key) {
  unsigned char head[8] = {};
  std::memcpy(head, key.data(), std::min<std::size_t>(8, key.size()));
  std::uint64_t out = 0;
  for (const unsigned char byte : head) out = out << 8 | byte;
  return out;
}

Status Ingest(Store& store, Buffer& buffer) {
  for (Family family = 0; family < buffer.families.size(); ++family) {
    std::vector<Item>& items = buffer.families[family];
    if (items.empty()) continue;
    const auto before = [&](const Item& a, const Item& b) {
      if (a.prefix != b.prefix) return a.prefix < b.prefix;
      const int order = buffer.Key(a).compare(buffer.Key(b));
      return order != 0 ? order < 0 : a.offset > b.offset;  // the later of two equals first
    };
    if (!std::is_sorted(items.begin(), items.end(), before)) std::sort(items.begin(), items.end(), before);
    RETURN_IF_ERROR(store.Ingest(family, [&](const auto& add) -> Status {
      const Item* last = nullptr;
      for (const Item& item : items) {
        if (last != nullptr && buffer.Key(*last) == buffer.Key(item)) continue;
        RETURN_IF_ERROR(add(buffer.Key(item), buffer.Value(item)));
        last = &item;
      }
      return {};
    }));
    items.clear();
  }
  buffer.bytes.clear();
  return {};
}

}  // namespace

struct BulkLoad::Impl {
  Store& store;
  std::size_t buffer_bytes;
  Buffer filling, draining;
  std::future<Status> drain;

  Status Drain() {
    if (drain.valid()) RETURN_IF_ERROR(drain.get());
    std::swap(filling, draining);
    drain = std::async(std::launch::async, [this] { return Ingest(store, draining); });
    return {};
  }
};

BulkLoad::BulkLoad(Store& store, std::size_t families, std::size_t buffer_bytes)
    : impl_(new Impl{store, buffer_bytes, {}, {}, {}}) {
  for (Buffer* buffer : {&impl_->filling, &impl_->draining}) {
    buffer->bytes.reserve(buffer_bytes + (1u << 20));
    buffer->families.resize(families);
  }
}

BulkLoad::~BulkLoad() {
  if (impl_->drain.valid()) impl_->drain.wait();
}

Status BulkLoad::Add(Family family, std::string_view key, std::string_view value) {
  Buffer& buffer = impl_->filling;
  buffer.families[family].push_back({PrefixOf(key), buffer.bytes.size(),
                                     static_cast<std::uint32_t>(key.size()),
                                     static_cast<std::uint32_t>(value.size())});
  buffer.bytes.append(key);
  buffer.bytes.append(value);
  return buffer.bytes.size() < impl_->buffer_bytes ? Status() : impl_->Drain();
}

Status BulkLoad::Finish() {
  RETURN_IF_ERROR(impl_->Drain());
  return impl_->drain.get();
}

}  // namespace daicho
