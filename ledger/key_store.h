// KeyStore: the data keys of the subjects, wrapped, one row each, in one file of fixed rows. The only
// place where they exist: never in Kafka, never in a projection.
//
//   keys.<epoch>        offset 0        header: "daicho-keys-2\n"(14) ‖ zeros(2) ‖ store(16) ‖ zeros(16)
//                                       ‖ erased through(8) ‖ epoch(8), integers big-endian
//                       64 + 64·s       row of slot s: nonce(12) ‖ AES-256-GCM(epoch key, aad = epoch ‖ slot ‖
//                                       step, key)(48) ‖ step(4); all zero: erased
//   epoch.<epoch>.key   the epoch key, wrapped under the holder's key of this store and epoch with the header
//                       as its AAD
//
// A row holds the oldest key that is still readable (its ratchet step) and is written once, before the
// first entry that uses it. A crash may leave rows that no entry uses: harmless, found by the ledger.
//
// Erasure makes a new epoch: the living rows are wrapped anew under a fresh epoch key, one rename decides, and
// the holder's key of the old epoch is destroyed. From then on every copy of the old rows, wherever it lies,
// is noise. A crash leaves the old epoch or the new; opening for writing destroys what is left of the other.
//
// One writer, any number of readers, in any process; readers take up a new epoch by themselves. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "events/crypto.h"
#include "events/ids.h"
#include "ledger/key_holder.h"

namespace daicho {

class KeyStore {
 public:
  enum class Mode { kRead, kWrite };
  // Creates the store when it is missing and `mode` is kWrite. `holder` is borrowed and outlives the store; by
  // default epoch keys are held by files in `<dir>/holder`.
  // Errors: kUnavailable when another process writes it, kCorrupt, kTampered.
  static Result<std::unique_ptr<KeyStore>> Open(const std::string& dir, Mode mode,
                                                KeyHolder* holder = nullptr);
  ~KeyStore();
  KeyStore(const KeyStore&) = delete;

  // The next free slot, and a fresh random key for it. Usable at once, durable after Sync.
  // Requires: kWrite.
  struct NewKey {
    KeySlot slot;
    Key256 key;
  };
  NewKey Create();
  // Makes every created key durable. Call before an entry that uses one is appended.
  Status Sync();
  KeySlot next_slot() const;

  // The key of `slot` at ratchet step `step`. Errors: kNotFound, kErased, kTampered.
  Result<Key256> KeyAt(KeySlot slot, std::uint32_t step) const;

  static constexpr std::uint32_t kNoLivingStep = ~std::uint32_t{0};  // the whole row is destroyed
  struct Advance {
    KeySlot slot;
    std::uint32_t first_living = 0;
  };
  // Destroys the steps before `first_living` of each row; one that is further already stays. `through` is the
  // position of the order that this carries out. The other methods go on meanwhile. Safe to repeat.
  // Requires: kWrite.
  // Guarantees: on OK no copy of the store, of any time, yields an erased key. On an error before the new
  // epoch is in force nothing has changed; on a later one the next Erase or opening finishes the destruction.
  // Errors: kInvalid for a slot that is not there; kTampered for a living row that does not open.
  Status Erase(std::span<const Advance> advances, Position through);

  // Of a reader: takes up the newest epoch. The two after it are as of then, or of the last KeyAt that had to.
  Status Refresh() const;
  std::uint64_t epoch() const;
  // Every erasure ordered before this position has been carried out.
  Position erased_through() const;

  // Opens every row. Errors: kTampered, naming the first that does not.
  Status VerifyAll() const;

  // A copy of all synced rows in a directory without one, the epoch key wrapped under `backup_key`. An erasure
  // does not reach it: it has to age out, or `backup_key` be destroyed.
  Status Backup(const std::string& dir, const Key256& backup_key) const;
  // Makes a store in `dir` of a backup. Erasures ordered after erased_through() are to be carried out again.
  // Errors: kConflict when there is a store, kTampered for another key or a changed backup.
  static Status Restore(const std::string& backup, const Key256& backup_key, const std::string& dir,
                        KeyHolder* holder = nullptr);

  // Called after every step of Erase after which a crash is different from before it. For tests.
  void OnStep(std::function<void()> hook);

 private:
  struct Impl;
  explicit KeyStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
