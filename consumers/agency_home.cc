#include "consumers/agency_home.h"

#include "consumers/home.h"
#include "events/crypto_certificate.h"
#include "ledger/files.h"
#include "ledger/registry.h"

namespace daicho {
namespace {

constexpr int kDaysMax = 3'660;  // a certificate outlives no generation of algorithms

}  // namespace

Result<Key256> CreateAgencyHome(const std::string& dir, const std::string& agency, int days, TimeMicros now) {
  if (!IsAgencyName(agency)) return Invalid("agency: 1 to 40 of a-z 0-9 -");
  if (days < 1 || days > kDaysMax) return Invalid("days: 1 to " + std::to_string(kDaysMax));
  if (FileExists(dir + "/agency.pem")) return Conflict(dir + " is an agency's home already");
  RETURN_IF_ERROR(MakeDirectories(dir + "/keys"));
  const SigningKey signing = SigningKey::Generate();
  const CertifiedKey encryption = MakeCertifiedKey(agency, days, now);
  RETURN_IF_ERROR(WriteSigningKey(dir + "/keys/signing.key", signing));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/keys/encryption.pem", encryption.private_key));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.pub", ToHex(View(signing.public_key())) + "\n", 0644));
  // Last: the home is there when its certificate is.
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.pem", encryption.certificate, 0644));
  return signing.public_key();
}

}  // namespace daicho
