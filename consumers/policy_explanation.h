// What the policy decides of a request for provision, and why: now, or as it stood at any past position.
#pragma once

#include <string>

#include "consumers/node.pb.h"
#include "projections/projector.h"

namespace daicho {

// One JSON document (consumers/README.md, Policy). Says nothing of persons: of a condition only its keys are asked.
// Errors: kInvalid with the field, kNotFound for a day before the ledger began.
Result<std::string> ExplainPolicy(const Projector& projector, const node::ExplainPolicy& asked, Date today);

}  // namespace daicho
