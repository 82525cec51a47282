#include "projections/search_index.h"

#include <algorithm>
#include <charconv>
#include <future>
#include <limits>
#include <thread>

#include "projections/bulk_load.h"

namespace daicho {
namespace search_index {
namespace {

// On disk, in the first byte of a period's content: the sex, and whether the version is the only one.
constexpr std::uint8_t kSexMask = 3;
constexpr std::uint8_t kSole = 4;
constexpr Position kOpen(std::numeric_limits<std::uint64_t>::max());

bool TakeU24(std::string_view& in, std::uint32_t& out) {
  if (in.size() < 3) return false;
  out = ReadU24(in);
  in.remove_prefix(3);
  return true;
}

bool TakeBytes(std::string_view& in, std::string_view& out) {
  std::uint64_t size = 0;
  if (!TakeVarint(in, size) || size > in.size()) return false;
  out = in.substr(0, size);
  in.remove_prefix(size);
  return true;
}

void AppendSlot(std::string& out, KeySlot slot) {
  CHECK(slot.value() < std::uint64_t{1} << 40);
  for (int shift = 32; shift >= 0; shift -= 8) out.push_back(static_cast<char>(slot.value() >> shift));
}

// What one version is found by.
struct Content {
  v1::Sex sex;
  std::uint32_t municipality, birth;
  std::vector<std::pair<Kind, FoldedName>> names;
  std::string address;

  std::string_view AddressHead() const { return std::string_view(address).substr(0, kAddressHeadBytes); }
};

Content ContentOf(const Matching& matching, const Version& version) {
  const v1::ResidentRecord& record = version.notice.record();
  Content out{record.sex(), MunicipalityNumber(record.address().municipality()),
              BirthNumber(ParseLenientDate(record.birth()).value_or(LenientDate())), {},
              matching.FoldAddress(record.address().text())};
  const auto add = [&](Kind kind, const std::string& text) {
    if (text.empty()) return;
    FoldedName folded = kind == Kind::kText ? matching.FoldName(text) : matching.FoldKana(text);
    const std::pair name(kind, std::move(folded));
    if (!name.second.text.empty() && std::ranges::find(out.names, name) == out.names.end()) out.names.push_back(name);
  };
  for (const std::string* name : {&record.name(), &record.former_name().name(), &record.alias().name(),
                                  &record.latin_name()}) {
    add(Kind::kText, *name);
  }
  for (const std::string* kana : {&record.kana(), &record.former_name().kana(), &record.alias().kana()}) {
    add(Kind::kKana, *kana);
  }
  return out;
}

// A stretch of positions in which a version may be the one that holds.
struct Stretch {
  std::size_t version;
  Position from, until;
  bool sole;
};

// Where a period's version stands, as far as a reader may rely on it: 1 + the distance from the period's begin.
constexpr std::uint64_t kNewestUnknown = 0;

// After each version: those that RecordFile::Read may give, on that day or on a later one.
std::vector<Stretch> StretchesOf(const std::vector<Version>& versions) {
  if (versions.size() == 1) return {{0, versions[0].position, kOpen, true}};
  std::vector<Stretch> out;
  std::vector<std::size_t> known;  // by falling 更新順番号, the latest first among equals
  std::vector<std::size_t> open;   // of `out`: those that hold before the next version
  for (std::size_t at = 0; at < versions.size(); ++at) {
    const auto number = [&](std::size_t i) { return versions[i].notice.update_number(); };
    known.insert(std::ranges::find_if(known, [&](std::size_t i) { return number(i) <= number(at); }), at);
    const std::string day = FormatDate(JapanDate(versions[at].admitted_at));
    std::vector<std::size_t> holding;
    std::vector<std::uint32_t> cancelled;
    for (const std::size_t i : known) {
      const v1::UpdateNotice& notice = versions[i].notice;
      const bool is_void = std::ranges::find(cancelled, notice.update_number()) != cancelled.end();
      if (notice.cancels() != 0) cancelled.push_back(notice.cancels());
      if (is_void) continue;
      holding.push_back(i);
      if (notice.changed_on() <= day) break;
    }
    const bool sole = holding.size() == 1;
    std::vector<std::size_t> still;
    for (const std::size_t i : open) {
      const auto found = std::ranges::find(holding, out[i].version);
      if (found != holding.end() && out[i].sole == sole) {
        holding.erase(found);
        still.push_back(i);
      } else {
        out[i].until = versions[at].position;
      }
    }
    for (const std::size_t i : holding) {
      still.push_back(out.size());
      out.push_back({i, versions[at].position, kOpen, sole});
    }
    open = std::move(still);
  }
  return out;
}

// A row of one stretch, before those of one key are joined.
struct Piece {
  Family family;
  std::string key, content;
  Position from, until;
  std::optional<Position> newest;
};

void AppendPieces(const Content& content, KeySlot slot, const Stretch& stretch, Position version,
                  std::vector<Piece>& out) {
  // Of one that holds again, since what followed it is void, other versions stand between.
  const auto newest = version == stretch.from ? std::optional(version) : std::nullopt;
  const char sex = static_cast<char>((content.sex & kSexMask) | (stretch.sole ? kSole : 0));
  std::string municipality, birth, names;
  AppendU24(municipality, content.municipality);
  AppendU24(birth, content.birth);
  const auto put = [&](Family family, std::string key, std::string held) {
    AppendSlot(key, slot);
    out.push_back({family, std::move(key), std::move(held), stretch.from, stretch.until, newest});
  };
  for (const auto& [kind, name] : content.names) {
    std::string held(1, sex);
    held += municipality;
    AppendVarint(held, name.first);
    AppendVarint(held, content.AddressHead().size());
    held += content.AddressHead();
    put(RecordFile::kSearchNames, static_cast<char>(kind) + name.text + '\0' + birth, std::move(held));
    if (!name.Second().empty()) {
      put(RecordFile::kSearchGiven, static_cast<char>(kind) + std::string(name.Second()) + '\0' + municipality + birth,
          std::string(1, sex));
    }
    names.push_back(static_cast<char>(kind));
    AppendVarint(names, name.first);
    AppendVarint(names, name.text.size());
    names += name.text;
  }
  std::string framed;
  AppendVarint(framed, names.size());
  framed += names;
  put(RecordFile::kSearchPeople, municipality + birth, sex + framed);
  put(RecordFile::kSearchAddresses, municipality + content.address + '\0', sex + birth + framed);
}

}  // namespace

std::uint32_t BirthNumber(LenientDate birth) {
  return static_cast<std::uint32_t>(birth.year) << 9 | std::uint32_t{birth.month} << 5 | birth.day;
}

std::uint32_t MunicipalityNumber(std::string_view code) {
  std::uint32_t out = 0;
  const auto [end, error] = std::from_chars(code.data(), code.data() + code.size(), out);
  return error == std::errc() && end == code.data() + code.size() && out < 1U << 24 ? out : 0;
}

bool Periods::Next(Period& out) {
  if (rest_.empty() || !ok_) return false;
  ok_ = false;
  std::uint64_t from = 0, length = 0, newest = 0, first = 0;
  if (!TakeVarint(rest_, from) || !TakeVarint(rest_, length) || !TakeVarint(rest_, newest) || rest_.empty()) {
    return false;
  }
  out.from = Position(from);
  out.until = length == 0 ? std::nullopt : std::optional(Position(from + length));
  out.newest = newest == kNewestUnknown ? std::nullopt : std::optional(Position(from + newest - 1));
  const auto flags = static_cast<std::uint8_t>(rest_.front());
  rest_.remove_prefix(1);
  out.sex = static_cast<v1::Sex>(flags & kSexMask);
  out.sole = (flags & kSole) != 0;
  out.names.clear();
  if (family_ == RecordFile::kSearchNames) {
    if (!TakeU24(rest_, out.municipality) || !TakeVarint(rest_, first) || !TakeBytes(rest_, out.address_head)) {
      return false;
    }
    out.first = first;
  } else if (family_ != RecordFile::kSearchGiven) {
    if (family_ == RecordFile::kSearchAddresses && !TakeU24(rest_, out.birth)) return false;
    std::string_view names;
    if (!TakeBytes(rest_, names)) return false;
    while (!names.empty()) {
      HeldName name;
      name.kind = static_cast<Kind>(names.front());
      names.remove_prefix(1);
      if (!TakeVarint(names, first) || !TakeBytes(names, name.text) || first > name.text.size()) return false;
      name.first = first;
      out.names.push_back(name);
    }
  }
  return ok_ = true;
}

std::vector<Row> RowsOf(const Matching& matching, KeySlot subject, const std::vector<Version>& versions) {
  std::vector<Piece> pieces;
  std::map<std::size_t, Content> contents;
  for (const Stretch& stretch : StretchesOf(versions)) {
    auto content = contents.find(stretch.version);
    if (content == contents.end()) {
      content = contents.emplace(stretch.version, ContentOf(matching, versions[stretch.version])).first;
    }
    AppendPieces(content->second, subject, stretch, versions[stretch.version].position, pieces);
  }
  std::ranges::sort(pieces, [](const Piece& a, const Piece& b) {
    return std::tie(a.family, a.key, a.content, a.from) < std::tie(b.family, b.key, b.content, b.from);
  });
  // One after the other with the same content is one period.
  std::vector<Piece> joined;
  for (Piece& piece : pieces) {
    if (!joined.empty() && joined.back().family == piece.family && joined.back().key == piece.key &&
        joined.back().content == piece.content && joined.back().until >= piece.from) {
      if (piece.until >= joined.back().until) {
        joined.back().until = piece.until;
        joined.back().newest = piece.newest;
      }
    } else {
      joined.push_back(std::move(piece));
    }
  }
  const auto latest_first = [](const Piece& a, const Piece& b) {
    return std::tie(a.family, a.key, b.from) < std::tie(b.family, b.key, a.from);
  };
  // Mostly each key has one period, and they are in order.
  if (!std::ranges::is_sorted(joined, latest_first)) std::ranges::stable_sort(joined, latest_first);
  std::vector<Row> rows;
  for (Piece& piece : joined) {
    if (rows.empty() || rows.back().family != piece.family || rows.back().key != piece.key) {
      rows.push_back({piece.family, std::move(piece.key), {}});
    }
    std::string& value = rows.back().value;
    AppendVarint(value, piece.from.value());
    AppendVarint(value, piece.until == kOpen ? 0 : piece.until.value() - piece.from.value());
    AppendVarint(value, piece.newest ? 1 + piece.newest->value() - piece.from.value() : kNewestUnknown);
    value += piece.content;
  }
  return rows;
}

}  // namespace search_index

using search_index::Kind;
using search_index::Row;

namespace {

constexpr Position kNewest(std::numeric_limits<std::uint64_t>::max());

constexpr char kMunicipalityPart = 'm';

Row RowOf(const std::string& part, Position first) {
  std::string value;
  AppendU64(value, first.value());
  return {RecordFile::kSearchParts, part, std::move(value)};
}

}  // namespace

Status SearchParts::Load(const Store& store) {
  const std::unique_lock lock(mutex_);
  firsts_.clear();
  texts_.clear();
  municipalities_.clear();
  auto it = store.NewIterator(RecordFile::kSearchParts);
  for (it.SeekToFirst(); it.Valid(); it.Next()) {
    const std::size_t least = it.key().starts_with(kMunicipalityPart) ? 4 : 2;
    if (it.key().size() < least || it.value().size() != 8) return Corrupt("search parts: a row cannot be decoded");
    Add(it.key(), Position(ReadU64(it.value())));
  }
  return it.status();
}

bool SearchParts::Add(std::string_view key, Position first) {
  const auto [known, is_new] = firsts_.emplace(key, first);
  if (!is_new && known->second <= first) return false;
  known->second = first;
  if (key.front() == kMunicipalityPart) {
    municipalities_[ReadU24(key.substr(1))] = first;
    return true;
  }
  if (!is_new) return true;
  std::string& texts = texts_[std::string(key.substr(0, 2))];
  if (texts.empty()) texts.push_back('\0');
  texts += key.substr(2);
  texts.push_back('\0');
  return true;
}

std::vector<Row> SearchParts::Learn(const std::vector<Row>& rows) {
  std::vector<std::pair<std::string, Position>> parts;  // new, or from an earlier position
  {
    const std::shared_lock lock(mutex_);
    std::string key;
    const auto look_up = [&](std::initializer_list<char> kind, std::string_view text, Position from) {
      key.assign(kind);
      key.append(text);
      const auto known = firsts_.find(key);
      if (known == firsts_.end() || known->second > from) parts.emplace_back(key, from);
    };
    search_index::Period period;
    for (const Row& row : rows) {
      if (row.family != RecordFile::kSearchPeople && row.family != RecordFile::kSearchNames) continue;
      const std::string_view name = std::string_view(row.key).substr(1, row.key.size() - 10);
      search_index::Periods periods(row.family, row.value);
      while (periods.Next(period)) {
        if (row.family == RecordFile::kSearchPeople) {
          look_up({kMunicipalityPart}, std::string_view(row.key).substr(0, 3), period.from);
          continue;
        }
        // One text may have been divided in several ways.
        look_up({row.key[0], 's'}, name.substr(0, period.first), period.from);
        if (period.first < name.size()) look_up({row.key[0], 'g'}, name.substr(period.first), period.from);
      }
    }
  }
  std::vector<Row> changed;
  if (parts.empty()) return changed;
  const std::unique_lock lock(mutex_);
  for (const auto& [key, first] : parts) {
    if (Add(key, first)) changed.push_back(RowOf(key, first));
  }
  return changed;
}

std::vector<std::string> SearchParts::Containing(Kind kind, bool of_given, std::string_view text, Position at) const {
  std::vector<std::string> out;
  const std::string prefix{static_cast<char>(kind), of_given ? 'g' : 's'};
  {
    const std::shared_lock lock(mutex_);
    const auto texts = texts_.find(prefix);
    if (texts == texts_.end() || text.empty()) return out;
    const std::string_view all = texts->second;
    for (std::size_t found = all.find(text); found != all.npos; found = all.find(text, found)) {
      const std::size_t begin = all.rfind('\0', found) + 1, end = all.find('\0', found);
      const std::string part(all.substr(begin, end - begin));
      if (firsts_.at(prefix + part) <= at) out.push_back(part);
      found = end;
    }
  }
  std::ranges::sort(out);
  return out;
}

std::vector<std::uint32_t> SearchParts::Municipalities(Position at) const {
  std::vector<std::uint32_t> out;
  const std::shared_lock lock(mutex_);
  for (const auto& [number, first] : municipalities_) {
    if (first <= at) out.push_back(number);
  }
  return out;
}

std::vector<Row> SearchParts::Rows() const {
  std::vector<Row> out;
  const std::shared_lock lock(mutex_);
  for (const auto& [key, first] : firsts_) out.push_back(RowOf(key, first));
  std::ranges::sort(out, {}, &Row::key);
  return out;
}

void SearchWriter::Add(const Version& version, KeySlot subject, bool first) {
  Added& added = added_[subject];
  added.first = added.first || first;
  added.versions.push_back(version);
}

Status SearchWriter::Flush(const Put& put) {
  if (added_.empty()) return {};
  auto it = store_.NewIterator(RecordFile::kVersions);
  for (auto& [slot, added] : added_) {
    std::vector<Version> versions;
    std::vector<Row> before;
    if (!added.first) {
      ASSIGN_OR_RETURN(versions, RecordFile::VersionsOf(it, slot, kNewest));
      if (!versions.empty()) before = search_index::RowsOf(matching_, slot, versions);
    }
    std::ranges::move(added.versions, std::back_inserter(versions));
    std::vector<Row> rows = search_index::RowsOf(matching_, slot, versions);
    std::erase_if(rows, [&](const Row& row) { return std::ranges::find(before, row) != before.end(); });
    for (const Row& row : parts_.Learn(rows)) put(row.family, row.key, row.value);
    for (const Row& row : rows) put(row.family, row.key, row.value);
  }
  added_.clear();
  return {};
}

Status SearchWriter::Build(Store& store, std::size_t buffer_bytes) {
  auto it = store.NewIterator(RecordFile::kVersions);
  it.SeekToLast();
  RETURN_IF_ERROR(it.status());
  if (!it.Valid()) return {};
  ASSIGN_OR_RETURN(const record_file::Key last, record_file::DecodeKey(it.key()));
  // Each thread takes its share of the slots, and has its own files.
  const std::uint64_t half = last.subject.value() / 2 + 1;
  auto upper = std::async(std::launch::async, [&] {
    return Build(store, KeySlot(half), KeySlot(last.subject.value() + 1), buffer_bytes / 2);
  });
  Status lower = Build(store, KeySlot(0), KeySlot(half), buffer_bytes / 2);
  RETURN_IF_ERROR(upper.get());
  RETURN_IF_ERROR(lower);
  // Which position first had a part is known only now.
  return store.Ingest(RecordFile::kSearchParts, [&](const auto& add) -> Status {
    for (const Row& row : parts_.Rows()) RETURN_IF_ERROR(add(row.key, row.value));
    return {};
  });
}

Status SearchWriter::Build(Store& store, KeySlot from, KeySlot until, std::size_t buffer_bytes) {
  BulkLoad load(store, RecordFile::Families().size(), buffer_bytes);
  std::vector<Version> versions;  // of one subject, the latest first
  KeySlot subject = from;
  const auto finish = [&]() -> Status {
    if (versions.empty()) return {};
    std::ranges::reverse(versions);
    const std::vector<Row> rows = search_index::RowsOf(matching_, subject, versions);
    versions.clear();
    parts_.Learn(rows);
    for (const Row& row : rows) RETURN_IF_ERROR(load.Add(row.family, row.key, row.value));
    return {};
  };
  std::string begin;
  AppendU64(begin, from.value());
  auto it = store.NewIterator(RecordFile::kVersions);
  for (it.Seek(begin); it.Valid(); it.Next()) {
    ASSIGN_OR_RETURN(const record_file::Key key, record_file::DecodeKey(it.key()));
    if (key.subject >= until) break;
    if (key.subject != subject) RETURN_IF_ERROR(finish());
    subject = key.subject;
    ASSIGN_OR_RETURN(Version version, record_file::DecodeVersion(it.key(), it.value()));
    versions.push_back(std::move(version));
  }
  RETURN_IF_ERROR(it.status());
  RETURN_IF_ERROR(finish());
  return load.Finish();
}

}  // namespace daicho
