// An agency's (利用機関) home: the keys by which it asks and by which it opens what it is given.
//
//   agency.toml           agency: its name
//   keys/signing.key      Ed25519, hex, mode 0600: signs its requests and receipts
//   keys/encryption.pem   P-256, PKCS#8, mode 0600: opens what is encrypted to its certificate
//   agency.pub            public key of the first, hex: what the prefecture registers, with the certificate
//   agency.pem            X.509, self-signed, of the second
//   keys/encryption.old.pem, agency.old.pem        what these were before the last renewal: answers may still come to them
//   keys/signing.next.key, agency.next.pub         a key that the prefecture does not have yet
//   ledger.pub.json       the prefecture's ledger, whose key is believed from then on
//   state, checkpoint, refused/, lock      of receiving (consumers/agency.h)
#pragma once

#include <string>
#include <vector>

#include "consumers/home.h"
#include "events/clock.h"
#include "events/crypto_cms.h"

namespace daicho {

struct AgencyHome {
  std::string dir, agency;
  SigningKey signing;
  std::vector<CmsOpener> openers;  // the newest first
  LedgerPublic ledger;

  std::string Path(const std::string& name) const { return dir + "/" + name; }
  std::string key_id() const;  // of the signing key, as the prefecture registers it
  // What came under any certificate that is kept. Errors: kTampered.
  Result<std::string> Open(std::string_view cms) const;
};

// New keys, and a certificate that is good for `days` from `now`. Answers the public key that signs. Errors: kInvalid
// with the field; kConflict when there is a home already.
Result<Key256> CreateAgencyHome(const std::string& dir, const std::string& agency, int days, TimeMicros now);
// A new key to be encrypted to, and its certificate in agency.pem; the ones before are kept for what is on its way. Errors:
// kInvalid, kNotFound.
Status RenewCertificate(const std::string& dir, int days, TimeMicros now);
// A new key to sign with, in keys/signing.next.key, and its public key in agency.next.pub; the one that is there if there is one.
Result<Key256> PrepareSigningKey(const std::string& dir);
// Signs with it from now on: the prefecture has registered it. Errors: kNotFound.
Status TakeSigningKey(const std::string& dir);
// Keeps a copy of a ledger.pub.json. Errors: kInvalid; kConflict when the home's is of another ledger.
Status PinLedger(const std::string& dir, const std::string& ledger_file);
// Errors: kNotFound, kInvalid; also for a home without a ledger.
Result<AgencyHome> OpenAgencyHome(const std::string& dir);

}  // namespace daicho
