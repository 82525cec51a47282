// A P-256 key and the X.509 certificate by which others encrypt to it.
#pragma once

#include <string>

#include "events/ids.h"

namespace daicho {

struct CertifiedKey {
  std::string private_key;  // PKCS#8, PEM
  std::string certificate;  // X.509, PEM, self-signed: RFC 5280, an end entity that may agree on keys and sign nothing
};

// A new one, for the common name `name`, good for `days` from `now`. Requires: a name of at most 64 characters.
CertifiedKey MakeCertifiedKey(const std::string& name, int days, TimeMicros now);

}  // namespace daicho
