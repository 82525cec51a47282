// An operator's signature under something done at a terminal: v1::OperatorAct. What is signed is
// tag ‖ digest of what is done(32) ‖ microseconds(8) ‖ nonce(16).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "events/search.pb.h"
#include "ledger/registry.h"

namespace daicho {

Result<v1::OperatorAct> SignAct(const std::string& operator_id, const SigningKey& key, const std::string& terminal,
                                std::string_view tag, const Digest& digest, TimeMicros now);

struct ActRefusal {
  v1::RefusalReason reason = v1::REFUSAL_REASON_UNSPECIFIED;
  std::string message;  // in Japanese: field, colon, the rule
};
// None when an operator who may do this signed it just now, at a terminal of the operator's.
std::optional<ActRefusal> CheckAct(const Registry& registry, const v1::OperatorAct& act, std::string_view tag,
                                   const Digest& digest, v1::Permission permission, TimeMicros now);

}  // namespace daicho
