#include "consumers/evidence.h"

#include <algorithm>

#include "events/evidence.pb.h"
#include "events/topics.h"
#include "events/tree_proof.h"
#include "ledger/entry_stream.h"

namespace daicho {
namespace {

constexpr std::uint32_t kVersion = 1;

// Hashes an inclusion proof out of leaves that pass by: one edge for each subtree that it needs.
class PathCollector {
 public:
  Status Begin(std::uint64_t index, std::uint64_t size) {
    index_ = index;
    size_ = size;
    return InclusionProof(index, size, [&](int level, std::uint64_t at) -> Result<Digest> {
             subtrees_.push_back({level, at, {}});
             return Digest{};
           })
        .status();
  }
  void Feed(std::uint64_t at, const Digest& leaf_hash) {
    for (Subtree& subtree : subtrees_) {
      if (at >> subtree.level == subtree.index) subtree.edge.Append(leaf_hash);
    }
  }
  Result<Proof> Finish() const {
    return InclusionProof(index_, size_, [&](int level, std::uint64_t at) -> Result<Digest> {
      for (const Subtree& subtree : subtrees_) {
        if (subtree.level != level || subtree.index != at) continue;
        if (subtree.edge.size() != std::uint64_t{1} << level) return NotFound("the tree ends before the proof");
        return subtree.edge.Root();
      }
      return NotFound("a subtree that the proof does not need");
    });
  }

 private:
  struct Subtree {
    int level;
    std::uint64_t index;
    MerkleEdge edge;
  };
  std::uint64_t index_ = 0, size_ = 0;
  std::vector<Subtree> subtrees_;
};

Result<std::string> NewestCheckpoint(const LedgerPublic& ledger, Log& log, TreeHead& head) {
  const std::string topic = Topics{ledger.prefecture}.Checkpoint();
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  ASSIGN_OR_RETURN(auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
  std::string newest;
  while (reader->Next(0) < bounds.end) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(1'000, std::chrono::milliseconds(100)));
    for (const Received& record : records) {
      ASSIGN_OR_RETURN(TreeHead read, ParseTreeHead(record.value));
      if (!newest.empty() && read.size < head.size) continue;
      head = std::move(read);
      newest = record.value;
    }
  }
  return newest.empty() ? Result<std::string>(NotFound("the ledger has no checkpoint")) : newest;
}

class Prover {
 public:
  Prover(const LedgerPublic& ledger, Log& log, Position position)
      : ledger_(ledger), log_(log), position_(position), replay_(ledger.ledger, ledger.registrar) {
    evidence_.set_version(kVersion);
  }

  Result<std::string> Run() {
    ASSIGN_OR_RETURN(proof_.checkpoint, NewestCheckpoint(ledger_, log_, head_));
    if (position_.value() >= head_.size) return NotFound("no checkpoint covers that position yet");
    RETURN_IF_ERROR(Find());
    RETURN_IF_ERROR(entry_path_.Begin(position_.value(), head_.size));
    RETURN_IF_ERROR(registration_path_.Begin(registration_.value(), head_.size));
    RETURN_IF_ERROR(issuer_path_.Begin(sequence_ - 1, issuer_size_));
    RETURN_IF_ERROR(Collect());
    ASSIGN_OR_RETURN(proof_.hashes, entry_path_.Finish());
    ASSIGN_OR_RETURN(const Proof issuer, issuer_path_.Finish());
    ASSIGN_OR_RETURN(const Proof registration, registration_path_.Finish());
    for (const Digest& hash : issuer) evidence_.add_issuer_path(std::string(View(hash)));
    for (const Digest& hash : registration) evidence_.add_registration_path(std::string(View(hash)));
    proof_.index = position_.value();
    proof_.extra = evidence_.SerializeAsString();
    return FormatTreeProof(proof_);
  }

 private:
  using Visit = std::function<Result<bool>(const PreparedEntry&)>;  // false: enough

  Status Each(const Visit& visit) {
    EntryStreamOptions options;
    options.log = &log_;
    options.topic = Topics{ledger_.prefecture}.Ledger();
    ASSIGN_OR_RETURN(const Bounds bounds, log_.GetBounds(options.topic));
    options.from = bounds.first;
    options.end = bounds.end;
    ASSIGN_OR_RETURN(auto stream, EntryStream::Open(std::move(options)));
    for (;;) {
      ASSIGN_OR_RETURN(const EntryStream::Batch* batch, stream->Next());
      if (batch == nullptr) return {};
      for (std::size_t i = 0; i < batch->records.size(); ++i) {
        ASSIGN_OR_RETURN(const bool more, visit(batch->prepared[i]));
        if (!more) return {};
      }
    }
  }

  // The entry, the head that covers it, and where its key came from.
  Status Find() {
    RETURN_IF_ERROR(Each([&](const PreparedEntry& prepared) -> Result<bool> {
      ASSIGN_OR_RETURN(const auto entry, replay_.Next(prepared));
      if (entry.position == position_) {
        evidence_.set_leaf(std::string(entry.entry.leaf));
        if (prepared.kind->clear) evidence_.set_clear_part(std::string(entry.entry.parts[0]));
        issuer_ = entry.header.issuer();
        sequence_ = entry.header.sequence();
      }
      if (entry.position < position_ || !entry.ends_submission || entry.header.issuer() != issuer_) return true;
      RETURN_IF_ERROR(replay_.VerifyHeads());
      evidence_.set_issuer_head(replay_.IssuerHead(entry));
      issuer_size_ = replay_.FindIssuer(issuer_)->tree.size();
      ASSIGN_OR_RETURN(const KeySpan key,
                       replay_.registry().KeyAt(v1::KEY_USE_ISSUER, issuer_, entry.position));
      registration_ = Position(key.from.value() == 0 ? 0 : key.from.value() - 1);
      return false;
    }));
    return issuer_size_ == 0 ? Tampered("the ledger ends before that position's submission does") : Status();
  }

  Status Collect() {
    std::uint64_t at = 0;
    MerkleEdge tree;
    RETURN_IF_ERROR(Each([&](const PreparedEntry& prepared) -> Result<bool> {
      RETURN_IF_ERROR(prepared.status);
      entry_path_.Feed(at, prepared.leaf_hash);
      registration_path_.Feed(at, prepared.leaf_hash);
      tree.Append(prepared.leaf_hash);
      if (Position(at) == registration_) {
        evidence_.set_registration_leaf(std::string(prepared.entry.leaf));
        evidence_.set_registration_part(std::string(prepared.entry.parts[0]));
      }
      if (prepared.header.issuer() == issuer_) {
        issuer_path_.Feed(prepared.header.sequence() - 1, prepared.header_hash);
      }
      return ++at < head_.size;
    }));
    if (tree.size() != head_.size || tree.Root() != head_.root) {
      return Tampered("the ledger is not what its newest checkpoint says; daicho audit verify says why");
    }
    return {};
  }

  const LedgerPublic& ledger_;
  Log& log_;
  Position position_, registration_;
  LedgerReplay replay_;
  TreeHead head_;
  TreeProof proof_;
  v1::Evidence evidence_;
  std::string issuer_;
  std::uint64_t sequence_ = 0, issuer_size_ = 0;
  PathCollector entry_path_, registration_path_, issuer_path_;
};

Result<Proof> PathOf(const google::protobuf::RepeatedPtrField<std::string>& hashes) {
  if (hashes.size() > static_cast<int>(kProofHashesMax)) return Corrupt("evidence: a path is too long");
  Proof out;
  for (const std::string& hash : hashes) {
    ASSIGN_OR_RETURN(const Digest digest, ToArray<32>(hash));
    out.push_back(digest);
  }
  return out;
}

// A leaf that lies at its own position under the checkpoint.
Result<v1::EntryLeaf> ProvenLeaf(const std::string& bytes, const Proof& path, const TreeHead& checkpoint) {
  ASSIGN_OR_RETURN(v1::EntryLeaf leaf, ParseLeaf(bytes));
  if (leaf.ledger() != checkpoint.ledger) return Tampered("evidence: an entry of another ledger");
  RETURN_IF_ERROR(VerifyInclusion(LeafHash(bytes), leaf.position(), checkpoint.size, path, checkpoint.root));
  return leaf;
}

// The key that a clear event gives `issuer`.
Result<std::string> KeyGiven(v1::EventKind kind, const std::string& payload, const std::string& issuer,
                             int prefecture) {
  if (kind == v1::EVENT_KIND_LEDGER_OPENED) {
    v1::LedgerOpened opened;
    if (opened.ParseFromString(payload) && issuer == RoleIssuer(prefecture, "registrar")) {
      return opened.registrar_public_key();
    }
  } else if (kind == v1::EVENT_KIND_ISSUER_REGISTERED) {
    v1::IssuerRegistered registered;
    if (registered.ParseFromString(payload) && registered.issuer() == issuer) return registered.public_key();
  } else if (kind == v1::EVENT_KIND_KEY_CHANGED) {
    v1::KeyChanged change;
    if (change.ParseFromString(payload) && change.holder() == issuer && change.use() == v1::KEY_USE_ISSUER &&
        change.action() != v1::KEY_ACTION_REVOKE) {
      return change.new_public_key();
    }
  }
  return Tampered("evidence: what is given as the issuer's registration is none");
}

// The issuer's key, from the entry that gave it.
Result<std::string> IssuerKey(const v1::Evidence& evidence, const TreeHead& checkpoint, const std::string& issuer,
                              std::uint64_t position, int prefecture) {
  ASSIGN_OR_RETURN(const Proof path, PathOf(evidence.registration_path()));
  ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ProvenLeaf(evidence.registration_leaf(), path, checkpoint));
  ASSIGN_OR_RETURN(const v1::EventHeader header, ParseHeader(leaf.header()));
  ASSIGN_OR_RETURN(const std::string payload, OpenClearPart(evidence.registration_part(), header.commitments(0)));
  if (leaf.position() > position) return Tampered("evidence: the issuer was registered later");
  return KeyGiven(header.kind(), payload, issuer, prefecture);
}

Result<int> PrefectureOf(const std::string& origin) {
  for (int prefecture = 1; prefecture <= 47; ++prefecture) {
    if (origin == LedgerOrigin(prefecture)) return prefecture;
  }
  return Tampered("the checkpoint is of no ledger");
}

}  // namespace

Result<std::string> ProveEntry(const LedgerPublic& ledger, Log& log, Position position) {
  return Prover(ledger, log, position).Run();
}

Result<ProvenEntry> CheckEvidence(std::string_view text, const NoteKey& key, const WitnessPolicy& policy) {
  ASSIGN_OR_RETURN(const TreeProof proof, ParseTreeProof(text));
  v1::Evidence evidence;
  if (!evidence.ParseFromString(proof.extra)) return Corrupt("evidence cannot be decoded");
  if (evidence.version() != kVersion || !evidence.GetReflection()->GetUnknownFields(evidence).empty()) return Unsupported("evidence of an unknown version");
  ProvenEntry out;
  ASSIGN_OR_RETURN(out.checkpoint, VerifyTreeHead(proof.checkpoint, key.key));
  if (out.checkpoint.origin != key.name) return Tampered("the checkpoint is another ledger's");
  ASSIGN_OR_RETURN(const int prefecture, PrefectureOf(out.checkpoint.origin));
  ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ProvenLeaf(evidence.leaf(), proof.hashes, out.checkpoint));
  if (leaf.position() != proof.index) return Tampered("the entry says it is at another position");
  out.position = Position(leaf.position());
  out.admitted_at = TimeMicros(leaf.admitted_at());
  ASSIGN_OR_RETURN(out.header, ParseHeader(leaf.header()));
  if (!evidence.clear_part().empty()) {
    ASSIGN_OR_RETURN(out.payload, OpenClearPart(evidence.clear_part(), out.header.commitments(0)));
  }
  const std::string& issuer = out.header.issuer();
  ASSIGN_OR_RETURN(out.issuer_key, IssuerKey(evidence, out.checkpoint, issuer, leaf.position(), prefecture));
  ASSIGN_OR_RETURN(const Key256 issuer_bytes, ToArray<32>(out.issuer_key));
  ASSIGN_OR_RETURN(const VerifyingKey issuer_key, VerifyingKey::From(issuer_bytes));
  ASSIGN_OR_RETURN(out.issuer_head, VerifyTreeHead(evidence.issuer_head(), issuer_key));
  if (out.issuer_head.origin != IssuerOrigin(prefecture, issuer) || out.issuer_head.ledger != leaf.ledger()) {
    return Tampered("the issuer's head is another's");
  }
  ASSIGN_OR_RETURN(const Proof path, PathOf(evidence.issuer_path()));
  RETURN_IF_ERROR(VerifyInclusion(LeafHash(leaf.header()), out.header.sequence() - 1, out.issuer_head.size, path,
                                  out.issuer_head.root));
  ASSIGN_OR_RETURN(const Note note, ParseNote(proof.checkpoint));
  ASSIGN_OR_RETURN(out.cosigners, policy.Cosigners(note));
  std::set<std::string> names;
  for (const auto& [name, time] : out.cosigners) names.insert(name);
  out.verdict = policy.Judge(names);
  return out;
}

}  // namespace daicho
