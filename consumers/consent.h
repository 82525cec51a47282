// Consent: one operator's confirmation of what another decided (確認), as CheckConsents of the registry takes it.
#pragma once

#include "events/administration.pb.h"
#include "events/event.h"

namespace daicho {

// Signs that `operator_id` consents to an event of that kind about what has the digest SHA-256 `digest`: of the
// rules of a PolicySet, of the agreement of an AgreementSet, of the plan of an Erasure.
Result<v1::Consent> GiveConsent(const LedgerId& ledger, const std::string& operator_id, const SigningKey& key,
                                v1::EventKind kind, const Digest& digest, TimeMicros now);

}  // namespace daicho
