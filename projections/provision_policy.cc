#include "projections/provision_policy.h"

#include <algorithm>

namespace daicho {
namespace {

template <typename List, typename Value>
bool Has(const List& list, const Value& value) {
  return std::ranges::find(list, value) != list.end();
}

template <typename Period>
bool InForce(const Period& period, const std::string& day) {
  return period.valid_from() <= day && (period.valid_until().empty() || day <= period.valid_until());
}

bool IsNumber(const std::string& key) {
  return key == "resident_code" || key == "individual_number" || key == "subject";
}

// Which of the 4情報 a key belongs to; 氏名 and 振り仮名 are one of them. A municipality narrows, it is none.
std::string ItemOf(const std::string& key) {
  if (key == "kana") return "name";
  return key == "name" || key == "birth" || key == "sex" || key == "address" ? key : "";
}

class Deciding {
 public:
  Deciding(const Registry& registry, const ProvisionRequest& request)
      : registry_(registry), request_(request), day_(FormatDate(request.on)) {}

  ProvisionDecision Decide() {
    if (Agency() && Basis() && Duty() && Agreement() && Mode() && Fields()) Quota();
    return std::move(out_);
  }

 private:
  bool Refuse(v1::RefusalReason reason, std::string message) {
    out_.refusal = reason;
    out_.message = std::move(message);
    return false;
  }

  bool Agency() {
    const auto found = registry_.agencies().find(request_.agency);
    if (found == registry_.agencies().end()) {
      return Refuse(v1::REFUSAL_REASON_UNKNOWN_AGENCY, "agency: 登録されていない利用機関です");
    }
    agency_ = &found->second;
    if (agency_->closed()) return Refuse(v1::REFUSAL_REASON_UNKNOWN_AGENCY, "agency: この利用機関への提供は終わっています");
    for (const v1::KeyUse use : {v1::KEY_USE_AGENCY_SIGNING, v1::KEY_USE_AGENCY_ENCRYPTION}) {
      if (!registry_.CurrentKey(use, request_.agency).ok()) {
        return Refuse(v1::REFUSAL_REASON_UNKNOWN_AGENCY, "agency: 有効な鍵がありません");
      }
    }
    return true;
  }

  bool Basis() {
    if (registry_.policy() == nullptr) return Refuse(v1::REFUSAL_REASON_BASIS, "basis: 規則が定められていません");
    out_.policy = registry_.policy()->position;
    const auto& rules = registry_.policy()->rules.provision_rules();
    const auto rule = std::ranges::find_if(rules, [&](const v1::ProvisionRule& each) {
      return each.basis() == request_.basis && each.recipient() == agency_->recipient();
    });
    if (rule == rules.end()) {
      return Refuse(v1::REFUSAL_REASON_BASIS, "basis: この種別の利用機関に、この根拠による提供の規則はありません");
    }
    out_.rule = *rule;
    if (!Has(rule->agencies(), request_.agency)) {
      return Refuse(v1::REFUSAL_REASON_BASIS, "basis: この利用機関に認められた根拠ではありません");
    }
    if (!InForce(*rule, day_)) return Refuse(v1::REFUSAL_REASON_BASIS, "basis: " + day_ + "には効力がありません");
    return true;
  }

  bool Duty() {
    if (Has(out_.rule->duties(), request_.duty)) return true;
    return Refuse(v1::REFUSAL_REASON_DUTY, "duty: この根拠による事務ではありません");
  }

  bool Agreement() {
    if (!out_.rule->requires_agreement()) return true;
    for (const auto& [number, in_force] : registry_.agreements()) {
      const v1::Agreement& agreement = in_force.agreement;
      if (agreement.municipality() != agency_->municipality() || !Has(agreement.agencies(), request_.agency) ||
          !Has(agreement.duties(), request_.duty) || !InForce(agreement, day_)) {
        continue;
      }
      out_.agreement = in_force.position;
      return true;
    }
    return Refuse(v1::REFUSAL_REASON_AGREEMENT, "agreement: この機関と事務に効力のある協定がありません（法30条の13）");
  }

  bool Mode() {
    if (!Has(out_.rule->modes(), request_.mode)) return Refuse(v1::REFUSAL_REASON_MODE, "mode: この根拠では認められていません");
    if (!Has(out_.rule->methods(), request_.method)) {
      return Refuse(v1::REFUSAL_REASON_MODE, "method: この根拠では認められていません");
    }
    if (!request_.elsewhere || out_.rule->elsewhere()) return true;
    return Refuse(v1::REFUSAL_REASON_MODE, "elsewhere: この根拠では、他県の者を機構に照会できません");
  }

  bool Fields() {
    for (const std::string& field : request_.fields) {
      if (!Has(out_.rule->fields(), field)) {
        return Refuse(v1::REFUSAL_REASON_FIELD, "fields." + field + ": この根拠では提供できません");
      }
    }
    // In the rule's order, whatever the request's.
    for (const std::string& field : out_.rule->fields()) {
      if (request_.fields.empty() || Has(request_.fields, field)) out_.fields.push_back(field);
    }
    return true;
  }

  bool Quota() {
    const std::uint64_t lines = out_.rule->lines_max(), quota = out_.rule->quota_per_day();
    if (lines != 0 && request_.conditions > lines) {
      return Refuse(v1::REFUSAL_REASON_QUOTA, "count: 1回の照会は" + std::to_string(lines) + "件までです");
    }
    if (quota == 0 || request_.asked_before + request_.conditions <= quota) return true;
    return Refuse(v1::REFUSAL_REASON_QUOTA, "count: この根拠による照会は1日" + std::to_string(quota) + "件までです");
  }

  const Registry& registry_;
  const ProvisionRequest& request_;
  const std::string day_;
  const v1::AgencyRegistered* agency_ = nullptr;
  ProvisionDecision out_;
};

}  // namespace

ProvisionRequest RequestOf(const v1::Provision& provision, Date on) {
  ProvisionRequest out;
  out.agency = provision.agency();
  out.basis = provision.basis();
  out.duty = provision.duty();
  out.mode = provision.mode();
  out.method = provision.method();
  out.fields.assign(provision.fields().begin(), provision.fields().end());
  out.elsewhere = provision.elsewhere();
  out.on = on;
  out.conditions = 0;
  return out;
}

ProvisionDecision Decide(const Registry& registry, const ProvisionRequest& request) {
  return Deciding(registry, request).Decide();
}

std::optional<ConditionRefusal> CheckCondition(const v1::ProvisionRule& rule, const std::vector<std::string>& keys,
                                               bool consent) {
  if (rule.requires_consent() && !consent) {
    return ConditionRefusal{v1::REFUSAL_REASON_CONSENT, "consent: 本人の同意が必要です（法30条の15第1項3号）"};
  }
  if (keys.empty()) return ConditionRefusal{v1::REFUSAL_REASON_CONDITION, "condition: 照会の鍵がありません"};
  std::set<std::string> items;
  bool number = false;
  for (const std::string& key : keys) {
    if (!Has(rule.condition_keys(), key)) {
      return ConditionRefusal{v1::REFUSAL_REASON_CONDITION, "condition." + key + ": この根拠では照会の鍵に使えません"};
    }
    number |= IsNumber(key);
    if (std::string item = ItemOf(key); !item.empty()) items.insert(std::move(item));
  }
  const std::uint32_t least = std::max(rule.condition_keys_min(), 1u);
  if (number || items.size() >= least) return std::nullopt;
  return ConditionRefusal{v1::REFUSAL_REASON_CONDITION,
                          "condition: 番号によらないときは、氏名（振り仮名）、生年月日、性別、住所のうち" +
                              std::to_string(least) + "項目以上が必要です"};
}

std::vector<std::string> KeysOf(const v1::SearchCondition& condition) {
  std::vector<const google::protobuf::FieldDescriptor*> set;
  condition.GetReflection()->ListFields(condition, &set);
  std::vector<std::string> out;
  for (const auto* field : set) out.push_back(field->name());
  return out;
}

}  // namespace daicho
