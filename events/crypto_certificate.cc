#include "events/crypto_certificate.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <functional>
#include <memory>

#include "events/deleter.h"
#include "events/result.h"

namespace daicho {
namespace {

using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using ExtensionPtr = std::unique_ptr<X509_EXTENSION, Deleter<X509_EXTENSION_free>>;
using SerialPtr = std::unique_ptr<BIGNUM, Deleter<BN_free>>;
using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;

X509Ptr SelfSigned(const std::string& name, const char* usage, EVP_PKEY* key, int days, TimeMicros now) {
  X509Ptr out(X509_new());
  const SerialPtr serial(BN_new());
  CHECK(X509_set_version(out.get(), X509_VERSION_3) == 1 &&
        BN_rand(serial.get(), 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY) == 1 &&
        BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(out.get())) != nullptr);
  std::time_t at = static_cast<std::time_t>(now.value() / 1'000'000);
  CHECK(X509_time_adj_ex(X509_getm_notBefore(out.get()), 0, 0, &at) != nullptr &&
        X509_time_adj_ex(X509_getm_notAfter(out.get()), days, 0, &at) != nullptr);
  X509_NAME* subject = X509_get_subject_name(out.get());
  CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                   static_cast<int>(name.size()), -1, 0) == 1 &&
        X509_set_issuer_name(out.get(), subject) == 1 && X509_set_pubkey(out.get(), key) == 1);
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, out.get(), out.get(), nullptr, nullptr, 0);
  for (const auto& [extension, value] : {std::pair{NID_basic_constraints, "critical,CA:FALSE"},
                                         std::pair{NID_key_usage, usage},
                                         std::pair{NID_subject_key_identifier, "hash"}}) {
    const ExtensionPtr added(X509V3_EXT_conf_nid(nullptr, &context, extension, value));
    CHECK(added != nullptr && X509_add_ext(out.get(), added.get(), -1) == 1);
  }
  CHECK(X509_sign(out.get(), key, EVP_sha256()) > 0);
  return out;
}

std::string Pem(const std::function<int(BIO*)>& write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr && write(bio.get()) == 1);
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(size)};
}

CertifiedKey Make(const std::string& name, const char* usage, int days, TimeMicros now) {
  const PkeyPtr key(EVP_EC_gen("P-256"));
  CHECK(key != nullptr);
  const X509Ptr certificate = SelfSigned(name, usage, key.get(), days, now);
  CertifiedKey out;
  out.private_key = Pem([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  out.certificate = Pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate.get()); });
  return out;
}

}  // namespace

CertifiedKey MakeCertifiedKey(const std::string& name, int days, TimeMicros now) {
  return Make(name, "critical,keyAgreement", days, now);
}

CertifiedKey MakeSealKey(const std::string& name, int days, TimeMicros now) {
  return Make(name, "critical,digitalSignature,nonRepudiation", days, now);
}

}  // namespace daicho
