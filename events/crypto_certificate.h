// A P-256 key and the X.509 certificate of its public half: to encrypt to whoever has it, or to know its seal by.
#pragma once

#include <string>

#include "events/ids.h"

namespace daicho {

struct CertifiedKey {
  std::string private_key;  // PKCS#8, PEM
  std::string certificate;  // X.509, PEM, self-signed: RFC 5280, an end entity
};

// A new one, for the common name `name`, good for `days` from `now`. Requires: a name of at most 64 characters.
// It may agree on keys and sign nothing.
CertifiedKey MakeCertifiedKey(const std::string& name, int days, TimeMicros now);
// It may sign, documents too (nonRepudiation), and agree on no keys: 電子署名 in place of the office's seal.
CertifiedKey MakeSealKey(const std::string& name, int days, TimeMicros now);

}  // namespace daicho
