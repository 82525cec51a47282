#include "ledger/store_encryption.h"

#include <fcntl.h>
#include <rocksdb/env.h>
#include <rocksdb/env_encryption.h>
#include <rocksdb/file_system.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <vector>

#include "ledger/files.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMagic("daicho-store-1\n\0", 16);
constexpr std::size_t kPrefix = 4096;
constexpr std::size_t kChecked = kMagic.size() + sizeof(CounterBlock);

struct StoreKeys {
  Key256 cipher, check;

  explicit StoreKeys(const Key256& file_key)
      : cipher(HmacSha256(file_key, "daicho/store/1/cipher")),
        check(HmacSha256(file_key, "daicho/store/1/check")) {}
  StoreKeys(const StoreKeys&) = delete;
  ~StoreKeys() {
    Wipe(cipher.data(), cipher.size());
    Wipe(check.data(), check.size());
  }
};

class FileStream : public rocksdb::BlockAccessCipherStream {
 public:
  FileStream(std::shared_ptr<const StoreKeys> keys, const CounterBlock& counter)
      : keys_(std::move(keys)), counter_(counter) {}

  size_t BlockSize() override { return sizeof(CounterBlock); }
  rocksdb::Status Encrypt(uint64_t offset, char* data, size_t size) override {
    CtrXor(keys_->cipher, counter_, offset, data, size);
    return rocksdb::Status::OK();
  }
  rocksdb::Status Decrypt(uint64_t offset, char* data, size_t size) override {
    return Encrypt(offset, data, size);
  }

 protected:
  // Of the base's block by block way, which the two above replace.
  void AllocateScratch(std::string&) override {}
  rocksdb::Status EncryptBlock(uint64_t, char*, char*) override {
    return rocksdb::Status::NotSupported();
  }
  rocksdb::Status DecryptBlock(uint64_t, char*, char*) override {
    return rocksdb::Status::NotSupported();
  }

 private:
  const std::shared_ptr<const StoreKeys>
      keys_;  // a file may outlive the environment that opened it
  const CounterBlock counter_;
};

// What stands at the beginning of a file.
enum class Prefix { kEmpty, kUnbegun, kClear, kOtherKey, kOurs };

Prefix Judge(std::string_view prefix, const StoreKeys* keys) {
  if (prefix.empty()) return Prefix::kEmpty;
  const std::size_t known = std::min(prefix.size(), kMagic.size());
  if (prefix.substr(0, known) != kMagic.substr(0, known)) return Prefix::kClear;
  if (prefix.size() < kPrefix) return Prefix::kUnbegun;
  if (keys == nullptr) return Prefix::kOtherKey;
  const Digest check = HmacSha256(keys->check, prefix.substr(0, kChecked));
  const bool ours = ConstantTimeEqual(View(check), prefix.substr(kChecked, sizeof check));
  return ours ? Prefix::kOurs : Prefix::kOtherKey;
}

class FileCipher : public rocksdb::EncryptionProvider {
 public:
  explicit FileCipher(const Key256& file_key) : keys_(std::make_shared<StoreKeys>(file_key)) {}

  const char* Name() const override { return "daicho-store-1"; }
  size_t GetPrefixLength() const override { return kPrefix; }

  rocksdb::Status CreateNewPrefix(const std::string&, char* prefix, size_t size) const override {
    if (size < kPrefix) return rocksdb::Status::InvalidArgument("prefix too short");
    std::string head(kMagic);
    head.append(View(RandomArray<sizeof(CounterBlock)>()));
    head.append(View(HmacSha256(keys_->check, head)));
    std::memset(prefix, 0, size);
    std::memcpy(prefix, head.data(), head.size());
    return rocksdb::Status::OK();
  }

  rocksdb::Status AddCipher(const std::string&, const char*, size_t, bool) override {
    return rocksdb::Status::NotSupported();
  }

  rocksdb::Status CreateCipherStream(
      const std::string& name, const rocksdb::EnvOptions&, rocksdb::Slice& prefix,
      std::unique_ptr<rocksdb::BlockAccessCipherStream>* out) override {
    const std::string_view bytes(prefix.data(), prefix.size());
    CounterBlock counter{};
    switch (Judge(bytes, keys_.get())) {
      case Prefix::kEmpty:  // created and never written: there is nothing to decipher
        break;
      case Prefix::kOurs:
        std::memcpy(counter.data(), bytes.data() + kMagic.size(), counter.size());
        break;
      default:
        return rocksdb::Status::Corruption(name, "is not encrypted under this store's key");
    }
    *out = std::make_unique<FileStream>(keys_, counter);
    return rocksdb::Status::OK();
  }

 private:
  const std::shared_ptr<const StoreKeys> keys_;
};

// RocksDB reopens a bulk-loaded file to sync it, and its encrypted file system then writes a second
// prefix at the end. The file is synced already; a file system that cannot reopen is excused.
class EncryptedFiles : public rocksdb::FileSystemWrapper {
 public:
  using rocksdb::FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "daicho-encrypted-files"; }
  rocksdb::IOStatus ReopenWritableFile(const std::string&, const rocksdb::FileOptions&,
                                       std::unique_ptr<rocksdb::FSWritableFile>*,
                                       rocksdb::IODebugContext*) override {
    return rocksdb::IOStatus::NotSupported();
  }
};

// The lock files are empty, and must not even be opened: closing one would drop the lock that this process
// holds on it. RocksDB's LOG is none of the store's.
bool Holds(const fs::directory_entry& file) {
  const std::string name = file.path().filename();
  return name != "OWNER" && name != "LOCK" && !name.starts_with("LOG") && file.is_regular_file();
}

Result<std::string> ReadPrefix(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return ErrnoStatus("opening " + path);
  std::string out(kPrefix, '\0');
  ASSIGN_OR_RETURN(const std::size_t size, ReadAt(file, 0, out.data(), out.size()));
  out.resize(size);
  return out;
}

std::vector<std::string> FilesOf(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(directory, error))
    if (Holds(file)) out.push_back(file.path());
  return out;
}

}  // namespace

std::unique_ptr<rocksdb::Env> MakeEncryptedEnv(const Key256& file_key) {
  return rocksdb::NewCompositeEnv(std::make_shared<EncryptedFiles>(rocksdb::NewEncryptedFS(
      rocksdb::FileSystem::Default(), std::make_shared<FileCipher>(file_key))));
}

Status DropUnbegunFiles(const std::string& directory) {
  for (const std::string& path : FilesOf(directory)) {
    ASSIGN_OR_RETURN(const std::string prefix, ReadPrefix(path));
    if (Judge(prefix, nullptr) != Prefix::kUnbegun) continue;
    std::error_code error;
    fs::resize_file(path, 0, error);
    if (error) return Unavailable("emptying " + path + ": " + error.message());
  }
  return {};
}

Status CheckStoreKey(const std::string& directory, const std::optional<Key256>& file_key) {
  const auto keys = file_key ? std::make_unique<StoreKeys>(*file_key) : nullptr;
  for (const std::string& path : FilesOf(directory)) {
    const auto prefix = ReadPrefix(path);
    if (prefix.status().code() == Code::kNotFound) continue;  // a compaction's, beside a reader
    if (!prefix.ok()) return prefix.status();
    const Prefix found = Judge(*prefix, keys.get());
    const std::string name = fs::path(path).filename();
    if (keys == nullptr && found > Prefix::kClear)
      return Invalid(name + " is encrypted, and no key was given");
    if (keys != nullptr && found == Prefix::kClear)
      return Invalid(name + " is not encrypted, and a key was given");
    if (keys != nullptr && found == Prefix::kOtherKey)
      return Tampered(name + " is encrypted under another key");
  }
  return {};
}

}  // namespace daicho
