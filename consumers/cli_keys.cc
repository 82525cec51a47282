// daicho operator, agency, key, and what becomes of an issuer's key: every one an event of the registrar.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "consumers/cli_registry.h"
#include "consumers/gateway.h"
#include "consumers/registry_json.h"
#include "events/clock.h"
#include "events/note.h"
#include "events/tree_head.h"
#include "ledger/files.h"
#include "ledger/pkcs11.h"

namespace daicho {
namespace key_commands {

using nlohmann::ordered_json;

struct Arguments {
  explicit Arguments(Cli& shared) : cli(shared) {}
  Cli& cli;
  std::string token, use, holder, issuer, reason = "定例の更新", public_key, old_key, vkey, request, out;
  std::string operator_id, verification_id, valid_until;
  std::string agency, name, recipient, municipality, certificate;
  std::vector<std::string> roles, terminals;
  std::uint64_t leaked_from = 0;
};

Result<std::string> ReadPublicKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  auto bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() != 32) return Invalid(path + ": no public key of 32 bytes in hex");
  return bytes;
}

// Of the holder's key in force; empty: it has none.
std::string CurrentKeyId(const ordered_json& registry, v1::KeyUse use, const std::string& holder) {
  for (const auto& key : registry["keys"]) {
    if (key["use"] == KeyUseName(use) && key["holder"] == holder && !key.contains("until")) {
      return FromHex(key["key_id"].get<std::string>()).value();
    }
  }
  return "";
}

bool Knows(const ordered_json& items, const char* field, const std::string& name) {
  return std::any_of(items.begin(), items.end(), [&](const auto& item) { return item[field] == name; });
}

// The id that the registry will ask for.
std::string NewKeyId(const Home& home, v1::KeyUse use, const std::string& holder, const std::string& key) {
  if (use == v1::KEY_USE_AGENCY_ENCRYPTION) return std::string(View(Sha256Of({key})).substr(0, 4));
  const Key256 bytes = ToArray<32>(key).value();
  if (use == v1::KEY_USE_WITNESS) return NoteKeyId(holder, bytes, NoteAlgorithm::kCosignatureV1);
  return NoteKeyId(use == v1::KEY_USE_ISSUER ? IssuerOrigin(home.prefecture, holder) : holder, bytes);
}

// An event about a key other than the ledger's own. `key` empty: the key in force is revoked.
Status ChangeKey(const Arguments& a, NodeAccess& node, v1::KeyUse use, const std::string& holder,
                 const std::string& key, const std::string& old_key_signature = "") {
  ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
  v1::KeyChanged change;
  change.set_use(use);
  change.set_holder(holder);
  change.set_reason(a.reason);
  change.set_old_key_id(CurrentKeyId(registry, use, holder));
  if (key.empty()) {
    change.set_action(v1::KEY_ACTION_REVOKE);
    change.set_from_position(a.leaked_from);
  } else {
    change.set_action(change.old_key_id().empty() ? v1::KEY_ACTION_ADD : v1::KEY_ACTION_ROTATE);
    change.set_new_public_key(key);
    change.set_new_key_id(NewKeyId(node.home(), use, holder, key));
    change.set_algorithm(use == v1::KEY_USE_AGENCY_ENCRYPTION ? "p256" : "ed25519");
    change.set_old_key_signature(old_key_signature);
  }
  return node.Administer(v1::EVENT_KIND_KEY_CHANGED, change.SerializeAsString());
}

// --- issuers -------------------------------------------------------------------------------------

int IssuerRotate(const Arguments& a) {
  auto request = ReadRotationRequest(a.request);
  if (!request.ok()) return Fail(request.status());
  return ChangeRegistry(a.cli, "鍵を更新しました", request->issuer, [&](NodeAccess& node) -> Status {
    ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
    if (CurrentKeyId(registry, v1::KEY_USE_ISSUER, request->issuer) != request->old_key_id) {
      return Conflict("request: made with another key than the issuer's in force");
    }
    return ChangeKey(a, node, v1::KEY_USE_ISSUER, request->issuer, std::string(View(request->public_key)),
                     request->signature);
  });
}

int IssuerRevoke(const Arguments& a) {
  return ChangeRegistry(a.cli, "鍵を失効させました", a.issuer, [&](NodeAccess& node) {
    return ChangeKey(a, node, v1::KEY_USE_ISSUER, a.issuer, "");
  });
}

// --- operators -----------------------------------------------------------------------------------

int OperatorKeygen(const Arguments& a) {
  if (FileExists(a.out)) return Fail(Conflict(a.out + " exists"));
  const SigningKey key = SigningKey::Generate();
  if (Status status = WriteSigningKey(a.out, key); !status.ok()) return Fail(status);
  fmt::print("{}\n", ToHex(View(key.public_key())));
  return 0;
}

int OperatorAdd(const Arguments& a) {
  auto key = ReadPublicKey(a.public_key);
  if (!key.ok()) return Fail(key.status());
  v1::OperatorRegistered registered;
  registered.set_operator_id(a.operator_id);
  registered.set_public_key(*key);
  registered.set_key_id(NoteKeyId(a.operator_id, ToArray<32>(*key).value()));
  registered.set_verification_id(a.verification_id);
  registered.set_valid_until(a.valid_until);
  for (const std::string& role : a.roles) registered.add_roles(role);
  for (const std::string& terminal : a.terminals) registered.add_terminals(terminal);
  return ChangeRegistry(a.cli, "操作者を登録しました", a.operator_id, [&](NodeAccess& node) {
    return node.Administer(v1::EVENT_KIND_OPERATOR_REGISTERED, registered.SerializeAsString());
  });
}

int OperatorRevoke(const Arguments& a) {
  return ChangeRegistry(a.cli, "操作者の鍵を失効させました", a.operator_id, [&](NodeAccess& node) {
    return ChangeKey(a, node, v1::KEY_USE_OPERATOR, a.operator_id, "");
  });
}

// Signs for the new key with the old one, where that is at hand.
Status RotateKeyOf(const Arguments& a, NodeAccess& node, v1::KeyUse use, const std::string& holder) {
  ASSIGN_OR_RETURN(const std::string key, ReadPublicKey(a.public_key));
  ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
  if (CurrentKeyId(registry, use, holder).empty()) return Invalid("the holder has no key in force; add one");
  std::string signature;
  if (!a.old_key.empty()) {
    ASSIGN_OR_RETURN(const SigningKey old, ReadSigningKey(a.old_key));
    ASSIGN_OR_RETURN(signature, old.TrySign(std::string(kKeyChangeTag) + key));
  }
  return ChangeKey(a, node, use, holder, key, signature);
}

int OperatorRotate(const Arguments& a) {
  return ChangeRegistry(a.cli, "操作者の鍵を更新しました", a.operator_id,
             [&](NodeAccess& node) { return RotateKeyOf(a, node, v1::KEY_USE_OPERATOR, a.operator_id); });
}

// --- agencies ------------------------------------------------------------------------------------

// DER, also of a file in PEM.
Result<std::string> ReadCertificate(const std::string& path) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----", kEnd = "-----END CERTIFICATE-----";
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  const std::size_t begin = text.find(kBegin), end = text.find(kEnd);
  if (begin == std::string::npos) return text;
  if (end == std::string::npos || text.find(kBegin, end) != std::string::npos) {
    return Invalid(path + ": one certificate is wanted");
  }
  std::string base64 = text.substr(begin + kBegin.size(), end - begin - kBegin.size());
  std::erase_if(base64, [](char c) { return c == '\n' || c == '\r'; });
  auto der = FromBase64(base64);
  return der.ok() ? der : Result<std::string>(Invalid(path + ": the certificate is no PEM"));
}

int AgencyAdd(const Arguments& a) {
  auto key = ReadPublicKey(a.public_key);
  if (!key.ok()) return Fail(key.status());
  auto certificate = ReadCertificate(a.certificate);
  if (!certificate.ok()) return Fail(certificate.status());
  v1::RecipientClass recipient = v1::RECIPIENT_CLASS_UNSPECIFIED;
  std::string name = "RECIPIENT_CLASS_" + a.recipient;
  std::replace(name.begin(), name.end(), '-', '_');
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  if (!v1::RecipientClass_Parse(name, &recipient)) return Fail(Invalid("recipient: unknown"));
  v1::AgencyRegistered agency;
  agency.set_agency(a.agency);
  agency.set_name(a.name);
  agency.set_recipient(recipient);
  agency.set_municipality(a.municipality);
  agency.set_certificate(*certificate);
  agency.set_public_key(*key);
  agency.set_key_id(NoteKeyId(a.agency, ToArray<32>(*key).value()));
  return ChangeRegistry(a.cli, "利用機関を登録しました", a.agency, [&](NodeAccess& node) -> Status {
    ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
    if (Knows(registry["agencies"], "agency", a.agency)) return Conflict("the agency is registered; rotate its keys");
    return node.Administer(v1::EVENT_KIND_AGENCY_REGISTERED, agency.SerializeAsString());
  });
}

// The same registration, closed: what it was registered with stays as it is.
int AgencyClose(const Arguments& a) {
  return ChangeRegistry(a.cli, "利用機関を閉じました", a.agency, [&](NodeAccess& node) -> Status {
    ASSIGN_OR_RETURN(const ordered_json registry, ReadRegistry(node));
    v1::AgencyRegistered agency;
    for (const auto& known : registry["agencies"]) {
      if (known["agency"] != a.agency) continue;
      if (known["closed"]) return Conflict("the agency is closed already");
      agency.set_agency(a.agency);
      agency.set_name(known["name"].get<std::string>());
      agency.set_municipality(known["municipality"].get<std::string>());
      v1::RecipientClass recipient = v1::RECIPIENT_CLASS_UNSPECIFIED;
      v1::RecipientClass_Parse(known["recipient"].get<std::string>(), &recipient);
      agency.set_recipient(recipient);
      agency.set_closed(true);
    }
    if (agency.agency().empty()) return NotFound("no such agency");
    for (const auto& key : registry["keys"]) {
      if (key["holder"] != a.agency || key.contains("until")) continue;
      const std::string bytes = FromHex(key["public_key"].get<std::string>()).value();
      if (key["use"] == KeyUseName(v1::KEY_USE_AGENCY_SIGNING)) agency.set_public_key(bytes);
      if (key["use"] == KeyUseName(v1::KEY_USE_AGENCY_ENCRYPTION)) agency.set_certificate(bytes);
    }
    return node.Administer(v1::EVENT_KIND_AGENCY_REGISTERED, agency.SerializeAsString());
  });
}

int AgencyRotate(const Arguments& a) {
  if (a.public_key.empty() == a.certificate.empty()) {
    return Fail(Invalid("one of --public-key and --certificate is wanted"));
  }
  return ChangeRegistry(a.cli, "利用機関の鍵を更新しました", a.agency, [&](NodeAccess& node) -> Status {
    if (!a.public_key.empty()) return RotateKeyOf(a, node, v1::KEY_USE_AGENCY_SIGNING, a.agency);
    ASSIGN_OR_RETURN(const std::string certificate, ReadCertificate(a.certificate));
    return ChangeKey(a, node, v1::KEY_USE_AGENCY_ENCRYPTION, a.agency, certificate);
  });
}

// --- keys ----------------------------------------------------------------------------------------

int KeyCreateToken(const Arguments& a) {
  auto uri = TokenUri::Parse(a.token);
  if (!uri.ok()) return Fail(uri.status());
  auto key = CreateTokenKey(*uri);
  if (!key.ok()) return Fail(key.status());
  fmt::print("{}\n", ToHex(View(*key)));
  return 0;
}

int KeyList(const Arguments& a) {
  return ShowRegistry(a.cli, "keys", [](const ordered_json& key) {
    const std::string holder = key["holder"];
    std::string out = fmt::format("{:17} {:24} {}  位置 {} から", key["use"].get<std::string>(),
                                  holder.empty() ? "（台帳）" : holder, key["key_id"].get<std::string>(),
                                  key["from"].dump());
    if (key.contains("until")) out += fmt::format(" {} の前まで", key["until"].dump());
    if (key.contains("leaked_from")) out += fmt::format("  漏えい: 位置 {} から", key["leaked_from"].dump());
    return out;
  });
}

int KeyRotate(const Arguments& a) {
  return ChangeRegistry(a.cli, "台帳の鍵を更新しました", a.use, [&](NodeAccess& node) {
    node::Request request;
    request.mutable_rotate_key()->set_key(a.use == KeyUseName(v1::KEY_USE_SEQUENCER) ? "receipts" : a.use);
    request.mutable_rotate_key()->set_reason(a.reason);
    request.mutable_rotate_key()->set_token(a.token);
    return node.Call(request).status();
  });
}

int KeyRevoke(const Arguments& a) {
  return ChangeRegistry(a.cli, "鍵を失効させました", a.use + " " + a.holder,
             [&](NodeAccess& node) { return ChangeKey(a, node, KeyUseOf(a.use), a.holder, ""); });
}

// A witness's, from its vkey line. The same again is refused by the registry.
int KeyAdd(const Arguments& a) {
  if (KeyUseOf(a.use) != v1::KEY_USE_WITNESS) return Fail(Invalid("use: witness"));
  auto key = ParseNoteKey(a.vkey);
  if (!key.ok()) return Fail(key.status());
  if (key->algorithm != NoteAlgorithm::kCosignatureV1) return Fail(Invalid("vkey: not a witness's"));
  return ChangeRegistry(a.cli, "証人の鍵を登録しました", key->name, [&](NodeAccess& node) {
    return ChangeKey(a, node, v1::KEY_USE_WITNESS, key->name, std::string(View(key->key.bytes())));
  });
}

using Shared = std::shared_ptr<Arguments>;

CLI::App* Command(Cli& cli, CLI::App* group, const char* name, const char* what, const Shared& a,
                  int (*run)(const Arguments&)) {
  CLI::App* out = cli.Command(group, name, what, [a, run] { return run(*a); });
  cli.TakesHome(out);
  return out;
}
void TakesReason(CLI::App* command, const Shared& a) { command->add_option("--reason", a->reason, "理由"); }

void AddIssuerCommands(Cli& cli, const Shared& a) {
  CLI::App* group = cli.Group("issuer", "発行者の管理");
  CLI::App* rotate = Command(cli, group, "rotate", "発行者の鍵を、その申請書で更新", a, IssuerRotate);
  rotate->add_option("--request", a->request, "gateway rotate が作った issuer.rotate.json")->required();
  TakesReason(rotate, a);
  CLI::App* revoke = Command(cli, group, "revoke", "発行者の鍵を失効させる", a, IssuerRevoke);
  revoke->add_option("--issuer", a->issuer, "発行者")->required();
  revoke->add_option("--reason", a->reason, "理由")->required();
  revoke->add_option("--leaked-from", a->leaked_from, "この位置から後は漏えいした鍵による");
}

void AddOperatorCommands(Cli& cli, const Shared& a) {
  CLI::App* group = cli.Group("operator", "操作者の管理");
  CLI::App* keygen = cli.Command(group, "keygen", "操作者の鍵を作り、公開鍵を表示", [a] { return OperatorKeygen(*a); });
  keygen->add_option("--out", a->out, "秘密鍵のファイル")->required();
  CLI::App* add = Command(cli, group, "add", "操作者を登録（同じIDは置き換える）", a, OperatorAdd);
  add->add_option("--public-key", a->public_key, "公開鍵のファイル（16進）")->required();
  add->add_option("--role", a->roles, "役割")->required();
  add->add_option("--verification-id", a->verification_id, "照合ID（一人に一つ）");
  add->add_option("--terminal", a->terminals, "操作端末ID（なければどこでも）");
  add->add_option("--valid-until", a->valid_until, "最後の日 YYYY-MM-DD");
  CLI::App* revoke = Command(cli, group, "revoke", "操作者の鍵を失効させる", a, OperatorRevoke);
  CLI::App* rotate = Command(cli, group, "rotate", "操作者の鍵を更新", a, OperatorRotate);
  rotate->add_option("--public-key", a->public_key, "新しい公開鍵のファイル（16進）")->required();
  rotate->add_option("--old-key", a->old_key, "古い秘密鍵のファイル（あれば新しい鍵に署名する）");
  for (CLI::App* command : {add, revoke, rotate}) {
    command->add_option("--operator", a->operator_id, "操作者ID")->required();
  }
  for (CLI::App* command : {revoke, rotate}) TakesReason(command, a);
  cli.TakesHome(cli.Command(group, "list", "操作者の一覧", [a] {
    return ShowRegistry(a->cli, "operators", [](const ordered_json& item) {
      return fmt::format("{:12} {}  {}  端末 {}  {}", item["operator"].get<std::string>(),
                         item["active"] ? "有効" : "失効", Words(item["roles"]), Words(item["terminals"]),
                         item["valid_until"].get<std::string>());
    });
  }));
}

void AddAgencyRegistryCommands(Cli& cli, const Shared& a) {
  CLI::App* group = cli.Group("agency", "利用機関の管理");
  CLI::App* add = Command(cli, group, "add", "利用機関を登録", a, AgencyAdd);
  add->add_option("--name", a->name, "名称")->required();
  add->add_option("--recipient", a->recipient, "種別（prefectural-agency, department, …）")->required();
  add->add_option("--municipality", a->municipality, "市町村コード（市町村の機関のとき）");
  add->add_option("--certificate", a->certificate, "証明書 P-256（PEM または DER）")->required();
  add->add_option("--public-key", a->public_key, "署名の公開鍵のファイル（16進）")->required();
  CLI::App* close = Command(cli, group, "close", "利用機関への提供を終える", a, AgencyClose);
  CLI::App* rotate = Command(cli, group, "rotate", "利用機関の鍵を更新", a, AgencyRotate);
  rotate->add_option("--public-key", a->public_key, "新しい署名の公開鍵のファイル（16進）");
  rotate->add_option("--old-key", a->old_key, "古い秘密鍵のファイル");
  rotate->add_option("--certificate", a->certificate, "新しい証明書（PEM または DER）");
  TakesReason(rotate, a);
  for (CLI::App* command : {add, close, rotate}) {
    command->add_option("--agency", a->agency, "利用機関の名（a-z 0-9 -）")->required();
  }
  cli.TakesHome(cli.Command(group, "list", "利用機関の一覧", [a] {
    return ShowRegistry(a->cli, "agencies", [](const ordered_json& item) {
      return fmt::format("{:24} {}  {}", item["agency"].get<std::string>(), item["closed"] ? "閉" : "開",
                         item["name"].get<std::string>());
    });
  }));
}

}  // namespace key_commands

void AddKeyCommands(Cli& cli) {
  using namespace key_commands;
  auto a = std::make_shared<Arguments>(cli);
  AddIssuerCommands(cli, a);
  AddOperatorCommands(cli, a);
  AddAgencyRegistryCommands(cli, a);
  CLI::App* key = cli.Group("key", "鍵の管理");
  Command(cli, key, "list", "すべての鍵と、それが有効な位置", a, KeyList);
  CLI::App* rotate = Command(cli, key, "rotate", "台帳そのもの（sequencer、intake）と役割（registrar、records、provider、disclosure、retention、kikou、reconciler）の鍵を更新", a, KeyRotate);
  rotate->add_option("--token", a->token, "新しい鍵が入っているトークンの pkcs11 URI（intake を除く）");
  CLI::App* create = cli.Command(key, "create-token", "トークンに署名の鍵を作り、公開鍵を表示", [a] { return KeyCreateToken(*a); });
  create->add_option("--uri", a->token, "作る鍵の pkcs11 URI")->required();
  CLI::App* revoke = Command(cli, key, "revoke", "鍵を失効させる", a, KeyRevoke);
  revoke->add_option("--holder", a->holder, "鍵の持ち主")->required();
  revoke->add_option("--leaked-from", a->leaked_from, "この位置から後は漏えいした鍵による");
  CLI::App* add = Command(cli, key, "add", "証人の鍵を登録", a, KeyAdd);
  add->add_option("--vkey", a->vkey, "証人の公開鍵（vkey の一行）")->required();
  for (CLI::App* command : {rotate, revoke, add}) {
    command->add_option("--use", a->use, "用途（key list にある名）")->required();
    TakesReason(command, a);
  }
}

}  // namespace daicho
