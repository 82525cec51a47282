// Keys in a token: what the URI may say; signatures and wrapped keys that only the token makes;
// clear errors for all that can be missing or wrong; and sessions that are lost underneath. Method:
// SoftHSM in a temporary directory, with a key of its own for every test.
#include "ledger/pkcs11.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <thread>

#include "tests/soft_token.h"

namespace daicho {
namespace {

constexpr char kUri[] = "pkcs11:token=a;object=b?module-path=/m.so&pin-source=file:/p";

TEST(TokenUri, NamesTokenKeyModuleAndPin) {
  const auto uri = TokenUri::Parse(
      "pkcs11:token=%e5%8f%b0%20帳;object=a%3bb;serial=01?module-path=/m.so&pin-source=file:/p");
  ASSERT_TRUE(uri.ok()) << uri.status().ToString();
  EXPECT_EQ(uri->token, "台 帳");
  EXPECT_EQ(uri->object, "a;b");
  EXPECT_EQ(uri->serial, "01");
  EXPECT_EQ(uri->module_path, "/m.so");
  EXPECT_EQ(uri->pin_path, "/p");
  EXPECT_TRUE(TokenUri::Parse(kUri).ok());
}

TEST(TokenUri, EveryBrokenRuleIsNamed) {
  const std::pair<const char*, const char*> rows[] = {
      {"pkcs12:token=a", "begins with"},
      {"pkcs11:object=b?module-path=/m.so&pin-source=file:/p", "token: is missing"},
      {"pkcs11:token=a?module-path=/m.so&pin-source=file:/p", "object: is missing"},
      {"pkcs11:token=a;object=b?pin-source=file:/p", "module-path"},
      {"pkcs11:token=a;object=b?module-path=m.so&pin-source=file:/p", "module-path"},
      {"pkcs11:token=a;object=b?module-path=/m.so", "pin-source"},
      {"pkcs11:token=a;object=b?module-path=/m.so&pin-source=/p", "pin-source"},
      {"pkcs11:token=a;object=b?module-path=/m.so&pin-value=1", "pin-value is not supported"},
      {"pkcs11:token=a;token=b;object=b", "token: stands twice"},
      {"pkcs11:token=a;id=%01", "id is not supported"},
      {"pkcs11:token", "name=value"},
      {"pkcs11:token=", "token: is empty"},
      {"pkcs11:token=%4", "two hexadecimal"},
      {"pkcs11:token=%zz", "two hexadecimal"},
      {"pkcs11:token=a%00", "control character"},
      {"pkcs11:token=a\n", "control character"},
  };
  for (const auto& [uri, message] : rows) {
    const auto parsed = TokenUri::Parse(uri);
    EXPECT_EQ(parsed.status().code(), Code::kInvalid) << uri;
    EXPECT_NE(parsed.status().message().find(message), std::string::npos)
        << parsed.status().ToString();
  }
}

TokenUri Uri(const std::string& object) {
  return TokenUri::Parse(SoftToken::Get().Uri(object)).value();
}

TEST(Pkcs11, AKeyMadeInTheTokenSignsAsEd25519) {
  const auto made = CreateTokenKey(Uri("signer"));
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  const auto key = OpenTokenKey(Uri("signer"));
  ASSERT_TRUE(key.ok()) << key.status().ToString();
  EXPECT_TRUE(key->external());
  EXPECT_EQ(key->public_key(), *made);
  const VerifyingKey verifier = VerifyingKey::From(*made).value();
  EXPECT_TRUE(verifier.Verify("m", key->TrySign("m").value()).ok());
  EXPECT_TRUE(verifier.Verify("", key->Sign("")).ok());
  EXPECT_EQ(CreateTokenKey(Uri("signer")).status().code(), Code::kConflict);
}

TEST(Pkcs11, AKeyFileHoldsHexOrAUri) {
  const auto made = CreateTokenKey(Uri("filed"));
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(ParseSigningKey(SoftToken::Get().Uri("filed") + "\n")->public_key(), *made);
  const SigningKey software = SigningKey::Generate();
  EXPECT_EQ(ParseSigningKey(ToHex(View(software.seed())) + "\n")->public_key(),
            software.public_key());
  EXPECT_EQ(ParseSigningKey("").status().code(), Code::kInvalid);
  EXPECT_EQ(ParseSigningKey("00ff").status().code(), Code::kInvalid);
}

TEST(Pkcs11, WhatIsMissingIsNamed) {
  EXPECT_EQ(OpenTokenKey(Uri("nobody")).status().code(), Code::kNotFound);
  const auto with = [](auto change) {
    TokenUri uri = Uri("signer-2");
    change(uri);
    return OpenTokenKey(uri).status();
  };
  const Status token = with([](TokenUri& uri) { uri.token = "other"; });
  EXPECT_EQ(token.code(), Code::kNotFound);
  EXPECT_NE(token.message().find("no token other"), std::string::npos);
  EXPECT_EQ(with([](TokenUri& uri) { uri.serial = "0"; }).code(), Code::kNotFound);
  EXPECT_EQ(with([](TokenUri& uri) { uri.module_path = "/none.so"; }).code(), Code::kNotFound);
  EXPECT_EQ(
      with([](TokenUri& uri) { uri.module_path = "/usr/lib/x86_64-linux-gnu/libc.so.6"; }).code(),
      Code::kInvalid);
  EXPECT_EQ(with([](TokenUri& uri) { uri.pin_path = "/none"; }).code(), Code::kNotFound);
}

// Closes every session of the token, as unplugging it would.
void LoseSessions() {
  void* library = ::dlopen(SoftToken::kModule, RTLD_NOW);
  const auto list = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  CK_FUNCTION_LIST* call = nullptr;
  ASSERT_EQ(list(&call), CKR_OK);
  CK_SLOT_ID slots[8];
  CK_ULONG count = 8;
  ASSERT_EQ(call->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
  for (CK_ULONG i = 0; i < count; ++i) call->C_CloseAllSessions(slots[i]);
  ::dlclose(library);
}

TEST(Pkcs11, AWrongPinIsDeniedAndNotTriedTwice) {
  SoftToken::Get();
  const std::string pin = SoftToken::Get().Path("wrong-pin");
  ASSERT_TRUE(WriteFileDurably(pin, "0000\n").ok());
  const auto right = OpenTokenHolder(Uri("pins")).value();
  LoseSessions();  // a token is logged in to by the process, not by the caller
  TokenUri uri = Uri("pins");
  uri.pin_path = pin;
  const Status refused = OpenTokenHolder(uri).status();
  EXPECT_EQ(refused.code(), Code::kDenied);
  EXPECT_NE(refused.message().find("PIN"), std::string::npos);
  EXPECT_FALSE(right->Has("x").value());
}

TEST(Pkcs11, ALostSessionIsOpenedAgain) {
  const auto made = CreateTokenKey(Uri("steady"));
  ASSERT_TRUE(made.ok()) << made.status().ToString();
  const SigningKey key = OpenTokenKey(Uri("steady")).value();
  const auto holder = OpenTokenHolder(Uri("steady")).value();
  ASSERT_TRUE(holder->Create("root").ok());
  for (int i = 0; i < 3; ++i) {
    LoseSessions();
    EXPECT_TRUE(key.TrySign("m").ok());
    LoseSessions();
    const Key256 secret = RandomArray<32>();
    EXPECT_EQ(holder->Unwrap("root", holder->Wrap("root", secret, "a").value(), "a").value(),
              secret);
  }
}

TEST(Pkcs11, WhatWasThereAndIsGoneIsUnavailableUntilItIsBack) {
  ASSERT_TRUE(CreateTokenKey(Uri("away")).ok());
  TokenUri uri = Uri("away");
  uri.pin_path = SoftToken::Get().Path("lent-pin");
  ASSERT_TRUE(WriteFileDurably(uri.pin_path, "8271\n").ok());
  const SigningKey key = OpenTokenKey(uri).value();
  const auto holder = OpenTokenHolder(uri).value();
  ASSERT_TRUE(holder->Create("root").ok());
  ASSERT_TRUE(RemoveFile(uri.pin_path).ok());
  LoseSessions();
  EXPECT_EQ(key.TrySign("m").status().code(), Code::kUnavailable);
  EXPECT_EQ(holder->Has("root").status().code(), Code::kUnavailable);
  ASSERT_TRUE(WriteFileDurably(uri.pin_path, "8271\n").ok());
  EXPECT_TRUE(key.TrySign("m").ok());
  EXPECT_TRUE(holder->Has("root").value());
}

TEST(Pkcs11, ASignerThatFailsOrLiesIsFoundOut) {
  ASSERT_TRUE(CreateTokenKey(Uri("honest")).ok());
  const SigningKey key = OpenTokenKey(Uri("honest")).value();
  const SigningKey liar =
      SigningKey::External(SigningKey::Generate().public_key(),
                           [&](std::string_view message) { return key.TrySign(message); });
  EXPECT_EQ(liar.TrySign("m").status().code(), Code::kTampered);
  const SigningKey broken = SigningKey::External(key.public_key(), [](std::string_view) {
    return Result<std::string>(NotFound("no such key"));
  });
  EXPECT_EQ(broken.TrySign("m").status().code(), Code::kNotFound);
}

TEST(Pkcs11, SeveralThreadsShareOneToken) {
  const auto made = CreateTokenKey(Uri("shared"));
  ASSERT_TRUE(made.ok());
  const SigningKey key = OpenTokenKey(Uri("shared")).value();
  const VerifyingKey verifier = VerifyingKey::From(*made).value();
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      const SigningKey own = OpenTokenKey(Uri("shared")).value();
      for (int i = 0; i < 50; ++i) {
        const std::string message = std::to_string(t * 100 + i);
        EXPECT_TRUE(
            verifier.Verify(message, (i % 2 != 0 ? key : own).TrySign(message).value()).ok());
      }
    });
  }
}

}  // namespace
}  // namespace daicho
