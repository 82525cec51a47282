// 整合性確認報告書: what the comparisons of some months found, what is done about each difference, and how it ended, as officials
// read it. Made of the lines of Reconciling::RunsJson and CasesJson, and like them without anything about a person.
#pragma once

#include <string>
#include <string_view>

#include "events/dates.h"
#include "events/ids.h"
#include "events/result.h"

namespace daicho {

struct ConsistencyPeriod {
  Date from, to;      // days, both included
  TimeMicros made_at;  // a case is open that was so at the end of `to`, or at this moment if that comes first
};

// Self-contained and printable.
std::string ConsistencyHtml(std::string_view runs, std::string_view cases, const ConsistencyPeriod& period);
// As an official letter with annexes. Errors: those of LetterPdf.
Result<std::string> ConsistencyPdf(std::string_view runs, std::string_view cases, const ConsistencyPeriod& period);

}  // namespace daicho
