// Encryption of a store's files. Each begins with a prefix of 4 KiB, then its bytes under
// AES-256-CTR:
//
//   "daicho-store-1\n\0" (16) ‖ counter block (16, random) ‖ HMAC-SHA256(check key, the 32 bytes
//   before)(32) ‖ zeros
//
// The cipher key and the check key are HMAC-SHA256(file key, "daicho/store/1/cipher" or "…/check").
// Byte n of the file is byte n of the stream. The mode hides; it does not authenticate: RocksDB's
// checksums find damage, and what must withstand malice is checked against the ledger.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "events/crypto.h"
#include "events/result.h"

namespace rocksdb {
class Env;
}

namespace daicho {

// The default environment, its files encrypted. Thread-safe, as an Env is.
std::unique_ptr<rocksdb::Env> MakeEncryptedEnv(const Key256& file_key);

// Empties files whose prefix a crash cut short: nothing was written behind it yet. Requires: the
// store is not open.
Status DropUnbegunFiles(const std::string& directory);

// Reads the beginning of every file in `directory`.
// Errors: kInvalid when they are in clear and a key is given, or the reverse; kTampered when the
// key is another.
Status CheckStoreKey(const std::string& directory, const std::optional<Key256>& file_key);

}  // namespace daicho
