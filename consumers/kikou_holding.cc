#include "consumers/kikou_holding.h"

#include <algorithm>
#include <set>

#include "events/codes.h"
#include "events/dates.h"
#include "ledger/files.h"

namespace daicho {
namespace {

const std::vector<std::string> kFamilies = {"rows", "others", "history", "former", "numbers",
                                            "names", "acks", "held", "drift", "meta", "copies", "notified"};
enum : Family { kRows, kOthers, kHistory, kFormer, kNumbers, kNames, kAcks, kHeld, kDriftLog, kMeta, kCopies, kNotified };

constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kLedgerBytes = 16;
constexpr std::size_t kRunBytes = 16;
constexpr std::size_t kOthersPerBatch = 5'000;
constexpr std::size_t kBatchBytes = 4u << 20;
constexpr char kCopyKeyName[] = "copy_key";  // CopyKeying::KeyId
// What one name may lead to before its condition is too broad.
constexpr std::size_t kCandidatesMax = 20'000;

std::string Number(std::uint64_t value) {
  std::string out;
  AppendU64(out, value);
  return out;
}

std::string HistoryKey(const std::string& code, std::uint32_t number) {
  std::string key = code;
  AppendU32(key, number);
  return key;
}

Result<v1::HeldCopy> DecodeRow(std::string_view bytes) {
  v1::HeldCopy out;
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return Corrupt("a held row cannot be decoded");
  return out;
}

Result<std::uint64_t> ReadNumber(const Store& store, const char* name) {
  const auto stored = store.Get(kMeta, name);
  if (stored.status().code() == Code::kNotFound) return std::uint64_t{0};
  RETURN_IF_ERROR(stored.status());
  if (stored->size() != 8) return Corrupt(std::string(name) + " has the wrong size");
  return ReadU64(*stored);
}

// Of a 住民票コード in the rows. One of them has 11 digits.
std::uint64_t CodeOf(std::string_view text) {
  std::uint64_t code = 0;
  for (const char digit : text) code = code * 10 + static_cast<std::uint64_t>(digit - '0');
  return code;
}

// Keys of a row in the families that lead to it.
using IndexKey = std::pair<Family, std::string>;
std::set<IndexKey> IndexKeys(const Matching& matching, const v1::HeldCopy& row) {
  std::set<IndexKey> out;
  const v1::ResidentRecord& record = row.record();
  const std::string& code = row.resident_code();
  if (!record.individual_number().empty()) out.emplace(kNumbers, record.individual_number() + code);
  const auto name = [&](const std::string& text) {
    if (!text.empty()) out.emplace(kNames, 'n' + matching.FoldName(text).text + '\0' + code);
  };
  const auto kana = [&](const std::string& text) {
    if (!text.empty()) out.emplace(kNames, 'k' + matching.FoldKana(text).text + '\0' + code);
  };
  name(record.name());
  name(record.former_name().name());
  name(record.alias().name());
  name(record.latin_name());
  kana(record.kana());
  kana(record.former_name().kana());
  kana(record.alias().kana());
  return out;
}

Status CheckNotices(const kikou::Notices& notices) {
  if (notices.version() != kVersion) return Invalid("version: 1 is known here");
  if (notices.ledger().size() != kLedgerBytes) return Invalid("ledger: 16 bytes");
  if (notices.first_position() > notices.last_position()) return Invalid("last_position: before first_position");
  std::optional<std::uint64_t> before;
  for (const kikou::Notice& notice : notices.notices()) {
    if (notice.position() < notices.first_position() || notice.position() > notices.last_position() ||
        (before && notice.position() <= *before)) {
      return Invalid("notices.position: ascending, from first_position to last_position");
    }
    before = notice.position();
  }
  return {};
}

Status CheckCorrections(const kikou::Corrections& corrections) {
  if (corrections.version() != kVersion) return Invalid("version: 1 is known here");
  if (corrections.run().size() != kRunBytes) return Invalid("run: 16 bytes");
  for (const std::string& code : corrections.absent()) {
    if (!IsDigits(code, kResidentCodeDigits)) return Invalid("absent: a 住民票コード has 11 digits");
  }
  return {};
}

// Why 機構 does not take a notice: its code and words.
using Why = std::pair<const char*, const char*>;
std::optional<Why> Refuses(const std::string& bytes, v1::UpdateNotice& notice) {
  if (!notice.ParseFromString(bytes) || !notice.has_record()) return {{"undecodable", "通知を読み取れません"}};
  if (!IsValidResidentCode(notice.resident_code())) return {{"check_digit", "住民票コードの検査数字が一致しません"}};
  const std::string& number = notice.record().individual_number();
  if (!number.empty() && !IsValidIndividualNumber(number)) return {{"check_digit", "個人番号の検査数字が一致しません"}};
  if (notice.update_number() == 0) return {{"update_number", "更新順番号がありません"}};
  return std::nullopt;
}

void AddRefusal(std::uint64_t position, const Why& why, kikou::Refusal& refusal) {
  refusal.set_position(position);
  refusal.set_code(why.first);
  refusal.set_message(why.second);
}

Result<CopyItem> ItemAt(const StoreIterator& it) {
  if (it.key().size() != 8) return Corrupt("an item has a key of another size");
  ASSIGN_OR_RETURN(const Digest mac, ToArray<32>(it.value()));
  return CopyItem{ReadU64(it.key()), mac};
}

// What a condition asks of a record, folded.
class Query {
 public:
  static Result<Query> Of(const Matching& matching, const v1::SearchCondition& condition) {
    Query out(matching, condition);
    if (!condition.name().empty()) {
      ASSIGN_OR_RETURN(out.name_, matching.ParseName(condition.name()));
    }
    if (!condition.kana().empty()) {
      ASSIGN_OR_RETURN(out.kana_, matching.ParseKana(condition.kana()));
    }
    if (!condition.birth().empty()) {
      ASSIGN_OR_RETURN(out.birth_, matching.ParseBirth(condition.birth()));
    }
    if (!condition.address().empty()) {
      ASSIGN_OR_RETURN(out.address_, matching.ParseAddress(condition.address()));
    }
    return out;
  }

  // Beginnings of keys in kNames that lead to all who match.
  std::vector<std::string> NamePrefixes() const {
    std::vector<std::string> out;
    if (name_) {
      for (const FoldedName& each : name_->any) out.push_back('n' + each.text);
    } else if (kana_) {
      for (const FoldedName& each : kana_->any) out.push_back('k' + each.text);
    }
    return out;
  }

  bool Fits(const v1::HeldCopy& row) const {
    const v1::ResidentRecord& record = row.record();
    if (!condition_.resident_code().empty() && condition_.resident_code() != row.resident_code()) return false;
    if (!condition_.individual_number().empty() && condition_.individual_number() != record.individual_number()) {
      return false;
    }
    if (condition_.sex() != v1::SEX_UNSPECIFIED && condition_.sex() != record.sex()) return false;
    if (!condition_.municipality().empty() && condition_.municipality() != record.address().municipality()) return false;
    if (birth_) {
      const auto birth = ParseLenientDate(record.birth());
      if (!birth || !Matches(*birth_, *birth)) return false;
    }
    if (address_ && !Matches(*address_, record.address().municipality(), matching_.FoldAddress(record.address().text()))) {
      return false;
    }
    return FitsName(name_, {record.name(), record.former_name().name(), record.alias().name(), record.latin_name()},
                    false) &&
           FitsName(kana_, {record.kana(), record.former_name().kana(), record.alias().kana()}, true);
  }

 private:
  Query(const Matching& matching, const v1::SearchCondition& condition) : matching_(matching), condition_(condition) {}

  bool FitsName(const std::optional<NameQuery>& query, std::initializer_list<std::string_view> texts, bool kana) const {
    if (!query) return true;
    const auto asked = condition_.name_match();
    const auto how = asked == v1::NAME_MATCH_UNSPECIFIED ? v1::NAME_MATCH_PREFIX : asked;
    return std::ranges::any_of(texts, [&](std::string_view text) {
      return !text.empty() && Matches(*query, how, kana ? matching_.FoldKana(text) : matching_.FoldName(text));
    });
  }

  const Matching& matching_;
  const v1::SearchCondition& condition_;
  std::optional<NameQuery> name_, kana_;
  std::optional<BirthQuery> birth_;
  std::optional<AddressQuery> address_;
};

}  // namespace

struct KikouHolding::Impl {
  std::unique_ptr<Store> store;
  std::shared_ptr<const Matching> matching = Matching::Shipped();
  mutable std::mutex mutex;  // of whoever changes it
  // As stored; of whoever holds mutex.
  std::string ledger;
  Position next;
  Counts counts;
  std::optional<CopyFingerprint> copy;  // none: without a key

  // The items of the rows, and what they come to.
  Status LoadCopy(const std::optional<CopyKey>& key) {
    const auto stored = store->Get(kMeta, kCopyKeyName);
    if (stored.status().code() != Code::kNotFound) RETURN_IF_ERROR(stored.status());
    if (!key) {
      // From now on rows change that the items do not follow.
      StoreBatch batch;
      batch.Delete(kMeta, kCopyKeyName);
      return stored.ok() ? store->Write(batch, false) : Status();
    }
    const auto keying = std::make_shared<const CopyKeying>(*key);
    if (!stored.ok() || *stored != View(keying->key_id())) RETURN_IF_ERROR(MakeItems(*keying));
    copy.emplace(keying);
    auto it = store->NewIterator(kCopies);
    for (it.SeekToFirst(); it.Valid(); it.Next()) {
      ASSIGN_OR_RETURN(const CopyItem item, ItemAt(it));
      copy->Add(item);
    }
    return it.status();
  }

  // The store has the items of another key, or none.
  Status MakeItems(const CopyKeying& keying) {
    StoreBatch batch;
    const auto write = [&](std::size_t bytes) -> Status {
      if (batch.bytes() < bytes) return {};
      const Status written = store->Write(batch, false);
      batch.Clear();
      return written;
    };
    batch.Delete(kMeta, kCopyKeyName);
    auto items = store->NewIterator(kCopies);
    for (items.SeekToFirst(); items.Valid(); items.Next()) {
      batch.Delete(kCopies, items.key());
      RETURN_IF_ERROR(write(kBatchBytes));
    }
    RETURN_IF_ERROR(items.status());
    auto rows = store->NewIterator(kRows);
    for (rows.SeekToFirst(); rows.Valid(); rows.Next()) {
      ASSIGN_OR_RETURN(const v1::HeldCopy row, DecodeRow(rows.value()));
      const CopyItem item = keying.Item(row);
      batch.Put(kCopies, Number(item.code), View(item.mac));
      RETURN_IF_ERROR(write(kBatchBytes));
    }
    RETURN_IF_ERROR(rows.status());
    batch.Put(kMeta, kCopyKeyName, View(keying.key_id()));
    return write(0);
  }

  Status Load() {
    auto stored = store->Get(kMeta, "ledger");
    if (stored.ok()) ledger = *stored;
    if (stored.status().code() != Code::kNotFound) RETURN_IF_ERROR(stored.status());
    ASSIGN_OR_RETURN(const std::uint64_t at, ReadNumber(*store, "next"));
    next = Position(at);
    ASSIGN_OR_RETURN(counts.residents, ReadNumber(*store, "rows"));
    ASSIGN_OR_RETURN(counts.removed, ReadNumber(*store, "removed"));
    return {};
  }

  // Whether a notice from behind that entry named the code.
  Result<bool> NotifiedBehind(Position position, const std::string& code) const {
    const auto stored = store->Get(kNotified, code);
    if (stored.status().code() == Code::kNotFound) return false;
    RETURN_IF_ERROR(stored.status());
    if (stored->size() != 8) return Corrupt("the place of a notice has the wrong size");
    return Position(ReadU64(*stored)) > position;
  }

  // Of this prefecture's residents or another's.
  Result<v1::HeldCopy> Find(const std::string& code) const {
    auto stored = store->Get(kRows, code);
    if (stored.status().code() == Code::kNotFound) stored = store->Get(kOthers, code);
    RETURN_IF_ERROR(stored.status());
    return DecodeRow(*stored);
  }

  Result<std::set<std::string>> Candidates(const v1::SearchCondition& condition, const Query& query) const {
    std::set<std::string> out;
    if (!condition.resident_code().empty()) return std::set<std::string>{condition.resident_code()};
    const auto add = [&](Family family, const std::string& prefix) -> Status {
      auto it = store->NewIterator(family);
      for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
        out.emplace(it.key().substr(it.key().size() - kResidentCodeDigits));
        if (out.size() > kCandidatesMax) return Invalid("condition: 該当しうる者が多すぎます。条件を加えてください");
      }
      return it.status();
    };
    if (!condition.individual_number().empty()) {
      RETURN_IF_ERROR(add(kNumbers, condition.individual_number()));
      return out;
    }
    for (const std::string& prefix : query.NamePrefixes()) RETURN_IF_ERROR(add(kNames, prefix));
    return out;
  }
};

KikouHolding::KikouHolding(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KikouHolding::~KikouHolding() = default;

Result<std::unique_ptr<KikouHolding>> KikouHolding::Open(const std::string& dir, const std::optional<CopyKey>& copy_key) {
  auto impl = std::make_unique<Impl>();
  StoreOptions options;
  options.path = dir;
  options.families = kFamilies;
  RETURN_IF_ERROR(MakeDirectories(dir));
  ASSIGN_OR_RETURN(impl->store, Store::Open(options));
  RETURN_IF_ERROR(impl->Load());
  RETURN_IF_ERROR(impl->LoadCopy(copy_key));
  return std::unique_ptr<KikouHolding>(new KikouHolding(std::move(impl)));
}

Result<v1::HeldCopy> KikouHolding::Find(const std::string& resident_code) const { return impl_->Find(resident_code); }

Status KikouHolding::ForEach(const std::function<Status(const v1::HeldCopy&)>& row) const {
  auto it = impl_->store->NewIterator(kRows);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const v1::HeldCopy held, DecodeRow(it.value()));
    RETURN_IF_ERROR(row(held));
  }
  return it.status();
}

KikouHolding::Counts KikouHolding::counts() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->counts;
}
Result<std::uint64_t> KikouHolding::messages() const {
  std::uint64_t out = 0;
  auto it = impl_->store->NewIterator(kAcks);
  for (it.SeekToFirst(); it.Valid(); it.Next()) ++out;
  RETURN_IF_ERROR(it.status());
  return out;
}
std::string KikouHolding::ledger() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->ledger;
}
Position KikouHolding::next() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->next;
}

Result<std::vector<v1::HeldCopy>> KikouHolding::Match(const v1::SearchCondition& condition, std::size_t max) const {
  if (condition.name_match() == v1::NAME_MATCH_INFIX) return Invalid("condition.name_match: 部分一致では照会できません");
  if (condition.former()) return Invalid("condition.former: 過去の氏名・住所では照会できません");
  ASSIGN_OR_RETURN(const Query query, Query::Of(*impl_->matching, condition));
  ASSIGN_OR_RETURN(const std::set<std::string> candidates, impl_->Candidates(condition, query));
  std::vector<v1::HeldCopy> out;
  for (const std::string& code : candidates) {
    auto row = impl_->Find(code);
    if (row.status().code() == Code::kNotFound) continue;
    RETURN_IF_ERROR(row.status());
    if (query.Fits(*row)) out.push_back(*std::move(row));
    if (out.size() >= max) break;
  }
  return out;
}

Result<KikouHolding::Taken> KikouHolding::Take(
    const kikou::Notices& notices, const Digest& digest, TimeMicros now,
    const std::function<Result<std::string>(const kikou::Acknowledgement&)>& sign) {
  RETURN_IF_ERROR(CheckNotices(notices));
  const auto change = Begin();
  if (!impl_->ledger.empty() && impl_->ledger != notices.ledger()) return Invalid("ledger: another is known here");
  Taken out;
  out.expected = impl_->next;
  if (notices.first_position() != impl_->next.value()) {
    auto stored = impl_->store->Get(kAcks, Number(notices.first_position()));
    if (stored.ok()) out.acknowledgement = *std::move(stored);
    if (stored.status().code() != Code::kNotFound) RETURN_IF_ERROR(stored.status());
    return out;
  }
  kikou::Acknowledgement ack;
  ack.set_version(kVersion);
  ack.set_ledger(notices.ledger());
  ack.set_first_position(notices.first_position());
  ack.set_last_position(notices.last_position());
  ack.set_notice_count(static_cast<std::uint64_t>(notices.notices_size()));
  ack.set_message_digest(std::string(View(digest)));
  ack.set_received_at(now.value());
  ASSIGN_OR_RETURN(Change::Pending pending, change->pending());
  const Change::Pending pending_before = pending;
  v1::UpdateNotice notice;
  for (const kikou::Notice& each : notices.notices()) {
    if (const auto why = Refuses(each.notice(), notice)) {
      AddRefusal(each.position(), *why, *ack.add_refused());
    } else if (pending.lost > 0) {
      --pending.lost;
      change->Tell("{\"kind\":\"lose\",\"resident_code\":\"" + notice.resident_code() + "\",\"position\":" +
                   std::to_string(each.position()) + "}");
    } else if (pending.delayed > 0) {
      --pending.delayed;
      change->Hold(each);
      change->Tell("{\"kind\":\"delay\",\"resident_code\":\"" + notice.resident_code() + "\",\"position\":" +
                   std::to_string(each.position()) + "}");
    } else {
      RETURN_IF_ERROR(change->Apply(each, notice));
    }
  }
  if (pending.lost != pending_before.lost || pending.delayed != pending_before.delayed) change->SetPending(pending);
  ASSIGN_OR_RETURN(out.acknowledgement, sign(ack));
  out.expected = Position(notices.last_position() + 1);
  change->batch().Put(kAcks, Number(notices.first_position()), *out.acknowledgement);
  change->batch().Put(kMeta, "ledger", notices.ledger());
  change->batch().Put(kMeta, "next", Number(out.expected.value()));
  RETURN_IF_ERROR(change->Write());
  impl_->ledger = notices.ledger();
  impl_->next = out.expected;
  return out;
}

Result<kikou::Corrected> KikouHolding::Correct(const kikou::Corrections& corrections) {
  RETURN_IF_ERROR(CheckCorrections(corrections));
  const auto change = Begin();
  if (impl_->ledger.empty() || impl_->ledger != corrections.ledger()) return Invalid("ledger: another is known here");
  kikou::Corrected out;
  v1::UpdateNotice notice;
  for (const kikou::Notice& each : corrections.notices()) {
    if (const auto why = Refuses(each.notice(), notice)) {
      AddRefusal(each.position(), *why, *out.add_refused());
      continue;
    }
    // What came since is newer than the comparison: it stands.
    ASSIGN_OR_RETURN(const bool later, impl_->NotifiedBehind(Position(corrections.position()), notice.resident_code()));
    if (!later) RETURN_IF_ERROR(change->Correct(notice, each.notice()));
    out.set_taken(out.taken() + 1);
  }
  for (const std::string& code : corrections.absent()) {
    ASSIGN_OR_RETURN(const bool later, impl_->NotifiedBehind(Position(corrections.position()), code));
    if (!later) RETURN_IF_ERROR(change->Remove(code));
  }
  out.set_taken(out.taken() + static_cast<std::uint64_t>(corrections.absent_size()));
  RETURN_IF_ERROR(change->Write());
  return out;
}

Result<KikouHolding::Copy> KikouHolding::TakeCopy() const {
  // Nothing is written while it is held: items, rows and fingerprint are of one moment.
  const std::lock_guard lock(impl_->mutex);
  if (!impl_->copy) return Denied("no copy is compared here: there is no key for it");
  if (impl_->ledger.empty()) return Invalid("ledger: none is known here yet");
  return Copy(*impl_->store, Position(impl_->next.value() - 1), *impl_->copy);
}

Status KikouHolding::ReplaceOthers(const std::string& from,
                                   const std::function<Result<std::vector<v1::HeldCopy>>()>& make) {
  const std::lock_guard lock(impl_->mutex);
  Store& store = *impl_->store;
  if (const auto stored = store.Get(kMeta, "others"); stored.ok() && *stored == from) return {};
  ASSIGN_OR_RETURN(const std::vector<v1::HeldCopy> others, make());
  StoreBatch batch;
  batch.Delete(kMeta, "others");
  auto it = store.NewIterator(kOthers);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const v1::HeldCopy row, DecodeRow(it.value()));
    for (const auto& [family, key] : IndexKeys(*impl_->matching, row)) batch.Delete(family, key);
    batch.Delete(kOthers, it.key());
  }
  RETURN_IF_ERROR(it.status());
  std::size_t pending = 0;
  for (const v1::HeldCopy& row : others) {
    // Whom the prefecture has notified is no other's resident.
    if (store.Get(kRows, row.resident_code()).ok()) continue;
    for (const auto& [family, key] : IndexKeys(*impl_->matching, row)) batch.Put(family, key, "");
    batch.Put(kOthers, row.resident_code(), row.SerializeAsString());
    if (++pending < kOthersPerBatch) continue;
    RETURN_IF_ERROR(store.Write(batch, false));
    batch.Clear();
    pending = 0;
  }
  batch.Put(kMeta, "others", from);
  return store.Write(batch, true);
}

std::unique_ptr<KikouHolding::Change> KikouHolding::Begin() { return std::make_unique<Change>(*this); }

// --- Copy --------------------------------------------------------------------------------------------------------

KikouHolding::Copy::Copy(const Store& store, Position position, const CopyFingerprint& fingerprint)
    : position_(position),
      fingerprint_(fingerprint),
      items_(store.NewIterator(kCopies)),
      rows_(store.NewIterator(kRows)) {}

Status KikouHolding::Copy::Scan(std::uint64_t first, std::uint64_t last,
                                const std::function<Status(const CopyItem&)>& take) {
  for (items_.Seek(Number(first)); items_.Valid(); items_.Next()) {
    ASSIGN_OR_RETURN(const CopyItem item, ItemAt(items_));
    if (item.code >= last) return {};
    RETURN_IF_ERROR(take(item));
  }
  return items_.status();
}

Result<std::optional<v1::HeldCopy>> KikouHolding::Copy::Row(std::uint64_t code) {
  std::optional<v1::HeldCopy> out;
  RETURN_IF_ERROR(Rows(code, [&](v1::HeldCopy row) {
    if (CodeOf(row.resident_code()) == code) out = std::move(row);
    return false;
  }));
  return out;
}

Status KikouHolding::Copy::Rows(std::uint64_t first, const std::function<bool(v1::HeldCopy)>& take) {
  for (rows_.Seek(CodeText(first)); rows_.Valid(); rows_.Next()) {
    ASSIGN_OR_RETURN(v1::HeldCopy row, DecodeRow(rows_.value()));
    if (!take(std::move(row))) return {};
  }
  return rows_.status();
}

// --- Change ------------------------------------------------------------------------------------------------------

KikouHolding::Change::Change(KikouHolding& holding) : impl_(*holding.impl_), lock_(impl_.mutex) {}

Result<KikouHolding::Change::Both*> KikouHolding::Change::Row(const std::string& code) {
  const auto [found, fresh] = rows_.try_emplace(code);
  if (!fresh) return &found->second;
  const auto stored = impl_.store->Get(kRows, code);
  if (stored.status().code() == Code::kNotFound) return &found->second;
  RETURN_IF_ERROR(stored.status());
  ASSIGN_OR_RETURN(found->second.before, DecodeRow(*stored));
  found->second.after = found->second.before;
  return &found->second;
}

Result<v1::HeldCopy> KikouHolding::Change::Find(const std::string& code) {
  ASSIGN_OR_RETURN(Both * row, Row(code));
  if (!row->after) return NotFound("no such row");
  return *row->after;
}

Status KikouHolding::Change::Put(v1::HeldCopy row) {
  ASSIGN_OR_RETURN(Both * both, Row(row.resident_code()));
  both->after = std::move(row);
  return {};
}

Status KikouHolding::Change::Remove(const std::string& code) {
  ASSIGN_OR_RETURN(Both * both, Row(code));
  both->after.reset();
  return {};
}

std::string KikouHolding::Change::Newest(const std::string& code) {
  std::string out = code;
  for (;;) {
    std::string next;
    if (const auto changed = former_.find(out); changed != former_.end()) {
      next = changed->second.value_or("");
    } else if (const auto stored = impl_.store->Get(kFormer, out); stored.ok()) {
      next = *stored;
    }
    if (next.empty()) return out;
    out = std::move(next);
  }
}

Status KikouHolding::Change::Keep(const v1::UpdateNotice& notice, const std::string& bytes) {
  const std::string& code = notice.resident_code();
  history_[HistoryKey(code, notice.update_number())] = bytes;
  const std::string& former = notice.former_resident_code();
  if (former.empty() || former == code) return {};
  RETURN_IF_ERROR(Remove(former));
  former_[former] = code;
  former_[code] = std::nullopt;
  return {};
}

Status KikouHolding::Change::Correct(const v1::UpdateNotice& notice, const std::string& bytes) {
  RETURN_IF_ERROR(Keep(notice, bytes));
  // It is nobody's former code, whatever was notified before.
  former_[notice.resident_code()] = std::nullopt;
  return Put(HeldRow(notice));
}

Status KikouHolding::Change::Apply(const kikou::Notice& notified, const v1::UpdateNotice& notice) {
  const std::string& code = notice.resident_code();
  RETURN_IF_ERROR(Keep(notice, notified.notice()));
  for (const std::string* named : {&code, &notice.former_resident_code()}) {
    if (!named->empty()) batch_.Put(kNotified, *named, Number(notified.position()));
  }
  // A late notice may still name the person by a former code.
  const std::string newest = Newest(code);
  const auto standing = Find(newest);
  if (standing.ok() && standing->update_number() > notice.update_number()) return {};
  if (standing.status().code() != Code::kNotFound) RETURN_IF_ERROR(standing.status());
  if (newest != code) RETURN_IF_ERROR(Remove(newest));
  return Put(HeldRow(notice));
}

Result<std::vector<std::string>> KikouHolding::Change::Codes() const {
  std::vector<std::string> out;
  auto it = impl_.store->NewIterator(kRows);
  for (it.SeekToFirst(); it.Valid(); it.Next()) out.emplace_back(it.key());
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<v1::UpdateNotice> KikouHolding::Change::Before(const std::string& code, std::uint32_t update_number) const {
  auto it = impl_.store->NewIterator(kHistory);
  if (update_number == 0) return NotFound("no earlier notice");
  it.SeekForPrev(HistoryKey(code, update_number - 1));
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || !it.key().starts_with(code)) return NotFound("no earlier notice");
  v1::UpdateNotice out;
  if (!out.ParseFromArray(it.value().data(), static_cast<int>(it.value().size()))) {
    return Corrupt("a notice of the history cannot be decoded");
  }
  return out;
}

Result<KikouHolding::Change::Pending> KikouHolding::Change::pending() const {
  const auto stored = impl_.store->Get(kMeta, "pending");
  if (stored.status().code() == Code::kNotFound) return Pending();
  RETURN_IF_ERROR(stored.status());
  if (stored->size() != 16) return Corrupt("pending has the wrong size");
  return Pending{ReadU64(*stored), ReadU64(std::string_view(*stored).substr(8))};
}

void KikouHolding::Change::SetPending(const Pending& pending) {
  batch_.Put(kMeta, "pending", Number(pending.lost) + Number(pending.delayed));
}

void KikouHolding::Change::Hold(const kikou::Notice& notice) {
  batch_.Put(kHeld, Number(notice.position()), notice.SerializeAsString());
}

Result<std::vector<kikou::Notice>> KikouHolding::Change::Release() {
  std::vector<kikou::Notice> out;
  auto it = impl_.store->NewIterator(kHeld);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    if (!out.emplace_back().ParseFromArray(it.value().data(), static_cast<int>(it.value().size()))) {
      return Corrupt("a held notice cannot be decoded");
    }
    batch_.Delete(kHeld, it.key());
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<std::vector<KikouHolding::Change::ItemChange>> KikouHolding::Change::ChangeItems() {
  std::vector<ItemChange> out;
  if (!impl_.copy) return out;
  for (const auto& [code, row] : rows_) {
    ItemChange item;
    item.code = CodeOf(code);
    if (row.before) {
      const auto stored = impl_.store->Get(kCopies, Number(item.code));
      if (stored.status().code() == Code::kNotFound) return Corrupt("a row has no item");
      RETURN_IF_ERROR(stored.status());
      ASSIGN_OR_RETURN(item.before, ToArray<32>(*stored));
    }
    if (row.after) item.after = impl_.copy->keying().Item(*row.after).mac;
    if (item.before == item.after) continue;
    item.after ? batch_.Put(kCopies, Number(item.code), View(*item.after)) : batch_.Delete(kCopies, Number(item.code));
    out.push_back(item);
  }
  return out;
}

Status KikouHolding::Change::Write() {
  ASSIGN_OR_RETURN(const std::vector<ItemChange> items, ChangeItems());
  Counts counts = impl_.counts;
  for (const auto& [code, row] : rows_) {
    if (!row.before && !row.after) continue;
    const auto before = row.before ? IndexKeys(*impl_.matching, *row.before) : std::set<IndexKey>();
    const auto after = row.after ? IndexKeys(*impl_.matching, *row.after) : std::set<IndexKey>();
    for (const IndexKey& key : before) {
      if (!after.contains(key)) batch_.Delete(key.first, key.second);
    }
    for (const IndexKey& key : after) {
      if (!before.contains(key)) batch_.Put(key.first, key.second, "");
    }
    if (row.before) --(row.before->removed() ? counts.removed : counts.residents);
    if (row.after) ++(row.after->removed() ? counts.removed : counts.residents);
    if (!row.after) {
      batch_.Delete(kRows, code);
      continue;
    }
    batch_.Put(kRows, code, row.after->SerializeAsString());
    if (row.before) continue;
    // Who moved in from another prefecture.
    const auto other = impl_.store->Get(kOthers, code);
    if (!other.ok()) continue;
    ASSIGN_OR_RETURN(const v1::HeldCopy left, DecodeRow(*other));
    for (const IndexKey& key : IndexKeys(*impl_.matching, left)) {
      if (!after.contains(key)) batch_.Delete(key.first, key.second);
    }
    batch_.Delete(kOthers, code);
  }
  for (const auto& [key, notice] : history_) batch_.Put(kHistory, key, notice);
  for (const auto& [code, now] : former_) {
    now ? batch_.Put(kFormer, code, *now) : batch_.Delete(kFormer, code);
  }
  if (!told_.empty()) {
    auto it = impl_.store->NewIterator(kDriftLog);
    it.SeekToLast();
    std::uint64_t number = it.Valid() ? ReadU64(it.key()) + 1 : 0;
    for (const std::string& line : told_) batch_.Put(kDriftLog, Number(number++), line);
  }
  batch_.Put(kMeta, "rows", Number(counts.residents));
  batch_.Put(kMeta, "removed", Number(counts.removed));
  RETURN_IF_ERROR(impl_.store->Write(batch_, true));
  impl_.counts = counts;
  for (const ItemChange& item : items) {
    if (item.before) impl_.copy->Remove({item.code, *item.before});
    if (item.after) impl_.copy->Add({item.code, *item.after});
  }
  return {};
}

}  // namespace daicho
