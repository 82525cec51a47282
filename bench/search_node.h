// Searching as an operator does, through a node.
#pragma once

#include <string>

#include "events/result.h"

namespace daicho::search_bench {

// Serves the home of `work` in this process and asks it the mix of `data` over its socket, one signed request after
// the other: each is in the ledger, durably, before its answer leaves.
Status MeasureNode(const std::string& work, const std::string& data);

}  // namespace daicho::search_bench
