#include "consumers/home.h"

#include <nlohmann/json.hpp>
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "consumers/kikou_line.h"
#include "ledger/files.h"
#include "ledger/kafka_log.h"
#include "ledger/local_log.h"
#include "ledger/pkcs11.h"

namespace daicho {
namespace {

Result<Key256> ReadSecret(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  ASSIGN_OR_RETURN(const std::string bytes, FromHex(text));
  auto key = ToArray<32>(bytes);
  return key.ok() ? key : Result<Key256>(Invalid(path + " holds no 32-byte key"));
}

Status WriteSecret(const std::string& path, const Key256& key) {
  return WriteFileDurably(path, ToHex(View(key)) + "\n", 0600);
}

std::string Absolute(const std::string& log) {
  if (!IsLocal(log)) return log;
  return "local:" + std::filesystem::absolute(LocalDirectory(log)).lexically_normal().string();
}

Status WriteSettings(const Home& home) {
  std::ostringstream text;
  text << toml::table{{"prefecture", std::to_string(home.prefecture)},
                      {"ledger", ToHex(View(home.ledger))},
                      {"log", home.log},
                      {"kafka_config", home.kafka_config},
                      {"key_holder", home.key_holder}}
       << "\n";
  return WriteFileDurably(home.Path("daicho.toml"), text.str(), 0644);
}

Status WritePublicPart(const Home& home) {
  const LedgerPublic out{home.prefecture, home.ledger, home.root, home.receipts.public_key(), home.intake.public_key};
  return WriteFileDurably(home.Path("ledger.pub.json"), FormatLedgerPublic(out), 0644);
}

Result<std::vector<std::pair<std::string, std::string>>> ReadKafkaConfig(const std::string& path) {
  std::vector<std::pair<std::string, std::string>> out;
  if (path.empty()) return out;
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) return Invalid(path + ": every line is NAME=VALUE");
    out.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  return out;
}

}  // namespace

Result<std::map<std::string, std::string>> ReadSettings(const std::string& path,
                                                        const std::vector<std::string>& known) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const toml::parse_result parsed = toml::parse(text, path);
  if (!parsed) return Invalid(path + ": " + std::string(parsed.error().description()));
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : parsed.table()) {
    const std::string name(key.str());
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return Invalid(path + ": unknown setting " + name);
    }
    const auto string = value.value<std::string>();
    if (!string) return Invalid(path + ": setting " + name + " is no text");
    out[name] = *string;
  }
  for (const std::string& name : known) {
    if (!out.contains(name)) return Invalid(path + ": setting " + name + " is missing");
  }
  return out;
}

std::string FormatLedgerPublic(const LedgerPublic& ledger) {
  const nlohmann::ordered_json document = {{"format", "daicho-ledger/1"},
                                           {"prefecture", ledger.prefecture},
                                           {"ledger", ToHex(View(ledger.ledger))},
                                           {"registrar_public_key", ToHex(View(ledger.registrar))},
                                           {"sequencer_public_key", ToHex(View(ledger.sequencer))},
                                           {"intake_public_key", ToHex(View(ledger.intake))}};
  return document.dump(2) + "\n";
}

Result<LedgerPublic> ReadLedgerPublic(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto document = nlohmann::ordered_json::parse(text, nullptr, false);
  const auto text_of = [&](const char* name) {
    const bool there = document.is_object() && document.contains(name) && document[name].is_string();
    return there ? document[name].get<std::string>() : std::string();
  };
  if (text_of("format") != "daicho-ledger/1") return Invalid(path + ": not a ledger's public part");
  const auto key = [&](const char* name) -> Result<Key256> {
    ASSIGN_OR_RETURN(const std::string bytes, FromHex(text_of(name)));
    auto out = ToArray<32>(bytes);
    return out.ok() ? out : Result<Key256>(Invalid(path + ": " + name + ": 32 bytes in hex"));
  };
  LedgerPublic out;
  if (document.contains("prefecture") && document["prefecture"].is_number_integer()) {
    out.prefecture = document["prefecture"].get<int>();
  }
  if (out.prefecture < 1 || out.prefecture > 47) return Invalid(path + ": prefecture: 1 to 47");
  ASSIGN_OR_RETURN(const std::string ledger, FromHex(text_of("ledger")));
  if (ledger.size() != sizeof(LedgerId)) return Invalid(path + ": ledger: 16 bytes in hex");
  ASSIGN_OR_RETURN(out.ledger, ToArray<16>(ledger));
  ASSIGN_OR_RETURN(out.registrar, key("registrar_public_key"));
  ASSIGN_OR_RETURN(out.sequencer, key("sequencer_public_key"));
  ASSIGN_OR_RETURN(out.intake, key("intake_public_key"));
  return out;
}

Result<SigningKey> ReadSigningKey(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  auto key = ParseSigningKey(text);
  Wipe(text.data(), text.size());
  if (key.ok()) return key;
  // The file is there; what it names may come back.
  if (key.status().code() == Code::kNotFound) return Unavailable(path + ": " + key.status().message());
  return key.status().With(path);
}

Status WriteSigningKey(const std::string& path, const SigningKey& key) {
  return WriteSecret(path, key.seed());
}

Status WriteTokenKey(const std::string& path, const std::string& uri) {
  ASSIGN_OR_RETURN(const TokenUri parsed, TokenUri::Parse(uri));
  ASSIGN_OR_RETURN(const SigningKey key, OpenTokenKey(parsed));
  if (FileExists(path)) {
    ASSIGN_OR_RETURN(const SigningKey there, ReadSigningKey(path));
    if (there.public_key() != key.public_key()) return Conflict(path + " has another key");
  }
  return WriteFileDurably(path, uri + "\n", 0600);
}

namespace {

std::string KeyPath(const Home& home, HomeKey key, const char* which = "") {
  return home.Path("keys/" + std::string(NameOf(key)) + which + ".key");
}

// Before it, NAME.old.key: what was signed or sealed under it may be waited for.
bool KeepsOld(HomeKey key) { return key == HomeKey::kReceipts || key == HomeKey::kIntake; }

Result<HpkeKeyPair> ReadIntakeKey(const std::string& path) {
  ASSIGN_OR_RETURN(const Key256 secret, ReadSecret(path));
  return HpkeKeyPair::FromPrivate(secret);
}

Result<Key256> PublicKeyAt(const std::string& path, HomeKey key) {
  if (key == HomeKey::kIntake) {
    ASSIGN_OR_RETURN(const HpkeKeyPair pair, ReadIntakeKey(path));
    return pair.public_key;
  }
  ASSIGN_OR_RETURN(const SigningKey signing, ReadSigningKey(path));
  return signing.public_key();
}

Status ReadKeys(Home& home) {
  for (const HomeKey key : kRoleKeys) {
    ASSIGN_OR_RETURN(RoleKey(home, key), ReadSigningKey(KeyPath(home, key)));
  }
  ASSIGN_OR_RETURN(home.receipts, ReadSigningKey(KeyPath(home, HomeKey::kReceipts)));
  ASSIGN_OR_RETURN(home.intake, ReadIntakeKey(KeyPath(home, HomeKey::kIntake)));
  return {};
}

// Held while the files of a key change places.
Result<Descriptor> LockKeys(const Home& home) {
  Descriptor lock(::open(home.Path("keys/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.get() < 0 || ::flock(lock.get(), LOCK_EX) != 0) return ErrnoStatus("locking the home's keys");
  return lock;
}

// The keys of the roles that came later.
Status MakeMissingKeys(const Home& home) {
  for (const HomeKey key : {HomeKey::kKikou, HomeKey::kReconciler}) {
    if (FileExists(KeyPath(home, key))) continue;
    ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
    if (!FileExists(KeyPath(home, key))) RETURN_IF_ERROR(WriteSigningKey(KeyPath(home, key), SigningKey::Generate()));
  }
  if (FileExists(home.Path(kCopyKeyFile))) return {};
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  if (FileExists(home.Path(kCopyKeyFile))) return {};
  return WriteCopyKeyFile(home.Path(kCopyKeyFile), {.epoch = 1, .secret = RandomArray<32>()});
}

}  // namespace

Result<CertifiedKey> SealOf(const Home& home, TimeMicros now) {
  constexpr int kDays = 1'826;  // five years
  const std::string key_file = home.Path("keys/seal.pem");
  const std::string certificate_file = home.Path("seal.crt.pem");
  if (!FileExists(key_file) || !FileExists(certificate_file)) {
    const CertifiedKey made = MakeSealKey("群馬県知事", kDays, now);
    RETURN_IF_ERROR(WriteFileDurably(key_file, made.private_key));
    RETURN_IF_ERROR(WriteFileDurably(certificate_file, made.certificate, 0644));
  }
  CertifiedKey out;
  ASSIGN_OR_RETURN(out.private_key, ReadFile(key_file));
  ASSIGN_OR_RETURN(out.certificate, ReadFile(certificate_file));
  return out;
}

Result<LedgerKeys> HeldLedgerKeys(const Home& home) {
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  LedgerKeys out;
  for (const char* which : {".next", "", ".old"}) {
    if (const std::string path = KeyPath(home, HomeKey::kReceipts, which); FileExists(path)) {
      ASSIGN_OR_RETURN(SigningKey key, ReadSigningKey(path));
      out.receipts.push_back(std::move(key));
    }
    if (const std::string path = KeyPath(home, HomeKey::kIntake, which); FileExists(path)) {
      ASSIGN_OR_RETURN(const HpkeKeyPair key, ReadIntakeKey(path));
      out.intake.push_back(key);
    }
  }
  return out;
}

std::string_view NameOf(HomeKey key) {
  switch (key) {
    case HomeKey::kReceipts: return "receipts";
    case HomeKey::kIntake: return "intake";
    case HomeKey::kRegistrar: return "registrar";
    case HomeKey::kRecords: return "records";
    case HomeKey::kProvider: return "provider";
    case HomeKey::kDisclosure: return "disclosure";
    case HomeKey::kRetention: return "retention";
    case HomeKey::kKikou: return "kikou";
    case HomeKey::kReconciler: return "reconciler";
  }
  CHECK(false);
}

SigningKey& RoleKey(Home& home, HomeKey key) {
  switch (key) {
    case HomeKey::kRegistrar: return home.registrar;
    case HomeKey::kRecords: return home.records;
    case HomeKey::kProvider: return home.provider;
    case HomeKey::kDisclosure: return home.disclosure;
    case HomeKey::kRetention: return home.retention;
    case HomeKey::kKikou: return home.kikou;
    case HomeKey::kReconciler: return home.reconciler;
    case HomeKey::kReceipts:
    case HomeKey::kIntake: break;
  }
  CHECK(false);
}

std::string NextKeyPath(const Home& home, HomeKey key) { return KeyPath(home, key, ".next"); }
std::string OldKeyPath(const Home& home, HomeKey key) { return KeyPath(home, key, ".old"); }

Result<Key256> PrepareNextKey(const Home& home, HomeKey key, const std::string& token) {
  if (!token.empty() && key == HomeKey::kIntake) return Invalid("token: holds keys that sign, none of intake");
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  const std::string path = NextKeyPath(home, key);
  if (!token.empty()) {
    RETURN_IF_ERROR(WriteTokenKey(path, token));
  } else if (!FileExists(path)) {
    RETURN_IF_ERROR(key == HomeKey::kIntake ? WriteSecret(path, HpkeKeyPair::Generate().private_key)
                                            : WriteSigningKey(path, SigningKey::Generate()));
  }
  return PublicKeyAt(path, key);
}

Status TakeNextKey(Home& home, HomeKey key, std::string_view in_force) {
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  const std::string next = NextKeyPath(home, key), current = KeyPath(home, key);
  if (!FileExists(next)) return ReadKeys(home);
  ASSIGN_OR_RETURN(const Key256 next_key, PublicKeyAt(next, key));
  if (View(next_key) != in_force) return {};
  ASSIGN_OR_RETURN(const std::string old, ReadFile(current));
  ASSIGN_OR_RETURN(const std::string taken, ReadFile(next));
  if (taken != old) {  // else a crash has left it here
    if (KeepsOld(key)) RETURN_IF_ERROR(WriteFileDurably(OldKeyPath(home, key), old, 0600));
    RETURN_IF_ERROR(WriteFileDurably(current, taken, 0600));
  }
  RETURN_IF_ERROR(ReadKeys(home));
  RETURN_IF_ERROR(WritePublicPart(home));
  return RemoveFile(next);
}

Result<std::optional<SigningKey>> NextRoleKey(const Home& home, HomeKey key) {
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  const std::string next = NextKeyPath(home, key);
  ASSIGN_OR_RETURN(SigningKey out, ReadSigningKey(FileExists(next) ? next : KeyPath(home, key)));
  return std::optional(std::move(out));
}

Status DestroyNextKey(const Home& home, HomeKey key) {
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  return DestroyFile(NextKeyPath(home, key));
}

Status DestroyOldKey(const Home& home, HomeKey key) {
  ASSIGN_OR_RETURN(const Descriptor lock, LockKeys(home));
  return DestroyFile(OldKeyPath(home, key));
}

Result<Home> CreateHome(const std::string& dir, int prefecture, const std::string& log,
                        const std::string& kafka_config, const std::string& key_holder) {
  Home home;
  home.dir = dir;
  home.prefecture = prefecture;
  home.log = Absolute(log);
  home.kafka_config = kafka_config;
  home.key_holder = key_holder;
  home.ledger = RandomArray<16>();
  for (const HomeKey key : kRoleKeys) RoleKey(home, key) = SigningKey::Generate();
  home.root = home.registrar.public_key();
  home.receipts = SigningKey::Generate();
  home.intake = HpkeKeyPair::Generate();
  if (FileExists(home.Path("daicho.toml"))) return Conflict(dir + " is a home already");
  RETURN_IF_ERROR(MakeDirectories(home.Path("keys")));
  for (const HomeKey key : kRoleKeys) RETURN_IF_ERROR(WriteSigningKey(KeyPath(home, key), RoleKey(home, key)));
  RETURN_IF_ERROR(WriteSigningKey(home.Path("keys/receipts.key"), home.receipts));
  RETURN_IF_ERROR(WriteSecret(home.Path("keys/intake.key"), home.intake.private_key));
  RETURN_IF_ERROR(WritePublicPart(home));
  RETURN_IF_ERROR(WriteSettings(home));
  return home;
}

Status MoveLog(Home& home, const std::string& log, const std::string& kafka_config) {
  home.log = Absolute(log);
  home.kafka_config = kafka_config;
  return WriteSettings(home);
}

Result<std::unique_ptr<KeyHolder>> OpenHolder(const Home& home) {
  return OpenKeyHolder(home.key_holder.empty() ? home.Path("holder") : home.key_holder);
}

Result<Home> OpenHome(const std::string& dir) {
  Home home;
  home.dir = dir;
  if (!FileExists(home.Path("daicho.toml"))) return NotFound(dir + " is no home; daicho init makes one");
  ASSIGN_OR_RETURN(auto settings, ReadSettings(home.Path("daicho.toml"),
                                               {"prefecture", "ledger", "log", "kafka_config", "key_holder"}));
  home.prefecture = std::atoi(settings["prefecture"].c_str());
  if (home.prefecture < 1 || home.prefecture > 47) return Invalid("daicho.toml: prefecture is 1 to 47");
  ASSIGN_OR_RETURN(const std::string ledger, FromHex(settings["ledger"]));
  ASSIGN_OR_RETURN(home.ledger, ToArray<16>(ledger));
  home.log = settings["log"];
  home.kafka_config = settings["kafka_config"];
  home.key_holder = settings["key_holder"];
  ASSIGN_OR_RETURN(const LedgerPublic known, ReadLedgerPublic(home.Path("ledger.pub.json")));
  home.root = known.registrar;
  RETURN_IF_ERROR(MakeMissingKeys(home));
  RETURN_IF_ERROR(ReadKeys(home));
  return home;
}

bool IsLocal(const std::string& log) { return log.starts_with("local:"); }
std::string LocalDirectory(const std::string& log) { return log.substr(6); }

Result<std::unique_ptr<Log>> OpenLog(const std::string& log, const std::string& kafka_config, LogUse use) {
  constexpr std::string_view kKafka = "kafka://";
  if (IsLocal(log)) {
    ASSIGN_OR_RETURN(auto opened, LocalLog::Open(LocalDirectory(log)));
    return std::unique_ptr<Log>(std::move(opened));
  }
  if (!log.starts_with(kKafka)) return Invalid("log: local:DIR or kafka://HOST:PORT, not " + log);
  KafkaLogOptions options;
  options.brokers = log.substr(kKafka.size());
  options.appends_soon = use == LogUse::kAppend;
  if (use == LogUse::kReadToEnd) options.end_wait = kReadToEndWait;
  ASSIGN_OR_RETURN(options.config, ReadKafkaConfig(kafka_config));
  ASSIGN_OR_RETURN(auto opened, KafkaLog::Open(options));
  return std::unique_ptr<Log>(std::move(opened));
}

}  // namespace daicho
