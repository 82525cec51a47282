#include "projections/retention.h"

#include <map>

#include "ledger/erasure.h"
#include "projections/record_file.h"

namespace daicho {
namespace {

constexpr std::size_t kDueKeyBytes = 17;
constexpr std::size_t kDueValueBytes = 17;

// On disk.
enum class Counts : std::uint8_t {
  kUpTo = 0,     // the step and all before it
  kRemoval = 1,  // a removal, itself
  kBehind = 2,   // a late removal or a repeat: when all before it is over
};

struct Due {
  KeySlot slot;
  std::uint32_t step = 0;
  Counts counts = Counts::kUpTo;
  std::string handle;
};

std::string DueKey(v1::RetentionClass retention, std::int64_t day, KeySlot slot, std::uint32_t step) {
  std::string key(1, static_cast<char>(retention));
  AppendU32(key, static_cast<std::uint32_t>(day));
  AppendU64(key, slot.value());
  AppendU32(key, step);
  return key;
}

Result<Due> DecodeDue(std::string_view key, std::string_view value) {
  if (key.size() != kDueKeyBytes || value.size() != kDueValueBytes || value[0] < 0 || value[0] > 2) {
    return Corrupt("stored retention day cannot be decoded");
  }
  return Due{KeySlot(ReadU64(key.substr(5))), ReadU32(key.substr(13)), static_cast<Counts>(value[0]),
             std::string(value.substr(1))};
}

void PutDue(const v1::EntryLeaf& leaf, v1::RetentionClass retention, const v1::KeyReference& key, std::uint32_t step,
            Counts counts, const retention::Put& put) {
  const std::int64_t day = DayNumber(JapanDate(TimeMicros(leaf.admitted_at())));
  std::string value(1, static_cast<char>(counts));
  value.append(key.subject());
  put(RecordFile::kDue, DueKey(retention, day, KeySlot(key.slot()), step), value);
}

Status PutErasure(const LedgerReplay::Checked& entry, const retention::Put& put) {
  ASSIGN_OR_RETURN(const v1::ErasurePlan plan, PlanOf(entry));
  for (const v1::ErasedKeys& keys : plan.keys()) {
    std::string slot, living;
    AppendU64(slot, keys.slot());
    AppendU32(living, keys.last_step() + 1);
    put(RecordFile::kErased, slot, living);
  }
  return {};
}

}  // namespace

namespace retention {

Status PutEntry(const LedgerReplay::Checked& entry, const Put& put) {
  if (entry.header.kind() == v1::EVENT_KIND_ERASURE) return PutErasure(entry, put);
  if (entry.header.kind() != v1::EVENT_KIND_UPDATE) {
    for (const v1::KeyReference& key : entry.leaf.keys()) {
      PutDue(entry.leaf, entry.header.retention(), key, key.step(), Counts::kUpTo, put);
    }
    return {};
  }
  const v1::KeyReference& key = entry.leaf.keys(0);
  const v1::Effect effect = entry.leaf.effect();
  // What a re-entry follows counts from the removal already.
  if (Supersedes(effect) && effect != v1::EFFECT_REVIVED && key.step() > 0) {
    PutDue(entry.leaf, v1::RETENTION_CLASS_NOTICE, key, key.step() - 1, Counts::kUpTo, put);
  }
  if (IsRemoval(effect)) PutDue(entry.leaf, v1::RETENTION_CLASS_NOTICE, key, key.step(), Counts::kRemoval, put);
  if (!Supersedes(effect)) PutDue(entry.leaf, v1::RETENTION_CLASS_NOTICE, key, key.step(), Counts::kBehind, put);
  return {};
}

}  // namespace retention

namespace {

// What is found of one row, in the order of its steps.
struct Found {
  std::uint32_t next = 0;  // first step that is neither gone nor found
  std::vector<v1::ErasedKeys> ranges;

  void Take(const Due& due, const std::string& rule) {
    const bool comes_next = due.step == next || (due.counts == Counts::kUpTo && due.step > next);
    if (!comes_next) return;
    if (ranges.empty() || ranges.back().rule() != rule) {
      v1::ErasedKeys& range = ranges.emplace_back();
      range.set_subject(due.handle);
      range.set_slot(due.slot.value());
      range.set_first_step(next);
      range.set_rule(rule);
    }
    ranges.back().set_last_step(due.step);
    next = due.step + 1;
  }
};

Result<std::uint32_t> FirstLiving(const Store& store, KeySlot slot) {
  std::string key;
  AppendU64(key, slot.value());
  const auto living = store.Get(RecordFile::kErased, key);
  if (living.status().code() == Code::kNotFound) return 0u;
  RETURN_IF_ERROR(living.status());
  return ReadU32(*living);
}

}  // namespace

Result<std::vector<v1::ErasedKeys>> FindExpired(const Store& store, const v1::PolicyRules& rules, Date today,
                                                std::size_t keys_max) {
  std::map<KeySlot, Found> found;
  auto it = store.NewIterator(RecordFile::kDue);
  for (const v1::RetentionClass retention :
       {v1::RETENTION_CLASS_NOTICE, v1::RETENTION_CLASS_OPERATION, v1::RETENTION_CLASS_DISCLOSURE}) {
    const std::string prefix(1, static_cast<char>(retention));
    for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix) && found.size() < keys_max; it.Next()) {
      ASSIGN_OR_RETURN(const Due due, DecodeDue(it.key(), it.value()));
      const v1::RetentionRule* rule = RuleFor(rules, retention, due.counts == Counts::kRemoval);
      if (rule == nullptr || rule->permanent()) continue;
      const Date start = DateOfDayNumber(ReadU32(it.key().substr(1)));
      // Of one class all rules have one length, so the first that has not expired ends the search.
      if (LastRetainedDay(start, rule->years()) >= today) break;
      if (const auto row = found.find(due.slot); row != found.end()) {
        row->second.Take(due, rule->rule());
        continue;
      }
      ASSIGN_OR_RETURN(const std::uint32_t first, FirstLiving(store, due.slot));
      Found begun{first, {}};
      begun.Take(due, rule->rule());
      if (!begun.ranges.empty()) found.emplace(due.slot, std::move(begun));
    }
    RETURN_IF_ERROR(it.status());
  }
  std::vector<v1::ErasedKeys> out;
  for (auto& [slot, row] : found) std::move(row.ranges.begin(), row.ranges.end(), std::back_inserter(out));
  return out;
}

}  // namespace daicho
