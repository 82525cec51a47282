// An agency's certificate for tests: X.509, self-signed, P-256, good until 2126; DER.
#pragma once

#include <string>

#include "events/bytes.h"

namespace daicho {

inline std::string AgencyCertificate() {
  return FromBase64(
             "MIIBeTCCAR+gAwIBAgIUSCwHipL6LLlba/j3g+XQ+mAjTJMwCgYIKoZIzj0EAwIwETEPMA0GA1UEAwwGYWdlbmN5MCAXDTI2MTEyNTE2MTMw"
             "NVoYDzIxMjYxMTAxMTYxMzA1WjARMQ8wDQYDVQQDDAZhZ2VuY3kwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAR0QOxoLVsqUip6PrMi+ATF"
             "Djg1NCgkpxDQlb2mdYCliR3lXek3fyOvtb8MMOTp05MtkWJWhRxyfnK+pJWuzP8So1MwUTAdBgNVHQ4EFgQUfP/got/ptqRixONUz5UlCKQa"
             "nCwwHwYDVR0jBBgwFoAUfP/got/ptqRixONUz5UlCKQanCwwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiBS/H4gTEy1kEt5"
             "lpSfoZ4OKir7KTDAccq9H8QaVniURwIhAIoh/gMcMCWK3vAqDnvO1zPMBJgX7Px5quw9DtFgHOCt")
      .value();
}

}  // namespace daicho
