// Searching while the ledger grows.
#pragma once

#include <string>

#include "events/result.h"

namespace daicho::search_bench {

// Admits moves into the ledger of `work` at 1,000 a second, ten in a submission, and asks the mix of `data` in the
// same process meanwhile, as before in quiet; then admits single moves, each waited for until it can be found.
Status Live(const std::string& work, const std::string& data);

}  // namespace daicho::search_bench
