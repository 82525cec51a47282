#include "projections/retention.h"

#include <map>

#include "ledger/erasure.h"
#include "projections/record_file.h"

namespace daicho {
namespace {

constexpr std::size_t kDueKeyBytes = 13;
constexpr std::size_t kDueValueBytes = 21;

struct Due {
  KeySlot slot;
  std::uint32_t step = 0;
  bool removal = false;
  std::string handle;
};

std::string DueKey(v1::RetentionClass retention, std::int64_t day, KeySlot slot) {
  std::string key(1, static_cast<char>(retention));
  AppendU32(key, static_cast<std::uint32_t>(day));
  AppendU64(key, slot.value());
  return key;
}

Result<Due> DecodeDue(std::string_view key, std::string_view value) {
  if (key.size() != kDueKeyBytes || value.size() != kDueValueBytes) {
    return Corrupt("stored retention day cannot be decoded");
  }
  return Due{KeySlot(ReadU64(key.substr(5))), ReadU32(value), value[4] != 0, std::string(value.substr(5))};
}

void PutDue(const v1::EntryLeaf& leaf, v1::RetentionClass retention, const v1::KeyReference& key, std::uint32_t step,
            bool removal, const retention::Put& put) {
  const std::int64_t day = DayNumber(JapanDate(TimeMicros(leaf.admitted_at())));
  std::string value;
  AppendU32(value, step);
  value.push_back(removal ? 1 : 0);
  value.append(key.subject());
  put(RecordFile::kDue, DueKey(retention, day, KeySlot(key.slot())), value);
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
      PutDue(entry.leaf, entry.header.retention(), key, key.step(), false, put);
    }
    return {};
  }
  const v1::KeyReference& key = entry.leaf.keys(0);
  if (IsRemoval(entry.leaf.effect())) {
    // Those before it are due from the same day; keys end in the order of their steps.
    PutDue(entry.leaf, v1::RETENTION_CLASS_NOTICE, key, key.step(), true, put);
  } else if (Supersedes(entry.leaf.effect()) && key.step() > 0) {
    PutDue(entry.leaf, v1::RETENTION_CLASS_NOTICE, key, key.step() - 1, false, put);
  }
  return {};
}

}  // namespace retention

Result<std::vector<v1::ErasedKeys>> FindExpired(const Store& store, const v1::PolicyRules& rules, Date today,
                                                std::size_t keys_max) {
  std::map<KeySlot, v1::ErasedKeys> found;
  auto it = store.NewIterator(RecordFile::kDue);
  for (const v1::RetentionClass retention :
       {v1::RETENTION_CLASS_NOTICE, v1::RETENTION_CLASS_OPERATION, v1::RETENTION_CLASS_DISCLOSURE}) {
    const std::string prefix(1, static_cast<char>(retention));
    for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix) && found.size() < keys_max; it.Next()) {
      ASSIGN_OR_RETURN(const Due due, DecodeDue(it.key(), it.value()));
      const v1::RetentionRule* rule = RuleFor(rules, retention, due.removal);
      if (rule == nullptr || rule->permanent()) continue;
      const Date start = DateOfDayNumber(ReadU32(it.key().substr(1)));
      // Of one class all rules have one length, so the first that has not expired ends the search.
      if (LastRetainedDay(start, rule->years()) >= today) break;
      std::string slot;
      AppendU64(slot, due.slot.value());
      const auto living = store.Get(RecordFile::kErased, slot);
      if (!living.ok() && living.status().code() != Code::kNotFound) return living.status();
      const std::uint32_t first = living.ok() ? ReadU32(*living) : 0;
      if (due.step < first) continue;
      v1::ErasedKeys& keys = found[due.slot];
      keys.set_subject(due.handle);
      keys.set_slot(due.slot.value());
      keys.set_first_step(first);
      keys.set_last_step(std::max(due.step, keys.last_step()));
      keys.set_rule(rule->rule());
    }
    RETURN_IF_ERROR(it.status());
  }
  std::vector<v1::ErasedKeys> out;
  for (auto& [slot, keys] : found) out.push_back(std::move(keys));
  return out;
}

}  // namespace daicho
