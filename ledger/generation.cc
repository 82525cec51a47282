#include "ledger/generation.h"

#include <filesystem>
#include <vector>

#include "ledger/at_rest.h"
#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

std::string PathOf(const std::string& dir, const KeyStore& keys, std::string_view kind) {
  std::string path = dir + "/" + std::to_string(keys.erased_through().value());
  if (!kind.empty()) path.append("-").append(kind);
  return path;
}

Status Drop(KeyHolder* at_rest, const std::string& path) {
  if (at_rest != nullptr) RETURN_IF_ERROR(DestroyStoreKey(*at_rest, path));
  return Store::Destroy(path);
}

Result<Key256> FileKey(KeyHolder& at_rest, const std::string& path, std::string_view purpose) {
  auto key = OpenStoreKey(at_rest, path, purpose);
  if (key.status().code() != Code::kNotFound) return key;
  // A store without its key is what a crash left of one that was being dropped.
  RETURN_IF_ERROR(Drop(&at_rest, path));
  return CreateStoreKey(at_rest, path, purpose);
}

}  // namespace

Result<std::unique_ptr<Store>> OpenGeneration(StoreOptions options, const std::string& dir, const KeyStore& keys,
                                              std::string_view kind, KeyHolder* at_rest, std::string_view purpose) {
  RETURN_IF_ERROR(MakeDirectories(dir));
  options.path = PathOf(dir, keys, kind);
  if (at_rest != nullptr) {
    ASSIGN_OR_RETURN(options.file_key, FileKey(*at_rest, options.path, purpose));
  }
  return Store::Open(options);
}

Status DropGeneration(const std::string& dir, const KeyStore& keys, std::string_view kind, KeyHolder* at_rest) {
  return Drop(at_rest, PathOf(dir, keys, kind));
}

Status DropOldGenerations(const std::string& dir, const KeyStore& keys, std::string_view kind, KeyHolder* at_rest) {
  const std::string current = PathOf(dir, keys, kind);
  std::vector<std::string> others;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(dir, error)) {
    const std::string path = (fs::path(dir) / file.path().stem()).string();
    if (path != current) others.push_back(path);
  }
  if (error == std::errc::no_such_file_or_directory) return {};
  if (error) return Unavailable("reading " + dir + ": " + error.message());
  for (const std::string& path : others) RETURN_IF_ERROR(Drop(at_rest, path));
  return {};
}

}  // namespace daicho
