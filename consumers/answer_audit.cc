#include "consumers/answer_audit.h"

#include <algorithm>
#include <array>
#include <set>

#include "consumers/providing.h"
#include "events/dates.h"
#include "projections/kikou_register.h"

namespace daicho {
namespace {

constexpr std::size_t kRegistriesMax = 64;
constexpr std::size_t kSignaturesMax = 100'000;

bool IsByNumber(const v1::SearchCondition& condition) {
  return !condition.resident_code().empty() || !condition.individual_number().empty() || !condition.subject().empty();
}

template <typename List>
std::set<std::string> SetOf(const List& list) {
  return {list.begin(), list.end()};
}

// Positions in events are 0 where there is none.
std::uint64_t ValueOf(const std::optional<Position>& position) { return position ? position->value() : 0; }

}  // namespace

void AnswerAudit::RegistryChanged(Position position) {
  const std::lock_guard lock(mutex_);
  changes_.push_back(position);
}

Result<std::shared_ptr<const Registry>> AnswerAudit::RegistryAt(Position at) {
  Position change(0);
  {
    const std::lock_guard lock(mutex_);
    const auto behind = std::ranges::upper_bound(changes_, at);
    if (behind != changes_.begin()) change = *std::prev(behind);
    if (const auto known = registries_.find(change); known != registries_.end()) return known->second;
  }
  ASSIGN_OR_RETURN(Registry registry, projector_.RegistryAt(change));
  auto out = std::make_shared<const Registry>(std::move(registry));
  const std::lock_guard lock(mutex_);
  if (registries_.size() >= kRegistriesMax) registries_.erase(registries_.begin());
  registries_[change] = out;
  return out;
}

// One event.
class AnswerAudit::Judging {
 public:
  Judging(AnswerAudit& audit, const ProvidedEvent& event, const ReexecutionFindingSink& sink)
      : audit_(audit),
        event_(event),
        provision_(event.provision),
        sink_(sink),
        at_(event.provision.evaluated_at()),
        provided_(audit.projector_.store()) {}

  Status Run() {
    if (at_ >= event_.position) {
      Find(ReexecutionFindingKind::kTime, "evaluated_at lies behind the event");
      return {};
    }
    const auto day = ParseDate(provision_.judged_on());
    if (!day) {
      Find(ReexecutionFindingKind::kTime, "judged_on is no date");
      return {};
    }
    day_ = *day;
    RETURN_IF_ERROR(CheckTime());
    CheckCounts();
    ASSIGN_OR_RETURN(then_, audit_.RegistryAt(at_));
    return provision_.refusal() == v1::REFUSAL_REASON_UNSPECIFIED ? CheckAnswered() : CheckRefused();
  }

 private:
  void Find(ReexecutionFindingKind kind, std::string detail, int part = 0) {
    sink_({event_.position, part, kind, std::move(detail)});
  }
  bool IsFollowUp() const { return provision_.cause_position() != 0; }
  // What rests on events that may be gone cannot be judged any more.
  bool AnythingErased() const { return !audit_.newest_.erasures().empty(); }
  void Unjudged() { ++audit_.unjudged_; }

  // --- when ----------------------------------------------------------------------------------------

  // The last position admitted by that time.
  Result<Position> LastBy(TimeMicros time) const {
    std::string key;
    AppendU64(key, static_cast<std::uint64_t>(time.value()));
    auto it = audit_.projector_.store().NewIterator(RecordFile::kTimes);
    it.SeekForPrev(key);
    RETURN_IF_ERROR(it.status());
    return it.Valid() ? Position(ReadU64(it.value())) : Position(0);
  }

  Status CheckTime() {
    const Date admitted = JapanDate(event_.admitted_at);
    ASSIGN_OR_RETURN(const Position by_its_day, LastBy(EndOfDay(day_)));
    if (day_ > admitted || at_ > by_its_day) {
      Find(ReexecutionFindingKind::kTime, "judged_on is not the day of the evaluation");
      return {};
    }
    // The later answers of a request are evaluated as the first one was.
    if (provision_.chunk() != 0) return {};
    const TimeMicros begun(event_.admitted_at.value() - std::chrono::microseconds(kAnswerDelayMax).count());
    ASSIGN_OR_RETURN(const Position by_then, LastBy(begun));
    if (at_ < by_then || day_ < JapanDate(begun)) {
      Find(ReexecutionFindingKind::kTime, "evaluated long before it was answered");
    }
    return {};
  }

  // --- the event -----------------------------------------------------------------------------------

  void CheckCounts() {
    std::array<std::uint64_t, 5> counts{};
    bool whole = true;
    for (const ProvidedEvent::Part& part : event_.parts) {
      whole &= part.result.has_value();
      if (part.result) ++counts[static_cast<std::size_t>(part.result->outcome()) % counts.size()];
    }
    const std::uint64_t said[] = {provision_.found_count(), provision_.none_count(), provision_.multiple_count(),
                                  provision_.refused_count()};
    const bool adds_up = said[0] + said[1] + said[2] + said[3] == provision_.result_count() &&
                         provision_.result_count() == event_.parts.size();
    if (!adds_up || (whole && !std::equal(counts.begin() + 1, counts.end(), said))) {
      Find(ReexecutionFindingKind::kCounts, "the counts are not those of the answers");
    }
  }

  // Many events share a request.
  bool RequestVerifies(const std::string& key) {
    const std::string name = key + provision_.request_digest() + provision_.request_signature();
    {
      const std::lock_guard lock(audit_.mutex_);
      if (const auto known = audit_.signatures_.find(name); known != audit_.signatures_.end()) return known->second;
    }
    const bool verifies =
        IsSignedBy(key, std::string(kRequestTag) + provision_.request_digest(), provision_.request_signature());
    const std::lock_guard lock(audit_.mutex_);
    if (audit_.signatures_.size() >= kSignaturesMax) audit_.signatures_.clear();
    audit_.signatures_[name] = verifies;
    return verifies;
  }
  bool IsSigned() {
    const auto key = then_->CurrentKey(v1::KEY_USE_AGENCY_SIGNING, provision_.agency());
    return key.ok() && RequestVerifies(key->key);
  }

  // Why the operator named may not handle it; UNSPECIFIED: may, or none is named.
  v1::RefusalReason OperatorRefusal() const {
    const v1::OperatorAct& act = provision_.operator_act();
    if (act.operator_id().empty()) return v1::REFUSAL_REASON_UNSPECIFIED;
    const auto found = then_->FindOperator(act.operator_id());
    if (!found.ok() || (!found->valid_until.empty() && FormatDate(JapanDate(event_.admitted_at)) > found->valid_until)) {
      return v1::REFUSAL_REASON_UNKNOWN_OPERATOR;
    }
    if (!found->key.Verify(std::string(kProvideTag) + act.request(), act.signature()).ok()) {
      return v1::REFUSAL_REASON_SIGNATURE;
    }
    if (!act.request().starts_with(provision_.request_digest())) return v1::REFUSAL_REASON_STALE_REQUEST;
    if (!found->terminals.empty() && !found->terminals.contains(act.terminal())) return v1::REFUSAL_REASON_TERMINAL;
    const v1::Permission needed = provision_.mode() == v1::PROVISION_MODE_IMMEDIATE ? v1::PERMISSION_PROVIDE
                                                                                    : v1::PERMISSION_PROVIDE_BATCH;
    return found->permissions.contains(needed) ? v1::REFUSAL_REASON_UNSPECIFIED : v1::REFUSAL_REASON_PERMISSION;
  }

  ProvisionDecision Decided(std::uint64_t conditions, std::uint64_t asked_before) const {
    ProvisionRequest request = RequestOf(provision_, day_);
    request.conditions = conditions;
    request.asked_before = asked_before;
    return Decide(*then_, request);
  }

  Result<std::uint64_t> AskedThrough(Position at) const {
    return provided_.AskedOn(provision_.agency(), provision_.basis(), day_, at);
  }

  // --- refused as a whole --------------------------------------------------------------------------

  Status CheckRefused() {
    if (!event_.parts.empty()) Find(ReexecutionFindingKind::kNotPermitted, "refused, and yet answered");
    ASSIGN_OR_RETURN(const std::optional<bool> right, IsRightlyRefused());
    if (!right) {
      Unjudged();
    } else if (!*right) {
      Find(ReexecutionFindingKind::kRefusal, "refused for " + ReasonWord(provision_.refusal()));
    }
    return {};
  }

  Result<std::optional<bool>> IsRightlyRefused() {
    const auto yes = [](bool right) { return std::optional(right); };
    switch (provision_.refusal()) {
      case v1::REFUSAL_REASON_UNKNOWN_AGENCY: {
        const bool known = then_->agencies().contains(provision_.agency());
        return yes(!known || Decided(0, 0).refusal == v1::REFUSAL_REASON_UNKNOWN_AGENCY);
      }
      case v1::REFUSAL_REASON_SIGNATURE:
        return yes(!IsSigned() || OperatorRefusal() == v1::REFUSAL_REASON_SIGNATURE);
      case v1::REFUSAL_REASON_REFERENCE: {
        ASSIGN_OR_RETURN(const auto first, provided_.First(provision_.agency(), provision_.reference(), at_));
        if (!first && AnythingErased()) return std::optional<bool>();
        if (provision_.ends_standing()) return yes(!first || first->provision.mode() != v1::PROVISION_MODE_STANDING);
        return yes(first && first->provision.request_digest() != provision_.request_digest());
      }
      case v1::REFUSAL_REASON_UNKNOWN_OPERATOR:
      case v1::REFUSAL_REASON_TERMINAL:
      case v1::REFUSAL_REASON_PERMISSION:
        return yes(OperatorRefusal() == provision_.refusal());
      case v1::REFUSAL_REASON_STALE_REQUEST:
      case v1::REFUSAL_REASON_MALFORMED:
        return std::optional<bool>();
      case v1::REFUSAL_REASON_QUOTA: {
        // Others that were being answered at that time counted too: at most what they were by the end of the day.
        ASSIGN_OR_RETURN(const std::uint64_t asked, AskedThrough(Position(~std::uint64_t{0})));
        return yes(Decided(provision_.conditions(), asked).refusal == v1::REFUSAL_REASON_QUOTA);
      }
      default:
        return yes(Decided(IsFollowUp() ? 0 : provision_.conditions(), 0).refusal == provision_.refusal());
    }
  }

  // --- answered ------------------------------------------------------------------------------------

  Status CheckAnswered() {
    const auto agency = then_->agencies().find(provision_.agency());
    if (agency == then_->agencies().end()) {
      Find(ReexecutionFindingKind::kNotPermitted, "unknown_agency");
      return {};
    }
    const bool transfer = agency->second.recipient() == v1::RECIPIENT_CLASS_DEPARTMENT;
    if (agency->second.recipient() != provision_.recipient() ||
        event_.kind != (transfer ? v1::EVENT_KIND_TRANSFER : v1::EVENT_KIND_PROVISION)) {
      Find(ReexecutionFindingKind::kNotPermitted, "the agency is of another class of recipients");
    }
    if (IsFollowUp()) {
      RETURN_IF_ERROR(CheckFollowUp());
    } else if (!IsSigned()) {
      Find(ReexecutionFindingKind::kSignature, "by the key that the agency had then");
    } else if (const auto refusal = OperatorRefusal(); refusal != v1::REFUSAL_REASON_UNSPECIFIED) {
      Find(ReexecutionFindingKind::kOperator, ReasonWord(refusal));
    }
    ASSIGN_OR_RETURN(const ProvisionDecision decision, DecideAnswered());
    if (!decision.permitted()) {
      const bool basis = decision.refusal == v1::REFUSAL_REASON_BASIS;
      Find(basis ? ReexecutionFindingKind::kBasis : ReexecutionFindingKind::kNotPermitted, ReasonWord(decision.refusal));
      return {};
    }
    if (provision_.policy_position() != ValueOf(decision.policy) ||
        provision_.agreement_position() != ValueOf(decision.agreement)) {
      Find(ReexecutionFindingKind::kPolicy, "another one was in force");
    }
    return CheckParts(decision);
  }

  // The first answer of a request had the whole of it before it; none may be beyond the quota.
  Result<ProvisionDecision> DecideAnswered() {
    if (IsFollowUp()) return Decided(0, 0);
    ASSIGN_OR_RETURN(const std::uint64_t asked, AskedThrough(event_.position));
    if (provision_.chunk() != 0) return Decided(0, asked);
    const std::uint64_t own = provision_.result_count();
    return Decided(provision_.conditions(), asked - std::min(asked, own));
  }

  // An update of somebody whom the agency follows.
  Status CheckFollowUp() {
    const Position cause(provision_.cause_position());
    if (cause > at_ || event_.parts.size() != 1) {
      Find(ReexecutionFindingKind::kNotPermitted, "no update of one person caused it");
      return {};
    }
    if (!event_.parts[0].result) return {};
    const auto subject = ToArray<16>(event_.parts[0].result->condition().subject());
    if (!subject.ok()) {
      Find(ReexecutionFindingKind::kNotPermitted, "names nobody who is followed");
      return {};
    }
    ASSIGN_OR_RETURN(const auto subscriptions, provided_.SubscriptionsOf(*subject, cause));
    const bool follows = std::ranges::any_of(subscriptions, [&](const ProvisionRegister::Event& begun) {
      return begun.provision.agency() == provision_.agency() && begun.provision.reference() == provision_.reference();
    });
    if (follows) return {};
    if (AnythingErased()) {
      Unjudged();
    } else {
      Find(ReexecutionFindingKind::kNotPermitted, "the agency did not follow the person then");
    }
    return {};
  }

  Status CheckParts(const ProvisionDecision& decision) {
    const AnswerBasis basis{audit_.projector_, *decision.rule, decision.fields, at_, day_};
    const bool same_matching = provision_.matching() == audit_.projector_.search().matching().id();
    Sha256 lines;
    bool all_good = true;
    for (std::size_t i = 0; i < event_.parts.size(); ++i) {
      const ProvidedEvent::Part& part = event_.parts[i];
      if (!part.result) {
        ++audit_.erased_;
        all_good = false;
        continue;
      }
      ++audit_.answers_;
      if (!same_matching && !IsByNumber(part.result->condition())) {
        Unjudged();
        all_good = false;
        continue;
      }
      ASSIGN_OR_RETURN(const ConditionAnswer expected, Again(basis, *part.result));
      if (provision_.elsewhere() && expected.result.outcome() == v1::ANSWER_OUTCOME_NONE) {
        // What 機構 told is kept nowhere: nobody can make the line again, but its digest is in two events.
        RETURN_IF_ERROR(CompareElsewhere(basis, *part.result, expected, static_cast<int>(i) + 1));
        all_good = false;
        continue;
      }
      lines.Update(expected.line);
      ASSIGN_OR_RETURN(const bool good, Compare(part, expected, static_cast<int>(i) + 1));
      all_good &= good;
    }
    if (all_good && View(lines.Final()) != provision_.result_digest()) {
      Find(ReexecutionFindingKind::kDigest, "of all answers of the event");
    }
    return {};
  }

  Result<ConditionAnswer> Again(const AnswerBasis& basis, const v1::ProvisionResult& said) const {
    if (!IsFollowUp()) return AnswerCondition(basis, {said.request_id(), said.condition(), said.consent()});
    const auto subject = ToArray<16>(said.condition().subject());
    return AnswerUpdate(basis, said.request_id(), subject.ok() ? *subject : SubjectHandle{});
  }

  // Whether it is what must have been answered; what is wrong with it is found then, by its first cause.
  Result<bool> Compare(const ProvidedEvent::Part& part, const ConditionAnswer& expected, int number) {
    const v1::ProvisionResult& said = *part.result;
    const v1::ProvisionResult& must = expected.result;
    const bool same_person = expected.subject.empty() || expected.subject == part.subject;
    if (same_person && said.SerializeAsString() == must.SerializeAsString()) return true;
    ASSIGN_OR_RETURN(const bool explained, IsExplainedByErasure(said, must));
    if (explained) {
      Unjudged();
      return false;
    }
    const bool said_refused = said.outcome() == v1::ANSWER_OUTCOME_REFUSED;
    const bool must_be_refused = must.outcome() == v1::ANSWER_OUTCOME_REFUSED;
    if (said_refused) {
      if (!must_be_refused || said.refusal() != must.refusal()) {
        Find(ReexecutionFindingKind::kRefusal, "refused for " + ReasonWord(said.refusal()), number);
        return false;
      }
    } else if (must_be_refused) {
      Find(ReexecutionFindingKind::kNotRefused, ReasonWord(must.refusal()), number);
      return false;
    }
    if (said.outcome() != must.outcome() || said.match_count() != must.match_count()) {
      Find(ReexecutionFindingKind::kPerson, "another outcome", number);
    } else if (!same_person || said.version_position() != must.version_position()) {
      Find(ReexecutionFindingKind::kPerson, same_person ? "another version of the record" : "another person", number);
    } else if (SetOf(said.released_fields()) != SetOf(must.released_fields())) {
      Find(ReexecutionFindingKind::kField, FieldsApart(said, must), number);
    } else {
      Find(ReexecutionFindingKind::kDigest, "of the answer, or what the record says of it", number);
    }
    return false;
  }

  // Of a condition that nobody here fits: the answer is what 機構 told of it before, on the request's own terms.
  Status CompareElsewhere(const AnswerBasis& basis, const v1::ProvisionResult& said, const ConditionAnswer& here, int number) {
    const auto find = [&](const char* detail) {
      Find(ReexecutionFindingKind::kElsewhere, detail, number);
      return Status();
    };
    if (said.inquiry().empty()) {
      const ConditionAnswer must = AnswerElsewhere(basis, here, "", {});
      return said.SerializeAsString() == must.result.SerializeAsString() ? Status() : find("without an inquiry");
    }
    const auto found = KikouRegister(audit_.projector_.store()).Find(said.inquiry(), event_.position);
    if (found.status().code() == Code::kNotFound || (found.ok() && !found->answered_at)) {
      if (!AnythingErased()) return find("no such inquiry was answered before");
      Unjudged();
      return {};
    }
    RETURN_IF_ERROR(found.status());
    const v1::InquiryAsked& asked = found->asked;
    const v1::InquiryAnswered& answered = found->answered;
    if (asked.agency() != provision_.agency() || asked.basis() != provision_.basis() || asked.duty() != provision_.duty() ||
        asked.purpose() != provision_.reference() ||
        asked.condition().SerializeAsString() != said.condition().SerializeAsString() ||
        !std::ranges::equal(asked.fields(), basis.fields) || found->asked_at <= at_) {
      return find("the inquiry is of another request");
    }
    const bool answer = answered.outcome() == v1::ANSWER_OUTCOME_FOUND || answered.outcome() == v1::ANSWER_OUTCOME_NONE ||
                        answered.outcome() == v1::ANSWER_OUTCOME_MULTIPLE;
    if (said.outcome() != (answer ? answered.outcome() : v1::ANSWER_OUTCOME_REFUSED) ||
        said.refusal() != (answer ? v1::REFUSAL_REASON_UNSPECIFIED : v1::REFUSAL_REASON_ELSEWHERE) ||
        said.match_count() != (answer ? answered.match_count() : 0)) {
      return find("another outcome than the inquiry's");
    }
    if (!std::ranges::equal(said.released_fields(), answered.released_fields())) return find("other fields than the inquiry's");
    return said.result_digest() == answered.told_digest() ? Status() : find("not what was made of the inquiry");
  }

  static std::string FieldsApart(const v1::ProvisionResult& said, const v1::ProvisionResult& must) {
    const auto has = SetOf(said.released_fields()), may = SetOf(must.released_fields());
    std::string out;
    for (const std::string& field : has) {
      if (!may.contains(field)) out += "+" + field + " ";
    }
    for (const std::string& field : may) {
      if (!has.contains(field)) out += "-" + field + " ";
    }
    return out.substr(0, out.size() - 1);
  }

  // 利用停止 is kept for a shorter time than what it refused, and a record may be gone that was found.
  Result<bool> IsExplainedByErasure(const v1::ProvisionResult& said, const v1::ProvisionResult& must) const {
    if (!AnythingErased()) return false;
    if (said.refusal() == v1::REFUSAL_REASON_SUSPENDED || said.despite_suspension()) return true;
    if (said.outcome() == v1::ANSWER_OUTCOME_MULTIPLE || must.outcome() == v1::ANSWER_OUTCOME_MULTIPLE) return true;
    if (said.outcome() != v1::ANSWER_OUTCOME_FOUND || said.version_position() == 0) return false;
    if (must.outcome() == v1::ANSWER_OUTCOME_FOUND) return must.version_position() < said.version_position();
    return must.outcome() == v1::ANSWER_OUTCOME_NONE;
  }

  AnswerAudit& audit_;
  const ProvidedEvent& event_;
  const v1::Provision& provision_;
  const ReexecutionFindingSink& sink_;
  const Position at_;
  const ProvisionRegister provided_;
  Date day_;
  std::shared_ptr<const Registry> then_;
};

Status AnswerAudit::Check(const ProvidedEvent& event, const ReexecutionFindingSink& sink) {
  return Judging(*this, event, sink).Run();
}

Status AnswerAudit::CheckReceipt(Position position, const v1::DeliveryReceived& received,
                                 const ReexecutionFindingSink& sink) {
  v1::AgencyReceipt receipt;
  if (!receipt.ParseFromString(received.receipt())) {
    sink({position, 0, ReexecutionFindingKind::kUndecodable, "of a receipt"});
    return {};
  }
  const Position delivered(receipt.provision_position());
  const auto event = ProvisionRegister(projector_.store()).At(delivered);
  if (event.status().code() == Code::kNotFound && !newest_.erasures().empty()) {
    ++unjudged_;
    return {};
  }
  if (!event.ok() && event.status().code() != Code::kNotFound) return event.status();
  if (!event.ok() || delivered > position || event->provision.agency() != receipt.agency() ||
      event->provision.delivered_digest() != receipt.delivered_digest()) {
    sink({position, 0, ReexecutionFindingKind::kReceipt, "of what was not delivered"});
    return {};
  }
  // By a key that the agency had between the delivery and the receipt.
  for (const KeySpan& span : newest_.Keys(v1::KEY_USE_AGENCY_SIGNING, receipt.agency())) {
    const bool held = span.from <= position && (!span.until || *span.until > delivered);
    if (held && IsSignedBy(span.key, std::string(kAgencyReceiptTag) + received.receipt(), received.signature())) return {};
  }
  sink({position, 0, ReexecutionFindingKind::kReceipt, "without the agency's signature"});
  return {};
}

}  // namespace daicho
