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

Status RenewCertificate(const std::string& dir, int days, TimeMicros now) {
  if (days < 1 || days > kDaysMax) return Invalid("days: 1 to " + std::to_string(kDaysMax));
  ASSIGN_OR_RETURN(auto settings, ReadSettings(dir + "/agency.toml", {"agency"}));
  ASSIGN_OR_RETURN(const std::string key, ReadFile(dir + "/keys/encryption.pem"));
  ASSIGN_OR_RETURN(const std::string certificate, ReadFile(dir + "/agency.pem"));
  const CertifiedKey fresh = MakeCertifiedKey(settings["agency"], days, now);
  // Where a crash cut an earlier renewal off, the old pair is the one that the prefecture has.
  if (CmsOpener::From(key, certificate).ok()) {
    RETURN_IF_ERROR(WriteFileDurably(dir + "/keys/encryption.old.pem", key));
    RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.old.pem", certificate, 0644));
  }
  RETURN_IF_ERROR(WriteFileDurably(dir + "/keys/encryption.pem", fresh.private_key));
  return WriteFileDurably(dir + "/agency.pem", fresh.certificate, 0644);
}

Result<Key256> PrepareSigningKey(const std::string& dir) {
  const std::string path = dir + "/keys/signing.next.key";
  if (!FileExists(path)) RETURN_IF_ERROR(WriteSigningKey(path, SigningKey::Generate()));
  ASSIGN_OR_RETURN(const SigningKey key, ReadSigningKey(path));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.next.pub", ToHex(View(key.public_key())) + "\n", 0644));
  return key.public_key();
}

Status TakeSigningKey(const std::string& dir) {
  const std::string path = dir + "/keys/signing.next.key";
  ASSIGN_OR_RETURN(const SigningKey key, ReadSigningKey(path));
  RETURN_IF_ERROR(WriteSigningKey(dir + "/keys/signing.key", key));
  RETURN_IF_ERROR(WriteFileDurably(dir + "/agency.pub", ToHex(View(key.public_key())) + "\n", 0644));
  RETURN_IF_ERROR(RemoveFile(dir + "/agency.next.pub"));
  return DestroyFile(path);
}

Result<std::string> AgencyHome::Open(std::string_view cms) const {
  Result<std::string> out = Tampered("no certificate");
  for (const CmsOpener& opener : openers) {
    out = opener.Open(cms);
    if (out.ok()) break;
  }
  return out;
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
  for (const std::string which : {"", ".old"}) {
    if (!which.empty() && !FileExists(out.Path("agency" + which + ".pem"))) continue;
    ASSIGN_OR_RETURN(const std::string key, ReadFile(out.Path("keys/encryption" + which + ".pem")));
    ASSIGN_OR_RETURN(const std::string certificate, ReadFile(out.Path("agency" + which + ".pem")));
    auto opener = CmsOpener::From(key, certificate);
    // Of a renewal that a crash cut off one pair does not fit.
    if (opener.ok()) out.openers.push_back(std::move(*opener));
  }
  if (out.openers.empty()) return Invalid("agency.pem: no certificate of keys/encryption.pem");
  if (!FileExists(out.Path("ledger.pub.json"))) return Invalid("ledger: give the prefecture's ledger.pub.json once, by --ledger");
  ASSIGN_OR_RETURN(out.ledger, ReadLedgerPublic(out.Path("ledger.pub.json")));
  return out;
}

}  // namespace daicho
