#include "ledger/key_holder.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "ledger/files.h"
#include "ledger/pkcs11.h"

namespace daicho {
namespace {

class FileHolder : public KeyHolder {
 public:
  explicit FileHolder(std::string directory) : directory_(std::move(directory)) {}

  Result<bool> Has(std::string_view name) const override {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    return FileExists(Path(name));
  }

  Status Create(std::string_view name) override {
    ASSIGN_OR_RETURN(const bool has, Has(name));
    if (has) return Conflict("there is a key " + Path(name) + " already");
    RETURN_IF_ERROR(MakeDirectories(directory_));
    Key256 key = RandomArray<32>();
    const Status written = WriteFileDurably(Path(name), View(key));
    Wipe(key.data(), key.size());
    RETURN_IF_ERROR(written);
    return SyncDirectory(std::filesystem::absolute(directory_).parent_path());
  }

  Result<std::string> Wrap(std::string_view name, const Key256& key,
                           std::string_view aad) const override {
    ASSIGN_OR_RETURN(Key256 holder, Read(name));
    const auto nonce = RandomArray<kNonceBytes>();
    std::string out(View(nonce));
    AeadSeal(holder, View(nonce), aad, {View(key)}, out);
    Wipe(holder.data(), holder.size());
    return out;
  }

  Result<Key256> Unwrap(std::string_view name, std::string_view wrapped,
                        std::string_view aad) const override {
    if (wrapped.size() != kWrappedKeyBytes) return Corrupt("a wrapped key has 60 bytes");
    ASSIGN_OR_RETURN(Key256 holder, Read(name));
    auto opened =
        AeadOpen(holder, wrapped.substr(0, kNonceBytes), aad, wrapped.substr(kNonceBytes));
    Wipe(holder.data(), holder.size());
    if (!opened.ok()) return opened.status().With("unwrapping under " + Path(name));
    auto key = ToArray<32>(*opened);
    Wipe(opened->data(), opened->size());
    return key;
  }

  Status Destroy(std::string_view name) override {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    return DestroyFile(Path(name));
  }

 private:
  std::string Path(std::string_view name) const {
    return directory_ + "/" + std::string(name) + ".key";
  }

  Result<Key256> Read(std::string_view name) const {
    RETURN_IF_ERROR(CheckHolderKeyName(name));
    const std::string path = Path(name);
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("the holder's key " + path);
    if ((info.st_mode & 077) != 0) return Denied(path + " can be read by others than its owner");
    ASSIGN_OR_RETURN(std::string bytes, ReadFile(path));
    auto key = ToArray<32>(bytes);
    Wipe(bytes.data(), bytes.size());
    return key.ok() ? key : Result<Key256>(key.status().With(path));
  }

  const std::string directory_;
};

}  // namespace

Status CheckHolderKeyName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  if (name.empty() || name.size() > 64 || !std::ranges::all_of(name, allowed))
    return Invalid("a holder's key name is 1 to 64 of a-z, 0-9 and '-'");
  return {};
}

Result<std::unique_ptr<KeyHolder>> OpenFileHolder(const std::string& directory) {
  if (directory.empty()) return Invalid("a key holder's directory has a name");
  return std::unique_ptr<KeyHolder>(std::make_unique<FileHolder>(directory));
}

Result<std::unique_ptr<KeyHolder>> OpenKeyHolder(const std::string& where) {
  if (!IsTokenUri(where)) return OpenFileHolder(where);
  ASSIGN_OR_RETURN(const TokenUri uri, TokenUri::Parse(where));
  return OpenTokenHolder(uri);
}

Status ProtectProcessMemory() {
  const struct rlimit none{};
  if (::prctl(PR_SET_DUMPABLE, 0) != 0 || ::setrlimit(RLIMIT_CORE, &none) != 0)
    return ErrnoStatus("closing the process's memory to others");
  return {};
}

}  // namespace daicho
