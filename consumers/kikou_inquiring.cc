#include "consumers/kikou_inquiring.h"

#include <nlohmann/json.hpp>

#include "consumers/operator_act.h"
#include "consumers/provision_request.h"
#include "events/codes.h"
#include "events/dates.h"
#include "projections/kikou_register.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kVersion = 1;
constexpr milliseconds kVisibleWait{60'000};
constexpr char kInterrupted[] = "回答を受ける前に中断しました";

// Of the condition as it would leave.
Status CheckCondition(const v1::SearchCondition& condition) {
  v1::SearchCondition rest = condition;
  rest.clear_municipality();
  rest.clear_name_match();
  if (rest.ByteSizeLong() == 0) return Invalid("condition: 番号か、氏名などの条件が要ります");
  if (!condition.subject().empty()) return Invalid("condition.subject: 機構はこの台帳の鍵を知りません");
  if (condition.former()) return Invalid("condition.former: 過去の氏名・住所では照会できません");
  if (!condition.resident_code().empty() && !IsValidResidentCode(condition.resident_code())) {
    return Invalid("condition.resident_code: 検査数字が一致しません");
  }
  if (!condition.individual_number().empty() && !IsValidIndividualNumber(condition.individual_number())) {
    return Invalid("condition.individual_number: 検査数字が一致しません");
  }
  if (!condition.municipality().empty() && !IsValidMunicipalityCode(condition.municipality())) {
    return Invalid("condition.municipality: 検査数字が一致しません");
  }
  if (!condition.birth().empty() && !ParsePersonLenientDate(condition.birth()).ok()) {
    return Invalid("condition.birth: 生年月日として読めません");
  }
  return {};
}

Status CheckForm(const v1::InquiryAsked& asked) {
  if (!IsReference(asked.reference())) return Invalid("reference: 1 から 64 文字の A-Z a-z 0-9 - _ . です");
  if (asked.basis().empty()) return Invalid("basis: 根拠が要ります");
  if (asked.duty().empty()) return Invalid("duty: 事務が要ります");
  if (asked.purpose().empty()) return Invalid("purpose: 目的（文書番号など）が要ります");
  if (asked.fields().empty()) return Invalid("fields: 求める項目が要ります");
  for (const std::string& field : asked.fields()) {
    if (!IsRecordField(field)) return Invalid("fields." + field + ": 知らない項目です");
  }
  RETURN_IF_ERROR(CheckCondition(asked.condition()));
  v1::InquiryAsked bare;
  bare.set_reference(asked.reference());
  bare.set_agency(asked.agency());
  bare.set_basis(asked.basis());
  bare.set_duty(asked.duty());
  *bare.mutable_condition() = asked.condition();
  *bare.mutable_fields() = asked.fields();
  bare.set_purpose(asked.purpose());
  if (bare.SerializeAsString() == asked.SerializeAsString()) return {};
  return Invalid("event: holds what only the ledger's side may say");
}

bool IsAnswer(const kikou::Answer& answer, const std::string& question) {
  switch (answer.outcome()) {
    case v1::ANSWER_OUTCOME_FOUND:
      if (answer.match_count() != 1 || !answer.has_resident()) return false;
      break;
    case v1::ANSWER_OUTCOME_NONE:
    case v1::ANSWER_OUTCOME_MULTIPLE:
    case v1::ANSWER_OUTCOME_REFUSED:
      if (answer.has_resident()) return false;
      break;
    default: return false;
  }
  return answer.question_digest() == View(Sha256Of({question}));
}

DraftEvent DraftOf(v1::EventKind kind, const google::protobuf::Message& event) {
  DraftEvent out;
  out.kind = kind;
  out.retention = v1::RETENTION_CLASS_OPERATION;
  out.payload = event.SerializeAsString();
  return out;
}

// The bytes that leave.
std::string QuestionOf(const v1::InquiryAsked& asked, const LedgerId& ledger) {
  kikou::Question question;
  question.set_version(kVersion);
  question.set_ledger(std::string(View(ledger)));
  question.set_reference(asked.reference());
  question.set_agency(asked.agency());
  question.set_basis(asked.basis());
  question.set_duty(asked.duty());
  *question.mutable_condition() = asked.condition();
  *question.mutable_fields() = asked.fields();
  question.set_asked_at(asked.asked_at());
  return question.SerializeAsString();
}

// What was asked for of an answer, and what the ledger says of it.
void Take(const kikou::Answer& answer, InquiryOutcome& out, v1::InquiryAnswered& event) {
  out.outcome = answer.outcome();
  out.match_count = answer.match_count();
  out.refusal = answer.refusal();
  if (!answer.has_resident()) return;
  out.resident.set_removed(answer.resident().removed());
  *out.resident.mutable_record() = Restricted(answer.resident().record(), out.fields);
  for (const std::string& field : out.fields) {
    if (field == "resident_code") out.resident.set_resident_code(answer.resident().resident_code());
    event.add_released_fields(field);
  }
}

}  // namespace

// What an earlier call left on its way is in the ledger, or is not, and the register knows all of it.
Status KikouInquiring::Settle() {
  RETURN_IF_ERROR(options_.prepare());
  ASSIGN_OR_RETURN(const std::optional<Position> behind, options_.settle());
  if (behind && !options_.projector()->WaitFor(*behind, kVisibleWait)) return Unavailable("admitted, but not visible yet");
  return {};
}

Result<Position> KikouInquiring::Submit(const std::vector<DraftEvent>& events) {
  ASSIGN_OR_RETURN(const v1::Receipt receipt, options_.submit(events));
  if (receipt.outcome() == v1::OUTCOME_REJECTED) {
    return Internal("the event of an inquiry was rejected: " +
                    (receipt.violations_size() > 0 ? receipt.violations(0).rule() : ""));
  }
  return Position(receipt.first_position());
}

class KikouInquiring::Running {
 public:
  explicit Running(KikouInquiring& of) : of_(of) {}
  ~Running() {
    const std::lock_guard lock(of_.mutex_);
    for (const std::string& reference : references_) of_.running_.erase(reference);
  }
  Running(const Running&) = delete;
  Status Add(const std::string& reference) {
    const std::lock_guard lock(of_.mutex_);
    if (!of_.running_.insert(reference).second) return Conflict("reference: この番号は照会中です");
    references_.push_back(reference);
    return {};
  }

 private:
  KikouInquiring& of_;
  std::vector<std::string> references_;
};

Status KikouInquiring::CloseInterrupted() {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return {};
  }
  RETURN_IF_ERROR(Settle());
  const std::shared_ptr<const Projector> projector = options_.projector();
  const Position visible = projector->position();
  if (visible == Position(0)) return {};
  ASSIGN_OR_RETURN(const auto inquiries, KikouRegister(projector->store()).Inquiries(Position(visible.value() - 1)));
  for (const KikouRegister::Inquiry& inquiry : inquiries) {
    if (!inquiry.open()) continue;
    {
      const std::lock_guard lock(mutex_);
      if (closed_ || running_.contains(inquiry.asked.reference())) continue;
    }
    v1::InquiryAnswered closing;
    closing.set_reference(inquiry.asked.reference());
    closing.set_asked_position(inquiry.asked_at.value());
    closing.set_refusal(kInterrupted);
    RETURN_IF_ERROR(Submit({DraftOf(v1::EVENT_KIND_INQUIRY_ANSWERED, closing)}).status());
  }
  const std::lock_guard lock(mutex_);
  closed_ = true;
  return {};
}

Result<v1::RefusalReason> KikouInquiring::CheckOrder(const v1::InquiryAsked& asked, const std::string& order,
                                                     const v1::OperatorAct& act, std::string& why) {
  const std::shared_ptr<const Projector> projector = options_.projector();
  const auto [end, registry] = projector->registry_at_position();
  if (end == Position(0)) return Unavailable("the ledger holds nothing yet");
  const auto known = KikouRegister(projector->store()).Find(asked.reference(), Position(end.value() - 1));
  if (known.ok()) return Conflict("reference: この番号は既に使われています");
  if (known.status().code() != Code::kNotFound) return known.status();
  if (const auto refusal = CheckAct(*registry, act, kInquireTag, Sha256Of({order}), v1::PERMISSION_INQUIRE,
                                    options_.clock->Now())) {
    why = refusal->message;
    return refusal->reason;
  }
  ASSIGN_OR_RETURN(const OperatorState found, registry->FindOperator(act.operator_id()));
  if (found.duties.contains(asked.duty())) return v1::REFUSAL_REASON_UNSPECIFIED;
  why = "duty: この操作者の事務ではありません";
  return v1::REFUSAL_REASON_DUTY;
}

Result<InquiryOutcome> KikouInquiring::Ask(const std::string& order, const v1::OperatorAct& act) {
  v1::InquiryAsked asked;
  if (!asked.ParseFromString(order)) return Invalid("event: cannot be read");
  RETURN_IF_ERROR(CheckForm(asked));
  ASSIGN_OR_RETURN(const auto peer, options_.peer());
  if (!peer) return Invalid("kikou: 機構との接続が設定されていません（daicho kikou set）");
  RETURN_IF_ERROR(CloseInterrupted());
  RETURN_IF_ERROR(Settle());
  Running running(*this);
  RETURN_IF_ERROR(running.Add(asked.reference()));
  std::string why;
  ASSIGN_OR_RETURN(const v1::RefusalReason refusal, CheckOrder(asked, order, act, why));
  *asked.mutable_operator_act() = act;
  if (refusal == v1::REFUSAL_REASON_UNSPECIFIED) {
    ASSIGN_OR_RETURN(std::vector<InquiryOutcome> out, AskKikou({std::move(asked)}, *peer, nullptr));
    return std::move(out.front());
  }
  asked.set_refusal(refusal);
  ASSIGN_OR_RETURN(const Position position, Submit({DraftOf(v1::EVENT_KIND_INQUIRY_ASKED, asked)}));
  options_.projector()->WaitFor(position.Next(), kVisibleWait);
  return Denied(why);
}

Result<kikou::Answer> KikouInquiring::Question(const KikouPeer& peer, const std::string& question,
                                               std::string& bytes) const {
  const KikouClient client(peer, options_.key(), options_.timeout);
  ASSIGN_OR_RETURN(const KikouReply reply,
                   client.Call(kKikouInquiriesPath, kKikouQuestionTag, question, kKikouAnswerTag));
  kikou::Answer answer;
  if (reply.status != 200 || !answer.ParseFromString(reply.message) || !IsAnswer(answer, question)) {
    return Unavailable("回答がこの照会のものではありません");
  }
  bytes = reply.body;
  return answer;
}

Result<std::vector<InquiryOutcome>> KikouInquiring::AskFor(std::vector<v1::InquiryAsked> questions, const Told& told) {
  ASSIGN_OR_RETURN(const auto peer, options_.peer());
  if (!peer) return NotFound("機構との接続が設定されていません");
  RETURN_IF_ERROR(CloseInterrupted());
  RETURN_IF_ERROR(Settle());
  Running running(*this);
  for (const v1::InquiryAsked& question : questions) RETURN_IF_ERROR(running.Add(question.reference()));
  return AskKikou(std::move(questions), *peer, told);
}

Result<std::vector<InquiryOutcome>> KikouInquiring::AskKikou(std::vector<v1::InquiryAsked> questions,
                                                             const KikouPeer& peer, const Told& told) {
  std::vector<std::string> sent;
  std::vector<DraftEvent> drafts;
  for (v1::InquiryAsked& asked : questions) {
    asked.set_asked_at(options_.clock->Now().value());
    sent.push_back(QuestionOf(asked, options_.ledger));
    asked.set_question_digest(std::string(View(Sha256Of({sent.back()}))));
    drafts.push_back(DraftOf(v1::EVENT_KIND_INQUIRY_ASKED, asked));
  }
  ASSIGN_OR_RETURN(const Position first_asked, Submit(drafts));

  std::vector<InquiryOutcome> out(questions.size());
  drafts.clear();
  std::string out_of_reach;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    const v1::InquiryAsked& asked = questions[i];
    InquiryOutcome& outcome = out[i];
    outcome.asked = Position(first_asked.value() + i);
    outcome.fields = {asked.fields().begin(), asked.fields().end()};
    v1::InquiryAnswered event;
    event.set_reference(asked.reference());
    event.set_asked_position(outcome.asked.value());
    if (out_of_reach.empty()) {
      std::string received;
      const auto answer = Question(peer, sent[i], received);
      if (answer.ok()) {
        Take(*answer, outcome, event);
        event.set_answer_digest(std::string(View(Sha256Of({received}))));
      } else {
        outcome.refusal = answer.status().message();
        if (answer.status().retriable()) out_of_reach = outcome.refusal;
      }
    } else {
      outcome.refusal = out_of_reach;
    }
    event.set_answered_at(options_.clock->Now().value());
    event.set_outcome(outcome.outcome);
    event.set_match_count(outcome.match_count);
    event.set_refusal(outcome.refusal);
    if (told) event.set_told_digest(std::string(View(Sha256Of({told(i, outcome)}))));
    drafts.push_back(DraftOf(v1::EVENT_KIND_INQUIRY_ANSWERED, event));
  }
  ASSIGN_OR_RETURN(const Position first_answered, Submit(drafts));
  for (std::size_t i = 0; i < out.size(); ++i) out[i].answered = Position(first_answered.value() + i);
  // So that the same number, used again, is found to be used.
  options_.projector()->WaitFor(out.back().answered.Next(), kVisibleWait);
  return out;
}

std::string KikouInquiring::StatusJson() const {
  const std::lock_guard lock(mutex_);
  return nlohmann::ordered_json{{"open", running_.size()}}.dump();
}

}  // namespace daicho
