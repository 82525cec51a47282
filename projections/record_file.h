// RecordFile: the current record of every resident (都道府県知事保存本人確認情報ファイル) and each version it
// ever had, by the ledger's position. Reading as of a position costs one seek, as reading now does.
//
//   family     key (big-endian)                     value
//   versions   slot(8) ‖ ~position(8)               Version, see record_file.cc
//   codes      住民票コード(11) ‖ ~position(8)        slot(8)
//   numbers    個人番号(12) ‖ ~position(8)            slot(8)
//   handles    handle(16)                           slot(8)
//   times      admitted_at(8)                       last position(8) admitted by then
//   due        class(1) ‖ day(4) ‖ slot(8) ‖ step(4)  counts(1) ‖ handle(16), see projections/retention.h
//   erased     slot(8)                              first living step(4), as erasures ordered
//   orphans    slot(8)                              nothing: all notices so far are erased
//   search_…                                        see projections/search_index.h
//   provision_…                                     see projections/provision_register.h
//   matters                                         see projections/matter_register.h
//   copies                                          see projections/record_copy.h
//   kikou                                           see projections/kikou_register.h
//   consistency                                     see projections/consistency_register.h
//   meta       "counts", "digest", "cursor", "building", and what LedgerReplay saves
//
// ~position sorts the newest version first: the first key at or after slot ‖ ~P is what was known at P.
// Thread-safe for reading while a Projector writes.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "events/dates.h"
#include "events/event.h"
#include "events/lthash.h"
#include "events/resident.pb.h"
#include "ledger/store.h"

namespace daicho {

struct Version {
  Position position;
  SubjectHandle handle{};    // whose it is
  TimeMicros admitted_at;
  v1::Effect effect = v1::EFFECT_NONE;
  std::string issuer;
  Sequence sequence;         // the issuer's
  v1::UpdateNotice notice;
};

struct RecordCounts {
  std::uint64_t residents = 0;
  std::uint64_t removed = 0;
  std::uint64_t versions = 0;
  std::uint64_t awaiting_removal = 0;  // moved ahead of the other municipality's removal
  friend bool operator==(const RecordCounts&, const RecordCounts&) = default;
};

class RecordFile {
 public:
  enum : Family { kMeta, kVersions, kCodes, kNumbers, kHandles, kTimes, kDue, kErased, kOrphans,
         kSearchNames, kSearchGiven, kSearchPeople, kSearchAddresses, kSearchParts,
         kProvisions, kReferences, kAsked, kDeliveries, kReceipts, kGiven, kStanding, kSuspensions, kMatters,
         kCopies, kKikou, kConsistency };
  static const std::vector<std::string>& Families();

  explicit RecordFile(const Store& store) : store_(store) {}  // borrowed

  // What the ledger knew at the end of that day: its last position then. Errors: kNotFound, nothing yet.
  Result<Position> AtEndOf(Date day) const;

  // The same of any moment. Errors: as above.
  Result<Position> AtTime(TimeMicros time) const;

  // A former code or number still finds its subject. `at`: as known after the entry at that position.
  // Errors: kNotFound.
  Result<KeySlot> FindByResidentCode(const std::string& code, Position at) const;
  Result<KeySlot> FindByIndividualNumber(const std::string& number, Position at) const;
  Result<KeySlot> FindByHandle(const SubjectHandle& handle) const;

  // The version known at `at` that held on `on` (異動年月日): of those not cancelled and changed on or before
  // that day the one of the highest 更新順番号. Without `on`: of all. Errors: kNotFound, kCorrupt.
  Result<Version> Read(KeySlot subject, Position at, std::optional<Date> on) const;
  // The same for many subjects: `versions` is an iterator over kVersions, taken once `at` was visible.
  static Result<Version> Read(StoreIterator& versions, KeySlot subject, Position at, std::optional<Date> on);
  // Every version known at `at`, in the order of 更新順番号.
  Result<std::vector<Version>> History(KeySlot subject, Position at) const;
  // Every version known at `at`, by ascending position; none for a subject that is not there.
  static Result<std::vector<Version>> VersionsOf(StoreIterator& versions, KeySlot subject, Position at);

  // Errors: kNotFound while nothing was applied.
  Result<RecordCounts> Counts() const;
  // Over every version's issuer and notice, whatever their order of arrival, handles and times.
  Result<Digest> ContentDigest() const;

 private:
  Result<KeySlot> FindVersioned(Family family, const std::string& key, Position at) const;

  const Store& store_;
};

// The projector's side: what one admitted entry puts into the record file.
namespace record_file {

// The versions of kVersions, by the slot and the falling position of their keys.
struct Key {
  KeySlot subject;
  Position position;
};
std::string EncodeKey(const Key& key);
// Errors: kCorrupt.
Result<Key> DecodeKey(std::string_view key);
Result<Version> DecodeVersion(std::string_view key, std::string_view value);
// The notice in a version's value, as its issuer sent it. Requires: DecodeVersion takes the value.
std::string_view NoticeBytes(std::string_view value);
// Takes a version into what RecordFile::ContentDigest is of.
void AddContent(LtHash& content, std::string_view issuer, std::string_view notice);

class Writer {
 public:
  using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
  using Delete = std::function<void(Family, std::string_view key)>;
  Writer(Put put, Delete erase) : put_(std::move(put)), delete_(std::move(erase)) {}
  const Put& put() const { return put_; }

  // Requires: an update entry that is no repeat, and its opened payload. `first`: of its subject's versions
  // that are left it is the first.
  void PutVersion(const Version& version, KeySlot subject, std::string_view payload, bool first);
  void PutTime(TimeMicros admitted_at, Position last);
  void PutOrphan(KeySlot slot, bool is_one);

 private:
  std::string_view Versioned(std::string_view name, Position position);

  Put put_;
  Delete delete_;
  std::string key_, value_;  // storage that serves every entry
};

std::string EncodeCounts(const RecordCounts& counts);
// Takes the effect of one entry into the counts; an erased one leaves no version.
void Count(v1::Effect effect, bool erased, RecordCounts& counts);

}  // namespace record_file

}  // namespace daicho
