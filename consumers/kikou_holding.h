// What the stand-in for 機構 holds: a row for every resident that it was notified of, and residents of other prefectures.
// Fed by notices alone, and by what is made to go wrong (kikou_drift.h).
//
//   family    key (big-endian)                        value
//   rows      住民票コード(11)                          HeldCopy, all fields
//   others    住民票コード(11)                          HeldCopy: of residents of other prefectures
//   history   住民票コード(11) ‖ update_number(4)       UpdateNotice
//   former    former 住民票コード(11)                   the one that took its place
//   numbers   個人番号(12) ‖ 住民票コード(11)            nothing
//   names     'n' or 'k' ‖ folded ‖ 0 ‖ 住民票コード     nothing; n: a name, k: a reading (projections/matching.h)
//   acks      first_position(8)                       the signed Acknowledgement, exact bytes
//   held      position(8)                             Notice: a drift delays it
//   notified  住民票コード(11)                          position(8) of the last notice that named it
//   drift     number(8)                               a JSON line: what went wrong
//   copies    住民票コード(8, a number)                 mac(32) of the row, while there is a key (projections/copy_item.h)
//   meta      "ledger", "next", "rows", "removed", "others", "pending", "copy_key" (whose the macs are)
//
// The standing row is that of the notice with the highest 更新順番号; one with a lower number goes to the history only. A
// change of the 住民票コード moves the row. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "consumers/kikou_line.pb.h"
#include "events/consistency.pb.h"
#include "events/event.h"
#include "ledger/store.h"
#include "projections/copy_fingerprint.h"
#include "projections/matching.h"

namespace daicho {

class KikouHolding {
 public:
  // With a key its rows are kept as a copy to be compared; under another one than last time that takes a reading of all of
  // them. Errors: kUnavailable when another process has it.
  static Result<std::unique_ptr<KikouHolding>> Open(const std::string& dir, const std::optional<CopyKey>& copy_key = {});
  ~KikouHolding();
  KikouHolding(const KikouHolding&) = delete;

  struct Counts {
    std::uint64_t residents = 0, removed = 0;
  };

  // The row that stands under a 住民票コード. Errors: kNotFound.
  Result<v1::HeldCopy> Find(const std::string& resident_code) const;
  // Every row of the prefecture's residents, by 住民票コード, as of one moment; stops at the first error.
  Status ForEach(const std::function<Status(const v1::HeldCopy&)>& row) const;
  Counts counts() const;
  // How many messages it has acknowledged. Costs as many steps.
  Result<std::uint64_t> messages() const;
  // The ledger that it is fed by, empty until the first notices; where the next ones begin.
  std::string ledger() const;
  Position next() const;

  struct Taken {
    std::optional<std::string> acknowledgement;  // signed; none: the message does not begin where it should
    Position expected;                           // then: where the next one begins
  };
  // Takes the notices, once; durable with their acknowledgement when it returns. `sign` makes the signed bytes.
  // Errors: kInvalid with the field and its rule, then nothing has changed.
  Result<Taken> Take(const kikou::Notices& notices, const Digest& digest, TimeMicros now,
                     const std::function<Result<std::string>(const kikou::Acknowledgement&)>& sign);

  // Persons who match: all of their rows, at most `max`, removed ones and those of other prefectures too. Requires: a
  // number, a name or a reading. Errors: kInvalid in Japanese with the field and its rule.
  Result<std::vector<v1::HeldCopy>> Match(const v1::SearchCondition& condition, std::size_t max) const;

  // Takes these in place of all residents of other prefectures that it held. `from` names where they come from: the
  // same again changes nothing.
  Status ReplaceOthers(const std::string& from, const std::function<Result<std::vector<v1::HeldCopy>>()>& make);

  // What is to stand after a comparison, once or again. Durable when it returns. Errors: kInvalid with
  // the field and its rule, then nothing has changed.
  Result<kikou::Corrected> Correct(const kikou::Corrections& corrections);

  // The prefecture's residents as they stand now. Errors: kDenied without a copy key; kInvalid before the first notices.
  class Copy;
  Result<Copy> TakeCopy() const;

  // Rows as they change, to be written at once. One at a time: it holds the lock.
  class Change;
  std::unique_ptr<Change> Begin();

 private:
  struct Impl;
  explicit KikouHolding(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The rows as they stood at one moment. It keeps the store as it was: not for long, and not beyond the holding. Belongs to
// one thread at a time.
class KikouHolding::Copy {
 public:
  // The last entry of the prefecture's ledger that it was notified of.
  Position position() const { return position_; }
  const CopyFingerprint& fingerprint() const { return fingerprint_; }
  // As a CopyScan.
  Status Scan(std::uint64_t first, std::uint64_t last, const std::function<Status(const CopyItem&)>& take);
  Result<std::optional<v1::HeldCopy>> Row(std::uint64_t code);
  // The rows from `first` on by ascending 住民票コード, while `take` takes them.
  Status Rows(std::uint64_t first, const std::function<bool(v1::HeldCopy)>& take);

 private:
  friend class KikouHolding;
  Copy(const Store& store, Position position, const CopyFingerprint& fingerprint);

  Position position_;
  CopyFingerprint fingerprint_;
  StoreIterator items_, rows_;
};

class KikouHolding::Change {
 public:
  explicit Change(KikouHolding& holding);

  // As changed so far. Errors: kNotFound.
  Result<v1::HeldCopy> Find(const std::string& resident_code);
  Status Put(v1::HeldCopy row);
  Status Remove(const std::string& resident_code);
  // What an admitted notice does. `notice`: what `notified` says.
  Status Apply(const kikou::Notice& notified, const v1::UpdateNotice& notice);
  // Its row stands now, whatever stood there.
  Status Correct(const v1::UpdateNotice& notice, const std::string& bytes);
  // Every 住民票コード that has a row in the store, ascending.
  Result<std::vector<std::string>> Codes() const;
  // The newest notice of that code with a lower number. Errors: kNotFound.
  Result<v1::UpdateNotice> Before(const std::string& resident_code, std::uint32_t update_number) const;
  // Lines told so far go to the drift log with the change.
  void Tell(std::string json_line) { told_.push_back(std::move(json_line)); }
  const std::vector<std::string>& told() const { return told_; }
  // How many coming notices are to be lost, or delayed.
  struct Pending {
    std::uint64_t lost = 0, delayed = 0;
  };
  Result<Pending> pending() const;
  void SetPending(const Pending& pending);
  void Hold(const kikou::Notice& notice);
  // What was held, by position; held no longer.
  Result<std::vector<kikou::Notice>> Release();

  StoreBatch& batch() { return batch_; }
  // Durable on return. At most once.
  Status Write();

 private:
  struct Both {
    std::optional<v1::HeldCopy> before, after;
  };
  struct ItemChange {
    std::uint64_t code = 0;
    std::optional<Digest> before, after;
  };
  Result<Both*> Row(const std::string& resident_code);
  // The notice itself, and that its code took the place of a former one.
  Status Keep(const v1::UpdateNotice& notice, const std::string& bytes);
  // What the copy's items become by the rows; into the batch too.
  Result<std::vector<ItemChange>> ChangeItems();
  std::string Newest(const std::string& resident_code);  // the code that took its place, or itself

  KikouHolding::Impl& impl_;
  std::unique_lock<std::mutex> lock_;
  StoreBatch batch_;
  std::map<std::string, Both> rows_;                            // by 住民票コード
  std::map<std::string, std::optional<std::string>> former_;    // changed here; none: no longer a former one
  std::map<std::string, std::string> history_;                  // written here, by key
  std::vector<std::string> told_;
};

}  // namespace daicho
