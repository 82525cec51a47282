#include "projections/record_copy.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "events/bytes.h"
#include "events/notice_rules.h"

namespace daicho {
namespace {

// Taken back, as of an earlier entry: some minutes of a busy day. 100 bytes each.
constexpr std::size_t kChangesKept = 200'000;
constexpr std::size_t kBatchBytes = 4u << 20;
constexpr char kFingerprintKey[] = "copy_fingerprint";  // position(8) ‖ CopyFingerprint::Encode
constexpr char kKeyKey[] = "copy_key";                  // CopyKeying::KeyId of what is stored

constexpr std::size_t kItemBytes = 8 + 32;

std::string SlotKey(KeySlot subject) {
  std::string key;
  AppendU64(key, subject.value());
  return key;
}

std::string EncodeItem(const CopyItem& item) {
  std::string out;
  AppendU64(out, item.code);
  return out += View(item.mac);
}

Result<CopyItem> DecodeItem(std::string_view value) {
  if (value.size() != kItemBytes) return Corrupt("a stored item of the copy has the wrong size");
  CopyItem item{.code = ReadU64(value)};
  std::memcpy(item.mac.data(), value.data() + 8, item.mac.size());
  return item;
}

// The notice that stood of each person behind the entry at `at`, in no order.
Status ReadStanding(const Store& store, Position at,
                    const std::function<Status(KeySlot, const v1::UpdateNotice&)>& take) {
  auto it = store.NewIterator(RecordFile::kVersions);
  std::optional<KeySlot> done;
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const record_file::Key key, record_file::DecodeKey(it.key()));
    if (key.position > at || done == key.subject) continue;
    ASSIGN_OR_RETURN(const Version version, record_file::DecodeVersion(it.key(), it.value()));
    if (!LeavesRow(version.effect)) continue;
    done = key.subject;
    RETURN_IF_ERROR(take(key.subject, version.notice));
  }
  return it.status();
}

}  // namespace

bool LeavesRow(v1::Effect effect) { return effect != v1::EFFECT_REMOVED_LATE && effect != v1::EFFECT_REPEATED; }

Result<RecordCopy> RecordCopy::Gather(const Store& record_file, std::shared_ptr<const CopyKeying> keying, Position at,
                                      const std::function<bool(const v1::UpdateNotice&)>& wanted) {
  RecordCopy copy(record_file, at, CopyFingerprint(keying));
  CopyItemMaker maker(keying, [&](KeySlot, const CopyItem& item) -> Status {
    copy.items_.push_back(item);
    copy.fingerprint_.Add(item);
    return {};
  });
  RETURN_IF_ERROR(ReadStanding(record_file, at, [&](KeySlot subject, const v1::UpdateNotice& notice) -> Status {
    return wanted && !wanted(notice) ? Status() : maker.Add(subject, notice);
  }));
  RETURN_IF_ERROR(maker.Flush());
  std::ranges::sort(copy.items_, {}, &CopyItem::code);
  return copy;
}

Status RecordCopy::ReadStored() {
  if (!stored_) return {};
  for (stored_->SeekToFirst(); stored_->Valid(); stored_->Next()) {
    if (otherwise_.contains(KeySlot(ReadU64(stored_->key())))) continue;
    ASSIGN_OR_RETURN(const CopyItem item, DecodeItem(stored_->value()));
    items_.push_back(item);
  }
  RETURN_IF_ERROR(stored_->status());
  for (const auto& [subject, item] : otherwise_) {
    if (item) items_.push_back(*item);
  }
  std::ranges::sort(items_, {}, &CopyItem::code);
  stored_.reset();
  return {};
}

Status RecordCopy::Scan(std::uint64_t first, std::uint64_t last, const std::function<Status(const CopyItem&)>& take) {
  RETURN_IF_ERROR(ReadStored());
  for (auto item = std::ranges::lower_bound(items_, first, {}, &CopyItem::code);
       item != items_.end() && item->code < last; ++item) {
    RETURN_IF_ERROR(take(*item));
  }
  return {};
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
  in_bulk_ = false;
  maker_.emplace(keying_, [this](KeySlot, const CopyItem& item) -> Status {
    added_[made_++].after = item;
    return {};
  });
  added_.clear();
  made_ = 0;
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
    ASSIGN_OR_RETURN(const CopyItem item, DecodeItem(it.value()));
    fingerprint.Add(item);
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
    CopyItemMaker maker(keying_, [&](KeySlot subject, const CopyItem& item) {
      batch.Put(RecordFile::kCopies, SlotKey(subject), EncodeItem(item));
      write(false);
      return written;
    });
    RETURN_IF_ERROR(ReadStanding(store_, Position(next.value() - 1), std::bind_front(&CopyItemMaker::Add, &maker)));
    RETURN_IF_ERROR(maker.Flush());
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

Result<std::optional<CopyItem>> RecordCopies::Stored(KeySlot subject) const {
  const auto stored = store_.Get(RecordFile::kCopies, SlotKey(subject));
  if (stored.status().code() == Code::kNotFound) return std::optional<CopyItem>();
  RETURN_IF_ERROR(stored.status());
  ASSIGN_OR_RETURN(const CopyItem item, DecodeItem(*stored));
  return std::optional(item);
}

Status RecordCopies::Add(const Version& version, KeySlot subject, bool first) {
  if (!LeavesRow(version.effect)) return {};
  if (!in_bulk_) added_.push_back({.position = version.position, .subject = subject, .first = first, .before = {}, .after = {}});
  return maker_->Add(subject, version.notice);
}

void RecordCopies::BeginBulk(record_file::Writer::Put put) {
  in_bulk_ = true;
  maker_.emplace(keying_, [put = std::move(put)](KeySlot subject, const CopyItem& item) -> Status {
    put(RecordFile::kCopies, SlotKey(subject), EncodeItem(item));
    return {};
  });
}

void RecordCopies::PutKey(const record_file::Writer::Put& put) const {
  put(RecordFile::kMeta, kKeyKey, View(keying_->key_id()));
}

Status RecordCopies::Flush(const record_file::Writer::Put& put) {
  RETURN_IF_ERROR(maker_->Flush());
  // Subject by subject, so that what is read lies near what was read before.
  std::vector<Change*> order;
  order.reserve(added_.size());
  for (Change& change : added_) order.push_back(&change);
  std::ranges::sort(order, {}, [](const Change* change) { return std::pair(change->subject, change->position); });
  for (std::size_t i = 0; i < order.size(); ++i) {
    Change& change = *order[i];
    if (i > 0 && order[i - 1]->subject == change.subject) {
      change.before = order[i - 1]->after;
    } else if (!change.first) {
      ASSIGN_OR_RETURN(change.before, Stored(change.subject));
    }
    if (i + 1 < order.size() && order[i + 1]->subject == change.subject) continue;
    put(RecordFile::kCopies, SlotKey(change.subject), EncodeItem(change.after));
  }
  return {};
}

void RecordCopies::Publish(Position next) {
  const std::lock_guard lock(mutex_);
  for (const Change& change : added_) {
    if (change.before) fingerprint_->Remove(*change.before);
    fingerprint_->Add(change.after);
    changes_.push_back(change);
  }
  while (changes_.size() > kChangesKept) {
    known_from_ = changes_.front().position.Next();
    changes_.pop_front();
  }
  next_ = next;
  added_.clear();
  made_ = 0;
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
    for (auto change = changes_.rbegin(); change != changes_.rend() && change->position > at; ++change) {
      copy.fingerprint_.Remove(change->after);
      if (change->before) copy.fingerprint_.Add(*change->before);
      copy.otherwise_[change->subject] = change->before;
    }
    return copy;
  }
  lock.unlock();
  return RecordCopy::Gather(store_, keying_, at);
}

}  // namespace daicho
