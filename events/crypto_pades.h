// Signatures within PDF files: PAdES B-B (ETSI EN 319 142-1), which any reader of PDF verifies.
#pragma once

#include <string>
#include <string_view>

#include "events/crypto_certificate.h"
#include "events/result.h"

namespace daicho {

// The PDF with an invisible signature over all of it, appended as an incremental update: the bytes before stay.
// `seal`: as MakeSealKey makes it. Requires: a PDF as LetterPdf writes it (one xref table, no forms). Errors: kInvalid
// for another PDF, or a seal that cannot be read.
Result<std::string> SignPdf(std::string_view pdf, const CertifiedKey& seal, TimeMicros at);

}  // namespace daicho
