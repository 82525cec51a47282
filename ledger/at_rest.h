// The file keys of encrypted stores: each store has one of its own, random, in `<directory>.key`
// beside it, wrapped under a key that a KeyHolder holds for this store alone, `store-<id in hex>`.
//
//   "daicho-store-key-2\n" ‖ id(8) ‖ nonce(12) ‖ AES-256-GCM(holder's key, aad, file key)(48)
//   aad: "daicho/at-rest/2\n" ‖ size(4) ‖ purpose ‖ name of the directory
//
// A key belongs to its directory's name: it opens no other store, and a store is not renamed.
#pragma once

#include <string>
#include <string_view>

#include "events/crypto.h"
#include "ledger/key_holder.h"

namespace daicho {

// A fresh key for a store that is to be made, and the holder's for it. Durable on return. Errors: kConflict when the store has a key, or is there without one.
Result<Key256> CreateStoreKey(KeyHolder& holder, const std::string& directory,
                              std::string_view purpose);
// Errors: kNotFound when there is no key, or the holder has destroyed its own; kTampered for a key
// of another store or purpose.
Result<Key256> OpenStoreKey(const KeyHolder& holder, const std::string& directory,
                            std::string_view purpose);
// The store's files are noise from then on, in every copy: the holder's key goes first. Durable on
// return; nothing when there is none.
Status DestroyStoreKey(KeyHolder& holder, const std::string& directory);

}  // namespace daicho
