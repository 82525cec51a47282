// The rateless sketch of a set of items, and how two are subtracted (Yang, Gilad, Alizadeh: Practical Rateless Set
// Reconciliation, SIGCOMM 2024). A cell is the XOR and the count of the items in it; an item is in cell 0 and in cell
// i with probability 1/(1 + i/2), by a generator that its symbol seeds. The difference of two sketches is the sketch
// of the difference: some 1.35 cells for each item of it name them all, however large the sets are.
//
// An object belongs to one thread at a time.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "projections/copy_item.h"

namespace daicho {

struct CopyCell {
  CopySymbol sum;
  std::int64_t count = 0;
  bool empty() const { return count == 0 && sum == CopySymbol{}; }
  friend bool operator==(const CopyCell&, const CopyCell&) = default;
};

// The cells that an item is in, ascending from 0. Exact on every machine of IEEE 754: a square root, a quotient, a
// difference and a product, each rounded by itself.
class CopyCellsOf {
 public:
  explicit CopyCellsOf(std::uint64_t seed) : state_(seed) {}
  std::uint64_t at() const { return at_; }
  void Next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;  // SplitMix64
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    const double uniform = static_cast<double>(((z ^ (z >> 31)) >> 11) + 1) * 0x1p-53;
    const double step = (static_cast<double>(at_) + 1.5) * (1.0 / std::sqrt(uniform) - 1.0);
    at_ += static_cast<std::uint64_t>(step) + 1;
  }

 private:
  std::uint64_t state_, at_ = 0;
};

// Puts an item into, or with count -1 takes it out of, those of the cells [from, from + cells.size()) that it is in.
void PutInCells(const CopySymbol& symbol, std::uint64_t seed, std::int64_t count, std::uint64_t from,
                std::span<CopyCell> cells);

// On the wire: id(16) ‖ code(5) ‖ check(8), little-endian ‖ count less what is expected of a set of `items`, zig-zag
// varint: some 30 bytes.
inline constexpr std::size_t kCellBytesMin = 30;
void AppendCells(std::uint64_t items, std::uint64_t from, std::span<const CopyCell> cells, std::string& out);
// A count on the wire: as its distance from what is expected of it, zig-zag varint.
void AppendDeviation(std::uint64_t value, std::uint64_t expected, std::string& out);
bool TakeDeviation(std::string_view& in, std::uint64_t expected, std::uint64_t& value);
// All of `bytes`, which must be `count` cells. Errors: kCorrupt.
Result<std::vector<CopyCell>> ReadCells(std::uint64_t items, std::uint64_t from, std::size_t count,
                                        std::string_view bytes);

struct CopyDifference {
  std::vector<CopyName> here, there;  // only here, only there; ascending
  friend bool operator==(const CopyDifference&, const CopyDifference&) = default;
};

// Subtracts cells and takes items out of the difference as far as there are cells with a single one.
// Work is bounded by the cells: no more items than cells.
class CopyPeeler {
 public:
  explicit CopyPeeler(const CopyKeying& keying) : keying_(keying) {}  // borrowed

  // The next cells of both sides, of equal number. Errors: kTampered for cells that no two sets have.
  Status Take(std::span<const CopyCell> here, std::span<const CopyCell> there);
  std::size_t size() const { return cells_.size(); }
  bool done() const { return size() > 0 && filled_ == 0; }
  // How many items differ, as the counts of the cells so far make it likely; within some 1.4 / √size().
  // Requires: size() above 1.
  double Estimate() const;
  // Requires: done(). Errors: kTampered when an item was found twice.
  Result<CopyDifference> Difference() const;

 private:
  struct Found {
    CopySymbol symbol;
    CopyName name;
    std::int64_t count;  // 1: here
    CopyCellsOf next;    // cell not yet taken
  };
  void TakeOut(Found& item);  // of the cells from item.next on
  Status Peel();

  const CopyKeying& keying_;
  std::vector<CopyCell> cells_;
  std::vector<std::size_t> single_;  // cells that may hold a single item
  std::vector<Found> found_;
  std::size_t filled_ = 0;  // cells that are not empty
  double net_ = 0;          // items here less items there
  double deviation_ = 0;    // Σ (count - p·net)² / p(1 - p) over cells 1 and on
};

}  // namespace daicho
