// The primitives against published answers: FIPS 180-4, RFC 4231, RFC 8032, the GCM specification's
// test case 16, RFC 9180 A.1 and the CFRG's vector for our suite, SP 800-38A; the large collections are in
// wycheproof_test.cc. Then what the vectors do not say: whatever is sealed or
// signed is refused with any one byte changed, cut off or added.
#include "events/crypto.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "events/crypto_batch.h"

namespace daicho {
namespace {

std::string Hex(const std::string& hex) { return FromHex(hex).value(); }
Key256 Key(const std::string& hex) { return ToArray<32>(Hex(hex)).value(); }
std::string Flipped(std::string bytes, std::size_t at) {
  bytes[at] = static_cast<char>(bytes[at] ^ 0x20);
  return bytes;
}

TEST(Sha256, AgreesWithThePublishedDigests) {
  EXPECT_EQ(ToHex(View(Sha256Of({"abc"}))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(ToHex(View(Sha256Of({}))),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(ToHex(View(Sha256Of({"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"}))),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(ToHex(View(Sha256Of({std::string(1'000'000, 'a')}))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, OfPartsIsThatOfTheirConcatenation) {
  const std::string text =
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopqabcdbcdecdefdefgefghfghi";
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    Sha256 hash;
    hash.Update(text.substr(0, cut));
    hash.Update(text.substr(cut));
    ASSERT_EQ(hash.Final(), Sha256Of({text})) << cut;
    ASSERT_EQ(Sha256Of({text.substr(0, cut), text.substr(cut)}), Sha256Of({text}));
  }
}

TEST(Sha256Each, AgreesWithThePublishedDigestsHoweverManyStandBesideThem) {
  const std::vector<std::pair<std::string, std::string>> published = {
      {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
      {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
      {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
       "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
      {std::string(1'000'000, 'a'), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"}};
  for (const std::size_t count : {1, 5, 6, 7, 16, 17, 33}) {
    std::vector<std::string_view> messages;
    for (std::size_t i = 0; i < count; ++i) messages.push_back(published[i % published.size()].first);
    const auto digests = Sha256Each(messages);
    ASSERT_EQ(digests.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(ToHex(View(digests[i])), published[i % published.size()].second) << i << " of " << count;
    }
  }
}

TEST(Sha256Each, OfEveryLengthIsTheDigestOfThatMessageAlone) {
  std::string noise;
  for (int i = 0; i < 300; ++i) noise += View(Sha256Of({std::to_string(i)}));
  const std::string very_long(70'000, 'x');
  std::vector<std::string_view> messages;
  // The lengths mixed, so that lanes end at different times.
  for (const std::size_t longest : {65'533, 65'534, 65'535, 65'536}) {
    messages.push_back(std::string_view(very_long).substr(0, longest));
  }
  for (std::size_t i = 0; i < 700; ++i) messages.push_back(std::string_view(noise).substr(i, i * 37 % 701));
  const auto digests = Sha256Each(messages);
  for (std::size_t i = 0; i < messages.size(); ++i) ASSERT_EQ(digests[i], Sha256Of({messages[i]})) << i;
}

TEST(Hmac, AgreesWithRfc4231) {
  // Keys shorter than 32 bytes are padded with zeros by HMAC itself.
  const std::string zeros = std::string(24, '0');
  EXPECT_EQ(ToHex(View(HmacSha256(Key(ToHex(std::string(20, '\x0b')) + zeros), "Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(
      ToHex(View(HmacSha256(Key(ToHex(std::string(20, '\xaa')) + zeros), std::string(50, '\xdd')))),
      "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
  EXPECT_EQ(ToHex(View(HmacSha256(Key(ToHex("Jefe") + std::string(56, '0')),
                                  "what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(ToHex(View(HmacSha256(
                Key("0102030405060708090a0b0c0d0e0f10111213141516171819" + std::string(14, '0')),
                std::string(50, '\xcd')))),
            "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
  EXPECT_EQ(ToHex(View(HmacSha256(Key(ToHex(std::string(20, '\x0c')) + zeros),
                                  "Test With Truncation")))
                .substr(0, 32),
            "a3b6167473100ee06e0c796c2955552b");
}

TEST(Hmac, UnderAPreparedKeyAndSideBySideAgreesWithRfc4231) {
  struct Vector {
    std::string key, data;
    const char* mac;
  };
  // Test cases 1 to 4, 6 and 7; 5 is cut to 128 bits.
  const Vector vectors[] = {
      {std::string(20, '\x0b'), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
      {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
      {std::string(20, '\xaa'), std::string(50, '\xdd'),
       "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
      {Hex("0102030405060708090a0b0c0d0e0f10111213141516171819"), std::string(50, '\xcd'),
       "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
      {std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First",
       "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"},
      {std::string(131, '\xaa'),
       "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed "
       "before being used by the HMAC algorithm.",
       "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"}};
  for (const Vector& vector : vectors) {
    const HmacKey key(vector.key);
    for (int again = 0; again < 2; ++again) EXPECT_EQ(ToHex(View(key.Mac({vector.data}))), vector.mac);
    EXPECT_EQ(ToHex(View(HmacKey(key).Mac({vector.data.substr(0, 3), "", vector.data.substr(3)}))), vector.mac);
    Key256 padded{};  // as HMAC itself pads a short one
    if (vector.key.size() > padded.size()) continue;
    std::ranges::copy(vector.key, padded.begin());
    for (const std::size_t count : {1, 5, 6, 17}) {
      for (const Digest& each : HmacSha256Each(padded, std::vector<std::string_view>(count, vector.data))) {
        EXPECT_EQ(ToHex(View(each)), vector.mac) << count;
      }
    }
  }
}

TEST(HmacSha256Each, OfEveryLengthIsTheMacOfThatMessageAlone) {
  const Key256 key = Sha256Of({"key"});
  const std::string noise(70'000, 'x');
  std::vector<std::string_view> messages;
  for (std::size_t i = 0; i < 700; ++i) messages.push_back(std::string_view(noise).substr(0, i * 37 % 701));
  for (const std::size_t longest : {65'534, 65'535, 70'000}) messages.push_back(std::string_view(noise).substr(0, longest));
  const auto macs = HmacSha256Each(key, messages);
  for (std::size_t i = 0; i < messages.size(); ++i) ASSERT_EQ(macs[i], HmacSha256(key, messages[i])) << i;
}

// FIPS 197, C.3; and that one key does not stay for another.
TEST(Aes256, AgreesWithFips197) {
  const Key256 key = Key("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f");
  const AesBlock block = ToArray<16>(Hex("00112233445566778899aabbccddeeff")).value();
  for (int again = 0; again < 2; ++again) {
    EXPECT_EQ(ToHex(View(Aes256({}, {}))), "dc95c078a2408989ad48a21492842087");
    EXPECT_EQ(ToHex(View(Aes256(key, block))), "8ea2b7ca516745bfeafc49904b496089");
  }
}

TEST(Varint, OfANumberOnlyTheShortestFormIsRead) {
  for (const std::uint64_t value : {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, std::uint64_t{1} << 62,
                                    std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    std::string bytes;
    AppendVarint(bytes, value);
    std::string_view in = bytes;
    std::uint64_t read;
    EXPECT_TRUE(TakeVarint(in, read) && in.empty() && read == value) << value;
    in = std::string_view(bytes).substr(0, bytes.size() - 1);
    EXPECT_FALSE(TakeVarint(in, read));
  }
  for (const std::string& bytes : {Hex("8000"), Hex("ff8000"), Hex("ffffffffffffffffff02"), Hex("ffffffffffffffffffff01")}) {
    std::string_view in = bytes;
    std::uint64_t read;
    EXPECT_FALSE(TakeVarint(in, read)) << ToHex(bytes);
  }
}

struct SignatureVector {
  const char *seed, *public_key, *message, *signature;
};
// RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc); TEST 1024 is in wycheproof_test.cc.
constexpr SignatureVector kEd25519[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b"
     "46b"
     "d25bf5f0595bbe24655141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11"
     "d8c"
     "387b2eaeb4302aeeb00d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc"
     "659"
     "4a7c15e9716ed28dc027beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
     "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"},
};

TEST(Ed25519, AgreesWithRfc8032) {
  for (const SignatureVector& v : kEd25519) {
    const SigningKey key = SigningKey::FromSeed(Key(v.seed));
    EXPECT_EQ(ToHex(View(key.public_key())), v.public_key);
    EXPECT_EQ(ToHex(key.Sign(Hex(v.message))), v.signature);
    EXPECT_TRUE(VerifyingKey::From(Key(v.public_key))
                    .value()
                    .Verify(Hex(v.message), Hex(v.signature))
                    .ok());
  }
}

TEST(Ed25519, ASignatureHoldsForItsMessageAndKeyAlone) {
  const SigningKey key = SigningKey::Generate();
  const VerifyingKey verifier = VerifyingKey::From(key.public_key()).value();
  const std::string message = "a message", signature = key.Sign(message);
  ASSERT_TRUE(verifier.Verify(message, signature).ok());
  for (std::size_t i = 0; i < signature.size(); ++i) {
    EXPECT_EQ(verifier.Verify(message, Flipped(signature, i)).code(), Code::kTampered) << i;
  }
  for (std::size_t i = 0; i < message.size(); ++i) {
    EXPECT_EQ(verifier.Verify(Flipped(message, i), signature).code(), Code::kTampered) << i;
  }
  EXPECT_EQ(verifier.Verify(message, signature.substr(1)).code(), Code::kTampered);
  EXPECT_EQ(verifier.Verify(message, signature + "x").code(), Code::kTampered);
  EXPECT_EQ(verifier.Verify(message, "").code(), Code::kTampered);
  const SigningKey other = SigningKey::Generate();
  EXPECT_EQ(VerifyingKey::From(other.public_key())->Verify(message, signature).code(),
            Code::kTampered);
}

// The eight points of small order in all their spellings: y of 1, -1, 0, 0, and of order 8, the same with the
// sign of an x that is 0, and y + p where it fits.
constexpr const char* kSmallOrder[] = {
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
};

TEST(Ed25519, NoPointOfSmallOrderIsAKeyOrTheRandomPoint) {
  const VerifyingKey verifier = VerifyingKey::From(Key(kEd25519[0].public_key)).value();
  for (const char* point : kSmallOrder) {
    EXPECT_EQ(VerifyingKey::From(Key(point)).status().code(), Code::kInvalid) << point;
    EXPECT_EQ(verifier.Verify("any message", Hex(point) + std::string(32, '\0')).code(), Code::kTampered) << point;
  }
  // R = 0·B and S = h·a under the key of TEST 1: the equation holds, and OpenSSL accepts it.
  EXPECT_EQ(verifier
                .Verify("any message", Hex("0100000000000000000000000000000000000000000000000000000000000000"
                                           "0c871e8b46f4c0242adba4abe5a2c6329e123283fe6ce73c4bcb00eb7a05f308"))
                .code(),
            Code::kTampered);
}

TEST(Ed25519, AKeyHasOneSpelling) {
  // From 2^255 - 19 on, with either sign, y is that of a smaller number; the one below the last point of small
  // order is spelled right.
  const std::string middle(60, 'f');
  for (int low = 0xed; low <= 0xff; ++low) {
    const std::string first = ToHex(std::string(1, static_cast<char>(low)));
    EXPECT_EQ(VerifyingKey::From(Key(first + middle + "7f")).status().code(), Code::kInvalid) << low;
    EXPECT_EQ(VerifyingKey::From(Key(first + middle + "ff")).status().code(), Code::kInvalid) << low;
  }
  EXPECT_TRUE(VerifyingKey::From(Key("eb" + middle + "7f")).ok());
  EXPECT_TRUE(VerifyingKey::From(Key("ed" + middle + "7e")).ok());
  EXPECT_TRUE(VerifyingKey::From(Key("edfe" + middle.substr(2) + "7f")).ok());
}

// "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B, test case 16.
TEST(Aead, AgreesWithThePublishedVector) {
  const Key256 key = Key("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  const std::string nonce = Hex("cafebabefacedbaddecaf888"),
                    aad = Hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const std::string plaintext =
      Hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
          "49a6b525"
          "b16aedf5aa0de657ba637b39");
  std::string sealed;
  AeadSeal(key, nonce, aad, {plaintext.substr(0, 7), plaintext.substr(7)}, sealed);
  EXPECT_EQ(ToHex(sealed),
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b"
            "1056828838"
            "c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
  EXPECT_EQ(AeadOpen(key, nonce, aad, sealed).value(), plaintext);
}

TEST(Aead, OpensNothingThatWasChanged) {
  const auto key = RandomArray<32>();
  const std::string nonce(kNonceBytes, 'n'), aad = "the leaf";
  std::string sealed;
  AeadSeal(key, nonce, aad, {"salt and payload"}, sealed);
  const auto refused = [](const Result<std::string>& opened) {
    return opened.status().code() == Code::kTampered;
  };
  for (std::size_t i = 0; i < sealed.size(); ++i)
    EXPECT_TRUE(refused(AeadOpen(key, nonce, aad, Flipped(sealed, i))));
  for (std::size_t i = 0; i < aad.size(); ++i)
    EXPECT_TRUE(refused(AeadOpen(key, nonce, Flipped(aad, i), sealed)));
  for (std::size_t i = 0; i < nonce.size(); ++i)
    EXPECT_TRUE(refused(AeadOpen(key, Flipped(nonce, i), aad, sealed)));
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_TRUE(refused(AeadOpen(key, nonce, aad, sealed.substr(0, size)))) << size;
  }
  EXPECT_TRUE(refused(AeadOpen(RandomArray<32>(), nonce, aad, sealed)));
}

TEST(Aead, SealsNothingAndAppendsToWhatIsThere) {
  const auto key = RandomArray<32>();
  const std::string nonce(kNonceBytes, 'n');
  std::string out = "before";
  AeadSeal(key, nonce, "", {}, out);
  EXPECT_EQ(out.size(), 6 + kTagBytes);
  EXPECT_EQ(AeadOpen(key, nonce, "", out.substr(6)).value(), "");
}

TEST(Hpke, AgreesWithRfc9180) {
  const auto ephemeral = HpkeKeyPair::FromPrivate(
      Key("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736"));
  EXPECT_EQ(ToHex(View(ephemeral.public_key)),
            "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
  const auto sealed = testing::HpkeSealWith(
      ephemeral, 16, Key("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"),
      Hex("4f6465206f6e2061204772656369616e2055726e"), Hex("436f756e742d30"),
      Hex("4265617574792069732074727574682c20747275746820626561757479"));
  EXPECT_EQ(
      ToHex(sealed.value()),
      "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
      "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a");
}

// draft-irtf-cfrg-hpke, test-vectors.json of 5f503c5: mode 0, KEM 0x0020, KDF 0x0001, AEAD 0x0002, sequence 0.
TEST(Hpke, AgreesWithTheVectorOfOurSuite) {
  const auto ephemeral = HpkeKeyPair::FromPrivate(
      Key("179d4b53b6365c45b600c4163b61d95cbc2f4d9e36f1695558dce265ab8bab11"));
  const auto recipient = HpkeKeyPair::FromPrivate(
      Key("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d"));
  EXPECT_EQ(ToHex(View(recipient.public_key)),
            "430f4b9859665145a6b1ba274024487bd66f03a2dd577d7753c68d7d7d00c00c");
  const std::string info = "Ode on a Grecian Urn", aad = "Count-0", message = "Beauty is truth, truth beauty";
  const std::string sealed =
      testing::HpkeSealWith(ephemeral, 32, recipient.public_key, info, aad, message).value();
  EXPECT_EQ(
      ToHex(sealed),
      "6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256"
      "e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a");
  EXPECT_EQ(HpkeOpen(recipient, info, aad, sealed).value(), message);
}

TEST(Hpke, OpensForItsRecipientAndPurposeAlone) {
  const HpkeKeyPair recipient = HpkeKeyPair::Generate();
  const std::string sealed = HpkeSeal(recipient.public_key, "ledger", "head", "body").value();
  EXPECT_EQ(HpkeOpen(recipient, "ledger", "head", sealed).value(), "body");
  EXPECT_EQ(
      HpkeOpen(HpkeKeyPair::FromPrivate(recipient.private_key), "ledger", "head", sealed).value(),
      "body");
  EXPECT_FALSE(HpkeOpen(HpkeKeyPair::Generate(), "ledger", "head", sealed).ok());
  EXPECT_FALSE(HpkeOpen(recipient, "another", "head", sealed).ok());
  EXPECT_FALSE(HpkeOpen(recipient, "ledger", "another", sealed).ok());
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    EXPECT_FALSE(HpkeOpen(recipient, "ledger", "head", Flipped(sealed, i)).ok()) << i;
    EXPECT_FALSE(HpkeOpen(recipient, "ledger", "head", sealed.substr(0, i)).ok()) << i;
  }
}

TEST(Hpke, SealsAnewEachTimeAndRefusesAKeyOfSmallOrder) {
  const HpkeKeyPair recipient = HpkeKeyPair::Generate();
  EXPECT_NE(HpkeSeal(recipient.public_key, "", "", "x").value(),
            HpkeSeal(recipient.public_key, "", "", "x").value());
  EXPECT_FALSE(HpkeSeal(Key256{}, "", "", "x").ok());
  EXPECT_FALSE(HpkeOpen(recipient, "", "", std::string(64, '\0')).ok());
}

// AES-256 of counter blocks 0 and 1 under a zero key (NIST AESAVS, KAT).
TEST(KeyStreamBytes, AreAesInCounterModeFromZero) {
  std::string stream(64, '\0');
  KeyStream(Key256{}, stream.data(), stream.size());
  EXPECT_EQ(ToHex(stream.substr(0, 16)), "dc95c078a2408989ad48a21492842087");
  EXPECT_EQ(ToHex(stream.substr(16, 16)), "530f8afbc74536b9a963b4f1c4cb738b");
  std::string shorter(33, '\0');
  KeyStream(Key256{}, shorter.data(), shorter.size());
  EXPECT_EQ(shorter, stream.substr(0, 33));
}

// SP 800-38A, F.5.5 and F.5.6: CTR-AES256.
TEST(Ctr, AgreesWithThePublishedVectorFromAnyByteOn) {
  const Key256 key = Key("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  const CounterBlock counter = ToArray<16>(Hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")).value();
  const std::string plain =
      Hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  const std::string sealed =
      Hex("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
          "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6");
  for (std::size_t at = 0; at < plain.size(); ++at) {
    std::string part = plain.substr(at);
    CtrXor(key, counter, at, part.data(), part.size());
    EXPECT_EQ(part, sealed.substr(at)) << at;
    CtrXor(key, counter, at, part.data(), part.size());
    EXPECT_EQ(part, plain.substr(at)) << at;
  }
}

TEST(Ctr, CarriesThroughTheWholeCounterBlock) {
  CounterBlock last;
  last.fill(0xff);
  std::string wrapped(32, '\0'), zero(16, '\0');
  CtrXor(Key256{}, last, 0, wrapped.data(), wrapped.size());
  CtrXor(Key256{}, {}, 0, zero.data(), zero.size());
  EXPECT_EQ(wrapped.substr(16), zero);
  CtrXor(Key256{}, last, 16, zero.data(), zero.size());
  EXPECT_EQ(zero, std::string(16, '\0'));
}

TEST(Bytes, AreComparedWholeAndDrawnAnew) {
  EXPECT_TRUE(ConstantTimeEqual("abc", "abc"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abd"));
  EXPECT_FALSE(ConstantTimeEqual("abc", "abcd"));
  EXPECT_TRUE(ConstantTimeEqual("", ""));
  EXPECT_NE(RandomArray<32>(), RandomArray<32>());
  std::string large(100'000, '\0');  // more than is drawn at once
  RandomBytes(large.data(), large.size());
  EXPECT_NE(large.substr(0, 32), large.substr(99'968));
  EXPECT_NE(large.substr(99'968), std::string(32, '\0'));
}

}  // namespace
}  // namespace daicho
