#include "consumers/cli_registry.h"

#include <fmt/format.h>

#include <iostream>

namespace daicho {

using nlohmann::ordered_json;

Result<ordered_json> ReadRegistry(NodeAccess& node) {
  node::Request request;
  request.mutable_registry();
  ASSIGN_OR_RETURN(const node::Response response, node.Call(request));
  return ordered_json::parse(response.json());
}

int ChangeRegistry(const Cli& cli, const char* done, const std::string& about,
        const std::function<Status(NodeAccess&)>& change) {
  auto node = NodeAccess::Open(cli.home);
  if (!node.ok()) return Fail(node.status());
  if (Status status = change(*node); !status.ok()) return Fail(status);
  if (cli.json) {
    std::cout << ordered_json({{"done", done}, {"about", about}}).dump() << "\n";
  } else {
    fmt::print("{}: {}\n", about, done);
  }
  return 0;
}

int ShowRegistry(const Cli& cli, const char* part, const std::function<std::string(const ordered_json&)>& line) {
  auto node = NodeAccess::Open(cli.home);
  if (!node.ok()) return Fail(node.status());
  auto registry = ReadRegistry(*node);
  if (!registry.ok()) return Fail(registry.status());
  const ordered_json shown = registry->value(part, ordered_json());
  if (cli.json) {
    std::cout << shown.dump() << "\n";
  } else if (shown.is_array()) {
    for (const auto& item : shown) fmt::print("{}\n", line(item));
  } else {
    fmt::print("{}\n", shown.dump(2));
  }
  return 0;
}

std::string Words(const ordered_json& list) {
  std::string out;
  for (const auto& word : list) out += (out.empty() ? "" : " ") + word.get<std::string>();
  return out;
}

}  // namespace daicho
