// The Unix socket of a running node: how other commands, gateways included, reach the stores that belong
// to one process. Of the log it lets through what those outside write (inboxes, agencies' requests and replies) and
// read (receipts, what agencies are given, bounds), for any of them: what is secret is encrypted to one of them. On
// the home's socket also reading of the ledger and its checkpoints, for auditors.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "consumers/home.h"
#include "consumers/node.pb.h"
#include "ledger/log.h"

namespace daicho {

// Answers every connection on `path` with `handle`, each in a thread of its own, until destroyed.
class SocketServer {
 public:
  using Handler = std::function<node::Response(const node::Request&)>;
  // Replaces a socket that no process serves. Errors: kUnavailable.
  static Result<std::unique_ptr<SocketServer>> Listen(const std::string& path, Handler handle);
  ~SocketServer();

 private:
  struct Impl;
  explicit SocketServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One connection. Belongs to one thread at a time.
class SocketClient {
 public:
  // Errors: kNotFound when no node serves `path`.
  static Result<std::unique_ptr<SocketClient>> Connect(const std::string& path);
  ~SocketClient();
  // Errors: the node's own, or kUnavailable when the connection broke.
  Result<node::Response> Call(const node::Request& request);

 private:
  struct Impl;
  explicit SocketClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The logs of the node at `path`, for those outside it.
// OpenWriter and CreateTopic are kDenied.
Result<std::unique_ptr<Log>> OpenSocketLog(const std::string& path);
// The log that a gateway or an agency is told of (--log): a local one is reached through its running node. Errors:
// kUnavailable when none serves it.
Result<std::unique_ptr<Log>> OpenServedLog(const std::string& log, const std::string& kafka_config, LogUse use);
// The node's side of it. `ledger_too`: the ledger and its checkpoints may be read.
node::Response AnswerLogRequest(Log& log, const node::Request& request, bool ledger_too);

}  // namespace daicho
