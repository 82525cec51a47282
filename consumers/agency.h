// An agency's (利用機関) end: asks, receives what it is given exactly once, checks it against the ledger, acknowledges.
//
//   ask ─► request.<agency>      provision.<agency> ─► open ─► check ─► file, synced ─► state      reply.<agency> ◄─ reply
//
// state holds the place in the provision topic together with the receipts that are not signed yet, and is replaced whole
// behind the files that it speaks of: after a crash at any moment a message is taken again, to the same file.
//
//   state         place in the provision topic(8) ‖ for each receipt: length(4) ‖ AgencyReceipt
//   checkpoint    the newest of the ledger that was seen: a later one must be of the same history
//   refused/      <place in the topic>.cms: messages that could not be opened, or that the ledger does not record
//   lock          held by the one process that receives or replies
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "consumers/agency_answer.h"
#include "consumers/tlog_client.h"
#include "events/clock.h"
#include "ledger/log.h"

namespace daicho {

// 64 bytes, over "daicho/request/1\n" ‖ digest of the request.
Result<std::string> SignRequest(const AgencyHome& home, std::string_view request);

// Puts a request on the agency's topic and answers its digest. Errors: kInvalid with what breaks the format, kDenied
// when the agency has no topics.
Result<Digest> AskByLine(const AgencyHome& home, Log& log, std::string_view request);

// A message of the provision topic.
struct Delivery {
  Position position;      // of its event in the ledger
  AgencyAnswer answer;
  bool proven = false;    // that the ledger has this very answer there
  std::string file;       // that it was written to, if any
};

struct ReceiveOptions {
  std::string out;        // directory; empty: none
  TlogClient* ledger = nullptr;  // borrowed; null: answers are not held against the ledger
  std::chrono::milliseconds proof_wait{60'000};  // for a checkpoint that covers an answer
  std::chrono::milliseconds wait{0};             // for messages
  // Before the message counts as received; again for the same one after a crash.
  std::function<Status(const Delivery&)> received;
  // Of a message that was put aside, and its path.
  std::function<void(const Status&, const std::string& path)> refused;
};

class AgencyInbox {
 public:
  // `log` and `clock` are borrowed. Errors: kUnavailable when another process receives; kDenied when the agency has no
  // topics.
  static Result<std::unique_ptr<AgencyInbox>> Open(const AgencyHome& home, Log& log, const Clock& clock);
  ~AgencyInbox();

  // Takes what comes within the wait, at most some hundred messages; how many. An answer becomes
  // out/<reference>.<chunk>.ndjson, or <reference>.<chunk>.<position>.ndjson where that is another's. Errors:
  // kUnavailable; kTampered when the ledger cannot prove its entries. Nothing is lost then: what was not received comes
  // again.
  Result<std::size_t> Receive(const ReceiveOptions& options);
  // Whether all that lay on the topic when the inbox was opened has been received.
  bool AtEnd() const;
  // Signs and sends a receipt for each message received since; how many. What a crash interrupts is sent twice, which
  // the prefecture takes for one.
  Result<std::size_t> Reply();

 private:
  struct Impl;
  explicit AgencyInbox(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Hands each answer to the request of that reference to `each` as it comes on the topic, from `from` on, until all are
// there or `wait` has passed (kUnavailable); nothing of it counts as received.
Status AwaitAnswers(const AgencyHome& home, Log& log, Cursor from, const std::string& reference,
                    std::chrono::milliseconds wait, const std::function<bool()>& stop,
                    const std::function<void(const Delivery&)>& each);

}  // namespace daicho
