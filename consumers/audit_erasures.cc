#include "consumers/audit_erasures.h"

#include <algorithm>

namespace daicho {
namespace {

constexpr std::size_t kPollRecords = 5'000;
constexpr std::chrono::milliseconds kPollWait{100};

}  // namespace

void ErasureAudit::Take(const LedgerReplay::Checked& entry, bool erased, const Registry& registry) {
  if (erased) {
    const std::size_t clear = entry.entry.parts.size() - static_cast<std::size_t>(entry.leaf.keys_size());
    for (int i = 0; i < entry.leaf.keys_size(); ++i) {
      if (!entry.entry.parts[clear + static_cast<std::size_t>(i)].empty()) continue;
      const v1::KeyReference& key = entry.leaf.keys(i);
      missing_.push_back({entry.position, key.subject(), key.slot(), key.step()});
    }
  }
  if (entry.header.kind() != v1::EVENT_KIND_ERASURE || entry.entry.parts.size() != 1) return;
  const auto payload = OpenClearPart(entry.entry.parts[0], entry.header.commitments(0));
  v1::Erasure erasure;
  Order order;
  order.position = entry.position;
  order.admitted = JapanDate(TimeMicros(entry.leaf.admitted_at()));
  if (!payload.ok() || !erasure.ParseFromString(*payload) || !order.plan.ParseFromString(erasure.plan())) return;
  const PolicyInForce* policy = registry.policy();
  if (policy == nullptr) return;  // the registry has refused the order
  if (rules_ == nullptr || rules_from_ != policy->position) {
    rules_ = std::make_shared<const v1::PolicyRules>(policy->rules);
    rules_from_ = policy->position;
  }
  order.rules = rules_;
  orders_.push_back(std::move(order));
}

Status ErasureAudit::Finish(Log& log, const std::string& topic) {
  CheckMissing();
  if (orders_.empty()) return {};
  ASSIGN_OR_RETURN(const Uses uses, FindUses(log, topic));
  for (const Order& order : orders_) CheckOrder(order, uses);
  return {};
}

void ErasureAudit::CheckMissing() {
  std::multimap<std::uint64_t, const v1::ErasedKeys*> ordered;  // by slot
  for (const Order& order : orders_) {
    for (const v1::ErasedKeys& keys : order.plan.keys()) ordered.emplace(keys.slot(), &keys);
  }
  for (const Missing& missing : missing_) {
    const auto [first, last] = ordered.equal_range(missing.slot);
    const bool covered = std::any_of(first, last, [&](const auto& entry) {
      const v1::ErasedKeys& keys = *entry.second;
      return keys.subject() == missing.subject && keys.first_step() <= missing.step &&
             missing.step <= keys.last_step();
    });
    if (!covered) {
      sink_({missing.position, FindingKind::kErasedWithoutOrder, "a sealed part is empty, and no erasure orders it"});
    }
  }
}

// Every use of the rows that orders name, in the order of the ledger.
Result<ErasureAudit::Uses> ErasureAudit::FindUses(Log& log, const std::string& topic) const {
  Uses uses;
  for (const Order& order : orders_) {
    for (const v1::ErasedKeys& keys : order.plan.keys()) uses[keys.slot()];
  }
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  ASSIGN_OR_RETURN(auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
  EntryView entry;
  v1::EntryLeaf leaf;
  v1::EventHeader header;
  while (reader->Next(0) < bounds.end) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, kPollWait));
    for (const Received& record : records) {
      // What cannot be read was found by the first pass.
      if (!ParseEntry(record.value, entry).ok() || !ParseLeafInto(entry.leaf, leaf).ok()) continue;
      for (const v1::KeyReference& key : leaf.keys()) {
        const auto row = uses.find(key.slot());
        if (row == uses.end() || !ParseHeaderInto(leaf.header(), header).ok()) continue;
        const Date admitted = JapanDate(TimeMicros(leaf.admitted_at()));
        if (Supersedes(leaf.effect())) {
          for (Use& use : row->second) {
            if (use.superseded) continue;
            use.superseded = admitted;
            use.superseded_at = Position(leaf.position());
          }
        }
        Use use{key.step(), Position(leaf.position()), header.retention(), leaf.effect(), admitted, {}, {}};
        use.from_itself = CountsFromItself(use.effect, !row->second.empty() && row->second.back().from_itself);
        row->second.push_back(use);
      }
    }
  }
  return uses;
}

bool ErasureAudit::HadExpired(const Order& order, const std::string& rule_name, const Use& use) const {
  if (use.position > Position(order.plan.evaluated_at())) return false;
  const bool notice = use.retention == v1::RETENTION_CLASS_NOTICE;
  const bool removal = notice && IsRemoval(use.effect);
  const v1::RetentionRule* rule = RuleFor(*order.rules, use.retention, removal);
  if (rule == nullptr || rule->permanent() || rule->rule() != rule_name) return false;
  const auto judged_on = ParseDate(order.plan.judged_on());
  if (!judged_on || *judged_on > order.admitted) return false;
  if (!notice || use.from_itself) return LastRetainedDay(use.admitted, rule->years()) < *judged_on;
  if (!use.superseded || use.superseded_at > Position(order.plan.evaluated_at())) return false;
  return LastRetainedDay(*use.superseded, rule->years()) < *judged_on;
}

void ErasureAudit::CheckOrder(const Order& order, const Uses& uses) {
  for (const v1::ErasedKeys& keys : order.plan.keys()) {
    ordered_keys_ += keys.last_step() - keys.first_step() + 1ull;
    std::uint64_t expired = 0;
    for (const Use& use : uses.at(keys.slot())) {
      if (use.step < keys.first_step() || use.step > keys.last_step()) continue;
      if (HadExpired(order, keys.rule(), use)) ++expired;
    }
    if (expired != keys.last_step() - keys.first_step() + 1ull) {
      sink_({order.position, FindingKind::kNotExpired,
             "keys of row " + std::to_string(keys.slot()) + ", steps " + std::to_string(keys.first_step()) + " to " +
                 std::to_string(keys.last_step()) + ": not all had expired by rule " + keys.rule()});
    }
  }
}

}  // namespace daicho
