#include "projections/record_file.h"

#include <algorithm>
#include <limits>

#include "events/notice_rules.h"

namespace daicho {
namespace {

// On disk. Never renumber.
constexpr char kVersionFormat = 2;

std::string VersionedKey(std::string_view name, Position position) {
  std::string key(name);
  AppendU64(key, ~position.value());
  return key;
}

std::string SlotKey(KeySlot slot) {
  std::string key;
  AppendU64(key, slot.value());
  return key;
}

Position PositionOf(std::string_view key) { return Position(~ReadU64(key.substr(key.size() - 8))); }

Result<KeySlot> DecodeSlot(std::string_view bytes) {
  if (bytes.size() != 8) return Corrupt("stored slot has the wrong size");
  return KeySlot(ReadU64(bytes));
}

constexpr std::size_t kFixed = 35;  // bytes of a version before its issuer

// format(1) ‖ effect(1) ‖ admitted_at(8) ‖ sequence(8) ‖ handle(16) ‖ issuer length(1) ‖ issuer ‖ UpdateNotice
void EncodeVersion(const Version& version, std::string_view payload, std::string& out) {
  out.clear();
  out.push_back(kVersionFormat);
  out.push_back(static_cast<char>(version.effect));
  AppendU64(out, static_cast<std::uint64_t>(version.admitted_at.value()));
  AppendU64(out, version.sequence.value());
  out.append(View(version.handle));
  out.push_back(static_cast<char>(version.issuer.size()));
  out.append(version.issuer);
  out.append(payload);
}

v1::Effect EffectOf(std::string_view value) {
  return value.size() < 2 ? v1::EFFECT_NONE : static_cast<v1::Effect>(value[1]);
}

}  // namespace

const std::vector<std::string>& RecordFile::Families() {
  static const std::vector<std::string> families = {"meta",  "versions", "codes",  "numbers", "handles",
                                                    "times", "due",      "erased", "orphans",
                                                    "search_names", "search_given", "search_people",
                                                    "search_addresses", "search_parts",
                                                    "provision_events", "provision_references", "provision_asked",
                                                    "provision_deliveries", "provision_receipts", "provision_given",
                                                    "provision_standing", "provision_suspensions",
                                                    "matters", "copies", "kikou", "consistency"};
  return families;
}

Result<Position> RecordFile::AtEndOf(Date day) const { return AtTime(EndOfDay(day)); }

Result<Position> RecordFile::AtTime(TimeMicros time) const {
  std::string key;
  AppendU64(key, static_cast<std::uint64_t>(time.value()));
  auto it = store_.NewIterator(kTimes);
  it.SeekForPrev(key);
  RETURN_IF_ERROR(it.status());
  if (!it.Valid()) return NotFound("the ledger held nothing yet then");
  return Position(ReadU64(it.value()));
}

Result<KeySlot> RecordFile::FindVersioned(Family family, const std::string& key, Position at) const {
  auto it = store_.NewIterator(family);
  it.Seek(VersionedKey(key, at));
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || it.key().size() != key.size() + 8 || !it.key().starts_with(key)) {
    return NotFound("no such resident");
  }
  return DecodeSlot(it.value());
}

Result<KeySlot> RecordFile::FindByResidentCode(const std::string& code, Position at) const {
  return FindVersioned(kCodes, code, at);
}

Result<KeySlot> RecordFile::FindByIndividualNumber(const std::string& number, Position at) const {
  return FindVersioned(kNumbers, number, at);
}

Result<KeySlot> RecordFile::FindByHandle(const SubjectHandle& handle) const {
  auto slot = store_.Get(kHandles, View(handle));
  if (slot.status().code() == Code::kNotFound) return NotFound("no such resident");
  RETURN_IF_ERROR(slot.status());
  return DecodeSlot(*slot);
}

Result<Version> RecordFile::Read(KeySlot subject, Position at, std::optional<Date> on) const {
  auto it = store_.NewIterator(kVersions);
  return Read(it, subject, at, on);
}

Result<Version> RecordFile::Read(StoreIterator& it, KeySlot subject, Position at, std::optional<Date> on) {
  const std::string slot = SlotKey(subject);
  const std::string day = on ? FormatDate(*on) : "";
  std::vector<std::uint32_t> cancelled;
  std::vector<Version> late;  // removals met before the place where they would have stood
  const auto held = [&](const Version& version) {
    const v1::UpdateNotice& notice = version.notice;
    const bool is_void =
        std::find(cancelled.begin(), cancelled.end(), notice.update_number()) != cancelled.end();
    if (notice.cancels() != 0) cancelled.push_back(notice.cancels());
    return !is_void && (!on || notice.changed_on() <= day);
  };
  // Newest first, and so by falling 更新順番号 but for the late removals: those wait for their number's turn.
  for (it.Seek(VersionedKey(slot, at)); it.Valid() && it.key().starts_with(slot); it.Next()) {
    auto decoded = record_file::DecodeVersion(it.key(), it.value());
    RETURN_IF_ERROR(decoded.status());
    Version& version = *decoded;
    if (version.effect == v1::EFFECT_REMOVED_LATE) {
      late.push_back(std::move(version));
      continue;
    }
    for (auto waiting = late.begin(); waiting != late.end();) {
      if (waiting->notice.update_number() < version.notice.update_number()) {
        ++waiting;
        continue;
      }
      if (held(*waiting)) return std::move(*waiting);
      waiting = late.erase(waiting);
    }
    if (held(version)) return decoded;
  }
  RETURN_IF_ERROR(it.status());
  return NotFound("no record of the resident then");
}

Result<std::vector<Version>> RecordFile::VersionsOf(StoreIterator& it, KeySlot subject, Position at) {
  const std::string slot = SlotKey(subject);
  std::vector<Version> out;
  for (it.Seek(VersionedKey(slot, at)); it.Valid() && it.key().starts_with(slot); it.Next()) {
    ASSIGN_OR_RETURN(Version version, record_file::DecodeVersion(it.key(), it.value()));
    out.push_back(std::move(version));
  }
  RETURN_IF_ERROR(it.status());
  std::ranges::reverse(out);
  return out;
}

Result<std::vector<Version>> RecordFile::History(KeySlot subject, Position at) const {
  auto it = store_.NewIterator(kVersions);
  ASSIGN_OR_RETURN(std::vector<Version> out, VersionsOf(it, subject, at));
  if (out.empty()) return NotFound("no record of the resident then");
  std::ranges::sort(out, {}, [](const Version& version) { return version.notice.update_number(); });
  return out;
}

Result<RecordCounts> RecordFile::Counts() const {
  ASSIGN_OR_RETURN(const std::string bytes, store_.Get(kMeta, "counts"));
  if (bytes.size() != 32) return Corrupt("stored counts have the wrong size");
  const std::string_view in(bytes);
  return RecordCounts{ReadU64(in), ReadU64(in.substr(8)), ReadU64(in.substr(16)), ReadU64(in.substr(24))};
}

Result<Digest> RecordFile::ContentDigest() const {
  ASSIGN_OR_RETURN(const std::string bytes, store_.Get(kMeta, "digest"));
  ASSIGN_OR_RETURN(const LtHash digest, LtHash::Decode(bytes));
  return digest.Fingerprint();
}

namespace record_file {

std::string EncodeKey(const Key& key) { return VersionedKey(SlotKey(key.subject), key.position); }

Result<Key> DecodeKey(std::string_view key) {
  if (key.size() != 16) return Corrupt("key of a stored version has the wrong size");
  return Key{KeySlot(ReadU64(key)), PositionOf(key)};
}

Result<Version> DecodeVersion(std::string_view key, std::string_view value) {
  if (value.size() < kFixed || value[0] != kVersionFormat) return Corrupt("stored version cannot be decoded");
  const auto issuer = static_cast<std::size_t>(static_cast<std::uint8_t>(value[kFixed - 1]));
  if (value.size() < kFixed + issuer) return Corrupt("stored version cannot be decoded");
  Result<Version> decoded{Version()};  // in place: a version is dear to move
  Version& out = *decoded;
  out.position = PositionOf(key);
  out.effect = EffectOf(value);
  out.admitted_at = TimeMicros(static_cast<std::int64_t>(ReadU64(value.substr(2))));
  out.sequence = Sequence(ReadU64(value.substr(10)));
  ASSIGN_OR_RETURN(out.handle, ToArray<16>(value.substr(18, 16)));
  out.issuer = value.substr(kFixed, issuer);
  const std::string_view notice = NoticeBytes(value);
  if (!out.notice.ParseFromArray(notice.data(), static_cast<int>(notice.size()))) {
    return Corrupt("stored notice cannot be decoded");
  }
  return decoded;
}

std::string_view NoticeBytes(std::string_view value) {
  return value.substr(kFixed + static_cast<std::uint8_t>(value[kFixed - 1]));
}

void AddContent(LtHash& content, std::string_view issuer, std::string_view notice) {
  content.Add({"daicho/record-version/1\n", issuer, "\n", notice});
}

std::string_view Writer::Versioned(std::string_view name, Position position) {
  key_.assign(name);
  AppendU64(key_, ~position.value());
  return key_;
}

void Writer::PutVersion(const Version& version, KeySlot subject, std::string_view payload, bool first) {
  const v1::UpdateNotice& notice = version.notice;
  std::string slot_bytes;
  AppendU64(slot_bytes, subject.value());
  EncodeVersion(version, payload, value_);
  put_(RecordFile::kVersions, Versioned(slot_bytes, version.position), value_);
  if (first) put_(RecordFile::kHandles, View(version.handle), slot_bytes);
  const auto find_by = [&](Family family, const std::string& name) {
    if (!name.empty()) put_(family, Versioned(name, version.position), slot_bytes);
  };
  // A change repeats the former number: the notices that told it may be gone.
  if (first || ChangesCode(notice.reason())) {
    find_by(RecordFile::kCodes, notice.resident_code());
    find_by(RecordFile::kCodes, notice.former_resident_code());
  }
  if (first || ChangesNumber(notice.reason())) {
    find_by(RecordFile::kNumbers, notice.record().individual_number());
    find_by(RecordFile::kNumbers, notice.former_individual_number());
  }
}

void Writer::PutTime(TimeMicros admitted_at, Position last) {
  key_.clear();
  value_.clear();
  AppendU64(key_, static_cast<std::uint64_t>(admitted_at.value()));
  AppendU64(value_, last.value());
  put_(RecordFile::kTimes, key_, value_);
}

void Writer::PutOrphan(KeySlot slot, bool is_one) {
  if (is_one) {
    put_(RecordFile::kOrphans, SlotKey(slot), {});
  } else {
    delete_(RecordFile::kOrphans, SlotKey(slot));
  }
}

std::string EncodeCounts(const RecordCounts& counts) {
  std::string out;
  AppendU64(out, counts.residents);
  AppendU64(out, counts.removed);
  AppendU64(out, counts.versions);
  AppendU64(out, counts.awaiting_removal);
  return out;
}

void Count(v1::Effect effect, bool erased, RecordCounts& counts) {
  switch (effect) {
    case v1::EFFECT_ENTERED: ++counts.residents; break;
    case v1::EFFECT_REVIVED: ++counts.residents; --counts.removed; break;
    case v1::EFFECT_REMOVED: --counts.residents; ++counts.removed; break;
    case v1::EFFECT_MOVED_AHEAD: ++counts.awaiting_removal; break;
    case v1::EFFECT_REMOVED_LATE: --counts.awaiting_removal; break;
    case v1::EFFECT_AMENDED: break;
    default: return;
  }
  if (!erased) ++counts.versions;
}

}  // namespace record_file

}  // namespace daicho
