// LedgerReplay: reads the ledger's entries in order and believes none of them. Every follower (sequencer,
// projector, auditor) passes each record through it before using it.
//
// Checked per entry: it decodes, belongs to this ledger, has the next position, is not older than the one
// before, its parts are those that it was appended with (digests, commitments), its issuer is registered and
// may issue its kind, its sequence number is the issuer's next, the entries of a submission are adjacent.
// Checked per submission: the signed head on its last entry has the size and root of the issuer's tree as
// replayed. The signature of each issuer's newest head is checked by VerifyHeads, by the key that held there;
// since a head covers all before it, that checks every event.
//
// Belongs to one thread at a time; PrepareEntry may run on any.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "events/event.h"
#include "events/kinds.h"
#include "events/merkle.h"
#include "events/tree_head.h"
#include "ledger/key_store.h"
#include "ledger/registry.h"
#include "ledger/store.h"

namespace daicho {

struct IssuerState {
  v1::IssuerRole role = v1::ISSUER_ROLE_UNSPECIFIED;
  std::optional<VerifyingKey> key;  // none: revoked
  MerkleEdge tree;
};

// All that can be said of a record without those before it. Refers into the record; its storage may serve
// the next one.
struct PreparedEntry {
  Status status;  // kCorrupt, kUnsupported, kTampered: nothing of it may be used
  EntryView entry;
  v1::EntryLeaf leaf;
  v1::EventHeader header;
  const KindInfo* kind = nullptr;
  Digest leaf_hash{};    // in the ledger's tree
  Digest header_hash{};  // in the issuer's tree
  bool erased = false;   // a sealed part is empty
};
void PrepareEntry(std::string_view record, PreparedEntry& out);

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

  // Errors: kTampered, kCorrupt, kUnsupported, with the position in the message; the state is then
  // undefined and the follower must stop.
  Result<Checked> Next(const PreparedEntry& prepared);
  // Prepares it too; what it returns is valid until the next call.
  Result<Checked> Next(std::string_view record);
  // Signatures of the newest head of each issuer since the last call. Errors: kTampered.
  Status VerifyHeads();
  // True between submissions: the only places where a follower may store its state.
  bool between_submissions() const { return open_issuer_.empty(); }

  Position next_position() const { return next_; }
  TimeMicros last_admitted_at() const { return last_admitted_at_; }
  const LedgerId& ledger() const { return ledger_; }
  // The ledger's own tree, over all entries so far.
  const MerkleEdge& tree() const { return tree_; }
  const Registry& registry() const { return registry_; }
  const IssuerState* FindIssuer(const std::string& issuer) const;
  const std::map<std::string, IssuerState>& issuers() const { return issuers_; }

  // Puts what changed since the last Save, so that a follower stores it atomically with its own data.
  // Requires: between_submissions() and VerifyHeads() since the last Next.
  void Save(StoreBatch& batch, Family family);
  // Errors: kNotFound when nothing was ever saved, kCorrupt, kTampered for another ledger's state.
  Status Load(const Store& store, Family family);

 private:
  Status CheckEntry(const PreparedEntry& prepared);
  Status CheckHead(IssuerState& issuer, const PreparedEntry& prepared);
  Status ApplyClear(const PreparedEntry& prepared);
  Status TakeKeys();
  Status VerifyHead(const std::string& issuer, const std::string& note) const;

  LedgerId ledger_;
  Key256 registrar_;
  Position next_;
  TimeMicros last_admitted_at_;
  std::string open_issuer_;
  MerkleEdge tree_;
  Registry registry_;
  std::map<std::string, IssuerState> issuers_;
  std::map<std::string, std::string> unverified_;  // issuer → its newest head
  std::set<std::string> unsaved_issuers_;

  PreparedEntry prepared_;  // of the record at hand
};

// The payload of part `part`, opened with its key and checked against its commitment.
// Errors: kErased, kTampered, kNotFound (no such key).
Result<std::string> OpenPart(const LedgerReplay::Checked& entry, int part, const KeyStore& keys);
Result<std::string> OpenPart(const PreparedEntry& entry, int part, const KeyStore& keys);

}  // namespace daicho
