#include "ledger/replay.h"

#include "events/codes.h"

namespace daicho {
namespace {

constexpr std::string_view kRegistryPrefix = "registry/";
constexpr std::string_view kIssuerPrefix = "issuer/";
constexpr std::string_view kReplayKey = "replay";
constexpr std::size_t kRoleNameBytesMax = 40;

Status At(Position position, const Status& status) {
  return status.With("position " + std::to_string(position.value()));
}

template <typename Message>
Result<Message> ParsePayload(const std::string& payload) {
  Message message;
  if (!message.ParseFromString(payload)) return Invalid("the payload cannot be decoded");
  return message;
}

// The role's name becomes part of a topic's.
bool IsRoleIssuer(std::uint32_t prefecture, std::string_view issuer) {
  const std::string prefix = RoleIssuer(static_cast<int>(prefecture), "");
  if (!issuer.starts_with(prefix)) return false;
  const std::string_view role = issuer.substr(prefix.size());
  return !role.empty() && role.size() <= kRoleNameBytesMax &&
         role.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

}  // namespace

std::string RoleIssuer(int prefecture, std::string_view role) {
  std::string digits = std::to_string(prefecture * 1000 + 100000).substr(1);
  return digits + MunicipalityCodeCheckDigit(digits) + "." + std::string(role);
}

Status Registry::Apply(v1::EventKind kind, const std::string& payload) {
  std::string name;
  switch (kind) {
    case v1::EVENT_KIND_LEDGER_OPENED: {
      ASSIGN_OR_RETURN(auto opened, ParsePayload<v1::LedgerOpened>(payload));
      if (ledger_.prefecture() != 0) return Invalid("ledger: the ledger was opened already");
      if (opened.prefecture() < 1 || opened.prefecture() > 47) return Invalid("prefecture: 1 to 47");
      if (opened.ledger().size() != 16) return Invalid("ledger: 16 bytes");
      ASSIGN_OR_RETURN(const Key256 registrar, ToArray<32>(opened.registrar_public_key()));
      RETURN_IF_ERROR(VerifyingKey::From(registrar).status());
      // The ledger's first issuer registers itself by opening it.
      v1::IssuerRegistered issuer;
      issuer.set_issuer(RoleIssuer(static_cast<int>(opened.prefecture()), "registrar"));
      issuer.set_public_key(opened.registrar_public_key());
      issuer.set_role(v1::ISSUER_ROLE_REGISTRAR);
      issuers_[issuer.issuer()] = std::move(issuer);
      ledger_ = std::move(opened);
      break;
    }
    case v1::EVENT_KIND_ISSUER_REGISTERED: {
      ASSIGN_OR_RETURN(auto issuer, ParsePayload<v1::IssuerRegistered>(payload));
      name = issuer.issuer();
      if (issuer.role() == v1::ISSUER_ROLE_UNSPECIFIED) return Invalid("role: missing");
      if (issuers_.contains(name)) return Invalid("issuer: registered already");
      if (issuer.role() == v1::ISSUER_ROLE_MUNICIPALITY && !IsValidMunicipalityCode(name)) {
        return Invalid("issuer: not a municipality's code");
      }
      if (issuer.role() != v1::ISSUER_ROLE_MUNICIPALITY && !IsRoleIssuer(ledger_.prefecture(), name)) {
        return Invalid("issuer: not the prefecture's code and a role's name");
      }
      ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(issuer.public_key()));
      RETURN_IF_ERROR(VerifyingKey::From(key).status());
      issuers_[name] = std::move(issuer);
      break;
    }
    case v1::EVENT_KIND_OPERATOR_REGISTERED: {
      ASSIGN_OR_RETURN(auto registered, ParsePayload<v1::OperatorRegistered>(payload));
      name = registered.operator_id();
      if (name.empty()) return Invalid("operator_id: missing");
      ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(registered.public_key()));
      RETURN_IF_ERROR(VerifyingKey::From(key).status());
      for (const std::string& role : registered.roles()) {
        if (!roles_.contains(role)) return Invalid("roles: no such role: " + role);
      }
      operators_[name] = std::move(registered);
      break;
    }
    case v1::EVENT_KIND_ROLE_DEFINED: {
      ASSIGN_OR_RETURN(auto role, ParsePayload<v1::RoleDefined>(payload));
      name = role.role();
      if (name.empty()) return Invalid("role: missing");
      roles_[name] = std::move(role);
      break;
    }
    case v1::EVENT_KIND_SCHEMA_REGISTERED: {
      // Kept in the ledger for whoever reads it decades later; nothing here acts on it.
      ASSIGN_OR_RETURN(const auto schema, ParsePayload<v1::SchemaRegistered>(payload));
      if (schema.sha256() != View(Sha256Of({schema.file_descriptor_set()}))) {
        return Invalid("sha256: not the schema's");
      }
      return {};
    }
    default:
      // Deny by default: an administration this version does not carry out would be admitted and ignored.
      return Unsupported("this version does not carry out events of this kind");
  }
  unsaved_[std::to_string(kind) + "/" + name] = payload;
  return {};
}

Result<OperatorState> Registry::FindOperator(const std::string& id) const {
  const auto found = operators_.find(id);
  if (found == operators_.end() || found->second.roles().empty()) {
    return Denied("operator " + id + " is not registered");
  }
  OperatorState out;
  ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(found->second.public_key()));
  ASSIGN_OR_RETURN(out.key, VerifyingKey::From(key));
  for (const std::string& name : found->second.roles()) {
    const v1::RoleDefined& role = roles_.at(name);
    out.duties.insert(role.duties().begin(), role.duties().end());
    out.permissions.insert(role.permissions().begin(), role.permissions().end());
  }
  return out;
}

const IssuerState* LedgerReplay::FindIssuer(const std::string& issuer) const {
  const auto found = issuers_.find(issuer);
  return found == issuers_.end() ? nullptr : &found->second;
}

// Gives every issuer that the registry has learnt of its tree.
Status LedgerReplay::AddIssuers() {
  for (const auto& [name, registered] : registry_.issuers()) {
    if (issuers_.contains(name)) continue;
    IssuerState state;
    state.role = registered.role();
    ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(registered.public_key()));
    ASSIGN_OR_RETURN(state.key, VerifyingKey::From(key));
    issuers_.emplace(name, std::move(state));
  }
  return {};
}

Status LedgerReplay::ApplyClear() {
  ASSIGN_OR_RETURN(const std::string payload, OpenClearPart(entry_.parts[0], header_.commitments(0)));
  if (header_.kind() == v1::EVENT_KIND_LEDGER_OPENED) {
    ASSIGN_OR_RETURN(const auto opened, ParsePayload<v1::LedgerOpened>(payload));
    if (opened.ledger() != View(ledger_) || opened.registrar_public_key() != View(registrar_)) {
      return Tampered("this is another ledger than the one expected");
    }
  }
  if (Status status = registry_.Apply(header_.kind(), payload); !status.ok()) {
    return Tampered("an admitted event breaks a rule: " + status.message());
  }
  return AddIssuers();
}

Result<LedgerReplay::Checked> LedgerReplay::Next(std::string_view record) {
  if (Status status = CheckEntry(record); !status.ok()) return At(next_, status);
  const Checked out{next_, leaf_, header_, entry_, !leaf_.head().empty()};
  last_admitted_at_ = TimeMicros(leaf_.admitted_at());
  next_ = next_.Next();
  return out;
}

Status LedgerReplay::CheckEntry(std::string_view record) {
  RETURN_IF_ERROR(ParseEntry(record, entry_));
  RETURN_IF_ERROR(ParseLeafInto(entry_.leaf, leaf_));
  if (leaf_.ledger() != View(ledger_)) return Tampered("the entry belongs to another ledger");
  if (leaf_.position() != next_.value()) {
    return Tampered("the entry says it is at " + std::to_string(leaf_.position()));
  }
  if (leaf_.admitted_at() < last_admitted_at_.value()) {
    return Tampered("the entry is older than the one before it");
  }
  RETURN_IF_ERROR(ParseHeaderInto(leaf_.header(), header_));
  const KindInfo* kind = FindKind(header_.kind());
  if (kind == nullptr) return Unsupported("an event of an unknown kind");
  const int parts = header_.commitments_size();
  if (static_cast<int>(entry_.parts.size()) != parts || leaf_.keys_size() != parts - (kind->clear ? 1 : 0)) {
    return Tampered("parts, keys and commitments do not match");
  }
  const std::string& issuer_name = header_.issuer();
  if (!open_issuer_.empty() && open_issuer_ != issuer_name) {
    return Tampered("another issuer's entry inside a submission");
  }
  const bool opening = next_ == Position(0);
  if (opening != (header_.kind() == v1::EVENT_KIND_LEDGER_OPENED)) {
    return Tampered("a ledger begins with its opening, and only there");
  }
  if (opening) RETURN_IF_ERROR(ApplyClear());  // registers the issuer that opens it
  const auto issuer = issuers_.find(issuer_name);
  if (issuer == issuers_.end()) return Tampered("issuer " + issuer_name + " is not registered");
  if (!MayIssue(issuer->second.role, header_.kind())) {
    return Tampered("issuer " + issuer_name + " may not issue this kind");
  }
  if (header_.sequence() != issuer->second.tree.size() + 1) {
    return Tampered("issuer " + issuer_name + " has event " + std::to_string(header_.sequence()) +
                    " where " + std::to_string(issuer->second.tree.size() + 1) + " belongs");
  }
  issuer->second.tree.Append(LeafHash(leaf_.header()));
  if (kind->clear && !opening) RETURN_IF_ERROR(ApplyClear());
  if (leaf_.head().empty()) {
    open_issuer_ = issuer_name;
    return {};
  }
  open_issuer_.clear();
  return CheckHead(issuer->second, leaf_.head());
}

Status LedgerReplay::CheckHead(IssuerState& issuer, const std::string& note) {
  const std::string& name = header_.issuer();
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(note));
  const int prefecture = static_cast<int>(registry_.ledger().prefecture());
  if (head.origin != IssuerOrigin(prefecture, name) || head.ledger != View(ledger_)) {
    return Tampered("a head of another issuer or ledger");
  }
  if (head.size != issuer.tree.size() || head.root != issuer.tree.Root()) {
    return Tampered("the head of issuer " + name + " does not cover its events");
  }
  unverified_[name] = note;
  unsaved_issuers_.insert(name);
  return {};
}

Status LedgerReplay::VerifyHeads() {
  for (const auto& [name, note] : unverified_) {
    if (Status status = VerifyTreeHead(note, issuers_.at(name).key).status(); !status.ok()) {
      return status.With("head of issuer " + name + " before position " + std::to_string(next_.value()));
    }
  }
  unverified_.clear();
  return {};
}

void LedgerReplay::Save(StoreBatch& batch, Family family) {
  CHECK(between_submissions() && unverified_.empty());
  for (const auto& [name, payload] : registry_.unsaved()) {
    batch.Put(family, std::string(kRegistryPrefix) + name, payload);
  }
  registry_.unsaved().clear();
  for (const std::string& name : unsaved_issuers_) {
    batch.Put(family, std::string(kIssuerPrefix) + name, issuers_.at(name).tree.Encode());
  }
  unsaved_issuers_.clear();
  std::string state;
  AppendU64(state, next_.value());
  AppendU64(state, static_cast<std::uint64_t>(last_admitted_at_.value()));
  state.append(View(ledger_));
  batch.Put(family, kReplayKey, state);
}

Status LedgerReplay::Load(const Store& store, Family family) {
  ASSIGN_OR_RETURN(const std::string state, store.Get(family, kReplayKey));
  if (state.size() != 32) return Corrupt("the stored position is damaged");
  if (std::string_view(state).substr(16) != View(ledger_)) {
    return Tampered("the store belongs to another ledger");
  }
  next_ = Position(ReadU64(state));
  last_admitted_at_ = TimeMicros(static_cast<std::int64_t>(ReadU64(std::string_view(state).substr(8))));
  auto it = store.NewIterator(family);
  // By kind, so that roles stand before the operators that hold them.
  for (const v1::EventKind kind : {v1::EVENT_KIND_LEDGER_OPENED, v1::EVENT_KIND_ISSUER_REGISTERED,
                                   v1::EVENT_KIND_ROLE_DEFINED, v1::EVENT_KIND_OPERATOR_REGISTERED}) {
    const std::string prefix = std::string(kRegistryPrefix) + std::to_string(kind) + "/";
    for (it.Seek(prefix); it.Valid() && it.key().starts_with(prefix); it.Next()) {
      RETURN_IF_ERROR(registry_.Apply(kind, std::string(it.value())));
    }
    RETURN_IF_ERROR(it.status());
  }
  registry_.unsaved().clear();
  RETURN_IF_ERROR(AddIssuers());
  for (auto& [name, issuer] : issuers_) {
    auto edge = store.Get(family, std::string(kIssuerPrefix) + name);
    if (edge.status().code() == Code::kNotFound) continue;  // registered, but has not spoken yet
    RETURN_IF_ERROR(edge.status());
    ASSIGN_OR_RETURN(issuer.tree, MerkleEdge::Decode(*edge));
  }
  return {};
}

Result<std::string> OpenPart(const LedgerReplay::Checked& entry, int part, const KeyStore& keys) {
  const std::string_view sealed = entry.entry.parts[static_cast<std::size_t>(part)];
  const std::string& commitment = entry.header.commitments(part);
  const int clear = entry.header.commitments_size() - entry.leaf.keys_size();  // only part 0 may be
  if (part < clear) return OpenClearPart(sealed, commitment);
  const v1::KeyReference& reference = entry.leaf.keys(part - clear);
  ASSIGN_OR_RETURN(const Key256 key, keys.KeyAt(KeySlot(reference.slot()), reference.step()));
  return OpenSealedPart(key, entry.entry.leaf, sealed, commitment);
}

}  // namespace daicho
