// Numbers with a meaning are types: a position in the ledger, an issuer's sequence number and a
// place in a Kafka partition cannot be added or swapped by accident.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>

namespace daicho {

template <typename Tag, typename T = std::uint64_t>
class Strong {
 public:
  constexpr Strong() = default;
  constexpr explicit Strong(T value) : value_(value) {}
  constexpr T value() const { return value_; }
  constexpr Strong Next() const { return Strong(value_ + 1); }
  friend constexpr auto operator<=>(const Strong&, const Strong&) = default;

 private:
  T value_{};
};

// Place of an entry in the ledger: 0, 1, 2 … without gaps.
using Position = Strong<struct PositionTag>;
// An issuer's own event number: 1, 2, 3 … without gaps.
using Sequence = Strong<struct SequenceTag>;
// Physical place in one topic of a Log; ascends, may have gaps (Kafka's transaction markers).
using Cursor = Strong<struct CursorTag>;
// Row of a data key in the key store, dense in order of creation.
using KeySlot = Strong<struct KeySlotTag>;
// Microseconds since 1970-01-01T00:00:00Z.
using TimeMicros = Strong<struct TimeTag, std::int64_t>;

// Random 128-bit name of a subject; never derived from a number of the person.
using SubjectHandle = std::array<std::uint8_t, 16>;

}  // namespace daicho
