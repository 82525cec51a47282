// An agency's (利用機関) home: the keys by which it asks and by which it opens what it is given.
//
//   agency.toml           agency: its name
//   keys/signing.key      Ed25519, hex, mode 0600: signs its requests and receipts
//   keys/encryption.pem   P-256, PKCS#8, mode 0600: opens what is encrypted to its certificate
//   agency.pub            public key of the first, hex: what the prefecture registers, with the certificate
//   agency.pem            X.509, self-signed, of the second
//   ledger.pub.json       the prefecture's ledger, whose key is believed from then on
//   state, checkpoint, refused/, lock      of receiving (consumers/agency.h)
#pragma once

#include <string>

#include "consumers/home.h"
#include "events/clock.h"
#include "events/crypto_cms.h"

namespace daicho {

struct AgencyHome {
  std::string dir, agency;
  SigningKey signing;
  CmsOpener opener;
  LedgerPublic ledger;

  std::string Path(const std::string& name) const { return dir + "/" + name; }
  std::string key_id() const;  // of the signing key, as the prefecture registers it
};

// New keys, and a certificate that is good for `days` from `now`. Answers the public key that signs. Errors: kInvalid
// with the field; kConflict when there is a home already.
Result<Key256> CreateAgencyHome(const std::string& dir, const std::string& agency, int days, TimeMicros now);
// Keeps a copy of a ledger.pub.json. Errors: kInvalid; kConflict when the home's is of another ledger.
Status PinLedger(const std::string& dir, const std::string& ledger_file);
// Errors: kNotFound, kInvalid; also for a home without a ledger.
Result<AgencyHome> OpenAgencyHome(const std::string& dir);

}  // namespace daicho
