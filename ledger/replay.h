// LedgerReplay: reads the ledger's entries in order and believes none of them. Every follower (sequencer,
// projector, notary, auditor) passes each record through it before using it. A follower stops at the first
// break. An auditor gives a sink: every check that fails is reported to it, and the replay goes on where the
// ledger makes sense again.
//
// Checked per entry: it decodes, belongs to this ledger, has the next position, is not older than the one
// before, its parts are those that it was appended with (digests, commitments), its issuer is registered and
// may issue its kind, its sequence number is the issuer's next, the entries of a submission are adjacent.
// The last entry of a submission has the time and signature of the issuer's tree head; all else that was signed is
// what was replayed. The newest of each issuer is verified by VerifyHeads, where its key changes and every few
// thousand events, by the key that held there; since a head covers all before it, that checks every event. Where one
// fails, those before it are tried, to find the first.
//
// Belongs to one thread at a time; PrepareEntry and PrepareEntries may run on any.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "events/event.h"
#include "events/kinds.h"
#include "events/merkle.h"
#include "events/tree_head.h"
#include "ledger/finding.h"
#include "ledger/key_store.h"
#include "ledger/log.h"
#include "ledger/registry.h"
#include "ledger/store.h"

namespace daicho {

// What an issuer has issued since its newest head that was verified.
struct UnverifiedEvents {
  struct Head {
    std::size_t events;   // that it covers
    Position position;    // of its entry
    std::size_t end;      // in `detached`
  };
  MerkleEdge before;           // the issuer's tree
  std::vector<Digest> events;  // as they were hashed into it
  std::vector<Head> heads;
  std::string detached;  // of the heads, one behind the other

  void Add(Position position, std::string_view head);
  std::string_view Detached(std::size_t head) const;  // an index of heads
};

struct IssuerState {
  v1::IssuerRole role = v1::ISSUER_ROLE_UNSPECIFIED;
  std::string origin;               // of its heads
  std::optional<VerifyingKey> key;  // none: revoked
  MerkleEdge tree;
  UnverifiedEvents unverified;
  bool unsaved = false;  // `tree` has changed since the last Save
  // What follows is the auditor's.
  bool whole = true;           // `tree` holds all of its events as signed; if not, its heads cannot be judged
  std::uint64_t sequence = 0;  // of its last event
  Position last;               // of that
};

// All that can be said of a record without those before it. Refers into the record; its storage may serve
// the next one.
struct PreparedEntry {
  Status status;  // kCorrupt, kUnsupported, kTampered: nothing of it may be used
  FindingKind finding = FindingKind::kUndecodable;  // what `status` is
  bool readable = false;  // all but the parts is sound: an auditor goes on with it
  EntryView entry;
  v1::EntryLeaf leaf;
  v1::EventHeader header;
  const KindInfo* kind = nullptr;
  Digest leaf_hash{};    // in the ledger's tree
  Digest header_hash{};  // in the issuer's tree
  bool erased = false;   // a sealed part is empty
  bool keyed = true;     // the record's key is the subject's handle, or 16 zeros without one; said by EntryStream
};
void PrepareEntry(std::string_view record, PreparedEntry& out);
// The same of many, hashed side by side. Requires: as many of both.
void PrepareEntries(std::span<const std::string_view> records, std::span<PreparedEntry> out);

// Prepares what a follower has polled, some together, as it goes through it.
class EntryPreparer {
 public:
  // Of records[i], until that of another is asked for. Requires: asked of all of them, in their order.
  const PreparedEntry& Of(const std::vector<Received>& records, std::size_t i);

 private:
  // So few that what is prepared is still at hand when it is used.
  static constexpr std::size_t kTogether = 256;

  std::vector<PreparedEntry> prepared_;
};

class LedgerReplay {
 public:
  // An entry that passed. Refers into the record and what was prepared of it.
  struct Checked {
    Position position;
    const v1::EntryLeaf& leaf;
    const v1::EventHeader& header;
    const EntryView& entry;
    const Digest& leaf_hash;
    const Digest& header_hash;
    bool ends_submission = false;
  };

  // `registrar`: the public key this ledger is known by; entry 0 must carry it.
  LedgerReplay(LedgerId ledger, Key256 registrar) : ledger_(ledger), registrar_(registrar) {}

  // From here on what a check finds goes to `sink`, and Next fails for entries only of which nothing can be
  // used; that has been reported then. Findings of one cause are reported once where it can be told.
  void ReportTo(FindingSink sink) { sink_ = std::move(sink); }

  // Errors: kTampered, kCorrupt, kUnsupported, with the position in the message; the state is then
  // undefined and a follower must stop.
  Result<Checked> Next(const PreparedEntry& prepared);
  // Prepares it too; what it returns is valid until the next call.
  Result<Checked> Next(std::string_view record);
  // Signatures of the newest head of each issuer since the last call; of one inside a submission by the next call.
  // Errors: kTampered.
  Status VerifyHeads();
  // Tells that `note` was verified under the issuer's key: where it is the newest head as replayed, VerifyHeads need not.
  void TakeVerified(const std::string& issuer, std::string_view note);
  // The head that the issuer signed, whose rest is on `entry`. Requires: the last that Next returned, and it ends a
  // submission.
  std::string IssuerHead(const Checked& entry) const;
  // What can be said only at the ledger's end. Errors: kTampered when it ends inside a submission, or holds
  // events under a leaked key that no later key has taken over.
  Status Finish();
  // True between submissions: the only places where a follower may store its state.
  bool between_submissions() const { return open_issuer_.empty(); }

  Position next_position() const { return next_; }
  TimeMicros last_admitted_at() const { return last_admitted_at_; }
  const LedgerId& ledger() const { return ledger_; }
  // The ledger's own tree, over all entries so far.
  const MerkleEdge& tree() const { return tree_; }
  // False once an entry was missing, unreadable or out of its place: the tree is then no longer the ledger's.
  bool tree_whole() const { return tree_whole_; }
  const Registry& registry() const { return registry_; }
  // The same, as it is now, for other threads to keep. Costs nothing where it has not changed since the last call.
  std::shared_ptr<const Registry> ShareRegistry();
  const IssuerState* FindIssuer(const std::string& issuer) const;
  const std::map<std::string, IssuerState>& issuers() const { return issuers_; }

  // Puts what changed since the last Save, so that a follower stores it atomically with its own data.
  // Requires: between_submissions() and VerifyHeads() since the last Next.
  void Save(StoreBatch& batch, Family family);
  // Errors: kNotFound when nothing was ever saved, kCorrupt, kTampered for another ledger's state.
  Status Load(const Store& store, Family family);
  // The next position and the ledger of what was saved in the iterator's family, as the iterator sees it. Errors: kNotFound,
  // kCorrupt.
  static Result<std::pair<Position, LedgerId>> SavedIn(StoreIterator& it);
  // What a follower stored of the registry, as it was behind the entry at `at`.
  static Result<Registry> RegistryAt(const Store& store, Family family, Position at);

 private:
  // Events of an issuer under a key that had leaked, until a head by a later key covers them.
  struct Doubt {
    Position from, until;
  };

  // A failed check: the status, or OK when it went to the sink.
  Status Report(FindingKind kind, Status status) { return ReportAt(next_, kind, std::move(status)); }
  Status ReportAt(Position position, FindingKind kind, Status status);
  // A failed check after which nothing of the entry can be used.
  Status Refuse(FindingKind kind, Status status);

  Status CheckEntry(const PreparedEntry& prepared);
  Status CheckPlace(std::uint64_t says);
  Status CheckSequence(IssuerState& issuer, const PreparedEntry& prepared);
  Status CheckHead(const std::string& name, IssuerState& issuer, const PreparedEntry& prepared);
  Status ApplyClear(const PreparedEntry& prepared);
  Status TakeKeys();
  Status VerifyHeadsOf(const std::string& name, IssuerState& issuer);
  Result<std::string> NoteOf(const IssuerState& issuer, const MerkleEdge& tree, std::string_view detached) const;

  LedgerId ledger_;
  Key256 registrar_;
  Position next_;
  TimeMicros last_admitted_at_;
  std::string open_issuer_;
  MerkleEdge tree_;
  Registry registry_;
  std::shared_ptr<const Registry> shared_registry_;  // null: to be made anew
  std::map<std::string, IssuerState> issuers_;

  FindingSink sink_;
  bool tree_whole_ = true;
  std::uint64_t unplaced_ = 0;          // records since the last certain place that may have taken one
  std::optional<std::uint64_t> jump_;   // the place after a gap, if it is one
  std::set<std::string> unknown_issuers_;
  std::map<std::string, Doubt> doubts_;  // by issuer

  PreparedEntry prepared_;  // of the record at hand
};

// The payload of part `part`, opened with its key and checked against its commitment.
// Errors: kErased, kTampered, kNotFound (no such key).
Result<std::string> OpenPart(const LedgerReplay::Checked& entry, int part, const KeyStore& keys);
Result<std::string> OpenPart(const PreparedEntry& entry, int part, const KeyStore& keys);

}  // namespace daicho
