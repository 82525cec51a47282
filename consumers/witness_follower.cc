#include "consumers/witness_follower.h"

#include <algorithm>

#include "events/topics.h"
#include "ledger/replay.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kPollRecords = 1'000;

// Of "daicho/10/ledger".
Result<int> PrefectureOf(const std::string& origin) {
  for (int prefecture = 1; prefecture <= 47; ++prefecture) {
    if (LedgerOrigin(prefecture) == origin) return prefecture;
  }
  return Invalid("origin: not a ledger's");
}

}  // namespace

struct WitnessFollower::Impl {
  Impl(Witness& for_whom, Log& in, Witness::Log found, const LedgerId& ledger, Topics names)
      : witness(for_whom),
        log(in),
        pinned(std::move(found)),
        topics(names),
        replay(ledger, pinned.registrar) {}

  Witness& witness;
  Log& log;
  const Witness::Log pinned;
  const Topics topics;
  LedgerReplay replay;
  std::unique_ptr<LogReader> entries, checkpoints;
  std::string newest;         // seen and not cosigned yet; kept through a failure that may pass
  std::string cosigned_text;  // of the checkpoint cosigned last

  Status Assign() {
    ASSIGN_OR_RETURN(entries, log.OpenReader());
    ASSIGN_OR_RETURN(checkpoints, log.OpenReader());
    ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topics.Ledger()));
    RETURN_IF_ERROR(entries->Assign(topics.Ledger(), bounds.first).status());
    ASSIGN_OR_RETURN(const Bounds heads, log.GetBounds(topics.Checkpoint()));
    return checkpoints->Assign(topics.Checkpoint(), heads.first).status();
  }

  // The newest head of the log among what has come. Others may write to the topic: theirs are
  // passed over.
  Status Look(milliseconds wait) {
    for (;;) {
      ASSIGN_OR_RETURN(auto records,
                       checkpoints->Poll(kPollRecords, newest.empty() ? wait : milliseconds(0)));
      if (records.empty()) return {};
      for (Received& record : records) {
        const auto note = ParseNote(record.value);
        // The same text comes again with cosignatures, ours among them.
        if (!note.ok() || note->text == cosigned_text || !VerifyNote(*note, pinned.key).ok())
          continue;
        newest = std::move(record.value);
      }
    }
  }

  Status ReadTo(std::uint64_t size, const std::function<void(std::uint64_t)>& read) {
    ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topics.Ledger()));
    while (replay.next_position().value() < size) {
      // No further than the checkpoint: its root is that of this size.
      const std::uint64_t missing = size - replay.next_position().value();
      ASSIGN_OR_RETURN(
          const auto records,
          entries->Poll(std::min<std::uint64_t>(missing, kPollRecords), milliseconds(100)));
      if (records.empty() && entries->Next(0) >= bounds.end) {
        return Tampered("the ledger has " + std::to_string(replay.next_position().value()) +
                        " entries, its checkpoint says " + std::to_string(size));
      }
      for (const Received& record : records) RETURN_IF_ERROR(Take(record.value));
      if (read) read(replay.next_position().value());
    }
    return replay.VerifyHeads();
  }

  Status Take(std::string_view record) {
    RETURN_IF_ERROR(replay.Next(record).status());
    if (replay.tree().size() != pinned.size || replay.tree().Root() == pinned.root) return {};
    return Tampered("the first " + std::to_string(pinned.size) +
                    " entries are no longer those that this witness has cosigned");
  }
};

WitnessFollower::WitnessFollower(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WitnessFollower::~WitnessFollower() = default;

Result<std::unique_ptr<WitnessFollower>> WitnessFollower::Open(Witness& witness, Log& log,
                                                               const std::string& origin) {
  ASSIGN_OR_RETURN(Witness::Log pinned, witness.Find(origin));
  ASSIGN_OR_RETURN(const int prefecture, PrefectureOf(origin));
  ASSIGN_OR_RETURN(const LedgerId ledger, ToArray<16>(pinned.ledger));
  auto impl = std::make_unique<Impl>(witness, log, std::move(pinned), ledger, Topics{prefecture});
  RETURN_IF_ERROR(impl->Assign());
  return std::unique_ptr<WitnessFollower>(new WitnessFollower(std::move(impl)));
}

Result<bool> WitnessFollower::Step(milliseconds wait,
                                   const std::function<void(std::uint64_t)>& read) {
  RETURN_IF_ERROR(impl_->Look(wait));
  if (impl_->newest.empty()) return false;
  ASSIGN_OR_RETURN(const TreeHead head, ParseTreeHead(impl_->newest));
  const MerkleEdge& tree = impl_->replay.tree();
  if (head.size < tree.size())
    return Tampered("the ledger's newest checkpoint is shorter than one before");
  RETURN_IF_ERROR(impl_->ReadTo(head.size, read));
  if (head.root != tree.Root()) {
    return Tampered("the checkpoint of " + std::to_string(head.size) +
                    " entries has another root than they give");
  }
  // What was cosigned before this process began was compared when the tree passed its size.
  const auto continues = [&](std::uint64_t old_size, const Digest&) {
    return old_size <= tree.size() ? Status()
                                   : Tampered("the ledger is shorter than what was cosigned");
  };
  ASSIGN_OR_RETURN(const std::string cosigned, impl_->witness.CosignAs(impl_->newest, continues));
  RETURN_IF_ERROR(impl_->log.Append(impl_->topics.Checkpoint(), {"", cosigned, {}}));
  impl_->cosigned_text = cosigned.substr(0, cosigned.find("\n\n") + 1);
  impl_->newest.clear();
  return true;
}

}  // namespace daicho
