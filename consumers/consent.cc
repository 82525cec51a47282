#include "consumers/consent.h"

#include "events/tree_head.h"
#include "ledger/registry.h"

namespace daicho {

Result<v1::Consent> GiveConsent(const LedgerId& ledger, const std::string& operator_id, const SigningKey& key,
                                v1::EventKind kind, const Digest& digest, TimeMicros now) {
  if (operator_id.empty()) return Invalid("operator: missing");
  v1::ConsentStatement statement;
  statement.set_version(1);
  statement.set_ledger(std::string(View(ledger)));
  statement.set_operator_id(operator_id);
  statement.set_kind(kind);
  statement.set_digest(std::string(View(digest)));
  statement.set_signed_at(now.value());
  v1::Consent out;
  out.set_statement(statement.SerializeAsString());
  out.set_key_id(NoteKeyId(operator_id, key.public_key()));
  ASSIGN_OR_RETURN(*out.mutable_signature(), key.TrySign(std::string(kConsentTag) + out.statement()));
  return out;
}

}  // namespace daicho
