// Sequencer: the one writer of a ledger. It takes submissions from the issuers' inboxes in the order of
// arrival, admits or rejects each whole, and answers each with a signed receipt.
//
//   inbox ─► prepare ─────────► judge ─────────────► commit
//            open, decode,      signature, sequence,  sync new keys, append entries and receipts
//            hash, rules of     resident rules,       in one atomic append, then store the state
//            one notice         position, seal
//            (own thread)       (Run's thread)        (own thread)
//
// The life of an event, and what a crash at each step leaves:
//  1. read from the inbox                  nothing happened: it is read again
//  2. data keys synced in the key store    rows that no entry uses: harmless
//  3. entries and receipts appended        admitted: a restart reads them back from the log
//  4. state stored                         (the state is a projection of the ledger: replayed when lost)
//  5. an erasure: keys destroyed, state   the order stands in the ledger: a restart carries it out before it
//     built anew from what is left        judges anything
// A restart resumes each inbox behind the last receipt of its issuer, which is in the same atomic append
// as the entries it speaks of: nothing is admitted twice, and no rejection is judged anew.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <stop_token>
#include <vector>

#include "events/clock.h"
#include "ledger/key_store.h"
#include "ledger/log.h"
#include "ledger/replay.h"

namespace daicho {

// The ledger's own private keys that a node holds, newest first: while a rotation is under way more than one.
struct LedgerKeys {
  std::vector<SigningKey> receipts;  // KEY_USE_SEQUENCER: sign receipts and checkpoints
  std::vector<HpkeKeyPair> intake;   // KEY_USE_INTAKE: submissions are sealed to it
};

struct SequencerOptions {
  int prefecture = 0;
  LedgerId ledger{};
  Key256 registrar_public_key{};
  // Read at the start, and when an event changes one of them: it is admitted only if its key is held.
  // What is signed is signed by the key in force; what any of them opens is taken.
  std::function<Result<LedgerKeys>()> ledger_keys;
  std::string state_dir;
  // Borrowed, all four. With a holder the state is encrypted at rest.
  Log* log = nullptr;
  KeyStore* keys = nullptr;
  KeyHolder* at_rest = nullptr;
  const Clock* clock = nullptr;
  // A batch is committed when the one before has landed; at this size it takes no further submission.
  std::size_t batch_events_max = 20'000;
  std::size_t batch_bytes_max = 48u << 20;
};

class Sequencer {
 public:
  // Opens its state, becomes the ledger's writer (fencing off any other) and catches up with the ledger.
  static Result<std::unique_ptr<Sequencer>> Open(SequencerOptions options);
  ~Sequencer();
  Sequencer(const Sequencer&) = delete;

  // Works until stopped (OK), fenced off (kConflict) or in need of a person. An unknown outcome of an
  // append is resolved inside, by reading the log back.
  Status Run(std::stop_token stop);

  // True when `newest` is the intake key in force and everything that lay in an inbox when that was first
  // asked has been answered: what was sealed to a key before it is not waited for any longer, and who sends it
  // yet is refused (`sealed`) and seals it again. Any thread, one at a time.
  Result<bool> IntakeDrained(const Key256& newest);
  // False when the intake key in force is not among ledger_keys: until it is replaced, only the registrar's inbox is
  // read. Any thread.
  bool HoldsIntake();
  // Reads ledger_keys again: a key that was destroyed is used no longer. Any thread.
  Status ReloadKeys();

  // Entries appended so far. Any thread.
  Position position() const;
  struct Counters {
    std::uint64_t admitted = 0;     // submissions
    std::uint64_t repeated = 0;
    std::uint64_t rejected = 0;
    std::uint64_t events = 0;       // admitted
  };
  Counters counters() const;

 private:
  struct Impl;
  explicit Sequencer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Creates the ledger's topics and those of the registrar, so that its genesis can be submitted. Harmless
// when they exist.
Status CreateLedgerTopics(Log& log, int prefecture);
// Where in the ledger topic the entry at `position` is, or would be appended.
Result<Cursor> FindEntry(Log& log, const std::string& topic, Position position);

}  // namespace daicho
