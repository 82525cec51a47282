#include "ledger/spill_sort.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

namespace daicho {
namespace {

constexpr std::size_t kLengthBytes = 4;
constexpr std::size_t kPieceBytes = 256u << 10;  // written and read at once

struct Row {
  std::string_view key, value;
};

// Of a whole row, from its key's length on.
Row Parse(std::string_view row) {
  const std::size_t key_bytes = static_cast<std::uint8_t>(row[0]);
  return {row.substr(1, key_bytes), row.substr(1 + key_bytes)};
}

Row RowAt(std::string_view rows, std::uint64_t at) {
  const std::string_view from = rows.substr(at);
  return Parse(from.substr(kLengthBytes, ReadU32(from)));
}

}  // namespace

SpillSort::SpillSort(std::string directory, std::size_t run_bytes)
    : directory_(std::move(directory)), run_bytes_(run_bytes) {}

Status SpillSort::Add(std::string_view key, std::string_view value) {
  CHECK(!started_ && key.size() <= kKeyBytesMax && value.size() <= kRowBytesMax);
  index_.push_back(rows_.size());
  AppendU32(rows_, static_cast<std::uint32_t>(1 + key.size() + value.size()));
  rows_ += static_cast<char>(key.size());
  rows_ += key;
  rows_ += value;
  if (rows_.size() + index_.size() * sizeof(index_[0]) < run_bytes_) return {};
  return Spill();
}

Status SpillSort::Finish() {
  if (!spilled_.empty() && !index_.empty()) RETURN_IF_ERROR(Spill());
  std::ranges::stable_sort(index_, {}, [&](std::uint64_t at) { return RowAt(rows_, at).key; });
  return Rewind();
}

Status SpillSort::Open() {
  const std::string path = directory_ + "/.sort-" + ToHex(View(RandomArray<8>()));
  file_ = Descriptor(::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file_.get() < 0) return ErrnoStatus("opening a file in " + directory_);
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("unlinking a file in " + directory_);
  return {};
}

Status SpillSort::Spill() {
  if (file_.get() < 0) RETURN_IF_ERROR(Open());
  std::ranges::stable_sort(index_, {}, [&](std::uint64_t at) { return RowAt(rows_, at).key; });
  const std::uint64_t from = written_;
  std::string piece;
  for (const std::uint64_t at : index_) {
    const std::string_view row = std::string_view(rows_).substr(at);
    piece += row.substr(0, kLengthBytes + ReadU32(row));
    if (piece.size() < kPieceBytes) continue;
    RETURN_IF_ERROR(Write(piece));
    piece.clear();
  }
  RETURN_IF_ERROR(Write(piece));
  spilled_.emplace_back(from, written_);
  rows_.clear();
  index_.clear();
  return {};
}

Status SpillSort::Write(std::string_view bytes) {
  std::string sealed(bytes);
  CtrXor(key_, {}, written_, sealed.data(), sealed.size());
  RETURN_IF_ERROR(WriteAt(file_, written_, sealed));
  written_ += sealed.size();
  return {};
}

bool SpillSort::After(std::size_t a, std::size_t b) const {
  const int order = runs_[a].key.compare(runs_[b].key);
  return order != 0 ? order > 0 : a > b;
}

Status SpillSort::Rewind() {
  started_ = true;
  given_ = 0;
  runs_.clear();
  heap_.clear();
  for (const auto& [from, to] : spilled_) {
    Run& run = runs_.emplace_back();
    run.next = from;
    run.end = to;
  }
  for (std::size_t i = 0; i < runs_.size(); ++i) {
    ASSIGN_OR_RETURN(const bool has, Advance(runs_[i]));
    if (has) heap_.push_back(i);
  }
  std::ranges::make_heap(heap_, [&](std::size_t a, std::size_t b) { return After(a, b); });
  return {};
}

Result<bool> SpillSort::Next(std::string_view& value) {
  CHECK(started_);
  if (spilled_.empty()) {
    if (given_ == index_.size()) return false;
    value = RowAt(rows_, index_[given_++]).value;
    return true;
  }
  const auto after = [&](std::size_t a, std::size_t b) { return After(a, b); };
  // The run whose row was given last goes on only now: the row was its.
  if (!heap_.empty() && given_ > 0) {
    std::ranges::pop_heap(heap_, after);
    ASSIGN_OR_RETURN(const bool has, Advance(runs_[heap_.back()]));
    if (has) {
      std::ranges::push_heap(heap_, after);
    } else {
      heap_.pop_back();
    }
  }
  if (heap_.empty()) return false;
  ++given_;
  value = runs_[heap_.front()].value;
  return true;
}

// So that `size` bytes are there from run.at on.
Status SpillSort::Fill(Run& run, std::size_t size) {
  run.buffer.erase(0, run.at);
  run.at = 0;
  const std::size_t kept = run.buffer.size();
  const std::size_t more = std::min<std::uint64_t>(std::max(kPieceBytes / 4, size - kept), run.end - run.next);
  run.buffer.resize(kept + more);
  ASSIGN_OR_RETURN(const std::size_t got, ReadAt(file_, run.next, run.buffer.data() + kept, more));
  if (got < more || run.buffer.size() < size) return Corrupt("a file for sorting is cut short");
  CtrXor(key_, {}, run.next, run.buffer.data() + kept, more);
  run.next += more;
  return {};
}

Result<bool> SpillSort::Advance(Run& run) {
  if (run.at == run.buffer.size() && run.next == run.end) return false;
  if (run.buffer.size() - run.at < kLengthBytes) RETURN_IF_ERROR(Fill(run, kLengthBytes));
  const std::size_t size = ReadU32(std::string_view(run.buffer).substr(run.at));
  if (size == 0 || size > 1 + kKeyBytesMax + kRowBytesMax) return Corrupt("a file for sorting is damaged");
  if (run.buffer.size() - run.at < kLengthBytes + size) RETURN_IF_ERROR(Fill(run, kLengthBytes + size));
  const std::string_view bytes = std::string_view(run.buffer).substr(run.at + kLengthBytes, size);
  if (static_cast<std::uint8_t>(bytes[0]) >= size) return Corrupt("a file for sorting is damaged");
  const Row row = Parse(bytes);
  run.key = row.key;
  run.value = row.value;
  run.at += kLengthBytes + size;
  return true;
}

}  // namespace daicho
