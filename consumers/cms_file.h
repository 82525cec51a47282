// One CMS message in a file, of any length and in bounded memory (events/crypto_cms.h).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "events/crypto.h"
#include "events/crypto_cms.h"

namespace daicho {

// Writes one. The file appears under its name, whole and durable, by Finish; without it nothing is left.
class CmsFile {
 public:
  // Errors: kUnavailable.
  static Result<std::unique_ptr<CmsFile>> Create(const std::string& path, const CmsRecipient& recipient);
  ~CmsFile();

  // Errors: kUnavailable; the file is then lost.
  Status Write(std::string_view piece);
  // SHA-256 of the file. Once.
  Result<Digest> Finish();

 private:
  struct Impl;
  explicit CmsFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Opens the file at `path` into one at `out`, mode 0600, that appears whole, durable and only when the message is
// authentic. Errors: kTampered; kNotFound, kUnavailable.
Status OpenCmsFile(const CmsOpener& opener, const std::string& path, const std::string& out);

}  // namespace daicho
