#include "ledger/key_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>

#include "events/event.h"
#include "ledger/files.h"

namespace daicho {
namespace {

constexpr std::size_t kRow = 64;
constexpr std::size_t kWrapped = 48;
constexpr std::string_view kMagic = "daicho-keys-1\n";

std::string RowAad(std::uint64_t epoch, KeySlot slot, std::uint32_t step) {
  std::string aad;
  AppendU64(aad, epoch);
  AppendU64(aad, slot.value());
  AppendU32(aad, step);
  return aad;
}

std::string FileHeader(std::uint64_t epoch) {
  std::string out(kMagic);
  out.resize(kRow - 8, '\0');
  AppendU64(out, epoch);
  return out;
}

}  // namespace

struct KeyStore::Impl {
  Descriptor file;
  Key256 epoch_key{};
  std::uint64_t epoch = 0;
  mutable std::mutex mutex;
  std::uint64_t synced = 0;  // guarded by mutex, like all below
  std::string pending;       // rows from `synced` on

  std::string Wrap(KeySlot slot, const Key256& key, std::uint32_t step) const {
    const auto nonce = RandomArray<kNonceBytes>();
    std::string row(View(nonce));
    AeadSeal(epoch_key, View(nonce), RowAad(epoch, slot, step), {View(key)}, row);
    AppendU32(row, step);
    return row;
  }

  ~Impl() { Wipe(epoch_key.data(), epoch_key.size()); }
};

KeyStore::KeyStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KeyStore::~KeyStore() = default;

Result<std::unique_ptr<KeyStore>> KeyStore::Open(const std::string& dir, Mode mode) {
  auto impl = std::make_unique<Impl>();
  const bool write = mode == Mode::kWrite;
  const std::string path = dir + "/keys", key_path = dir + "/epoch.key";
  if (write && !FileExists(path)) {
    RETURN_IF_ERROR(MakeDirectories(dir));
    RETURN_IF_ERROR(WriteFileDurably(key_path, View(RandomArray<32>())));
    RETURN_IF_ERROR(WriteFileDurably(path, FileHeader(1)));
  }
  ASSIGN_OR_RETURN(const std::string epoch_key, ReadFile(key_path));
  ASSIGN_OR_RETURN(impl->epoch_key, ToArray<32>(epoch_key));
  impl->file = Descriptor(::open(path.c_str(), (write ? O_RDWR : O_RDONLY) | O_CLOEXEC));
  if (impl->file.get() < 0) return ErrnoStatus("opening " + path);
  if (write && ::flock(impl->file.get(), LOCK_EX | LOCK_NB) != 0) {
    return Unavailable("another process writes the key store " + path);
  }
  std::string header(kRow, '\0');
  if (::pread(impl->file.get(), header.data(), kRow, 0) != static_cast<ssize_t>(kRow) ||
      !header.starts_with(kMagic)) {
    return Corrupt(path + " is not a key store");
  }
  impl->epoch = ReadU64(std::string_view(header).substr(kRow - 8));
  struct stat info {};
  if (::fstat(impl->file.get(), &info) != 0) return ErrnoStatus("reading " + path);
  // A torn last row was never used by an entry; the next key takes its place.
  impl->synced = static_cast<std::uint64_t>(info.st_size) / kRow - 1;
  return std::unique_ptr<KeyStore>(new KeyStore(std::move(impl)));
}

KeyStore::NewKey KeyStore::Create() {
  const Key256 key = RandomArray<32>();
  const std::lock_guard lock(impl_->mutex);
  const KeySlot slot(impl_->synced + impl_->pending.size() / kRow);
  impl_->pending += impl_->Wrap(slot, key, 0);
  return {slot, key};
}

Status KeyStore::Sync() {
  // Rows are written under the lock: readers of a pending row must find it here or in the file.
  const std::lock_guard lock(impl_->mutex);
  if (impl_->pending.empty()) return {};
  std::string_view rest = impl_->pending;
  auto offset = static_cast<off_t>((impl_->synced + 1) * kRow);
  while (!rest.empty()) {
    const ssize_t n = ::pwrite(impl_->file.get(), rest.data(), rest.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("writing the key store");
    rest.remove_prefix(static_cast<std::size_t>(n));
    offset += n;
  }
  if (::fdatasync(impl_->file.get()) != 0) return ErrnoStatus("syncing the key store");
  impl_->synced += impl_->pending.size() / kRow;
  impl_->pending.clear();
  return {};
}

KeySlot KeyStore::next_slot() const {
  const std::lock_guard lock(impl_->mutex);
  return KeySlot(impl_->synced + impl_->pending.size() / kRow);
}

Result<Key256> KeyStore::KeyAt(KeySlot slot, std::uint32_t step) const {
  std::string row(kRow, '\0');
  {
    const std::lock_guard lock(impl_->mutex);
    if (slot.value() >= impl_->synced && (slot.value() - impl_->synced) * kRow < impl_->pending.size()) {
      row = impl_->pending.substr((slot.value() - impl_->synced) * kRow, kRow);
    } else if (::pread(impl_->file.get(), row.data(), kRow, static_cast<off_t>((slot.value() + 1) * kRow)) !=
               static_cast<ssize_t>(kRow)) {
      return NotFound("the key store has no row " + std::to_string(slot.value()));
    }
  }
  if (row == std::string(kRow, '\0')) return Erased("the key was destroyed");
  const std::string_view view(row);
  const std::uint32_t base = ReadU32(view.substr(kRow - 4));
  if (step < base) return Erased("the key of this step was destroyed");
  auto opened = AeadOpen(impl_->epoch_key, view.substr(0, kNonceBytes), RowAad(impl_->epoch, slot, base),
                         view.substr(kNonceBytes, kWrapped));
  if (!opened.ok()) return opened.status().With("key store row " + std::to_string(slot.value()));
  ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(*opened));
  Wipe(opened->data(), opened->size());
  return RatchetKey(key, step - base);
}

}  // namespace daicho
