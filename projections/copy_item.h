// What stands for one row of a copy of the record file, towards one other holder: a keyed hash of all of it, and the
// 住民票コード it is of. README.md, *Copy fingerprint*.
//
// Nothing here can be made, read or foreseen without the key, which the two holders share for an epoch: a
// municipality that chooses what is in its records chooses none of the hashes. Immutable; thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "events/consistency.pb.h"
#include "events/crypto.h"
#include "events/ids.h"

namespace daicho {

namespace v1 = events::v1;

struct CopyKey {
  std::uint32_t epoch = 0;  // ConsistencyRun.fingerprint_epoch
  Key256 secret{};          // 32 random bytes, of the two holders and nobody else
};

// Of one comparison alone, for rows that the other holder sends in clear: whoever has the key can make it again.
CopyKey CopyKeyOfRun(const CopyKey& key, std::string_view run);
// What a municipality is given in place of the key: it opens its own copy's fingerprints, and no other holder's.
CopyKey CopyKeyOfMunicipality(const CopyKey& key, std::string_view municipality);

struct CopyItem {
  std::uint64_t code = 0;  // 住民票コード as a number, below kCopyCodeEnd
  Digest mac{};            // HMAC-SHA256 of the row's canonical bytes
  friend bool operator==(const CopyItem&, const CopyItem&) = default;
};
inline constexpr std::uint64_t kCopyCodeEnd = 100'000'000'000;

// What is left of an item once it has travelled: the first 8 bytes of its mac.
using CopyId = std::array<std::uint8_t, 8>;
struct CopyName {
  std::uint64_t code = 0;
  CopyId id{};
  friend auto operator<=>(const CopyName&, const CopyName&) = default;
};
CopyName NameOf(const CopyItem& item);

// An item within a cell: id(16) ‖ code ⊕ pad (5) ‖ check(8), as words to be XORed.
struct CopySymbol {
  std::uint64_t id_low = 0, id_high = 0;  // the first 16 bytes of the mac, little-endian
  std::uint64_t masked_code = 0;          // 40 bits
  std::uint64_t check = 0;

  CopySymbol& operator^=(const CopySymbol& other) {
    id_low ^= other.id_low, id_high ^= other.id_high;
    masked_code ^= other.masked_code, check ^= other.check;
    return *this;
  }
  friend bool operator==(const CopySymbol&, const CopySymbol&) = default;
};

class CopyKeying {
 public:
  // Names the key without telling it.
  using KeyId = std::array<std::uint8_t, 8>;

  explicit CopyKeying(const CopyKey& key);
  std::uint32_t epoch() const { return epoch_; }
  const KeyId& key_id() const { return key_id_; }

  // Requires: a row with a 住民票コード of 11 digits.
  CopyItem Item(const v1::HeldCopy& row) const;
  // Of the row that the notice leaves, as Item(HeldRow(notice)) without making it.
  CopyItem Item(const v1::UpdateNotice& notice) const;

  // `seed`: of the cells that the item is in.
  CopySymbol Symbol(const CopyItem& item, std::uint64_t& seed) const;
  // The item that the symbol is of, if it is one that was made with this key, and the seed. Errors: kTampered.
  Result<CopyName> Open(const CopySymbol& symbol, std::uint64_t& seed) const;
  // Whether it is one, for less.
  bool IsOne(const CopySymbol& symbol) const;

  // MAC of what is sent as a whole.
  Digest Seal(std::string_view bytes) const { return file_.Mac({bytes}); }

 private:
  friend class CopyItemMaker;
  struct Mask {
    std::uint64_t pad, tag;
  };
  Mask MaskOf(std::uint64_t id_low, std::uint64_t id_high) const;
  std::uint64_t Check(std::uint64_t code, std::uint64_t tag) const;

  std::uint32_t epoch_;
  KeyId key_id_;
  Key256 row_key_;
  HmacKey rows_, file_;
  Key256 cells_;
  std::uint64_t multiplier_;  // of the code, below 2^61 - 1
};

// The items of many notices' rows, their macs made side by side: for less than half where there are many.
// Belongs to one thread.
class CopyItemMaker {
 public:
  using Take = std::function<Status(KeySlot subject, const CopyItem& item)>;
  // `take` gets them in the order of Add, some rows later.
  CopyItemMaker(std::shared_ptr<const CopyKeying> keying, Take take) : keying_(std::move(keying)), take_(std::move(take)) {}
  // Errors: of `take`, after which there is no more to be added.
  Status Add(KeySlot subject, const v1::UpdateNotice& notice);
  // Those that wait: before it goes.
  Status Flush();

 private:
  struct Row {
    KeySlot subject;
    std::uint64_t code;
    std::size_t end;  // of its canonical bytes in bytes_
  };
  std::shared_ptr<const CopyKeying> keying_;
  Take take_;
  std::vector<Row> rows_;
  std::string bytes_;
};

// The row's 保存期間フラグ; UNSPECIFIED where it is what the row's state asks for, said or not.
v1::RetentionStart StatedRetention(const v1::HeldCopy& row);
// The row of a copy that a notice leaves. Its 保存期間フラグ is what its state asks for.
v1::HeldCopy HeldRow(const v1::UpdateNotice& notice);
// "24727059608" of its number, and back. Errors: kInvalid unless it is a 住民票コード with its check digit.
std::string CodeText(std::uint64_t code);
Result<std::uint64_t> CodeNumber(std::string_view text);

// Gives the items of a copy whose code is in [first, last), by ascending code, until `take` fails.
using CopyItemSink = std::function<Status(const CopyItem&)>;
using CopyScan = std::function<Status(std::uint64_t first, std::uint64_t last, const CopyItemSink& take)>;
// Of a copy that has one as its `Scan`; borrowed.
template <typename Copy>
CopyScan ScanOf(Copy& copy) {
  return [&copy](std::uint64_t first, std::uint64_t last, const CopyItemSink& take) { return copy.Scan(first, last, take); };
}

}  // namespace daicho
