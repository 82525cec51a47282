#include "consumers/agency_answer.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "consumers/provision_request.h"
#include "events/event.h"

namespace daicho {
namespace {

using nlohmann::json;

// Tag and length of Provision.delivered_digest, which is always last: field 40, 32 bytes.
constexpr std::string_view kDeliveredDigest("\xc2\x02\x20", 3);

Status Disagrees(const char* field) { return Tampered(std::string("answer: ") + field + " disagrees with the event"); }

// How many lines have which result.
std::map<std::string, std::uint64_t> CountResults(std::string_view lines) {
  std::map<std::string, std::uint64_t> out;
  for (std::size_t begin = 0; begin < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', begin), lines.size());
    const json line = json::parse(lines.substr(begin, end - begin), nullptr, false);
    const bool read = line.is_object() && line.contains("result") && line["result"].is_string();
    ++out[read ? line["result"].get<std::string>() : ""];
    begin = end + 1;
  }
  return out;
}

Status CompareHeader(const AnswerHeader& header, const v1::Provision& p) {
  if (header.agency != p.agency()) return Disagrees("agency");
  if (header.basis != p.basis()) return Disagrees("basis");
  if (header.duty != p.duty()) return Disagrees("duty");
  if (header.reference != p.reference()) return Disagrees("reference");
  if (header.mode != ModeName(p.mode())) return Disagrees("mode");
  if (header.chunk != p.chunk() || header.chunk_count != p.chunk_count()) return Disagrees("chunk");
  if (header.count != p.result_count()) return Disagrees("count");
  if (header.evaluated_at != p.evaluated_at()) return Disagrees("evaluated_at");
  if (header.cause != p.cause_position()) return Disagrees("cause");
  if (header.refusal.empty() != (p.refusal() == v1::REFUSAL_REASON_UNSPECIFIED)) return Disagrees("refusal");
  return {};
}

Status CompareResults(std::string_view lines, const v1::Provision& p) {
  if (p.result_digest() != View(Sha256Of({lines}))) return Disagrees("result_digest");
  if (static_cast<std::uint64_t>(std::ranges::count(lines, '\n')) != p.result_count()) return Disagrees("count");
  auto counts = CountResults(lines);
  if (counts["found"] != p.found_count()) return Disagrees("found");
  if (counts["none"] != p.none_count()) return Disagrees("none");
  if (counts["multiple"] != p.multiple_count()) return Disagrees("multiple");
  if (counts["refused"] != p.refused_count()) return Disagrees("refused");
  return {};
}

}  // namespace

Result<AnswerHeader> ReadAnswerHeader(std::string_view line, const AgencyHome& home) {
  const json document = json::parse(line, nullptr, false);
  if (!document.is_object()) return Tampered("answer: line 1 cannot be read");
  const auto text = [&](const char* name) {
    return document.contains(name) && document[name].is_string() ? document[name].get<std::string>() : std::string();
  };
  const auto number = [&](const char* name) -> std::uint64_t {
    return document.contains(name) && document[name].is_number_unsigned() ? document[name].get<std::uint64_t>() : 0;
  };
  if (text("format") != "daicho-answer/1") return Tampered("answer: another format");
  if (text("ledger") != ToHex(View(home.ledger.ledger))) return Tampered("answer: another ledger's");
  if (text("agency") != home.agency) return Tampered("answer: another agency's");
  AnswerHeader out;
  out.agency = home.agency;
  out.basis = text("basis");
  out.duty = text("duty");
  out.reference = text("reference");
  out.mode = text("mode");
  out.refusal = text("refusal");
  out.message = text("message");
  out.chunk = number("chunk");
  out.chunk_count = number("chunk_count");
  out.count = number("count");
  out.evaluated_at = number("evaluated_at");
  out.cause = number("cause");
  if (!IsReference(out.reference)) return Tampered("answer: reference");
  auto provision = FromBase64(text("provision"));
  auto salt = FromHex(text("salt"));
  if (!provision.ok() || !salt.ok() || salt->size() != sizeof(Salt)) return Tampered("answer: provision or salt");
  out.provision = std::move(*provision);
  out.salt = std::move(*salt);
  return out;
}

Result<AgencyAnswer> OpenAnswer(const AgencyHome& home, std::string_view cms) {
  AgencyAnswer out;
  ASSIGN_OR_RETURN(out.content, home.Open(cms));
  out.delivered = Sha256Of({cms});
  const std::string_view content = out.content;
  const std::size_t first = content.find('\n');
  if (first == std::string_view::npos) return Tampered("answer: no line");
  ASSIGN_OR_RETURN(out.header, ReadAnswerHeader(content.substr(0, first), home));
  std::string payload = out.header.provision;
  payload.append(kDeliveredDigest).append(View(out.delivered));
  v1::Provision& provision = out.provision;
  if (!provision.ParseFromString(payload)) return Tampered("answer: the event cannot be read");
  RETURN_IF_ERROR(CompareHeader(out.header, provision));
  RETURN_IF_ERROR(CompareResults(content.substr(first + 1), provision));
  out.commitment = Commit(out.header.salt, payload);
  return out;
}

Status CheckEntry(const AgencyAnswer& answer, const AgencyHome& home, Position position, std::string_view leaf_bytes) {
  ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ParseLeaf(leaf_bytes));
  ASSIGN_OR_RETURN(const v1::EventHeader header, ParseHeader(leaf.header()));
  if (leaf.ledger() != View(home.ledger.ledger) || leaf.position() != position.value()) {
    return Tampered("entry: of another place");
  }
  const bool department = answer.provision.recipient() == v1::RECIPIENT_CLASS_DEPARTMENT;
  if (header.kind() != (department ? v1::EVENT_KIND_TRANSFER : v1::EVENT_KIND_PROVISION)) {
    return Tampered("entry: of another kind");
  }
  // Each answer has a part of its own behind part 0.
  if (static_cast<std::uint64_t>(header.commitments_size()) != 1 + answer.provision.result_count() ||
      header.commitments(0) != View(answer.commitment)) {
    return Tampered("entry: the ledger records another answer at position " + std::to_string(position.value()));
  }
  return {};
}

}  // namespace daicho
