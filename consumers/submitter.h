// Submitter: an issuer's side of admission. It numbers the issuer's events, signs its tree head, submits,
// and waits for the receipt. Used by municipal gateways and by the prefecture's own roles alike.
//
// State in its directory, so that a crash at any moment repeats the same bytes and nothing else:
//   state       place in the receipt topic, the ledger's name and public keys, edge of the issuer's tree
//               as last admitted; behind it the newest submission that was built on it, whole. What a crash leaves is
//               sent again, which changes nothing where it was admitted. One sync for a submission (SlotFile)
//   lock        held by the one process that submits
//
// Keys change on the way: a verified welcome in the receipt topic names those in force from there on, and they are
// taken over. A submission refused only because it was built with the keys before is built anew from the last
// admitted tree and sent again: its head is void by the receipt that refused it.
// One thread at a time.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "events/clock.h"
#include "events/event.h"
#include "events/merkle.h"
#include "ledger/log.h"

namespace daicho {

// What an issuer must know of the ledger it submits to.
struct LedgerPin {
  LedgerId ledger{};
  Key256 intake{};
  Key256 sequencer{};
};

struct SubmitterOptions {
  std::string dir;
  std::string issuer;
  int prefecture = 0;
  SigningKey key;
  // The issuer's key to come, if there is one: asked for when a welcome names another than `key`, and used from
  // there on if it is that. `on_next_key` first makes it durable as `key`; it may be called again after a crash.
  // Both may be empty.
  std::function<Result<std::optional<SigningKey>>()> next_key;
  std::function<Status()> on_next_key;
  Log* log = nullptr;            // borrowed
  const Clock* clock = nullptr;  // borrowed
  // Without it the welcome in the receipt topic is trusted on first use. What is in the topic from before the
  // pinned sequencer key was in force is passed over.
  std::optional<LedgerPin> pin;
  // With a pin, and without a state of its own: the issuer's tree as the ledger has it.
  MerkleEdge tree = {};
  std::chrono::milliseconds receipt_wait{60'000};
  // Called with the tag given to Submit before Submit returns; after a crash again for the last receipt. May be empty.
  std::function<Status(const std::string& tag, const v1::Receipt&)> on_receipt;
};

class Submitter {
 public:
  // Errors: kUnavailable when another process submits for this issuer.
  static Result<std::unique_ptr<Submitter>> Open(SubmitterOptions options);
  ~Submitter();

  // Submits events in order as one submission and returns its verified receipt, also when it was rejected.
  // A submission left pending by a crash is settled first.
  // Errors: kDenied when the issuer is not registered, kUnavailable when no receipt came in time: the
  // submission stays pending and is settled at the next call.
  Result<v1::Receipt> Submit(const std::vector<DraftEvent>& events, const std::string& tag = "");
  // The receipt of the submission that was pending, if there was one.
  Result<std::optional<v1::Receipt>> SettlePending();

  // Every receipt of that outcome that there is by now, since the ledger's key that is known here came into force.
  Result<std::vector<v1::Receipt>> AllOf(v1::Outcome outcome);

  const LedgerId& ledger() const;
  std::uint64_t size() const;  // events admitted

 private:
  struct Impl;
  explicit Submitter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
