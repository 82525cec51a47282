#include "consumers/provision_answer.h"

#include <algorithm>
#include <cctype>

#include "consumers/notice_json.h"
#include "consumers/strict_json.h"

namespace daicho {
namespace {

// A condition that one number answers.
bool IsByNumber(const v1::SearchCondition& condition, const std::vector<std::string>& keys) {
  return keys.size() == 1 && (!condition.resident_code().empty() || !condition.individual_number().empty());
}

// The versions that match, one a person; at most `limit`.
struct FoundVersions {
  std::vector<Version> versions;
  bool more = false;
};

Result<FoundVersions> FindMatches(const AnswerBasis& basis, const v1::SearchCondition& condition,
                            const std::vector<std::string>& keys, std::size_t limit) {
  FoundVersions out;
  if (IsByNumber(condition, keys)) {
    const RecordFile& file = basis.projector.file();
    const auto subject = condition.resident_code().empty()
                             ? file.FindByIndividualNumber(condition.individual_number(), basis.at)
                             : file.FindByResidentCode(condition.resident_code(), basis.at);
    Result<Version> version = subject.ok() ? file.Read(*subject, basis.at, basis.on) : subject.status();
    if (version.status().code() == Code::kNotFound) return out;
    RETURN_IF_ERROR(version.status());
    out.versions.push_back(std::move(*version));
    return out;
  }
  ASSIGN_OR_RETURN(SearchPage page, basis.projector.search().Find(condition, basis.at, basis.on, limit, {}));
  out.versions = std::move(page.hits);
  out.more = page.more || page.too_broad;
  return out;
}

class Answering {
 public:
  Answering(const AnswerBasis& basis, const std::string& id) : basis_(basis) {
    out_.result.set_request_id(id);
    out_.line = "{\"id\":";
    AppendJsonString(out_.line, id);
  }

  ConditionAnswer Refused(v1::RefusalReason reason) {
    out_.result.set_outcome(v1::ANSWER_OUTCOME_REFUSED);
    out_.result.set_refusal(reason);
    return End(",\"result\":\"refused\",\"reason\":\"" + ReasonWord(reason) + "\"}\n");
  }
  ConditionAnswer None() {
    out_.result.set_outcome(v1::ANSWER_OUTCOME_NONE);
    return End(",\"result\":\"none\"}\n");
  }
  ConditionAnswer Several(std::size_t count) {
    out_.result.set_outcome(v1::ANSWER_OUTCOME_MULTIPLE);
    out_.result.set_match_count(count);
    return End(",\"result\":\"multiple\",\"matches\":" + std::to_string(count) + "}\n");
  }
  // 統計資料: how many residents, and nothing of them.
  ConditionAnswer Counted(std::size_t count) {
    out_.result.set_outcome(v1::ANSWER_OUTCOME_FOUND);
    out_.result.set_match_count(count);
    return End(",\"result\":\"found\",\"matches\":" + std::to_string(count) + "}\n");
  }
  Result<ConditionAnswer> Found(const Version& version) {
    out_.subject = View(version.handle);
    const ProvisionRegister provided(basis_.projector.store());
    ASSIGN_OR_RETURN(const auto suspension,
                     provided.SuspensionOf(version.handle, basis_.rule.basis(), basis_.on, basis_.at));
    if (suspension && !basis_.rule.despite_suspension()) return Refused(v1::REFUSAL_REASON_SUSPENDED);
    out_.result.set_despite_suspension(suspension.has_value());
    out_.result.set_outcome(v1::ANSWER_OUTCOME_FOUND);
    out_.result.set_match_count(1);
    out_.result.set_version_position(version.position.value());
    for (const std::string& field : basis_.fields) out_.result.add_released_fields(field);
    std::string rest = ",\"result\":\"found\",\"status\":";
    rest += version.notice.kind() == v1::NOTICE_KIND_REMOVAL ? "\"removed\"" : "\"resident\"";
    rest += ",\"changed_on\":";
    AppendJsonString(rest, version.notice.changed_on());
    rest += ",\"record\":";
    rest += ReleasedRecordJson(version.notice, basis_.fields);
    return End(rest += "}\n");
  }

  ConditionAnswer FoundElsewhere(const v1::HeldCopy& resident) {
    out_.result.set_outcome(v1::ANSWER_OUTCOME_FOUND);
    out_.result.set_match_count(1);
    for (const std::string& field : basis_.fields) out_.result.add_released_fields(field);
    v1::UpdateNotice shown;
    shown.set_resident_code(resident.resident_code());
    *shown.mutable_record() = resident.record();
    std::string rest = ",\"result\":\"found\",\"elsewhere\":true,\"status\":";
    rest += resident.removed() ? "\"removed\"" : "\"resident\"";
    rest += ",\"record\":" + ReleasedRecordJson(shown, basis_.fields);
    return End(rest += "}\n");
  }

  v1::ProvisionResult& result() { return out_.result; }

 private:
  ConditionAnswer End(std::string_view rest) {
    out_.line += rest;
    out_.result.set_result_digest(std::string(View(Sha256Of({out_.line}))));
    return std::move(out_);
  }

  const AnswerBasis& basis_;
  ConditionAnswer out_;
};

}  // namespace

Result<ConditionAnswer> AnswerCondition(const AnswerBasis& basis, const ProvisionRequestReader::Line& asked) {
  Answering answering(basis, asked.id);
  *answering.result().mutable_condition() = asked.condition;
  answering.result().set_consent(asked.consent);
  const std::vector<std::string> keys = KeysOf(asked.condition);
  if (auto refusal = CheckCondition(basis.rule, keys, !asked.consent.empty())) return answering.Refused(refusal->reason);
  const std::size_t limit = basis.rule.counts_only() ? kSearchResultsMax : kMatchesMax;
  ASSIGN_OR_RETURN(const FoundVersions found, FindMatches(basis, asked.condition, keys, limit));
  if (found.more) return answering.Refused(v1::REFUSAL_REASON_TOO_MANY);
  if (basis.rule.counts_only()) {
    const auto is_resident = [](const Version& version) { return version.notice.kind() != v1::NOTICE_KIND_REMOVAL; };
    return answering.Counted(static_cast<std::size_t>(std::ranges::count_if(found.versions, is_resident)));
  }
  if (found.versions.empty()) return answering.None();
  if (found.versions.size() > 1) return answering.Several(found.versions.size());
  return answering.Found(found.versions.front());
}

ConditionAnswer AnswerElsewhere(const AnswerBasis& basis, const ConditionAnswer& here, const std::string& inquiry,
                                const InquiryOutcome& told) {
  Answering answering(basis, here.result.request_id());
  *answering.result().mutable_condition() = here.result.condition();
  answering.result().set_consent(here.result.consent());
  answering.result().set_inquiry(inquiry);
  switch (told.outcome) {
    case v1::ANSWER_OUTCOME_NONE: return answering.None();
    case v1::ANSWER_OUTCOME_MULTIPLE: return answering.Several(told.match_count);
    case v1::ANSWER_OUTCOME_FOUND: return answering.FoundElsewhere(told.resident);
    default: return answering.Refused(v1::REFUSAL_REASON_ELSEWHERE);
  }
}

Result<ConditionAnswer> AnswerUpdate(const AnswerBasis& basis, const std::string& id, const SubjectHandle& subject) {
  Answering answering(basis, id);
  answering.result().mutable_condition()->set_subject(std::string(View(subject)));
  const RecordFile& file = basis.projector.file();
  const auto slot = file.FindByHandle(subject);
  const Result<Version> version = slot.ok() ? file.Read(*slot, basis.at, basis.on) : slot.status();
  if (version.status().code() == Code::kNotFound) return answering.None();
  RETURN_IF_ERROR(version.status());
  return answering.Found(*version);
}

std::string ReasonWord(v1::RefusalReason reason) {
  constexpr std::string_view kPrefix = "REFUSAL_REASON_";
  std::string out = v1::RefusalReason_Name(reason).substr(kPrefix.size());
  std::ranges::transform(out, out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

}  // namespace daicho
