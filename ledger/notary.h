// Notary: signs what the ledger holds. It follows the ledger, keeps the trees of its entries and of
// each issuer's events as tiles, and at most an interval after an append publishes a checkpoint: a
// signed tree head of the ledger (events/tree_head.h). Witnesses add their lines to it.
//
//   entries ─► LedgerReplay ─► tiles, position, head to sign: one synced write
//                                └─► sign ─► store, synced ─► append to the checkpoint topic
//
// It signs one history only. What it is about to sign is on disk before it signs, so a crash at any
// point repeats the same text. When the ledger is shorter than what was signed, or disagrees with a
// checkpoint on the topic, it stops with kTampered: a person must look.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "events/clock.h"
#include "events/tree_head.h"
#include "ledger/log.h"
#include "ledger/replay.h"
#include "ledger/tree_store.h"

namespace daicho {

// Name, in the notary's TreeStore, of the ledger's own tree; an issuer's has the issuer's name.
inline constexpr std::string_view kLedgerTree = "";
// So many of the newest checkpoints can still be cosigned.
inline constexpr std::size_t kCheckpointsKept = 64;

struct NotaryOptions {
  int prefecture = 0;
  LedgerId ledger{};
  Key256 registrar_public_key{};
  // The ledger's private key of that public key: which one signs is the ledger's to say. Errors: kDenied for
  // one that the node has not.
  std::function<Result<SigningKey>(const Key256& public_key)> key_of;
  std::string dir;
  std::optional<Key256> file_key;  // at rest, as StoreOptions
  // Borrowed, both.
  Log* log = nullptr;
  const Clock* clock = nullptr;
  // How long an entry waits for its checkpoint, which covers those that follow too.
  std::chrono::milliseconds interval{500};
};

// A checkpoint of that ledger: VerifyTreeHead, and the head's origin and ledger. Errors: kTampered,
// kCorrupt.
Result<TreeHead> VerifyCheckpoint(std::string_view note, int prefecture, const LedgerId& ledger,
                                  const VerifyingKey& key);

class Notary {
 public:
  // Errors: kCorrupt when what it stored is damaged, kTampered when it is of another ledger.
  static Result<std::unique_ptr<Notary>> Open(NotaryOptions options);
  ~Notary();
  Notary(const Notary&) = delete;

  // Covers all that the ledger holds at this moment, then returns.
  // Errors: kTampered when that is not what was signed before; retriable ones when the log is out
  // of reach.
  Status CatchUp();
  // Follows the ledger until stopped. One thread: CatchUp or Run.
  Status Run(std::stop_token stop);

  // What follows may be called from any thread.

  // The newest published checkpoint with all its lines; empty before the first.
  std::string checkpoint() const;
  // Errors: kNotFound when none of that size is kept.
  Result<std::string> checkpoint(std::uint64_t size) const;
  // Waits until a checkpoint covers `size` entries. False when `wait` passed before.
  bool WaitFor(std::uint64_t size, std::chrono::milliseconds wait) const;
  // Adds the line of a witness to the checkpoint of that size, in place of an earlier one by the
  // same key, and publishes it again. Durable on return. May be repeated. Errors: kNotFound as
  // above, kTampered when the line does not verify, kInvalid when it is not one line of that
  // witness or the checkpoint has no room for it.
  Status AddCosignature(std::uint64_t size, const NoteKey& witness, std::string_view line);

  // The administration as of what is stored: keys, rules, the witness policy.
  std::shared_ptr<const Registry> registry() const;
  // For proofs and tiles; it may be ahead of the newest checkpoint.
  const TreeStore& trees() const;
  // The newest signed head in the ledger of that issuer; it covers all of the issuer's events.
  // Errors: kNotFound.
  Result<std::string> IssuerHead(const std::string& issuer) const;
  // Entries 256 · index and on as C2SP tlog-tiles bundles them: uint16 size ‖ leaf, `width` times.
  // Errors: kNotFound beyond the trees, kTampered when the ledger disagrees with them.
  Result<std::string> EntryBundle(std::uint64_t index, std::uint64_t width = kTileWidth) const;

 private:
  struct Impl;
  explicit Notary(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace daicho
