#include "ledger/pkcs11.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "events/sanitizers.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::string_view kScheme = "pkcs11:";
constexpr std::size_t kUriBytesMax = 4096;

// Percent-decodes; no control characters.
Result<std::string> Decode(std::string_view text, std::string_view attribute) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      const auto byte = FromHex(text.substr(i + 1, 2));
      if (!byte.ok() || byte->size() != 1)
        return Invalid(std::string(attribute) + ": '%' stands before two hexadecimal digits");
      out += *byte;
      i += 2;
    }
    if (static_cast<unsigned char>(out.back()) < 0x20)
      return Invalid(std::string(attribute) + ": holds a control character");
  }
  if (out.empty()) return Invalid(std::string(attribute) + ": is empty");
  return out;
}

// Splits at `separator` into name=value; every name is one of `fields`, at most once.
Status ParseAttributes(std::string_view text, char separator,
                       const std::map<std::string_view, std::string*>& fields) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    const std::string_view attribute = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::size_t equals = attribute.find('=');
    if (equals == std::string_view::npos) return Invalid("every attribute is name=value");
    const std::string_view name = attribute.substr(0, equals);
    const auto field = fields.find(name);
    if (field == fields.end())
      return Invalid("attribute " + std::string(name) + " is not supported");
    if (!field->second->empty()) return Invalid(std::string(name) + ": stands twice");
    ASSIGN_OR_RETURN(*field->second, Decode(attribute.substr(equals + 1), name));
  }
  return {};
}

Result<TokenUri> ParseUri(std::string_view uri) {
  if (!IsTokenUri(uri)) return Invalid("begins with pkcs11:");
  if (uri.size() > kUriBytesMax) return Invalid("is longer than 4096 bytes");
  uri.remove_prefix(kScheme.size());
  const std::size_t question = std::min(uri.find('?'), uri.size());
  TokenUri out;
  std::string pin_source;
  RETURN_IF_ERROR(
      ParseAttributes(uri.substr(0, question), ';',
                      {{"token", &out.token}, {"object", &out.object}, {"serial", &out.serial}}));
  RETURN_IF_ERROR(
      ParseAttributes(uri.substr(std::min(question + 1, uri.size())), '&',
                      {{"module-path", &out.module_path}, {"pin-source", &pin_source}}));
  if (out.token.empty()) return Invalid("token: is missing");
  if (out.object.empty()) return Invalid("object: is missing");
  if (!out.module_path.starts_with("/")) return Invalid("module-path: is no absolute path");
  if (!pin_source.starts_with("file:/")) return Invalid("pin-source: is not file:/path");
  out.pin_path = pin_source.substr(5);
  return out;
}

bool SessionLost(CK_RV rv) {
  switch (rv) {
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_CLOSED:
    case CKR_USER_NOT_LOGGED_IN:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
      return true;
    default:
      return false;
  }
}

Status FromToken(CK_RV rv, std::string_view doing) {
  const std::string what(doing);
  switch (rv) {
    case CKR_OK:
      return {};
    case CKR_PIN_INCORRECT:
    case CKR_PIN_INVALID:
    case CKR_PIN_LEN_RANGE:
      return Denied(what + ": the token refuses the PIN");
    case CKR_PIN_LOCKED:
      return Denied(what + ": the token has locked the PIN");
    case CKR_USER_PIN_NOT_INITIALIZED:
      return Denied(what + ": the token has no user PIN yet");
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_DEVICE_REMOVED:
      return Unavailable(what + ": the token is gone");
    case CKR_MECHANISM_INVALID:
    case CKR_MECHANISM_PARAM_INVALID:
    case CKR_FUNCTION_NOT_SUPPORTED:
      return Unsupported(what + ": the token lacks the mechanism");
    case CKR_ENCRYPTED_DATA_INVALID:
    case CKR_ENCRYPTED_DATA_LEN_RANGE:
      return Tampered(what + ": the bytes do not open under this key");
    default:
      std::string code;
      AppendU32(code, static_cast<std::uint32_t>(rv));
      return Unavailable(what + ": the token answers 0x" + ToHex(code));
  }
}

// A loaded module. Never unloaded: a library may be in use by another part of the process.
struct Module {
  CK_FUNCTION_LIST* call = nullptr;
  // Sessions of one process share a token's login, so a token is logged in to by one thread at a
  // time.
  std::mutex login;
};

Result<CK_FUNCTION_LIST*> LoadModule(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return NotFound("PKCS#11 module " + path + " cannot be loaded");
  const auto list = reinterpret_cast<CK_C_GetFunctionList>(::dlsym(library, "C_GetFunctionList"));
  if (list == nullptr) return Invalid(path + " is no PKCS#11 module");
  CK_FUNCTION_LIST* call = nullptr;
  RETURN_IF_ERROR(FromToken(list(&call), "PKCS#11 module " + path));
  CK_C_INITIALIZE_ARGS arguments{};
  arguments.flags = CKF_OS_LOCKING_OK;
  const CK_RV rv = call->C_Initialize(&arguments);
  if (rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
    RETURN_IF_ERROR(FromToken(rv, "initializing the PKCS#11 module " + path));
  return call;
}

Result<Module*> FindModule(const std::string& path) {
  static std::mutex mutex;
  static std::map<std::string, Module> modules;
  const std::lock_guard lock(mutex);
  if (const auto it = modules.find(path); it != modules.end()) return &it->second;
  ASSIGN_OR_RETURN(CK_FUNCTION_LIST * call, LoadModule(path));
  Module& module = modules[path];
  module.call = call;
  return &module;
}

// A template of attributes whose values it owns.
class Attributes {
 public:
  Attributes& Bytes(CK_ATTRIBUTE_TYPE type, std::string_view bytes) {
    values_.emplace_back(type, std::string(bytes));
    return *this;
  }
  Attributes& Number(CK_ATTRIBUTE_TYPE type, CK_ULONG number) {
    return Bytes(type, {reinterpret_cast<const char*>(&number), sizeof number});
  }
  Attributes& Flag(CK_ATTRIBUTE_TYPE type, bool value) {
    return Bytes(type, std::string(1, value ? '\x01' : '\0'));
  }
  // Valid until the next change.
  std::vector<CK_ATTRIBUTE> List() {
    std::vector<CK_ATTRIBUTE> out;
    for (auto& [type, bytes] : values_) out.push_back({type, bytes.data(), bytes.size()});
    return out;
  }

 private:
  std::vector<std::pair<CK_ATTRIBUTE_TYPE, std::string>> values_;
};

CK_BYTE* Bytes(std::string_view text) {
  return reinterpret_cast<CK_BYTE*>(const_cast<char*>(text.data()));
}

// A logged-in session. Belongs to one thread at a time.
class Session {
 public:
  Session(CK_FUNCTION_LIST* functions, CK_SESSION_HANDLE handle)
      : call(functions), handle_(handle) {}
  ~Session() { call->C_CloseSession(handle_); }
  Session(const Session&) = delete;

  Status Check(CK_RV rv, std::string_view doing) {
    lost = lost || SessionLost(rv);
    return FromToken(rv, doing);
  }

  // The handles of all objects that match, two at most.
  Result<std::vector<CK_OBJECT_HANDLE>> Find(CK_OBJECT_CLASS type, const std::string& label) {
    Attributes wanted;
    wanted.Number(CKA_CLASS, type).Bytes(CKA_LABEL, label);
    auto list = wanted.List();
    RETURN_IF_ERROR(Check(call->C_FindObjectsInit(handle_, list.data(), list.size()), "searching"));
    std::vector<CK_OBJECT_HANDLE> found(2);
    CK_ULONG count = 0;
    const CK_RV rv = call->C_FindObjects(handle_, found.data(), found.size(), &count);
    call->C_FindObjectsFinal(handle_);
    RETURN_IF_ERROR(Check(rv, "searching for " + label));
    found.resize(count);
    return found;
  }

  Result<CK_OBJECT_HANDLE> FindOne(CK_OBJECT_CLASS type, const std::string& label) {
    ASSIGN_OR_RETURN(const auto found, Find(type, label));
    if (found.empty()) return NotFound("the token has no such key " + label);
    if (found.size() > 1) return Conflict("the token has several keys " + label);
    return found[0];
  }

  Result<std::string> Attribute(CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type) {
    std::string out(256, '\0');
    CK_ATTRIBUTE attribute{type, out.data(), out.size()};
    RETURN_IF_ERROR(
        Check(call->C_GetAttributeValue(handle_, object, &attribute, 1), "reading an attribute"));
    out.resize(attribute.ulValueLen);
    return out;
  }

  CK_FUNCTION_LIST* const call;
  bool lost = false;
  CK_SESSION_HANDLE handle() const { return handle_; }

 private:
  const CK_SESSION_HANDLE handle_;
};

std::string Padded(const unsigned char* field, std::size_t size) {
  std::string out(reinterpret_cast<const char*>(field), size);
  out.erase(out.find_last_not_of(' ') + 1);
  return out;
}

class Token {
 public:
  static Result<std::shared_ptr<Token>> Open(const TokenUri& uri) {
    ASSIGN_OR_RETURN(Module * module, FindModule(uri.module_path));
    auto token = std::make_shared<Token>(uri, module);
    const std::lock_guard lock(token->mutex_);
    RETURN_IF_ERROR(token->Connect());
    return token;
  }
  Token(TokenUri uri, Module* module) : uri_(std::move(uri)), module_(module) {}

  const TokenUri& uri() const { return uri_; }

  // What `work` returns; done again in a fresh session when the first was lost.
  template <typename Work>
  std::invoke_result_t<Work, Session&> InSession(Work work) {
    const std::lock_guard lock(mutex_);
    const LeaksOfOthers of_the_module;  // SoftHSM never frees a parameter of each key it signs with
    for (bool again = true;; again = false) {
      if (session_ == nullptr) RETURN_IF_ERROR(Reconnect());
      auto out = work(*session_);
      if (!session_->lost) return out;
      session_.reset();
      if (!again) return out;
    }
  }

 private:
  // It was there: that it is not there now says nothing of its keys.
  Status Reconnect() {
    Status status = Connect();
    return status.code() == Code::kNotFound ? Unavailable(status.message()) : status;
  }

  Status Connect() {
    // A PIN refused once is not tried again: the token would lock itself.
    RETURN_IF_ERROR(refused_);
    const std::lock_guard lock(module_->login);
    ASSIGN_OR_RETURN(const CK_SLOT_ID slot, FindSlot());
    const std::string name = "token " + uri_.token;
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    RETURN_IF_ERROR(
        FromToken(module_->call->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr,
                                               nullptr, &handle),
                  "opening a session with the " + name));
    auto session = std::make_unique<Session>(module_->call, handle);
    Status login = LogIn(handle);
    if (login.code() == Code::kDenied) refused_ = login;
    RETURN_IF_ERROR(login);
    session_ = std::move(session);
    return {};
  }

  Status LogIn(CK_SESSION_HANDLE handle) {
    auto pin = ReadFile(uri_.pin_path);
    if (!pin.ok()) return pin.status().With("the PIN of the token " + uri_.token);
    while (!pin->empty() && (pin->back() == '\n' || pin->back() == '\r')) pin->pop_back();
    const CK_RV rv = module_->call->C_Login(handle, CKU_USER, Bytes(*pin), pin->size());
    Wipe(pin->data(), pin->size());
    return rv == CKR_USER_ALREADY_LOGGED_IN
               ? Status()
               : FromToken(rv, "logging in to the token " + uri_.token);
  }

  Result<CK_SLOT_ID> FindSlot() {
    std::array<CK_SLOT_ID, 256> slots;
    CK_ULONG count = slots.size();
    RETURN_IF_ERROR(FromToken(module_->call->C_GetSlotList(CK_TRUE, slots.data(), &count),
                              "listing tokens of " + uri_.module_path));
    std::vector<CK_SLOT_ID> found;
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO info{};
      if (module_->call->C_GetTokenInfo(slots[i], &info) != CKR_OK) continue;
      if (Padded(info.label, sizeof info.label) != uri_.token) continue;
      const std::string serial = Padded(info.serialNumber, sizeof info.serialNumber);
      if (uri_.serial.empty() || serial == uri_.serial) found.push_back(slots[i]);
    }
    if (found.empty()) return NotFound("no token " + uri_.token + " is present");
    if (found.size() > 1)
      return Conflict("several tokens " + uri_.token + " are present: give serial");
    return found[0];
  }

  const TokenUri uri_;
  Module* const module_;
  std::mutex mutex_;
  std::unique_ptr<Session> session_;  // guarded by mutex_, like all below
  Status refused_;
};

// Ed25519 as PKCS#11 3.0 names it: the curve's OID, 1.3.101.112.
constexpr std::string_view kEd25519Parameters("\x06\x03\x2b\x65\x70", 5);
constexpr std::string_view kOctetString32("\x04\x20", 2);

Result<Key256> PublicKey(Session& session, const std::string& label) {
  ASSIGN_OR_RETURN(const auto object, session.FindOne(CKO_PUBLIC_KEY, label));
  ASSIGN_OR_RETURN(const std::string curve, session.Attribute(object, CKA_EC_PARAMS));
  if (curve != kEd25519Parameters) return Invalid("the token's key " + label + " is not Ed25519");
  ASSIGN_OR_RETURN(std::string point, session.Attribute(object, CKA_EC_POINT));
  if (point.size() == 34 && point.starts_with(kOctetString32)) point.erase(0, 2);
  return ToArray<32>(point);
}

Result<Key256> GenerateEd25519(Session& session, const std::string& label) {
  for (const CK_OBJECT_CLASS type : {CKO_PUBLIC_KEY, CKO_PRIVATE_KEY}) {
    ASSIGN_OR_RETURN(const auto found, session.Find(type, label));
    if (!found.empty()) return Conflict("the token has a key " + label + " already");
  }
  const std::string id(View(RandomArray<8>()));
  Attributes shown, hidden;
  shown.Number(CKA_CLASS, CKO_PUBLIC_KEY).Flag(CKA_TOKEN, true).Flag(CKA_VERIFY, true);
  shown.Bytes(CKA_EC_PARAMS, kEd25519Parameters).Bytes(CKA_LABEL, label).Bytes(CKA_ID, id);
  hidden.Number(CKA_CLASS, CKO_PRIVATE_KEY).Flag(CKA_TOKEN, true).Flag(CKA_SIGN, true);
  hidden.Flag(CKA_PRIVATE, true).Flag(CKA_SENSITIVE, true).Flag(CKA_EXTRACTABLE, false);
  hidden.Bytes(CKA_LABEL, label).Bytes(CKA_ID, id);
  auto shown_list = shown.List(), hidden_list = hidden.List();
  CK_MECHANISM mechanism{CKM_EC_EDWARDS_KEY_PAIR_GEN, nullptr, 0};
  CK_OBJECT_HANDLE public_key = 0, private_key = 0;
  RETURN_IF_ERROR(
      session.Check(session.call->C_GenerateKeyPair(session.handle(), &mechanism, shown_list.data(),
                                                    shown_list.size(), hidden_list.data(),
                                                    hidden_list.size(), &public_key, &private_key),
                    "generating the key " + label));
  return PublicKey(session, label);
}

Result<std::string> SignInToken(Session& session, const std::string& label,
                                std::string_view message) {
  ASSIGN_OR_RETURN(const auto key, session.FindOne(CKO_PRIVATE_KEY, label));
  CK_MECHANISM mechanism{CKM_EDDSA, nullptr, 0};
  RETURN_IF_ERROR(session.Check(session.call->C_SignInit(session.handle(), &mechanism, key),
                                "signing with " + label));
  std::string out(64, '\0');
  CK_ULONG size = out.size();
  RETURN_IF_ERROR(session.Check(
      session.call->C_Sign(session.handle(), Bytes(message), message.size(), Data(out), &size),
      "signing with " + label));
  out.resize(size);
  return out;
}

class TokenHolder : public KeyHolder {
 public:
  explicit TokenHolder(std::shared_ptr<Token> token) : token_(std::move(token)) {}

  Result<bool> Has(std::string_view name) const override {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    return token_->InSession([&](Session& session) -> Result<bool> {
      ASSIGN_OR_RETURN(const auto found, session.Find(CKO_SECRET_KEY, Label(name)));
      return !found.empty();
    });
  }

  Status Create(std::string_view name) override {
    ASSIGN_OR_RETURN(const bool has, Has(name));
    if (has) return Conflict("the token has a key " + Label(name) + " already");
    return token_->InSession([&](Session& session) {
      Attributes wanted;
      wanted.Number(CKA_CLASS, CKO_SECRET_KEY)
          .Number(CKA_KEY_TYPE, CKK_AES)
          .Number(CKA_VALUE_LEN, 32);
      wanted.Flag(CKA_TOKEN, true).Flag(CKA_PRIVATE, true).Flag(CKA_SENSITIVE, true);
      wanted.Flag(CKA_EXTRACTABLE, false).Flag(CKA_ENCRYPT, true).Flag(CKA_DECRYPT, true);
      wanted.Bytes(CKA_LABEL, Label(name));
      auto list = wanted.List();
      CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
      CK_OBJECT_HANDLE key = 0;
      return session.Check(
          session.call->C_GenerateKey(session.handle(), &mechanism, list.data(), list.size(), &key),
          "generating the key " + Label(name));
    });
  }

  Result<std::string> Wrap(std::string_view name, const Key256& key,
                           std::string_view aad) const override {
    std::string nonce(View(RandomArray<kNonceBytes>()));
    ASSIGN_OR_RETURN(const std::string sealed, Gcm(name, true, nonce, aad, View(key)));
    return nonce + sealed;
  }

  Result<Key256> Unwrap(std::string_view name, std::string_view wrapped,
                        std::string_view aad) const override {
    if (wrapped.size() != kWrappedKeyBytes) return Corrupt("a wrapped key has 60 bytes");
    std::string nonce(wrapped.substr(0, kNonceBytes));
    ASSIGN_OR_RETURN(std::string opened, Gcm(name, false, nonce, aad, wrapped.substr(kNonceBytes)));
    auto key = ToArray<32>(opened);
    Wipe(opened.data(), opened.size());
    return key;
  }

  Status Destroy(std::string_view name) override {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    return token_->InSession([&](Session& session) -> Status {
      for (;;) {
        ASSIGN_OR_RETURN(const auto found, session.Find(CKO_SECRET_KEY, Label(name)));
        if (found.empty()) return {};
        RETURN_IF_ERROR(session.Check(session.call->C_DestroyObject(session.handle(), found[0]),
                                      "destroying the key " + Label(name)));
      }
    });
  }

 private:
  std::string Label(std::string_view name) const {
    return token_->uri().object + "." + std::string(name);
  }

  Result<std::string> Gcm(std::string_view name, bool seal, std::string& nonce,
                          std::string_view aad, std::string_view input) const {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    CK_GCM_PARAMS gcm{};
    gcm.iv_ptr = Data(nonce);
    gcm.iv_len = nonce.size();
    gcm.iv_bits = nonce.size() * 8;
    gcm.aad_ptr = Bytes(aad);
    gcm.aad_len = aad.size();
    gcm.tag_bits = kTagBytes * 8;
    return token_->InSession(
        [&](Session& session) { return GcmIn(session, Label(name), seal, gcm, input); });
  }

  static Result<std::string> GcmIn(Session& session, const std::string& label, bool seal,
                                   CK_GCM_PARAMS gcm, std::string_view input) {
    ASSIGN_OR_RETURN(const auto key, session.FindOne(CKO_SECRET_KEY, label));
    ASSIGN_OR_RETURN(const std::string extractable, session.Attribute(key, CKA_EXTRACTABLE));
    if (extractable != std::string(1, '\0'))
      return Denied("the key " + label + " may leave its token");
    CK_MECHANISM mechanism{CKM_AES_GCM, &gcm, sizeof gcm};
    std::string out(input.size() + kTagBytes, '\0');
    CK_ULONG size = out.size();
    auto* call = session.call;
    const auto handle = session.handle();
    CK_RV rv = seal ? call->C_EncryptInit(handle, &mechanism, key)
                    : call->C_DecryptInit(handle, &mechanism, key);
    const std::string doing = (seal ? "wrapping under " : "unwrapping under ") + label;
    RETURN_IF_ERROR(session.Check(rv, doing));
    rv = seal ? call->C_Encrypt(handle, Bytes(input), input.size(), Data(out), &size)
              : call->C_Decrypt(handle, Bytes(input), input.size(), Data(out), &size);
    // A tag that disagrees has no code of its own; some tokens answer with a general one.
    if (!seal && rv == CKR_GENERAL_ERROR) rv = CKR_ENCRYPTED_DATA_INVALID;
    RETURN_IF_ERROR(session.Check(rv, doing));
    out.resize(size);
    return out;
  }

  const std::shared_ptr<Token> token_;
};

}  // namespace

bool IsTokenUri(std::string_view text) { return text.starts_with(kScheme); }

Result<TokenUri> TokenUri::Parse(std::string_view uri) {
  auto parsed = ParseUri(uri);
  if (!parsed.ok()) return parsed.status().With("pkcs11 URI");
  return parsed;
}

Result<Key256> CreateTokenKey(const TokenUri& uri) {
  ASSIGN_OR_RETURN(const auto token, Token::Open(uri));
  return token->InSession([&](Session& session) { return GenerateEd25519(session, uri.object); });
}

Result<SigningKey> OpenTokenKey(const TokenUri& uri) {
  ASSIGN_OR_RETURN(const auto token, Token::Open(uri));
  ASSIGN_OR_RETURN(const Key256 public_key, token->InSession([&](Session& session) {
    return PublicKey(session, uri.object);
  }));
  const auto sign = [token](std::string_view message) {
    return token->InSession(
        [&](Session& session) { return SignInToken(session, token->uri().object, message); });
  };
  const SigningKey key = SigningKey::External(public_key, sign);
  // Whether the private key is there, fits, and may be used, is known now and not at the first
  // event.
  RETURN_IF_ERROR(key.TrySign("daicho/key-check/1\n").status());
  return key;
}

Result<std::unique_ptr<KeyHolder>> OpenTokenHolder(const TokenUri& uri) {
  ASSIGN_OR_RETURN(auto token, Token::Open(uri));
  return std::unique_ptr<KeyHolder>(std::make_unique<TokenHolder>(std::move(token)));
}

Result<SigningKey> ParseSigningKey(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' '))
    text.remove_suffix(1);
  if (IsTokenUri(text)) {
    ASSIGN_OR_RETURN(const TokenUri uri, TokenUri::Parse(text));
    return OpenTokenKey(uri);
  }
  auto bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() != sizeof(Key256))
    return Invalid("a key file holds 32 bytes in hexadecimal digits, or a pkcs11 URI");
  ASSIGN_OR_RETURN(const Key256 seed, ToArray<32>(*bytes));
  Wipe(bytes->data(), bytes->size());
  return SigningKey::FromSeed(seed);
}

}  // namespace daicho
