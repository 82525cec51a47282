// Providing (提供・移転): answers agencies. Each answer is an event before it leaves, refused and empty ones too, and it
// can be fetched again whatever crashes in between.
//
//   request ─► decide ─► evaluate ─► encrypt to the agency ─► outbox ─► ledger ─► returned, and on the agency's topic
//                        (63 conditions an event)             synced
//
// What was encrypted is in the outbox before its event is submitted, so that what the event says was delivered can be
// delivered; it stays there until the agency has confirmed it. The agency's topic follows the ledger: what is missing
// on it is told by its last record, and put there at the next start. A request is known by its agency and reference:
// asked again, it goes on where it was left, as of the same position.
//
// Several requests at the same time become one submission.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "consumers/kikou_inquiring.h"
#include "consumers/provision_request.h"
#include "events/clock.h"
#include "events/event.h"
#include "ledger/log.h"
#include "projections/projector.h"

namespace daicho {

// What an operator who handles a request signs: see operator_act.h, over the digest of the request.
inline constexpr std::string_view kProvideTag = "daicho/provide/1\n";

struct ProvidingOptions {
  int prefecture = 0;
  LedgerId ledger{};
  std::string dir;               // of the outbox
  Log* log = nullptr;            // borrowed
  const Clock* clock = nullptr;  // borrowed
  std::function<std::shared_ptr<const Projector>()> projector;  // the one that serves
  // Under the provider's key. An error leaves it open whether the events are in the ledger; `settle` finds out, and
  // answers the position behind the last that it admitted, if any was left.
  std::function<Result<v1::Receipt>(const std::vector<DraftEvent>&)> submit;
  std::function<Result<std::optional<Position>>()> settle;
  // Asks 機構, as KikouInquiring::AskFor. Empty: nobody can be asked.
  std::function<Result<std::vector<InquiryOutcome>>(std::vector<v1::InquiryAsked>, const KikouInquiring::Told&)> elsewhere = {};
  // Follows the agencies' topics, and the ledger for standing requests. False: only Provide is served.
  bool follow = false;
  std::function<void(const Status&)> failed;  // of any thread, when it has stopped for good
};

struct ProvisionAsked {
  std::string request;     // the exact bytes
  std::string signature;   // the agency's, 64 bytes
  v1::OperatorAct operator_act;  // empty operator_id: the agency itself, by its topic
  // A file for the answers, encrypted to the agency as one CMS message; it is there when all events are. Empty: none.
  std::string out;
};

struct ProvisionOutcome {
  v1::RefusalReason refusal = v1::REFUSAL_REASON_UNSPECIFIED;  // of the request as a whole
  std::string message;             // why, for people
  std::vector<FileError> errors;   // with MALFORMED
  std::uint64_t found = 0, none = 0, multiple = 0, refused = 0;
  Position first, last;            // of its events
  std::string cms;                 // the one answer message of an immediate request
  std::string file_digest;         // SHA-256 of `out`, 32 bytes
};

class Providing {
 public:
  static Result<std::unique_ptr<Providing>> Start(ProvidingOptions options);
  ~Providing();
  Providing(const Providing&) = delete;

  // Blocks until the answers are in the ledger, also when the request is refused. Errors: kInvalid for a request whose
  // first line cannot be read (not recorded), kErased when an answer is asked again that the agency has confirmed,
  // kUnavailable while the same request is being answered or when an event could not be recorded: ask again.
  Result<ProvisionOutcome> Provide(const ProvisionAsked& asked);

  // Requests under way and what the agencies have not confirmed, as JSON.
  Result<std::string> StatusJson() const;

 private:
  struct Impl;
  explicit Providing(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
