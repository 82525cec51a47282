// SHA-256 goes through the low-level functions: the EVP layer costs 5 times as much for a tree node.
#define OPENSSL_SUPPRESS_DEPRECATED
#include "events/crypto.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <algorithm>
#include <new>

#include "events/deleter.h"
#include "events/sanitizers.h"

namespace daicho {
namespace {

using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using PkeyCtxPtr = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using CipherCtxPtr = std::unique_ptr<EVP_CIPHER_CTX, Deleter<EVP_CIPHER_CTX_free>>;
using CipherPtr = std::unique_ptr<EVP_CIPHER, Deleter<EVP_CIPHER_free>>;
using MdCtxPtr = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;
using X509Ptr = std::unique_ptr<X509, Deleter<X509_free>>;

static_assert(sizeof(SHA256_CTX) <= 128 && alignof(SHA256_CTX) <= 8);

Key256 RawPublic(EVP_PKEY* key) {
  Key256 out;
  std::size_t size = out.size();
  CHECK(EVP_PKEY_get_raw_public_key(key, out.data(), &size) == 1 && size == out.size());
  return out;
}

// A context per thread, keyed anew for each message: creating one costs more than the message.
EVP_CIPHER_CTX* GcmContext(bool encrypt, std::size_t key_bytes) {
  struct Contexts {
    CipherPtr aes256{EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr)};
    CipherPtr aes128{EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr)};
    CipherCtxPtr seal{EVP_CIPHER_CTX_new()}, open{EVP_CIPHER_CTX_new()};
    CipherCtxPtr small{EVP_CIPHER_CTX_new()};
    Contexts() {
      CHECK(EVP_EncryptInit_ex2(seal.get(), aes256.get(), nullptr, nullptr, nullptr) == 1);
      CHECK(EVP_DecryptInit_ex2(open.get(), aes256.get(), nullptr, nullptr, nullptr) == 1);
      CHECK(EVP_EncryptInit_ex2(small.get(), aes128.get(), nullptr, nullptr, nullptr) == 1);
    }
  };
  thread_local Contexts contexts;
  if (key_bytes == 16) return contexts.small.get();
  return encrypt ? contexts.seal.get() : contexts.open.get();
}

void GcmSeal(std::string_view key, std::string_view nonce, std::string_view aad,
             std::initializer_list<std::string_view> plaintext, std::string& out) {
  CHECK(nonce.size() == kNonceBytes);
  EVP_CIPHER_CTX* ctx = GcmContext(true, key.size());
  CHECK(EVP_EncryptInit_ex2(ctx, nullptr, Data(key), Data(nonce), nullptr) == 1);
  int n = 0;
  CHECK(EVP_EncryptUpdate(ctx, nullptr, &n, Data(aad), static_cast<int>(aad.size())) == 1);
  std::size_t total = 0;
  for (const auto part : plaintext) total += part.size();
  const std::size_t start = out.size();
  out.resize(start + total + kTagBytes);
  unsigned char* cursor = Data(out) + start;
  for (const auto part : plaintext) {
    CHECK(EVP_EncryptUpdate(ctx, cursor, &n, Data(part), static_cast<int>(part.size())) == 1);
    cursor += n;
  }
  CHECK(EVP_EncryptFinal_ex(ctx, cursor, &n) == 1 && n == 0);
  CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, kTagBytes, cursor) == 1);
}

// --- Ed25519 ---------------------------------------------------------------------------------------

constexpr std::size_t kPointBytes = 32;

// 2^255 - 256 + low, little-endian.
constexpr Key256 BelowTwoTo255(std::uint8_t low) {
  Key256 y{};
  y.fill(0xff);
  y.front() = low;
  y.back() = 0x7f;
  return y;
}
constexpr Key256 kFieldPrime = BelowTwoTo255(0xed);  // 2^255 - 19

// y of the eight points whose order divides the cofactor 8; x and -x share it (eprint 2020/1244).
constexpr std::array<Key256, 5> kSmallOrder = {{
    {1},                  // the neutral point
    BelowTwoTo255(0xec),  // order 2: -1
    {0},                  // order 4
    {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
     0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
    {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
     0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
}};

// Whether an encoded point has its canonical y (below the prime) and not that of a point of small order. The
// only points with a second encoding besides y + p are those with x = 0, and they are of small order.
bool CanonicalAndNotSmall(Key256 point) {
  point.back() &= 0x7f;  // the sign of x
  return std::lexicographical_compare(point.rbegin(), point.rend(), kFieldPrime.rbegin(), kFieldPrime.rend()) &&
         std::find(kSmallOrder.begin(), kSmallOrder.end(), point) == kSmallOrder.end();
}

// --- HPKE ------------------------------------------------------------------------------------------

// RFC 5869 over HMAC-SHA256 with the labels of RFC 9180 section 4.
std::string Hmac(std::string_view key, std::initializer_list<std::string_view> parts) {
  return std::string(View(HmacKey(key).Mac(parts)));
}

std::string LabeledExtract(std::string_view suite, std::string_view salt, std::string_view label,
                           std::string_view ikm) {
  return Hmac(salt, {"HPKE-v1", suite, label, ikm});
}

// One block, T(1), is all that HPKE needs.
std::string Expand(std::string_view prk, std::string_view info, std::size_t size) {
  CHECK(size <= 32);
  std::string out = Hmac(prk, {info, "\x01"});
  out.resize(size);
  return out;
}

std::string LabeledExpand(std::string_view suite, std::string_view prk, std::string_view label,
                          std::string_view info, std::size_t size) {
  std::string labeled = {0, static_cast<char>(size)};
  labeled.append("HPKE-v1").append(suite).append(label).append(info);
  return Expand(prk, labeled, size);
}

// From both halves: of the private one alone OpenSSL would compute the public one again, which is half of an agreement's cost.
PkeyPtr X25519Key(HpkeKeyPair pair) {
  OSSL_PARAM halves[] = {
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, pair.private_key.data(), pair.private_key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, pair.public_key.data(), pair.public_key.size()),
      OSSL_PARAM_construct_end()};
  const PkeyCtxPtr ctx(EVP_PKEY_CTX_new_id(EVP_PKEY_X25519, nullptr));
  EVP_PKEY* key = nullptr;
  if (!ctx || EVP_PKEY_fromdata_init(ctx.get()) != 1 || EVP_PKEY_fromdata(ctx.get(), &key, EVP_PKEY_KEYPAIR, halves) != 1) {
    return nullptr;
  }
  return PkeyPtr(key);
}

Result<std::string> Agree(const HpkeKeyPair& pair, std::string_view public_key) {
  const PkeyPtr own = X25519Key(pair);
  const PkeyPtr peer(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, Data(public_key), 32));
  if (!own || !peer) return Invalid("not an X25519 key");
  const PkeyCtxPtr ctx(EVP_PKEY_CTX_new(own.get(), nullptr));
  std::string secret(32, '\0');
  std::size_t size = secret.size();
  // OpenSSL refuses the all-zero result, as RFC 9180 section 7.1.4 demands.
  if (EVP_PKEY_derive_init(ctx.get()) != 1 || EVP_PKEY_derive_set_peer(ctx.get(), peer.get()) != 1 ||
      EVP_PKEY_derive(ctx.get(), Data(secret), &size) != 1) {
    return Invalid("X25519 key agreement failed");
  }
  return secret;
}

struct HpkeContext {
  std::string key;
  std::string nonce;
};

HpkeContext DeriveHpke(std::string_view dh, std::string_view enc, std::string_view recipient,
                       std::string_view info, std::size_t key_bytes) {
  using namespace std::string_view_literals;
  constexpr std::string_view kem = "KEM\x00\x20"sv;
  const std::string_view suite =
      key_bytes == 16 ? "HPKE\x00\x20\x00\x01\x00\x01"sv : "HPKE\x00\x20\x00\x01\x00\x02"sv;
  const std::string eae = LabeledExtract(kem, "", "eae_prk", dh);
  const std::string context = std::string(enc) + std::string(recipient);
  const std::string shared = LabeledExpand(kem, eae, "shared_secret", context, 32);
  const std::string schedule = std::string(1, '\0') + LabeledExtract(suite, "", "psk_id_hash", "") +
                               LabeledExtract(suite, "", "info_hash", info);
  const std::string secret = LabeledExtract(suite, shared, "secret", "");
  return {LabeledExpand(suite, secret, "key", schedule, key_bytes),
          LabeledExpand(suite, secret, "base_nonce", schedule, kNonceBytes)};
}

constexpr std::size_t kEncBytes = 32;

}  // namespace

Sha256::Sha256() { SHA256_Init(new (state_.data()) SHA256_CTX); }
void Sha256::Update(std::string_view bytes) {
  SHA256_Update(reinterpret_cast<SHA256_CTX*>(state_.data()), bytes.data(), bytes.size());
}
Digest Sha256::Final() {
  Digest out;
  SHA256_Final(out.data(), reinterpret_cast<SHA256_CTX*>(state_.data()));
  return out;
}

Digest Sha256Of(std::initializer_list<std::string_view> parts) {
  Sha256 hash;
  for (const auto part : parts) hash.Update(part);
  return hash.Final();
}

Digest HmacSha256(const Key256& key, std::string_view data) { return HmacKey(View(key)).Mac({data}); }

HmacKey::HmacKey(std::string_view key) {
  constexpr std::size_t kBlock = 64;
  std::array<std::uint8_t, kBlock> pad{};
  if (key.size() > kBlock) {
    const Digest hashed = Sha256Of({key});
    std::copy(hashed.begin(), hashed.end(), pad.begin());
  } else {
    std::copy(key.begin(), key.end(), pad.begin());
  }
  for (std::uint8_t& byte : pad) byte ^= 0x36;
  inner_.Update(View(pad));
  for (std::uint8_t& byte : pad) byte ^= 0x36 ^ 0x5c;
  outer_.Update(View(pad));
  Wipe(pad.data(), pad.size());
}

HmacKey::~HmacKey() {
  Wipe(&inner_, sizeof(inner_));
  Wipe(&outer_, sizeof(outer_));
}

Digest HmacKey::Mac(std::initializer_list<std::string_view> parts) const {
  Sha256 inner = inner_;
  for (const auto part : parts) inner.Update(part);
  Sha256 outer = outer_;
  outer.Update(View(inner.Final()));
  return outer.Final();
}

std::string HkdfSha256(std::string_view salt, std::string_view ikm, std::string_view info, std::size_t size) {
  return Expand(Hmac(salt, {ikm}), info, size);
}

bool ConstantTimeEqual(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Wipe(void* data, std::size_t size) { OPENSSL_cleanse(data, size); }

void RandomBytes(void* out, std::size_t size) {
  // One call for many small draws: a call costs more than the bytes.
  constexpr std::size_t kPool = 4096;
  struct Pool {
    std::array<unsigned char, kPool> bytes;
    std::size_t used = kPool;
    ~Pool() { Wipe(bytes.data(), bytes.size()); }
  };
  thread_local Pool pool;
  // OpenSSL keeps a generator per thread. RocksDB's threads end after OpenSSL has cleaned up.
  const LeaksOfOthers of_the_generator;
  if (size > kPool / 8) {
    CHECK(RAND_bytes(static_cast<unsigned char*>(out), static_cast<int>(size)) == 1);
    return;
  }
  if (kPool - pool.used < size) {
    CHECK(RAND_bytes(pool.bytes.data(), kPool) == 1);
    pool.used = 0;
  }
  std::memcpy(out, pool.bytes.data() + pool.used, size);
  Wipe(pool.bytes.data() + pool.used, size);
  pool.used += size;
}

Result<VerifyingKey> VerifyingKey::From(const Key256& bytes) {
  if (!CanonicalAndNotSmall(bytes)) {
    return Invalid("an Ed25519 public key must be canonically encoded and not of small order");
  }
  VerifyingKey out;
  out.bytes_ = bytes;
  EVP_PKEY* key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes.data(), bytes.size());
  if (key == nullptr) return Invalid("not an Ed25519 public key");
  out.key_ = std::shared_ptr<void>(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); });
  return out;
}

Status VerifyingKey::Verify(std::string_view message, std::string_view signature) const {
  const MdCtxPtr ctx(EVP_MD_CTX_new());
  if (!key_ || signature.size() != 64 ||
      !CanonicalAndNotSmall(ToArray<kPointBytes>(signature.substr(0, kPointBytes)).value()) ||
      EVP_DigestVerifyInit(ctx.get(), nullptr, nullptr, nullptr, static_cast<EVP_PKEY*>(key_.get())) != 1 ||
      EVP_DigestVerify(ctx.get(), Data(signature), signature.size(), Data(message), message.size()) != 1) {
    return Tampered("the signature does not verify");
  }
  return {};
}

SigningKey SigningKey::Generate() { return FromSeed(RandomArray<32>()); }

SigningKey SigningKey::FromSeed(const Key256& seed) {
  SigningKey out;
  out.seed_ = seed;
  EVP_PKEY* key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size());
  CHECK(key != nullptr);
  out.key_ = std::shared_ptr<void>(key, [](void* p) { EVP_PKEY_free(static_cast<EVP_PKEY*>(p)); });
  out.public_key_ = RawPublic(key);
  return out;
}

SigningKey SigningKey::External(const Key256& public_key, Signer sign) {
  SigningKey out;
  out.public_key_ = public_key;
  out.signer_ = std::make_shared<const Signer>(std::move(sign));
  return out;
}

const Key256& SigningKey::seed() const {
  CHECK(!external());
  return seed_;
}

Result<std::string> SigningKey::TrySign(std::string_view message) const {
  if (!external()) return Sign(message);
  ASSIGN_OR_RETURN(std::string signature, (*signer_)(message));
  ASSIGN_OR_RETURN(const VerifyingKey verifier, VerifyingKey::From(public_key_));
  if (Status s = verifier.Verify(message, signature); !s.ok()) return s.With("the signer's answer");
  return signature;
}

std::string SigningKey::Sign(std::string_view message) const {
  if (external()) return std::move(TrySign(message)).value();
  const MdCtxPtr ctx(EVP_MD_CTX_new());
  std::string out(64, '\0');
  std::size_t size = out.size();
  CHECK(EVP_DigestSignInit(ctx.get(), nullptr, nullptr, nullptr, static_cast<EVP_PKEY*>(key_.get())) == 1);
  CHECK(EVP_DigestSign(ctx.get(), Data(out), &size, Data(message), message.size()) == 1);
  return out;
}

Status CheckCertificate(std::string_view der) {
  const unsigned char* at = Data(der);
  const X509Ptr certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr || at != Data(der) + der.size()) return Invalid("no X.509 certificate in DER");
  char group[32] = {};
  EVP_PKEY* key = X509_get0_pubkey(certificate.get());
  if (key == nullptr || EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) != 1 ||
      std::string_view(group) != "prime256v1") {
    return Invalid("the certificate's key is not P-256");
  }
  return {};
}

void AeadSeal(const Key256& key, std::string_view nonce, std::string_view aad,
              std::initializer_list<std::string_view> plaintext, std::string& out) {
  GcmSeal(View(key), nonce, aad, plaintext, out);
}

Result<std::string> AeadOpen(const Key256& key, std::string_view nonce, std::string_view aad,
                             std::string_view sealed) {
  if (nonce.size() != kNonceBytes || sealed.size() < kTagBytes) {
    return Tampered("sealed bytes are too short");
  }
  EVP_CIPHER_CTX* ctx = GcmContext(false, key.size());
  CHECK(EVP_DecryptInit_ex2(ctx, nullptr, key.data(), Data(nonce), nullptr) == 1);
  const std::string_view body = sealed.substr(0, sealed.size() - kTagBytes);
  std::string tag(sealed.substr(body.size()));
  std::string out(body.size(), '\0');
  int n = 0;
  CHECK(EVP_DecryptUpdate(ctx, nullptr, &n, Data(aad), static_cast<int>(aad.size())) == 1);
  CHECK(EVP_DecryptUpdate(ctx, Data(out), &n, Data(body), static_cast<int>(body.size())) == 1);
  CHECK(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1);
  unsigned char none[kTagBytes];
  if (EVP_DecryptFinal_ex(ctx, none, &n) != 1) {
    Wipe(out.data(), out.size());
    return Tampered("sealed bytes do not open under this key");
  }
  return out;
}

void CtrXor(const Key256& key, const CounterBlock& counter, std::uint64_t offset, void* data,
            std::size_t size) {
  struct Context {
    CipherPtr cipher{EVP_CIPHER_fetch(nullptr, "AES-256-CTR", nullptr)};
    CipherCtxPtr ctx{EVP_CIPHER_CTX_new()};
    Context() { CHECK(EVP_EncryptInit_ex2(ctx.get(), cipher.get(), nullptr, nullptr, nullptr) == 1); }
  };
  thread_local Context context;
  constexpr std::size_t kBlock = 16, kCallMax = 1u << 30;
  CounterBlock block = counter;
  std::uint64_t carry = offset / kBlock;
  for (std::size_t i = block.size(); carry != 0 && i-- > 0; carry >>= 8) {
    carry += block[i];
    block[i] = static_cast<std::uint8_t>(carry);
  }
  CHECK(EVP_EncryptInit_ex2(context.ctx.get(), nullptr, key.data(), block.data(), nullptr) == 1);
  int n = 0;
  unsigned char skipped[kBlock] = {};
  CHECK(EVP_EncryptUpdate(context.ctx.get(), skipped, &n, skipped, static_cast<int>(offset % kBlock)) == 1);
  for (auto* bytes = static_cast<unsigned char*>(data); size > 0;) {
    const std::size_t part = std::min(size, kCallMax);
    CHECK(EVP_EncryptUpdate(context.ctx.get(), bytes, &n, bytes, static_cast<int>(part)) == 1);
    bytes += part;
    size -= part;
  }
}

void KeyStream(const Key256& key, void* out, std::size_t size) {
  std::memset(out, 0, size);
  CtrXor(key, {}, 0, out, size);
}

AesBlock Aes256(const Key256& key, const AesBlock& block) {
  struct Context {
    CipherPtr cipher{EVP_CIPHER_fetch(nullptr, "AES-256-ECB", nullptr)};
    CipherCtxPtr ctx{EVP_CIPHER_CTX_new()};
    Key256 key{};
    Context() { Schedule(key); }
    ~Context() { Wipe(key.data(), key.size()); }
    void Schedule(const Key256& next) {
      CHECK(EVP_EncryptInit_ex2(ctx.get(), cipher.get(), next.data(), nullptr, nullptr) == 1);
      CHECK(EVP_CIPHER_CTX_set_padding(ctx.get(), 0) == 1);
      key = next;
    }
  };
  thread_local Context context;
  if (context.key != key) context.Schedule(key);
  AesBlock out;
  int n = 0;
  CHECK(EVP_EncryptUpdate(context.ctx.get(), out.data(), &n, block.data(), static_cast<int>(block.size())) == 1);
  return out;
}

HpkeKeyPair HpkeKeyPair::Generate() { return FromPrivate(RandomArray<32>()); }

HpkeKeyPair HpkeKeyPair::FromPrivate(const Key256& private_key) {
  const PkeyPtr key(EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, private_key.data(), 32));
  CHECK(key != nullptr);
  return {private_key, RawPublic(key.get())};
}

Result<std::string> testing::HpkeSealWith(const HpkeKeyPair& ephemeral, std::size_t key_bytes,
                                          const Key256& recipient, std::string_view info,
                                          std::string_view aad, std::string_view plaintext) {
  ASSIGN_OR_RETURN(const std::string dh, Agree(ephemeral, View(recipient)));
  const HpkeContext context =
      DeriveHpke(dh, View(ephemeral.public_key), View(recipient), info, key_bytes);
  std::string out(View(ephemeral.public_key));
  GcmSeal(context.key, context.nonce, aad, {plaintext}, out);
  return out;
}

Result<std::string> HpkeSeal(const Key256& recipient, std::string_view info, std::string_view aad,
                             std::string_view plaintext) {
  return testing::HpkeSealWith(HpkeKeyPair::Generate(), 32, recipient, info, aad, plaintext);
}

Result<std::string> HpkeOpen(const HpkeKeyPair& recipient, std::string_view info,
                             std::string_view aad, std::string_view sealed) {
  if (sealed.size() < kEncBytes + kTagBytes) return Tampered("sealed bytes are too short");
  const std::string_view enc = sealed.substr(0, kEncBytes);
  ASSIGN_OR_RETURN(const std::string dh, Agree(recipient, enc));
  const HpkeContext context = DeriveHpke(dh, enc, View(recipient.public_key), info, 32);
  ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(context.key));
  return AeadOpen(key, context.nonce, aad, sealed.substr(kEncBytes));
}

Result<std::string> testing::X25519(const Key256& private_key, const Key256& public_key) {
  return Agree(HpkeKeyPair::FromPrivate(private_key), View(public_key));
}

}  // namespace daicho
