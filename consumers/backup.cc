#include "consumers/backup.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kFormat[] = "daicho-backup/1";
constexpr std::string_view kHomeTag = "daicho/home-backup/1\n";
constexpr char kRegister[] = "backups.json";  // in the home: what backups there are

Result<ordered_json> ReadJson(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ordered_json document = ordered_json::parse(text, nullptr, false);
  if (document.is_discarded()) return Corrupt(path + " is no JSON");
  return document;
}

Status AddFile(const Home& home, const std::string& name, ordered_json& files) {
  if (!FileExists(home.Path(name))) return {};
  ASSIGN_OR_RETURN(const std::string content, ReadFile(home.Path(name)));
  files[name] = ToBase64(content);
  return {};
}

// Settings, public part, private keys, and the register of backups.
Result<std::string> HomeFiles(const Home& home) {
  ordered_json files = ordered_json::object();
  for (const char* name : {"daicho.toml", "ledger.pub.json", "seal.crt.pem", "kikou.toml", kRegister}) {
    RETURN_IF_ERROR(AddFile(home, name, files));
  }
  std::error_code error;
  for (const auto& file : fs::directory_iterator(home.Path("keys"), error)) {
    if (!file.is_regular_file()) continue;
    RETURN_IF_ERROR(AddFile(home, "keys/" + file.path().filename().string(), files));
  }
  if (error) return Unavailable("reading the home's keys: " + error.message());
  return files.dump();
}

std::string HomeAad(const std::string& id) { return std::string(kHomeTag) + id; }

Result<ordered_json> Registered(const Home& home) {
  if (!FileExists(home.Path(kRegister))) return ordered_json(ordered_json::array());
  ASSIGN_OR_RETURN(ordered_json list, ReadJson(home.Path(kRegister)));
  if (!list.is_array()) return Corrupt(home.Path(kRegister) + " is no list");
  return list;
}

Status WriteHome(const std::string& files_json, const std::string& dir) {
  const ordered_json files = ordered_json::parse(files_json, nullptr, false);
  if (!files.is_object()) return Corrupt("the backup's home is no list of files");
  RETURN_IF_ERROR(MakeDirectories(dir + "/keys"));
  for (const auto& [name, content] : files.items()) {
    const fs::path relative(name);
    if (relative.is_absolute() || name.find("..") != std::string::npos || !content.is_string()) {
      return Corrupt("the backup's home names a file outside of it");
    }
    ASSIGN_OR_RETURN(const std::string bytes, FromBase64(content.get<std::string>()));
    const bool secret = relative.has_parent_path();
    RETURN_IF_ERROR(WriteFileDurably(dir + "/" + name, bytes, secret ? 0600 : 0644));
  }
  return {};
}

}  // namespace

Result<Key256> ReadOrMakeBackupKey(const std::string& path) {
  if (!FileExists(path)) {
    RETURN_IF_ERROR(WriteFileDurably(path, ToHex(View(RandomArray<32>())) + "\n", 0600));
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(path));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto bytes = FromHex(text);
  if (!bytes.ok() || bytes->size() != sizeof(Key256)) return Invalid(path + ": no key of 32 bytes in hex");
  return ToArray<32>(*bytes);
}

Result<std::string> MakeBackup(const Home& home, const KeyStore& keys, LocalLog* log, const Clock& clock,
                               const BackupOptions& options) {
  if (FileExists(options.dir)) return Conflict(options.dir + " is there already");
  RETURN_IF_ERROR(MakeDirectories(options.dir));
  const std::string id = ToHex(View(RandomArray<8>()));
  // The log first: every entry in it has its key in the store by then.
  if (log != nullptr) RETURN_IF_ERROR(log->Snapshot(options.dir + "/log"));
  const Position erased_through = keys.erased_through();
  RETURN_IF_ERROR(keys.Backup(options.dir + "/keystore", options.key));
  const Date today = JapanDate(clock.Now());
  const ordered_json about = {{"format", kFormat},
                              {"id", id},
                              {"made_at", FormatTimestamp(clock.Now())},
                              {"ledger", ToHex(View(home.ledger))},
                              {"log", log != nullptr ? "local" : "kafka"},
                              {"erased_through", erased_through.value()},
                              {"keep_until", FormatDate(DateOfDayNumber(DayNumber(today) + options.keep_days))}};
  ASSIGN_OR_RETURN(ordered_json list, Registered(home));
  ordered_json entry = about;
  entry["dir"] = fs::absolute(options.dir).lexically_normal().string();
  list.push_back(std::move(entry));
  RETURN_IF_ERROR(WriteFileDurably(home.Path(kRegister), list.dump(1) + "\n", 0600));

  ASSIGN_OR_RETURN(const std::string files, HomeFiles(home));
  const auto nonce = RandomArray<kNonceBytes>();
  std::string sealed(View(nonce));
  AeadSeal(options.key, View(nonce), HomeAad(id), {files}, sealed);
  RETURN_IF_ERROR(WriteFileDurably(options.dir + "/home.sealed", sealed));
  RETURN_IF_ERROR(WriteFileDurably(options.dir + "/backup.json", about.dump(1) + "\n", 0644));
  return about.dump();
}

Result<std::vector<v1::ErasedPlace>> BackupsBehind(const Home& home, Position erased_through, Date today) {
  ASSIGN_OR_RETURN(const ordered_json list, Registered(home));
  std::vector<v1::ErasedPlace> out;
  for (const ordered_json& backup : list) {
    const auto until = ParseDate(backup.value("keep_until", ""));
    if (!until) return Corrupt("the register of backups holds no date where one belongs");
    if (backup.value("erased_through", std::uint64_t{0}) >= erased_through.value() || *until < today) continue;
    v1::ErasedPlace& place = out.emplace_back();
    place.set_place("backup " + backup.value("id", ""));
    place.set_means(v1::ERASURE_MEANS_AWAITS);
    place.set_until(FormatDate(*until));
  }
  return out;
}

Result<Home> RestoreBackup(const std::string& backup, const Key256& key, const std::string& dir,
                           const std::string& log, const std::string& kafka_config) {
  if (FileExists(dir + "/daicho.toml")) return Conflict(dir + " is a home already");
  ASSIGN_OR_RETURN(const ordered_json about, ReadJson(backup + "/backup.json"));
  if (about.value("format", "") != kFormat) return Unsupported(backup + ": not a backup of this version");
  ASSIGN_OR_RETURN(const std::string sealed, ReadFile(backup + "/home.sealed"));
  if (sealed.size() < kNonceBytes) return Corrupt(backup + "/home.sealed is too short");
  auto files = AeadOpen(key, std::string_view(sealed).substr(0, kNonceBytes), HomeAad(about.value("id", "")),
                        std::string_view(sealed).substr(kNonceBytes));
  if (!files.ok()) return files.status().With("the backup's home, with this key");
  RETURN_IF_ERROR(WriteHome(*files, dir));
  ASSIGN_OR_RETURN(Home home, OpenHome(dir));
  if (!log.empty()) RETURN_IF_ERROR(MoveLog(home, log, kafka_config));
  ASSIGN_OR_RETURN(const auto holder, OpenHolder(home));
  RETURN_IF_ERROR(KeyStore::Restore(backup + "/keystore", key, home.Path("keystore"), holder.get()));
  if (!IsLocal(home.log) || FileExists(LocalDirectory(home.log) + "/CURRENT")) return home;
  if (about.value("log", "") != "local") return NotFound("the backup holds no log, and " + home.log + " has none");
  std::error_code error;
  fs::create_directories(LocalDirectory(home.log), error);
  if (!error) fs::copy(backup + "/log", LocalDirectory(home.log), fs::copy_options::recursive, error);
  if (error) return Unavailable("copying the log: " + error.message());
  return home;
}

}  // namespace daicho
