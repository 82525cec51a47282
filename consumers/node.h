// Node: one process of the prefecture. It owns the home's stores, runs the roles asked for, and answers
// the Unix socket. With the embedded log it is the whole system; on Kafka roles may spread over processes.
//
//   sequencer   admits submissions            projector   keeps the record file
//   records     answers readings, each of which is an event before its answer leaves (needs projector)
//   provider    answers agencies likewise, and puts the answers on their topics (needs projector)
//   disclosure  開示, 訂正, 利用停止: an order is an event before its letter leaves (needs projector)
//   kikou       passes every update on to 機構 and asks it on operators' behalf, once it is known (needs projector)
//   reconciler  compares the record file with 機構's copy, or a municipality's (needs projector)
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <set>
#include <string>

#include "consumers/home.h"
#include "consumers/node.pb.h"
#include "events/search.pb.h"

namespace daicho {

struct NodeOptions {
  std::set<std::string> roles = {"sequencer", "projector", "records", "provider", "notary", "retention", "disclosure", "kikou",
                                 "reconciler"};
  bool listen = false;  // serve the sockets
  // Of the notary: HTTP address and the certificate of its TLS; empty: none.
  std::string http, certificate_file, key_file;
  std::size_t cache_bytes = std::size_t{192} << 20;  // of what the record file reads: half blocks, half versions
  std::function<void(std::uint64_t done, std::uint64_t total)> progress;  // of the projector catching up
  std::chrono::seconds reconcile_every{0};  // with 機構, by the reconciler itself; 0: only when ordered
};

class Node {
 public:
  // Opens the stores and starts the roles. Errors: kUnavailable when another process has them.
  static Result<std::unique_ptr<Node>> Start(Home home, NodeOptions options);
  // Stops the roles in order and flushes the stores.
  ~Node();

  // Until a role fails: its status. OK when `stop` was set.
  Status Wait(const std::function<bool()>& stop);

  // What the sockets answer.
  node::Response Answer(const node::Request& request);
  // One JSON document, as `daicho status --json` prints it.
  Result<std::string> StatusJson();
  // Goes over to a matching definition that the home keeps; searches are answered meanwhile. Errors: kNotFound.
  Status UseMatching(const std::string& id);
  // Submits an event of the registrar and returns when it is admitted and visible.
  Status Administer(v1::EventKind kind, const std::string& payload);
  // Makes the next key of that name, or takes the one in `token` (not of intake), has it admitted and takes it over.
  // What an earlier call began and a crash left is finished. Errors: kConflict while the intake key before is still
  // waited for, or when another next key was left.
  Status RotateKey(HomeKey key, const std::string& reason, const std::string& token = "");
  Log& log();

 private:
  struct Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Signed by an operator, see events/search.proto.
inline constexpr std::string_view kReadRequestTag = "daicho/read/1\n";
inline constexpr std::string_view kReadProvisionsTag = "daicho/read-provisions/1\n";

// The events every new ledger begins with: its opening, the roles' issuers, two operators and their role.
struct Founder {
  std::string operator_id;
  Key256 public_key;
};
Status Found(const Home& home, const std::vector<Founder>& operators);

}  // namespace daicho
