#include "projections/copy_fingerprint.h"

#include <algorithm>

namespace daicho {
namespace {

constexpr char kFormat = 1;  // of what is stored
constexpr std::string_view kFileTag = "daicho-sketch/2\n";
constexpr std::size_t kFileHeadBytes = kFileTag.size() + CopyCut::kBytes + 8;
constexpr std::string_view kFileTagAnyVersion = "daicho-sketch/";
constexpr std::size_t kFileMacBytes = 32;
// What a prefecture, or the country, never has; sums of so many counts do not overflow.
constexpr std::uint64_t kItemsMax = std::uint64_t{1} << 40;
constexpr std::size_t kShortSumBytes = 16;

using Words = std::array<std::uint64_t, 4>;

void AddWords(Words& sum, const Words& other) {
  bool carry = false;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const bool first = __builtin_add_overflow(sum[i], static_cast<std::uint64_t>(carry), &sum[i]);
    carry = __builtin_add_overflow(sum[i], other[i], &sum[i]) || first;
  }
}

void SubtractWords(Words& sum, const Words& other) {
  bool borrow = false;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const bool first = __builtin_sub_overflow(sum[i], static_cast<std::uint64_t>(borrow), &sum[i]);
    borrow = __builtin_sub_overflow(sum[i], other[i], &sum[i]) || first;
  }
}

Words WordsOf(const Digest& mac) {
  Words words;
  std::memcpy(words.data(), mac.data(), mac.size());
  return words;
}

std::string_view Bytes(const Words& sum) { return {reinterpret_cast<const char*>(sum.data()), sizeof(sum)}; }

// A sum's first `size` bytes. Requires: so many bytes.
Words TakeSum(std::string_view& in, std::size_t size) {
  Words sum{};
  std::memcpy(sum.data(), in.data(), size);
  in.remove_prefix(size);
  return sum;
}

bool SameBeginning(const Words& a, const Words& b) { return a[0] == b[0] && a[1] == b[1]; }

// Counts and the first `sum_bytes` of the sums, of buckets that make up `total`.
void AppendBuckets(const CopyTotal& total, std::span<const CopyTotal> buckets, std::size_t sum_bytes,
                   std::string& out) {
  const std::uint64_t expected = total.count / kCopyBuckets;
  for (const CopyTotal& bucket : buckets) {
    AppendDeviation(bucket.count, expected, out);
    out += Bytes(bucket.sum).substr(0, sum_bytes);
  }
}

// The same back, in full and agreeing with `total`. Errors: kCorrupt.
Result<std::vector<CopyTotal>> ReadBuckets(const CopyTotal& total, std::size_t sum_bytes, std::string_view& in) {
  const std::uint64_t expected = total.count / kCopyBuckets;
  std::vector<CopyTotal> buckets(kCopyBuckets);
  CopyTotal sum;
  for (CopyTotal& bucket : buckets) {
    if (!TakeDeviation(in, expected, bucket.count) || in.size() < sum_bytes) return Corrupt("buckets are cut short");
    if (bucket.count > total.count) return Corrupt("a bucket counts more than there is");
    bucket.sum = TakeSum(in, sum_bytes);
    sum.count += bucket.count;
    AddWords(sum.sum, bucket.sum);
  }
  const bool agree = sum_bytes < sizeof(Words) ? SameBeginning(sum.sum, total.sum) : sum.sum == total.sum;
  if (sum.count != total.count || !agree) return Corrupt("buckets do not make up the total");
  return buckets;
}

std::uint64_t FirstWord(const CopyId& id) {
  std::uint64_t word;
  std::memcpy(&word, id.data(), sizeof(word));
  return word;
}

}  // namespace

void CopyTotal::Add(const Digest& mac) {
  ++count;
  AddWords(sum, WordsOf(mac));
}

void CopyTotal::Remove(const Digest& mac) {
  --count;
  SubtractWords(sum, WordsOf(mac));
}

std::string CopyCut::Encode() const {
  std::string out;
  AppendU32(out, epoch);
  out += View(key_id);
  AppendU64(out, position.value());
  AppendU64(out, total.count);
  return out += Bytes(total.sum);
}

Result<CopyCut> CopyCut::Decode(std::string_view bytes) {
  if (bytes.size() != kBytes) return Corrupt("a cut has the wrong size");
  CopyCut cut;
  cut.epoch = ReadU32(bytes);
  std::memcpy(cut.key_id.data(), bytes.data() + 4, cut.key_id.size());
  cut.position = Position(ReadU64(bytes.substr(12)));
  cut.total.count = ReadU64(bytes.substr(20));
  if (cut.total.count > kItemsMax) return Corrupt("a cut counts more than there can be");
  bytes.remove_prefix(28);
  cut.total.sum = TakeSum(bytes, sizeof(Words));
  return cut;
}

Status Comparable(const CopyCut& here, const CopyCut& there) {
  if (here.epoch != there.epoch) {
    return Conflict("the copies are keyed for epochs " + std::to_string(here.epoch) + " and " +
                    std::to_string(there.epoch));
  }
  if (here.key_id != there.key_id) return Conflict("the copies are keyed by different keys of one epoch");
  if (here.position != there.position) {
    return Conflict("the copies are of positions " + std::to_string(here.position.value()) + " and " +
                    std::to_string(there.position.value()));
  }
  return {};
}

Status AccountFor(const CopyDifference& difference, const CopyTotal& here, const CopyTotal& there) {
  std::uint64_t count = here.count - there.count, sum = here.sum[0] - there.sum[0];
  count -= difference.here.size() - difference.there.size();
  for (const CopyName& name : difference.here) sum -= FirstWord(name.id);
  for (const CopyName& name : difference.there) sum += FirstWord(name.id);
  if (count != 0 || sum != 0) return Tampered("the items named do not account for the totals");
  return {};
}

std::uint32_t BucketOf(std::uint64_t code) { return static_cast<std::uint32_t>(code * kCopyBuckets / kCopyCodeEnd); }
std::uint64_t BucketStart(std::uint32_t bucket) { return (bucket * kCopyCodeEnd + kCopyBuckets - 1) / kCopyBuckets; }

CopyFingerprint::CopyFingerprint(std::shared_ptr<const CopyKeying> keying, std::size_t cells)
    : keying_(std::move(keying)), cells_(cells), buckets_(kCopyBuckets) {}

Result<CopyFingerprint> CopyFingerprint::Lengthened(const CopyScan& scan) const {
  CopyFingerprint out(keying_, kCopyCellsMax);
  RETURN_IF_ERROR(scan(0, kCopyCodeEnd, [&](const CopyItem& item) -> Status {
    out.Add(item);
    return {};
  }));
  if (out.total_ != total_) return Conflict("the items read are not those of the fingerprint");
  return out;
}

void CopyFingerprint::Add(const CopyItem& item) {
  std::uint64_t seed;
  const CopySymbol symbol = keying_->Symbol(item, seed);
  PutInCells(symbol, seed, 1, 0, cells_);
  buckets_[BucketOf(item.code)].Add(item.mac);
  total_.Add(item.mac);
}

void CopyFingerprint::Remove(const CopyItem& item) {
  std::uint64_t seed;
  const CopySymbol symbol = keying_->Symbol(item, seed);
  PutInCells(symbol, seed, -1, 0, cells_);
  buckets_[BucketOf(item.code)].Remove(item.mac);
  total_.Remove(item.mac);
}

std::string CopyFingerprint::Encode() const {
  CHECK(cells_.size() == kCopyCells);
  std::string out(1, kFormat);
  out += Cut(Position()).Encode();
  std::string cells;
  AppendCells(total_.count, 0, cells_, cells);
  AppendU32(out, static_cast<std::uint32_t>(cells.size()));
  out += cells;
  AppendBuckets(total_, buckets_, sizeof(Words), out);
  return out;
}

Result<CopyFingerprint> CopyFingerprint::Decode(std::shared_ptr<const CopyKeying> keying, std::string_view bytes) {
  if (bytes.size() < 1 + CopyCut::kBytes + 4) return Corrupt("a fingerprint is cut short");
  if (bytes[0] != kFormat) return Unsupported("a fingerprint of another format");
  ASSIGN_OR_RETURN(const CopyCut cut, CopyCut::Decode(bytes.substr(1, CopyCut::kBytes)));
  CopyFingerprint out(std::move(keying));
  RETURN_IF_ERROR(Comparable(out.Cut(Position()), cut));
  bytes.remove_prefix(1 + CopyCut::kBytes);
  const std::size_t size = ReadU32(bytes);
  bytes.remove_prefix(4);
  if (bytes.size() < size) return Corrupt("a fingerprint is cut short");
  out.total_ = cut.total;
  ASSIGN_OR_RETURN(out.cells_, ReadCells(cut.total.count, 0, kCopyCells, bytes.substr(0, size)));
  bytes.remove_prefix(size);
  ASSIGN_OR_RETURN(out.buckets_, ReadBuckets(cut.total, sizeof(Words), bytes));
  if (!bytes.empty()) return Corrupt("more bytes than a fingerprint has");
  return out;
}

std::string EncodeBuckets(const CopyFingerprint& fingerprint) {
  std::string out;
  AppendBuckets(fingerprint.total(), fingerprint.buckets(), kShortSumBytes, out);
  return out;
}

Result<std::vector<std::uint32_t>> DifferingBuckets(const CopyFingerprint& fingerprint, const CopyTotal& total,
                                                    std::string_view buckets) {
  ASSIGN_OR_RETURN(const std::vector<CopyTotal> there, ReadBuckets(total, kShortSumBytes, buckets));
  if (!buckets.empty()) return Corrupt("more bytes than buckets have");
  std::vector<std::uint32_t> differing;
  for (std::uint32_t i = 0; i < kCopyBuckets; ++i) {
    const CopyTotal& here = fingerprint.buckets()[i];
    if (here.count != there[i].count || !SameBeginning(here.sum, there[i].sum)) differing.push_back(i);
  }
  return differing;
}

std::string WriteSketchFile(const CopyFingerprint& fingerprint, Position position) {
  std::string out(kFileTag);
  out += fingerprint.Cut(position).Encode();
  std::string cells;
  AppendCells(fingerprint.total().count, 0, fingerprint.cells(), cells);
  AppendU32(out, static_cast<std::uint32_t>(fingerprint.cells().size()));
  AppendU32(out, static_cast<std::uint32_t>(cells.size()));
  out += cells;
  out += EncodeBuckets(fingerprint);
  return out += View(fingerprint.keying().Seal(out));
}

bool IsSketchFile(std::string_view beginning) { return beginning.starts_with(kFileTagAnyVersion); }

Result<SketchHead> ReadSketchHead(std::string_view file) {
  if (!file.starts_with(kFileTag)) {
    if (IsSketchFile(file)) return Unsupported("a sketch file of another version");
    return Corrupt("not a sketch file");
  }
  if (file.size() < kFileHeadBytes + kFileMacBytes) return Corrupt("a sketch file is cut short");
  SketchHead out;
  ASSIGN_OR_RETURN(out.cut, CopyCut::Decode(file.substr(kFileTag.size(), CopyCut::kBytes)));
  out.cells = ReadU32(file.substr(kFileTag.size() + CopyCut::kBytes));
  if (out.cells != kCopyCells && out.cells != kCopyCellsMax) return Corrupt("a sketch file of another length");
  return out;
}

Result<SketchComparison> CompareSketchFile(const CopyFingerprint& here, Position position, std::string_view file) {
  SketchComparison out;
  ASSIGN_OR_RETURN(const SketchHead head, ReadSketchHead(file));
  out.there = head.cut;
  const std::string_view sealed = file.substr(0, file.size() - kFileMacBytes);
  RETURN_IF_ERROR(Comparable(here.Cut(position), out.there));
  if (!ConstantTimeEqual(View(here.keying().Seal(sealed)), file.substr(sealed.size()))) {
    return Tampered("a sketch file was not made with this key, or was changed since");
  }
  const std::size_t size = ReadU32(sealed.substr(kFileHeadBytes - 4));
  const std::string_view rest = sealed.substr(kFileHeadBytes);
  if (rest.size() < size) return Corrupt("a sketch file is cut short");
  ASSIGN_OR_RETURN(const std::vector<CopyCell> cells,
                   ReadCells(out.there.total.count, 0, head.cells, rest.substr(0, size)));
  ASSIGN_OR_RETURN(out.buckets, DifferingBuckets(here, out.there.total, rest.substr(size)));
  CopyPeeler peeler(here.keying());
  CHECK(here.cells().size() >= head.cells);
  RETURN_IF_ERROR(peeler.Take(here.cells().first(head.cells), cells));
  out.complete = peeler.done();
  if (!out.complete) return out;
  ASSIGN_OR_RETURN(out.difference, peeler.Difference());
  RETURN_IF_ERROR(AccountFor(out.difference, here.total(), out.there.total));
  return out;
}

}  // namespace daicho
