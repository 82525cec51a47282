#include "ledger/at_rest.h"

#include <filesystem>

#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic = "daicho-store-key-1\n";

// Without a trailing slash, so that the key lies beside and not within.
fs::path Normal(const std::string& directory) {
  const fs::path path = fs::path(directory).lexically_normal();
  return path.has_filename() ? path : path.parent_path();
}

std::string KeyPath(const std::string& directory) { return Normal(directory).string() + ".key"; }

std::string Aad(const std::string& directory, std::string_view purpose) {
  std::string aad = "daicho/at-rest/1\n";
  AppendU32(aad, static_cast<std::uint32_t>(purpose.size()));
  return aad.append(purpose).append(Normal(directory).filename().string());
}

}  // namespace

Result<Key256> CreateStoreKey(KeyHolder& holder, const std::string& directory,
                              std::string_view purpose) {
  const std::string path = KeyPath(directory);
  if (FileExists(path)) return Conflict(path + " is there already");
  std::error_code error;
  if (fs::exists(directory) && !fs::is_empty(directory, error))
    return Conflict(directory + " is a store already, and its key is missing");
  ASSIGN_OR_RETURN(const bool has_root, holder.Has(kRootKey));
  if (!has_root) RETURN_IF_ERROR(holder.Create(kRootKey));
  const Key256 key = RandomArray<32>();
  ASSIGN_OR_RETURN(const std::string wrapped, holder.Wrap(kRootKey, key, Aad(directory, purpose)));
  RETURN_IF_ERROR(MakeDirectories(fs::absolute(path).parent_path()));
  RETURN_IF_ERROR(WriteFileDurably(fs::absolute(path), std::string(kMagic) + wrapped));
  return key;
}

Result<Key256> OpenStoreKey(const KeyHolder& holder, const std::string& directory,
                            std::string_view purpose) {
  const std::string path = KeyPath(directory);
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
  if (!bytes.starts_with(kMagic)) return Corrupt(path + " is no store's key");
  auto key = holder.Unwrap(kRootKey, std::string_view(bytes).substr(kMagic.size()),
                           Aad(directory, purpose));
  return key.ok() ? key : Result<Key256>(key.status().With(path));
}

Status DestroyStoreKey(const std::string& directory) { return DestroyFile(KeyPath(directory)); }

}  // namespace daicho
