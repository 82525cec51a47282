// What the office writes down when a resident comes with a matter (開示, 訂正, 利用停止): one JSON document. The names in
// it go into letters, never into the ledger.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "events/dates.h"
#include "events/disclosure.pb.h"
#include "events/result.h"

namespace daicho {

namespace v1 = events::v1;

struct MatterRequest {
  std::string format;                 // "daicho-disclosure/1", "daicho-correction/1", "daicho-suspension/1"
  std::string reference;              // 受付番号: at most 60 bytes, no / and no control character
  v1::Applicant applicant;
  std::string name;                   // of who asks, for letters
  std::vector<std::string> address;   // likewise
  std::string governor;               // name of the 知事; may be empty
  std::map<std::string, std::string> glyphs;  // PNG by the character that the font has not
  v1::SearchCondition condition;      // of a disclosure and a suspension
  bool record = false, history = false, use = false;  // of a disclosure
  std::string disclosure;             // of a correction: the reference of the disclosure it is about
  std::vector<v1::CorrectionItem> items;  // of a correction
  std::vector<std::string> bases;     // of a suspension; none: every provision
  std::string grounds;                // likewise
};

// Errors: kInvalid in Japanese, with the field and the rule.
Result<MatterRequest> ReadMatterRequest(std::string_view json);

// The 30th day, the day of receipt counted as the first (法30条の33第1項).
Date DisclosureDue(Date received_on);

// Who may ask, and has shown who they are: of the 本人確認書類 one that bears a photograph, or 保険証 with another; who
// acts for somebody shows that too. A 任意代理人 may ask for the use alone. Errors: kInvalid in Japanese.
Status CheckApplicant(const v1::Applicant& applicant, bool record_asked);
Status CheckReference(const std::string& reference);

}  // namespace daicho
