// The matching definitions of a home: the shipped one, and those with an operator's own maps of 異体字.
//
//   HOME/matching/<id>/mj-list, shrink-map, substitutes    what VariantFiles names; those that were given
//   HOME/matching/current                                  id of the one in use; without it: the shipped one
#pragma once

#include <memory>
#include <string>

#include "consumers/home.h"
#include "projections/matching.h"
#include "projections/variants.h"

namespace daicho {

// The one in use. Errors: kInvalid for maps that are no longer what they were.
Result<std::shared_ptr<const Matching>> CurrentMatching(const Home& home);
// Errors: kNotFound, kInvalid.
Result<std::shared_ptr<const Matching>> FindMatching(const Home& home, const std::string& id);
// Checks and copies the files; the id of the definition with them. Errors: kInvalid naming file, line and rule.
Result<std::string> KeepMatching(const Home& home, const VariantFiles& files);
// Puts it in use from the next start on.
Status SetCurrentMatching(const Home& home, const std::string& id);

}  // namespace daicho
