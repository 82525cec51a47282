// An agency's (利用機関) home: the keys by which it asks and by which it opens what it is given.
//
//   keys/signing.key      Ed25519, hex, mode 0600: signs its requests and receipts
//   keys/encryption.pem   P-256, PKCS#8, mode 0600: opens what is encrypted to its certificate
//   agency.pub            public key of the first, hex: what the prefecture registers, with the certificate
//   agency.pem            X.509, self-signed, of the second
#pragma once

#include <string>

#include "events/clock.h"
#include "events/crypto.h"

namespace daicho {

// New keys, and a certificate that is good for `days` from `now`. Answers the public key that signs. Errors: kInvalid
// with the field; kConflict when there is a home already.
Result<Key256> CreateAgencyHome(const std::string& dir, const std::string& agency, int days, TimeMicros now);

}  // namespace daicho
