#include "consumers/operator_act.h"

#include "consumers/reading.h"
#include "events/dates.h"
#include "events/tree_head.h"

namespace daicho {
namespace {

constexpr std::size_t kRequestBytes = 32 + 8 + 16;

}  // namespace

Result<v1::OperatorAct> SignAct(const std::string& operator_id, const SigningKey& key, const std::string& terminal,
                                std::string_view tag, const Digest& digest, TimeMicros now) {
  v1::OperatorAct act;
  act.set_operator_id(operator_id);
  act.set_terminal(terminal);
  std::string bytes(View(digest));
  AppendU64(bytes, static_cast<std::uint64_t>(now.value()));
  bytes += View(RandomArray<16>());
  act.set_request(bytes);
  act.set_key_id(NoteKeyId(operator_id, key.public_key()));
  ASSIGN_OR_RETURN(*act.mutable_signature(), key.TrySign(std::string(tag) + bytes));
  return act;
}

std::optional<ActRefusal> CheckAct(const Registry& registry, const v1::OperatorAct& act, std::string_view tag,
                                   const Digest& digest, v1::Permission permission, TimeMicros now) {
  const auto found = registry.FindOperator(act.operator_id());
  if (!found.ok() || (!found->valid_until.empty() && FormatDate(JapanDate(now)) > found->valid_until)) {
    return ActRefusal{v1::REFUSAL_REASON_UNKNOWN_OPERATOR, "operator: 登録されていない操作者です"};
  }
  if (!found->key.Verify(std::string(tag) + act.request(), act.signature()).ok()) {
    return ActRefusal{v1::REFUSAL_REASON_SIGNATURE, "operator: 操作者の署名を検証できません"};
  }
  const std::string_view request = act.request();
  const std::int64_t life = std::chrono::microseconds(kRequestLife).count();
  const bool whole = request.size() == kRequestBytes && request.substr(0, 32) == View(digest);
  const std::int64_t signed_at = whole ? static_cast<std::int64_t>(ReadU64(request.substr(32))) : 0;
  if (!whole || signed_at < now.value() - life || signed_at > now.value() + life) {
    return ActRefusal{v1::REFUSAL_REASON_STALE_REQUEST, "operator: 操作者の署名が古いか、別の操作のものです"};
  }
  if (!found->terminals.empty() && !found->terminals.contains(act.terminal())) {
    return ActRefusal{v1::REFUSAL_REASON_TERMINAL, "terminal: この操作者の端末ではありません"};
  }
  if (!found->permissions.contains(permission)) {
    return ActRefusal{v1::REFUSAL_REASON_PERMISSION, "operator: この操作の権限がありません"};
  }
  return std::nullopt;
}

}  // namespace daicho
