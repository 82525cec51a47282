#include "projections/copy_reconcile.h"

#include <algorithm>
#include <iterator>

namespace daicho {
namespace {

enum Question : char { kOpen = 1, kCells = 2, kBuckets = 3, kItems = 4 };

constexpr char kFormat = 1;  // of stored progress
constexpr std::size_t kFirstCells = 32;
constexpr std::size_t kEstimateCells = 1'024;  // by then an estimate is good to some 5 %
// Cells that name a difference of n items, nearly always: more for few.
double CellsFor(double items) { return 1.34 * items + 3 * std::sqrt(items) + 8; }

std::string Ask(Question question, Position position) {
  std::string out(1, question);
  AppendU64(out, position.value());
  return out;
}

struct BucketRun {
  std::uint64_t first, count;  // buckets
};

// The ranges of a question of items. Errors: kInvalid.
Result<std::vector<BucketRun>> ReadRuns(std::string_view in) {
  std::vector<BucketRun> runs;
  for (std::uint64_t next = 0, asked = 0; !in.empty();) {
    std::uint64_t skipped, count;
    if (!TakeVarint(in, skipped) || !TakeVarint(in, count)) return Invalid("buckets cannot be read");
    if (count == 0 || count > kCopyBucketsAsked - asked) return Invalid("none or too many buckets asked for");
    if (skipped > kCopyBuckets || next + skipped + count > kCopyBuckets) return Invalid("no such buckets");
    runs.push_back({next + skipped, count});
    asked += count;
    next += skipped + count;
  }
  return runs;
}

// The runs of the next buckets that may be asked for at once, from `buckets[at]` on; `at` goes past them.
std::vector<BucketRun> NextRuns(std::span<const std::uint32_t> buckets, std::size_t& at) {
  std::vector<BucketRun> runs;
  for (std::uint64_t asked = 0; at < buckets.size() && asked < kCopyBucketsAsked; ++at, ++asked) {
    if (runs.empty() || runs.back().first + runs.back().count != buckets[at]) runs.push_back({buckets[at], 0});
    ++runs.back().count;
  }
  return runs;
}

// The items of the runs, ascending.
Status ScanRuns(const CopyScan& scan, std::span<const BucketRun> runs, const CopyItemSink& take) {
  for (const BucketRun& run : runs) {
    RETURN_IF_ERROR(scan(BucketStart(static_cast<std::uint32_t>(run.first)),
                         BucketStart(static_cast<std::uint32_t>(run.first + run.count)), take));
  }
  return {};
}

Result<std::vector<CopyName>> ReadItems(std::span<const BucketRun> runs, std::string_view in) {
  std::vector<CopyName> names;
  std::uint64_t code = 0;
  for (auto run = runs.begin(); !in.empty();) {
    std::uint64_t step;
    CopyName name;
    if (!TakeVarint(in, step) || in.size() < name.id.size()) return Corrupt("items are cut short");
    if (step >= kCopyCodeEnd || (code += step) >= kCopyCodeEnd) return Corrupt("an item's code is out of range");
    const std::uint64_t bucket = BucketOf(code);
    while (run != runs.end() && run->first + run->count <= bucket) ++run;
    if (run == runs.end() || bucket < run->first) return Corrupt("an item is of a bucket not asked for");
    name.code = code;
    std::memcpy(name.id.data(), in.data(), name.id.size());
    in.remove_prefix(name.id.size());
    names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

// The cells [from, from + count), for as long as `fingerprint` and `lengthened` stay as they are. That one is made when
// cells are first wanted that `fingerprint` does not have.
Result<std::span<const CopyCell>> CellsOf(const CopyFingerprint& fingerprint, const CopyScan& scan, std::size_t from,
                                          std::size_t count, std::optional<CopyFingerprint>& lengthened) {
  if (from + count <= fingerprint.cells().size()) return fingerprint.cells().subspan(from, count);
  if (!lengthened) {
    ASSIGN_OR_RETURN(lengthened, fingerprint.Lengthened(scan));
  }
  return lengthened->cells().subspan(from, count);
}

// One run of Reconcile.
class Comparison {
 public:
  Comparison(const CopyFingerprint& here, Position position, const CopyScan& scan, CopyHolder& holder,
             CopyProgress& progress)
      : here_(here), position_(position), scan_(scan), holder_(holder), progress_(progress), peeler_(here.keying()) {}

  Result<CopyDifference> Run() {
    RETURN_IF_ERROR(Open());
    if (here_.total() == progress_.there.total) return CopyDifference{};
    if (!progress_.by_bucket) RETURN_IF_ERROR(ByCells());
    CopyDifference difference;
    if (progress_.by_bucket) {
      RETURN_IF_ERROR(ByBucket());
      difference = progress_.found;
    } else {
      ASSIGN_OR_RETURN(difference, peeler_.Difference());
    }
    RETURN_IF_ERROR(AccountFor(difference, here_.total(), progress_.there.total));
    return difference;
  }

 private:
  Result<std::string> Exchange(const std::string& question) {
    ASSIGN_OR_RETURN(std::string answer, holder_.Ask(question));
    progress_.bytes_sent += question.size();
    progress_.bytes_received += answer.size();
    if (answer.size() > kCopyAnswerBytesMax) return Corrupt("an answer is too long");
    return answer;
  }

  Status Open() {
    if (!progress_.opened) {
      ASSIGN_OR_RETURN(const std::string answer, Exchange(std::string(1, kOpen)));
      ASSIGN_OR_RETURN(progress_.there, CopyCut::Decode(answer));
      progress_.opened = true;
    }
    return Comparable(here_.Cut(position_), progress_.there);
  }

  // Until cells name all, or it is clear that they will not.
  Status ByCells() {
    if (progress_.cells > 0) RETURN_IF_ERROR(Take(0, progress_.cells, progress_.received));
    while (!peeler_.done()) {
      const std::size_t wanted = CellsWanted();
      if (wanted <= peeler_.size()) {
        progress_.by_bucket = true;
        progress_.received = {};
        return {};
      }
      const std::uint64_t from = peeler_.size(), count = wanted - from;
      std::string question = Ask(kCells, position_);
      AppendVarint(question, from);
      AppendVarint(question, count);
      ASSIGN_OR_RETURN(const std::string cells, Exchange(question));
      RETURN_IF_ERROR(Take(from, count, cells));
      progress_.received += cells;
      progress_.cells = wanted;
    }
    return {};
  }

  Status Take(std::uint64_t from, std::size_t count, std::string_view bytes) {
    ASSIGN_OR_RETURN(const std::vector<CopyCell> there, ReadCells(progress_.there.total.count, from, count, bytes));
    ASSIGN_OR_RETURN(const std::span<const CopyCell> here, CellsOf(here_, scan_, from, count, long_));
    return peeler_.Take(here, there);
  }

  // How many cells should do by what is known; as many as there are if it takes too many.
  std::size_t CellsWanted() const {
    const std::size_t size = peeler_.size();
    if (size == 0) return kFirstCells;
    const double enough = CellsFor(peeler_.Estimate());
    const double max = static_cast<double>(kCopyCellsMax);
    // Far more cells than the difference needs, and yet something is left: a row that is twice on one side alone
    // never comes out.
    const bool in_vain = static_cast<double>(size) > 3 * enough;
    if (size >= kCopyCellsMax || (size >= kEstimateCells && (enough > max || in_vain))) return size;
    const double least = static_cast<double>(size) * 1.05 + 8;
    const double most = static_cast<double>(size) * (size < kEstimateCells ? 4 : max);
    return static_cast<std::size_t>(std::min(max, std::clamp(enough, least, most)));
  }

  Status ByBucket() {
    ASSIGN_OR_RETURN(const std::string answer, Exchange(Ask(kBuckets, position_)));
    ASSIGN_OR_RETURN(std::vector<std::uint32_t> buckets, DifferingBuckets(here_, progress_.there.total, answer));
    std::erase_if(buckets, [&](std::uint32_t bucket) { return bucket < progress_.next_bucket; });
    for (std::size_t at = 0; at < buckets.size();) {
      const std::vector<BucketRun> runs = NextRuns(buckets, at);
      RETURN_IF_ERROR(CompareItems(runs));
      progress_.next_bucket = static_cast<std::uint32_t>(runs.back().first + runs.back().count);
    }
    return {};
  }

  Status CompareItems(std::span<const BucketRun> runs) {
    std::string question = Ask(kItems, position_);
    std::uint64_t next = 0;
    for (const BucketRun& run : runs) {
      AppendVarint(question, run.first - next);
      AppendVarint(question, run.count);
      next = run.first + run.count;
    }
    ASSIGN_OR_RETURN(const std::string answer, Exchange(question));
    ASSIGN_OR_RETURN(const std::vector<CopyName> there, ReadItems(runs, answer));
    std::vector<CopyName> here;
    RETURN_IF_ERROR(ScanRuns(scan_, runs, [&](const CopyItem& item) -> Status {
      here.push_back(NameOf(item));
      return {};
    }));
    std::ranges::sort(here);
    std::ranges::set_difference(here, there, std::back_inserter(progress_.found.here));
    std::ranges::set_difference(there, here, std::back_inserter(progress_.found.there));
    return {};
  }

  const CopyFingerprint& here_;
  Position position_;
  const CopyScan& scan_;
  CopyHolder& holder_;
  CopyProgress& progress_;
  CopyPeeler peeler_;
  std::optional<CopyFingerprint> long_;
};

void AppendNames(std::span<const CopyName> names, std::string& out) {
  AppendVarint(out, names.size());
  for (const CopyName& name : names) {
    AppendU64(out, name.code);
    out += View(name.id);
  }
}

bool TakeNames(std::string_view& in, std::vector<CopyName>& names) {
  constexpr std::size_t kNameBytes = 16;
  std::uint64_t count;
  if (!TakeVarint(in, count) || count > in.size() / kNameBytes) return false;
  names.resize(count);
  for (CopyName& name : names) {
    name.code = ReadU64(in);
    std::memcpy(name.id.data(), in.data() + 8, name.id.size());
    in.remove_prefix(kNameBytes);
  }
  return true;
}

}  // namespace

CopyAnswers::CopyAnswers(const CopyFingerprint& fingerprint, Position position, CopyScan scan)
    : fingerprint_(fingerprint), position_(position), scan_(std::move(scan)) {}

Result<std::string> CopyAnswers::Ask(std::string_view question) {
  constexpr std::size_t kHeadBytes = 9;
  if (question == std::string_view("\x01")) return fingerprint_.Cut(position_).Encode();
  if (question.size() < kHeadBytes) return Invalid("no question of a copy");
  if (Position(ReadU64(question.substr(1))) != position_) return Conflict("the copy is of another position by now");
  std::string_view rest = question.substr(kHeadBytes);
  switch (question[0]) {
    case kCells:
      return Cells(rest);
    case kBuckets:
      if (!rest.empty()) return Invalid("more bytes than the question has");
      return EncodeBuckets(fingerprint_);
    case kItems:
      return Items(rest);
    default:
      return Invalid("no question of a copy");
  }
}

Result<std::string> CopyAnswers::Cells(std::string_view in) {
  std::uint64_t from, count;
  if (!TakeVarint(in, from) || !TakeVarint(in, count) || !in.empty()) return Invalid("cells cannot be read");
  if (from > kCopyCellsMax || count > kCopyCellsMax - from) return Invalid("no such cells");
  ASSIGN_OR_RETURN(const std::span<const CopyCell> cells, CellsOf(fingerprint_, scan_, from, count, long_));
  std::string out;
  out.reserve(count * (kCellBytesMin + 1));
  AppendCells(fingerprint_.total().count, from, cells, out);
  return out;
}

Result<std::string> CopyAnswers::Items(std::string_view in) {
  ASSIGN_OR_RETURN(const std::vector<BucketRun> runs, ReadRuns(in));
  std::string out;
  std::uint64_t before = 0;
  RETURN_IF_ERROR(ScanRuns(scan_, runs, [&](const CopyItem& item) -> Status {
    if (item.code < before) return Conflict("the items read are not in order");
    AppendVarint(out, item.code - before);
    before = item.code;
    out += View(NameOf(item).id);
    return out.size() > kCopyAnswerBytesMax ? Unavailable("too many items for one answer") : Status();
  }));
  return out;
}

std::string CopyProgress::Encode() const {
  std::string out(1, kFormat);
  out += there.Encode();
  out += static_cast<char>(opened);
  out += static_cast<char>(by_bucket);
  AppendU32(out, next_bucket);
  AppendU64(out, bytes_sent);
  AppendU64(out, bytes_received);
  AppendNames(found.here, out);
  AppendNames(found.there, out);
  AppendVarint(out, cells);
  return out += received;
}

Result<CopyProgress> CopyProgress::Decode(std::string_view bytes) {
  constexpr std::size_t kFixedBytes = 1 + CopyCut::kBytes + 2 + 4 + 16;
  if (bytes.size() < kFixedBytes) return Corrupt("stored progress is cut short");
  if (bytes[0] != kFormat) return Unsupported("stored progress of another format");
  CopyProgress out;
  ASSIGN_OR_RETURN(out.there, CopyCut::Decode(bytes.substr(1, CopyCut::kBytes)));
  bytes.remove_prefix(1 + CopyCut::kBytes);
  out.opened = bytes[0] == 1;
  out.by_bucket = bytes[1] == 1;
  out.next_bucket = ReadU32(bytes.substr(2));
  out.bytes_sent = ReadU64(bytes.substr(6));
  out.bytes_received = ReadU64(bytes.substr(14));
  bytes.remove_prefix(22);
  if (!TakeNames(bytes, out.found.here) || !TakeNames(bytes, out.found.there) || !TakeVarint(bytes, out.cells) ||
      out.cells > kCopyCellsMax) {
    return Corrupt("stored progress cannot be read");
  }
  out.received = bytes;
  return out;
}

Result<CopyDifference> Reconcile(const CopyFingerprint& here, Position position, const CopyScan& scan,
                                 CopyHolder& holder, CopyProgress& progress) {
  return Comparison(here, position, scan, holder, progress).Run();
}

}  // namespace daicho
