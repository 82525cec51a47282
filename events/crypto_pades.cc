#include "events/crypto_pades.h"

#include <fmt/format.h>
#include <openssl/cms.h>
#include <openssl/pem.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "events/bytes.h"
#include "events/dates.h"
#include "events/deleter.h"

namespace daicho {
namespace {

using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;
using CmsPtr = std::unique_ptr<CMS_ContentInfo, Deleter<CMS_ContentInfo_free>>;
using AttributePtr = std::unique_ptr<X509_ATTRIBUTE, Deleter<X509_ATTRIBUTE_free>>;
using MdCtxPtr = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;

constexpr std::size_t kCmsBytesMax = 4'096;  // room kept for the signature; of P-256 and one certificate it takes 1000

BioPtr Reading(std::string_view bytes) { return BioPtr(BIO_new_mem_buf(bytes.data(), static_cast<int>(bytes.size()))); }

// --- CMS ---------------------------------------------------------------------------------------------------

// SET OF attributes in DER: what the signature of a SignerInfo covers (RFC 5652 section 5.4).
std::string SignedAttributes(const CMS_SignerInfo* signer) {
  std::vector<std::string> parts;
  for (int at = 0; at < CMS_signed_get_attr_count(signer); ++at) {
    unsigned char* der = nullptr;
    const int size = i2d_X509_ATTRIBUTE(CMS_signed_get_attr(signer, at), &der);
    CHECK(size > 0);
    parts.emplace_back(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
    OPENSSL_free(der);
  }
  std::ranges::sort(parts);
  std::string content;
  for (const std::string& part : parts) content += part;
  const int length = static_cast<int>(content.size());
  std::string out(static_cast<std::size_t>(ASN1_object_size(1, length, V_ASN1_SET)), '\0');
  unsigned char* cursor = Data(out);
  ASN1_put_object(&cursor, 1, length, V_ASN1_SET, V_ASN1_UNIVERSAL);
  out.replace(out.size() - content.size(), content.size(), content);
  return out;
}

// PAdES has the time of signing in the PDF's /M and forbids it here, where OpenSSL always puts it.
void DropSigningTime(CMS_SignerInfo* signer, EVP_PKEY* key) {
  const int at = CMS_signed_get_attr_by_NID(signer, NID_pkcs9_signingTime, -1);
  CHECK(at >= 0);
  const AttributePtr dropped(CMS_signed_delete_attr(signer, at));
  const std::string covered = SignedAttributes(signer);
  const MdCtxPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  CHECK(EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
        EVP_DigestSign(context.get(), nullptr, &size, Data(covered), covered.size()) == 1);
  std::string signature(size, '\0');
  CHECK(EVP_DigestSign(context.get(), Data(signature), &size, Data(covered), covered.size()) == 1);
  CHECK(ASN1_STRING_set(CMS_SignerInfo_get0_signature(signer), signature.data(), static_cast<int>(size)) == 1);
}

// A detached CAdES signature in DER.
Result<std::string> SignDetached(std::string_view content, X509* certificate, EVP_PKEY* key) {
  constexpr unsigned kFlags = CMS_DETACHED | CMS_BINARY;
  const CmsPtr cms(CMS_sign(nullptr, nullptr, nullptr, nullptr, kFlags | CMS_PARTIAL));
  CHECK(cms != nullptr);
  CMS_SignerInfo* signer =
      CMS_add1_signer(cms.get(), certificate, key, EVP_sha256(), kFlags | CMS_NOSMIMECAP | CMS_CADES);
  if (signer == nullptr) return Invalid("seal: the key does not fit the certificate");
  const BioPtr bio = Reading(content);
  CHECK(CMS_final(cms.get(), bio.get(), nullptr, kFlags) == 1);
  DropSigningTime(signer, key);
  unsigned char* der = nullptr;
  const int size = i2d_CMS_ContentInfo(cms.get(), &der);
  CHECK(size > 0);
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  if (out.size() > kCmsBytesMax) return Invalid("seal: the certificate is too large");
  return out;
}

// --- PDF ---------------------------------------------------------------------------------------------------

// The number after `name` within `text`.
std::optional<std::size_t> NumberAfter(std::string_view text, std::string_view name) {
  std::size_t at = text.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  at = text.find_first_not_of(" \r\n[", at + name.size());
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), number);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

// A PDF with one classic xref table, as much of it as an incremental update needs.
class PdfFile {
 public:
  static Result<PdfFile> Read(std::string_view bytes) {
    PdfFile out;
    out.bytes_ = bytes;
    const std::size_t last = bytes.rfind("startxref");
    const auto xref = last == std::string_view::npos ? std::nullopt : NumberAfter(bytes.substr(last), "startxref");
    if (!xref || *xref >= last || !bytes.substr(*xref).starts_with("xref\n0 ")) return Invalid("pdf: no xref table");
    const std::string_view table = bytes.substr(*xref, last - *xref);
    const std::size_t trailer = table.find("trailer");
    if (trailer == std::string_view::npos) return Invalid("pdf: no trailer");
    const auto size = NumberAfter(table.substr(trailer), "/Size");
    const auto root = NumberAfter(table.substr(trailer), "/Root");
    const auto info = NumberAfter(table.substr(trailer), "/Info");
    if (!size || !root || !info) return Invalid("pdf: trailer");
    out.xref_ = *xref;
    out.size_ = *size;
    out.root_ = *root;
    out.info_ = *info;
    out.table_ = table.substr(table.find('\n', 5) + 1);
    return out;
  }

  // The dictionary of an object, "<< … >>". Errors: kInvalid.
  Result<std::string_view> Dictionary(std::size_t object) const {
    constexpr std::size_t kEntry = 20;
    if (object >= size_ || (object + 1) * kEntry > table_.size()) return Invalid("pdf: no such object");
    std::size_t offset = 0;
    const std::string_view entry = table_.substr(object * kEntry, 10);
    std::from_chars(entry.data(), entry.data() + entry.size(), offset);
    const std::size_t end = offset < bytes_.size() ? bytes_.find("endobj", offset) : std::string_view::npos;
    const std::string head = fmt::format("{} 0 obj", object);
    if (end == std::string_view::npos || !bytes_.substr(offset).starts_with(head)) return Invalid("pdf: object");
    const std::string_view body = bytes_.substr(offset, end - offset);
    const std::size_t open = body.find("<<");
    const std::size_t close = body.rfind(">>");
    if (open == std::string_view::npos || close == std::string_view::npos) return Invalid("pdf: no dictionary");
    return body.substr(open, close + 2 - open);
  }

  std::string_view bytes() const { return bytes_; }
  std::size_t xref() const { return xref_; }
  std::size_t size() const { return size_; }
  std::size_t root() const { return root_; }
  std::size_t info() const { return info_; }

 private:
  std::string_view bytes_;
  std::string_view table_;  // of entries of 20 bytes
  std::size_t xref_ = 0, size_ = 0, root_ = 0, info_ = 0;
};

// A dictionary with more in it.
std::string With(std::string_view dictionary, std::string_view more) {
  return std::string(dictionary.substr(0, dictionary.size() - 2)) + std::string(more) + "\n>>";
}

// "D:20261126100000+09'00'"
std::string PdfTime(TimeMicros at) {
  std::string out = "D:";
  for (const char c : FormatTimestamp(at).substr(0, 19)) {
    if (c >= '0' && c <= '9') out += c;
  }
  return out + "+09'00'";
}

// Room for numbers that are known only once the rest is written.
std::string ByteRange(std::size_t before, std::size_t after, std::size_t rest) {
  return fmt::format("/ByteRange [0 {:>10} {:>10} {:>10}]", before, after, rest);
}

}  // namespace

Result<std::string> SignPdf(std::string_view pdf, const CertifiedKey& seal, TimeMicros at) {
  const PkeyPtr key(PEM_read_bio_PrivateKey(Reading(seal.private_key).get(), nullptr, nullptr, nullptr));
  const X509Ptr certificate(PEM_read_bio_X509(Reading(seal.certificate).get(), nullptr, nullptr, nullptr));
  if (key == nullptr || certificate == nullptr) return Invalid("seal: key or certificate cannot be read");

  ASSIGN_OR_RETURN(const PdfFile file, PdfFile::Read(pdf));
  ASSIGN_OR_RETURN(const std::string_view catalog, file.Dictionary(file.root()));
  const auto pages = NumberAfter(catalog, "/Pages");
  if (!pages || catalog.find("/AcroForm") != std::string_view::npos) return Invalid("pdf: catalog");
  ASSIGN_OR_RETURN(const std::string_view tree, file.Dictionary(*pages));
  const auto first = NumberAfter(tree, "/Kids");
  if (!first) return Invalid("pdf: no page");
  ASSIGN_OR_RETURN(const std::string_view page, file.Dictionary(*first));
  if (page.find("/Annots") != std::string_view::npos) return Invalid("pdf: annotated already");

  const std::size_t signature = file.size();
  const std::size_t widget = file.size() + 1;
  std::map<std::size_t, std::string> objects;
  objects[file.root()] = With(catalog, fmt::format("   /AcroForm << /Fields [ {} 0 R ] /SigFlags 3 >>", widget));
  objects[*first] = With(page, fmt::format("   /Annots [ {} 0 R ]", widget));
  const std::string room = "/Contents <" + std::string(2 * kCmsBytesMax, '0') + ">";
  objects[signature] = "<< /Type /Sig /Filter /Adobe.PPKLite /SubFilter /ETSI.CAdES.detached /M (" + PdfTime(at) +
                       ")\n" + ByteRange(0, 0, 0) + "\n" + room + "\n>>";
  objects[widget] =
      fmt::format("<< /Type /Annot /Subtype /Widget /FT /Sig /T (Seal) /F 132 /Rect [ 0 0 0 0 ] /P {} 0 R /V {} 0 R >>",
                  *first, signature);

  std::string out(pdf);
  if (!out.ends_with('\n')) out += '\n';
  std::string table = "xref\n";
  for (const auto& [number, body] : objects) {
    table += fmt::format("{} 1\n{:010} 00000 n \n", number, out.size());
    out += fmt::format("{} 0 obj\n{}\nendobj\n", number, body);
  }
  const std::size_t xref = out.size();
  out += table + fmt::format("trailer\n<< /Size {} /Root {} 0 R /Info {} 0 R /Prev {} >>\nstartxref\n{}\n%%EOF\n",
                             widget + 1, file.root(), file.info(), file.xref(), xref);

  // All but the hexadecimal string of the signature itself is signed.
  const std::size_t before = out.find(room, pdf.size()) + room.find('<');
  const std::size_t after = before + 2 * kCmsBytesMax + 2;
  const std::string unset = ByteRange(0, 0, 0);
  out.replace(out.find(unset, pdf.size()), unset.size(), ByteRange(before, after, out.size() - after));
  ASSIGN_OR_RETURN(const std::string cms,
                   SignDetached(out.substr(0, before) + out.substr(after), certificate.get(), key.get()));
  const std::string hex = ToHex(cms);
  out.replace(before + 1, hex.size(), hex);
  return out;
}

}  // namespace daicho
