#include "projections/copy_sketch.h"

#include <algorithm>

namespace daicho {
namespace {

constexpr std::size_t kCodeBytes = 5;
constexpr std::size_t kSymbolBytes = 16 + kCodeBytes + 8;

// Of a set of `items`: the probability of a cell times them.
std::uint64_t Expected(std::uint64_t items, std::uint64_t cell) { return 2 * items / (cell + 2); }
double Probability(std::uint64_t cell) { return 2.0 / (static_cast<double>(cell) + 2.0); }

void AppendSymbol(const CopySymbol& symbol, std::string& out) {
  char bytes[kSymbolBytes];
  std::memcpy(bytes, &symbol.id_low, 8);
  std::memcpy(bytes + 8, &symbol.id_high, 8);
  std::memcpy(bytes + 16, &symbol.masked_code, kCodeBytes);
  std::memcpy(bytes + 16 + kCodeBytes, &symbol.check, 8);
  out.append(bytes, sizeof(bytes));
}

CopySymbol TakeSymbol(std::string_view& in) {
  CopySymbol symbol;
  std::memcpy(&symbol.id_low, in.data(), 8);
  std::memcpy(&symbol.id_high, in.data() + 8, 8);
  std::memcpy(&symbol.masked_code, in.data() + 16, kCodeBytes);
  std::memcpy(&symbol.check, in.data() + 16 + kCodeBytes, 8);
  in.remove_prefix(kSymbolBytes);
  return symbol;
}

}  // namespace

void PutInCells(const CopySymbol& symbol, std::uint64_t seed, std::int64_t count, std::uint64_t from,
                std::span<CopyCell> cells) {
  CopyCellsOf of(seed);
  while (of.at() < from) of.Next();
  for (; of.at() - from < cells.size(); of.Next()) {
    CopyCell& cell = cells[of.at() - from];
    cell.sum ^= symbol;
    cell.count += count;
  }
}

void AppendDeviation(std::uint64_t value, std::uint64_t expected, std::string& out) {
  const auto deviation = static_cast<std::int64_t>(value - expected);
  AppendVarint(out, static_cast<std::uint64_t>(deviation) << 1 ^ static_cast<std::uint64_t>(deviation >> 63));
}

bool TakeDeviation(std::string_view& in, std::uint64_t expected, std::uint64_t& value) {
  std::uint64_t folded;
  if (!TakeVarint(in, folded)) return false;
  value = expected + (folded >> 1 ^ (0 - (folded & 1)));
  return true;
}

void AppendCells(std::uint64_t items, std::uint64_t from, std::span<const CopyCell> cells, std::string& out) {
  for (const CopyCell& cell : cells) {
    AppendSymbol(cell.sum, out);
    AppendDeviation(static_cast<std::uint64_t>(cell.count), Expected(items, from++), out);
  }
}

Result<std::vector<CopyCell>> ReadCells(std::uint64_t items, std::uint64_t from, std::size_t count,
                                        std::string_view bytes) {
  if (bytes.size() / kCellBytesMin < count) return Corrupt("cells are cut short");
  std::vector<CopyCell> cells(count);
  for (CopyCell& cell : cells) {
    if (bytes.size() < kCellBytesMin) return Corrupt("cells are cut short");
    cell.sum = TakeSymbol(bytes);
    std::uint64_t in_cell;
    if (!TakeDeviation(bytes, Expected(items, from++), in_cell)) return Corrupt("a cell's count cannot be read");
    if (in_cell > items) return Corrupt("a cell counts more than there is");
    cell.count = static_cast<std::int64_t>(in_cell);
  }
  if (!bytes.empty()) return Corrupt("more bytes than cells");
  return cells;
}

Status CopyPeeler::Take(std::span<const CopyCell> here, std::span<const CopyCell> there) {
  CHECK(here.size() == there.size());
  cells_.reserve(cells_.size() + here.size());
  for (std::size_t i = 0; i < here.size(); ++i) {
    CopyCell cell = here[i];
    cell.sum ^= there[i].sum;
    cell.count -= there[i].count;
    const auto count = static_cast<double>(cell.count);
    if (cells_.empty()) {
      net_ = count;
    } else {
      const double p = Probability(cells_.size()), deviation = count - p * net_;
      deviation_ += deviation * deviation / (p * (1 - p));
    }
    if (!cell.empty()) ++filled_;
    single_.push_back(cells_.size());
    cells_.push_back(cell);
  }
  for (Found& item : found_) TakeOut(item);
  return Peel();
}

double CopyPeeler::Estimate() const { return deviation_ / static_cast<double>(cells_.size() - 1); }

void CopyPeeler::TakeOut(Found& item) {
  for (; item.next.at() < cells_.size(); item.next.Next()) {
    CopyCell& cell = cells_[item.next.at()];
    const bool was_empty = cell.empty();
    cell.sum ^= item.symbol;
    cell.count -= item.count;
    if (was_empty) ++filled_;
    if (cell.empty()) --filled_;
    if (cell.count == 1 || cell.count == -1) single_.push_back(item.next.at());
  }
}

Status CopyPeeler::Peel() {
  while (!single_.empty()) {
    const CopyCell cell = cells_[single_.back()];
    single_.pop_back();
    if ((cell.count != 1 && cell.count != -1) || !keying_.IsOne(cell.sum)) continue;
    std::uint64_t seed;
    ASSIGN_OR_RETURN(const CopyName name, keying_.Open(cell.sum, seed));
    // Cells are linear in the items: fewer cannot hold more.
    if (found_.size() == cells_.size()) return Tampered("cells name more items than cells can");
    found_.push_back({cell.sum, name, cell.count, CopyCellsOf(seed)});
    TakeOut(found_.back());
  }
  return {};
}

Result<CopyDifference> CopyPeeler::Difference() const {
  CHECK(done());
  CopyDifference out;
  for (const Found& item : found_) (item.count > 0 ? out.here : out.there).push_back(item.name);
  std::vector<CopyName> all;
  all.reserve(found_.size());
  for (const Found& item : found_) all.push_back(item.name);
  std::ranges::sort(all);
  if (std::ranges::adjacent_find(all) != all.end()) return Tampered("cells name an item twice");
  std::ranges::sort(out.here);
  std::ranges::sort(out.there);
  return out;
}

}  // namespace daicho
