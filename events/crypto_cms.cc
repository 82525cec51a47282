#include "events/crypto_cms.h"

#include <openssl/bio.h>
#include <openssl/cms.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "events/bytes.h"
#include "events/crypto.h"
#include "events/deleter.h"

namespace daicho {
namespace {

using namespace std::string_view_literals;

using BioPtr = std::unique_ptr<BIO, Deleter<BIO_free>>;
using BioChain = std::unique_ptr<BIO, Deleter<BIO_free_all>>;
using BioMethodPtr = std::unique_ptr<BIO_METHOD, Deleter<BIO_meth_free>>;
using CmsPtr = std::unique_ptr<CMS_ContentInfo, Deleter<CMS_ContentInfo_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;

constexpr unsigned kFlags = CMS_BINARY | CMS_PARTIAL | CMS_STREAM;

Status CannotBeOpened() { return Tampered("the encrypted message cannot be opened"); }

// --- BIOs over functions -----------------------------------------------------------------------------

// The method of a BIO whose data is a T, with T::Read or T::Write.
template <typename T>
BIO_METHOD* MethodOf() {
  static const BioMethodPtr method = [] {
    BioMethodPtr out(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "daicho"));
    CHECK(out != nullptr);
    if constexpr (requires(T& t) { t.Read(nullptr, 0); }) {
      BIO_meth_set_read_ex(out.get(), [](BIO* bio, char* data, std::size_t size, std::size_t* done) {
        *done = static_cast<T*>(BIO_get_data(bio))->Read(data, size);
        return *done > 0 ? 1 : 0;
      });
    } else {
      BIO_meth_set_write_ex(out.get(), [](BIO* bio, const char* data, std::size_t size, std::size_t* done) {
        const bool written = static_cast<T*>(BIO_get_data(bio))->Write({data, size});
        *done = written ? size : 0;
        return written ? 1 : 0;
      });
    }
    BIO_meth_set_ctrl(out.get(), [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH; });
    return out;
  }();
  return method.get();
}

// `over` outlives what is returned.
template <typename T>
BIO* BioOver(T& over) {
  BIO* out = BIO_new(MethodOf<T>());
  CHECK(out != nullptr);
  BIO_set_data(out, &over);
  BIO_set_init(out, 1);
  return out;
}

// Remembers the sink's first failure, which a BIO cannot carry.
struct Outgoing {
  const ByteSink& sink;
  Status status{};
  bool Write(std::string_view bytes) {
    if (status.ok()) status = sink(bytes);
    return status.ok();
  }
};

// --- Making ------------------------------------------------------------------------------------------

CmsPtr AddressedTo(X509* certificate) {
  CmsPtr out(CMS_encrypt(nullptr, nullptr, EVP_aes_256_gcm(), kFlags));
  CHECK(out != nullptr);
  const unsigned by_key_id = X509_get0_subject_key_id(certificate) != nullptr ? CMS_USE_KEYID : 0U;
  CMS_RecipientInfo* recipient = CMS_add1_recipient_cert(out.get(), certificate, by_key_id);
  CHECK(recipient != nullptr);
  // Without this OpenSSL derives the wrapping key by SHA-1.
  EVP_PKEY_CTX* agreement = CMS_RecipientInfo_get0_pkey_ctx(recipient);
  CHECK(agreement != nullptr && EVP_PKEY_CTX_set_ecdh_kdf_md(agreement, EVP_sha256()) == 1);
  return out;
}

// --- Reading BER -------------------------------------------------------------------------------------

// OpenSSL decodes a CMS message in memory whole. These walk a long one: its envelope is taken apart and decoded with the
// ciphertext left out, which OpenSSL is given apart ("detached") as it reads on.

constexpr std::uint8_t kInteger = 0x02, kOctets = 0x04, kOid = 0x06, kSequence = 0x30, kSet = 0x31;
constexpr std::uint8_t kContext0 = 0x80, kContext0Constructed = 0xa0;
constexpr std::size_t kHeadBytesMax = 10;       // one of tag, one of length, eight of a long length
constexpr std::size_t kEnvelopeBytesMax = 65536;  // of any element but the ciphertext
constexpr std::string_view kAuthEnvelopedData = "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x01\x17"sv;
constexpr std::string_view kData = "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"sv;
// AES-256-GCM with a nonce of 12 bytes, before and after it: a tag of 16.
constexpr std::string_view kGcmBefore = "\x30\x1e\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2e\x30\x11\x04\x0c"sv;
constexpr std::string_view kGcmAfter = "\x02\x01\x10"sv;

struct Element {
  std::uint8_t tag = 0;
  bool indefinite = false;
  std::uint64_t start = 0, content = 0;
  std::uint64_t end = 0;  // of a definite one
};

class BerReader {
 public:
  explicit BerReader(const ByteSource& source) : source_(source) {}

  std::uint64_t at() const { return at_; }

  // The element that begins here; stays before it.
  Result<Element> Peek() const {
    char head[kHeadBytesMax];
    ASSIGN_OR_RETURN(const std::size_t read, source_(at_, head, sizeof head));
    if (read < 2) return CannotBeOpened();
    Element out{.tag = static_cast<std::uint8_t>(head[0]), .start = at_, .content = at_ + 2};
    const auto length = static_cast<std::uint8_t>(head[1]);
    out.indefinite = length == 0x80;
    if (length <= 0x80) {
      out.end = out.content + (length & 0x7f);
      return out;
    }
    const std::size_t bytes = length & 0x7f;
    if (bytes > 8 || read < 2 + bytes) return CannotBeOpened();
    std::uint64_t size = 0;
    for (std::size_t i = 0; i < bytes; ++i) size = size << 8 | static_cast<std::uint8_t>(head[2 + i]);
    out.content += bytes;
    if (size >> 62 != 0) return CannotBeOpened();
    out.end = out.content + size;
    return out;
  }

  Result<Element> Enter(std::uint8_t tag) {
    ASSIGN_OR_RETURN(const Element out, Peek());
    if (out.tag != tag) return CannotBeOpened();
    at_ = out.content;
    return out;
  }

  // Whether `element` ends here.
  Result<bool> AtEnd(const Element& element) const {
    if (!element.indefinite) return at_ == element.end;
    ASSIGN_OR_RETURN(const Element next, Peek());
    return next.tag == 0 && next.end == next.content && !next.indefinite;
  }

  Status Leave(const Element& element) {
    ASSIGN_OR_RETURN(const bool ends, AtEnd(element));
    if (!ends) return CannotBeOpened();
    if (element.indefinite) at_ += 2;
    return {};
  }

  void SkipTo(std::uint64_t at) { at_ = at; }

  // The element that begins here, of that tag and a definite length, as it is encoded.
  Result<std::string> Copy(std::uint8_t tag) {
    ASSIGN_OR_RETURN(const Element element, Peek());
    if (element.tag != tag || element.indefinite || element.end - element.start > kEnvelopeBytesMax) {
      return CannotBeOpened();
    }
    std::string out(element.end - element.start, '\0');
    ASSIGN_OR_RETURN(const std::size_t read, source_(element.start, out.data(), out.size()));
    if (read != out.size()) return CannotBeOpened();
    at_ = element.end;
    return out;
  }

 private:
  const ByteSource& source_;
  std::uint64_t at_ = 0;
};

// The octets of the ciphertext: of one element, or of those inside a constructed one.
class Ciphertext {
 public:
  // Requires: `reader` stands before it. Errors: kTampered.
  static Result<Ciphertext> At(const ByteSource& source, BerReader reader) {
    ASSIGN_OR_RETURN(const Element whole, reader.Peek());
    const bool constructed = whole.tag == kContext0Constructed;
    if (!constructed && (whole.tag != kContext0 || whole.indefinite)) return CannotBeOpened();
    reader.SkipTo(whole.content);
    return Ciphertext(source, reader, whole, constructed);
  }

  // The next octets, at most `size`; 0 at the end or when status() says why not.
  std::size_t Read(char* out, std::size_t size) {
    const Result<std::size_t> read = TryRead(out, size);
    if (!read.ok()) status_ = read.status();
    return read.ok() ? read.value() : 0;
  }
  const Status& status() const { return status_; }

  // The place past it; the octets are not read.
  Result<std::uint64_t> End() && {
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, NextPiece());
      if (!more) break;
      reader_.SkipTo(piece_end_);
    }
    if (constructed_) RETURN_IF_ERROR(reader_.Leave(whole_));
    return reader_.at();
  }

 private:
  Ciphertext(const ByteSource& source, BerReader reader, const Element& whole, bool constructed)
      : source_(source), reader_(reader), whole_(whole), constructed_(constructed),
        piece_end_(constructed ? whole.content : whole.end) {}

  // Whether there are octets here, or in a further piece.
  Result<bool> NextPiece() {
    while (reader_.at() == piece_end_) {
      if (!constructed_) return false;
      ASSIGN_OR_RETURN(const bool ends, reader_.AtEnd(whole_));
      if (ends) return false;
      ASSIGN_OR_RETURN(const Element piece, reader_.Enter(kOctets));
      if (piece.indefinite || (!whole_.indefinite && piece.end > whole_.end)) return CannotBeOpened();
      piece_end_ = piece.end;
    }
    return true;
  }

  Result<std::size_t> TryRead(char* out, std::size_t size) {
    ASSIGN_OR_RETURN(const bool more, NextPiece());
    if (!more) return std::size_t{0};
    const std::uint64_t at = reader_.at();
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size, piece_end_ - at));
    ASSIGN_OR_RETURN(const std::size_t read, source_(at, out, wanted));
    if (read != wanted) return CannotBeOpened();
    reader_.SkipTo(at + read);
    return read;
  }

  const ByteSource& source_;
  BerReader reader_;
  Element whole_;
  bool constructed_;
  std::uint64_t piece_end_;
  Status status_;
};

std::string Der(std::uint8_t tag, std::string_view content) {
  std::string out(1, static_cast<char>(tag));
  if (content.size() < 0x80) {
    out.push_back(static_cast<char>(content.size()));
  } else {
    out.push_back('\x83');
    AppendU24(out, static_cast<std::uint32_t>(content.size()));
  }
  return out.append(content);
}

struct Envelope {
  CmsPtr cms;  // without ciphertext
  Ciphertext ciphertext;
};

// ContentInfo { authEnvelopedData, [0] { version, recipientInfos, { data, AES-256-GCM, [0] ciphertext }, mac } }
Result<Envelope> ReadEnvelope(const ByteSource& source) {
  BerReader reader(source);
  ASSIGN_OR_RETURN(const Element info, reader.Enter(kSequence));
  ASSIGN_OR_RETURN(const std::string type, reader.Copy(kOid));
  ASSIGN_OR_RETURN(const Element explicitly, reader.Enter(kContext0Constructed));
  ASSIGN_OR_RETURN(const Element enveloped, reader.Enter(kSequence));
  ASSIGN_OR_RETURN(const std::string version, reader.Copy(kInteger));
  ASSIGN_OR_RETURN(const std::string recipients, reader.Copy(kSet));
  ASSIGN_OR_RETURN(const Element content, reader.Enter(kSequence));
  ASSIGN_OR_RETURN(const std::string content_type, reader.Copy(kOid));
  ASSIGN_OR_RETURN(const std::string algorithm, reader.Copy(kSequence));
  ASSIGN_OR_RETURN(const Ciphertext ciphertext, Ciphertext::At(source, reader));
  ASSIGN_OR_RETURN(const std::uint64_t after, Ciphertext(ciphertext).End());
  reader.SkipTo(after);
  RETURN_IF_ERROR(reader.Leave(content));
  ASSIGN_OR_RETURN(const std::string mac, reader.Copy(kOctets));
  for (const Element& open : {enveloped, explicitly, info}) RETURN_IF_ERROR(reader.Leave(open));
  char beyond;
  ASSIGN_OR_RETURN(const std::size_t left, source(reader.at(), &beyond, 1));
  const bool as_we_make = type == kAuthEnvelopedData && content_type == kData &&
                          algorithm.size() == kGcmBefore.size() + kNonceBytes + kGcmAfter.size() &&
                          algorithm.starts_with(kGcmBefore) && algorithm.ends_with(kGcmAfter) &&
                          mac.size() == 2 + kTagBytes && left == 0;
  if (!as_we_make) return CannotBeOpened();
  const std::string der =
      Der(kSequence, type + Der(kContext0Constructed,
                                Der(kSequence, version + recipients + Der(kSequence, content_type + algorithm) + mac)));
  const unsigned char* at = Data(der);
  CMS_ContentInfo* none = nullptr;
  CmsPtr cms(d2i_CMS_ContentInfo(&none, &at, static_cast<long>(der.size())));
  if (cms == nullptr || at != Data(der) + der.size()) return CannotBeOpened();
  return Envelope{std::move(cms), ciphertext};
}

}  // namespace

// --- CmsRecipient, CmsStream ---------------------------------------------------------------------------

Result<CmsRecipient> CmsRecipient::From(std::string_view certificate_der) {
  RETURN_IF_ERROR(CheckCertificate(certificate_der));
  const unsigned char* at = Data(certificate_der);
  CmsRecipient out;
  out.certificate_ = std::shared_ptr<X509>(d2i_X509(nullptr, &at, static_cast<long>(certificate_der.size())),
                                           Deleter<X509_free>());
  CHECK(out.certificate_ != nullptr);
  return out;
}

std::string CmsRecipient::Encrypt(std::string_view content) const {
  const CmsPtr cms = AddressedTo(static_cast<X509*>(certificate_.get()));
  const BioPtr in(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  CHECK(in != nullptr && CMS_final(cms.get(), in.get(), nullptr, CMS_BINARY) == 1);
  unsigned char* bytes = nullptr;
  const int size = i2d_CMS_ContentInfo(cms.get(), &bytes);
  CHECK(size > 0);
  std::string out(reinterpret_cast<char*>(bytes), static_cast<std::size_t>(size));
  OPENSSL_free(bytes);
  return out;
}

struct CmsStream::Impl {
  Impl(CmsRecipient whom, ByteSink to) : recipient(std::move(whom)), sink(std::move(to)) {}

  // Answers the sink's failure; OpenSSL has none of its own here.
  Status After(bool written) const {
    CHECK(written || !outgoing.status.ok());
    return outgoing.status;
  }

  const CmsRecipient recipient;
  const ByteSink sink;
  Outgoing outgoing{sink};
  bool empty = true;
  CmsPtr cms;
  BioChain chain;  // encrypts, encodes, hands to `outgoing`; last, for it goes first
};

CmsStream::CmsStream(const CmsRecipient& recipient, ByteSink sink) : impl_(new Impl(recipient, std::move(sink))) {
  impl_->cms = AddressedTo(static_cast<X509*>(recipient.certificate_.get()));
  impl_->chain.reset(BIO_new_CMS(BioOver(impl_->outgoing), impl_->cms.get()));
  CHECK(impl_->chain != nullptr);
}

CmsStream::CmsStream(CmsStream&&) noexcept = default;
CmsStream& CmsStream::operator=(CmsStream&&) noexcept = default;
CmsStream::~CmsStream() = default;

Status CmsStream::Write(std::string_view piece) {
  std::size_t written = 0;
  if (piece.empty()) return impl_->outgoing.status;
  impl_->empty = false;
  return impl_->After(BIO_write_ex(impl_->chain.get(), piece.data(), piece.size(), &written) == 1 &&
                      written == piece.size());
}

Status CmsStream::Finish() {
  // OpenSSL's encoder writes nothing at all before the first octet of content.
  if (impl_->empty) return impl_->sink(impl_->recipient.Encrypt(""));
  return impl_->After(BIO_flush(impl_->chain.get()) == 1);
}

// --- CmsOpener -----------------------------------------------------------------------------------------

Result<CmsOpener> CmsOpener::From(const std::string& private_key_pem, const std::string& certificate_pem) {
  const auto parsed = [](const std::string& pem, auto* read) {
    const BioPtr in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    CHECK(in != nullptr);
    // A key under a pass phrase is refused, not asked for.
    return read(in.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr);
  };
  X509Ptr certificate(parsed(certificate_pem, PEM_read_bio_X509));
  PkeyPtr key(parsed(private_key_pem, PEM_read_bio_PrivateKey));
  char group[32] = {};
  const bool ours = certificate != nullptr && key != nullptr &&
                    EVP_PKEY_get_group_name(key.get(), group, sizeof group, nullptr) == 1 &&
                    std::string_view(group) == "prime256v1" && X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!ours) return Invalid("no P-256 key in PEM with its own certificate");
  CmsOpener out;
  out.key_ = std::shared_ptr<EVP_PKEY>(std::move(key));
  out.certificate_ = std::shared_ptr<X509>(std::move(certificate));
  return out;
}

Status CmsOpener::Open(const ByteSource& cms, const ByteSink& content) const {
  Result<Envelope> envelope = ReadEnvelope(cms);
  if (!envelope.ok()) {
    ERR_clear_error();
    return envelope.status();
  }
  Outgoing outgoing{content};
  const BioPtr in(BioOver(envelope->ciphertext)), out(BioOver(outgoing));
  const int opened = CMS_decrypt(envelope->cms.get(), static_cast<EVP_PKEY*>(key_.get()),
                                 static_cast<X509*>(certificate_.get()), in.get(), out.get(), CMS_BINARY);
  ERR_clear_error();
  RETURN_IF_ERROR(outgoing.status);
  RETURN_IF_ERROR(envelope->ciphertext.status());
  return opened == 1 ? Status() : CannotBeOpened();
}

Result<std::string> CmsOpener::Open(std::string_view cms) const {
  const ByteSource source = [&](std::uint64_t offset, char* out, std::size_t size) -> Result<std::size_t> {
    if (offset >= cms.size()) return std::size_t{0};
    return cms.copy(out, size, static_cast<std::size_t>(offset));
  };
  std::string content;
  content.reserve(cms.size());  // so that what is wiped is all that was written
  const Status opened = Open(source, [&](std::string_view bytes) {
    content.append(bytes);
    return Status();
  });
  if (opened.ok()) return content;
  Wipe(content.data(), content.size());
  return opened;
}

Result<std::string> CmsEncrypt(std::string_view certificate_der, std::string_view content) {
  ASSIGN_OR_RETURN(const CmsRecipient recipient, CmsRecipient::From(certificate_der));
  return recipient.Encrypt(content);
}

Result<std::string> CmsDecrypt(const std::string& private_key_pem, const std::string& certificate_pem,
                               std::string_view cms) {
  const Result<CmsOpener> opener = CmsOpener::From(private_key_pem, certificate_pem);
  if (!opener.ok()) return CannotBeOpened();
  return opener->Open(cms);
}

}  // namespace daicho
