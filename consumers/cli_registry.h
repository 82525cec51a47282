// What the commands of the administration share: each reads the registry of a node, or has an event admitted that
// changes it.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "consumers/cli.h"

namespace daicho {

// As consumers/registry_json.h says.
Result<nlohmann::ordered_json> ReadRegistry(NodeAccess& node);
// Makes the change and tells that it is done, and of what. The exit status.
int ChangeRegistry(const Cli& cli, const char* done, const std::string& about,
                   const std::function<Status(NodeAccess&)>& change);
// Prints a part of the registry: of a list one `line` for each. The exit status.
int ShowRegistry(const Cli& cli, const char* part, const std::function<std::string(const nlohmann::ordered_json&)>& line);
// The words of a list, with spaces between.
std::string Words(const nlohmann::ordered_json& list);

}  // namespace daicho
