#include "consumers/registry_json.h"

#include <google/protobuf/util/json_util.h>

#include <array>
#include <nlohmann/json.hpp>

namespace daicho {
namespace {

using nlohmann::ordered_json;

constexpr std::array<std::pair<v1::KeyUse, std::string_view>, 7> kUses = {{
    {v1::KEY_USE_ISSUER, "issuer"},
    {v1::KEY_USE_SEQUENCER, "sequencer"},
    {v1::KEY_USE_INTAKE, "intake"},
    {v1::KEY_USE_OPERATOR, "operator"},
    {v1::KEY_USE_AGENCY_SIGNING, "agency-signing"},
    {v1::KEY_USE_AGENCY_ENCRYPTION, "agency-encryption"},
    {v1::KEY_USE_WITNESS, "witness"},
}};

ordered_json MessageJson(const google::protobuf::Message& message) {
  std::string text;
  CHECK(google::protobuf::util::MessageToJsonString(message, &text).ok());
  return ordered_json::parse(text);
}

ordered_json KeysJson(const Registry& registry) {
  ordered_json out = ordered_json::array();
  for (const auto& [use, name] : kUses) {
    for (const std::string& holder : registry.Holders(use)) {
      for (const KeySpan& span : registry.Keys(use, holder)) {
        ordered_json key = {{"use", name},
                            {"holder", holder},
                            {"key_id", ToHex(span.key_id)},
                            {"public_key", ToHex(span.key)},
                            {"from", span.from.value()}};
        if (span.until) key["until"] = span.until->value();
        if (span.leaked_from) key["leaked_from"] = span.leaked_from->value();
        out.push_back(std::move(key));
      }
    }
  }
  return out;
}

ordered_json OperatorsJson(const Registry& registry) {
  ordered_json out = ordered_json::array();
  for (const auto& [id, registered] : registry.operators()) {
    out.push_back({{"operator", id},
                   {"verification_id", registered.verification_id()},
                   {"roles", registered.roles()},
                   {"terminals", registered.terminals()},
                   {"valid_until", registered.valid_until()},
                   {"active", registry.FindOperator(id).ok()}});
  }
  return out;
}

ordered_json AgenciesJson(const Registry& registry) {
  ordered_json out = ordered_json::array();
  for (const auto& [id, agency] : registry.agencies()) {
    out.push_back({{"agency", id},
                   {"name", agency.name()},
                   {"recipient", v1::RecipientClass_Name(agency.recipient())},
                   {"municipality", agency.municipality()},
                   {"closed", agency.closed()}});
  }
  return out;
}

ordered_json AgreementsJson(const Registry& registry) {
  ordered_json out = ordered_json::array();
  for (const auto& [number, in_force] : registry.agreements()) {
    const v1::Agreement& agreement = in_force.agreement;
    out.push_back({{"agreement", number},
                   {"position", in_force.position.value()},
                   {"municipality", agreement.municipality()},
                   {"agencies", agreement.agencies()},
                   {"ordinance", agreement.ordinance()},
                   {"duties", agreement.duties()},
                   {"concluded_on", agreement.concluded_on()},
                   {"valid_from", agreement.valid_from()},
                   {"valid_until", agreement.valid_until()},
                   {"document", ToHex(agreement.document_digest())}});
  }
  return out;
}

}  // namespace

std::string KeyUseName(v1::KeyUse use) {
  for (const auto& [known, name] : kUses) {
    if (known == use) return std::string(name);
  }
  return "";
}

v1::KeyUse KeyUseOf(std::string_view name) {
  for (const auto& [use, known] : kUses) {
    if (known == name) return use;
  }
  return v1::KEY_USE_UNSPECIFIED;
}

std::string RegistryJson(const Registry& registry) {
  ordered_json out = {{"keys", KeysJson(registry)}, {"issuers", ordered_json::array()}};
  for (const auto& [issuer, registered] : registry.issuers()) {
    out["issuers"].push_back(
        {{"issuer", issuer}, {"name", registered.name()}, {"role", v1::IssuerRole_Name(registered.role())}});
  }
  out["operators"] = OperatorsJson(registry);
  out["agencies"] = AgenciesJson(registry);
  out["agreements"] = AgreementsJson(registry);
  if (registry.policy() != nullptr) {
    out["policy"] = {{"position", registry.policy()->position.value()}, {"rules", MessageJson(registry.policy()->rules)}};
  }
  return out.dump();
}

}  // namespace daicho
