#include "consumers/audit.h"

#include "consumers/audit_erasures.h"
#include "events/topics.h"
#include "ledger/entry_stream.h"

namespace daicho {
namespace {

constexpr std::size_t kRootsMax = 1'024;

class Auditor {
 public:
  explicit Auditor(const AuditOptions& options)
      : options_(options),
        topic_(Topics{options.ledger.prefecture}.Ledger()),
        replay_(options.ledger.ledger, options.ledger.registrar),
        checkpoints_(CheckpointOptions(options), [this](Finding f) { Take(std::move(f)); }),
        erasures_([this](Finding f) { Take(std::move(f)); }) {
    replay_.ReportTo([this](Finding f) { Take(std::move(f)); });
  }

  Result<AuditResult> Run() {
    out_.ledger = options_.ledger;
    out_.begun = options_.clock->Now();
    // In this order: what the checkpoints cover is in the ledger then.
    RETURN_IF_ERROR(checkpoints_.Open(*options_.log));
    ASSIGN_OR_RETURN(const Bounds bounds, options_.log->GetBounds(topic_));
    RETURN_IF_ERROR(Follow(bounds));
    if (!Done()) RETURN_IF_ERROR(Finish());
    Sum();
    return std::move(out_);
  }

 private:
  static CheckpointAuditOptions CheckpointOptions(const AuditOptions& a) {
    return {a.ledger.prefecture, a.ledger.ledger, a.ledger.sequencer, a.policy,
            a.kept_checkpoint,   a.max_age,       a.clock};
  }

  void Take(Finding finding) {
    ++out_.findings_total;
    const std::size_t most = options_.first_only ? 1 : kFindingsMax;
    if (out_.findings.size() < most) out_.findings.push_back(std::move(finding));
  }

  bool Done() const { return options_.first_only && out_.findings_total > 0; }

  Status Follow(const Bounds& bounds) {
    EntryStreamOptions stream_options;
    stream_options.log = options_.log;
    stream_options.topic = topic_;
    stream_options.from = bounds.first;
    stream_options.end = bounds.end;
    ASSIGN_OR_RETURN(auto stream, EntryStream::Open(std::move(stream_options)));
    RETURN_IF_ERROR(checkpoints_.Reached(replay_));
    while (!Done()) {
      ASSIGN_OR_RETURN(const EntryStream::Batch* batch, stream->Next());
      if (batch == nullptr) break;
      for (std::size_t i = 0; i < batch->records.size() && !Done(); ++i) {
        RETURN_IF_ERROR(One(batch->records[i], batch->prepared[i]));
      }
      if (options_.progress) options_.progress(batch->records.back().next.value(), bounds.end.value());
    }
    return {};
  }

  Status One(const ReceivedInPlace::One& record, const PreparedEntry& prepared) {
    out_.bytes += record.value.size();
    auto entry = replay_.Next(prepared);
    if (!entry.ok()) return {};  // reported
    const auto kind = static_cast<std::size_t>(entry->header.kind());
    if (kind >= kinds_.size()) kinds_.resize(kind + 1);
    if (kinds_[kind]++ == 0) first_of_kind_[entry->header.kind()] = entry->position;
    if (!prepared.keyed) {
      Take({entry->position, FindingKind::kRecordKey, "the record's key is not the subject's handle"});
    }
    if (prepared.erased || entry->header.kind() == v1::EVENT_KIND_ERASURE) {
      erasures_.Take(*entry, prepared.erased, replay_.registry());
    }
    if (options_.each) options_.each(*entry);
    const std::uint64_t size = replay_.next_position().value();
    if (size == 1) out_.first_admitted_at = replay_.last_admitted_at();
    if (size % stride_ == 0 && replay_.tree_whole()) KeepRoot(size);
    // No checkpoint will cover what stands behind the newest: there, every signature is looked at.
    if (entry->ends_submission && size > checkpoints_.last_size()) RETURN_IF_ERROR(replay_.VerifyHeads());
    return checkpoints_.Reached(replay_);
  }

  // At regular sizes, the same for every auditor: multiples of a power of two, which grows with the ledger.
  void KeepRoot(std::uint64_t size) {
    out_.roots.emplace_back(size, replay_.tree().Root());
    if (out_.roots.size() < kRootsMax) return;
    stride_ *= 2;
    std::erase_if(out_.roots, [&](const auto& root) { return root.first % stride_ != 0; });
  }

  Status Finish() {
    RETURN_IF_ERROR(replay_.Finish());
    CheckPinned(v1::KEY_USE_SEQUENCER, options_.ledger.sequencer);
    CheckPinned(v1::KEY_USE_INTAKE, options_.ledger.intake);
    RETURN_IF_ERROR(checkpoints_.Finish(replay_));
    for (const auto& [kind, first] : first_of_kind_) {
      const KindInfo* info = FindKind(kind);
      if (!replay_.registry().KnowsSchema(info->message)) {
        Take({first, FindingKind::kSchema, "no schema of " + std::string(info->message) + " is registered"});
      }
    }
    return erasures_.Finish(*options_.log, topic_);
  }

  // What the auditor was told of the ledger is what the ledger says of itself.
  void CheckPinned(v1::KeyUse use, const Key256& key) {
    for (const KeySpan& span : replay_.registry().Keys(use, "")) {
      if (span.key == View(key)) return;
    }
    Take({Position(0), FindingKind::kForeign, "the ledger never had the key that ledger.pub.json gives it"});
  }

  void Sum() {
    out_.size = replay_.next_position().value();
    out_.root = replay_.tree().Root();
    if (replay_.tree_whole() && out_.size % stride_ != 0) out_.roots.emplace_back(out_.size, out_.root);
    out_.last_admitted_at = replay_.last_admitted_at();
    out_.checkpoint = checkpoints_.newest();
    out_.checkpoints = checkpoints_.count();
    out_.covered = checkpoints_.good_size();
    for (const auto& [name, issuer] : replay_.issuers()) {
      const std::uint64_t size = issuer.whole ? issuer.tree.size() : issuer.sequence;
      out_.issuers[name] = {size, issuer.tree.Root(), issuer.whole};
    }
    for (const auto& [kind, first] : first_of_kind_) out_.kinds[kind] = kinds_[static_cast<std::size_t>(kind)];
    out_.erasures = erasures_.erasures();
    out_.erased_keys = erasures_.ordered_keys();
    out_.erased_parts = erasures_.erased_parts();
    out_.state = StateDigest();
    if (checkpoints_.unjudged() > 0) {
      out_.warnings.push_back(std::to_string(checkpoints_.unjudged()) +
                              " 件の署名付き証明は、台帳が損なわれているため照合できませんでした");
    }
    out_.ended = options_.clock->Now();
  }

  Digest StateDigest() const {
    std::string state = "daicho/audit-state/1\n";
    AppendU64(state, out_.size);
    state.append(View(out_.root));
    for (const auto& [name, issuer] : out_.issuers) {
      AppendU32(state, static_cast<std::uint32_t>(name.size()));
      state += name;
      AppendU64(state, issuer.size);
      state.append(View(issuer.root));
    }
    return Sha256Of({state});
  }

  const AuditOptions& options_;
  std::string topic_;
  LedgerReplay replay_;
  CheckpointAudit checkpoints_;
  ErasureAudit erasures_;
  std::uint64_t stride_ = 1;  // between the roots that are kept
  std::vector<std::uint64_t> kinds_;
  std::map<v1::EventKind, Position> first_of_kind_;
  AuditResult out_;
};

}  // namespace

Result<AuditResult> Audit(const AuditOptions& options) { return Auditor(options).Run(); }

}  // namespace daicho
