#include "consumers/audit_checkpoints.h"

#include <algorithm>
#include <limits>

#include "events/topics.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kReadAhead = 256;
constexpr std::size_t kStrangersMax = 1'000;
constexpr std::size_t kRecentMax = 1'024;  // more than a notary still cosigns
constexpr seconds kCosignDeadline{60};
constexpr seconds kCoverDeadline{60};      // an entry is covered within a second, if the notary runs
constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();

std::int64_t SecondsBetween(TimeMicros from, TimeMicros to) { return (to.value() - from.value()) / 1'000'000; }

}  // namespace

CheckpointAudit::CheckpointAudit(CheckpointAuditOptions options, FindingSink sink)
    : options_(std::move(options)), sink_(std::move(sink)), next_size_(kNone) {
  if (options_.policy) {
    policy_ = *options_.policy;
    for (const auto& witness : policy_.witnesses()) witnesses_.insert_or_assign(FormatNoteKey(witness.key), witness.key);
  }
}

void CheckpointAudit::Report(std::uint64_t size, FindingKind kind, std::string detail) {
  sink_({Position(size), kind, std::move(detail)});
}

Status CheckpointAudit::Open(Log& log) {
  if (!options_.kept.empty()) Read("", options_.kept, true);
  const std::string topic = Topics{options_.prefecture}.Checkpoint();
  const auto bounds = log.GetBounds(topic);
  if (bounds.status().code() == Code::kNotFound) return {};
  RETURN_IF_ERROR(bounds.status());
  ASSIGN_OR_RETURN(reader_, log.OpenReader());
  RETURN_IF_ERROR(reader_->Assign(topic, bounds->first).status());
  end_ = bounds->end;
  return Refill();
}

Status CheckpointAudit::Refill() {
  while (reader_ != nullptr && pending_.size() < kReadAhead && reader_->Next(0) < end_) {
    ASSIGN_OR_RETURN(const auto records, reader_->Poll(kReadAhead, milliseconds(100)));
    for (const Received& record : records) {
      if (record.cursor < end_) Read(record.key, record.value, false);
    }
  }
  next_size_ = pending_.empty() ? kNone : pending_.begin()->first;
  return {};
}

// What can be said without the ledger: it is a checkpoint of it, and goes on where the ones before it were.
void CheckpointAudit::Read(const std::string& key, const std::string& note, bool kept) {
  ++count_;
  auto head = ParseTreeHead(note);
  auto parsed = ParseNote(note);
  if (!head.ok() || !parsed.ok()) {
    Report(0, FindingKind::kCheckpointSignature, (head.ok() ? parsed.status() : head.status()).message());
    return;
  }
  if (head->origin != LedgerOrigin(options_.prefecture) || head->ledger != View(options_.ledger)) {
    Report(head->size, FindingKind::kForeign, "a checkpoint of another ledger");
    return;
  }
  if (!key.empty()) Report(head->size, FindingKind::kCheckpointSignature, "its record has a key");
  const std::string text(parsed->text);
  if (!kept) {
    const auto [known, fresh] = recent_.emplace(head->size, text);
    if (fresh && head->size < recent_.rbegin()->first) {
      Report(head->size, FindingKind::kCheckpointOrder,
             "a checkpoint behind one of size " + std::to_string(recent_.rbegin()->first));
    }
    // The same size again is the same root, or a second history; which of them is the ledger's is told when it
    // is reached.
    if (!fresh && known->second != text) {
      const auto before = ParseCheckpoint(known->second);
      if (before.ok() && before->root != head->root) {
        Report(head->size, FindingKind::kTwoHistories, "two checkpoints of one size with different roots");
      }
    }
    if (recent_.size() > kRecentMax) recent_.erase(recent_.begin());
  }
  const std::uint64_t size = head->size;
  pending_.emplace(size, Pending{text, note, std::move(*head), kept});
}

Status CheckpointAudit::Judge(const LedgerReplay& replay) {
  LearnWitnesses(replay);
  const std::uint64_t size = replay.next_position().value();
  while (!pending_.empty() && pending_.begin()->first <= size) {
    const Pending pending = std::move(pending_.extract(pending_.begin()).mapped());
    JudgeOne(pending, replay);
    RETURN_IF_ERROR(Refill());
  }
  return {};
}

void CheckpointAudit::JudgeOne(const Pending& pending, const LedgerReplay& replay) {
  const auto note = ParseNote(pending.note);  // passed once
  if (!CheckSigned(pending, *note, replay)) return;
  CheckRoot(pending, replay);
  if (!pending.kept) CheckCosigners(pending, *note, replay);
}

// A key that changed at the last entry is as good as the one before it: the notary may not have seen it yet.
bool CheckpointAudit::CheckSigned(const Pending& pending, const Note&, const LedgerReplay& replay) {
  const Registry& registry = replay.registry();
  std::set<std::string> keys;
  for (const KeySpan& span : registry.Keys(v1::KEY_USE_SEQUENCER, "")) {
    const Position size(pending.head.size);
    if (span.from <= size && (!span.until || size <= *span.until)) keys.insert(span.key);
  }
  if (registry.Keys(v1::KEY_USE_SEQUENCER, "").empty()) keys.insert(std::string(View(options_.sequencer)));
  Status refused = Tampered("no key of the ledger was in force");
  for (const std::string& bytes : keys) {
    const auto key = VerifyingKey::From(ToArray<32>(bytes).value());
    if (!key.ok()) continue;
    refused = VerifyTreeHead(pending.note, *key).status();
    if (refused.ok()) return true;
  }
  Report(pending.head.size, FindingKind::kCheckpointSignature, refused.message());
  return false;
}

void CheckpointAudit::CheckRoot(const Pending& pending, const LedgerReplay& replay) {
  const std::uint64_t size = pending.head.size;
  if (size < replay.next_position().value() && size != 0) {  // reported when it was read, or a repeat
    if (size > good_size_ || broken_) ++unjudged_;
    return;
  }
  if (broken_) {
    ++unjudged_;
    return;
  }
  if (replay.tree_whole() && (size == 0 ? MerkleEdge() : replay.tree()).Root() == pending.head.root) {
    good_size_ = std::max(good_size_, size);
    return;
  }
  broken_ = true;
  Report(size, FindingKind::kCheckpointRoot,
         "the ledger agrees with its checkpoint of size " + std::to_string(good_size_) + " and not with that of size " +
             std::to_string(size) + ": an entry from position " + std::to_string(good_size_) + " to " +
             std::to_string(size - 1) + " was changed, moved or dropped");
}

void CheckpointAudit::CheckCosigners(const Pending& pending, const Note& note, const LedgerReplay& replay) {
  std::map<std::string, TimeMicros> by_key;  // vkey → when
  for (std::size_t i = 0; i < note.signatures.size(); ++i) {
    const NoteSignature& line = note.signatures[i];
    bool known = false;
    for (const KeySpan& span : replay.registry().Keys(v1::KEY_USE_SEQUENCER, "")) {
      known = known || (line.name == pending.head.origin && line.key_id == span.key_id);
    }
    for (const auto& [vkey, key] : witnesses_) {
      if (line.name != key.name || line.key_id != key.id()) continue;
      known = true;
      const auto time = VerifyCosignature(Note{note.text, {line}}, key);
      if (!time.ok()) {
        Report(pending.head.size, FindingKind::kCosignature, time.status().message() + ": " + key.name);
      } else {
        by_key[vkey] = *time;
      }
    }
    if (known) continue;
    if (strangers_.size() < kStrangersMax) {
      strangers_.push_back({pending.head.size, pending.note, i});
    } else {
      CheckStranger({pending.head.size, pending.note, i});
    }
  }
  CheckedCheckpoint checked{pending.note, pending.head, {}, {}};
  std::set<std::string> names;
  for (const auto& witness : policy_.witnesses()) {
    const auto found = by_key.find(FormatNoteKey(witness.key));
    if (found == by_key.end()) continue;
    checked.cosigners[witness.name] = found->second;
    names.insert(witness.name);
  }
  checked.verdict = policy_.Judge(names);
  if (checked.verdict.satisfied && pending.head.size >= satisfied_size_) {
    satisfied_size_ = pending.head.size;
    satisfied_at_ = std::max(satisfied_at_.value_or(pending.head.time), pending.head.time);
  }
  const bool newer = !newest_ || pending.head.size > newest_->head.size ||
                     (pending.head.size == newest_->head.size &&
                      checked.cosigners.size() >= newest_->cosigners.size());
  if (newer && !broken_) newest_ = std::move(checked);
}

void CheckpointAudit::CheckStranger(const Stranger& stranger) {
  const auto note = ParseNote(stranger.note);  // passed once
  const NoteSignature& line = note->signatures[stranger.line];
  for (const auto& [vkey, key] : witnesses_) {
    if (line.name != key.name || line.key_id != key.id()) continue;
    const Status status = VerifyCosignature(Note{note->text, {line}}, key).status();
    if (!status.ok()) Report(stranger.size, FindingKind::kCosignature, status.message() + ": " + key.name);
    return;
  }
  Report(stranger.size, FindingKind::kCosignature, "a line of a signer that no policy names");
}

// The witnesses that the ledger names. Those of an earlier policy stay known: old checkpoints carry their lines.
void CheckpointAudit::LearnWitnesses(const LedgerReplay& replay) {
  const PolicyInForce* own = replay.registry().policy();
  if (own == nullptr || (policy_taken_ && own->position == policy_from_)) return;
  policy_taken_ = true;
  policy_from_ = own->position;
  const std::string& text = own->rules.witness_policy();
  auto parsed = text.empty() ? Result<WitnessPolicy>(WitnessPolicy()) : WitnessPolicy::Parse(text);
  if (!parsed.ok()) {
    Report(own->position.value(), FindingKind::kPolicy, "witness_policy: " + parsed.status().message());
    return;
  }
  for (const auto& witness : parsed->witnesses()) witnesses_.insert_or_assign(FormatNoteKey(witness.key), witness.key);
  if (!options_.policy) policy_ = std::move(*parsed);
}

Status CheckpointAudit::Finish(const LedgerReplay& replay) {
  RETURN_IF_ERROR(Judge(replay));
  const std::uint64_t size = replay.next_position().value();
  std::uint64_t beyond = 0, first = 0;
  while (!pending_.empty()) {
    const Pending pending = std::move(pending_.extract(pending_.begin()).mapped());
    const auto note = ParseNote(pending.note);
    if (CheckSigned(pending, *note, replay)) {
      if (beyond++ == 0) first = pending.head.size;
      if (!pending.kept) CheckCosigners(pending, *note, replay);
    }
    RETURN_IF_ERROR(Refill());
  }
  if (beyond > 0) {
    Report(first, FindingKind::kCheckpointBeyond,
           "the ledger holds " + std::to_string(size) + " entries, and " + std::to_string(beyond) +
               " checkpoint(s) cover more, the first " + std::to_string(first));
  }
  for (const Stranger& stranger : strangers_) CheckStranger(stranger);
  CheckAge(replay);
  return {};
}

void CheckpointAudit::CheckAge(const LedgerReplay& replay) {
  const std::uint64_t size = replay.next_position().value();
  const TimeMicros now = options_.clock->Now();
  const seconds cover = std::max(options_.max_age.value_or(kCoverDeadline), kCoverDeadline);
  if (size > good_size_ && !broken_ && SecondsBetween(replay.last_admitted_at(), now) > cover.count()) {
    Report(good_size_, FindingKind::kStale,
           std::to_string(size - good_size_) + " entries from position " + std::to_string(good_size_) +
               " on are covered by no checkpoint");
  }
  if (!newest_) return;
  seconds deadline = kCosignDeadline;
  if (const PolicyInForce* own = replay.registry().policy(); own != nullptr && own->rules.cosign_deadline_s() != 0) {
    deadline = seconds(own->rules.cosign_deadline_s());
  }
  if (!newest_->verdict.satisfied && SecondsBetween(newest_->head.time, now) > deadline.count()) {
    std::string missing;
    for (const std::string& name : newest_->verdict.missing) missing += " " + name;
    Report(newest_->head.size, FindingKind::kPolicy, "cosignatures are missing of:" + missing);
  }
  if (options_.max_age &&
      (!satisfied_at_ || SecondsBetween(*satisfied_at_, now) > options_.max_age->count())) {
    Report(satisfied_size_, FindingKind::kStale,
           "the newest checkpoint that satisfies the policy is older than " +
               std::to_string(options_.max_age->count()) + " s");
  }
}

}  // namespace daicho
