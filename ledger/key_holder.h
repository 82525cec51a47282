// KeyHolder: named keys that never leave their place, and wrap other keys. The place is a protected
// directory or a PKCS#11 token. What a holder key wrapped is lost, in every copy, once that key is
// destroyed.
//
// A wrapped key: nonce(12) ‖ AES-256-GCM(holder key, aad, key)(48). Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "events/crypto.h"

namespace daicho {

inline constexpr std::size_t kWrappedKeyBytes = kNonceBytes + sizeof(Key256) + kTagBytes;

class KeyHolder {
 public:
  virtual ~KeyHolder() = default;

  // Names are 1 to 64 of a-z, 0-9 and '-'.
  virtual Result<bool> Has(std::string_view name) const = 0;
  // A fresh random key. Durable on return. Errors: kConflict when there is one of this name.
  virtual Status Create(std::string_view name) = 0;
  // Errors: kNotFound when the holder has no such key.
  virtual Result<std::string> Wrap(std::string_view name, const Key256& key,
                                   std::string_view aad) const = 0;
  // Errors: kNotFound; kTampered when it was wrapped under another key or for another purpose.
  virtual Result<Key256> Unwrap(std::string_view name, std::string_view wrapped,
                                std::string_view aad) const = 0;
  // For good, and durable on return; nothing when there is no such key.
  virtual Status Destroy(std::string_view name) = 0;
};

// Keys in files `<name>.key` of 32 bytes, which only their owner may read; destroyed by
// overwriting.
Result<std::unique_ptr<KeyHolder>> OpenFileHolder(const std::string& directory);
// `where` is a directory, or a pkcs11 URI (ledger/pkcs11.h).
Result<std::unique_ptr<KeyHolder>> OpenKeyHolder(const std::string& where);

Status CheckHolderKeyName(std::string_view name);

// Keeps this process's memory out of core dumps and from debuggers of the same user. Keys live in
// many places (rows being opened, contexts of the cipher, queues): closing the whole process to the
// outside covers them all, where locking single pages would cover the few that were thought of.
// Swap is the system's to encrypt or to switch off.
Status ProtectProcessMemory();

}  // namespace daicho
