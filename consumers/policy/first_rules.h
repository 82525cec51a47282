// The rules that a new ledger begins with: JSON of a v1::PolicyRules, without its version.
#pragma once

#include <string_view>

namespace daicho::policy {

extern const std::string_view k_first_rules;

}  // namespace daicho::policy
