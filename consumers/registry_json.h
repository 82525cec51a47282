// The registry as one JSON document, for the commands that show keys, operators, agencies and rules.
#pragma once

#include <string>

#include "ledger/registry.h"

namespace daicho {

// "issuer", "sequencer", …, as commands and documents name a use. Empty for none.
std::string KeyUseName(v1::KeyUse use);
// KEY_USE_UNSPECIFIED for an unknown name.
v1::KeyUse KeyUseOf(std::string_view name);

// {"keys": [{use, holder, key_id, public_key, from, until, leaked_from}], "issuers": [{issuer, name, role}],
//  "operators": [{operator, verification_id, roles, terminals, valid_until}], "agencies": [{agency, …}],
//  "agreements": [{agreement, position, …}],
//  "policy": {position, rules}}. Keys, key ids and certificates in hex; until and leaked_from where there are.
std::string RegistryJson(const Registry& registry);

}  // namespace daicho
