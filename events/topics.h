// Names of topics: "daicho.<prefecture>.<what>".
#pragma once

#include <array>
#include <string>

namespace daicho {

struct Topics {
  int prefecture;
  std::string Prefix() const { return "daicho." + std::to_string(prefecture) + "."; }
  std::string Ledger() const { return Prefix() + "ledger"; }
  std::string Checkpoint() const { return Prefix() + "checkpoint"; }
  std::string Inbox(const std::string& issuer) const { return Prefix() + "inbox." + issuer; }
  std::string Receipt(const std::string& issuer) const { return Prefix() + "receipt." + issuer; }
  // What an agency is given, and what it says: requests, and receipts of what it was given.
  std::string Provision(const std::string& agency) const { return Prefix() + "provision." + agency; }
  std::string Request(const std::string& agency) const { return Prefix() + "request." + agency; }
  std::string Reply(const std::string& agency) const { return Prefix() + "reply." + agency; }
  std::array<std::string, 3> OfAgency(const std::string& agency) const {
    return {Provision(agency), Request(agency), Reply(agency)};
  }
};

}  // namespace daicho
