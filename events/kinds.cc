#include "events/kinds.h"

#include <google/protobuf/descriptor.pb.h>

#include <algorithm>
#include <array>

#include "events/consistency.pb.h"
#include "events/disclosure.pb.h"
#include "events/erasure.pb.h"
#include "events/kikou.pb.h"
#include "events/provision.pb.h"
#include "events/resident.pb.h"
#include "events/search.pb.h"

namespace daicho {
namespace {

using namespace events::v1;  // NOLINT: a table of its names

constexpr std::uint32_t Bit(IssuerRole role) { return 1u << role; }

constexpr auto kNotice = RETENTION_CLASS_NOTICE;
constexpr auto kOperation = RETENTION_CLASS_OPERATION;
constexpr auto kDisclosure = RETENTION_CLASS_DISCLOSURE;
constexpr auto kAdministration = RETENTION_CLASS_ADMINISTRATION;

constexpr auto kMunicipality = Bit(ISSUER_ROLE_MUNICIPALITY);
constexpr auto kRegistrar = Bit(ISSUER_ROLE_REGISTRAR);
constexpr auto kRecords = Bit(ISSUER_ROLE_RECORDS);
constexpr auto kProvider = Bit(ISSUER_ROLE_PROVIDER);
constexpr auto kDiscloser = Bit(ISSUER_ROLE_DISCLOSURE);
constexpr auto kKikou = Bit(ISSUER_ROLE_KIKOU);
constexpr auto kReconciler = Bit(ISSUER_ROLE_RECONCILER);
constexpr auto kRetention = Bit(ISSUER_ROLE_RETENTION);

// The name of a message and the function that finds it: naming the class also links its schema in.
#define MESSAGE(name) "daicho.events.v1." #name, &name::descriptor

// clang-format off
constexpr auto kKinds = std::to_array<KindInfo>({
    {EVENT_KIND_UPDATE, "jp.daicho.update.v1", "update", "本人確認情報の更新",
     MESSAGE(UpdateNotice), nullptr, kNotice, false, kMunicipality},
    {EVENT_KIND_PROVISION, "jp.daicho.provision.v1", "provision", "提供",
     MESSAGE(Provision), &ProvisionResult::descriptor, kOperation, false, kProvider},
    {EVENT_KIND_TRANSFER, "jp.daicho.transfer.v1", "transfer", "移転",
     MESSAGE(Provision), &ProvisionResult::descriptor, kOperation, false, kProvider},
    {EVENT_KIND_DELIVERY_RECEIVED, "jp.daicho.delivery-received.v1", "delivery received", "受領",
     MESSAGE(DeliveryReceived), nullptr, kOperation, false, kProvider},
    {EVENT_KIND_DISCLOSURE, "jp.daicho.disclosure.v1", "disclosure", "開示",
     MESSAGE(Disclosure), nullptr, kDisclosure, false, kDiscloser},
    {EVENT_KIND_CORRECTION_REQUESTED, "jp.daicho.correction-requested.v1", "correction requested", "訂正等の申出",
     MESSAGE(CorrectionRequested), nullptr, kDisclosure, false, kDiscloser},
    {EVENT_KIND_CORRECTION_DECIDED, "jp.daicho.correction-decided.v1", "correction decided", "訂正等の決定",
     MESSAGE(CorrectionDecided), nullptr, kDisclosure, false, kDiscloser},
    {EVENT_KIND_SUSPENSION_REQUESTED, "jp.daicho.suspension-requested.v1", "suspension requested", "利用停止の請求",
     MESSAGE(SuspensionRequested), nullptr, kDisclosure, false, kDiscloser},
    {EVENT_KIND_SUSPENSION_DECIDED, "jp.daicho.suspension-decided.v1", "suspension decided", "利用停止の決定",
     MESSAGE(SuspensionDecided), nullptr, kDisclosure, false, kDiscloser},
    {EVENT_KIND_INQUIRY_ASKED, "jp.daicho.inquiry-asked.v1", "inquiry asked", "機構照会",
     MESSAGE(InquiryAsked), nullptr, kOperation, false, kKikou},
    {EVENT_KIND_INQUIRY_ANSWERED, "jp.daicho.inquiry-answered.v1", "inquiry answered", "機構照会の回答",
     MESSAGE(InquiryAnswered), nullptr, kOperation, false, kKikou},
    {EVENT_KIND_KIKOU_NOTIFIED, "jp.daicho.kikou-notified.v1", "kikou notified", "機構への通知",
     MESSAGE(KikouNotified), nullptr, kOperation, false, kKikou},
    {EVENT_KIND_SEARCH, "jp.daicho.search.v1", "search", "検索",
     MESSAGE(SearchPerformed), nullptr, kOperation, false, kRecords},
    {EVENT_KIND_CONSISTENCY_RUN, "jp.daicho.consistency-run.v1", "consistency run", "整合性確認",
     MESSAGE(ConsistencyRun), nullptr, kOperation, false, kReconciler},
    {EVENT_KIND_DIFFERENCE_FOUND, "jp.daicho.difference-found.v1", "difference found", "不整合の発見",
     MESSAGE(DifferenceFound), nullptr, kOperation, false, kReconciler},
    {EVENT_KIND_DIFFERENCE_RESOLVED, "jp.daicho.difference-resolved.v1", "difference resolved", "不整合の解消",
     MESSAGE(DifferenceResolved), nullptr, kOperation, false, kReconciler},
    {EVENT_KIND_ERASURE, "jp.daicho.erasure.v1", "erasure", "消去",
     MESSAGE(Erasure), nullptr, kAdministration, true, kRetention},
    {EVENT_KIND_ERASURE_COMPLETED, "jp.daicho.erasure-completed.v1", "erasure completed", "消去の完了",
     MESSAGE(ErasureCompleted), nullptr, kAdministration, true, kRetention},
    {EVENT_KIND_LEDGER_OPENED, "jp.daicho.ledger-opened.v1", "ledger opened", "台帳の開設",
     MESSAGE(LedgerOpened), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_ISSUER_REGISTERED, "jp.daicho.issuer-registered.v1", "issuer registered", "発行者の登録",
     MESSAGE(IssuerRegistered), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_AGENCY_REGISTERED, "jp.daicho.agency-registered.v1", "agency registered", "提供先・移転先の登録",
     MESSAGE(AgencyRegistered), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_OPERATOR_REGISTERED, "jp.daicho.operator-registered.v1", "operator registered", "操作者の登録",
     MESSAGE(OperatorRegistered), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_ROLE_DEFINED, "jp.daicho.role-defined.v1", "role defined", "権限の設定",
     MESSAGE(RoleDefined), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_KEY_CHANGED, "jp.daicho.key-changed.v1", "key changed", "鍵の変更",
     MESSAGE(KeyChanged), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_POLICY_SET, "jp.daicho.policy-set.v1", "policy set", "規則の設定",
     MESSAGE(PolicySet), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_AGREEMENT_SET, "jp.daicho.agreement-set.v1", "agreement set", "協定の登録",
     MESSAGE(AgreementSet), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_SCHEMA_REGISTERED, "jp.daicho.schema-registered.v1", "schema registered", "様式の登録",
     MESSAGE(SchemaRegistered), nullptr, kAdministration, true, kRegistrar},
    {EVENT_KIND_SELF_INSPECTION, "jp.daicho.self-inspection.v1", "self-inspection", "自己点検",
     MESSAGE(SelfInspection), nullptr, kOperation, false, kRegistrar},
    {EVENT_KIND_TRAINING, "jp.daicho.training.v1", "training", "研修",
     MESSAGE(Training), nullptr, kOperation, false, kRegistrar},
    {EVENT_KIND_MEDIA_HANDOVER, "jp.daicho.media-handover.v1", "media hand-over", "媒体授受",
     MESSAGE(MediaHandover), nullptr, kOperation, false, kRegistrar},
    {EVENT_KIND_CONTRACTOR_ACCESS, "jp.daicho.contractor-access.v1", "contractor access", "委託先の作業",
     MESSAGE(ContractorAccess), nullptr, kOperation, false, kRegistrar},
});
// clang-format on

#undef MESSAGE

static_assert(std::ranges::is_sorted(kKinds, {}, &KindInfo::kind));

}  // namespace

std::span<const KindInfo> Kinds() { return kKinds; }

const KindInfo* FindKind(EventKind kind) {
  const auto* row = std::ranges::lower_bound(kKinds, kind, {}, &KindInfo::kind);
  return row != kKinds.end() && row->kind == kind ? row : nullptr;
}

const KindInfo* FindKind(std::string_view type) {
  const auto* row = std::ranges::find(kKinds, type, &KindInfo::type);
  return row != kKinds.end() ? row : nullptr;
}

bool MayIssue(IssuerRole role, EventKind kind) {
  const KindInfo* row = FindKind(kind);
  return row != nullptr && IssuerRole_IsValid(role) && (row->issuers & Bit(role)) != 0;
}

namespace {

void AddFile(const google::protobuf::FileDescriptor& file, google::protobuf::FileDescriptorSet& set) {
  for (const auto& present : set.file()) {
    if (present.name() == file.name()) return;
  }
  for (int i = 0; i < file.dependency_count(); ++i) AddFile(*file.dependency(i), set);
  file.CopyTo(set.add_file());
}

}  // namespace

std::string EncodeSchema(const KindInfo& kind) {
  google::protobuf::FileDescriptorSet set;
  AddFile(*kind.descriptor()->file(), set);
  if (kind.part_descriptor != nullptr) AddFile(*kind.part_descriptor()->file(), set);
  return set.SerializeAsString();
}

std::string EncodeSchema(const google::protobuf::Descriptor& message) {
  google::protobuf::FileDescriptorSet set;
  AddFile(*message.file(), set);
  return set.SerializeAsString();
}

}  // namespace daicho
