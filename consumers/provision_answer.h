// The answer to one condition of an agency: evaluated when it is asked, and again by an auditor, who must come to the
// same bytes.
//
//   {"id":"1","result":"found","status":"resident","changed_on":"2026-11-20","record":{…released fields}}
//   {"id":"1","result":"found","elsewhere":true,"status":"resident","record":{…}}: 機構's, who is another prefecture's
//   {"id":"2","result":"none"}   {"id":"3","result":"multiple","matches":3}   {"id":"4","result":"refused","reason":"suspended"}
#pragma once

#include <string>
#include <string_view>

#include "consumers/kikou_inquiring.h"
#include "consumers/provision_request.h"
#include "projections/projector.h"
#include "projections/provision_policy.h"
#include "projections/provision_register.h"

namespace daicho {

// Of several persons who match, so many are counted; more than that is too broad a condition.
inline constexpr std::size_t kMatchesMax = 100;

// What all conditions of a request are evaluated by. Refers to what it was made of.
struct AnswerBasis {
  const Projector& projector;
  const v1::ProvisionRule& rule;
  const std::vector<std::string>& fields;  // released
  Position at;                             // after the entry there
  Date on;                                 // the day on which it is judged
};

struct ConditionAnswer {
  std::string line;  // with its newline
  v1::ProvisionResult result;
  std::string subject;  // 16-byte handle of the person it tells of, or empty
};

// Errors: kCorrupt and other failures of the store. Thread-safe.
Result<ConditionAnswer> AnswerCondition(const AnswerBasis& basis, const ProvisionRequestReader::Line& asked);
// What came of asking 機構 about a condition that nobody here fits: `here` is AnswerCondition's answer. Without `inquiry`
// nobody was asked. Pure.
ConditionAnswer AnswerElsewhere(const AnswerBasis& basis, const ConditionAnswer& here, const std::string& inquiry,
                                const InquiryOutcome& told);
// What an update of someone followed (standing) tells.
Result<ConditionAnswer> AnswerUpdate(const AnswerBasis& basis, const std::string& id, const SubjectHandle& subject);

// "basis", "suspended": the reason's word in answers and on the command line.
std::string ReasonWord(v1::RefusalReason reason);

}  // namespace daicho
