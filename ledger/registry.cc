#include "ledger/registry.h"

#include <algorithm>

#include "events/codes.h"
#include "events/dates.h"
#include "events/event.h"
#include "events/kinds.h"
#include "events/tree_head.h"
#include "events/witness_policy.h"

namespace daicho {
namespace {

constexpr std::size_t kNameBytesMax = 40;
constexpr std::size_t kReasonBytesMax = 1'000;
constexpr std::uint32_t kYearsMax = 1'000;
constexpr int kConsentsMin = 2;
constexpr std::size_t kRunBytes = 16;

template <typename Message>
Result<Message> ParsePayload(const std::string& payload) {
  Message message;
  if (!message.ParseFromString(payload)) return Invalid("the payload cannot be decoded");
  return message;
}

bool IsRoleIssuer(std::uint32_t prefecture, std::string_view issuer) {
  const std::string prefix = RoleIssuer(static_cast<int>(prefecture), "");
  return issuer.starts_with(prefix) && IsAgencyName(issuer.substr(prefix.size()));
}

Status CheckSigningKey(const std::string& bytes) {
  if (bytes.size() != sizeof(Key256)) return Invalid("public_key: 32 bytes");
  ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(bytes));
  return VerifyingKey::From(key).status().With("public_key");
}

Status CheckRetention(const v1::PolicyRules& rules) {
  std::set<std::string> names;
  std::set<std::pair<int, int>> covered;  // class, notice kind
  std::map<int, std::uint32_t> years;     // of a class
  for (const v1::RetentionRule& rule : rules.retention_rules()) {
    const std::string field = "retention_rules[" + rule.rule() + "]";
    if (rule.rule().empty() || !names.insert(rule.rule()).second) return Invalid(field + ".rule: missing or twice");
    if (rule.retention() == v1::RETENTION_CLASS_UNSPECIFIED ||
        !v1::RetentionClass_IsValid(rule.retention())) {
      return Invalid(field + ".retention: unknown");
    }
    if (rule.permanent() ? rule.years() != 0 : rule.years() < 1 || rule.years() > kYearsMax) {
      return Invalid(field + ".years: 1 to 1000, or permanent");
    }
    const bool notice = rule.retention() == v1::RETENTION_CLASS_NOTICE;
    const bool clear = rule.retention() == v1::RETENTION_CLASS_ADMINISTRATION;
    if (clear && !rule.permanent()) return Invalid(field + ".permanent: what verifies the ledger stays as long as it");
    // Keys end in the order of their steps, so one of a class cannot outlive the next.
    if (!years.try_emplace(rule.retention(), rule.years()).second && years[rule.retention()] != rule.years()) {
      return Invalid(field + ".years: as long as the other rules of the class");
    }
    const bool starts = notice ? rule.start() == v1::RETENTION_START_SUPERSEDED ||
                                     rule.start() == v1::RETENTION_START_RECEIVED
                               : rule.start() == v1::RETENTION_START_ADMITTED;
    if (!rule.permanent() && !starts) return Invalid(field + ".start: not one of this class");
    if (notice == rule.notice_kinds().empty()) return Invalid(field + ".notice_kinds: of notices, and only of them");
    const auto covers = [&](int kind) { return covered.insert({rule.retention(), kind}).second; };
    if (!std::all_of(rule.notice_kinds().begin(), rule.notice_kinds().end(), covers) || (!notice && !covers(0))) {
      return Invalid(field + ": another rule covers the same");
    }
  }
  return {};
}

// The first and the last day of what holds for a time.
Status CheckPeriod(const std::string& from, const std::string& until) {
  if (!ParseDate(from)) return Invalid("valid_from: not a date");
  if (!until.empty() && (!ParseDate(until) || until < from)) return Invalid("valid_until: not a date on or after valid_from");
  return {};
}

bool HasField(const google::protobuf::Descriptor& message, const std::string& name) {
  return message.FindFieldByName(name) != nullptr;
}

// What the law leaves to no rule: 住民票コード goes to 機構 and to the resident alone (法30条の15: 「住民票コードを除く」),
// 個人番号 only where 番号法 lets it, neither to a municipality, which also needs a 協定 (法30条の13).
Status CheckProvisionRule(const v1::ProvisionRule& rule) {
  const bool municipal = rule.recipient() == v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY;
  const bool kikou_or_resident =
      rule.recipient() == v1::RECIPIENT_CLASS_KIKOU || rule.recipient() == v1::RECIPIENT_CLASS_RESIDENT;
  if (rule.recipient() == 0 || !v1::RecipientClass_IsValid(rule.recipient())) return Invalid("recipient: missing or unknown");
  for (const std::string& agency : rule.agencies()) {
    if (!IsAgencyName(agency)) return Invalid("agencies: 1 to 40 of a-z 0-9 -");
  }
  for (const auto& mode : rule.modes()) {
    if (mode == 0 || !v1::ProvisionMode_IsValid(mode)) return Invalid("modes: unknown");
  }
  for (const auto& method : rule.methods()) {
    if (method == 0 || !v1::DeliveryMethod_IsValid(method)) return Invalid("methods: unknown");
  }
  for (const std::string& key : rule.condition_keys()) {
    if (!HasField(*v1::SearchCondition::descriptor(), key)) return Invalid("condition_keys: no such key: " + key);
  }
  if (rule.condition_keys_min() > 4) return Invalid("condition_keys_min: at most 4");
  for (const std::string& field : rule.fields()) {
    const bool code = field == "resident_code";
    if (!code && !HasField(*v1::ResidentRecord::descriptor(), field)) return Invalid("fields: no such field: " + field);
    if (code && !kikou_or_resident) return Invalid("fields: 住民票コード is not released under this article");
    if (field == "individual_number" && (municipal || rule.number_basis().empty())) {
      return Invalid("fields: 個人番号 is not released without a basis in 番号法, nor to a municipality");
    }
  }
  if (rule.counts_only() && !rule.fields().empty()) return Invalid("fields: none where only counts are given");
  if (rule.elsewhere() && rule.fields().empty()) return Invalid("elsewhere: where no field is released nobody is asked about");
  if (municipal && (!rule.requires_agreement() || rule.ordinance().empty())) {
    return Invalid("requires_agreement: a municipality's agency needs 条例 and 協定");
  }
  return CheckPeriod(rule.valid_from(), rule.valid_until());
}

Status CheckProvision(const v1::PolicyRules& rules) {
  std::set<std::pair<std::string, int>> known;  // basis, recipient
  for (const v1::ProvisionRule& rule : rules.provision_rules()) {
    const std::string field = "provision_rules[" + rule.basis() + "]";
    if (rule.basis().empty() || !known.insert({rule.basis(), rule.recipient()}).second) {
      return Invalid(field + ".basis: missing, or twice for a recipient");
    }
    RETURN_IF_ERROR(CheckProvisionRule(rule).With(field));
  }
  return {};
}

}  // namespace

bool IsAgencyName(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

std::string RoleIssuer(int prefecture, std::string_view role) {
  std::string digits = std::to_string(prefecture * 1000 + 100000).substr(1);
  return digits + MunicipalityCodeCheckDigit(digits) + "." + std::string(role);
}

v1::Algorithms OwnAlgorithms() {
  v1::Algorithms out;
  out.set_tree("rfc6962-sha256");
  out.set_commitment("sha256");
  out.set_signature("ed25519");
  out.set_sealing("aes-256-gcm");
  out.set_intake("hpke-base-x25519-hkdf-sha256-aes-256-gcm");
  out.set_ratchet("hmac-sha256");
  return out;
}

Status Registry::Apply(v1::EventKind kind, const std::string& payload, Position at, TimeMicros admitted_at) {
  RETURN_IF_ERROR(ApplyChecked(kind, payload, at, admitted_at));
  std::string row;
  AppendU32(row, static_cast<std::uint32_t>(kind));
  // Of a schema and an erasure only what the registry keeps: the name, the run.
  if (kind == v1::EVENT_KIND_SCHEMA_REGISTERED) {
    ASSIGN_OR_RETURN(const auto schema, ParsePayload<v1::SchemaRegistered>(payload));
    row += schema.name();
  } else if (kind == v1::EVENT_KIND_ERASURE) {
    ASSIGN_OR_RETURN(const auto erasure, ParsePayload<v1::Erasure>(payload));
    ASSIGN_OR_RETURN(const auto plan, ParsePayload<v1::ErasurePlan>(erasure.plan()));
    row += plan.run();
  } else if (kind == v1::EVENT_KIND_ERASURE_COMPLETED) {
    ASSIGN_OR_RETURN(const auto done, ParsePayload<v1::ErasureCompleted>(payload));
    row += done.run();
  } else {
    row += payload;
  }
  unsaved_[at] = std::move(row);
  return {};
}

Status Registry::Restore(Position at, std::string_view row) {
  if (row.size() < 4) return Corrupt("stored registry: a row is too short");
  const auto kind = static_cast<v1::EventKind>(ReadU32(row));
  const std::string payload(row.substr(4));
  if (kind == v1::EVENT_KIND_SCHEMA_REGISTERED) {
    schemas_.insert(payload);
  } else if (kind == v1::EVENT_KIND_ERASURE) {
    if (payload.size() != kRunBytes) return Corrupt("stored registry: an erasure has the wrong size");
    TakeErasure(payload, at);
  } else if (kind == v1::EVENT_KIND_ERASURE_COMPLETED) {
    open_runs_.erase(payload);
  } else if (kind == v1::EVENT_KIND_POLICY_SET) {
    // Who consented was judged when it was admitted, by the operators of then.
    ASSIGN_OR_RETURN(const auto set, ParsePayload<v1::PolicySet>(payload));
    ASSIGN_OR_RETURN(auto rules, ParsePayload<v1::PolicyRules>(set.rules()));
    policy_ = PolicyInForce{at, std::move(rules)};
  } else if (kind == v1::EVENT_KIND_AGREEMENT_SET) {
    ASSIGN_OR_RETURN(const auto set, ParsePayload<v1::AgreementSet>(payload));
    ASSIGN_OR_RETURN(auto agreement, ParsePayload<v1::Agreement>(set.agreement()));
    const std::string number = agreement.agreement();
    agreements_[number] = AgreementInForce{at, std::move(agreement)};
  } else {
    if (Status status = ApplyChecked(kind, payload, at, TimeMicros()); !status.ok()) {
      return Corrupt("stored registry: " + status.message());
    }
  }
  return {};
}

Status Registry::ApplyChecked(v1::EventKind kind, const std::string& payload, Position at, TimeMicros admitted_at) {
  switch (kind) {
    case v1::EVENT_KIND_LEDGER_OPENED: return Open(payload, at);
    case v1::EVENT_KIND_ISSUER_REGISTERED: return RegisterIssuer(payload, at);
    case v1::EVENT_KIND_AGENCY_REGISTERED: return RegisterAgency(payload, at);
    case v1::EVENT_KIND_OPERATOR_REGISTERED: return RegisterOperator(payload, at);
    case v1::EVENT_KIND_ROLE_DEFINED: return DefineRole(payload);
    case v1::EVENT_KIND_KEY_CHANGED: return ChangeKey(payload, at);
    case v1::EVENT_KIND_POLICY_SET: return SetPolicy(payload, at);
    case v1::EVENT_KIND_AGREEMENT_SET: return SetAgreement(payload, at);
    case v1::EVENT_KIND_SCHEMA_REGISTERED: return RegisterSchema(payload);
    case v1::EVENT_KIND_ERASURE: return Erase(payload, at, admitted_at);
    case v1::EVENT_KIND_ERASURE_COMPLETED: return CompleteErasure(payload, at);
    default:
      // Deny by default: an administration this version does not carry out would be admitted and ignored.
      return Unsupported("this version does not carry out events of this kind");
  }
}

Status Registry::Open(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(auto opened, ParsePayload<v1::LedgerOpened>(payload));
  if (ledger_.prefecture() != 0) return Invalid("ledger: the ledger was opened already");
  if (opened.prefecture() < 1 || opened.prefecture() > 47) return Invalid("prefecture: 1 to 47");
  if (opened.ledger().size() != sizeof(LedgerId)) return Invalid("ledger: 16 bytes");
  if (opened.intake_public_key().size() != sizeof(Key256)) return Invalid("intake_public_key: 32 bytes");
  RETURN_IF_ERROR(CheckSigningKey(opened.registrar_public_key()).With("registrar"));
  RETURN_IF_ERROR(CheckSigningKey(opened.sequencer_public_key()).With("sequencer"));
  if (opened.algorithms().SerializeAsString() != OwnAlgorithms().SerializeAsString()) {
    return Unsupported("algorithms: not those of this version");
  }
  ledger_ = std::move(opened);
  // The ledger's first issuer registers itself by opening it.
  v1::IssuerRegistered issuer;
  issuer.set_issuer(RoleIssuer(static_cast<int>(ledger_.prefecture()), "registrar"));
  issuer.set_public_key(ledger_.registrar_public_key());
  issuer.set_role(v1::ISSUER_ROLE_REGISTRAR);
  // Its own event is the first that the key signs.
  keys_[{v1::KEY_USE_ISSUER, issuer.issuer()}].push_back(
      {issuer.public_key(), KeyIdOf(v1::KEY_USE_ISSUER, issuer.issuer(), issuer.public_key()), at, {}, {}});
  issuers_[issuer.issuer()] = std::move(issuer);
  Give(v1::KEY_USE_SEQUENCER, "", ledger_.sequencer_public_key(), at);
  Give(v1::KEY_USE_INTAKE, "", ledger_.intake_public_key(), at);
  return {};
}

Status Registry::RegisterIssuer(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(auto issuer, ParsePayload<v1::IssuerRegistered>(payload));
  const std::string name = issuer.issuer();
  if (issuer.role() == v1::ISSUER_ROLE_UNSPECIFIED || !v1::IssuerRole_IsValid(issuer.role())) {
    return Invalid("role: missing or unknown");
  }
  if (issuers_.contains(name)) return Invalid("issuer: registered already");
  if (issuer.role() == v1::ISSUER_ROLE_MUNICIPALITY && !IsValidMunicipalityCode(name)) {
    return Invalid("issuer: not a municipality's code");
  }
  if (issuer.role() != v1::ISSUER_ROLE_MUNICIPALITY && !IsRoleIssuer(ledger_.prefecture(), name)) {
    return Invalid("issuer: not the prefecture's code and a role's name");
  }
  RETURN_IF_ERROR(CheckSigningKey(issuer.public_key()));
  RETURN_IF_ERROR(CheckKeyId(v1::KEY_USE_ISSUER, name, issuer.public_key(), issuer.key_id()));
  Give(v1::KEY_USE_ISSUER, name, issuer.public_key(), at);
  issuers_[name] = std::move(issuer);
  return {};
}

Status Registry::RegisterAgency(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(auto agency, ParsePayload<v1::AgencyRegistered>(payload));
  const std::string name = agency.agency();
  if (!IsAgencyName(name)) return Invalid("agency: 1 to 40 of a-z 0-9 -");
  if (agency.recipient() == 0 || !v1::RecipientClass_IsValid(agency.recipient())) {
    return Invalid("recipient: missing or unknown");
  }
  if (!agency.municipality().empty() && !IsValidMunicipalityCode(agency.municipality())) {
    return Invalid("municipality: not a municipality's code");
  }
  RETURN_IF_ERROR(CheckSigningKey(agency.public_key()));
  RETURN_IF_ERROR(CheckKeyId(v1::KEY_USE_AGENCY_SIGNING, name, agency.public_key(), agency.key_id()));
  RETURN_IF_ERROR(CheckNotTaken(v1::KEY_USE_AGENCY_SIGNING, name, agency.public_key()));
  RETURN_IF_ERROR(CheckNotTaken(v1::KEY_USE_AGENCY_ENCRYPTION, name, agency.certificate()).With("certificate"));
  RETURN_IF_ERROR(CheckKey(v1::KEY_USE_AGENCY_ENCRYPTION, "p256", agency.certificate()).With("certificate"));
  Give(v1::KEY_USE_AGENCY_SIGNING, name, agency.public_key(), at);
  Give(v1::KEY_USE_AGENCY_ENCRYPTION, name, agency.certificate(), at);
  agencies_[name] = std::move(agency);
  return {};
}

Status Registry::RegisterOperator(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(auto registered, ParsePayload<v1::OperatorRegistered>(payload));
  const std::string name = registered.operator_id();
  if (name.empty()) return Invalid("operator_id: missing");
  RETURN_IF_ERROR(CheckSigningKey(registered.public_key()));
  RETURN_IF_ERROR(CheckKeyId(v1::KEY_USE_OPERATOR, name, registered.public_key(), registered.key_id()));
  RETURN_IF_ERROR(CheckNotTaken(v1::KEY_USE_OPERATOR, name, registered.public_key()));
  for (const std::string& role : registered.roles()) {
    if (!roles_.contains(role)) return Invalid("roles: no such role: " + role);
  }
  for (const std::string& terminal : registered.terminals()) {
    if (terminal.empty()) return Invalid("terminals: one without a name");
  }
  if (!registered.valid_until().empty() && !ParseDate(registered.valid_until())) {
    return Invalid("valid_until: not a date");
  }
  Give(v1::KEY_USE_OPERATOR, name, registered.public_key(), at);
  operators_[name] = std::move(registered);
  return {};
}

Status Registry::DefineRole(const std::string& payload) {
  ASSIGN_OR_RETURN(auto role, ParsePayload<v1::RoleDefined>(payload));
  const std::string name = role.role();
  if (name.empty()) return Invalid("role: missing");
  roles_[name] = std::move(role);
  return {};
}

Status Registry::ChangeKey(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(const auto change, ParsePayload<v1::KeyChanged>(payload));
  const std::string& holder = change.holder();
  if (change.use() == v1::KEY_USE_UNSPECIFIED || !v1::KeyUse_IsValid(change.use())) return Invalid("use: unknown");
  if (!KnowsHolder(change.use(), holder)) return Invalid("holder: not registered");
  if (change.reason().empty() || change.reason().size() > kReasonBytesMax) return Invalid("reason: missing or too long");
  const Result<KeySpan> current = CurrentKey(change.use(), holder);
  const bool revokes = change.action() == v1::KEY_ACTION_REVOKE;
  switch (change.action()) {
    case v1::KEY_ACTION_ADD:
      if (current.ok()) return Invalid("action: the holder has a key; rotate it");
      if (!change.old_key_id().empty()) return Invalid("old_key_id: not with a first key");
      break;
    case v1::KEY_ACTION_ROTATE:
    case v1::KEY_ACTION_REVOKE:
      if (!current.ok()) return Invalid("action: the holder has no key");
      if (change.old_key_id() != current->key_id) return Invalid("old_key_id: not of the key in force");
      break;
    default: return Invalid("action: unknown");
  }
  if (revokes) {
    const bool own = holder == RoleIssuer(static_cast<int>(ledger_.prefecture()), "registrar");
    if (change.use() == v1::KEY_USE_SEQUENCER || change.use() == v1::KEY_USE_INTAKE ||
        (change.use() == v1::KEY_USE_ISSUER && own)) {
      return Invalid("action: the ledger cannot be without this key; rotate it");
    }
    if (!change.new_public_key().empty() || !change.new_key_id().empty() || !change.algorithm().empty() ||
        !change.old_key_signature().empty()) {
      return Invalid("new_public_key: not with a revocation");
    }
    if (change.from_position() > at.value()) return Invalid("from_position: lies ahead");
  } else {
    if (change.from_position() != 0) return Invalid("from_position: only of a revocation");
    RETURN_IF_ERROR(CheckKey(change.use(), change.algorithm(), change.new_public_key()));
    if (change.new_key_id() != KeyIdOf(change.use(), holder, change.new_public_key())) {
      return Invalid("new_key_id: not of the new key");
    }
    if (current.ok() && current->key == change.new_public_key()) return Invalid("new_public_key: it is the old one");
    RETURN_IF_ERROR(CheckNotTaken(change.use(), holder, change.new_public_key()));
    if (const std::string& signature = change.old_key_signature(); !signature.empty()) {
      if (!current.ok() || !CheckSigningKey(current->key).ok()) return Invalid("old_key_signature: no key to check it");
      ASSIGN_OR_RETURN(const Key256 bytes, ToArray<32>(current->key));
      ASSIGN_OR_RETURN(const VerifyingKey old, VerifyingKey::From(bytes));
      if (!old.Verify(std::string(kKeyChangeTag) + change.new_public_key(), signature).ok()) {
        return Invalid("old_key_signature: not of the old key");
      }
    }
  }
  auto& keys = keys_[{change.use(), holder}];
  if (current.ok()) {
    keys.back().until = at.Next();
    if (revokes && change.from_position() != 0) keys.back().leaked_from = Position(change.from_position());
  }
  if (!revokes) Give(change.use(), holder, change.new_public_key(), at);
  return {};
}

Status Registry::SetPolicy(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(const auto set, ParsePayload<v1::PolicySet>(payload));
  ASSIGN_OR_RETURN(auto rules, ParsePayload<v1::PolicyRules>(set.rules()));
  const std::uint32_t expected = policy_ ? policy_->rules.version() + 1 : 1;
  if (rules.version() != expected) return Invalid("version: " + std::to_string(expected) + " comes next");
  RETURN_IF_ERROR(CheckRetention(rules));
  if (rules.standing_erasure() == rules.standing_order().empty()) {
    return Invalid("standing_order: with standing_erasure, and only with it");
  }
  if (!rules.witness_policy().empty()) {
    RETURN_IF_ERROR(WitnessPolicy::Parse(rules.witness_policy()).status().With("witness_policy"));
  }
  RETURN_IF_ERROR(CheckProvision(rules));
  std::set<std::string> duties;
  for (const v1::SearchRule& rule : rules.search_rules()) {
    if (rule.duty().empty() || !duties.insert(rule.duty()).second) return Invalid("search_rules.duty: each once");
    if (rule.items_min() < 1 || rule.items_min() > 4) return Invalid("search_rules.items_min: 1 to 4");
    if (rule.results_max() < 1 || rule.results_max() > kSearchResultsMax) {
      return Invalid("search_rules.results_max: 1 to " + std::to_string(kSearchResultsMax));
    }
  }
  if (policy_) {
    RETURN_IF_ERROR(CheckConsents(v1::EVENT_KIND_POLICY_SET, Sha256Of({set.rules()}), set.consents()));
  } else if (!set.consents().empty()) {
    return Invalid("consents: not to the rules that a ledger begins with");
  }
  policy_ = PolicyInForce{at, std::move(rules)};
  return {};
}

Status Registry::SetAgreement(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(const auto set, ParsePayload<v1::AgreementSet>(payload));
  ASSIGN_OR_RETURN(auto agreement, ParsePayload<v1::Agreement>(set.agreement()));
  const std::string number = agreement.agreement();
  if (number.empty() || number.size() > kNameBytesMax) return Invalid("agreement: missing or too long");
  if (!IsValidMunicipalityCode(agreement.municipality())) return Invalid("municipality: not a municipality's code");
  if (agreement.agencies().empty()) return Invalid("agencies: none");
  for (const std::string& name : agreement.agencies()) {
    const auto agency = agencies_.find(name);
    if (agency == agencies_.end() || agency->second.recipient() != v1::RECIPIENT_CLASS_MUNICIPAL_AGENCY ||
        agency->second.municipality() != agreement.municipality()) {
      return Invalid("agencies: " + name + " is no agency of the municipality");
    }
  }
  if (agreement.ordinance().empty()) return Invalid("ordinance: missing");
  if (agreement.duties().empty() || std::ranges::count(agreement.duties(), "") > 0) return Invalid("duties: none, or one without a code");
  if (!ParseDate(agreement.concluded_on())) return Invalid("concluded_on: not a date");
  RETURN_IF_ERROR(CheckPeriod(agreement.valid_from(), agreement.valid_until()));
  if (agreement.valid_from() < agreement.concluded_on()) return Invalid("valid_from: before concluded_on");
  if (agreement.document_digest().size() != sizeof(Digest)) return Invalid("document_digest: 32 bytes");
  RETURN_IF_ERROR(CheckConsents(v1::EVENT_KIND_AGREEMENT_SET, Sha256Of({set.agreement()}), set.consents()));
  agreements_[number] = AgreementInForce{at, std::move(agreement)};
  return {};
}

Status Registry::RegisterSchema(const std::string& payload) {
  // Kept in the ledger for whoever reads it decades later; here only that it is known.
  ASSIGN_OR_RETURN(const auto schema, ParsePayload<v1::SchemaRegistered>(payload));
  if (schema.name().empty()) return Invalid("name: missing");
  if (schema.sha256() != View(Sha256Of({schema.file_descriptor_set()}))) return Invalid("sha256: not the schema's");
  schemas_.insert(schema.name());
  return {};
}

Status Registry::Erase(const std::string& payload, Position at, TimeMicros admitted_at) {
  ASSIGN_OR_RETURN(const auto erasure, ParsePayload<v1::Erasure>(payload));
  ASSIGN_OR_RETURN(const auto plan, ParsePayload<v1::ErasurePlan>(erasure.plan()));
  if (plan.version() != 1) return Unsupported("plan.version: unknown");
  if (plan.ledger() != ledger_.ledger()) return Invalid("plan.ledger: of another ledger");
  if (plan.run().size() != kRunBytes) return Invalid("plan.run: 16 bytes");
  const auto begun = open_runs_.find(plan.run());
  if (plan.chunk() >= plan.chunk_count() || plan.chunk() != (begun == open_runs_.end() ? 0 : begun->second.chunks)) {
    return Invalid("plan.chunk: not the next of its run");
  }
  const std::optional<Date> judged_on = ParseDate(plan.judged_on());
  if (!judged_on) return Invalid("plan.judged_on: not a date");
  if (*judged_on > JapanDate(admitted_at)) return Invalid("plan.judged_on: has not come yet");
  if (plan.evaluated_at() >= at.value()) return Invalid("plan.evaluated_at: lies ahead");
  if (!policy_ || plan.policy_position() != policy_->position.value()) {
    return Invalid("plan.policy_position: not the rules in force");
  }
  if (plan.keys().empty()) return Invalid("plan.keys: none");
  for (const v1::ErasedKeys& keys : plan.keys()) {
    const auto& rules = policy_->rules.retention_rules();
    const auto rule = std::find_if(rules.begin(), rules.end(), [&](const auto& r) { return r.rule() == keys.rule(); });
    if (rule == rules.end() || rule->permanent()) return Invalid("plan.keys.rule: no rule by which anything ends");
    if (keys.subject().size() != 16) return Invalid("plan.keys.subject: 16 bytes");
    if (keys.first_step() > keys.last_step()) return Invalid("plan.keys.last_step: before first_step");
  }
  if (erasure.standing_order().empty()) {
    RETURN_IF_ERROR(CheckConsents(v1::EVENT_KIND_ERASURE, Sha256Of({erasure.plan()}), erasure.consents()));
  } else if (!policy_->rules.standing_erasure() || erasure.standing_order() != policy_->rules.standing_order() ||
             !erasure.consents().empty()) {
    return Invalid("standing_order: not the one in force");
  }
  TakeErasure(plan.run(), at);
  return {};
}

void Registry::TakeErasure(const std::string& run, Position at) {
  ErasureRun& open = open_runs_[run];
  ++open.chunks;
  open.last = at;
  erasures_.push_back(at);
}

Status Registry::CompleteErasure(const std::string& payload, Position at) {
  ASSIGN_OR_RETURN(const auto done, ParsePayload<v1::ErasureCompleted>(payload));
  if (done.run().size() != kRunBytes) return Invalid("run: 16 bytes");
  const bool known = std::find(erasures_.begin(), erasures_.end(), Position(done.erased_through())) != erasures_.end();
  if (!known || done.erased_through() >= at.value()) return Invalid("erased_through: no erasure is there");
  if (done.epoch_begun() <= done.epoch_destroyed()) return Invalid("epoch_begun: not after epoch_destroyed");
  open_runs_.erase(done.run());
  return {};
}

Result<std::string> Registry::CheckConsent(v1::EventKind kind, const Digest& digest,
                                           const v1::Consent& consent) const {
  ASSIGN_OR_RETURN(const auto statement, ParsePayload<v1::ConsentStatement>(consent.statement()));
  if (statement.version() != 1) return Unsupported("consents.version: unknown");
  if (statement.ledger() != ledger_.ledger() || statement.kind() != kind || statement.digest() != View(digest)) {
    return Invalid("consents.digest: to something else");
  }
  const auto found = FindOperator(statement.operator_id());
  if (!found.ok()) return Invalid("consents.operator_id: not registered");
  if (!found->permissions.contains(v1::PERMISSION_CONSENT)) return Invalid("consents.operator_id: may not consent");
  // No clock here: the day is the one that the operator signed.
  if (!found->valid_until.empty() &&
      FormatDate(JapanDate(TimeMicros(statement.signed_at()))) > found->valid_until) {
    return Invalid("consents.operator_id: valid no longer");
  }
  if (consent.key_id() != KeyIdOf(v1::KEY_USE_OPERATOR, statement.operator_id(), std::string(View(found->key.bytes()))) ||
      !found->key.Verify(std::string(kConsentTag) + consent.statement(), consent.signature()).ok()) {
    return Invalid("consents.signature: not of the operator's key");
  }
  return statement.operator_id();
}

std::string Registry::PersonOf(const std::string& operator_id) const {
  const auto found = operators_.find(operator_id);
  if (found == operators_.end() || found->second.verification_id().empty()) return operator_id;
  return found->second.verification_id();
}

Status Registry::CheckConsents(v1::EventKind kind, const Digest& digest,
                               const google::protobuf::RepeatedPtrField<v1::Consent>& consents) const {
  std::set<std::string> operators, persons;
  for (const v1::Consent& consent : consents) {
    ASSIGN_OR_RETURN(std::string id, CheckConsent(kind, digest, consent));
    persons.insert(PersonOf(id));
    operators.insert(std::move(id));
  }
  if (static_cast<int>(std::min(operators.size(), persons.size())) < kConsentsMin) {
    return Invalid("consents: of two operators, two persons");
  }
  return {};
}

Status Registry::CheckConfirmation(v1::EventKind kind, const Digest& digest, const v1::Consent& consent,
                                   const std::string& decided_by) const {
  ASSIGN_OR_RETURN(const std::string id, CheckConsent(kind, digest, consent));
  if (id == decided_by || PersonOf(id) == PersonOf(decided_by)) {
    return Invalid("confirmed_by: of another operator, another person than who decided");
  }
  return {};
}

bool Registry::KnowsHolder(v1::KeyUse use, const std::string& holder) const {
  switch (use) {
    case v1::KEY_USE_ISSUER: return issuers_.contains(holder);
    case v1::KEY_USE_OPERATOR: return operators_.contains(holder);
    case v1::KEY_USE_AGENCY_SIGNING:
    case v1::KEY_USE_AGENCY_ENCRYPTION: return agencies_.contains(holder);
    case v1::KEY_USE_WITNESS: return IsNoteKeyName(holder);
    case v1::KEY_USE_SEQUENCER:
    case v1::KEY_USE_INTAKE: return holder.empty();
    default: return false;
  }
}

Status Registry::CheckKey(v1::KeyUse use, const std::string& algorithm, const std::string& key) const {
  if (use == v1::KEY_USE_AGENCY_ENCRYPTION) {
    if (algorithm != "p256") return Unsupported("algorithm: not p256");
    return CheckCertificate(key);
  }
  if (use == v1::KEY_USE_INTAKE) {
    if (algorithm != "x25519") return Unsupported("algorithm: not x25519");
    return key.size() == sizeof(Key256) ? Status() : Invalid("new_public_key: 32 bytes");
  }
  if (algorithm != "ed25519") return Unsupported("algorithm: not ed25519");
  return CheckSigningKey(key);
}

Status Registry::CheckNotTaken(v1::KeyUse use, const std::string& holder, const std::string& key) const {
  for (const KeySpan& had : Keys(use, holder)) {
    if (had.until && had.key == key) return Invalid("public_key: the holder had it before");
  }
  return {};
}

std::string Registry::KeyIdOf(v1::KeyUse use, const std::string& holder, const std::string& key) const {
  const int prefecture = static_cast<int>(ledger_.prefecture());
  if (key.size() != sizeof(Key256)) return std::string(View(Sha256Of({key})).substr(0, 4));
  const Key256 bytes = ToArray<32>(key).value();
  switch (use) {
    case v1::KEY_USE_ISSUER: return NoteKeyId(IssuerOrigin(prefecture, holder), bytes);
    case v1::KEY_USE_SEQUENCER:
    case v1::KEY_USE_INTAKE: return NoteKeyId(LedgerOrigin(prefecture), bytes);
    case v1::KEY_USE_WITNESS: return NoteKeyId(holder, bytes, NoteAlgorithm::kCosignatureV1);
    default: return NoteKeyId(holder, bytes);
  }
}

Status Registry::CheckKeyId(v1::KeyUse use, const std::string& holder, const std::string& key,
                            const std::string& id) const {
  return id.empty() || id == KeyIdOf(use, holder, key) ? Status() : Invalid("key_id: not of the key");
}

// The holder's next key, from the event after `at` on. The same key again changes nothing.
void Registry::Give(v1::KeyUse use, const std::string& holder, const std::string& key, Position at) {
  auto& keys = keys_[{use, holder}];
  if (!keys.empty() && !keys.back().until) {
    if (keys.back().key == key) return;
    keys.back().until = at.Next();
  }
  keys.push_back({key, KeyIdOf(use, holder, key), at.Next(), {}, {}});
}

std::span<const KeySpan> Registry::Keys(v1::KeyUse use, const std::string& holder) const {
  const auto found = keys_.find({use, holder});
  if (found == keys_.end()) return {};
  return found->second;
}

Result<KeySpan> Registry::KeyAt(v1::KeyUse use, const std::string& holder, Position at) const {
  for (const KeySpan& span : Keys(use, holder)) {
    if (span.from <= at && (!span.until || at < *span.until)) return span;
  }
  return Denied("no key of " + (holder.empty() ? "the ledger" : holder) + " is in force there");
}

Result<KeySpan> Registry::CurrentKey(v1::KeyUse use, const std::string& holder) const {
  const auto keys = Keys(use, holder);
  if (keys.empty() || keys.back().until) {
    return Denied("no key of " + (holder.empty() ? "the ledger" : holder) + " is in force");
  }
  return keys.back();
}

std::vector<std::string> Registry::Holders(v1::KeyUse use) const {
  std::vector<std::string> out;
  for (const auto& [name, spans] : keys_) {
    if (name.first == use) out.push_back(name.second);
  }
  return out;
}

Result<OperatorState> Registry::FindOperator(const std::string& id) const {
  const auto found = operators_.find(id);
  if (found == operators_.end() || found->second.roles().empty()) {
    return Denied("operator " + id + " is not registered");
  }
  OperatorState out;
  ASSIGN_OR_RETURN(const KeySpan current, CurrentKey(v1::KEY_USE_OPERATOR, id));
  ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(current.key));
  ASSIGN_OR_RETURN(out.key, VerifyingKey::From(key));
  out.verification_id = found->second.verification_id();
  out.terminals.insert(found->second.terminals().begin(), found->second.terminals().end());
  out.valid_until = found->second.valid_until();
  for (const std::string& name : found->second.roles()) {
    const v1::RoleDefined& role = roles_.at(name);
    out.duties.insert(role.duties().begin(), role.duties().end());
    out.permissions.insert(role.permissions().begin(), role.permissions().end());
  }
  return out;
}

}  // namespace daicho
