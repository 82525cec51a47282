// Projector: applies the ledger's entries to the record file, in order, each exactly once. The position
// is stored in the same atomic write as the data; without a write-ahead log a crash falls back to an
// earlier state of both, and the entries since are applied again.
//
// What is erased leaves no version: a key that is gone must have been ordered gone by the ledger, or the
// projector stops. The store is a generation (ledger/generation.h): one that was built before the key store
// last erased is left aside, and a new one begun.
//
// A gap, a foreign record or one that does not verify stops it with kTampered or kCorrupt and the
// position: it never skips. An empty record file with a long ledger behind it is filled in bulk.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "ledger/key_store.h"
#include "ledger/log.h"
#include "ledger/replay.h"
#include "projections/record_copy.h"
#include "projections/record_file.h"
#include "projections/search.h"

namespace daicho {

struct ProjectorOptions {
  int prefecture = 0;
  LedgerId ledger{};
  Key256 registrar_public_key{};
  std::string dir;
  // Borrowed, all three. With a holder the store is encrypted at rest.
  Log* log = nullptr;
  const KeyStore* keys = nullptr;
  KeyHolder* at_rest = nullptr;
  std::shared_ptr<const Matching> matching;    // of the search index; null: none is kept
  std::shared_ptr<const CopyKeying> copies;    // by which the record file is compared with another copy; null: it is not
  std::uint64_t bulk_from = 100'000;           // entries that make a bulk load worth while
  std::size_t bulk_buffer_bytes = 64u << 20;  // two of them
  // Of what is read: blocks of the store, and versions that searches have found.
  std::size_t block_cache_bytes = 128u << 20;
  std::size_t version_cache_bytes = 64u << 20;
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // of catching up
};

class Projector {
 public:
  static Result<std::unique_ptr<Projector>> Open(ProjectorOptions options);
  ~Projector();
  Projector(const Projector&) = delete;

  // Applies all that the ledger holds at this moment, then returns.
  Status CatchUp();
  // Follows the ledger until stopped.
  Status Run(std::stop_token stop);

  // Next position to apply: everything below it is visible in file(). Any thread.
  Position position() const;
  // Waits until everything below `position` is visible. False when `wait` passed before.
  bool WaitFor(Position position, std::chrono::milliseconds wait) const;
  // KeyStore::erased_through of when its record file was opened.
  Position built_under() const;
  const RecordFile& file() const;
  // Requires: options.matching.
  const Search& search() const;
  // The record file behind the entry at `at`, as a copy to compare. Requires: options.copies. Errors: as RecordCopies::Take.
  Result<RecordCopy> CopyAt(Position at) const;
  // Where a projector with these options keeps its store: what else than erasures it depends on.
  static std::string Kind(const ProjectorOptions& options);
  Store& store();
  const Store& store() const;
  // The administration's state as of position(). Any thread.
  std::shared_ptr<const Registry> registry() const;
  // Both, as of one moment.
  std::pair<Position, std::shared_ptr<const Registry>> registry_at_position() const;
  // The entry behind which a question is answered: the one at `position`, the last of `day`, or the newest. Errors:
  // kInvalid for a position that is not visible yet, kNotFound when the ledger held nothing yet.
  Result<Position> AsOf(std::optional<std::uint64_t> position, std::optional<Date> day) const;
  // registry() behind the entry at `at`, which is visible.
  Result<Registry> RegistryAt(Position at) const;
  MerkleEdge IssuerTree(const std::string& issuer) const;

 private:
  struct Impl;
  explicit Projector(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
