// Keys in a PKCS#11 token: Ed25519 keys that sign there, and AES-256 keys that wrap there (a
// KeyHolder). A key is made in the token and cannot be taken out of it. The one door to PKCS#11.
//
//   pkcs11:token=LABEL;object=LABEL?module-path=/path/of/module.so&pin-source=file:/path/of/pin
//
// The subset of RFC 7512: `token` and `object` name the token and the key (of a holder: the
// beginning of its keys' labels, "LABEL.name"), `serial` may say which of equally named tokens;
// `module-path` is absolute, and `pin-source` names a file that holds the PIN. Everything else is
// refused, `pin-value` above all: a URI stands in files that are not secret.
//
// Thread-safe: a token is used by one thread at a time. A lost session is opened again, once per
// call. A wrong PIN is not tried twice: tokens lock themselves.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "events/crypto.h"
#include "ledger/key_holder.h"

namespace daicho {

struct TokenUri {
  std::string token;
  std::string object;
  std::string serial;  // empty: any
  std::string module_path;
  std::string pin_path;

  // Errors: kInvalid, naming the attribute and the rule.
  static Result<TokenUri> Parse(std::string_view uri);
};
bool IsTokenUri(std::string_view text);

// All of these: kNotFound for a token, key or module that is not there, kDenied for a PIN that is
// refused, kUnsupported for a mechanism that the token lacks, kUnavailable otherwise. Of what was
// opened, kNotFound is said of a key only: a token that has gone is unavailable.

// Makes an Ed25519 key pair, and returns its public key. Errors: kConflict when the object exists.
Result<Key256> CreateTokenKey(const TokenUri& uri);
Result<SigningKey> OpenTokenKey(const TokenUri& uri);
Result<std::unique_ptr<KeyHolder>> OpenTokenHolder(const TokenUri& uri);

// What a key file holds: the seed in hex, or the URI of a token's key; white space at the end is
// ignored.
Result<SigningKey> ParseSigningKey(std::string_view text);

}  // namespace daicho
