// Publishing: the outward face of a ledger. The notary that signs what it holds, the round of each checkpoint to
// the witnesses whom the ledger's own policy names, and what anybody may fetch over HTTP. Nothing waits for it:
// a witness that is away is told in the status, and admission goes on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "consumers/http.h"
#include "ledger/notary.h"

namespace daicho {

struct PublishingOptions {
  NotaryOptions notary;
  std::string listen;                       // "127.0.0.1:8443"; empty: no HTTP
  std::string certificate_file, key_file;   // of its TLS
  std::string witness_ca_file;              // for witnesses' https://; empty: the system's
  // Told, once, why the notary stopped.
  std::function<void(const Status&)> failed;
};

class Publishing {
 public:
  static Result<std::unique_ptr<Publishing>> Start(PublishingOptions options);
  ~Publishing();
  Publishing(const Publishing&) = delete;

  // Any thread, both.
  std::string url() const;  // "http://127.0.0.1:8443"; empty without HTTP
  // {"size","root","at","cosignatures","cosigned_size","waiting_since","alarm","witnesses":[…]}, or null before
  // the first checkpoint.
  std::string StatusJson() const;

 private:
  struct Impl;
  explicit Publishing(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
