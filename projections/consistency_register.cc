#include "projections/consistency_register.h"

#include "projections/copy_item.h"
#include "projections/record_file.h"

namespace daicho {
namespace {

// On disk. Never change.
constexpr char kRun = 'r', kDifference = 'd', kByCode = 'c', kByRun = 'n', kSettled = 's';
constexpr std::size_t kRunBytes = 16;

Status CannotDecode() { return Corrupt("a row of the register of comparisons cannot be decoded"); }

std::string Key(char kind, Position position) {
  std::string key(1, kind);
  AppendU64(key, position.value());
  return key;
}

std::string HolderPrefix(const std::string& holder) {
  return holder.empty() ? std::string(1, kByCode) : kByCode + holder + '\0';
}

std::string CodePrefix(const std::string& holder, std::uint64_t code) {
  std::string key = HolderPrefix(holder);
  AppendU64(key, code);
  return key;
}

template <typename Message>
Result<Message> Decode(std::string_view bytes) {
  Message out;
  if (!out.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return CannotDecode();
  return out;
}

TimeMicros TimeOf(std::string_view bytes) { return TimeMicros(static_cast<std::int64_t>(ReadU64(bytes))); }

// Position at the end of a key.
Result<Position> PositionOf(std::string_view key) {
  if (key.size() < 9) return CannotDecode();
  return Position(ReadU64(key.substr(key.size() - 8)));
}

}  // namespace

Result<std::vector<ConsistencyRegister::Run>> ConsistencyRegister::Runs(Position at) const {
  std::vector<Run> out;
  auto it = store_.NewIterator(RecordFile::kConsistency);
  for (it.Seek(std::string(1, kRun)); it.Valid() && it.key().front() == kRun; it.Next()) {
    if (it.value().size() < 8) return CannotDecode();
    Run run;
    ASSIGN_OR_RETURN(run.position, PositionOf(it.key()));
    if (run.position > at) break;
    run.admitted_at = TimeOf(it.value());
    ASSIGN_OR_RETURN(run.event, Decode<v1::ConsistencyRun>(it.value().substr(8)));
    out.push_back(std::move(run));
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<ConsistencyRegister::Case> ConsistencyRegister::CaseAt(Position found, Position at) const {
  constexpr std::size_t kFixed = 8 + 16;
  auto row = store_.Get(RecordFile::kConsistency, Key(kDifference, found));
  if (found > at || row.status().code() == Code::kNotFound) return NotFound("case: その位置に不整合の記録はありません");
  RETURN_IF_ERROR(row.status());
  if (row->size() < kFixed) return CannotDecode();
  const std::string_view bytes = *row;
  Case out;
  out.position = found;
  out.found_at = TimeOf(bytes);
  ASSIGN_OR_RETURN(out.subject, ToArray<16>(bytes.substr(8, 16)));
  ASSIGN_OR_RETURN(out.found, Decode<v1::DifferenceFound>(bytes.substr(kFixed)));
  row = store_.Get(RecordFile::kConsistency, Key(kSettled, found));
  if (row.status().code() == Code::kNotFound) return out;
  RETURN_IF_ERROR(row.status());
  if (row->size() < 16) return CannotDecode();
  const std::string_view settled = *row;
  if (Position(ReadU64(settled)) > at) return out;
  out.settled_at = Position(ReadU64(settled));
  out.resolved_at = TimeOf(settled.substr(8));
  ASSIGN_OR_RETURN(out.resolved, Decode<v1::DifferenceResolved>(settled.substr(16)));
  return out;
}

Result<std::vector<ConsistencyRegister::Case>> ConsistencyRegister::CasesOf(std::string_view run, Position at) const {
  std::vector<Case> out;
  const std::string prefix = kByRun + std::string(run);
  auto it = store_.NewIterator(RecordFile::kConsistency);
  for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    ASSIGN_OR_RETURN(const Position found, PositionOf(it.key()));
    if (found > at) break;
    ASSIGN_OR_RETURN(Case each, CaseAt(found, at));
    out.push_back(std::move(each));
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<std::optional<ConsistencyRegister::Case>> ConsistencyRegister::OpenCase(const std::string& holder,
                                                                               std::uint64_t code, Position at) const {
  const std::string prefix = CodePrefix(holder, code);
  std::string key = prefix;
  AppendU64(key, at.value());
  auto it = store_.NewIterator(RecordFile::kConsistency);
  it.SeekForPrev(key);
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || !it.key().starts_with(prefix)) return std::optional<Case>();
  ASSIGN_OR_RETURN(const Position found, PositionOf(it.key()));
  ASSIGN_OR_RETURN(Case newest, CaseAt(found, at));
  return newest.settled_at ? std::optional<Case>() : std::optional(std::move(newest));
}

Result<std::vector<ConsistencyRegister::Case>> ConsistencyRegister::OpenCases(const std::string& holder,
                                                                              Position at) const {
  ASSIGN_OR_RETURN(std::vector<Case> out, Cases(holder, at));
  std::erase_if(out, [](const Case& each) { return each.settled_at.has_value(); });
  return out;
}

Result<std::vector<ConsistencyRegister::Case>> ConsistencyRegister::Cases(const std::string& holder, Position at) const {
  std::vector<Case> out;
  const std::string prefix = HolderPrefix(holder);
  auto it = store_.NewIterator(RecordFile::kConsistency);
  for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
    ASSIGN_OR_RETURN(const Position found, PositionOf(it.key()));
    if (found > at) continue;
    ASSIGN_OR_RETURN(Case each, CaseAt(found, at));
    out.push_back(std::move(each));
  }
  RETURN_IF_ERROR(it.status());
  return out;
}

Result<ConsistencyRegister::Totals> ConsistencyRegister::Count() const {
  Totals out;
  auto found = store_.NewIterator(RecordFile::kConsistency), settled = store_.NewIterator(RecordFile::kConsistency);
  settled.Seek(std::string(1, kSettled));
  const auto is_settled = [&] { return settled.Valid() && settled.key().front() == kSettled; };
  for (found.Seek(std::string(1, kDifference)); found.Valid() && found.key().front() == kDifference; found.Next()) {
    while (is_settled() && settled.key().substr(1) < found.key().substr(1)) settled.Next();
    if (!is_settled() || settled.key().substr(1) != found.key().substr(1)) ++out.open;
  }
  RETURN_IF_ERROR(found.status());
  RETURN_IF_ERROR(settled.status());
  auto run = store_.NewIterator(RecordFile::kConsistency);
  for (run.Seek(std::string(1, kRun)); run.Valid() && run.key().front() == kRun; run.Next()) {
    if (run.value().size() < 8) return CannotDecode();
    out.last_run = TimeOf(run.value());
    ++out.runs;
  }
  RETURN_IF_ERROR(run.status());
  return out;
}

namespace consistency_register {

Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased) {
  const v1::EventKind kind = entry.header.kind();
  if (kind < v1::EVENT_KIND_CONSISTENCY_RUN || kind > v1::EVENT_KIND_DIFFERENCE_RESOLVED) return {};
  const auto payload = OpenPart(entry, 0, keys);
  if (payload.status().code() == Code::kErased) {
    erased(entry.leaf.keys(0));
    return {};
  }
  RETURN_IF_ERROR(payload.status());
  std::string at;
  AppendU64(at, static_cast<std::uint64_t>(entry.leaf.admitted_at()));
  const auto add = [&](const std::string& key, const std::string& value) { put(RecordFile::kConsistency, key, value); };
  if (kind == v1::EVENT_KIND_CONSISTENCY_RUN) {
    add(Key(kRun, entry.position), at + *payload);
    return {};
  }
  std::string position;
  AppendU64(position, entry.position.value());
  if (kind == v1::EVENT_KIND_DIFFERENCE_RESOLVED) {
    ASSIGN_OR_RETURN(const auto resolved, Decode<v1::DifferenceResolved>(*payload));
    add(Key(kSettled, Position(resolved.found_position())), position + at + *payload);
    return {};
  }
  ASSIGN_OR_RETURN(const auto found, Decode<v1::DifferenceFound>(*payload));
  add(Key(kDifference, entry.position), at + entry.leaf.keys(0).subject() + *payload);
  if (found.run().size() == kRunBytes) add(kByRun + found.run() + position, "");
  if (const auto code = CodeNumber(found.resident_code()); code.ok()) {
    add(CodePrefix(found.holder(), *code) + position, "");
  }
  return {};
}

}  // namespace consistency_register

}  // namespace daicho
