#include "ledger/key_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "events/event.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::size_t kRow = 64;
constexpr std::size_t kWrapped = 48;
constexpr std::size_t kRowsPerChunk = 4096;
constexpr int kReopensMax = 8;
constexpr std::string_view kMagic = "daicho-keys-2\n";
constexpr std::string_view kEpochKeyAad = "daicho/epoch-key/1\n";
constexpr std::string_view kBackupAad = "daicho/key-backup/1\n";

struct Header {
  std::array<std::uint8_t, 16> store{};
  std::uint64_t erased_through = 0;
  std::uint64_t epoch = 0;

  std::string Encode() const {
    std::string out(kMagic);
    out.resize(16, '\0');
    out.append(View(store)).append(16, '\0');
    AppendU64(out, erased_through);
    AppendU64(out, epoch);
    return out;
  }
  static Result<Header> Decode(std::string_view bytes) {
    if (bytes.size() != kRow || !bytes.starts_with(kMagic)) return Corrupt("no key store's header");
    Header out;
    std::copy_n(bytes.begin() + 16, out.store.size(), out.store.begin());
    out.erased_through = ReadU64(bytes.substr(48));
    out.epoch = ReadU64(bytes.substr(56));
    if (out.Encode() != bytes) return Corrupt("the key store's header is not canonical");
    return out;
  }
  // Of the holder's key. The store's part keeps stores that share a holder apart.
  std::string HolderKey(std::uint64_t of_epoch) const {
    return "epoch-" + ToHex(View(store).substr(0, 8)) + "-" + std::to_string(of_epoch);
  }
};

// An open file of rows and the key that opens them.
struct Epoch {
  Header header;
  Key256 key{};
  Descriptor file;

  Epoch() = default;
  Epoch(const Epoch&) = delete;
  ~Epoch() { Wipe(key.data(), key.size()); }
};

std::string RowAad(std::uint64_t epoch, KeySlot slot, std::uint32_t step) {
  std::string aad;
  AppendU64(aad, epoch);
  AppendU64(aad, slot.value());
  AppendU32(aad, step);
  return aad;
}

std::string WrapRow(const Epoch& epoch, KeySlot slot, const Key256& key, std::uint32_t step) {
  const auto nonce = RandomArray<kNonceBytes>();
  std::string row(View(nonce));
  AeadSeal(epoch.key, View(nonce), RowAad(epoch.header.epoch, slot, step), {View(key)}, row);
  AppendU32(row, step);
  return row;
}

bool IsErased(std::string_view row) {
  return std::ranges::all_of(row, [](char c) { return c == 0; });
}
std::uint32_t StepOf(std::string_view row) { return ReadU32(row.substr(kRow - 4)); }

// The key at the row's own step. Requires: not erased.
Result<Key256> OpenRow(const Epoch& epoch, KeySlot slot, std::string_view row) {
  auto opened = AeadOpen(epoch.key, row.substr(0, kNonceBytes),
                         RowAad(epoch.header.epoch, slot, StepOf(row)),
                         row.substr(kNonceBytes, kWrapped));
  if (!opened.ok()) return opened.status().With("key store row " + std::to_string(slot.value()));
  auto key = ToArray<32>(*opened);
  Wipe(opened->data(), opened->size());
  return key;
}

// The row in the next epoch, moved forward to `first_living`.
Result<std::string> MoveRow(const Epoch& from, const Epoch& to, KeySlot slot, std::string_view row,
                            std::uint32_t first_living) {
  if (IsErased(row) || first_living == KeyStore::kNoLivingStep) return std::string(kRow, '\0');
  ASSIGN_OR_RETURN(Key256 key, OpenRow(from, slot, row));
  const std::uint32_t step = std::max(StepOf(row), first_living);
  key = RatchetKey(key, step - StepOf(row));
  std::string moved = WrapRow(to, slot, key, step);
  Wipe(key.data(), key.size());
  return moved;
}

// Rows [from, to) in order, a chunk in memory at a time. `visit(slot, row) -> Status`.
template <typename Visit>
Status ForEachRow(const Descriptor& file, std::uint64_t from, std::uint64_t to, Visit visit) {
  std::string chunk(kRowsPerChunk * kRow, '\0');
  while (from < to) {
    const std::size_t want = std::min<std::uint64_t>(kRowsPerChunk, to - from) * kRow;
    ASSIGN_OR_RETURN(const std::size_t got, ReadAt(file, (from + 1) * kRow, chunk.data(), want));
    if (got != want) return Corrupt("the key store ends before row " + std::to_string(to));
    for (std::size_t at = 0; at < want; at += kRow)
      RETURN_IF_ERROR(visit(KeySlot(from++), std::string_view(chunk).substr(at, kRow)));
  }
  return {};
}

Status VerifyRows(const Epoch& epoch, const Descriptor& file, std::uint64_t rows) {
  return ForEachRow(file, 0, rows, [&](KeySlot slot, std::string_view row) -> Status {
    if (IsErased(row)) return {};
    ASSIGN_OR_RETURN(Key256 key, OpenRow(epoch, slot, row));
    Wipe(key.data(), key.size());
    return {};
  });
}

// Appends rows to a file in chunks.
class RowWriter {
 public:
  RowWriter(const Descriptor& file, std::uint64_t first_row)
      : file_(file), offset_((first_row + 1) * kRow) {}
  Status Add(std::string_view row) {
    chunk_.append(row);
    return chunk_.size() < kRowsPerChunk * kRow ? Status() : Flush();
  }
  Status Flush() {
    RETURN_IF_ERROR(WriteAt(file_, offset_, chunk_));
    offset_ += chunk_.size();
    chunk_.clear();
    return {};
  }

 private:
  const Descriptor& file_;
  std::uint64_t offset_;
  std::string chunk_;
};

Status SyncFile(const Descriptor& file) {
  return ::fdatasync(file.get()) == 0 ? Status() : ErrnoStatus("syncing the key store");
}

Result<std::uint64_t> RowsOf(const Descriptor& file) {
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) return ErrnoStatus("reading the key store");
  const auto size = static_cast<std::uint64_t>(info.st_size);
  return std::max<std::uint64_t>(size / kRow, 1) - 1;
}

Result<Descriptor> OpenFile(const std::string& path, int flags) {
  Descriptor file(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (file.get() < 0) return ErrnoStatus("opening " + path);
  return file;
}

Result<Header> ReadHeader(const Descriptor& file, const std::string& path) {
  std::string bytes(kRow, '\0');
  ASSIGN_OR_RETURN(const std::size_t size, ReadAt(file, 0, bytes.data(), bytes.size()));
  bytes.resize(size);
  auto header = Header::Decode(bytes);
  return header.ok() ? header : Result<Header>(header.status().With(path));
}

// A store's directory: what lies in it under which name, and how an epoch begins, is found, and ends.
class Directory {
 public:
  Directory(std::string path, KeyHolder* holder) : path_(std::move(path)), holder_(holder) {
    if (holder_ != nullptr) return;
    own_holder_ = OpenFileHolder(path_ + "/holder").value();
    holder_ = own_holder_.get();
  }

  const std::string& path() const { return path_; }
  std::string Rows(std::uint64_t epoch) const { return path_ + "/keys." + std::to_string(epoch); }
  std::string EpochKey(std::uint64_t epoch) const {
    return path_ + "/epoch." + std::to_string(epoch) + ".key";
  }
  std::string Unfinished() const { return path_ + "/keys.new"; }

  // The numbers that stand in names of the form <before><number><after>.
  std::set<std::uint64_t> Epochs(std::string_view before, std::string_view after) const {
    std::set<std::uint64_t> out;
    std::error_code error;
    for (const auto& file : std::filesystem::directory_iterator(path_, error)) {
      const std::string name = file.path().filename();
      if (name.size() <= before.size() + after.size()) continue;
      if (!name.starts_with(before) || !name.ends_with(after)) continue;
      const char* end = name.data() + name.size() - after.size();
      std::uint64_t number = 0;
      const auto parsed = std::from_chars(name.data() + before.size(), end, number);
      if (parsed.ec == std::errc() && parsed.ptr == end) out.insert(number);
    }
    return out;
  }
  // The newest epoch whose rows are complete, which a rename decided; 0: none.
  std::uint64_t Current() const {
    const auto epochs = Epochs("keys.", "");
    return epochs.empty() ? 0 : *epochs.rbegin();
  }

  Result<std::shared_ptr<Epoch>> Load(std::uint64_t number, int flags) const {
    auto out = std::make_shared<Epoch>();
    ASSIGN_OR_RETURN(out->file, OpenFile(Rows(number), flags));
    ASSIGN_OR_RETURN(out->header, ReadHeader(out->file, Rows(number)));
    if (out->header.epoch != number) return Tampered(Rows(number) + " is of another epoch");
    ASSIGN_OR_RETURN(const std::string wrapped, ReadFile(EpochKey(number)));
    auto key = holder_->Unwrap(out->header.HolderKey(number), wrapped, KeyAad(out->header));
    if (!key.ok()) return key.status().With(EpochKey(number));
    out->key = *key;
    Wipe(key->data(), key->size());
    return out;
  }
  // A writer in another process may replace an epoch while it is being loaded.
  Result<std::shared_ptr<Epoch>> LoadCurrent(int flags) const {
    for (int again = kReopensMax;; --again) {
      const std::uint64_t number = Current();
      if (number == 0) return NotFound("there is no key store in " + path_);
      auto loaded = Load(number, flags);
      if (loaded.ok() || again == 0 || Current() == number) return loaded;
    }
  }

  // An epoch without rows, not in force yet. The header comes first: it says what to clear away.
  Result<std::shared_ptr<Epoch>> Begin(const Header& header, const Key256& key) const {
    auto out = std::make_shared<Epoch>();
    out->header = header;
    out->key = key;
    ASSIGN_OR_RETURN(out->file, OpenFile(Unfinished(), O_RDWR | O_CREAT | O_TRUNC));
    RETURN_IF_ERROR(WriteAt(out->file, 0, header.Encode()));
    RETURN_IF_ERROR(SyncFile(out->file));
    RETURN_IF_ERROR(SyncDirectory(path_));
    const std::string name = header.HolderKey(header.epoch);
    RETURN_IF_ERROR(holder_->Create(name));
    ASSIGN_OR_RETURN(const std::string wrapped, holder_->Wrap(name, key, KeyAad(header)));
    RETURN_IF_ERROR(WriteFileDurably(EpochKey(header.epoch), wrapped));
    return out;
  }
  // Puts the epoch begun last in force. On an error nobody knows which one is.
  Status Decide(std::uint64_t number) const {
    if (::rename(Unfinished().c_str(), Rows(number).c_str()) != 0)
      return ErrnoStatus("renaming " + Unfinished());
    return SyncDirectory(path_);
  }

  // Destroys whatever is left of epochs other than `current`. The holder's keys go first: without them the
  // rest is noise, and the files still say which to look for.
  Status Clear(const Header& current, const std::function<void()>& step) const {
    std::set<std::uint64_t> others = Epochs("keys.", "");
    others.merge(Epochs("epoch.", ".key"));
    others.merge(Epochs("epoch.", ".key.new"));
    others.erase(current.epoch);
    for (const std::uint64_t number : others) {
      RETURN_IF_ERROR(holder_->Destroy(current.HolderKey(number)));
      step();
      RETURN_IF_ERROR(DestroyFile(EpochKey(number)));
      RETURN_IF_ERROR(DestroyFile(EpochKey(number) + ".new"));
      step();
      RETURN_IF_ERROR(DestroyFile(Rows(number)));
      step();
    }
    return ClearUnfinished();
  }
  Status ClearUnfinished() const {
    const auto file = OpenFile(Unfinished(), O_RDONLY);
    if (file.status().code() == Code::kNotFound) return {};
    RETURN_IF_ERROR(file.status());
    // Without a whole header, no key was made for it yet.
    if (const auto header = ReadHeader(*file, Unfinished()); header.ok()) {
      RETURN_IF_ERROR(holder_->Destroy(header->HolderKey(header->epoch)));
      RETURN_IF_ERROR(DestroyFile(EpochKey(header->epoch)));
    }
    return DestroyFile(Unfinished());
  }

  // The first epoch of a store that was not there before.
  Status CreateStore() const {
    if (FileExists(path_ + "/keys")) return Unsupported(path_ + " is a key store of an older format");
    if (!FileExists(Unfinished()) && !Epochs("epoch.", ".key").empty())
      return Corrupt("the rows of the key store are missing in " + path_);
    RETURN_IF_ERROR(ClearUnfinished());
    Key256 key = RandomArray<32>();
    const auto begun = Begin({.store = RandomArray<16>(), .erased_through = 0, .epoch = 1}, key);
    Wipe(key.data(), key.size());
    RETURN_IF_ERROR(begun.status());
    RETURN_IF_ERROR(Decide(1));
    return SyncDirectory(std::filesystem::absolute(path_).parent_path());
  }

 private:
  static std::string KeyAad(const Header& header) {
    return std::string(kEpochKeyAad) + header.Encode();
  }

  const std::string path_;
  KeyHolder* holder_;
  std::unique_ptr<KeyHolder> own_holder_;
};

// Holds a directory for one writer.
Result<Descriptor> LockForWriting(const std::string& dir) {
  ASSIGN_OR_RETURN(Descriptor lock, OpenFile(dir, O_RDONLY | O_DIRECTORY));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return Unavailable("another process writes the key store " + dir);
  return lock;
}

// Keys reached lately, each by its row as it stood: from one the ratchet goes on, where a subject of many
// events would have it start at the row's step every time. A row that was erased, moved or wrapped anew is other
// bytes, so nothing here outlives its row's reading. Thread-safe.
class ReachedKeys {
 public:
  struct Reached {
    std::uint32_t step = 0;
    Key256 key{};
  };
  ~ReachedKeys() { Forget(); }

  // The furthest one known of that row that is not beyond `wanted`.
  std::optional<Reached> Find(KeySlot slot, std::string_view row, std::uint32_t wanted) const {
    const std::lock_guard lock(mutex_);
    if (places_.empty()) return std::nullopt;
    const Place& place = places_[slot.value() % kPlaces];
    if (View(place.row) != row || place.reached.step > wanted) return std::nullopt;
    return place.reached;
  }
  void Keep(KeySlot slot, std::string_view row, const Reached& reached) {
    const std::lock_guard lock(mutex_);
    if (places_.empty()) places_.resize(kPlaces);
    Place& place = places_[slot.value() % kPlaces];
    std::copy(row.begin(), row.end(), place.row.begin());
    place.reached = reached;
  }
  void Forget() {
    const std::lock_guard lock(mutex_);
    Wipe(places_.data(), places_.size() * sizeof(Place));
  }

 private:
  static constexpr std::size_t kPlaces = std::size_t{1} << 16;
  struct Place {
    std::array<std::uint8_t, kRow> row{};  // zeros, as of an erased row: none
    Reached reached;
  };

  mutable std::mutex mutex_;
  std::vector<Place> places_;
};

// For each slot the furthest step, by slot.
std::vector<KeyStore::Advance> Plan(std::span<const KeyStore::Advance> advances) {
  std::vector<KeyStore::Advance> out(advances.begin(), advances.end());
  std::ranges::sort(out, [](const auto& a, const auto& b) {
    return std::pair(a.slot, b.first_living) < std::pair(b.slot, a.first_living);
  });
  const auto same = [](const auto& a, const auto& b) { return a.slot == b.slot; };
  out.erase(std::unique(out.begin(), out.end(), same), out.end());
  return out;
}

}  // namespace

struct KeyStore::Impl {
  Impl(const std::string& dir, Mode m, KeyHolder* holder) : directory(dir, holder), mode(m) {}

  const Directory directory;
  const Mode mode;
  Descriptor lock;
  std::function<void()> step = [] {};
  std::mutex erasing;  // taken before `mutex`

  mutable std::mutex mutex;
  std::shared_ptr<const Epoch> current;  // guarded by mutex, like all below
  std::uint64_t synced = 0;
  std::string pending;  // rows from `synced` on
  Status broken;        // nobody knows which epoch a crash would leave
  mutable ReachedKeys reached;

  std::shared_ptr<const Epoch> Current() const {
    const std::lock_guard guard(mutex);
    return current;
  }

  // Requires: mutex held.
  Status SyncLocked() {
    RETURN_IF_ERROR(broken);
    if (pending.empty()) return {};
    RETURN_IF_ERROR(WriteAt(current->file, (synced + 1) * kRow, pending));
    RETURN_IF_ERROR(SyncFile(current->file));
    synced += pending.size() / kRow;
    pending.clear();
    return {};
  }

  Result<std::uint64_t> SyncedRows() {
    const std::lock_guard guard(mutex);
    RETURN_IF_ERROR(SyncLocked());
    return synced;
  }

  struct Row {
    std::shared_ptr<const Epoch> epoch;
    std::string bytes;
  };
  Result<Row> Read(KeySlot slot) const {
    Row row{nullptr, std::string(kRow, '\0')};
    const std::lock_guard guard(mutex);
    row.epoch = current;
    if (slot.value() >= synced && (slot.value() - synced) * kRow < pending.size()) {
      row.bytes = pending.substr((slot.value() - synced) * kRow, kRow);
      return row;
    }
    ASSIGN_OR_RETURN(const std::size_t size,
                     ReadAt(current->file, (slot.value() + 1) * kRow, row.bytes.data(), kRow));
    if (size != kRow) return NotFound("the key store has no row " + std::to_string(slot.value()));
    return row;
  }

  Result<Key256> KeyAt(KeySlot slot, std::uint32_t wanted) const {
    ASSIGN_OR_RETURN(const Row row, Read(slot));
    if (IsErased(row.bytes)) return Erased("the key was destroyed");
    const std::uint32_t base = StepOf(row.bytes);
    if (wanted < base) return Erased("the key of this step was destroyed");
    auto from = reached.Find(slot, row.bytes, wanted);
    if (!from) {
      ASSIGN_OR_RETURN(const Key256 key, OpenRow(*row.epoch, slot, row.bytes));
      from = {base, key};
    }
    const Key256 key = RatchetKey(from->key, wanted - from->step);
    reached.Keep(slot, row.bytes, {wanted, key});
    Wipe(&*from, sizeof(*from));
    return key;
  }

  // True when a newer epoch has come, and was taken up. A replaced file reads as noise, so an answer other
  // than a key counts only when this is false.
  Result<bool> TakeUpNewEpoch() {
    if (mode == Mode::kWrite) return false;
    const auto known = Current();
    struct stat info{};
    if (::fstat(known->file.get(), &info) != 0) return ErrnoStatus("reading the key store");
    // A writer destroys an epoch before it makes the one after the next.
    if (info.st_nlink > 0 && !FileExists(directory.Rows(known->header.epoch + 1))) return false;
    ASSIGN_OR_RETURN(auto loaded, directory.LoadCurrent(O_RDONLY));
    reached.Forget();
    const std::lock_guard guard(mutex);
    current = std::move(loaded);
    return true;
  }

  Status Rewrap(const Epoch& from, const Epoch& to, std::uint64_t first, std::uint64_t end,
                std::span<const Advance> plan) const {
    RowWriter writer(to.file, first);
    auto next = plan.begin();
    RETURN_IF_ERROR(ForEachRow(from.file, first, end, [&](KeySlot slot, std::string_view row) -> Status {
      while (next != plan.end() && next->slot < slot) ++next;
      const bool named = next != plan.end() && next->slot == slot;
      ASSIGN_OR_RETURN(const std::string moved,
                       MoveRow(from, to, slot, row, named ? next->first_living : 0));
      return writer.Add(moved);
    }));
    RETURN_IF_ERROR(writer.Flush());
    return SyncFile(to.file);
  }

  Result<std::shared_ptr<Epoch>> BeginNext(const Header& old, Position through) const {
    Header next = old;
    next.epoch = old.epoch + 1;
    next.erased_through = std::max(old.erased_through, through.value() + 1);
    Key256 key = RandomArray<32>();
    auto begun = directory.Begin(next, key);
    Wipe(key.data(), key.size());
    return begun;
  }

  // The rows made since, then the rename: what is created meanwhile waits.
  Status Switch(const Epoch& old, std::uint64_t copied, const std::shared_ptr<Epoch>& fresh) {
    const std::lock_guard guard(mutex);
    RETURN_IF_ERROR(SyncLocked());
    RETURN_IF_ERROR(Rewrap(old, *fresh, copied, synced, {}));
    step();
    broken = directory.Decide(fresh->header.epoch);
    RETURN_IF_ERROR(broken);
    current = fresh;
    reached.Forget();
    step();
    return {};
  }
};

KeyStore::KeyStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyStore::~KeyStore() = default;
void KeyStore::OnStep(std::function<void()> hook) { impl_->step = std::move(hook); }

Result<std::unique_ptr<KeyStore>> KeyStore::Open(const std::string& dir, Mode mode, KeyHolder* holder) {
  auto impl = std::make_unique<Impl>(dir, mode, holder);
  const Directory& directory = impl->directory;
  if (mode == Mode::kWrite) {
    RETURN_IF_ERROR(MakeDirectories(dir));
    ASSIGN_OR_RETURN(impl->lock, LockForWriting(dir));
    if (directory.Current() == 0) RETURN_IF_ERROR(directory.CreateStore());
  }
  ASSIGN_OR_RETURN(impl->current, directory.LoadCurrent(mode == Mode::kWrite ? O_RDWR : O_RDONLY));
  if (mode == Mode::kWrite) RETURN_IF_ERROR(directory.Clear(impl->current->header, [] {}));
  // A torn last row was never used by an entry; the next key takes its place.
  ASSIGN_OR_RETURN(impl->synced, RowsOf(impl->current->file));
  return std::unique_ptr<KeyStore>(new KeyStore(std::move(impl)));
}

KeyStore::NewKey KeyStore::Create() {
  CHECK(impl_->mode == Mode::kWrite);
  const Key256 key = RandomArray<32>();
  const std::lock_guard lock(impl_->mutex);
  const KeySlot slot(impl_->synced + impl_->pending.size() / kRow);
  impl_->pending += WrapRow(*impl_->current, slot, key, 0);
  return {slot, key};
}

Status KeyStore::Sync() {
  // Rows are written under the lock: readers of a pending row must find it here or in the file.
  const std::lock_guard lock(impl_->mutex);
  return impl_->SyncLocked();
}

KeySlot KeyStore::next_slot() const {
  const std::lock_guard lock(impl_->mutex);
  return KeySlot(impl_->synced + impl_->pending.size() / kRow);
}

Result<Key256> KeyStore::KeyAt(KeySlot slot, std::uint32_t step) const {
  for (int again = kReopensMax;; --again) {
    auto key = impl_->KeyAt(slot, step);
    if (key.ok() || again == 0) return key;
    ASSIGN_OR_RETURN(const bool newer, impl_->TakeUpNewEpoch());
    if (!newer) return key;
  }
}

Status KeyStore::Erase(std::span<const Advance> advances, Position through) {
  CHECK(impl_->mode == Mode::kWrite);
  const std::lock_guard lock(impl_->erasing);
  ASSIGN_OR_RETURN(const std::uint64_t rows, impl_->SyncedRows());
  const auto old = impl_->Current();
  const std::vector<Advance> plan = Plan(advances);
  if (!plan.empty() && plan.back().slot.value() >= rows)
    return Invalid("the key store has no row " + std::to_string(plan.back().slot.value()));
  RETURN_IF_ERROR(impl_->directory.Clear(old->header, [] {}));
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(const auto fresh, impl_->BeginNext(old->header, through));
    impl_->step();
    // Rows created since the count above are not in the list, and come with the switch.
    RETURN_IF_ERROR(impl_->Rewrap(*old, *fresh, 0, rows, plan));
    impl_->step();
    return impl_->Switch(*old, rows, fresh);
  };
  if (Status s = write(); !s.ok()) return s.With("making a new epoch of the key store");
  return impl_->directory.Clear(impl_->Current()->header, impl_->step);
}

Status KeyStore::Refresh() const { return impl_->TakeUpNewEpoch().status(); }
std::uint64_t KeyStore::epoch() const { return impl_->Current()->header.epoch; }
Position KeyStore::erased_through() const {
  return Position(impl_->Current()->header.erased_through);
}

Status KeyStore::VerifyAll() const {
  const std::lock_guard lock(impl_->erasing);
  for (int again = kReopensMax;; --again) {
    const auto epoch = impl_->Current();
    ASSIGN_OR_RETURN(const std::uint64_t rows, RowsOf(epoch->file));
    const Status verified = VerifyRows(*epoch, epoch->file, rows);
    if (verified.ok() || again == 0) return verified;
    ASSIGN_OR_RETURN(const bool newer, impl_->TakeUpNewEpoch());
    if (!newer) return verified;
  }
}

namespace {

std::string BackupAad(const Header& header, std::uint64_t rows) {
  std::string aad = std::string(kBackupAad) + header.Encode();
  AppendU64(aad, rows);
  return aad;
}
std::string BackupRows(const std::string& dir) { return dir + "/backup.keys"; }
std::string BackupKey(const std::string& dir) { return dir + "/backup.key"; }

Status CopyRows(const Descriptor& from, const Descriptor& to, std::uint64_t rows) {
  RowWriter writer(to, 0);
  RETURN_IF_ERROR(ForEachRow(from, 0, rows, [&](KeySlot, std::string_view row) { return writer.Add(row); }));
  RETURN_IF_ERROR(writer.Flush());
  return SyncFile(to);
}

}  // namespace

Status KeyStore::Backup(const std::string& dir, const Key256& backup_key) const {
  const std::lock_guard lock(impl_->erasing);
  const auto epoch = impl_->Current();
  ASSIGN_OR_RETURN(const std::uint64_t rows, RowsOf(epoch->file));
  RETURN_IF_ERROR(MakeDirectories(dir));
  if (FileExists(BackupRows(dir))) return Conflict(dir + " holds a backup already");
  ASSIGN_OR_RETURN(const Descriptor copy, OpenFile(BackupRows(dir), O_RDWR | O_CREAT | O_EXCL));
  RETURN_IF_ERROR(WriteAt(copy, 0, epoch->header.Encode()));
  RETURN_IF_ERROR(CopyRows(epoch->file, copy, rows));
  if (Status s = VerifyRows(*epoch, copy, rows); !s.ok()) return s.With("the copy in " + dir);
  const auto nonce = RandomArray<kNonceBytes>();
  std::string sealed(View(nonce));
  AeadSeal(backup_key, View(nonce), BackupAad(epoch->header, rows), {View(epoch->key)}, sealed);
  return WriteFileDurably(BackupKey(dir), sealed);
}

Status KeyStore::Restore(const std::string& backup, const Key256& backup_key, const std::string& dir,
                         KeyHolder* holder) {
  Epoch old;
  ASSIGN_OR_RETURN(old.file, OpenFile(BackupRows(backup), O_RDONLY));
  ASSIGN_OR_RETURN(old.header, ReadHeader(old.file, BackupRows(backup)));
  ASSIGN_OR_RETURN(const std::uint64_t rows, RowsOf(old.file));
  ASSIGN_OR_RETURN(const std::string sealed, ReadFile(BackupKey(backup)));
  if (sealed.size() != kWrappedKeyBytes) return Corrupt(BackupKey(backup) + " is no wrapped key");
  auto opened = AeadOpen(backup_key, std::string_view(sealed).substr(0, kNonceBytes),
                         BackupAad(old.header, rows), std::string_view(sealed).substr(kNonceBytes));
  if (!opened.ok()) return opened.status().With(BackupKey(backup));
  ASSIGN_OR_RETURN(old.key, ToArray<32>(*opened));
  Wipe(opened->data(), opened->size());
  RETURN_IF_ERROR(VerifyRows(old, old.file, rows));

  RETURN_IF_ERROR(MakeDirectories(dir));
  ASSIGN_OR_RETURN(const Descriptor lock, LockForWriting(dir));
  const Directory directory(dir, holder);
  if (directory.Current() != 0) return Conflict("there is a key store in " + dir);
  RETURN_IF_ERROR(directory.ClearUnfinished());
  Header header = old.header;
  header.store = RandomArray<16>();  // the old store's epochs may live on in the same holder
  ASSIGN_OR_RETURN(const auto fresh, directory.Begin(header, old.key));
  RETURN_IF_ERROR(CopyRows(old.file, fresh->file, rows));
  return directory.Decide(header.epoch);
}

}  // namespace daicho
