// Who is provided for, with what: the rules of the policy in force, applied to one request. Pure: the same registry
// and the same request always give the same decision, so that an auditor can make it again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "events/dates.h"
#include "events/provision.pb.h"
#include "ledger/registry.h"

namespace daicho {

struct ProvisionRequest {
  std::string agency, basis, duty;
  v1::ProvisionMode mode = v1::PROVISION_MODE_UNSPECIFIED;
  v1::DeliveryMethod method = v1::DELIVERY_METHOD_UNSPECIFIED;
  std::vector<std::string> fields;          // asked for; none: all that the rule releases
  bool elsewhere = false;                   // 機構 is to be asked about whom nobody here fits
  Date on;                                  // the day on which it is judged
  std::uint64_t conditions = 1;             // that the request has
  std::uint64_t asked_before = 0;           // conditions of the agency under this basis on that day before it
};

// What a recorded provision or transfer was asked by; `conditions` is the caller's to say, 0: its quota is not judged.
ProvisionRequest RequestOf(const v1::Provision& provision, Date on);

struct ProvisionDecision {
  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;  // UNSPECIFIED: permitted
  std::string message;               // why it is refused, for people: field, colon, the rule
  std::optional<v1::ProvisionRule> rule;  // the one that decided, unless none fits
  std::optional<Position> policy, agreement;  // what was applied
  std::vector<std::string> fields;   // released; none where only counts are given

  bool permitted() const { return refusal == v1::REFUSAL_REASON_UNSPECIFIED; }
};

// Of a request as a whole. Deny by default: what no rule names is refused. The first reason is told, in the order
// agency, basis, duty, agreement, mode (elsewhere too), fields, quota.
ProvisionDecision Decide(const Registry& registry, const ProvisionRequest& request);

struct ConditionRefusal {
  v1::RefusalReason reason;
  std::string message;  // as of a ProvisionDecision
};
// Of one condition of a permitted request: none when it may be evaluated. `keys`: the fields of SearchCondition that it
// sets; `consent`: 本人同意 is at hand.
std::optional<ConditionRefusal> CheckCondition(const v1::ProvisionRule& rule, const std::vector<std::string>& keys,
                                               bool consent);
// The fields that a condition sets, in the order of the schema.
std::vector<std::string> KeysOf(const v1::SearchCondition& condition);

}  // namespace daicho
