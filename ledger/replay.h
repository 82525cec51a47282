// LedgerReplay: reads the ledger's entries in order and believes none of them. Every follower (sequencer,
// projector, auditor) passes each record through it before using it.
//
// Checked per entry: it decodes, belongs to this ledger, has the next position, is not older than the one
// before, its issuer is registered and may issue its kind, its sequence number is the issuer's next, the
// entries of a submission are adjacent. Checked per submission: the signed head on its last entry
// has the size and root of the issuer's tree as replayed. The signature of each issuer's newest head
// is checked by VerifyHeads; since a head covers all before it, that checks every event.
//
// Belongs to one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "events/administration.pb.h"
#include "events/event.h"
#include "events/kinds.h"
#include "events/merkle.h"
#include "events/tree_head.h"
#include "ledger/key_store.h"
#include "ledger/store.h"

namespace daicho {

struct IssuerState {
  v1::IssuerRole role = v1::ISSUER_ROLE_UNSPECIFIED;
  VerifyingKey key;
  MerkleEdge tree;
};

struct OperatorState {
  VerifyingKey key;
  std::set<std::string> duties;      // of all its roles
  std::set<int> permissions;         // v1::Permission
};

// What the administration's events have set, as of a position.
class Registry {
 public:
  // `payload`: the clear part of an event of that kind. Errors: kInvalid when it breaks a rule, kUnsupported for a
  // kind that this version does not carry out; nothing is changed then.
  Status Apply(v1::EventKind kind, const std::string& payload);
  const v1::LedgerOpened& ledger() const { return ledger_; }
  const std::map<std::string, v1::IssuerRegistered>& issuers() const { return issuers_; }
  // Errors: kDenied for one unknown or without roles.
  Result<OperatorState> FindOperator(const std::string& id) const;

  // What each Apply stored, by a name that a later event of the same subject replaces. Cleared by the caller.
  std::map<std::string, std::string>& unsaved() { return unsaved_; }

 private:
  std::map<std::string, std::string> unsaved_;
  v1::LedgerOpened ledger_;
  std::map<std::string, v1::IssuerRegistered> issuers_;
  std::map<std::string, v1::OperatorRegistered> operators_;
  std::map<std::string, v1::RoleDefined> roles_;
};

// Issuer under which the prefecture's role submits: "100005.registrar".
std::string RoleIssuer(int prefecture, std::string_view role);

class LedgerReplay {
 public:
  // An entry that passed. Refers into the record and the replay: valid until the next call of Next.
  struct Checked {
    Position position;
    const v1::EntryLeaf& leaf;
    const v1::EventHeader& header;
    const EntryView& entry;
    bool ends_submission = false;
  };

  // `registrar`: the public key this ledger is known by; entry 0 must carry it.
  LedgerReplay(LedgerId ledger, Key256 registrar) : ledger_(ledger), registrar_(registrar) {}

  // Errors: kTampered, kCorrupt, kUnsupported, with the position in the message; the state is then
  // undefined and the follower must stop.
  Result<Checked> Next(std::string_view record);
  // Signatures of the newest head of each issuer since the last call. Errors: kTampered.
  Status VerifyHeads();
  // True between submissions: the only places where a follower may store its state.
  bool between_submissions() const { return open_issuer_.empty(); }

  Position next_position() const { return next_; }
  TimeMicros last_admitted_at() const { return last_admitted_at_; }
  const LedgerId& ledger() const { return ledger_; }
  const Registry& registry() const { return registry_; }
  const IssuerState* FindIssuer(const std::string& issuer) const;
  const std::map<std::string, IssuerState>& issuers() const { return issuers_; }

  // Puts what changed since the last Save, so that a follower stores it atomically with its own data.
  // Requires: between_submissions() and VerifyHeads() since the last Next.
  void Save(StoreBatch& batch, Family family);
  // Errors: kNotFound when nothing was ever saved, kCorrupt, kTampered for another ledger's state.
  Status Load(const Store& store, Family family);

 private:
  Status CheckEntry(std::string_view record);
  Status CheckHead(IssuerState& issuer, const std::string& note);
  Status ApplyClear();
  Status AddIssuers();

  LedgerId ledger_;
  Key256 registrar_;
  Position next_;
  TimeMicros last_admitted_at_;
  std::string open_issuer_;
  Registry registry_;
  std::map<std::string, IssuerState> issuers_;
  std::map<std::string, std::string> unverified_;  // issuer → its newest head
  std::set<std::string> unsaved_issuers_;

  // The entry at hand; members so that their storage serves the next one.
  EntryView entry_;
  v1::EntryLeaf leaf_;
  v1::EventHeader header_;
};

// The payload of part `part`, opened with its key and checked against its commitment.
// Errors: kErased, kTampered, kNotFound (no such key).
Result<std::string> OpenPart(const LedgerReplay::Checked& entry, int part, const KeyStore& keys);

}  // namespace daicho
