#include "events/retention.h"

#include <algorithm>

namespace daicho {

Date LastRetainedDay(Date start, std::uint32_t years) {
  Date day = start;
  day.year = static_cast<std::int16_t>(start.year + static_cast<int>(years));
  if (ParseDate(FormatDate(day))) return DateOfDayNumber(DayNumber(day) - 1);
  day.day = 28;  // of a 29 February that the last year does not have
  return day;
}

bool IsRemoval(v1::Effect effect) { return effect == v1::EFFECT_REMOVED; }

bool Supersedes(v1::Effect effect) {
  return effect != v1::EFFECT_NONE && effect != v1::EFFECT_REPEATED && effect != v1::EFFECT_REMOVED_LATE;
}

bool CountsFromItself(v1::Effect effect, bool removed) {
  return IsRemoval(effect) || (removed && (effect == v1::EFFECT_REPEATED || effect == v1::EFFECT_REMOVED_LATE));
}

const v1::RetentionRule* RuleFor(const v1::PolicyRules& rules, v1::RetentionClass retention, bool removal) {
  for (const v1::RetentionRule& rule : rules.retention_rules()) {
    if (rule.retention() != retention) continue;
    if (retention != v1::RETENTION_CLASS_NOTICE) return &rule;
    const auto& kinds = rule.notice_kinds();
    const bool of_removals = std::find(kinds.begin(), kinds.end(), v1::NOTICE_KIND_REMOVAL) != kinds.end();
    if (of_removals == removal) return &rule;
  }
  return nullptr;
}

}  // namespace daicho
