// Registry: what the administration's events have set, as of a position: who may issue, whose keys hold,
// which rules are in force. Everyone who judges (sequencer, replay, auditor) asks the same registry.
//
// A value: copies are independent. Reading is thread-safe, Apply is not.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "events/administration.pb.h"
#include "events/crypto.h"
#include "events/envelope.pb.h"
#include "events/erasure.pb.h"
#include "events/ids.h"

namespace daicho {

namespace v1 = events::v1;

// A key of a holder, and where it holds: what is signed by it is good at the positions [from, until).
struct KeySpan {
  std::string key;                       // 32 bytes; of an agency's encryption its certificate, DER
  std::string key_id;                    // 4 bytes
  Position from;                         // behind the event that gave it
  std::optional<Position> until;         // behind the event that took it
  std::optional<Position> leaked_from;   // revoked as leaked: nothing from here on is to be believed for its sake
};

struct OperatorState {
  VerifyingKey key;
  std::string verification_id;       // 照合ID of the person
  std::set<std::string> duties;      // of all its roles
  std::set<int> permissions;         // v1::Permission
  std::set<std::string> terminals;   // 操作端末ID at which it may act; none: any
  std::string valid_until;           // last day; empty: until replaced
};

struct PolicyInForce {
  Position position;  // of its PolicySet
  v1::PolicyRules rules;
};

struct AgreementInForce {
  Position position;  // of its AgreementSet
  v1::Agreement agreement;
};

// No rule may let one search show more persons.
inline constexpr std::uint32_t kSearchResultsMax = 1'000;

struct ErasureRun {
  std::uint32_t chunks = 0;  // ordered so far
  Position last;             // of these
};

// What the signed bytes of a consent and of a key change begin with.
inline constexpr std::string_view kConsentTag = "daicho/consent/1\n";
inline constexpr std::string_view kKeyChangeTag = "daicho/key/1\n";

class Registry {
 public:
  // `payload`: the clear part of an event of that kind, `at`: its position, `admitted_at`: its time. Errors: kInvalid with the field
  // and the rule it breaks, kUnsupported for a kind or an algorithm that this version does not carry out;
  // nothing is changed then.
  Status Apply(v1::EventKind kind, const std::string& payload, Position at, TimeMicros admitted_at);

  const v1::LedgerOpened& ledger() const { return ledger_; }
  const std::map<std::string, v1::IssuerRegistered>& issuers() const { return issuers_; }
  const std::map<std::string, v1::AgencyRegistered>& agencies() const { return agencies_; }
  const std::map<std::string, v1::OperatorRegistered>& operators() const { return operators_; }
  // Errors: kDenied for one unknown, without roles or without a key.
  Result<OperatorState> FindOperator(const std::string& id) const;
  // By name of the message.
  bool KnowsSchema(std::string_view message) const { return schemas_.contains(message); }

  // Every key that `holder` ever had for that use, oldest first. The ledger itself is the holder "".
  std::span<const KeySpan> Keys(v1::KeyUse use, const std::string& holder) const;
  // The one that holds for an event at `at`. Errors: kDenied when there is none.
  Result<KeySpan> KeyAt(v1::KeyUse use, const std::string& holder, Position at) const;
  // The one that holds for the next event.
  Result<KeySpan> CurrentKey(v1::KeyUse use, const std::string& holder) const;
  // Holders that ever had a key of that use.
  std::vector<std::string> Holders(v1::KeyUse use) const;

  // Whether `consent` is one, by an operator of another person than `decided_by`, to what has that digest. Errors:
  // kInvalid with the field and the rule, kUnsupported.
  Status CheckConfirmation(v1::EventKind kind, const Digest& digest, const v1::Consent& consent,
                           const std::string& decided_by) const;

  // 4 bytes, by which signatures and key changes name the key.
  std::string KeyIdOf(v1::KeyUse use, const std::string& holder, const std::string& key) const;

  // Null before the first.
  const PolicyInForce* policy() const { return policy_ ? &*policy_ : nullptr; }
  // By number.
  const std::map<std::string, AgreementInForce>& agreements() const { return agreements_; }
  // Positions of all erasures, ascending.
  const std::vector<Position>& erasures() const { return erasures_; }
  // Runs of erasures, by name, that were ordered and of which nobody has said yet that they are completed.
  const std::map<std::string, ErasureRun>& open_runs() const { return open_runs_; }

  // What Apply learnt, by position, for whoever stores the registry; cleared by the caller. Restore takes
  // such rows back, in ascending order of positions.
  std::map<Position, std::string>& unsaved() { return unsaved_; }
  Status Restore(Position at, std::string_view row);

 private:
  using KeyName = std::pair<v1::KeyUse, std::string>;

  Status ApplyChecked(v1::EventKind kind, const std::string& payload, Position at, TimeMicros admitted_at);
  Status Open(const std::string& payload, Position at);
  Status RegisterIssuer(const std::string& payload, Position at);
  Status RegisterAgency(const std::string& payload, Position at);
  Status RegisterOperator(const std::string& payload, Position at);
  Status DefineRole(const std::string& payload);
  Status ChangeKey(const std::string& payload, Position at);
  Status SetPolicy(const std::string& payload, Position at);
  Status SetAgreement(const std::string& payload, Position at);
  Status RegisterSchema(const std::string& payload);
  Status Erase(const std::string& payload, Position at, TimeMicros admitted_at);
  void TakeErasure(const std::string& run, Position at);
  Status CompleteErasure(const std::string& payload, Position at);

  // The operator who may consent and did, to what has that digest.
  Result<std::string> CheckConsent(v1::EventKind kind, const Digest& digest, const v1::Consent& consent) const;
  // 照合ID of the operator's person, or the operator alone.
  std::string PersonOf(const std::string& operator_id) const;
  // Two operators, of two persons, who may consent and did, to what has that digest.
  Status CheckConsents(v1::EventKind kind, const Digest& digest,
                       const google::protobuf::RepeatedPtrField<v1::Consent>& consents) const;
  bool KnowsHolder(v1::KeyUse use, const std::string& holder) const;
  // Errors: kInvalid for bytes that are no key of that use.
  Status CheckKey(v1::KeyUse use, const std::string& algorithm, const std::string& key) const;
  // A key that was replaced or revoked never comes back.
  Status CheckNotTaken(v1::KeyUse use, const std::string& holder, const std::string& key) const;
  // Errors: kInvalid when an event names another id than its key's. It may leave it out.
  Status CheckKeyId(v1::KeyUse use, const std::string& holder, const std::string& key, const std::string& id) const;
  void Give(v1::KeyUse use, const std::string& holder, const std::string& key, Position at);

  v1::LedgerOpened ledger_;
  std::map<std::string, v1::IssuerRegistered> issuers_;
  std::map<std::string, v1::AgencyRegistered> agencies_;
  std::map<std::string, v1::OperatorRegistered> operators_;
  std::map<std::string, v1::RoleDefined> roles_;
  std::set<std::string, std::less<>> schemas_;
  std::map<KeyName, std::vector<KeySpan>> keys_;
  std::optional<PolicyInForce> policy_;
  std::map<std::string, AgreementInForce> agreements_;
  std::vector<Position> erasures_;
  std::map<std::string, ErasureRun> open_runs_;
  std::map<Position, std::string> unsaved_;
};

// Those of this version; a ledger that names others is refused.
v1::Algorithms OwnAlgorithms();

// 1 to 40 of a-z 0-9 -: an agency's name becomes part of its topic's, as a role's does of its issuer's.
bool IsAgencyName(std::string_view name);

// Issuer under which the prefecture's role submits: "100005.registrar".
std::string RoleIssuer(int prefecture, std::string_view role);

}  // namespace daicho
