#include "ledger/at_rest.h"

#include <algorithm>
#include <filesystem>

#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "daicho-store-key-2\n";
constexpr std::size_t kIdBytes = 8;

// Without a trailing slash, so that the key lies beside and not within.
fs::path Normal(const std::string& directory) {
  const fs::path path = fs::path(directory).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

std::string KeyPath(const std::string& directory) { return Normal(directory).string() + ".key"; }

std::string Aad(const std::string& directory, std::string_view purpose) {
  std::string aad = "daicho/at-rest/2\n";
  AppendU32(aad, static_cast<std::uint32_t>(purpose.size()));
  return aad.append(purpose).append(Normal(directory).filename().string());
}

// What is in the file, taken apart.
struct Wrapped {
  std::string holder_key, key;
};

std::string HolderKey(std::string_view id) { return "store-" + ToHex(id); }

Result<Wrapped> ReadWrapped(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  const std::string_view rest = std::string_view(bytes).substr(std::min(kMagic.size(), bytes.size()));
  if (!bytes.starts_with(kMagic) || rest.size() != kIdBytes + kWrappedKeyBytes)
    return Corrupt(path + " is no store's key");
  return Wrapped{HolderKey(rest.substr(0, kIdBytes)), std::string(rest.substr(kIdBytes))};
}

}  // namespace

Result<Key256> CreateStoreKey(KeyHolder& holder, const std::string& directory,
                              std::string_view purpose) {
  const std::string path = KeyPath(directory);
  if (FileExists(path)) return Conflict(path + " is there already");
  std::error_code error;
  if (fs::exists(directory) && !fs::is_empty(directory, error))
    return Conflict(directory + " is a store already, and its key is missing");
  const auto id = RandomArray<kIdBytes>();
  const std::string holder_key = HolderKey(View(id));
  RETURN_IF_ERROR(holder.Create(holder_key));
  const Key256 key = RandomArray<32>();
  ASSIGN_OR_RETURN(const std::string wrapped, holder.Wrap(holder_key, key, Aad(directory, purpose)));
  RETURN_IF_ERROR(MakeDirectories(fs::absolute(path).parent_path()));
  RETURN_IF_ERROR(WriteFileDurably(fs::absolute(path), std::string(kMagic).append(View(id)) + wrapped));
  return key;
}

Result<Key256> OpenStoreKey(const KeyHolder& holder, const std::string& directory,
                            std::string_view purpose) {
  const std::string path = KeyPath(directory);
  ASSIGN_OR_RETURN(const Wrapped wrapped, ReadWrapped(path));
  auto key = holder.Unwrap(wrapped.holder_key, wrapped.key, Aad(directory, purpose));
  return key.ok() ? key : Result<Key256>(key.status().With(path));
}

Status DestroyStoreKey(KeyHolder& holder, const std::string& directory) {
  const std::string path = KeyPath(directory);
  const auto wrapped = ReadWrapped(path);
  if (wrapped.ok()) {
    RETURN_IF_ERROR(holder.Destroy(wrapped->holder_key));
  } else if (wrapped.status().code() != Code::kNotFound && wrapped.status().code() != Code::kCorrupt) {
    return wrapped.status();
  }
  return DestroyFile(path);
}

}  // namespace daicho
