// Store: an ordered key-value store in one directory (RocksDB), divided into families. The one door
// to RocksDB: LocalLog, the sequencer's state and the projections all stand on it.
//
// Thread-safe, but for a StoreIterator, which belongs to one thread. A process that opens a Store has it
// alone. Damaged files are reported (kCorrupt), never repaired by guessing; only a torn last write of
// the write-ahead log is dropped. With a file key, no byte of what it holds reaches the disk in clear.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "events/crypto.h"
#include "events/result.h"

namespace daicho {

struct StoreOptions {
  std::string path;
  std::vector<std::string> families;       // created when missing; families found on disk are opened too
  bool write_ahead_log = true;             // false: a crash falls back to a consistent earlier state
  std::size_t write_buffer_bytes = 32u << 20;   // per family
  std::size_t write_buffers_total_bytes = 192u << 20;
  std::size_t block_cache_bytes = 128u << 20;
  // Hundreds of families, most of them nearly empty: each takes memory in small pieces and keeps no filter in front of
  // what is not on disk yet, or together they would fill write_buffers_total_bytes by being there.
  bool many_families = false;
  bool read_only = false;
  std::optional<Key256> file_key = {};     // every file is AES-256-CTR under it
};

using Family = std::uint32_t;

class StoreBatch {
 public:
  StoreBatch();
  ~StoreBatch();
  StoreBatch(StoreBatch&&) noexcept;
  StoreBatch& operator=(StoreBatch&&) noexcept;
  void Put(Family family, std::string_view key, std::string_view value);
  void Delete(Family family, std::string_view key);
  void Clear();
  std::size_t bytes() const;

 private:
  friend class Store;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class StoreIterator {
 public:
  ~StoreIterator();
  StoreIterator(StoreIterator&&) noexcept;
  StoreIterator& operator=(StoreIterator&&) noexcept;
  // To the first key >= target.
  void Seek(std::string_view target);
  // To the last key <= target.
  void SeekForPrev(std::string_view target);
  void SeekToFirst();
  void SeekToLast();
  void Next();
  void Prev();
  bool Valid() const;
  std::string_view key() const;    // valid until the iterator moves
  std::string_view value() const;
  Status status() const;           // why Valid() is false, if not for want of keys

 private:
  friend class Store;
  struct Impl;
  explicit StoreIterator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class Store {
 public:
  // Errors: kUnavailable while another has it open; kInvalid for a store in clear opened with a key, or an
  // encrypted one without; kTampered for another key than the store's; kCorrupt.
  static Result<std::unique_ptr<Store>> Open(const StoreOptions& options);
  // Removes the store with its directory; nothing when there is none.
  // Errors: kUnavailable while another has it open, kInvalid when the directory is no store.
  static Status Destroy(const std::string& path);
  ~Store();
  Store(const Store&) = delete;

  // Families are numbered in the order of StoreOptions::families, then come those found on disk, then
  // those created later. Returns the number of the one that exists if there is one.
  Result<Family> CreateFamily(const std::string& name);
  // All families in the order of their numbers.
  std::vector<std::string> FamilyNames() const;

  // Errors: kNotFound.
  Result<std::string> Get(Family family, std::string_view key) const;
  // Atomic over all families. Durable on return when `sync` and the store has a write-ahead log.
  Status Write(StoreBatch& batch, bool sync);
  // Sees the store as it was at this call.
  StoreIterator NewIterator(Family family) const;

  // Makes all that was written durable, also without a write-ahead log; all families as of one moment.
  Status Flush();
  // Adds entries sorted by key as one file, for bulk loads; they replace what stood under their keys.
  // `fill` calls its argument for each entry in strictly ascending order of keys. Durable on return, also
  // without a write-ahead log: not bound to the moment of a Flush.
  Status Ingest(Family family, const std::function<Status(
                                   const std::function<Status(std::string_view, std::string_view)>&)>& fill);
  // Rewrites the family, so that deleted values leave its files.
  Status Compact(Family family);
  // A copy of all families as of one moment, under the same key, in a directory that does not exist yet.
  // Its files are shared with the store where the file system can link them. Durable on return.
  // Requires: not read_only.
  Status Snapshot(const std::string& path);
  std::uint64_t SizeBytes() const;  // on disk

 private:
  struct Impl;
  explicit Store(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
