// Inquiring of 機構 (機構照会): an operator's question, or one that an agency's request leads to. The question is an event
// before it leaves, and so is what came of it before anything of the answer is shown; the answer itself is kept
// nowhere.
//
//   order ─► check ─► ledger (InquiryAsked) ─► 機構 ─► ledger (InquiryAnswered) ─► shown
//
// A question that no answer came to is closed by an event too, with outcome UNSPECIFIED and why: at once when 機構 is
// out of reach, at the next start when a crash cut it off. It is asked again under another number.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "consumers/kikou_line.h"
#include "events/clock.h"
#include "events/event.h"
#include "events/kikou.pb.h"
#include "projections/projector.h"

namespace daicho {

// What an operator signs: see operator_act.h, over the digest of the InquiryAsked as ordered.
inline constexpr std::string_view kInquireTag = "daicho/inquire/1\n";

struct KikouInquiringOptions {
  LedgerId ledger{};
  const Clock* clock = nullptr;  // borrowed
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves
  std::function<Result<std::optional<KikouPeer>>()> peer;       // as of KikouNotifyingOptions, like those below
  std::function<SigningKey()> key;
  std::function<Status()> prepare;
  std::function<Result<v1::Receipt>(const std::vector<DraftEvent>&)> submit;
  std::function<Result<std::optional<Position>>()> settle;
  std::chrono::milliseconds timeout{10'000};  // of one question
};

struct InquiryOutcome {
  Position asked, answered;
  v1::AnswerOutcome outcome = v1::ANSWER_OUTCOME_UNSPECIFIED;
  std::uint64_t match_count = 0;
  std::string refusal;    // 機構's words, with REFUSED; with UNSPECIFIED why there is no answer
  v1::HeldCopy resident;  // with FOUND: the asked fields only
  std::vector<std::string> fields;  // that were asked for
};

class KikouInquiring {
 public:
  explicit KikouInquiring(KikouInquiringOptions options) : options_(std::move(options)) {}

  // `order`: an InquiryAsked with reference, basis, duty, condition, fields and purpose, as the operator signed it.
  // Errors: kInvalid with field and rule, kConflict for a reference that was used (neither recorded); kDenied for an
  // operator who may not (recorded); kUnavailable when it could not be recorded: nothing is shown then. Without an
  // answer from 機構 it is an outcome.
  Result<InquiryOutcome> Ask(const std::string& order, const v1::OperatorAct& act);
  // Questions that an agency's request leads to, each as Ask's but without an operator: what came of each, in order.
  // `told` makes the line that the agency is given of it; its digest is in the event. When 機構 is out of reach the
  // rest are not asked, and closed likewise. Errors: kNotFound while nobody is known as 機構; kUnavailable.
  using Told = std::function<std::string(std::size_t question, const InquiryOutcome& outcome)>;
  Result<std::vector<InquiryOutcome>> AskFor(std::vector<v1::InquiryAsked> questions, const Told& told);
  // Records as closed what a crash cut off. Ask does it at its first call.
  Status CloseInterrupted();
  // {"open"}: questions that await their answer at this moment.
  std::string StatusJson() const;

 private:
  Status Settle();
  Result<v1::RefusalReason> CheckOrder(const v1::InquiryAsked& asked, const std::string& order, const v1::OperatorAct& act,
                                       std::string& why);
  // The position of the first.
  Result<Position> Submit(const std::vector<DraftEvent>& events);
  Result<kikou::Answer> Question(const KikouPeer& peer, const std::string& question, std::string& bytes) const;
  Result<std::vector<InquiryOutcome>> AskKikou(std::vector<v1::InquiryAsked> questions, const KikouPeer& peer,
                                               const Told& told);

  class Running;  // references that are being asked

  KikouInquiringOptions options_;
  mutable std::mutex mutex_;
  std::set<std::string> running_;  // references; guarded by mutex_, like all below
  bool closed_ = false;            // what earlier processes left
};

}  // namespace daicho
