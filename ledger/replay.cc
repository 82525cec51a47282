#include "ledger/replay.h"

namespace daicho {
namespace {

constexpr std::string_view kRegistryPrefix = "registry/";
constexpr std::string_view kIssuerPrefix = "issuer/";
constexpr std::string_view kReplayKey = "replay";
constexpr std::string_view kTreeKey = "tree";

Status At(Position position, const Status& status) {
  return status.With("position " + std::to_string(position.value()));
}

std::string RegistryKey(Position position) {
  std::string key(kRegistryPrefix);
  AppendU64(key, position.value());
  return key;
}

Status Prepare(std::string_view record, PreparedEntry& out) {
  RETURN_IF_ERROR(ParseEntry(record, out.entry));
  RETURN_IF_ERROR(ParseLeafInto(out.entry.leaf, out.leaf));
  RETURN_IF_ERROR(ParseHeaderInto(out.leaf.header(), out.header));
  out.kind = FindKind(out.header.kind());
  if (out.kind == nullptr) return Unsupported("an event of an unknown kind");
  const int parts = out.header.commitments_size();
  const int clear = out.kind->clear ? 1 : 0;
  if (static_cast<int>(out.entry.parts.size()) != parts || out.leaf.keys_size() != parts - clear) {
    return Tampered("parts, keys and commitments do not match");
  }
  for (int i = 0; i < parts; ++i) {
    const std::string_view part = out.entry.parts[static_cast<std::size_t>(i)];
    if (i < clear) {
      RETURN_IF_ERROR(OpenClearPart(part, out.header.commitments(i)).status());
    } else if (part.empty()) {
      out.erased = true;
    } else if (View(Sha256Of({part})) != out.leaf.part_digests(i - clear)) {
      return Tampered("a sealed part is not the one that was appended");
    }
  }
  out.leaf_hash = LeafHash(out.entry.leaf);
  out.header_hash = LeafHash(out.leaf.header());
  return {};
}

}  // namespace

void PrepareEntry(std::string_view record, PreparedEntry& out) {
  out.erased = false;
  out.status = Prepare(record, out);
}

const IssuerState* LedgerReplay::FindIssuer(const std::string& issuer) const {
  const auto found = issuers_.find(issuer);
  return found == issuers_.end() ? nullptr : &found->second;
}

// Gives every issuer that the registry has learnt of its tree and the key in force. A head that was signed by
// a key before it is verified by that.
Status LedgerReplay::TakeKeys() {
  for (const auto& [name, registered] : registry_.issuers()) {
    IssuerState& issuer = issuers_[name];
    issuer.role = registered.role();
    const auto current = registry_.CurrentKey(v1::KEY_USE_ISSUER, name);
    if (current.ok() && issuer.key && View(issuer.key->bytes()) == current->key) continue;
    if (const auto waiting = unverified_.find(name); waiting != unverified_.end()) {
      RETURN_IF_ERROR(VerifyHead(name, waiting->second));
      unverified_.erase(waiting);
    }
    issuer.key.reset();
    if (!current.ok()) continue;
    ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(current->key));
    ASSIGN_OR_RETURN(issuer.key, VerifyingKey::From(key));
  }
  return {};
}

Status LedgerReplay::ApplyClear(const PreparedEntry& prepared) {
  ASSIGN_OR_RETURN(const std::string payload,
                   OpenClearPart(prepared.entry.parts[0], prepared.header.commitments(0)));
  if (prepared.header.kind() == v1::EVENT_KIND_LEDGER_OPENED) {
    v1::LedgerOpened opened;
    if (!opened.ParseFromString(payload) || opened.ledger() != View(ledger_) ||
        opened.registrar_public_key() != View(registrar_)) {
      return Tampered("this is another ledger than the one expected");
    }
  }
  if (Status status = registry_.Apply(prepared.header.kind(), payload, next_); !status.ok()) {
    return Tampered("an admitted event breaks a rule: " + status.message());
  }
  return {};
}

Result<LedgerReplay::Checked> LedgerReplay::Next(std::string_view record) {
  PrepareEntry(record, prepared_);
  return Next(prepared_);
}

Result<LedgerReplay::Checked> LedgerReplay::Next(const PreparedEntry& prepared) {
  if (Status status = CheckEntry(prepared); !status.ok()) return At(next_, status);
  const Checked out{next_,          prepared.leaf,      prepared.header,     prepared.entry,
                    prepared.leaf_hash, prepared.header_hash, !prepared.leaf.head().empty()};
  last_admitted_at_ = TimeMicros(prepared.leaf.admitted_at());
  tree_.Append(prepared.leaf_hash);
  next_ = next_.Next();
  return out;
}

Status LedgerReplay::CheckEntry(const PreparedEntry& prepared) {
  RETURN_IF_ERROR(prepared.status);
  const v1::EntryLeaf& leaf = prepared.leaf;
  const v1::EventHeader& header = prepared.header;
  if (leaf.ledger() != View(ledger_)) return Tampered("the entry belongs to another ledger");
  if (leaf.position() != next_.value()) {
    return Tampered("the entry says it is at " + std::to_string(leaf.position()));
  }
  if (leaf.admitted_at() < last_admitted_at_.value()) {
    return Tampered("the entry is older than the one before it");
  }
  const std::string& issuer_name = header.issuer();
  if (!open_issuer_.empty() && open_issuer_ != issuer_name) {
    return Tampered("another issuer's entry inside a submission");
  }
  const bool opening = next_ == Position(0);
  if (opening != (header.kind() == v1::EVENT_KIND_LEDGER_OPENED)) {
    return Tampered("a ledger begins with its opening, and only there");
  }
  if (opening) {
    RETURN_IF_ERROR(ApplyClear(prepared));
    RETURN_IF_ERROR(TakeKeys());  // of the issuer that opens it
  }
  const auto issuer = issuers_.find(issuer_name);
  if (issuer == issuers_.end()) return Tampered("issuer " + issuer_name + " is not registered");
  if (!MayIssue(issuer->second.role, header.kind())) {
    return Tampered("issuer " + issuer_name + " may not issue this kind");
  }
  if (header.sequence() != issuer->second.tree.size() + 1) {
    return Tampered("issuer " + issuer_name + " has event " + std::to_string(header.sequence()) +
                    " where " + std::to_string(issuer->second.tree.size() + 1) + " belongs");
  }
  issuer->second.tree.Append(prepared.header_hash);
  if (leaf.head().empty()) {
    open_issuer_ = issuer_name;
  } else {
    open_issuer_.clear();
    RETURN_IF_ERROR(CheckHead(issuer->second, prepared));
  }
  if (!prepared.kind->clear || opening) return {};
  RETURN_IF_ERROR(ApplyClear(prepared));
  // A submission's own head is signed by the key that held before it, also where it changes that key.
  return open_issuer_.empty() ? TakeKeys() : Status();
}

Status LedgerReplay::CheckHead(IssuerState& issuer, const PreparedEntry& prepared) {
  const std::string& name = prepared.header.issuer();
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(prepared.leaf.head()));
  const int prefecture = static_cast<int>(registry_.ledger().prefecture());
  if (head.origin != IssuerOrigin(prefecture, name) || head.ledger != View(ledger_)) {
    return Tampered("a head of another issuer or ledger");
  }
  if (head.size != issuer.tree.size() || head.root != issuer.tree.Root()) {
    return Tampered("the head of issuer " + name + " does not cover its events");
  }
  if (!issuer.key) return Tampered("the key of issuer " + name + " is revoked");
  unverified_[name] = prepared.leaf.head();
  unsaved_issuers_.insert(name);
  return {};
}

Status LedgerReplay::VerifyHead(const std::string& issuer, const std::string& note) const {
  return VerifyTreeHead(note, *issuers_.at(issuer).key)
      .status()
      .With("head of issuer " + issuer + " before position " + std::to_string(next_.value() + 1));
}

Status LedgerReplay::VerifyHeads() {
  for (const auto& [name, note] : unverified_) RETURN_IF_ERROR(VerifyHead(name, note));
  unverified_.clear();
  return {};
}

void LedgerReplay::Save(StoreBatch& batch, Family family) {
  CHECK(between_submissions() && unverified_.empty());
  for (const auto& [position, row] : registry_.unsaved()) batch.Put(family, RegistryKey(position), row);
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
  batch.Put(family, kTreeKey, tree_.Encode());
}

Status LedgerReplay::Load(const Store& store, Family family) {
  ASSIGN_OR_RETURN(const std::string state, store.Get(family, kReplayKey));
  if (state.size() != 32) return Corrupt("the stored position is damaged");
  if (std::string_view(state).substr(16) != View(ledger_)) {
    return Tampered("the store belongs to another ledger");
  }
  next_ = Position(ReadU64(state));
  last_admitted_at_ = TimeMicros(static_cast<std::int64_t>(ReadU64(std::string_view(state).substr(8))));
  ASSIGN_OR_RETURN(const std::string tree, store.Get(family, kTreeKey));
  ASSIGN_OR_RETURN(tree_, MerkleEdge::Decode(tree));
  if (tree_.size() != next_.value()) return Corrupt("the stored tree does not reach the stored position");
  auto it = store.NewIterator(family);
  for (it.Seek(kRegistryPrefix); it.Valid() && it.key().starts_with(kRegistryPrefix); it.Next()) {
    const std::string_view at = it.key().substr(kRegistryPrefix.size());
    if (at.size() != 8) return Corrupt("stored registry: a key has the wrong size");
    RETURN_IF_ERROR(registry_.Restore(Position(ReadU64(at)), it.value()));
  }
  RETURN_IF_ERROR(it.status());
  registry_.unsaved().clear();
  RETURN_IF_ERROR(TakeKeys());
  for (auto& [name, issuer] : issuers_) {
    auto edge = store.Get(family, std::string(kIssuerPrefix) + name);
    if (edge.status().code() == Code::kNotFound) continue;  // registered, but has not spoken yet
    RETURN_IF_ERROR(edge.status());
    ASSIGN_OR_RETURN(issuer.tree, MerkleEdge::Decode(*edge));
  }
  return {};
}

namespace {

Result<std::string> OpenPart(const EntryView& entry, const v1::EntryLeaf& leaf, const v1::EventHeader& header,
                             int part, const KeyStore& keys) {
  const std::string_view sealed = entry.parts[static_cast<std::size_t>(part)];
  const std::string& commitment = header.commitments(part);
  const int clear = header.commitments_size() - leaf.keys_size();  // only part 0 may be
  if (part < clear) return OpenClearPart(sealed, commitment);
  const v1::KeyReference& reference = leaf.keys(part - clear);
  ASSIGN_OR_RETURN(const Key256 key, keys.KeyAt(KeySlot(reference.slot()), reference.step()));
  return OpenSealedPart(key, BeforeDigests(entry.leaf, leaf.keys_size()), sealed, commitment);
}

}  // namespace

Result<std::string> OpenPart(const LedgerReplay::Checked& entry, int part, const KeyStore& keys) {
  return OpenPart(entry.entry, entry.leaf, entry.header, part, keys);
}

Result<std::string> OpenPart(const PreparedEntry& entry, int part, const KeyStore& keys) {
  return OpenPart(entry.entry, entry.leaf, entry.header, part, keys);
}

}  // namespace daicho
