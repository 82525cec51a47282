// The provision register (提供・移転の記録): what left the record file, to whom, on which basis, what the recipients have
// confirmed, and what residents have had stopped. Made of the ledger's PROVISION, TRANSFER, DELIVERY_RECEIVED and
// SUSPENSION_DECIDED entries, in the record file's store, by the projector. A part whose key is erased leaves nothing.
//
// Every question is asked as of a position, which must be visible, and costs what it costs as of now.
//
//   family       key (big-endian; <x>: length(4) ‖ x)          value
//   events       position(8)                                   kind(1) ‖ admitted_at(8) ‖ Provision
//   references   <agency> ‖ <reference> ‖ what(1) ‖ position(8)  refusal(1); what: 0 an event, 1 an end of a standing request
//   asked        <agency> ‖ <basis> ‖ <day> ‖ position(8)      conditions(8) asked that day, this event's included
//   deliveries   <agency> ‖ position(8)                        what(1) ‖ delivered(8) ‖ confirmed(8) ‖ oldest(8); what: 0 an
//                                                              event, 1 a receipt; oldest unconfirmed: all ones, none
//   receipts     position(8) of the event                      position(8) of its receipt
//   given        handle(16) ‖ position(8) ‖ part(1)            ProvisionResult
//   standing     handle(16) ‖ position(8)                      nothing: the person is followed from there on
//   suspensions  handle(16) ‖ position(8)                      SuspensionDecided
//
// Thread-safe for reading while a Projector writes.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "events/dates.h"
#include "events/disclosure.pb.h"
#include "events/event.h"
#include "events/provision.pb.h"
#include "ledger/key_store.h"
#include "ledger/replay.h"
#include "ledger/store.h"

namespace daicho {

class ProvisionRegister {
 public:
  struct Event {  // a 提供 or 移転, refused ones too
    Position position;
    TimeMicros admitted_at;
    v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;
    v1::Provision provision;
  };
  struct Given {  // one person's share of it
    Event event;
    int part = 0;
    v1::ProvisionResult result;
  };
  struct Suspension {
    Position position;  // of its decision
    v1::SuspensionDecided decision;
  };
  // Deliveries of an agency: events with an answer message.
  struct Deliveries {
    std::uint64_t delivered = 0;
    std::uint64_t confirmed = 0;
    std::optional<Position> oldest;  // of those that are not confirmed
    std::uint64_t unconfirmed() const { return delivered - confirmed; }
  };
  struct Filter {
    std::string agency, basis;  // empty: any
    v1::EventKind kind = v1::EVENT_KIND_UNSPECIFIED;  // UNSPECIFIED: both
    Position first, last;       // both included
  };

  explicit ProvisionRegister(const Store& record_file) : store_(record_file) {}  // borrowed

  // Errors: kNotFound when none stands there, or it is erased.
  Result<Event> At(Position position) const;
  // The first event of the agency's request of that number; one that was refused as a whole is none.
  Result<std::optional<Event>> First(const std::string& agency, const std::string& reference, Position at) const;
  // Its newest event, whichever that is.
  Result<std::optional<Event>> Newest(const std::string& agency, const std::string& reference, Position at) const;
  // All of them, by position: its chunks, what followed a standing request, and refusals.
  Result<std::vector<Event>> EventsOf(const std::string& agency, const std::string& reference, Position at) const;
  // By position, at most `max`. The next page begins behind the last.
  Result<std::vector<Event>> Events(const Filter& filter, std::size_t max) const;

  // Conditions that the agency had asked on that basis on the day on which they were judged, refused ones too.
  Result<std::uint64_t> AskedOn(const std::string& agency, const std::string& basis, Date day, Position at) const;
  // Every result that told something of the person, by position.
  Result<std::vector<Given>> GivenOf(const SubjectHandle& person, Position at) const;

  // The 利用停止 that stands against a provision on that basis on that day. The newest decision of a matter
  // that concerns the basis and has begun counts for it; of several matters the newest is told.
  Result<std::optional<Suspension>> SuspensionOf(const SubjectHandle& person, const std::string& basis, Date on,
                                                 Position at) const;
  // The events with which standing requests began that follow the person and have not ended.
  Result<std::vector<Event>> SubscriptionsOf(const SubjectHandle& person, Position at) const;

  // Position of the DELIVERY_RECEIVED that confirmed it; a receipt for other bytes than those delivered confirms nothing.
  Result<std::optional<Position>> ReceiptOf(Position provision, Position at) const;
  Result<Deliveries> DeliveriesTo(const std::string& agency, Position at) const;
  // Deliveries without a receipt, the oldest first, at most `max`. Costs as many steps as there are deliveries since then.
  Result<std::vector<Event>> Unconfirmed(const std::string& agency, Position at, std::size_t max) const;
  // All who were ever delivered to, by name.
  Result<std::vector<std::string>> Agencies() const;

 private:
  const Store& store_;
};

// The projector's side.
namespace provision_register {

using Put = std::function<void(Family, std::string_view key, std::string_view value)>;
using Erased = std::function<void(const v1::KeyReference&)>;

// What entries put into the register. Keeps in memory what has not been written yet and later rows build on.
class Writer {
 public:
  explicit Writer(const Store& record_file) : store_(record_file) {}  // borrowed
  // Goes back to what the store holds.
  Status Load();
  // `erased` is told of each part that has no key any more. Errors: kTampered, kCorrupt.
  Status PutEntry(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased);

 private:
  struct Agency {
    std::uint64_t delivered = 0;
    std::uint64_t confirmed = 0;
    std::map<Position, std::string> waiting;  // for a receipt: digest of what was delivered
  };

  Status PutProvision(const LedgerReplay::Checked& entry, const KeyStore& keys, const Put& put, const Erased& erased);
  Status PutResult(const v1::Provision& provision, const LedgerReplay::Checked& entry, int part, const std::string& payload,
                 const Put& put);
  Status PutReceipt(const LedgerReplay::Checked& entry, const std::string& payload, const Put& put);
  Status PutAsked(const v1::Provision& provision, Position position, const Put& put);
  void PutDeliveries(const std::string& agency, Position position, char what, const Put& put);

  const Store& store_;
  std::map<std::string, std::uint64_t> asked_;  // by the key without its position
  std::map<std::string, Agency> agencies_;      // by name
};

}  // namespace provision_register

}  // namespace daicho
