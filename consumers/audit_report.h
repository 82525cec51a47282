// What an audit found, for machines (JSON), for people (text) and for officials (HTML, self-contained, printable).
#pragma once

#include <string>

#include "consumers/audit.h"

namespace daicho {

// One document, "daicho-audit/1": consumers/README.md.
std::string AuditJson(const AuditResult& result);
std::string AuditText(const AuditResult& result);
std::string AuditHtml(const AuditResult& result);

// Two auditors' documents: of the same ledger, and no two histories? Errors: kInvalid for what is no such document.
struct AuditComparison {
  bool same_ledger = false;
  bool consistent = false;               // no common size with different roots
  bool equal = false;                    // same size, same state
  std::uint64_t agreed = 0;              // largest common size with equal roots
  std::optional<std::uint64_t> differs;  // smallest common size with different roots
  std::uint64_t sizes[2] = {0, 0};
};
Result<AuditComparison> CompareAudits(const std::string& a, const std::string& b);

}  // namespace daicho
