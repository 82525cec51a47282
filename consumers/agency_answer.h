// An answer message as the agency has it (consumers/README.md, *Provision*): what it must agree with in itself, and with
// the ledger's entry.
#pragma once

#include <string>
#include <string_view>

#include "consumers/agency_home.h"
#include "events/provision.pb.h"

namespace daicho {

// Line 1 of an answer.
struct AnswerHeader {
  std::string agency, basis, duty, reference, mode, refusal, message;
  std::uint64_t chunk = 0, chunk_count = 0, count = 0, evaluated_at = 0, cause = 0;
  std::string provision;  // Provision without delivered_digest; empty in the one file of all answers to a request
  std::string salt;       // 16 bytes
};
// Errors: kTampered when it cannot be read, or is another ledger's or agency's.
Result<AnswerHeader> ReadAnswerHeader(std::string_view line, const AgencyHome& home);

// One answer message.
struct AgencyAnswer {
  std::string content;   // NDJSON
  Digest delivered{};    // SHA-256 of the encrypted message
  AnswerHeader header;
  v1::Provision provision;
  Digest commitment{};   // that the ledger's entry must have
};
// Opens `cms` and compares what is said in it twice: line 1 and Provision, the answers and their digest and counts.
// Errors: kTampered.
Result<AgencyAnswer> OpenAnswer(const AgencyHome& home, std::string_view cms);
// Whether the entry at `position`, whose leaf is given, is of this very answer. Errors: kTampered.
Status CheckEntry(const AgencyAnswer& answer, const AgencyHome& home, Position position, std::string_view leaf);

}  // namespace daicho
