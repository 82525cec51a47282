// Generation: the store of a projection, bound to what the key store can still open. A projection may be
// served only if it was built under the key store as it is now; when keys are erased its store is left aside,
// built anew from the ledger, and the old one destroyed, file key first: nothing erased is left in files,
// however the store had laid it out.
//
//   <dir>/<erased through>-<kind>/   the store     <dir>/<erased through>-<kind>.key   its file key (ledger/at_rest.h)
//
// `kind` says what else the store depends on; may be empty.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "ledger/key_holder.h"
#include "ledger/key_store.h"
#include "ledger/store.h"

namespace daicho {

// Opens the store of `dir` that belongs to `keys` and `kind`, or begins it. With a holder it is encrypted at rest; `purpose`
// is bound into its file key. `options.path` and `.file_key` are filled in.
Result<std::unique_ptr<Store>> OpenGeneration(StoreOptions options, const std::string& dir, const KeyStore& keys,
                                              std::string_view kind, KeyHolder* at_rest, std::string_view purpose);
// Destroys the one that belongs to `keys` and `kind`; nothing when there is none. Requires: nobody has it open.
Status DropGeneration(const std::string& dir, const KeyStore& keys, std::string_view kind, KeyHolder* at_rest);
// Destroys all others. Requires: nobody has them open.
Status DropOldGenerations(const std::string& dir, const KeyStore& keys, std::string_view kind, KeyHolder* at_rest);

}  // namespace daicho
