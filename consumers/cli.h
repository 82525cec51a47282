// What the commands of the daicho binary share. Each group of commands lives in a cli_*.cc of its own and
// hangs itself into the command line with an Add… function.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "consumers/node.h"
#include "consumers/node_socket.h"
#include "events/dates.h"

namespace daicho {

// 0 done, 1 the answer is no, 2 wrong usage or bad input, 3 the system could not do it, 4 denied.
int ExitStatus(Code code);
// Tells why on stderr; the exit status.
int Fail(const Status& status);
// Tells what is wrong with a copy file: FileErrorsJson, or as JSON that. The exit status.
int FailFile(const std::string& errors_json, bool json);
// From here on SIGINT and SIGTERM end nothing by themselves: StopRequested tells that one came.
void WatchForStop();
bool StopRequested();

// An operator's key: of the file `given`, or without one HOME/operators/ID.key. Errors: kDenied without a key.
Result<SigningKey> ReadOperatorKey(const Home& home, const std::string& id, const std::string& given);
// Adds the consents of operators at this machine. Their keys: of `given`, "ID=FILE" each, or HOME/operators/ID.key.
// Errors: kDenied without a key.
Status AddConsents(const Home& home, const std::vector<std::string>& operators, const std::vector<std::string>& given,
                   v1::EventKind kind, const Digest& digest, google::protobuf::RepeatedPtrField<v1::Consent>& out);
// A date as a person types it, to YYYY-MM-DD; nothing typed leaves `out` as it is. Errors: kInvalid with the option.
Status PutDate(const char* option, const std::string& typed, std::string* out);

// The first day of a month as a person types it: 2026-04, 令和8年4月. Errors: kInvalid with the option.
Result<Date> MonthOf(const char* option, const std::string& typed);
Date LastOfMonth(Date day);

// Who reads, and why.
struct Reader {
  std::string operator_id, operator_key, duty, purpose, terminal;
};
// The question of `request` as that operator signs it now, over `tag`. The key: of the reader, or HOME/operators/ID.key.
// Errors: kDenied without a key.
Result<node::ReadRecord> SignReading(const Home& home, const Reader& reader, std::string_view tag, v1::ReadRequest request);

class Cli {
 public:
  explicit Cli(CLI::App& app) : app_(app) {}

  // Options that many commands share.
  bool json = false, long_sketch = false;
  std::string home, log, kafka_config;
  int exit = 0;  // of the command that ran

  // A group of commands; the one that exists if there is one.
  CLI::App* Group(const char* name, const char* what);
  // `run` returns the exit status. `parent` null: at the top.
  CLI::App* Command(CLI::App* parent, const char* name, const char* what, std::function<int()> run);
  void TakesHome(CLI::App* command);
  void TakesLog(CLI::App* command);
  void TakesLongSketch(CLI::App* command);

 private:
  CLI::App& app_;
};

void AddNodeCommands(Cli& cli);     // init, issuer add, serve, status, rebuild
void AddGatewayCommands(Cli& cli);  // gateway init, send, watch
void AddKeyCommands(Cli& cli);     // operator, key, agency add …, issuer rotate and revoke
void AddAgencyCommands(Cli& cli);  // agency init, sign, ask, receive, reply, open: the agency's end
void AddPolicyCommands(Cli& cli);  // policy, agreement
void AddProvideCommands(Cli& cli);  // provide, media handover
void AddDisclosureCommands(Cli& cli);  // disclose, correction, suspension
void AddReconcileCommands(Cli& cli);  // reconcile …
void AddRecordCommands(Cli& cli);   // record, search
void AddRegisterCommands(Cli& cli);  // register list, statistics
void AddMatchingCommands(Cli& cli);  // matching show, set, reset
void AddAuditCommands(Cli& cli);    // audit …, export
void AddRetentionCommands(Cli& cli);  // retention plan, run; backup, restore
void AddKikouCommands(Cli& cli);    // kikou …
void AddWitnessCommands(Cli& cli);  // witness, witness init, trust, serve

// A node for one command: the running one over its socket, or one started for the purpose.
class NodeAccess {
 public:
  static Result<NodeAccess> Open(const std::string& dir);
  const Home& home() const { return home_; }
  Result<node::Response> Call(const node::Request& request);
  // Submits an event of the administration under the registrar's key.
  Status Administer(v1::EventKind kind, const std::string& payload);

 private:
  Status AwaitProjector();

  Home home_;
  std::unique_ptr<SocketClient> client_;
  std::unique_ptr<Node> node_;
};

}  // namespace daicho
