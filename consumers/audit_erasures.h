// ErasureAudit: what is gone was ordered to go, and what was ordered to go had expired. Judged from leaves alone,
// so no key is needed. Memory grows with the erased keys, not with the ledger; a ledger without erasures costs
// nothing, one with them is read once more.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "events/retention.h"
#include "ledger/log.h"
#include "ledger/replay.h"

namespace daicho {

class ErasureAudit {
 public:
  explicit ErasureAudit(FindingSink sink) : sink_(std::move(sink)) {}

  void Take(const LedgerReplay::Checked& entry, bool erased, const Registry& registry);
  // Errors: those of the log.
  Status Finish(Log& log, const std::string& topic);

  std::uint64_t erased_parts() const { return missing_.size(); }
  std::uint64_t ordered_keys() const { return ordered_keys_; }
  std::uint64_t erasures() const { return orders_.size(); }

 private:
  struct Missing {  // a sealed part that is not there
    Position position;
    std::string subject;
    std::uint64_t slot;
    std::uint32_t step;
  };
  struct Order {
    Position position;
    Date admitted;  // day of the order's entry
    std::shared_ptr<const v1::PolicyRules> rules;
    v1::ErasurePlan plan;
  };
  struct Use {  // an entry's part that a key of the row seals
    std::uint32_t step;
    Position position;
    v1::RetentionClass retention;
    v1::Effect effect;
    Date admitted;
    Position superseded_at;  // with superseded
    std::optional<Date> superseded;
    bool from_itself = false;  // of a removed resident: its period begins with it
  };
  using Uses = std::map<std::uint64_t, std::vector<Use>>;  // by slot

  void CheckMissing();
  Result<Uses> FindUses(Log& log, const std::string& topic) const;
  void CheckOrder(const Order& order, const Uses& uses);
  bool HadExpired(const Order& order, const std::string& rule, const Use& use) const;

  FindingSink sink_;
  std::vector<Missing> missing_;
  std::vector<Order> orders_;
  Position rules_from_;
  std::shared_ptr<const v1::PolicyRules> rules_;
  std::uint64_t ordered_keys_ = 0;
};

}  // namespace daicho
