#include "consumers/agency_home.h"

#include "events/crypto_certificate.h"
#include "events/note.h"
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
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.toml", "agency = \"" + agency + "\"\n", 0644));
  // Last: the home is there when its certificate is.
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.pem", encryption.certificate, 0644));
  return signing.public_key();
}

std::string AgencyHome::key_id() const { return NoteKeyId(agency, signing.public_key()); }

Status PinLedger(const std::string& dir, const std::string& ledger_file) {
  const std::string pinned = dir + "/ledger.pub.json";
  ASSIGN_OR_RETURN(const LedgerPublic ledger, ReadLedgerPublic(ledger_file));
  if (FileExists(pinned)) {
    ASSIGN_OR_RETURN(const LedgerPublic before, ReadLedgerPublic(pinned));
    if (before.ledger != ledger.ledger) return Conflict("ledger: the home is pinned to another ledger");
  }
  return WriteFileDurably(pinned, FormatLedgerPublic(ledger), 0644);
}

Result<AgencyHome> OpenAgencyHome(const std::string& dir) {
  if (!FileExists(dir + "/agency.pem")) return NotFound(dir + " is no agency's home; daicho agency init makes one");
  AgencyHome out;
  out.dir = dir;
  ASSIGN_OR_RETURN(auto settings, ReadSettings(out.Path("agency.toml"), {"agency"}));
  out.agency = settings["agency"];
  ASSIGN_OR_RETURN(out.signing, ReadSigningKey(out.Path("keys/signing.key")));
  ASSIGN_OR_RETURN(const std::string key, ReadFile(out.Path("keys/encryption.pem")));
  ASSIGN_OR_RETURN(const std::string certificate, ReadFile(out.Path("agency.pem")));
  ASSIGN_OR_RETURN(out.opener, CmsOpener::From(key, certificate));
  if (!FileExists(out.Path("ledger.pub.json"))) return Invalid("ledger: give the prefecture's ledger.pub.json once, by --ledger");
  ASSIGN_OR_RETURN(out.ledger, ReadLedgerPublic(out.Path("ledger.pub.json")));
  return out;
}

}  // namespace daicho
