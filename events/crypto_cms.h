// Encryption to the holder of a certificate, as CMS AuthEnvelopedData (RFC 5652, RFC 5083, RFC 5084, RFC 5753): content
// under AES-256-GCM, its key under an ephemeral P-256 agreement with the certificate's key (dhSinglePass-stdDH with the
// SHA-256 KDF, AES-256 key wrap). Any CMS implementation opens it. It says nothing of who encrypted it: anybody can.
//
// A short content is one DER message. One of any length is streamed as BER, in pieces and in bounded memory.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "events/result.h"

namespace daicho {

// Takes the next bytes. Its failure ends what calls it, which answers that status.
using ByteSink = std::function<Status(std::string_view bytes)>;
// Reads from `offset`: less than `size` only at the end. Its failure is answered likewise.
using ByteSource = std::function<Result<std::size_t>(std::uint64_t offset, char* out, std::size_t size)>;

// Whom to encrypt to. Copies share the parsed certificate; thread-safe.
class CmsRecipient {
 public:
  // Errors: kInvalid for what CheckCertificate refuses.
  static Result<CmsRecipient> From(std::string_view certificate_der);
  // The recipient is named by the certificate's subject key identifier, or by issuer and serial number where it has none.
  std::string Encrypt(std::string_view content) const;

 private:
  friend class CmsStream;
  std::shared_ptr<void> certificate_;
};

// A message that is written as its content comes. Nothing of it can be opened before Finish.
class CmsStream {
 public:
  CmsStream(const CmsRecipient& recipient, ByteSink sink);
  CmsStream(CmsStream&&) noexcept;
  CmsStream& operator=(CmsStream&&) noexcept;
  ~CmsStream();

  // Errors: the sink's; the message is then lost.
  Status Write(std::string_view piece);
  Status Finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Opens what is encrypted to a certificate. Copies share the parsed key; thread-safe.
//
// Whatever is wrong with a message, it is kTampered and said in the same words: a stranger who could tell one failure
// from another would learn from it. Only messages of the form above are opened, with their tag whole.
class CmsOpener {
 public:
  // Errors: kInvalid for anything but a P-256 key and its own certificate.
  static Result<CmsOpener> From(const std::string& private_key_pem, const std::string& certificate_pem);

  Result<std::string> Open(std::string_view cms) const;
  // In bounded memory, reading the source twice. What the sink is given is not to be believed, let alone used, before
  // this answers ok.
  Status Open(const ByteSource& cms, const ByteSink& content) const;

 private:
  std::shared_ptr<void> key_;
  std::shared_ptr<void> certificate_;
};

// The same with keys parsed for one message. Errors of CmsDecrypt: kTampered for everything.
Result<std::string> CmsEncrypt(std::string_view certificate_der, std::string_view content);
Result<std::string> CmsDecrypt(const std::string& private_key_pem, const std::string& certificate_pem,
                               std::string_view cms);

}  // namespace daicho
