#include "consumers/export.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "events/topics.h"
#include "ledger/files.h"
#include "ledger/sequencer.h"
#include "ledger/tree_store.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr std::size_t kPollRecords = 5'000;
constexpr std::size_t kHashBytes = 32;
constexpr std::size_t kLeafBytesMax = 65'535;
constexpr char kEntries[] = "tile/entries/";
constexpr char kParts[] = "parts/";

std::string BundlePath(std::uint64_t index, std::uint64_t width) {
  TilePath path;
  path.entries = true;
  path.index = index;
  path.width = width;
  return FormatTilePath(path);
}
std::string PartsPath(std::uint64_t index, std::uint64_t width) {
  return kParts + BundlePath(index, width).substr(sizeof(kEntries) - 1);
}
std::string HashPath(int level, std::uint64_t index, std::uint64_t width) {
  TilePath path;
  path.level = level;
  path.index = index;
  path.width = width;
  return FormatTilePath(path);
}

// Written beside and renamed; synced with all others at the end.
Status WriteExported(const std::string& path, std::string_view content) {
  std::error_code error;
  fs::create_directories(fs::path(path).parent_path(), error);
  const std::string beside = path + ".new";
  std::ofstream out(beside, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) return Unavailable("writing " + path);
  fs::rename(beside, path, error);
  return error ? Unavailable("writing " + path + ": " + error.message()) : Status();
}

// A tree as tiles, level by level: `put` gets each once it is full, and at the end those that are not.
class TileBuilder {
 public:
  using Put = std::function<Status(const std::string& path, std::string_view tile)>;
  explicit TileBuilder(Put put) : put_(std::move(put)) {}

  Status Append(const Digest& leaf_hash) {
    ++size_;
    Digest hash = leaf_hash;
    for (std::size_t level = 0;; ++level) {
      if (level == tiles_.size()) tiles_.emplace_back();
      std::string& tile = tiles_[level];
      tile.append(View(hash));
      if (tile.size() < kTileWidth * kHashBytes) return {};
      RETURN_IF_ERROR(put_(HashPath(static_cast<int>(level), Index(level) - 1, kTileWidth), tile));
      MerkleEdge subtree;
      for (std::size_t i = 0; i < kTileWidth; ++i) {
        subtree.Append(ToArray<32>(std::string_view(tile).substr(i * kHashBytes, kHashBytes)).value());
      }
      hash = subtree.Root();
      tile.clear();
    }
  }
  Status Finish() {
    for (std::size_t level = 0; level < tiles_.size(); ++level) {
      if (tiles_[level].empty()) continue;
      RETURN_IF_ERROR(put_(HashPath(static_cast<int>(level), Index(level), tiles_[level].size() / kHashBytes),
                           tiles_[level]));
    }
    return {};
  }
  std::uint64_t size() const { return size_; }

 private:
  // Full tiles of that level.
  std::uint64_t Index(std::size_t level) const { return size_ >> (8 * (level + 1)); }

  Put put_;
  std::uint64_t size_ = 0;
  std::vector<std::string> tiles_;
};

void AppendU16(std::string& out, std::size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}

class Exporter {
 public:
  explicit Exporter(const ExportOptions& options)
      : options_(options), topics_{options.prefecture},
        tiles_([this](const std::string& path, std::string_view tile) { return Put(path, tile); }) {}

  Result<ExportResult> Run() {
    ASSIGN_OR_RETURN(const std::string pinned, ReadFile(options_.public_part));
    RETURN_IF_ERROR(WriteExported(options_.to + "/ledger.pub.json", pinned));
    RETURN_IF_ERROR(Checkpoints());
    ASSIGN_OR_RETURN(const Bounds bounds, options_.log->GetBounds(topics_.Ledger()));
    RETURN_IF_ERROR(Resume());
    RETURN_IF_ERROR(Entries(bounds));
    RETURN_IF_ERROR(FlushBundles());
    RETURN_IF_ERROR(tiles_.Finish());
    if (newest_ && (tree_.size() != newest_->size || tree_.Root() != newest_->root)) {
      return Tampered("the ledger does not lead to its newest checkpoint; daicho audit verify says why");
    }
    const Descriptor dir(::open(options_.to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (::syncfs(dir.get()) != 0) return ErrnoStatus("syncing " + options_.to);
    out_.entries = tree_.size();
    return out_;
  }

 private:
  Status Checkpoints() {
    const auto bounds = options_.log->GetBounds(topics_.Checkpoint());
    if (bounds.status().code() == Code::kNotFound) return {};
    RETURN_IF_ERROR(bounds.status());
    ASSIGN_OR_RETURN(auto reader, options_.log->OpenReader());
    RETURN_IF_ERROR(reader->Assign(topics_.Checkpoint(), bounds->first).status());
    std::map<std::uint64_t, int> of_size;
    std::string newest;
    while (reader->Next(0) < bounds->end) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, milliseconds(100)));
      for (const Received& record : records) {
        auto head = ParseTreeHead(record.value);
        if (!head.ok()) return head.status().With("checkpoint topic");
        RETURN_IF_ERROR(WriteExported(
            fmt::format("{}/checkpoints/{:020}-{}", options_.to, head->size, of_size[head->size]++), record.value));
        ++out_.checkpoints;
        if (newest_ && head->size < newest_->size) continue;
        newest_ = *head;
        newest = record.value;
      }
    }
    return newest_ ? WriteExported(options_.to + "/checkpoint", newest) : Status();
  }

  // What an earlier export holds in full bundles is taken from its own tiles.
  Status Resume() {
    for (std::uint64_t index = 0;; ++index) {
      const std::uint64_t end = (index + 1) * kTileWidth;
      if (newest_ && end > newest_->size) return {};
      if (!FileExists(options_.to + "/" + PartsPath(index, kTileWidth)) ||
          !FileExists(options_.to + "/" + BundlePath(index, kTileWidth))) {
        return {};
      }
      const auto tile = ReadFile(options_.to + "/" + HashPath(0, index, kTileWidth));
      if (!tile.ok() || tile->size() != kTileWidth * kHashBytes) return {};
      for (std::size_t i = 0; i < kTileWidth; ++i) {
        RETURN_IF_ERROR(Take(ToArray<32>(std::string_view(*tile).substr(i * kHashBytes, kHashBytes)).value()));
      }
    }
  }

  Status Entries(const Bounds& bounds) {
    ASSIGN_OR_RETURN(const Cursor from, FindEntry(*options_.log, topics_.Ledger(), Position(tree_.size())));
    ASSIGN_OR_RETURN(auto reader, options_.log->OpenReader());
    RETURN_IF_ERROR(reader->Assign(topics_.Ledger(), from).status());
    EntryView entry;
    while (reader->Next(0) < bounds.end && !Complete()) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, milliseconds(100)));
      for (const Received& record : records) {
        if (record.cursor >= bounds.end || Complete()) break;
        RETURN_IF_ERROR(ParseEntry(record.value, entry).With("position " + std::to_string(tree_.size())));
        RETURN_IF_ERROR(One(entry));
      }
      if (options_.progress) options_.progress(reader->Next(0).value(), bounds.end.value());
    }
    return {};
  }
  bool Complete() const { return newest_ && tree_.size() == newest_->size; }

  Status One(const EntryView& entry) {
    if (entry.leaf.size() > kLeafBytesMax) return Unsupported("a leaf is too long for a bundle");
    AppendU16(leaves_, entry.leaf.size());
    leaves_.append(entry.leaf);
    AppendU16(parts_, entry.parts.size());
    for (const std::string_view part : entry.parts) {
      AppendU32(parts_, static_cast<std::uint32_t>(part.size()));
      parts_.append(part);
    }
    ++bundled_;
    RETURN_IF_ERROR(Take(LeafHash(entry.leaf)));
    return bundled_ == kTileWidth ? FlushBundles() : Status();
  }

  Status Take(const Digest& leaf_hash) {
    tree_.Append(leaf_hash);
    return tiles_.Append(leaf_hash);
  }

  Status FlushBundles() {
    if (bundled_ == 0) return {};
    const std::uint64_t index = (tree_.size() - 1) / kTileWidth;
    RETURN_IF_ERROR(Put(BundlePath(index, bundled_), leaves_));
    RETURN_IF_ERROR(Put(PartsPath(index, bundled_), parts_));
    leaves_.clear();
    parts_.clear();
    bundled_ = 0;
    return {};
  }

  // In place of narrower ones of an earlier export.
  Status Put(const std::string& path, std::string_view content) {
    const std::string whole = options_.to + "/" + path.substr(0, path.find(".p/"));
    std::error_code error;
    fs::remove_all(whole + ".p", error);
    return WriteExported(options_.to + "/" + path, content);
  }

  const ExportOptions& options_;
  Topics topics_;
  TileBuilder tiles_;
  MerkleEdge tree_;
  std::optional<TreeHead> newest_;
  std::string leaves_, parts_;
  std::uint64_t bundled_ = 0;
  ExportResult out_;
};

// --- reading it ------------------------------------------------------------------------------------

// The width of the partial bundle `index`, 0 when there is none.
std::uint64_t PartialWidth(const std::string& dir, std::uint64_t index) {
  std::uint64_t width = 0;
  const std::string path = dir + "/" + BundlePath(index, kTileWidth) + ".p";
  std::error_code error;
  for (const auto& file : fs::directory_iterator(path, error)) {
    const std::string name = file.path().filename();
    const std::uint64_t value = std::strtoull(name.c_str(), nullptr, 10);
    if (value > 0 && value < kTileWidth && std::to_string(value) == name) width = std::max(width, value);
  }
  return width;
}

std::uint64_t CountEntries(const std::string& dir) {
  std::uint64_t full = 0;
  while (FileExists(dir + "/" + BundlePath(full, kTileWidth))) ++full;
  return full * kTileWidth + PartialWidth(dir, full);
}

void AppendField(std::string& out, char tag, std::string_view bytes) {
  out.push_back(tag);
  std::size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7) out.push_back(static_cast<char>(size | 0x80));
  out.push_back(static_cast<char>(size));
  out.append(bytes);
}

// Takes a big-endian length of `width` bytes and as many bytes. False when they are not there.
bool TakeSized(std::string_view& in, std::size_t width, std::string_view& out) {
  if (in.size() < width) return false;
  std::size_t size = 0;
  for (std::size_t i = 0; i < width; ++i) size = size << 8 | static_cast<std::uint8_t>(in[i]);
  if (in.size() - width < size) return false;
  out = in.substr(width, size);
  in.remove_prefix(width + size);
  return true;
}

// An entry's parts as fields of its record.
bool TakeParts(std::string_view& in, std::string& record) {
  if (in.size() < 2) return false;
  const std::size_t count = static_cast<std::size_t>(static_cast<std::uint8_t>(in[0])) << 8 |
                            static_cast<std::uint8_t>(in[1]);
  in.remove_prefix(2);
  for (std::size_t i = 0; i < count; ++i) {
    std::string_view part;
    if (!TakeSized(in, 4, part)) return false;
    AppendField(record, v1::Entry::kPartsFieldNumber << 3 | 2, part);
  }
  return true;
}

class ExportReader final : public LogReader {
 public:
  ExportReader(std::string dir, int prefecture, std::uint64_t entries, std::vector<std::string> checkpoints)
      : dir_(std::move(dir)), topics_{prefecture}, entries_(entries), checkpoints_(std::move(checkpoints)) {}

  Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
    if (assigned_) return Invalid("an export is read one topic at a time");
    if (topic != topics_.Ledger() && topic != topics_.Checkpoint()) return NotFound("no topic " + topic);
    assigned_ = true;
    of_ledger_ = topic == topics_.Ledger();
    next_ = from;
    return 0u;
  }

  Result<std::vector<Received>> Poll(std::size_t records_max, milliseconds) override {
    return of_ledger_ ? PollEntries(records_max) : PollCheckpoints(records_max);
  }

  Cursor Next(std::uint32_t) const override { return next_; }

 private:
  Result<std::vector<Received>> PollCheckpoints(std::size_t records_max) {
    std::vector<Received> out;
    while (out.size() < records_max && next_.value() < checkpoints_.size()) {
      const std::uint64_t at = next_.value();
      ASSIGN_OR_RETURN(std::string note, ReadFile(dir_ + "/checkpoints/" + checkpoints_[at]));
      next_ = next_.Next();
      out.push_back({0, Cursor(at), next_, "", std::move(note)});
    }
    return out;
  }

  Result<std::vector<Received>> PollEntries(std::size_t records_max) {
    std::vector<Received> out;
    while (out.size() < records_max && next_.value() < entries_) {
      const std::uint64_t index = next_.value() / kTileWidth;
      if (bundle_ != index) RETURN_IF_ERROR(LoadBundle(index));
      const std::uint64_t at = next_.value() % kTileWidth;
      const std::uint64_t here = next_.value();
      next_ = next_.Next();
      if (at < records_.size()) out.push_back({0, Cursor(here), next_, KeyOf(records_[at]), std::move(records_[at])});
    }
    return out;
  }

  // As many records as can be made of it; where a length is damaged, the rest is one that nothing accepts.
  Status LoadBundle(std::uint64_t index) {
    records_.clear();
    bundle_ = index;
    const std::uint64_t width = std::min(kTileWidth, entries_ - index * kTileWidth);
    ASSIGN_OR_RETURN(const std::string leaves, ReadFile(dir_ + "/" + BundlePath(index, width)));
    const auto parts = ReadFile(dir_ + "/" + PartsPath(index, width));
    std::string_view left = leaves, left_parts = parts.ok() ? std::string_view(*parts) : std::string_view();
    for (std::uint64_t i = 0; i < width; ++i) {
      std::string_view leaf;
      std::string record;
      if (!TakeSized(left, 2, leaf)) {
        records_.emplace_back(left);
        return {};
      }
      AppendField(record, v1::Entry::kLeafFieldNumber << 3 | 2, leaf);
      if (!TakeParts(left_parts, record)) left_parts = {};
      records_.push_back(std::move(record));
    }
    // Bytes that belong to no entry.
    if (!left.empty() || !left_parts.empty()) records_.back().append("\x1a\x00", 2);
    return {};
  }

  std::string KeyOf(const std::string& record) {
    if (!ParseEntry(record, entry_).ok() || !ParseLeafInto(entry_.leaf, leaf_).ok() || leaf_.keys().empty()) {
      return std::string(16, '\0');
    }
    return leaf_.keys(0).subject();
  }

  std::string dir_;
  Topics topics_;
  std::uint64_t entries_;
  std::vector<std::string> checkpoints_;
  bool assigned_ = false, of_ledger_ = false;
  Cursor next_;
  std::optional<std::uint64_t> bundle_;
  std::vector<std::string> records_;  // of the bundle
  EntryView entry_;
  v1::EntryLeaf leaf_;
};

class ExportLog final : public Log {
 public:
  ExportLog(std::string dir, int prefecture)
      : dir_(std::move(dir)), prefecture_(prefecture), entries_(CountEntries(dir_)) {
    std::error_code error;
    for (const auto& file : fs::directory_iterator(dir_ + "/checkpoints", error)) {
      checkpoints_.push_back(file.path().filename());
    }
    std::sort(checkpoints_.begin(), checkpoints_.end());
  }

  Status CreateTopic(const std::string&) override { return Denied("an export is for reading"); }
  Status Append(const std::string&, const Record&) override { return Denied("an export is for reading"); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string&) override {
    return Denied("an export is for reading");
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    return std::unique_ptr<LogReader>(std::make_unique<ExportReader>(dir_, prefecture_, entries_, checkpoints_));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    const Topics topics{prefecture_};
    if (topic == topics.Ledger()) return Bounds{Cursor(0), Cursor(entries_)};
    if (topic == topics.Checkpoint()) return Bounds{Cursor(0), Cursor(checkpoints_.size())};
    return NotFound("an export holds no topic " + topic);
  }
  Result<Received> ReadLast(const std::string& topic) override {
    ASSIGN_OR_RETURN(const Bounds bounds, GetBounds(topic));
    if (bounds.end == bounds.first) return NotFound("topic " + topic + " is empty");
    ASSIGN_OR_RETURN(auto reader, OpenReader());
    RETURN_IF_ERROR(reader->Assign(topic, Cursor(bounds.end.value() - 1)).status());
    ASSIGN_OR_RETURN(auto records, reader->Poll(1, milliseconds(0)));
    if (records.empty()) return Corrupt("the export's last record is damaged");
    return std::move(records.front());
  }

 private:
  std::string dir_;
  int prefecture_;
  std::uint64_t entries_;
  std::vector<std::string> checkpoints_;
};

// --- what an export is besides its ledger ------------------------------------------------------------

class ExportCheck {
 public:
  ExportCheck(std::string dir, const LedgerPublic& ledger)
      : dir_(std::move(dir)), ledger_(ledger),
        tiles_([this](const std::string& path, std::string_view tile) { return Compare(path, tile); }) {}

  void Take(const Digest& leaf_hash) { static_cast<void>(tiles_.Append(leaf_hash).ok()); }

  std::vector<Finding> Finish() {
    static_cast<void>(tiles_.Finish().ok());
    size_ = CountEntries(dir_);
    for (std::uint64_t index = 0; index * kTileWidth < size_; ++index) {
      const std::string parts = PartsPath(index, std::min(kTileWidth, size_ - index * kTileWidth));
      if (!FileExists(dir_ + "/" + parts)) Report(index * kTileWidth, FindingKind::kExport, parts + " is missing");
    }
    CheckPublicPart();
    CheckCheckpoints();
    CheckNames();
    return std::move(findings_);
  }

 private:
  void Report(std::uint64_t position, FindingKind kind, std::string detail) {
    findings_.push_back({Position(position), kind, std::move(detail)});
  }

  Status Compare(const std::string& path, std::string_view tile) {
    const std::uint64_t position = (tiles_.size() - 1) / kTileWidth * kTileWidth;
    const auto stored = ReadFile(dir_ + "/" + path);
    if (!stored.ok()) {
      Report(position, FindingKind::kExport, path + " is missing");
    } else if (*stored != tile) {
      Report(position, FindingKind::kTile, path + " differs from the ledger");
    }
    return {};
  }

  // Its own public part is no more than a copy, byte for byte as it is written.
  void CheckPublicPart() {
    const auto text = ReadFile(dir_ + "/ledger.pub.json");
    const auto own = ReadLedgerPublic(dir_ + "/ledger.pub.json");
    if (!text.ok() || !own.ok()) {
      Report(0, FindingKind::kExport, "ledger.pub.json: " + (text.ok() ? own.status() : text.status()).message());
      return;
    }
    if (*own != ledger_ || *text != FormatLedgerPublic(ledger_)) {
      Report(0, FindingKind::kExport, "ledger.pub.json is not that of the ledger");
    }
  }

  void CheckCheckpoints() {
    const auto newest = ReadFile(dir_ + "/checkpoint");
    bool known = false;
    std::map<std::string, std::set<std::uint64_t>> of_size;  // numbers, by the name's size
    std::error_code error;
    for (const auto& file : fs::directory_iterator(dir_ + "/checkpoints", error)) {
      const std::string name = file.path().filename();
      const auto note = ReadFile(file.path());
      known = known || (note.ok() && newest.ok() && *note == *newest);
      const auto head = ParseTreeHead(note.ok() ? *note : "");
      if (name.size() > 21) {
        of_size[name.substr(0, 21)].insert(std::strtoull(name.c_str() + 21, nullptr, 10));
      }
      if (head.ok() && name.substr(0, 21) != fmt::format("{:020}-", head->size)) {
        Report(head->size, FindingKind::kExport, "checkpoints/" + name + " is of another size");
      }
    }
    for (const auto& [size, numbers] : of_size) {
      if (*numbers.rbegin() + 1 != numbers.size()) {
        Report(0, FindingKind::kExport, "of checkpoints/" + size + "… one is missing");
      }
    }
    if (!newest.ok()) {
      if (!of_size.empty()) Report(size_, FindingKind::kExport, "checkpoint is missing");
      return;
    }
    const auto head = ParseTreeHead(*newest);
    if (!known || !head.ok() || head->size != size_) {
      Report(size_, FindingKind::kExport, "checkpoint is not the newest of checkpoints/, or not of this size");
    }
  }

  void CheckNames() {
    std::error_code error;
    for (const auto& file : fs::recursive_directory_iterator(dir_, error)) {
      if (file.is_directory()) continue;
      const std::string name = fs::path(file.path()).lexically_relative(dir_);
      if (!Belongs(name)) Report(0, FindingKind::kExport, name + " does not belong to it");
    }
  }

  bool Belongs(const std::string& name) const {
    if (name == "ledger.pub.json" || name == "checkpoint" || name.starts_with("checkpoints/")) return true;
    const bool parts = name.starts_with(kParts);
    const auto path = ParseTilePath(parts ? kEntries + name.substr(sizeof(kParts) - 1) : name);
    if (!path.ok()) return false;
    const int shift = path->entries ? 0 : 8 * path->level;
    const std::uint64_t count = shift < 64 ? size_ >> shift : 0;  // hashes, or entries, of that level
    if (path->width == kTileWidth) return (path->index + 1) * kTileWidth <= count;
    return path->index == count / kTileWidth && path->width == count % kTileWidth;
  }

  std::string dir_;
  LedgerPublic ledger_;
  TileBuilder tiles_;
  std::uint64_t size_ = 0;
  std::vector<Finding> findings_;
};

}  // namespace

Result<ExportResult> Export(const ExportOptions& options) { return Exporter(options).Run(); }

Result<std::unique_ptr<Log>> OpenExport(const std::string& dir, int prefecture) {
  if (!fs::is_directory(dir + "/tile")) return NotFound(dir + " holds no export");
  return std::unique_ptr<Log>(std::make_unique<ExportLog>(dir, prefecture));
}

Result<AuditResult> AuditExport(const std::string& dir, AuditOptions options) {
  ASSIGN_OR_RETURN(const auto log, OpenExport(dir, options.ledger.prefecture));
  ExportCheck check(dir, options.ledger);
  options.log = log.get();
  options.each = [&](const LedgerReplay::Checked& entry) { check.Take(entry.leaf_hash); };
  ASSIGN_OR_RETURN(AuditResult out, Audit(options));
  if (options.first_only && !out.good()) return out;
  for (Finding& finding : check.Finish()) {
    ++out.findings_total;
    if (out.findings.size() < kFindingsMax) out.findings.push_back(std::move(finding));
  }
  return out;
}

}  // namespace daicho
