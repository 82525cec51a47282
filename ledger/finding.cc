#include "ledger/finding.h"

#include <array>


namespace daicho {
namespace {

constexpr auto kKinds = std::to_array<FindingInfo>({
    {FindingKind::kUndecodable, "undecodable", "記録が壊れており、読み取れません"},
    {FindingKind::kUnsupported, "unsupported", "この版の監査が知らない形式の記録です"},
    {FindingKind::kForeign, "foreign-ledger", "別の台帳の記録が混ざっています"},
    {FindingKind::kPosition, "position", "位置が連続していません（欠落・重複・並べ替え）"},
    {FindingKind::kTime, "time", "受理日時が前の記録より古くなっています"},
    {FindingKind::kIssuer, "unknown-issuer", "登録されていない発行者の記録です"},
    {FindingKind::kAuthority, "authority", "発行者の権限にない種類の記録です"},
    {FindingKind::kSequence, "sequence", "発行者の一連番号が連続していません"},
    {FindingKind::kSubmission, "submission", "一括の届けが途中で切れているか、他の記録が割り込んでいます"},
    {FindingKind::kPart, "part-digest", "封をした内容が、受理されたときのものと異なります"},
    {FindingKind::kCommitment, "commitment", "公開の内容が、発行者の約束した値と異なります"},
    {FindingKind::kRecordKey, "record-key", "ログの鍵（キー）が記録の対象者と一致しません"},
    {FindingKind::kHead, "issuer-head", "発行者の署名の形式が正しくありません"},
    {FindingKind::kSignature, "issuer-signature", "発行者の署名が、その届け全体と一致しません（届けか署名が異なります）"},
    {FindingKind::kKey, "key", "有効でない鍵、または漏えいのため失効した鍵による記録です"},
    {FindingKind::kRule, "rule", "受理してはならない管理の記録です（規則違反）"},
    {FindingKind::kSchema, "schema", "記録の様式が台帳に登録されていません"},
    {FindingKind::kCheckpointSignature, "checkpoint-signature", "台帳の署名付き証明の署名または形式が正しくありません"},
    {FindingKind::kCheckpointRoot, "checkpoint-root", "台帳の内容が、署名付き証明のハッシュと一致しません"},
    {FindingKind::kCheckpointBeyond, "checkpoint-beyond", "署名付き証明より台帳が短くなっています（末尾の欠落）"},
    {FindingKind::kCheckpointOrder, "checkpoint-order", "署名付き証明が後戻りしています"},
    {FindingKind::kTwoHistories, "two-histories", "同じ件数で異なる内容の証明があります（二つの履歴）"},
    {FindingKind::kCosignature, "cosignature", "立会人の連署が正しくないか、知らない者の署名です"},
    {FindingKind::kPolicy, "policy", "立会人の連署が規則の数に足りません"},
    {FindingKind::kStale, "stale", "署名付き証明または連署が古いか、ありません"},
    {FindingKind::kErasedWithoutOrder, "erased-without-order", "消去の決定がないのに内容が失われています"},
    {FindingKind::kNotExpired, "not-expired", "保存期間が過ぎていない内容の消去です"},
    {FindingKind::kTile, "tile", "書き出されたハッシュの表が台帳と一致しません"},
    {FindingKind::kExport, "export", "書き出しが不完全か、余分なものがあります"},
});

constexpr bool InOrder() {
  for (std::size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<std::size_t>(kKinds[i].kind) != i) return false;
  }
  return true;
}
static_assert(InOrder());
static_assert(kKinds.size() == static_cast<std::size_t>(FindingKind::kExport) + 1);

}  // namespace

std::span<const FindingInfo> FindingKinds() { return kKinds; }

const FindingInfo& InfoOf(FindingKind kind) { return kKinds[static_cast<std::size_t>(kind)]; }

}  // namespace daicho
