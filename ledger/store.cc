#include "ledger/store.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>

#include <algorithm>
#include <atomic>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <shared_mutex>
#include <utility>

#include "ledger/files.h"
#include "ledger/store_check.h"
#include "ledger/store_encryption.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

constexpr char kOwnerFile[] = "OWNER";
constexpr char kIngestPrefix[] = "ingest-";
// Everything that writes to one store keeps its memory within these and StoreOptions.
constexpr int kOpenFilesMax = 512;
constexpr int kCacheShardBits = 2;
constexpr int kBackgroundJobsMax = 2;
constexpr std::uint64_t kWalBytesMax = 256u << 20;
constexpr std::size_t kBlockBytes = 16u << 10;
constexpr std::size_t kSmallArenaBlockBytes = 64u << 10;
constexpr std::uint32_t kDeleted = ~std::uint32_t{0};

Status FromRocks(const rocksdb::Status& s) {
  using S = rocksdb::Status;
  switch (s.code()) {
    case S::kOk:
      return {};
    case S::kNotFound:
      return NotFound("no such key");
    case S::kCorruption:
      return Corrupt(s.ToString());
    case S::kInvalidArgument:
      return Invalid(s.ToString());
    case S::kNotSupported:
      return Unsupported(s.ToString());
    // A file that the store's own manifest names is gone.
    case S::kIOError:
      return s.IsPathNotFound() ? Corrupt(s.ToString()) : Unavailable(s.ToString());
    case S::kIncomplete:
    case S::kBusy:
    case S::kTimedOut:
    case S::kTryAgain:
    case S::kAborted:
    case S::kShutdownInProgress:
      return Unavailable(s.ToString());
    default:
      return Internal(s.ToString());
  }
}

rocksdb::Slice ToSlice(std::string_view s) { return {s.data(), s.size()}; }
std::string_view ToView(const rocksdb::Slice& s) { return {s.data(), s.size()}; }

class NoLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::DBOptions MakeDbOptions(const StoreOptions& options, rocksdb::Env* env) {
  rocksdb::DBOptions db;
  db.env = env;
  // RocksDB writes its LOG past the environment, and would write keys into it in clear.
  if (options.file_key) db.info_log = std::make_shared<NoLog>();
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.paranoid_checks = true;
  // A torn last record is dropped; damage before it stops the opening.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  db.recycle_log_file_num = 0;  // a recycled file's old records could pass for its tail
  db.atomic_flush = !options.write_ahead_log;
  db.db_write_buffer_size = options.write_buffers_total_bytes;
  db.max_total_wal_size = kWalBytesMax;
  db.max_open_files = kOpenFilesMax;
  db.max_background_jobs = kBackgroundJobsMax;
  db.info_log_level = rocksdb::InfoLogLevel::WARN_LEVEL;
  db.max_log_file_size = 1u << 20;
  db.keep_log_file_num = 2;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  return db;
}

rocksdb::ColumnFamilyOptions MakeFamilyOptions(const StoreOptions& options) {
  rocksdb::BlockBasedTableOptions table;
  // A filter of millions of keys, some MB, must fit into one shard, or it is read and decrypted anew at every look-up.
  table.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes, kCacheShardBits);
  table.cache_index_and_filter_blocks = true;  // else their memory grows with the data
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.whole_key_filtering = true;
  table.checksum = rocksdb::kXXH3;
  table.format_version = 5;
  table.block_size = kBlockBytes;

  rocksdb::ColumnFamilyOptions family;
  family.write_buffer_size = options.write_buffer_bytes;
  if (options.many_families) {
    family.arena_block_size = kSmallArenaBlockBytes;
  } else {
    // Most look-ups of the sequencer are for residents not there yet: spare them the way down the skip list.
    family.memtable_prefix_bloom_size_ratio = 0.1;
    family.memtable_whole_key_filtering = true;
  }
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  const auto compressions = rocksdb::GetSupportedCompressions();
  const bool lz4 = std::ranges::find(compressions, rocksdb::kLZ4Compression) != compressions.end();
  family.compression = lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  return family;
}

// Creates `path` so that a power failure cannot lose it.
Status MakeDirectory(rocksdb::Env* env, const fs::path& path) {
  if (fs::is_directory(path)) return {};
  std::error_code error;
  fs::create_directories(path, error);
  if (error) return Unavailable(error.message());
  for (fs::path at = fs::absolute(path); at.has_relative_path(); at = at.parent_path()) {
    std::unique_ptr<rocksdb::Directory> parent;
    RETURN_IF_ERROR(FromRocks(env->NewDirectory(at.parent_path(), &parent)));
    // Directories that belong to others may refuse; they were there before.
    if (!parent->Fsync().ok()) break;
  }
  return {};
}

// The families on disk; none when the store does not exist yet.
Result<std::vector<std::string>> FamiliesOnDisk(const rocksdb::DBOptions& options,
                                                const std::string& path) {
  std::vector<std::string> names;
  if (options.env->FileExists(path + "/CURRENT").ok()) {
    RETURN_IF_ERROR(FromRocks(rocksdb::DB::ListColumnFamilies(options, path, &names)));
    return names;
  }
  // RocksDB would start afresh and sweep away what is there.
  std::error_code error;
  for (const auto& file : fs::directory_iterator(path, error)) {
    const std::string suffix = file.path().extension();
    if (suffix == ".sst" || suffix == ".log")
      return Corrupt("CURRENT is missing beside " + file.path().filename().string());
  }
  return names;
}

void RemoveUnfinishedIngests(const std::string& path) {
  std::error_code error;
  std::vector<fs::path> unfinished;
  for (const auto& file : fs::directory_iterator(path, error))
    if (file.path().filename().string().starts_with(kIngestPrefix)) unfinished.push_back(file);
  for (const auto& file : unfinished) fs::remove(file, error);
}

// Holds a store's directory for this process.
class OwnerLock {
 public:
  explicit OwnerLock(rocksdb::Env* env) : env_(env) {}
  ~OwnerLock() {
    if (lock_ != nullptr) env_->UnlockFile(lock_).PermitUncheckedError();
  }
  OwnerLock(const OwnerLock&) = delete;

  Status Take(const std::string& path) {
    const rocksdb::Status s = env_->LockFile(path + "/" + kOwnerFile, &lock_);
    if (s.ok()) return {};
    const std::string why = s.ToString();
    if (why.find("current process") != std::string::npos)
      return Unavailable("this process has it open already");
    if (why.find("lock") != std::string::npos) return Unavailable("another process has it open");
    return Unavailable(why);
  }

 private:
  rocksdb::Env* env_;
  rocksdb::FileLock* lock_ = nullptr;
};

}  // namespace

// Operations one after another: family, key size, value size (or kDeleted), key, value. RocksDB's
// own batch needs an open store's handles, which whoever fills a batch does not have.
struct StoreBatch::Impl {
  std::string operations;

  void Add(Family family, std::string_view key, std::uint32_t value_size, std::string_view value) {
    const std::uint32_t head[] = {family, static_cast<std::uint32_t>(key.size()), value_size};
    operations.append(reinterpret_cast<const char*>(head), sizeof head);
    operations.append(key).append(value);
  }
};

StoreBatch::StoreBatch() : impl_(std::make_unique<Impl>()) {}
StoreBatch::~StoreBatch() = default;
StoreBatch::StoreBatch(StoreBatch&&) noexcept = default;
StoreBatch& StoreBatch::operator=(StoreBatch&&) noexcept = default;
void StoreBatch::Put(Family family, std::string_view key, std::string_view value) {
  CHECK(key.size() < kDeleted && value.size() < kDeleted);
  impl_->Add(family, key, static_cast<std::uint32_t>(value.size()), value);
}
void StoreBatch::Delete(Family family, std::string_view key) {
  CHECK(key.size() < kDeleted);
  impl_->Add(family, key, kDeleted, {});
}
void StoreBatch::Clear() { impl_->operations.clear(); }
std::size_t StoreBatch::bytes() const { return impl_->operations.size(); }

struct StoreIterator::Impl {
  std::unique_ptr<rocksdb::Iterator> it;
};

StoreIterator::StoreIterator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StoreIterator::~StoreIterator() = default;
StoreIterator::StoreIterator(StoreIterator&&) noexcept = default;
StoreIterator& StoreIterator::operator=(StoreIterator&&) noexcept = default;
void StoreIterator::Seek(std::string_view target) { impl_->it->Seek(ToSlice(target)); }
void StoreIterator::SeekForPrev(std::string_view target) {
  impl_->it->SeekForPrev(ToSlice(target));
}
void StoreIterator::SeekToFirst() { impl_->it->SeekToFirst(); }
void StoreIterator::SeekToLast() { impl_->it->SeekToLast(); }
void StoreIterator::Next() { impl_->it->Next(); }
void StoreIterator::Prev() { impl_->it->Prev(); }
bool StoreIterator::Valid() const { return impl_->it->Valid(); }
std::string_view StoreIterator::key() const { return ToView(impl_->it->key()); }
std::string_view StoreIterator::value() const { return ToView(impl_->it->value()); }
Status StoreIterator::status() const { return FromRocks(impl_->it->status()); }

struct Store::Impl {
  explicit Impl(const StoreOptions& o)
      : options(o),
        encrypted_env(o.file_key ? MakeEncryptedEnv(*o.file_key) : nullptr),
        db_options(MakeDbOptions(o, encrypted_env ? encrypted_env.get() : rocksdb::Env::Default())),
        family_options(MakeFamilyOptions(o)),
        owner(db_options.env) {}
  ~Impl() {
    for (auto* handle : handles) db->DestroyColumnFamilyHandle(handle).PermitUncheckedError();
    if (db) db->Close().PermitUncheckedError();
    if (options.file_key) Wipe(options.file_key->data(), options.file_key->size());
  }

  Status Open();
  rocksdb::ColumnFamilyHandle* Handle(Family family) const {
    std::shared_lock lock(mutex);
    CHECK(family < handles.size() - 1);
    return handles[family];
  }
  Status ToRocks(const std::string& operations, rocksdb::WriteBatch* out) const;

  StoreOptions options;
  const std::unique_ptr<rocksdb::Env> encrypted_env;
  const rocksdb::DBOptions db_options;
  const rocksdb::ColumnFamilyOptions family_options;
  OwnerLock owner;
  std::unique_ptr<rocksdb::DB> db;
  std::atomic<std::uint64_t> ingests{0};

  mutable std::shared_mutex mutex;  // guards handles
  // By Family; the last is RocksDB's own default family, which holds nothing.
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
};

Status Store::Impl::Open() {
  if (!options.read_only) {
    RETURN_IF_ERROR(MakeDirectory(db_options.env, options.path));
    RETURN_IF_ERROR(owner.Take(options.path));
    RemoveUnfinishedIngests(options.path);
    if (options.file_key) RETURN_IF_ERROR(DropUnbegunFiles(options.path));
    RETURN_IF_ERROR(CheckStoreKey(options.path, options.file_key));
    RETURN_IF_ERROR(CheckStoreLogs(db_options.env, options.path));
  } else {
    RETURN_IF_ERROR(CheckStoreKey(options.path, options.file_key));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string> found, FamiliesOnDisk(db_options, options.path));
  std::vector<std::string> names = options.families;
  for (const auto& name : found)
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
  std::erase(names, rocksdb::kDefaultColumnFamilyName);
  names.push_back(rocksdb::kDefaultColumnFamilyName);

  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const auto& name : names) families.emplace_back(name, family_options);
  rocksdb::DB* opened = nullptr;
  const auto s =
      options.read_only
          ? rocksdb::DB::OpenForReadOnly(db_options, options.path, families, &handles, &opened)
          : rocksdb::DB::Open(db_options, options.path, families, &handles, &opened);
  db.reset(opened);
  return FromRocks(s);
}

// By family and key: the next key's place in a memtable is then near that of the one before, which RocksDB remembers.
Status Store::Impl::ToRocks(const std::string& operations, rocksdb::WriteBatch* out) const {
  struct Operation {
    std::uint64_t beginning;  // of the key, to compare most keys by
    std::string_view key;
    std::uint32_t family, value_size;  // the value lies behind the key
  };
  std::vector<Operation> sorted;
  for (std::size_t at = 0; at < operations.size();) {
    std::uint32_t head[3];
    std::memcpy(head, operations.data() + at, sizeof head);
    const auto [family, key_size, value_size] = head;
    const std::string_view key(operations.data() + at + sizeof head, key_size);
    char beginning[8] = {};
    std::memcpy(beginning, key.data(), std::min(key.size(), sizeof beginning));
    sorted.push_back({ReadU64({beginning, sizeof beginning}), key, family, value_size});
    at += sizeof head + key_size + (value_size == kDeleted ? 0 : value_size);
  }
  std::ranges::sort(sorted, [](const Operation& a, const Operation& b) {
    if (a.family != b.family) return a.family < b.family;
    if (a.beginning != b.beginning) return a.beginning < b.beginning;
    if (const int order = a.key.compare(b.key); order != 0) return order < 0;
    return a.key.data() < b.key.data();  // of two under one key the later counts
  });
  std::shared_lock lock(mutex);
  for (const Operation& operation : sorted) {
    CHECK(operation.family < handles.size() - 1);
    rocksdb::ColumnFamilyHandle* const handle = handles[operation.family];
    const rocksdb::Slice key = ToSlice(operation.key);
    if (operation.value_size == kDeleted) {
      RETURN_IF_ERROR(FromRocks(out->Delete(handle, key)));
    } else {
      const rocksdb::Slice value(key.data() + key.size(), operation.value_size);
      RETURN_IF_ERROR(FromRocks(out->Put(handle, key, value)));
    }
  }
  return {};
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::~Store() = default;

Result<std::unique_ptr<Store>> Store::Open(const StoreOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  if (Status s = impl->Open(); !s.ok()) return s.With("opening the store " + options.path);
  return std::unique_ptr<Store>(new Store(std::move(impl)));
}

Result<Family> Store::CreateFamily(const std::string& name) {
  std::unique_lock lock(impl_->mutex);
  auto& handles = impl_->handles;
  const auto same = [&](const auto* handle) { return handle->GetName() == name; };
  if (const auto it = std::find_if(handles.begin(), handles.end(), same); it != handles.end()) {
    if (it + 1 == handles.end()) return Invalid("the name '" + name + "' is reserved");
    return static_cast<Family>(it - handles.begin());
  }
  rocksdb::ColumnFamilyHandle* handle = nullptr;
  RETURN_IF_ERROR(FromRocks(impl_->db->CreateColumnFamily(impl_->family_options, name, &handle)));
  handles.insert(handles.end() - 1, handle);
  return static_cast<Family>(handles.size() - 2);
}

std::vector<std::string> Store::FamilyNames() const {
  std::shared_lock lock(impl_->mutex);
  std::vector<std::string> names;
  for (const auto* handle : impl_->handles) names.push_back(handle->GetName());
  names.pop_back();
  return names;
}

Result<std::string> Store::Get(Family family, std::string_view key) const {
  std::string value;
  RETURN_IF_ERROR(FromRocks(impl_->db->Get({}, impl_->Handle(family), ToSlice(key), &value)));
  return value;
}

Status Store::Write(StoreBatch& batch, bool sync) {
  const std::string& operations = batch.impl_->operations;
  rocksdb::WriteBatch rocks(operations.size());
  RETURN_IF_ERROR(impl_->ToRocks(operations, &rocks));
  rocksdb::WriteOptions how;
  how.disableWAL = !impl_->options.write_ahead_log;
  how.sync = sync && !how.disableWAL;
  how.memtable_insert_hint_per_batch = true;
  return FromRocks(impl_->db->Write(how, &rocks));
}

StoreIterator Store::NewIterator(Family family) const {
  auto impl = std::make_unique<StoreIterator::Impl>();
  impl->it.reset(impl_->db->NewIterator({}, impl_->Handle(family)));
  return StoreIterator(std::move(impl));
}

Status Store::Flush() {
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  {
    std::shared_lock lock(impl_->mutex);
    handles = impl_->handles;
  }
  // With a write-ahead log the families are flushed one by one, and the log holds them together.
  return FromRocks(impl_->db->Flush({}, handles));
}

Status Store::Ingest(
    Family family,
    const std::function<Status(const std::function<Status(std::string_view, std::string_view)>&)>&
        fill) {
  const std::string path =
      impl_->options.path + "/" + kIngestPrefix + std::to_string(impl_->ingests++);
  auto* handle = impl_->Handle(family);
  rocksdb::SstFileWriter writer({}, rocksdb::Options(impl_->db_options, impl_->family_options),
                                handle);
  std::uint64_t entries = 0;
  const auto write = [&]() -> Status {
    RETURN_IF_ERROR(FromRocks(writer.Open(path)));
    RETURN_IF_ERROR(fill([&](std::string_view key, std::string_view value) {
      ++entries;
      return FromRocks(writer.Put(ToSlice(key), ToSlice(value)));
    }));
    if (entries == 0) return {};
    RETURN_IF_ERROR(FromRocks(writer.Finish()));
    rocksdb::IngestExternalFileOptions how;
    how.move_files = true;
    how.write_global_seqno = false;
    return FromRocks(impl_->db->IngestExternalFile(handle, {path}, how));
  };
  Status status = write();
  std::error_code error;
  fs::remove(path, error);
  return status;
}

Status Store::Compact(Family family) {
  rocksdb::CompactRangeOptions how;
  // What was deleted leaves the lowest level too.
  how.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  return FromRocks(impl_->db->CompactRange(how, impl_->Handle(family), nullptr, nullptr));
}

Status Store::Snapshot(const std::string& path) {
  RETURN_IF_ERROR(Flush());
  rocksdb::Checkpoint* made = nullptr;
  RETURN_IF_ERROR(FromRocks(rocksdb::Checkpoint::Create(impl_->db.get(), &made)));
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  if (Status s = FromRocks(checkpoint->CreateCheckpoint(path)); !s.ok())
    return s.With("copying the store to " + path);
  return SyncDirectory(fs::absolute(path).parent_path());
}

Status Store::Destroy(const std::string& path) {
  if (!fs::is_directory(path)) return {};
  if (!fs::is_empty(path) && !FileExists(path + "/" + kOwnerFile) && !FileExists(path + "/CURRENT"))
    return Invalid(path + " is no store");
  OwnerLock owner(rocksdb::Env::Default());
  if (Status s = owner.Take(path); !s.ok()) return s.With("destroying the store " + path);
  std::error_code error;
  fs::remove_all(path, error);
  if (error) return Unavailable("removing " + path + ": " + error.message());
  return SyncDirectory(fs::absolute(path).parent_path());
}

std::uint64_t Store::SizeBytes() const {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& file : fs::directory_iterator(impl_->options.path, error)) {
    const auto size = file.file_size(error);
    if (!error) bytes += size;
  }
  return bytes;
}

}  // namespace daicho
