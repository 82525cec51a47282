// The provision register as officials read it: single events without the persons that they told of, and how many there
// were (the report of 法30条の16: 提供先、年月、件数、方法).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "consumers/node.pb.h"
#include "projections/projector.h"
#include "projections/provision_register.h"

namespace daicho {

// A person's share as one line of JSON (consumers/README.md, Register). A function of the ledger's prefix.
std::string GivenJson(const ProvisionRegister::Given& given);

struct ProvisionPage {
  std::string lines;             // JSON, one event each
  std::optional<Position> next;  // where the next page begins
};
// Errors: kInvalid for what is no date.
Result<ProvisionPage> ListProvisions(const Projector& projector, const node::ListProvisions& asked);

// Of one agency, month of admission (Japan), basis and method.
struct ProvisionCount {
  std::string agency, name, month, basis;  // month: YYYY-MM
  v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
  v1::DeliveryMethod method = v1::DELIVERY_METHOD_UNSPECIFIED;
  std::uint64_t requests = 0;          // answered; in the month of their first answer
  std::uint64_t refused_requests = 0;
  std::uint64_t follow_ups = 0;        // of standing requests
  std::uint64_t found = 0, none = 0, multiple = 0, refused = 0;  // answers to conditions, and follow-ups
};
// By agency, month, basis, method. Errors: kInvalid for what is no date.
Result<std::vector<ProvisionCount>> CountProvisions(const Projector& projector, const node::CountProvisions& asked);

std::string CountsJson(const std::vector<ProvisionCount>& counts);
// CSV in UTF-8 with a byte order mark and CRLF, as spreadsheets open it. `json`: what CountsJson made.
std::string CountsCsv(std::string_view json);
// The same as a report on paper (本人確認情報の提供状況報告書), of the months from `from` to `to`, dated `made_at`.
// Errors: those of LetterPdf.
Result<std::string> CountsPdf(std::string_view json, Date from, Date to, TimeMicros made_at);

}  // namespace daicho
