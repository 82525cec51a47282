#include "consumers/policy_explanation.h"

#include <nlohmann/json.hpp>

#include "projections/provision_policy.h"

namespace daicho {
namespace {

using nlohmann::ordered_json;

ordered_json RuleJson(const v1::ProvisionRule& rule) {
  ordered_json out = {{"basis", rule.basis()},
                      {"recipient", v1::RecipientClass_Name(rule.recipient())},
                      {"agencies", rule.agencies()},
                      {"duties", rule.duties()},
                      {"modes", ordered_json::array()},
                      {"methods", ordered_json::array()},
                      {"condition_keys", rule.condition_keys()},
                      {"condition_keys_min", rule.condition_keys_min()},
                      {"fields", rule.fields()}};
  for (const int mode : rule.modes()) out["modes"].push_back(v1::ProvisionMode_Name(static_cast<v1::ProvisionMode>(mode)));
  for (const int method : rule.methods()) {
    out["methods"].push_back(v1::DeliveryMethod_Name(static_cast<v1::DeliveryMethod>(method)));
  }
  if (!rule.number_basis().empty()) out["number_basis"] = rule.number_basis();
  if (!rule.ordinance().empty()) out["ordinance"] = rule.ordinance();
  for (const auto& [name, set] : {std::pair{"requires_agreement", rule.requires_agreement()},
                                  std::pair{"requires_consent", rule.requires_consent()},
                                  std::pair{"counts_only", rule.counts_only()},
                                  std::pair{"despite_suspension", rule.despite_suspension()}}) {
    if (set) out[name] = true;
  }
  if (rule.lines_max() != 0) out["lines_max"] = rule.lines_max();
  if (rule.quota_per_day() != 0) out["quota_per_day"] = rule.quota_per_day();
  out["valid_from"] = rule.valid_from();
  if (!rule.valid_until().empty()) out["valid_until"] = rule.valid_until();
  return out;
}

}  // namespace

Result<std::string> ExplainPolicy(const Projector& projector, const node::ExplainPolicy& asked, Date today) {
  const std::optional<Date> as_of = ParseDate(asked.date());
  if (asked.as_of_case() == node::ExplainPolicy::kDate && !as_of) return Invalid("as-of: not a date");
  std::optional<std::uint64_t> position;
  if (asked.as_of_case() == node::ExplainPolicy::kPosition) position = asked.position();
  ASSIGN_OR_RETURN(const Position at, projector.AsOf(position, as_of));
  const std::string& day = asked.on_date().empty() ? asked.date() : asked.on_date();
  const std::optional<Date> on = day.empty() ? today : ParseDate(day);
  if (!on) return Invalid("on: not a date");
  ProvisionRequest request;
  request.agency = asked.agency();
  request.basis = asked.basis();
  request.duty = asked.duty();
  request.mode = static_cast<v1::ProvisionMode>(asked.mode());
  request.method = static_cast<v1::DeliveryMethod>(asked.method());
  request.fields.assign(asked.fields().begin(), asked.fields().end());
  request.on = *on;
  ASSIGN_OR_RETURN(const Registry registry, projector.RegistryAt(at));
  ProvisionDecision decision = Decide(registry, request);
  if (decision.permitted()) {
    const std::vector<std::string> keys(asked.condition_keys().begin(), asked.condition_keys().end());
    if (auto refusal = CheckCondition(*decision.rule, keys, asked.consent())) {
      decision.refusal = refusal->reason;
      decision.message = std::move(refusal->message);
    }
  }
  ordered_json out = {{"permitted", decision.permitted()}, {"position", at.value()}, {"on", FormatDate(*on)}};
  if (!decision.permitted()) {
    out["refusal"] = v1::RefusalReason_Name(decision.refusal);
    out["reason"] = decision.message;
  }
  if (decision.policy) out["policy_position"] = decision.policy->value();
  if (decision.agreement) out["agreement_position"] = decision.agreement->value();
  if (decision.rule) out["rule"] = RuleJson(*decision.rule);
  if (decision.permitted()) out["fields"] = decision.fields;
  return out.dump();
}

}  // namespace daicho
