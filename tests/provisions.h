// A prefecture that provides: events of the roles provider and disclosure as they would make them, and a list of what was
// told.
#pragma once

#include "events/disclosure.pb.h"
#include "events/provision.pb.h"
#include "tests/retaining.h"

namespace daicho {

inline SubjectHandle HandleOf(int person) {
  SubjectHandle out{};
  out.fill(static_cast<std::uint8_t>(0xa0 + person));
  return out;
}

class ProvisionsTest : public ::testing::Test {
 protected:
  static constexpr int kPersons = 3;

  // What was admitted, in order.
  struct Told {
    Position position;
    v1::EventKind kind;
    v1::Provision provision;
    std::vector<std::pair<int, v1::ProvisionResult>> results;  // of whom; -1: of nobody
    v1::AgencyReceipt receipt;
    int person = -1;  // of a suspension
    v1::SuspensionDecided decision;
  };

  ProvisionsTest() {
    Retaining::ExpectAdmitted(
        p().Submit(Prefecture::Registrar(), {p().Registration(Provider(), v1::ISSUER_ROLE_PROVIDER),
                                             p().Registration(Discloser(), v1::ISSUER_ROLE_DISCLOSURE)}));
  }
  Prefecture& p() { return r_.p; }
  static std::string Provider() { return RoleIssuer(Prefecture::kNumber, "provider"); }
  static std::string Discloser() { return RoleIssuer(Prefecture::kNumber, "disclosure"); }

  static v1::Provision Provision(const std::string& agency, const std::string& reference,
                                 v1::ProvisionMode mode = v1::PROVISION_MODE_BATCH) {
    v1::Provision out;
    out.set_agency(agency);
    out.set_reference(reference);
    out.set_basis("30-15-2/6-3");
    out.set_mode(mode);
    out.set_method(v1::DELIVERY_METHOD_LINE);
    out.set_judged_on("2026-11-26");
    out.set_chunk_count(1);
    out.set_delivered_digest(std::string(View(RandomArray<32>())));
    return out;
  }
  static std::pair<int, v1::ProvisionResult> Result(int person, v1::AnswerOutcome outcome = v1::ANSWER_OUTCOME_FOUND) {
    v1::ProvisionResult out;
    out.set_request_id(std::to_string(person));
    out.set_outcome(outcome);
    if (outcome != v1::ANSWER_OUTCOME_FOUND) return {-1, out};
    out.add_released_fields("address");
    out.set_match_count(1);
    out.set_version_position(3);
    return {person, out};
  }

  Position Admit(const std::string& issuer, v1::RetentionClass retention, Told told, const google::protobuf::Message& what) {
    DraftEvent event;
    event.kind = told.kind;
    event.retention = retention;
    event.payload = what.SerializeAsString();
    if (told.person >= 0) event.subject = View(HandleOf(told.person));
    for (const auto& [person, result] : told.results) {
      event.further.push_back({result.SerializeAsString(), person < 0 ? "" : std::string(View(HandleOf(person)))});
    }
    const v1::Receipt receipt = p().Submit(issuer, {event});
    Retaining::ExpectAdmitted(receipt);
    told.position = Position(receipt.first_position());
    told_.push_back(told);
    return told.position;
  }
  Position Provide(v1::Provision provision, std::vector<std::pair<int, v1::ProvisionResult>> results,
                   v1::EventKind kind = v1::EVENT_KIND_PROVISION) {
    provision.set_result_count(results.size());
    return Admit(Provider(), v1::RETENTION_CLASS_OPERATION, {{}, kind, provision, results, {}, -1, {}}, provision);
  }
  // Of a delivery; `digest`: of what the agency says that it received.
  Position Confirm(const std::string& agency, Position position, const std::string& digest) {
    v1::AgencyReceipt receipt;
    receipt.set_agency(agency);
    receipt.set_provision_position(position.value());
    receipt.set_delivered_digest(digest);
    v1::DeliveryReceived received;
    received.set_receipt(receipt.SerializeAsString());
    return Admit(Provider(), v1::RETENTION_CLASS_OPERATION,
                 {{}, v1::EVENT_KIND_DELIVERY_RECEIVED, {}, {}, receipt, -1, {}}, received);
  }
  Position Confirm(const Told& told) {
    return Confirm(told.provision.agency(), told.position, told.provision.delivered_digest());
  }
  Position Decide(int person, const std::string& reference, v1::SuspensionResult result,
                  const std::vector<std::string>& bases = {}, const std::string& from = "",
                  const std::string& until = "") {
    v1::SuspensionDecided decision;
    decision.set_reference(reference);
    decision.set_result(result);
    for (const std::string& basis : bases) decision.add_bases(basis);
    decision.set_valid_from(from);
    decision.set_valid_until(until);
    return Admit(Discloser(), v1::RETENTION_CLASS_DISCLOSURE,
                 {{}, v1::EVENT_KIND_SUSPENSION_DECIDED, {}, {}, {}, person, decision}, decision);
  }

  Retaining r_;
  std::vector<Told> told_;
};

}  // namespace daicho
