#include "ledger/replay.h"

#include <algorithm>
#include <utility>

#include "events/crypto_batch.h"

namespace daicho {
namespace {

// Of an issuer: so few that they take little room, so many that a signature for them costs nothing beside their hashes.
constexpr std::size_t kUnverifiedEventsMax = 4'096;

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

Status ReadHead(std::string_view record, PreparedEntry& out) {
  RETURN_IF_ERROR(ParseEntry(record, out.entry));
  RETURN_IF_ERROR(ParseLeafInto(out.entry.leaf, out.leaf));
  RETURN_IF_ERROR(ParseHeaderInto(out.leaf.header(), out.header));
  out.kind = FindKind(out.header.kind());
  if (out.kind == nullptr) return Unsupported("an event of an unknown kind");
  return {};
}

// A sealed part, and its digest as the leaf says it.
struct SealedPart {
  PreparedEntry* entry;
  std::string_view part, digest;
};

// All but the sealed parts' digests, which are compared with `sealed` in hand.
Status CheckParts(PreparedEntry& out, std::vector<SealedPart>& sealed) {
  out.finding = FindingKind::kPart;
  const int parts = out.header.commitments_size();
  const int clear = out.kind->clear ? 1 : 0;
  if (static_cast<int>(out.entry.parts.size()) != parts || out.leaf.keys_size() != parts - clear) {
    return Tampered("parts, keys and commitments do not match");
  }
  for (int i = 0; i < parts; ++i) {
    const std::string_view part = out.entry.parts[static_cast<std::size_t>(i)];
    if (i < clear) {
      Status opened = OpenClearPart(part, out.header.commitments(i)).status();
      if (!opened.ok()) {
        out.finding = FindingKind::kCommitment;
        return opened;
      }
    } else if (part.empty()) {
      out.erased = true;
    } else {
      sealed.push_back({&out, part, out.leaf.part_digests(i - clear)});
    }
  }
  return {};
}

}  // namespace

void PrepareEntries(std::span<const std::string_view> records, std::span<PreparedEntry> out) {
  CHECK(records.size() == out.size());
  std::vector<PreparedEntry*> readable;
  std::vector<std::string_view> leaves, headers, parts;
  std::vector<SealedPart> sealed;
  for (std::size_t i = 0; i < records.size(); ++i) {
    PreparedEntry& entry = out[i];
    entry.erased = false;
    entry.status = ReadHead(records[i], entry);
    entry.readable = entry.status.ok();
    if (!entry.readable) {
      const bool unsupported = entry.status.code() == Code::kUnsupported;
      entry.finding = unsupported ? FindingKind::kUnsupported : FindingKind::kUndecodable;
      continue;
    }
    readable.push_back(&entry);
    leaves.push_back(entry.entry.leaf);
    headers.push_back(entry.leaf.header());
    entry.status = CheckParts(entry, sealed);
  }
  const std::vector<Digest> leaf_hashes = LeafHashes(leaves), header_hashes = LeafHashes(headers);
  for (std::size_t i = 0; i < readable.size(); ++i) {
    readable[i]->leaf_hash = leaf_hashes[i];
    readable[i]->header_hash = header_hashes[i];
  }
  for (const SealedPart& one : sealed) parts.push_back(one.part);
  const std::vector<Digest> digests = Sha256Each(parts);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    if (View(digests[i]) == sealed[i].digest) continue;
    sealed[i].entry->status = Tampered("a sealed part is not the one that was appended");
  }
}

void PrepareEntry(std::string_view record, PreparedEntry& out) { PrepareEntries({&record, 1}, {&out, 1}); }

void UnverifiedEvents::Add(Position position, std::string_view head) {
  detached += head;
  heads.push_back({events.size(), position, detached.size()});
}

std::string_view UnverifiedEvents::Detached(std::size_t head) const {
  const std::size_t begin = head == 0 ? 0 : heads[head - 1].end;
  return std::string_view(detached).substr(begin, heads[head].end - begin);
}

const PreparedEntry& EntryPreparer::Of(const std::vector<Received>& records, std::size_t i) {
  if (i % kTogether == 0) {
    std::vector<std::string_view> values;
    for (const Received& record : std::span(records).subspan(i).first(std::min(kTogether, records.size() - i))) {
      values.push_back(record.value);
    }
    prepared_.resize(std::max(prepared_.size(), values.size()));
    PrepareEntries(values, std::span(prepared_).first(values.size()));
  }
  return prepared_[i % kTogether];
}

const IssuerState* LedgerReplay::FindIssuer(const std::string& issuer) const {
  const auto found = issuers_.find(issuer);
  return found == issuers_.end() ? nullptr : &found->second;
}

Status LedgerReplay::ReportAt(Position position, FindingKind kind, Status status) {
  if (!sink_) return status;
  sink_({position, kind, status.message()});
  return {};
}

Status LedgerReplay::Refuse(FindingKind kind, Status status) {
  RETURN_IF_ERROR(Report(kind, status));
  ++unplaced_;
  return status;
}

// Gives every issuer that the registry has learnt of its tree and the key in force. A head that was signed by
// a key before it is verified by that.
Status LedgerReplay::TakeKeys() {
  for (const auto& [name, registered] : registry_.issuers()) {
    IssuerState& issuer = issuers_[name];
    issuer.role = registered.role();
    issuer.origin = IssuerOrigin(static_cast<int>(registry_.ledger().prefecture()), name);
    const auto current = registry_.CurrentKey(v1::KEY_USE_ISSUER, name);
    if (current.ok() && issuer.key && View(issuer.key->bytes()) == current->key) continue;
    RETURN_IF_ERROR(VerifyHeadsOf(name, issuer));
    issuer.key.reset();
    if (!current.ok()) {
      const auto spans = registry_.Keys(v1::KEY_USE_ISSUER, name);
      const bool leaked = !spans.empty() && spans.back().leaked_from && spans.back().until;
      if (leaked && issuer.last >= *spans.back().leaked_from) {
        doubts_[name] = {*spans.back().leaked_from, *spans.back().until};
      }
      continue;
    }
    ASSIGN_OR_RETURN(const Key256 key, ToArray<32>(current->key));
    ASSIGN_OR_RETURN(issuer.key, VerifyingKey::From(key));
  }
  return {};
}

Status LedgerReplay::ApplyClear(const PreparedEntry& prepared) {
  if (prepared.entry.parts.empty()) return {};  // an auditor's case: reported when it was prepared
  auto payload = OpenClearPart(prepared.entry.parts[0], prepared.header.commitments(0));
  if (!payload.ok()) return sink_ ? Status() : payload.status();  // reported when it was prepared
  if (prepared.header.kind() == v1::EVENT_KIND_LEDGER_OPENED) {
    v1::LedgerOpened opened;
    if (!opened.ParseFromString(*payload) || opened.ledger() != View(ledger_) ||
        opened.registrar_public_key() != View(registrar_)) {
      RETURN_IF_ERROR(
          Report(FindingKind::kForeign, Tampered("this is another ledger than the one expected")));
    }
  }
  shared_registry_.reset();
  if (Status status = registry_.Apply(prepared.header.kind(), *payload, next_, TimeMicros(prepared.leaf.admitted_at())); !status.ok()) {
    return Report(FindingKind::kRule, Tampered("an admitted event breaks a rule: " + status.message()));
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
  next_ = next_.Next();
  return out;
}

// Where an auditor finds another position than the next, the record before decides nothing yet: entries may be
// missing, this one may be moved or changed. The entry after it tells.
Status LedgerReplay::CheckPlace(std::uint64_t says) {
  const std::uint64_t expected = next_.value();
  const bool likely = says >= expected - std::min<std::uint64_t>(expected, jump_ ? 1 : 0) &&
                      says <= expected + unplaced_;
  if (says == expected || (sink_ && (likely || jump_ == says))) {
    next_ = Position(says);
    unplaced_ = 0;
    jump_.reset();
  } else if (says < expected) {
    return Refuse(FindingKind::kPosition, Tampered("the entry says it is at " + std::to_string(says)));
  } else {
    RETURN_IF_ERROR(
        Report(FindingKind::kPosition, Tampered("the entry says it is at " + std::to_string(says))));
    jump_ = says + 1;
  }
  if (next_.value() != tree_.size() || says != next_.value()) tree_whole_ = false;
  return {};
}

Status LedgerReplay::CheckSequence(IssuerState& issuer, const PreparedEntry& prepared) {
  const std::uint64_t says = prepared.header.sequence();
  const std::uint64_t expected = issuer.whole ? issuer.tree.size() + 1 : issuer.sequence + 1;
  if (says != expected) {
    const std::string& name = prepared.header.issuer();
    if (issuer.whole) RETURN_IF_ERROR(VerifyHeadsOf(name, issuer));
    issuer.whole = false;
    RETURN_IF_ERROR(Report(FindingKind::kSequence, Tampered("issuer " + name + " has event " + std::to_string(says) +
                                                            " where " + std::to_string(expected) + " belongs")));
  }
  issuer.sequence = says;
  issuer.last = next_;
  if (issuer.whole) {
    if (issuer.unverified.events.empty()) issuer.unverified.before = issuer.tree;
    issuer.unverified.events.push_back(prepared.header_hash);
  }
  issuer.tree.Append(prepared.header_hash);
  return {};
}

Status LedgerReplay::CheckEntry(const PreparedEntry& prepared) {
  if (!prepared.readable) return Refuse(prepared.finding, prepared.status);
  if (!prepared.status.ok()) RETURN_IF_ERROR(Report(prepared.finding, prepared.status));
  const v1::EntryLeaf& leaf = prepared.leaf;
  const v1::EventHeader& header = prepared.header;
  if (leaf.ledger() != View(ledger_)) {
    return Refuse(FindingKind::kForeign, Tampered("the entry belongs to another ledger"));
  }
  RETURN_IF_ERROR(CheckPlace(leaf.position()));
  if (leaf.admitted_at() < last_admitted_at_.value()) {
    RETURN_IF_ERROR(Report(FindingKind::kTime, Tampered("the entry is older than the one before it")));
  }
  last_admitted_at_ = TimeMicros(leaf.admitted_at());
  tree_.Append(prepared.leaf_hash);
  const std::string& issuer_name = header.issuer();
  if (!open_issuer_.empty() && open_issuer_ != issuer_name) {
    RETURN_IF_ERROR(
        Report(FindingKind::kSubmission, Tampered("another issuer's entry inside a submission")));
  }
  const bool opening = next_ == Position(0);
  if (opening != (header.kind() == v1::EVENT_KIND_LEDGER_OPENED)) {
    RETURN_IF_ERROR(
        Report(FindingKind::kRule, Tampered("a ledger begins with its opening, and only there")));
  } else if (opening) {
    RETURN_IF_ERROR(ApplyClear(prepared));
    RETURN_IF_ERROR(TakeKeys());  // of the issuer that opens it
  }
  open_issuer_ = leaf.head().empty() ? issuer_name : std::string();
  const auto issuer = issuers_.find(issuer_name);
  if (issuer == issuers_.end()) {
    if (!unknown_issuers_.insert(issuer_name).second) return {};
    return Report(FindingKind::kIssuer, Tampered("issuer " + issuer_name + " is not registered"));
  }
  if (!MayIssue(issuer->second.role, header.kind())) {
    RETURN_IF_ERROR(
        Report(FindingKind::kAuthority, Tampered("issuer " + issuer_name + " may not issue this kind")));
  }
  RETURN_IF_ERROR(CheckSequence(issuer->second, prepared));
  if (!leaf.head().empty()) RETURN_IF_ERROR(CheckHead(issuer_name, issuer->second, prepared));
  if (!prepared.kind->clear || opening) return {};
  RETURN_IF_ERROR(ApplyClear(prepared));
  // A submission's own head is signed by the key that held before it, also where it changes that key.
  return open_issuer_.empty() ? TakeKeys() : Status();
}

Status LedgerReplay::CheckHead(const std::string& name, IssuerState& issuer, const PreparedEntry& prepared) {
  const std::string& detached = prepared.leaf.head();
  if (!IsDetachedHead(detached)) return Report(FindingKind::kHead, Corrupt("a signed head is malformed"));
  if (!issuer.key) {
    issuer.unverified = {};
    return Report(FindingKind::kKey, Tampered("the key of issuer " + name + " is revoked"));
  }
  if (issuer.whole) issuer.unverified.Add(next_, detached);
  issuer.unsaved = true;
  if (!doubts_.empty()) doubts_.erase(name);
  return issuer.unverified.events.size() < kUnverifiedEventsMax ? Status() : VerifyHeadsOf(name, issuer);
}

// Nothing more is asked of events behind the newest head.
Status LedgerReplay::VerifyHeadsOf(const std::string& name, IssuerState& issuer) {
  const UnverifiedEvents unverified = std::exchange(issuer.unverified, {});
  if (unverified.heads.empty()) return {};
  const auto verify = [&](const MerkleEdge& tree, std::size_t head) -> Status {
    ASSIGN_OR_RETURN(const std::string note, NoteOf(issuer, tree, unverified.Detached(head)));
    return VerifyTreeHead(note, *issuer.key).status();
  };
  MerkleEdge tree = unverified.before;
  std::size_t events = 0;
  const auto grow = [&](const UnverifiedEvents::Head& head) {
    for (; events < head.events; ++events) tree.Append(unverified.events[events]);
  };
  const UnverifiedEvents::Head& newest = unverified.heads.back();
  const bool covers_all = newest.events == unverified.events.size();
  if (!covers_all) grow(newest);
  if (verify(covers_all ? issuer.tree : tree, unverified.heads.size() - 1).ok()) return {};
  tree = unverified.before;
  events = 0;
  for (std::size_t i = 0; i < unverified.heads.size(); ++i) {
    const UnverifiedEvents::Head& head = unverified.heads[i];
    grow(head);
    const Status status = verify(tree, i);
    if (status.ok()) continue;
    issuer.whole = false;
    return ReportAt(head.position, FindingKind::kSignature,
                    At(head.position, status.With("the head of issuer " + name + " over its events")));
  }
  return {};
}

Status LedgerReplay::VerifyHeads() {
  for (auto& [name, issuer] : issuers_) {
    if (name != open_issuer_) RETURN_IF_ERROR(VerifyHeadsOf(name, issuer));
  }
  return {};
}

Result<std::string> LedgerReplay::NoteOf(const IssuerState& issuer, const MerkleEdge& tree,
                                         std::string_view detached) const {
  return AttachHead({issuer.origin, tree.size(), tree.Root(), std::string(View(ledger_)), {}}, detached);
}

void LedgerReplay::TakeVerified(const std::string& name, std::string_view note) {
  const auto found = issuers_.find(name);
  if (found == issuers_.end()) return;
  IssuerState& issuer = found->second;
  const UnverifiedEvents& unverified = issuer.unverified;
  if (unverified.heads.empty() || unverified.heads.back().events != unverified.events.size()) return;
  const auto replayed = NoteOf(issuer, issuer.tree, unverified.Detached(unverified.heads.size() - 1));
  if (replayed.ok() && *replayed == note) issuer.unverified = {};
}

std::string LedgerReplay::IssuerHead(const Checked& entry) const {
  CHECK(entry.ends_submission && entry.position.Next() == next_);
  const IssuerState& issuer = issuers_.at(entry.header.issuer());
  auto note = NoteOf(issuer, issuer.tree, entry.leaf.head());
  CHECK(note.ok());
  return std::move(*note);
}

Status LedgerReplay::Finish() {
  RETURN_IF_ERROR(VerifyHeads());
  if (!between_submissions()) {
    RETURN_IF_ERROR(Report(FindingKind::kSubmission, Tampered("the ledger ends inside a submission")));
  }
  for (const auto& [name, doubt] : doubts_) {
    RETURN_IF_ERROR(ReportAt(
        doubt.from, FindingKind::kKey,
        Tampered("the key of issuer " + name + " had leaked: its events up to position " +
                 std::to_string(doubt.until.value() - 1) + " are covered by no later key")));
  }
  return {};
}

std::shared_ptr<const Registry> LedgerReplay::ShareRegistry() {
  if (shared_registry_ == nullptr) shared_registry_ = std::make_shared<const Registry>(registry_);
  return shared_registry_;
}

void LedgerReplay::Save(StoreBatch& batch, Family family) {
  CHECK(between_submissions());
  for (auto& [name, issuer] : issuers_) {
    CHECK(issuer.unverified.heads.empty());
    if (!std::exchange(issuer.unsaved, false)) continue;
    batch.Put(family, std::string(kIssuerPrefix) + name, issuer.tree.Encode());
  }
  for (const auto& [position, row] : registry_.unsaved()) batch.Put(family, RegistryKey(position), row);
  registry_.unsaved().clear();
  std::string state;
  AppendU64(state, next_.value());
  AppendU64(state, static_cast<std::uint64_t>(last_admitted_at_.value()));
  state.append(View(ledger_));
  batch.Put(family, kReplayKey, state);
  batch.Put(family, kTreeKey, tree_.Encode());
}

Result<std::pair<Position, LedgerId>> LedgerReplay::SavedIn(StoreIterator& it) {
  it.Seek(kReplayKey);
  RETURN_IF_ERROR(it.status());
  if (!it.Valid() || it.key() != kReplayKey) return NotFound("nothing was saved yet");
  if (it.value().size() != 32) return Corrupt("the stored position is damaged");
  ASSIGN_OR_RETURN(const LedgerId ledger, ToArray<16>(it.value().substr(16)));
  return std::pair(Position(ReadU64(it.value())), ledger);
}

Result<Registry> LedgerReplay::RegistryAt(const Store& store, Family family, Position at) {
  Registry out;
  auto it = store.NewIterator(family);
  for (it.Seek(kRegistryPrefix); it.Valid() && it.key().starts_with(kRegistryPrefix); it.Next()) {
    const std::string_view key = it.key().substr(kRegistryPrefix.size());
    if (key.size() != 8) return Corrupt("stored registry: a key has the wrong size");
    if (Position(ReadU64(key)) > at) break;
    RETURN_IF_ERROR(out.Restore(Position(ReadU64(key)), it.value()));
  }
  RETURN_IF_ERROR(it.status());
  out.unsaved().clear();
  return out;
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
  ASSIGN_OR_RETURN(registry_, RegistryAt(store, family, next_));
  shared_registry_.reset();
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
