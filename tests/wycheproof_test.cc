// The primitives against the vectors of others, kept in vectors/: Project Wycheproof's edge cases
// and the twelve signatures of "Taming the many EdDSAs". Every test of every file runs; a wrong
// answer names its tcId. What our functions cannot be asked (other sizes of key, nonce, salt or
// output) is counted, so that nothing drops out unseen.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "events/crypto.h"

namespace daicho {
namespace {

using Json = nlohmann::json;

Json Vectors(const std::string& file) { return Json::parse(std::ifstream(DAICHO_VECTORS + file)); }
std::string Bytes(const Json& object, const char* field) {
  return FromHex(object.at(field).get<std::string>()).value();
}
Key256 Key(const Json& object, const char* field) {
  return ToArray<32>(Bytes(object, field)).value();
}
bool Flagged(const Json& test, const char* flag) {
  const Json& flags = test.at("flags");
  return std::find(flags.begin(), flags.end(), flag) != flags.end();
}

enum class Answer { kAccepted, kRefused, kOutside };
struct Count {
  int accepted = 0, refused = 0, outside = 0;
  friend bool operator==(const Count&, const Count&) = default;
};

// What `ask` answers to each test of the file. It is wrong to accept what is "invalid" and to
// refuse what is "valid"; what is "acceptable" `ask` judges itself.
Count AnswersTo(const std::string& file,
                const std::function<Answer(const Json& group, const Json& test)>& ask) {
  const Json vectors = Vectors("wycheproof/" + file);
  Count count;
  for (const Json& group : vectors.at("testGroups")) {
    for (const Json& test : group.at("tests")) {
      const Answer answer = ask(group, test);
      const std::string result = test.at("result");
      ++(answer == Answer::kAccepted  ? count.accepted
         : answer == Answer::kRefused ? count.refused
                                      : count.outside);
      EXPECT_FALSE((answer == Answer::kAccepted && result == "invalid") ||
                   (answer == Answer::kRefused && result == "valid"))
          << file << " tcId " << test.at("tcId") << ": " << test.at("comment");
    }
  }
  EXPECT_EQ(count.accepted + count.refused + count.outside, vectors.at("numberOfTests").get<int>())
      << file;
  return count;
}
Answer AcceptedIf(bool accepted) { return accepted ? Answer::kAccepted : Answer::kRefused; }

bool Verifies(const Key256& key, std::string_view message, std::string_view signature) {
  const auto verifier = VerifyingKey::From(key);
  return verifier.ok() && verifier->Verify(message, signature).ok();
}

TEST(Ed25519, AnswersWycheproofAsPublished) {
  const Count count = AnswersTo("ed25519_test.json", [](const Json& group, const Json& test) {
    return AcceptedIf(
        Verifies(Key(group.at("publicKey"), "pk"), Bytes(test, "msg"), Bytes(test, "sig")));
  });
  EXPECT_EQ(count, (Count{88, 63, 0}));
}

// RFC 8032 section 7.1, TEST 1024, whose long message is that of tcId 83.
TEST(Ed25519, SignsTheLongMessageOfRfc8032) {
  const SigningKey key = SigningKey::FromSeed(
      ToArray<32>(
          FromHex("f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5").value())
          .value());
  const Count count = AnswersTo("ed25519_test.json", [&](const Json& group, const Json& test) {
    if (Key(group.at("publicKey"), "pk") != key.public_key()) return Answer::kOutside;
    EXPECT_EQ(test.at("tcId"), 83);
    return AcceptedIf(key.Sign(Bytes(test, "msg")) == Bytes(test, "sig"));
  });
  EXPECT_EQ(count, (Count{1, 0, 150}));
}

// Ours are keys of 256, nonces of 96 and tags of 128 bits. A nonce of another length is refused.
TEST(Aead, AnswersWycheproofAsPublished) {
  const Count count = AnswersTo("aes_gcm_test.json", [](const Json& group, const Json& test) {
    if (group.at("keySize") != 256 || group.at("tagSize") != 128) return Answer::kOutside;
    const Key256 key = Key(test, "key");
    const std::string nonce = Bytes(test, "iv"), aad = Bytes(test, "aad"),
                      message = Bytes(test, "msg");
    const std::string sealed = Bytes(test, "ct") + Bytes(test, "tag");
    const auto opened = AeadOpen(key, nonce, aad, sealed);
    if (nonce.size() != kNonceBytes) {
      EXPECT_FALSE(opened.ok()) << "tcId " << test.at("tcId");
      return Answer::kOutside;
    }
    std::string own;
    AeadSeal(key, nonce, aad, {message}, own);
    EXPECT_EQ(own == sealed, opened.ok()) << "tcId " << test.at("tcId");
    return AcceptedIf(opened.ok() && *opened == message);
  });
  EXPECT_EQ(count, (Count{39, 27, 250}));
}

// "acceptable" are keys on the twist or spelled above the prime, which RFC 7748 takes, and those of
// small order, which RFC 9180 section 7.1.4 refuses.
TEST(KeyAgreement, AnswersWycheproofAsPublished) {
  const Count count = AnswersTo("x25519_test.json", [](const Json&, const Json& test) {
    const auto secret = testing::X25519(Key(test, "private"), Key(test, "public"));
    EXPECT_EQ(secret.ok(), !Flagged(test, "ZeroSharedSecret")) << "tcId " << test.at("tcId");
    EXPECT_TRUE(!secret.ok() || *secret == Bytes(test, "shared")) << "tcId " << test.at("tcId");
    return AcceptedIf(secret.ok());
  });
  EXPECT_EQ(count, (Count{487, 31, 0}));
}

// Our keys have 256 bits; HMAC itself pads a shorter one with zeros. A tag may be cut short.
TEST(Hmac, AnswersWycheproofAsPublished) {
  const Count count = AnswersTo("hmac_sha256_test.json", [](const Json&, const Json& test) {
    std::string key = Bytes(test, "key");
    if (key.size() > 32) return Answer::kOutside;
    key.resize(32);
    const std::string tag = Bytes(test, "tag");
    const Digest own = HmacSha256(ToArray<32>(key).value(), Bytes(test, "msg"));
    return AcceptedIf(View(own).substr(0, tag.size()) == tag);
  });
  EXPECT_EQ(count, (Count{60, 108, 6}));
}

// Ours is the first block, with a salt of at most 256 bits; of a longer output it is the beginning.
TEST(Hkdf, AnswersWycheproofAsPublished) {
  const Count count = AnswersTo("hkdf_sha256_test.json", [](const Json&, const Json& test) {
    const std::string salt = Bytes(test, "salt"), okm = Bytes(test, "okm").substr(0, 32);
    if (salt.size() > 32 || test.at("result") == "invalid") return Answer::kOutside;
    return AcceptedIf(
        HkdfSha256(salt, Bytes(test, "ikm"), Bytes(test, "info"), okm.size()) == okm);
  });
  EXPECT_EQ(count, (Count{72, 0, 14}));
}

// eprint 2020/1244, section 5. All twelve are refused but 3, which every verifier accepts: key and
// R have components of small order beside large ones and the equation holds without the cofactor.
TEST(Ed25519, TakesOneOfTheManyEdDsas) {
  const Json cases = Vectors("ed25519_speccheck.json");
  ASSERT_EQ(cases.size(), 12);
  const std::set<std::size_t> of_small_keys = {0, 1, 10, 11};
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Key256 key = Key(cases[i], "pub_key");
    EXPECT_EQ(VerifyingKey::From(key).ok(), !of_small_keys.contains(i)) << "case " << i;
    EXPECT_EQ(Verifies(key, Bytes(cases[i], "message"), Bytes(cases[i], "signature")), i == 3)
        << "case " << i;
  }
}

}  // namespace
}  // namespace daicho
