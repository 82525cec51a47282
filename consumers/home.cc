#include "consumers/home.h"

#include <nlohmann/json.hpp>
#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

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

Status WriteSettings(const Home& home) {
  std::ostringstream text;
  text << toml::table{{"prefecture", std::to_string(home.prefecture)},
                      {"ledger", ToHex(View(home.ledger))},
                      {"log", home.log},
                      {"kafka_config", home.kafka_config}}
       << "\n";
  return WriteFileDurably(home.Path("daicho.toml"), text.str(), 0644);
}

Status WritePublicPart(const Home& home) {
  const nlohmann::ordered_json document = {
      {"format", "daicho-ledger/1"},
      {"prefecture", home.prefecture},
      {"ledger", ToHex(View(home.ledger))},
      {"registrar_public_key", ToHex(View(home.registrar.public_key()))},
      {"sequencer_public_key", ToHex(View(home.receipts.public_key()))},
      {"intake_public_key", ToHex(View(home.intake.public_key))}};
  return WriteFileDurably(home.Path("ledger.pub.json"), document.dump(2) + "\n", 0644);
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

Result<LedgerPublic> ReadLedgerPublic(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  const auto document = nlohmann::ordered_json::parse(text, nullptr, false);
  if (!document.is_object() || document.value("format", "") != "daicho-ledger/1") {
    return Invalid(path + ": not a ledger's public part");
  }
  const auto key = [&](const char* name) -> Result<Key256> {
    ASSIGN_OR_RETURN(const std::string bytes, FromHex(document.value(name, "")));
    auto out = ToArray<32>(bytes);
    return out.ok() ? out : Result<Key256>(Invalid(path + ": " + name + ": 32 bytes in hex"));
  };
  LedgerPublic out;
  out.prefecture = document.value("prefecture", 0);
  if (out.prefecture < 1 || out.prefecture > 47) return Invalid(path + ": prefecture: 1 to 47");
  ASSIGN_OR_RETURN(const std::string ledger, FromHex(document.value("ledger", "")));
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
  return key.ok() ? std::move(key) : Result<SigningKey>(key.status().With(path));
}

Status WriteSigningKey(const std::string& path, const SigningKey& key) {
  return WriteSecret(path, key.seed());
}

Result<Home> CreateHome(const std::string& dir, int prefecture, const std::string& log,
                        const std::string& kafka_config) {
  Home home;
  home.dir = dir;
  home.prefecture = prefecture;
  home.log = IsLocal(log)
                 ? "local:" + std::filesystem::absolute(LocalDirectory(log)).lexically_normal().string()
                 : log;
  home.kafka_config = kafka_config;
  home.ledger = RandomArray<16>();
  home.registrar = SigningKey::Generate();
  home.records = SigningKey::Generate();
  home.retention = SigningKey::Generate();
  home.receipts = SigningKey::Generate();
  home.intake = HpkeKeyPair::Generate();
  if (FileExists(home.Path("daicho.toml"))) return Conflict(dir + " is a home already");
  RETURN_IF_ERROR(MakeDirectories(home.Path("keys")));
  RETURN_IF_ERROR(WriteSigningKey(home.Path("keys/registrar.key"), home.registrar));
  RETURN_IF_ERROR(WriteSigningKey(home.Path("keys/records.key"), home.records));
  RETURN_IF_ERROR(WriteSigningKey(home.Path("keys/retention.key"), home.retention));
  RETURN_IF_ERROR(WriteSigningKey(home.Path("keys/receipts.key"), home.receipts));
  RETURN_IF_ERROR(WriteSecret(home.Path("keys/intake.key"), home.intake.private_key));
  RETURN_IF_ERROR(WritePublicPart(home));
  RETURN_IF_ERROR(WriteSettings(home));
  return home;
}

Result<Home> OpenHome(const std::string& dir) {
  Home home;
  home.dir = dir;
  if (!FileExists(home.Path("daicho.toml"))) return NotFound(dir + " is no home; daicho init makes one");
  ASSIGN_OR_RETURN(auto settings, ReadSettings(home.Path("daicho.toml"),
                                               {"prefecture", "ledger", "log", "kafka_config"}));
  home.prefecture = std::atoi(settings["prefecture"].c_str());
  if (home.prefecture < 1 || home.prefecture > 47) return Invalid("daicho.toml: prefecture is 1 to 47");
  ASSIGN_OR_RETURN(const std::string ledger, FromHex(settings["ledger"]));
  ASSIGN_OR_RETURN(home.ledger, ToArray<16>(ledger));
  home.log = settings["log"];
  home.kafka_config = settings["kafka_config"];
  ASSIGN_OR_RETURN(home.registrar, ReadSigningKey(home.Path("keys/registrar.key")));
  ASSIGN_OR_RETURN(home.records, ReadSigningKey(home.Path("keys/records.key")));
  ASSIGN_OR_RETURN(home.retention, ReadSigningKey(home.Path("keys/retention.key")));
  ASSIGN_OR_RETURN(home.receipts, ReadSigningKey(home.Path("keys/receipts.key")));
  ASSIGN_OR_RETURN(const Key256 intake, ReadSecret(home.Path("keys/intake.key")));
  home.intake = HpkeKeyPair::FromPrivate(intake);
  return home;
}

bool IsLocal(const std::string& log) { return log.starts_with("local:"); }
std::string LocalDirectory(const std::string& log) { return log.substr(6); }

Result<std::unique_ptr<Log>> OpenLog(const std::string& log, const std::string& kafka_config) {
  constexpr std::string_view kKafka = "kafka://";
  if (IsLocal(log)) {
    ASSIGN_OR_RETURN(auto opened, LocalLog::Open(LocalDirectory(log)));
    return std::unique_ptr<Log>(std::move(opened));
  }
  if (!log.starts_with(kKafka)) return Invalid("log: local:DIR or kafka://HOST:PORT, not " + log);
  KafkaLogOptions options;
  options.brokers = log.substr(kKafka.size());
  ASSIGN_OR_RETURN(options.config, ReadKafkaConfig(kafka_config));
  ASSIGN_OR_RETURN(auto opened, KafkaLog::Open(options));
  return std::unique_ptr<Log>(std::move(opened));
}

}  // namespace daicho
