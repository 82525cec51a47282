// Names of topics: "daicho.<prefecture>.<what>".
#pragma once

#include <string>

namespace daicho {

struct Topics {
  int prefecture;
  std::string Prefix() const { return "daicho." + std::to_string(prefecture) + "."; }
  std::string Ledger() const { return Prefix() + "ledger"; }
  std::string Checkpoint() const { return Prefix() + "checkpoint"; }
  std::string Inbox(const std::string& issuer) const { return Prefix() + "inbox." + issuer; }
  std::string Receipt(const std::string& issuer) const { return Prefix() + "receipt." + issuer; }
  std::string Provision(const std::string& agency) const { return Prefix() + "provision." + agency; }
};

}  // namespace daicho
