#include "events/canonical.h"

#include <algorithm>
#include <cstdint>
#include <limits>

namespace daicho {
namespace {

namespace v1 = events::v1;

enum WireType : std::uint8_t { kVarint = 0, kBytes = 2 };

// The fields of one message from its first byte on. All numbers here are below 16: a tag is one byte.
class Fields {
 public:
  explicit Fields(std::string_view bytes)
      : at_(reinterpret_cast<const std::uint8_t*>(bytes.data())), end_(at_ + bytes.size()) {}

  // Nothing was wrong, and nothing is left.
  bool Done() const { return good_ && at_ == end_; }

  // Takes the field's tag if it stands next.
  bool Take(int field, WireType type) {
    if (at_ == end_ || *at_ != (field << 3 | type)) return false;
    ++at_;
    return true;
  }
  // A number that is not the default, or 0 where the field is missing.
  std::uint64_t Number(int field, std::uint64_t most) {
    if (!Take(field, kVarint)) return 0;
    const std::uint64_t value = Varint();
    good_ = good_ && value != 0 && value <= most;
    return value;
  }
  template <typename Enum>
  Enum Choice(int field) {
    return static_cast<Enum>(Number(field, std::numeric_limits<std::int32_t>::max()));
  }
  std::string_view Bytes() {
    const std::uint64_t size = Varint();
    if (!good_ || size > static_cast<std::uint64_t>(end_ - at_)) {
      good_ = false;
      return {};
    }
    const std::string_view out(reinterpret_cast<const char*>(at_), size);
    at_ += size;
    return out;
  }
  void String(int field, std::string& out) {
    if (!Take(field, kBytes)) return;
    const std::string_view bytes = Bytes();
    good_ = good_ && !bytes.empty();
    out.assign(bytes);
  }

 private:
  std::uint64_t Varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 63 && at_ != end_; shift += 7) {
      const std::uint64_t byte = *at_++;
      value |= (byte & 0x7f) << shift;
      if (byte >= 0x80) continue;
      good_ = good_ && (byte != 0 || shift == 0);
      return value;
    }
    good_ = false;
    return 0;
  }

  const std::uint8_t* at_;
  const std::uint8_t* end_;
  bool good_ = true;
};

constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kMost64 = std::numeric_limits<std::int64_t>::max();

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

bool ReadKey(std::string_view bytes, v1::KeyReference& out) {
  using M = v1::KeyReference;
  Fields in(bytes);
  in.String(M::kSubjectFieldNumber, *out.mutable_subject());
  out.set_slot(in.Number(M::kSlotFieldNumber, kMost64));
  out.set_step(static_cast<std::uint32_t>(in.Number(M::kStepFieldNumber, kMost32)));
  return in.Done();
}

}  // namespace

bool ReadCanonical(std::string_view bytes, v1::EventHeader& out) {
  using M = v1::EventHeader;
  out.Clear();
  Fields in(bytes);
  out.set_kind(in.Choice<v1::EventKind>(M::kKindFieldNumber));
  in.String(M::kIssuerFieldNumber, *out.mutable_issuer());
  out.set_sequence(in.Number(M::kSequenceFieldNumber, kMost64));
  out.set_retention(in.Choice<v1::RetentionClass>(M::kRetentionFieldNumber));
  out.set_schema_version(static_cast<std::uint32_t>(in.Number(M::kSchemaVersionFieldNumber, kMost32)));
  while (in.Take(M::kCommitmentsFieldNumber, kBytes)) out.add_commitments()->assign(in.Bytes());
  return in.Done() && IsAscii(out.issuer());
}

bool ReadCanonical(std::string_view bytes, v1::EntryLeaf& out) {
  using M = v1::EntryLeaf;
  out.Clear();
  Fields in(bytes);
  out.set_version(static_cast<std::uint32_t>(in.Number(M::kVersionFieldNumber, kMost32)));
  in.String(M::kLedgerFieldNumber, *out.mutable_ledger());
  out.set_position(in.Number(M::kPositionFieldNumber, kMost64));
  out.set_admitted_at(static_cast<std::int64_t>(in.Number(M::kAdmittedAtFieldNumber, kMost64)));
  in.String(M::kHeaderFieldNumber, *out.mutable_header());
  out.set_effect(in.Choice<v1::Effect>(M::kEffectFieldNumber));
  while (in.Take(M::kKeysFieldNumber, kBytes)) {
    if (!ReadKey(in.Bytes(), *out.add_keys())) return false;
  }
  in.String(M::kHeadFieldNumber, *out.mutable_head());
  while (in.Take(M::kPartDigestsFieldNumber, kBytes)) out.add_part_digests()->assign(in.Bytes());
  return in.Done();
}

}  // namespace daicho
