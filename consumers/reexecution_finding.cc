#include "consumers/reexecution_finding.h"

#include <array>
#include <cstddef>

namespace daicho {
namespace {

constexpr auto kKinds = std::to_array<ReexecutionFindingInfo>({
    {ReexecutionFindingKind::kUndecodable, "undecodable", "記録を読み取れません"},
    {ReexecutionFindingKind::kSignature, "request-signature", "照会に、利用機関の正しい署名がありません"},
    {ReexecutionFindingKind::kOperator, "operator", "権限のない操作者によるか、操作者の正しい署名がありません"},
    {ReexecutionFindingKind::kBasis, "basis", "その日に効力のある根拠によらない提供です"},
    {ReexecutionFindingKind::kNotPermitted, "not-permitted", "規則が認めない照会に答えています"},
    {ReexecutionFindingKind::kPolicy, "policy", "適用したとする規則または協定が、その時のものではありません"},
    {ReexecutionFindingKind::kRefusal, "refusal", "拒否の理由がないか、理由が異なります"},
    {ReexecutionFindingKind::kNotRefused, "not-refused", "拒否すべき条件（利用停止など）に答えています"},
    {ReexecutionFindingKind::kPerson, "person", "条件に合う者と異なる者、または異なる結果を答えています"},
    {ReexecutionFindingKind::kField, "field", "認められた項目と異なる項目を提供しています"},
    {ReexecutionFindingKind::kDigest, "result-digest", "答えの内容が、再び評価した内容と異なります"},
    {ReexecutionFindingKind::kElsewhere, "elsewhere", "機構への照会とその回答によらずに、他県の者について答えています"},
    {ReexecutionFindingKind::kCounts, "counts", "件数が合いません"},
    {ReexecutionFindingKind::kTime, "time", "評価した位置または日が、答えた時と合いません"},
    {ReexecutionFindingKind::kChunks, "chunks", "一つの照会への答えが、欠けているか、重複しているか、互いに合いません"},
    {ReexecutionFindingKind::kDeliveryChanged, "delivery-changed", "利用機関に渡された答えが、記録されたものと異なります"},
    {ReexecutionFindingKind::kDeliveryMissing, "delivery-missing", "利用機関に渡されるべき答えがありません"},
    {ReexecutionFindingKind::kDeliveryTwice, "delivery-twice", "同じ答えが二度渡されています"},
    {ReexecutionFindingKind::kDeliveryForeign, "delivery-foreign", "記録のない答えが利用機関に渡されています"},
    {ReexecutionFindingKind::kReceipt, "receipt", "受領の署名または対象が正しくありません"},
    {ReexecutionFindingKind::kDifference, "difference", "不整合の記録が、その時の本人確認情報と合いません"},
    {ReexecutionFindingKind::kCase, "case", "不整合の扱い（番号、通報、継続）が正しくありません"},
    {ReexecutionFindingKind::kCopy, "copy", "双方の写しの要約を、記録された不整合では説明できません"},
    {ReexecutionFindingKind::kResolution, "resolution", "不整合が解消したとする理由が、台帳の記録と合いません"},
});

constexpr bool InOrder() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<std::size_t>(kKinds[i].kind) != i) return false;
  }
  return true;
}
static_assert(InOrder());
static_assert(kKinds.size() == static_cast<std::size_t>(ReexecutionFindingKind::kResolution) + 1);

}  // namespace

std::span<const ReexecutionFindingInfo> ReexecutionFindingKinds() { return kKinds; }
const ReexecutionFindingInfo& InfoOf(ReexecutionFindingKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

}  // namespace daicho
