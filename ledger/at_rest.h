// The file keys of encrypted stores: each store has one of its own, random, in `<directory>.key`
// beside it, wrapped under the root key of the node, which a KeyHolder holds under the name "root".
//
//   "daicho-store-key-1\n" ‖ nonce(12) ‖ AES-256-GCM(root key, aad, file key)(48)
//   aad: "daicho/at-rest/1\n" ‖ size(4) ‖ purpose ‖ name of the directory
//
// A key belongs to its directory's name: it opens no other store, and a store is not renamed.
#pragma once

#include <string>
#include <string_view>

#include "events/crypto.h"
#include "ledger/key_holder.h"

namespace daicho {

inline constexpr char kRootKey[] = "root";

// A fresh key for a store that is to be made; the root key is made when the holder has none.
// Durable on return. Errors: kConflict when the store has a key, or is there without one.
Result<Key256> CreateStoreKey(KeyHolder& holder, const std::string& directory,
                              std::string_view purpose);
// Errors: kNotFound when there is no key; kTampered for a key of another store, purpose or root.
Result<Key256> OpenStoreKey(const KeyHolder& holder, const std::string& directory,
                            std::string_view purpose);
// The store's files are noise from then on, in every copy that lacks the key's. Durable on return;
// nothing when there is none.
Status DestroyStoreKey(const std::string& directory);

}  // namespace daicho
