// RecordCopy: the record file as one copy among others (整合性確認): of each 住民票コード the row that stands, as an item
// (projections/copy_item.h), and the fingerprint of all of them. Kept item by item as entries are applied, so that a comparison
// begins without reading the record file; as of an earlier position the latest changes are taken back, and what lies
// further back is read from the versions.
//
//   family   key        value
//   copies   slot(8)    住民票コード(8, a number) ‖ mac(32)
//
// The row that stands of a person is the notice of the highest 更新順番号 (HeldRow). A removed person has one; an erased one
// has none.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "projections/copy_fingerprint.h"
#include "projections/record_file.h"

namespace daicho {

// Whether a notice of this effect leaves a row that stands.
bool LeavesRow(v1::Effect effect);

// The copy behind one entry. It keeps the store as it was: not for long. Belongs to one thread.
class RecordCopy {
 public:
  // Of the versions in `record_file`, which is borrowed: those that `wanted` accepts, all without it. Takes a reading of all.
  static Result<RecordCopy> Gather(const Store& record_file, std::shared_ptr<const CopyKeying> keying, Position at,
                                   const std::function<bool(const v1::UpdateNotice&)>& wanted = {});

  Position position() const { return position_; }
  const CopyFingerprint& fingerprint() const { return fingerprint_; }
  // As a CopyScan. The first call reads and sorts all items: 40 bytes each, for as long as this lives.
  Status Scan(std::uint64_t first, std::uint64_t last, const std::function<Status(const CopyItem&)>& take);
  // The row that stood there. Errors: those of the store.
  Result<std::optional<v1::HeldCopy>> Row(std::uint64_t code) const;
 private:
  friend class RecordCopies;
  RecordCopy(const Store& store, Position position, CopyFingerprint fingerprint)
      : store_(&store), position_(position), fingerprint_(std::move(fingerprint)) {}
  Status ReadStored();

  const Store* store_;
  Position position_;
  CopyFingerprint fingerprint_;
  std::optional<StoreIterator> stored_;                       // none: they are read
  std::map<KeySlot, std::optional<CopyItem>> otherwise_;      // than what is stored; none: no row
  std::vector<CopyItem> items_;                               // once read: by ascending code
};

// The projector's side. Add, Flush and Publish belong to the thread that applies; Take to any.
class RecordCopies {
 public:
  RecordCopies(Store& store, std::shared_ptr<const CopyKeying> keying) : store_(store), keying_(std::move(keying)) {}

  // What the store holds behind the entries below `next`; made from the versions unless it is of this key.
  Status Load(Position next);

  // From now on entries are applied that the items do not follow: the next Load makes them anew.
  static Status Forget(Store& store);

  // Takes the row that a notice leaves, unless it stands behind a newer one. `first`: the subject has no version before it.
  Status Add(const Version& version, KeySlot subject, bool first);
  // From here to EndBulk what is added goes to `put`, where of two entries under one key the later counts. The store
  // must be told the key, and Load follows.
  void BeginBulk(record_file::Writer::Put put);
  Status EndBulk() { return maker_->Flush(); }
  void PutKey(const record_file::Writer::Put& put) const;
  // The rows of what was added since the last Publish, which follows before more is added.
  Status Flush(const record_file::Writer::Put& put);
  // They are in the store, where everything below `next` is now.
  void Publish(Position next);
  // So that the next Load need not read every item: all of the fingerprint. Requires: nothing was added since Publish.
  void PutFingerprint(const record_file::Writer::Put& put) const;

  // The copy behind the entry at `at`. Errors: kInvalid for what is not applied yet.
  Result<RecordCopy> Take(Position at) const;

 private:
  struct Change {
    Position position;
    KeySlot subject;
    bool first = false;  // the subject's first version
    std::optional<CopyItem> before;
    CopyItem after;
  };
  Result<std::optional<CopyItem>> Stored(KeySlot subject) const;
  Status ReadItems(CopyFingerprint& fingerprint) const;
  Status MakeItems(Position next);

  Store& store_;
  const std::shared_ptr<const CopyKeying> keying_;
  std::optional<CopyItemMaker> maker_;  // made by Load and BeginBulk
  bool in_bulk_ = false;
  std::vector<Change> added_;           // since Publish, in order; items of the first `made_` are made
  std::size_t made_ = 0;

  mutable std::mutex mutex_;
  Position next_;                                    // guarded by mutex_, like those below
  std::unique_ptr<CopyFingerprint> fingerprint_;
  Position known_from_;                              // changes of this entry and later are in changes_
  std::deque<Change> changes_;
};

}  // namespace daicho
