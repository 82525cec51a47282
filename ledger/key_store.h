// KeyStore: the data keys of the subjects, wrapped, one row each, in one file of fixed rows. The only
// place where they exist: never in Kafka, never in a projection.
//
//   offset 0   "daicho-keys-1\n" padded to 64 bytes with the epoch (8, big-endian) last
//   64 + 64·s  row of slot s: nonce(12) ‖ AES-256-GCM(epoch key, aad = epoch ‖ slot ‖ step, key)(48) ‖ step(4)
//              all zero: erased
//
// A row holds the oldest key that is still readable (its ratchet step) and is written once, before the
// first entry that uses it. A crash may leave rows that no entry uses: harmless, found by the ledger.
// The epoch key lies beside it in `epoch.key`; destroying it makes every copy of the file unreadable.
//
// One writer, any number of readers, in any process. Thread-safe.
#pragma once

#include <memory>
#include <string>

#include "events/crypto.h"
#include "events/ids.h"

namespace daicho {

class KeyStore {
 public:
  enum class Mode { kRead, kWrite };
  // Creates the store when it is missing and `mode` is kWrite.
  // Errors: kUnavailable when another process writes it, kCorrupt.
  static Result<std::unique_ptr<KeyStore>> Open(const std::string& dir, Mode mode);
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

 private:
  struct Impl;
  explicit KeyStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
