// The one door to OpenSSL. Published primitives only: SHA-256 (FIPS 180-4), HMAC (RFC 2104), Ed25519
// (RFC 8032), AES-256-GCM (SP 800-38D), HPKE base mode (RFC 9180).
//
// Functions are thread-safe; an object belongs to one thread at a time unless its methods are const.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "events/bytes.h"

namespace daicho {

using Key256 = std::array<std::uint8_t, 32>;

class Sha256 {
 public:
  Sha256();
  void Update(std::string_view bytes);
  Digest Final();  // once

 private:
  alignas(8) std::array<std::uint8_t, 128> state_;
};

// Hash of the concatenation.
Digest Sha256Of(std::initializer_list<std::string_view> parts);
Digest HmacSha256(const Key256& key, std::string_view data);

// HMAC-SHA256 under one key for many messages: the key's two blocks are compressed once.
class HmacKey {
 public:
  // Any length, as RFC 2104 says: what is beyond 64 bytes is hashed first.
  explicit HmacKey(std::string_view key);
  HmacKey(const HmacKey&) = default;
  HmacKey& operator=(const HmacKey&) = default;
  ~HmacKey();
  // Of the concatenation.
  Digest Mac(std::initializer_list<std::string_view> parts) const;

 private:
  Sha256 inner_, outer_;
};

// RFC 5869. Requires: size at most 32 bytes.
std::string HkdfSha256(std::string_view salt, std::string_view ikm, std::string_view info, std::size_t size);

bool ConstantTimeEqual(std::string_view a, std::string_view b);
// Overwrites the bytes in a way the compiler keeps.
void Wipe(void* data, std::size_t size);

// From the operating system's generator, drawn in bulk.
void RandomBytes(void* out, std::size_t size);
template <std::size_t N>
std::array<std::uint8_t, N> RandomArray() {
  std::array<std::uint8_t, N> out;
  RandomBytes(out.data(), N);
  return out;
}

// Ed25519 public key. Copies share the parsed key.
//
// RFC 8032 leaves open what implementations then decide differently ("Taming the many EdDSAs", eprint
// 2020/1244), and a signature that one verifier accepts and another refuses proves nothing. Valid is here: the
// key and R are canonically encoded and not of small order, S < L, and S·B = R + (h mod L)·A without the
// cofactor. This is what both OpenSSL and libsodium accept. A key with a component of small order beside a large
// one cannot be told without arithmetic on the curve and is admitted; a signature under it may verify with the
// cofactor and is refused here.
class VerifyingKey {
 public:
  // Errors: kInvalid for bytes that are no public key, or one of another encoding or of small order.
  static Result<VerifyingKey> From(const Key256& bytes);
  const Key256& bytes() const { return bytes_; }
  // Errors: kTampered.
  Status Verify(std::string_view message, std::string_view signature) const;

 private:
  Key256 bytes_{};
  std::shared_ptr<void> key_;
};

// Ed25519 private key: made from its 32-byte seed, or held by something else (a token) that signs for it.
class SigningKey {
 public:
  using Signer = std::function<Result<std::string>(std::string_view message)>;

  static SigningKey Generate();
  static SigningKey FromSeed(const Key256& seed);
  // `sign` is called from any thread.
  static SigningKey External(const Key256& public_key, Signer sign);

  bool external() const { return signer_ != nullptr; }
  const Key256& seed() const;  // Requires: not external
  const Key256& public_key() const { return public_key_; }
  // 64 bytes. Errors: none but what an external signer says; kTampered when what it returns does not verify.
  Result<std::string> TrySign(std::string_view message) const;
  // For who cannot go on without: an external signer that fails ends the process, and nothing is signed.
  std::string Sign(std::string_view message) const;

 private:
  Key256 seed_{};
  Key256 public_key_{};
  std::shared_ptr<void> key_;
  std::shared_ptr<const Signer> signer_;  // copies of a key share what holds it
};

// An X.509 certificate in DER, alone, of a P-256 key. Errors: kInvalid.
Status CheckCertificate(std::string_view der);

// AES-256-GCM with a 96-bit nonce. Output: ciphertext ‖ tag(16).
inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
// Appends to `out`.
void AeadSeal(const Key256& key, std::string_view nonce, std::string_view aad,
              std::initializer_list<std::string_view> plaintext, std::string& out);
// Errors: kTampered; nothing of the plaintext is returned then.
Result<std::string> AeadOpen(const Key256& key, std::string_view nonce, std::string_view aad,
                             std::string_view sealed);

// AES-256-CTR, both ways and in place: the stream whose first counter block is `counter`, entered at byte
// `offset`.
using CounterBlock = std::array<std::uint8_t, 16>;
void CtrXor(const Key256& key, const CounterBlock& counter, std::uint64_t offset, void* data, std::size_t size);
// `size` bytes of AES-256-CTR keystream from counter block 0.
void KeyStream(const Key256& key, void* out, std::size_t size);

// AES-256 of one block: a pseudo-random function of blocks that do not repeat. A thread keeps its last key scheduled.
using AesBlock = std::array<std::uint8_t, 16>;
AesBlock Aes256(const Key256& key, const AesBlock& block);

// HPKE: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; base mode, single message.
struct HpkeKeyPair {
  Key256 private_key;
  Key256 public_key;
  static HpkeKeyPair Generate();
  static HpkeKeyPair FromPrivate(const Key256& private_key);
};
// enc(32) ‖ ciphertext ‖ tag.
Result<std::string> HpkeSeal(const Key256& recipient, std::string_view info, std::string_view aad,
                             std::string_view plaintext);
Result<std::string> HpkeOpen(const HpkeKeyPair& recipient, std::string_view info,
                             std::string_view aad, std::string_view sealed);

namespace testing {
// The same with a chosen ephemeral key and AES key size (16 or 32), for the vectors of RFC 9180.
Result<std::string> HpkeSealWith(const HpkeKeyPair& ephemeral, std::size_t key_bytes,
                                 const Key256& recipient, std::string_view info,
                                 std::string_view aad, std::string_view plaintext);
// What HPKE is made of, for vectors of its own.
// Errors: kInvalid for a public key of small order.
Result<std::string> X25519(const Key256& private_key, const Key256& public_key);
}  // namespace testing

}  // namespace daicho
