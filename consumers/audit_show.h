// Show: entries as JSON lines, decoded with the schemas that the ledger itself carries and no others, as whoever
// reads it decades later will.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "ledger/log.h"

namespace daicho {

// Every entry, or the one at `position`. Errors: kNotFound when the ledger lacks that position or the schema of its
// own envelope, those of the log.
Status ShowEntries(Log& log, int prefecture, std::optional<Position> position,
                   const std::function<void(const std::string& line)>& line);

}  // namespace daicho
