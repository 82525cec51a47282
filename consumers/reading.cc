#include "consumers/reading.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "consumers/node.h"
#include "consumers/notice_json.h"
#include "consumers/provision_report.h"
#include "projections/provision_register.h"

namespace daicho {

namespace {

bool IsSearch(const v1::SearchCondition& condition) {
  const int numbers = !condition.resident_code().empty() + !condition.individual_number().empty() +
                      !condition.subject().empty();
  v1::SearchCondition rest = condition;
  rest.clear_resident_code();
  rest.clear_individual_number();
  rest.clear_subject();
  return numbers != 1 || rest.ByteSizeLong() > 0;
}

// Whether the duty's rule lets the condition pass; else why not.
Status CheckBreadth(const v1::SearchCondition& condition, const v1::SearchRule* rule) {
  if (rule == nullptr) return Denied("duty: no rule lets it search");
  if (condition.name_match() == v1::NAME_MATCH_INFIX && !rule->infix()) {
    return Denied("name_match: 部分一致はこの事務に認められていません");
  }
  if (condition.former() && !rule->former()) {
    return Denied("former: 過去の氏名・住所による検索はこの事務に認められていません");
  }
  if (!condition.resident_code().empty() || !condition.individual_number().empty() || !condition.subject().empty()) {
    return {};
  }
  const int items = (!condition.name().empty() || !condition.kana().empty()) + !condition.birth().empty() +
                    (condition.sex() != v1::SEX_UNSPECIFIED) + !condition.address().empty();
  if (items < static_cast<int>(rule->items_min())) {
    return Denied("condition: 氏名（振り仮名）、生年月日、性別、住所のうち" + std::to_string(rule->items_min()) +
                  "項目以上を指定してください");
  }
  return {};
}

const v1::SearchRule* FindRule(const v1::PolicyRules& rules, const std::string& duty) {
  const auto found = std::ranges::find(rules.search_rules(), duty, &v1::SearchRule::duty);
  return found == rules.search_rules().end() ? nullptr : &*found;
}

std::string ExplanationJson(const SearchExplanation& explanation) {
  return nlohmann::ordered_json({{"family", explanation.family},
                                 {"given_up", explanation.given_up},
                                 {"entries", explanation.entries},
                                 {"records", explanation.records}})
      .dump();
}

}  // namespace

struct Reading::Found {
  std::string lines;
  std::string explanation;
  std::uint64_t count = 0;
  std::string subject;  // handle; empty when none was found
};

std::string VersionJson(const Version& version) {
  const v1::UpdateNotice& notice = version.notice;
  const bool removed = notice.kind() == v1::NOTICE_KIND_REMOVAL;
  nlohmann::ordered_json out = {{"handle", ToHex(View(version.handle))},
                                {"position", version.position.value()},
                                {"admitted_at", FormatTimestamp(version.admitted_at)},
                                {"status", removed ? "removed" : "resident"},
                                {"valid_from", notice.changed_on()},
                                {"resident_code", notice.resident_code()},
                                {"record", nlohmann::ordered_json::parse(RecordJson(notice.record()))},
                                {"kind", KindName(notice.kind())},
                                {"reason", ReasonName(notice.reason())},
                                {"issuer", version.issuer},
                                {"update_number", notice.update_number()}};
  if (notice.cancels() != 0) out["cancels"] = notice.cancels();
  if (version.effect == v1::EFFECT_REMOVED_LATE) out["late"] = true;
  return out.dump();
}

Result<OperatorState> Reading::Admit(What what, const Registry& registry, const v1::ReadRequest& request,
                                     const std::string& bytes, const std::string& signature,
                                     v1::RefusalReason& refusal) {
  const auto refuse = [&](v1::RefusalReason reason, std::string message) -> Result<OperatorState> {
    refusal = reason;
    return Denied(std::move(message));
  };
  auto found = registry.FindOperator(request.operator_id());
  if (!found.ok()) return refuse(v1::REFUSAL_REASON_UNKNOWN_OPERATOR, "operator: not registered");
  const TimeMicros now = options_.clock->Now();
  if (!found->valid_until.empty() && FormatDate(JapanDate(now)) > found->valid_until) {
    return refuse(v1::REFUSAL_REASON_UNKNOWN_OPERATOR, "operator: valid no longer");
  }
  const std::string_view tag = what == What::kRecord ? kReadRequestTag : kReadProvisionsTag;
  if (!found->key.Verify(std::string(tag) + bytes, signature).ok()) {
    return refuse(v1::REFUSAL_REASON_SIGNATURE, "operator: the signature is not of its key");
  }
  const std::int64_t life = std::chrono::microseconds(kRequestLife).count();
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(nonces_, [&](const auto& seen) { return seen.second.value() < now.value() - 2 * life; });
    const bool fresh = nonces_.emplace(request.nonce(), now).second;
    const bool timely = request.requested_at() >= now.value() - life && request.requested_at() <= now.value() + life;
    if (!fresh || request.nonce().size() != 16 || !timely) {
      return refuse(v1::REFUSAL_REASON_STALE_REQUEST, "request: too old, or answered before");
    }
  }
  if (!found->terminals.empty() && !found->terminals.contains(request.terminal())) {
    return refuse(v1::REFUSAL_REASON_TERMINAL, "terminal: not one of the operator's");
  }
  if (!found->duties.contains(request.duty())) {
    return refuse(v1::REFUSAL_REASON_DUTY, "duty: not one of the operator's");
  }
  const auto may = [&](v1::Permission permission) { return found->permissions.contains(permission); };
  bool permitted = may(v1::PERMISSION_AUDIT) || may(v1::PERMISSION_DISCLOSE);
  if (what == What::kRecord) {
    permitted = may(IsSearch(request.condition()) ? v1::PERMISSION_SEARCH : v1::PERMISSION_READ_RECORD) &&
                (!request.history() || may(v1::PERMISSION_READ_HISTORY));
  }
  if (!permitted) {
    return refuse(v1::REFUSAL_REASON_PERMISSION, "operator: no permission to read this");
  }
  return found;
}

namespace {

// Who is named by one number or handle.
Result<KeySlot> FindNamed(const RecordFile& file, const v1::SearchCondition& condition, Position at) {
  if (!condition.resident_code().empty()) return file.FindByResidentCode(condition.resident_code(), at);
  if (!condition.individual_number().empty()) return file.FindByIndividualNumber(condition.individual_number(), at);
  ASSIGN_OR_RETURN(const SubjectHandle handle, ToArray<16>(condition.subject()));
  return file.FindByHandle(handle);
}

}  // namespace

Result<Reading::Found> Reading::Evaluate(const RecordFile& file, const v1::ReadRequest& request, Position at,
                                         Date on) const {
  const auto subject = FindNamed(file, request.condition(), at);
  RETURN_IF_ERROR(subject.status());
  Found out;
  std::vector<Version> versions;
  if (request.history()) {
    ASSIGN_OR_RETURN(versions, file.History(*subject, at));
  } else {
    ASSIGN_OR_RETURN(Version version, file.Read(*subject, at, on));
    versions.push_back(std::move(version));
  }
  for (const Version& version : versions) out.lines += VersionJson(version) + "\n";
  out.count = versions.size();
  out.subject = View(versions.front().handle);
  return out;
}

Result<Reading::Found> Reading::EvaluateProvisions(const Projector& projector, const v1::ReadRequest& request,
                                                   Position at) const {
  Found out;
  out.subject = request.condition().subject();
  if (out.subject.empty()) {
    ASSIGN_OR_RETURN(const KeySlot slot, FindNamed(projector.file(), request.condition(), at));
    ASSIGN_OR_RETURN(const Version version, projector.file().Read(slot, at, std::nullopt));
    out.subject = View(version.handle);
  }
  ASSIGN_OR_RETURN(const SubjectHandle handle, ToArray<16>(out.subject));
  const ProvisionRegister provisions(projector.store());
  ASSIGN_OR_RETURN(const auto given, provisions.GivenOf(handle, at));
  for (const ProvisionRegister::Given& each : given) out.lines += GivenJson(each) + "\n";
  out.count = given.size();
  return out;
}

Result<Reading::Found> Reading::Find(const Projector& projector, const v1::ReadRequest& request,
                                     std::uint32_t results_max, Position at, Date on,
                                     v1::RefusalReason& refusal) const {
  const std::uint32_t limit = request.limit() == 0 ? results_max : std::min(request.limit(), results_max);
  ASSIGN_OR_RETURN(const SearchPage page, projector.search().Find(request.condition(), at, on, limit,
                                                                  {request.led_by(), request.skip()}));
  if (page.too_broad) {
    refusal = v1::REFUSAL_REASON_TOO_MANY;
    return Denied("condition: 該当が多すぎます。条件を絞ってください");
  }
  Found out;
  out.explanation = ExplanationJson(page.explanation);
  for (const Version& version : page.hits) out.lines += VersionJson(version) + "\n";
  out.count = page.hits.size();
  if (out.count == 0) return NotFound("該当する者はいません");
  if (page.more) {
    const std::uint64_t shown = request.skip() + page.hits.size();
    out.lines += nlohmann::ordered_json({{"more", true}, {"after", fmt::format("{}:{}:{}", at.value(), shown, page.explanation.family)}}).dump() + "\n";
  }
  if (out.count == 1 && !page.more && request.skip() == 0) out.subject = View(page.hits.front().handle);
  return out;
}

Result<ReadAnswer> Reading::Read(const std::string& bytes, const std::string& signature) {
  return Answer(What::kRecord, bytes, signature);
}

Result<ReadAnswer> Reading::ReadProvisions(const std::string& bytes, const std::string& signature) {
  return Answer(What::kProvisions, bytes, signature);
}

Result<ReadAnswer> Reading::Answer(What what, const std::string& bytes, const std::string& signature) {
  v1::ReadRequest request;
  if (!request.ParseFromString(bytes) || request.version() != 1) return Invalid("request: cannot be read");
  if (request.ledger() != View(options_.ledger)) return Invalid("request: for another ledger");
  const v1::SearchCondition& condition = request.condition();
  if (condition.ByteSizeLong() == 0) return Invalid("condition: empty");
  const bool search = IsSearch(condition);
  const bool provisions = what == What::kProvisions;
  if (provisions && (search || request.history() || !request.on_date().empty())) {
    return Invalid("condition: of what was provided, one number or handle and nothing else");
  }
  if (search && request.history()) return Invalid("history: of one record, not of a search");
  if (search && !request.on_date().empty()) return Invalid("on: of one record, not of a search");
  if (!condition.subject().empty() && condition.subject().size() != 16) return Invalid("handle: 16 bytes");
  std::optional<Date> on = ParseDate(request.on_date());
  if (!request.on_date().empty() && !on) return Invalid("on: not a date");
  const std::optional<Date> as_of = ParseDate(request.date());
  if (request.as_of_case() == v1::ReadRequest::kDate && !as_of) return Invalid("as-of: not a date");

  v1::SearchPerformed event;
  event.set_operator_id(request.operator_id());
  event.set_duty(request.duty());
  event.set_purpose(request.purpose());
  event.set_terminal(request.terminal());
  *event.mutable_condition() = condition;
  event.set_history(request.history());
  event.set_operator_signature(signature);
  event.set_operator_request(bytes);

  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;
  const std::shared_ptr<const Projector> projector = options_.projector();
  const std::shared_ptr<const Registry> in_force = projector->registry();
  const Registry& registry = *in_force;
  auto admitted = Admit(what, registry, request, bytes, signature, refusal);
  event.set_refusal(refusal);
  Result<Found> found = admitted.ok() ? NotFound("nothing was evaluated") : admitted.status();
  if (admitted.ok()) {
    event.set_operator_key_id(NoteKeyId(request.operator_id(), admitted->key.bytes()));
    std::optional<std::uint64_t> position;
    if (request.as_of_case() == v1::ReadRequest::kPosition) position = request.position();
    const Result<Position> asked = projector->AsOf(position, as_of);
    const Status known = asked.status();  // kNotFound: before the ledger
    if (known.code() == Code::kInvalid) return known;
    const Position at = asked.ok() ? *asked : Position(0);
    if (!on) on = as_of ? *as_of : JapanDate(options_.clock->Now());
    event.set_evaluated_at(at.value());
    event.set_on_date(FormatDate(*on));
    const v1::SearchRule* rule = registry.policy() == nullptr ? nullptr : FindRule(registry.policy()->rules, request.duty());
    const Status narrow = search ? CheckBreadth(condition, rule) : Status();
    if (!narrow.ok()) {
      event.set_refusal(v1::REFUSAL_REASON_CONDITION);
      found = narrow;
    } else if (!known.ok()) {
      found = known;
    } else if (search) {
      event.set_matching(projector->search().matching().id());
      const std::uint32_t whatever = registry.policy()->rules.search_results_max();
      const std::uint32_t results_max = whatever == 0 ? rule->results_max() : std::min(whatever, rule->results_max());
      found = Find(*projector, request, results_max, at, *on, refusal);
      event.set_refusal(refusal);
    } else if (provisions) {
      found = EvaluateProvisions(*projector, request, at);
      if (found.ok()) event.add_released_fields("provisions");
    } else {
      found = Evaluate(projector->file(), request, at, *on);
    }
    if (!found.ok() && event.refusal() == v1::REFUSAL_REASON_UNSPECIFIED && found.status().code() != Code::kNotFound) {
      return found.status();
    }
  }
  if (found.ok()) event.set_result_count(found->count);
  event.set_result_digest(std::string(View(Sha256Of({found.ok() ? found->lines : ""}))));

  DraftEvent draft;
  draft.kind = v1::EVENT_KIND_SEARCH;
  draft.retention = v1::RETENTION_CLASS_OPERATION;
  draft.payload = event.SerializeAsString();
  if (found.ok()) draft.subject = found->subject;
  // Nothing leaves before its record is in the ledger.
  RETURN_IF_ERROR(options_.submit(draft).With("the reading could not be recorded"));
  RETURN_IF_ERROR(found.status());
  return ReadAnswer{std::move(found->lines), std::move(found->explanation)};
}

}  // namespace daicho
