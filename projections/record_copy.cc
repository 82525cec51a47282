#include "projections/record_copy.h"

#include <algorithm>

#include "events/bytes.h"
#include "events/notice_rules.h"

namespace daicho {
namespace {

// Taken back, as of an earlier entry: some minutes of a busy day. 100 bytes each.
constexpr std::size_t kChangesKept = 200'000;
constexpr std::size_t kBatchBytes = 4u << 20;
constexpr char kFingerprintKey[] = "copy_fingerprint";  // position(8) ‖ CopyFingerprint::Encode
constexpr char kKeyKey[] = "copy_key";                  // CopyKeying::KeyId of what is stored

std::string CodeKey(std::uint64_t code) {
  std::string key;
  AppendU64(key, code);
  return key;
}

Result<std::optional<Digest>> MacOf(std::string_view value) {
  if (value.empty()) return std::optional<Digest>();
  ASSIGN_OR_RETURN(const Digest mac, ToArray<32>(value));
  return std::optional(mac);
}

std::string_view ValueOf(const std::optional<Digest>& mac) { return mac ? View(*mac) : std::string_view(); }

// The notice that stood of each person behind the entry at `at`, in no order.
Status ReadStanding(const Store& store, Position at, const std::function<Status(const v1::UpdateNotice&)>& take) {
  auto it = store.NewIterator(RecordFile::kVersions);
  std::optional<KeySlot> done;
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const record_file::Key key, record_file::DecodeKey(it.key()));
    if (key.position > at || done == key.subject) continue;
    ASSIGN_OR_RETURN(const Version version, record_file::DecodeVersion(it.key(), it.value()));
    if (!LeavesRow(version.effect)) continue;
    done = key.subject;
    RETURN_IF_ERROR(take(version.notice));
  }
  return it.status();
}

}  // namespace

bool LeavesRow(v1::Effect effect) { return effect != v1::EFFECT_REMOVED_LATE && effect != v1::EFFECT_REPEATED; }

Result<RecordCopy> RecordCopy::Gather(const Store& record_file, std::shared_ptr<const CopyKeying> keying, Position at,
                                      const std::function<bool(const v1::UpdateNotice&)>& wanted) {
  RecordCopy copy(record_file, at, CopyFingerprint(keying));
  RETURN_IF_ERROR(ReadStanding(record_file, at, [&](const v1::UpdateNotice& notice) -> Status {
    if (wanted && !wanted(notice)) return {};
    const CopyItem item = keying->Item(notice);
    copy.fingerprint_.Add(item);
    copy.otherwise_.emplace_back(item.code, item.mac);
    return {};
  }));
  std::ranges::sort(copy.otherwise_, {}, &Standing::first);
  return copy;
}

Status RecordCopy::Scan(std::uint64_t first, std::uint64_t last, const std::function<Status(const CopyItem&)>& take) {
  auto other = std::ranges::lower_bound(otherwise_, first, {}, &Standing::first);
  const auto take_others = [&](std::uint64_t before) -> Status {
    for (; other != otherwise_.end() && other->first < before; ++other) {
      if (other->second) RETURN_IF_ERROR(take({other->first, *other->second}));
    }
    return {};
  };
  if (stored_) {
    for (stored_->Seek(CodeKey(first)); stored_->Valid(); stored_->Next()) {
      const std::uint64_t code = ReadU64(stored_->key());
      if (code >= last) break;
      RETURN_IF_ERROR(take_others(code));
      if (other != otherwise_.end() && other->first == code) continue;
      ASSIGN_OR_RETURN(const std::optional<Digest> mac, MacOf(stored_->value()));
      if (mac) RETURN_IF_ERROR(take({code, *mac}));
    }
    RETURN_IF_ERROR(stored_->status());
  }
  return take_others(last);
}

Result<std::optional<v1::HeldCopy>> RecordCopy::Row(std::uint64_t code) const {
  const RecordFile file(*store_);
  const std::string text = CodeText(code);
  const auto slot = file.FindByResidentCode(text, position_);
  if (slot.status().code() == Code::kNotFound) return std::optional<v1::HeldCopy>();
  RETURN_IF_ERROR(slot.status());
  const auto version = file.Read(*slot, position_, std::nullopt);
  if (version.status().code() == Code::kNotFound) return std::optional<v1::HeldCopy>();
  RETURN_IF_ERROR(version.status());
  // A former code still finds its subject, whose row stands under another one now.
  if (version->notice.resident_code() != text) return std::optional<v1::HeldCopy>();
  return std::optional(HeldRow(version->notice));
}

Status RecordCopies::Load(Position next) {
  const std::lock_guard lock(mutex_);
  added_.clear();
  standing_.clear();
  changes_.clear();
  known_from_ = next_ = next;
  const auto key = store_.Get(RecordFile::kMeta, kKeyKey);
  if (!key.ok() && key.status().code() != Code::kNotFound) return key.status();
  if (!key.ok() || *key != View(keying_->key_id())) RETURN_IF_ERROR(MakeItems(next));
  if (const auto stored = store_.Get(RecordFile::kMeta, kFingerprintKey); stored.ok() && stored->size() > 8) {
    const std::string_view bytes = *stored;
    if (ReadU64(bytes) == next.value()) {
      if (auto fingerprint = CopyFingerprint::Decode(keying_, bytes.substr(8)); fingerprint.ok()) {
        fingerprint_ = std::make_unique<CopyFingerprint>(std::move(*fingerprint));
        return {};
      }
    }
  }
  fingerprint_ = std::make_unique<CopyFingerprint>(keying_);
  return ReadItems(*fingerprint_);
}

Status RecordCopies::ReadItems(CopyFingerprint& fingerprint) const {
  auto it = store_.NewIterator(RecordFile::kCopies);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const std::optional<Digest> mac, MacOf(it.value()));
    if (mac) fingerprint.Add({ReadU64(it.key()), *mac});
  }
  return it.status();
}

// The store has the items of another key, or none.
Status RecordCopies::MakeItems(Position next) {
  StoreBatch batch;
  Status written;
  const auto write = [&](bool all) {
    if (!written.ok() || (!all && batch.bytes() < kBatchBytes)) return;
    written = store_.Write(batch, false);
    batch.Clear();
  };
  batch.Delete(RecordFile::kMeta, kKeyKey);
  auto it = store_.NewIterator(RecordFile::kCopies);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    batch.Delete(RecordFile::kCopies, it.key());
    write(false);
  }
  RETURN_IF_ERROR(it.status());
  if (next > Position(0)) {
    RETURN_IF_ERROR(ReadStanding(store_, Position(next.value() - 1), [&](const v1::UpdateNotice& notice) {
      const CopyItem item = keying_->Item(notice);
      batch.Put(RecordFile::kCopies, CodeKey(item.code), View(item.mac));
      write(false);
      return written;
    }));
  }
  batch.Put(RecordFile::kMeta, kKeyKey, View(keying_->key_id()));
  write(true);
  return written;
}

Status RecordCopies::Forget(Store& store) {
  StoreBatch batch;
  batch.Delete(RecordFile::kMeta, kKeyKey);
  return store.Write(batch, false);
}

Result<std::optional<Digest>> RecordCopies::Standing(std::uint64_t code) const {
  if (const auto found = standing_.find(code); found != standing_.end()) return found->second;
  const auto stored = store_.Get(RecordFile::kCopies, CodeKey(code));
  if (stored.status().code() == Code::kNotFound) return std::optional<Digest>();
  RETURN_IF_ERROR(stored.status());
  return MacOf(*stored);
}

Status RecordCopies::Stand(Position position, std::uint64_t code, std::optional<Digest> mac) {
  ASSIGN_OR_RETURN(const std::optional<Digest> before, Standing(code));
  standing_[code] = mac;
  added_.push_back({position, code, before, mac});
  return {};
}

Status RecordCopies::Add(const Version& version) {
  if (!LeavesRow(version.effect)) return {};
  const v1::UpdateNotice& notice = version.notice;
  if (ChangesCode(notice.reason()) && !notice.former_resident_code().empty()) {
    ASSIGN_OR_RETURN(const std::uint64_t former, CodeNumber(notice.former_resident_code()));
    RETURN_IF_ERROR(Stand(version.position, former, std::nullopt));
  }
  const CopyItem item = keying_->Item(notice);
  return Stand(version.position, item.code, item.mac);
}

void RecordCopies::PutInBulk(const Version& version, const record_file::Writer::Put& put) const {
  if (!LeavesRow(version.effect)) return;
  const v1::UpdateNotice& notice = version.notice;
  if (ChangesCode(notice.reason())) {
    if (const auto former = CodeNumber(notice.former_resident_code()); former.ok()) {
      put(RecordFile::kCopies, CodeKey(*former), "");
    }
  }
  const CopyItem item = keying_->Item(notice);
  put(RecordFile::kCopies, CodeKey(item.code), View(item.mac));
}

void RecordCopies::PutKey(const record_file::Writer::Put& put) const {
  put(RecordFile::kMeta, kKeyKey, View(keying_->key_id()));
}

void RecordCopies::Flush(const record_file::Writer::Put& put) {
  for (const auto& [code, mac] : standing_) put(RecordFile::kCopies, CodeKey(code), ValueOf(mac));
}

void RecordCopies::Publish(Position next) {
  const std::lock_guard lock(mutex_);
  for (const Change& change : added_) {
    if (change.before) fingerprint_->Remove({change.code, *change.before});
    if (change.after) fingerprint_->Add({change.code, *change.after});
    changes_.push_back(change);
  }
  while (changes_.size() > kChangesKept) {
    known_from_ = changes_.front().position.Next();
    changes_.pop_front();
  }
  next_ = next;
  added_.clear();
  standing_.clear();
}

void RecordCopies::PutFingerprint(const record_file::Writer::Put& put) const {
  std::string bytes;
  AppendU64(bytes, next_.value());
  put(RecordFile::kMeta, kFingerprintKey, bytes + fingerprint_->Encode());
}

Result<RecordCopy> RecordCopies::Take(Position at) const {
  std::unique_lock lock(mutex_);
  if (at >= next_) return Invalid("position: the record file is not that far yet");
  if (at.Next() >= known_from_) {
    RecordCopy copy(store_, at, *fingerprint_);
    copy.stored_ = store_.NewIterator(RecordFile::kCopies);
    std::map<std::uint64_t, std::optional<Digest>> otherwise;
    for (auto change = changes_.rbegin(); change != changes_.rend() && change->position > at; ++change) {
      if (change->after) copy.fingerprint_.Remove({change->code, *change->after});
      if (change->before) copy.fingerprint_.Add({change->code, *change->before});
      otherwise[change->code] = change->before;
    }
    copy.otherwise_.assign(otherwise.begin(), otherwise.end());
    return copy;
  }
  lock.unlock();
  return RecordCopy::Gather(store_, keying_, at);
}

}  // namespace daicho
