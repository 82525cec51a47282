#include "consumers/submitter.h"

#include <fcntl.h>
#include <sys/file.h>

#include "events/merkle.h"
#include "events/topics.h"
#include "events/tree_head.h"
#include "ledger/files.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

}  // namespace

struct Submitter::Impl {
  SubmitterOptions options;
  Topics topics{};
  Descriptor lock;
  MerkleEdge tree;
  Cursor receipts_from;
  LedgerId ledger{};
  Key256 intake{};
  Key256 sequencer{};
  bool welcomed = false;
  bool anchored = false;  // some receipt has verified: from there on each must
  bool settled = false;   // what the file holds as pending was admitted: it is there for its state alone
  std::unique_ptr<LogReader> receipts;
  std::optional<SlotFile> file;

  std::string Path(const char* name) const { return options.dir + "/" + name; }

  Status Open() {
    topics = Topics{options.prefecture};
    RETURN_IF_ERROR(MakeDirectories(options.dir));
    lock = Descriptor(::open(Path("lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.get() < 0) return ErrnoStatus("opening " + Path("lock"));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return Unavailable("another process submits for issuer " + options.issuer);
    }
    file.emplace(Path("state"));
    const auto kept = ReadKept();
    if (kept.ok()) return Decode(kept->state);
    if (kept.status().code() != Code::kNotFound) return kept.status();
    if (!options.pin) return {};
    ledger = options.pin->ledger;
    intake = options.pin->intake;
    sequencer = options.pin->sequencer;
    tree = options.tree;
    welcomed = true;
    return Save();
  }

  // receipts_from(8) ‖ ledger(16) ‖ intake(32) ‖ sequencer(32) ‖ edge
  std::string Encode() const {
    std::string out;
    AppendU64(out, receipts_from.value());
    return out + std::string(View(ledger)) + std::string(View(intake)) + std::string(View(sequencer)) +
           tree.Encode();
  }

  Status Decode(std::string_view bytes) {
    if (bytes.size() < 96) return Corrupt(Path("state") + " is damaged");
    receipts_from = Cursor(ReadU64(bytes));
    ASSIGN_OR_RETURN(ledger, ToArray<16>(bytes.substr(8, 16)));
    ASSIGN_OR_RETURN(intake, ToArray<32>(bytes.substr(24, 32)));
    ASSIGN_OR_RETURN(sequencer, ToArray<32>(bytes.substr(56, 32)));
    ASSIGN_OR_RETURN(tree, MerkleEdge::Decode(bytes.substr(88)));
    welcomed = true;
    anchored = receipts_from != Cursor(0);
    return {};
  }

  // The state alone: nothing is pending.
  Status Save() { return file->Write(EncodeKept({Encode(), "", {}, ""})); }

  Status Follow() {
    if (receipts != nullptr) return {};
    ASSIGN_OR_RETURN(auto reader, options.log->OpenReader());
    Status assigned = reader->Assign(topics.Receipt(options.issuer), receipts_from).status();
    if (assigned.code() == Code::kNotFound) {
      return Denied("issuer " + options.issuer + " is not registered with this ledger");
    }
    RETURN_IF_ERROR(assigned);
    receipts = std::move(reader);
    return {};
  }

  // The next receipt that `wanted` accepts, within the wait.
  Result<v1::Receipt> AwaitReceipt(const std::function<bool(const v1::Receipt&)>& wanted) {
    RETURN_IF_ERROR(Follow());
    const auto deadline = steady_clock::now() + options.receipt_wait;
    bool passed_over = false;
    while (steady_clock::now() < deadline) {
      ASSIGN_OR_RETURN(const auto records, receipts->Poll(100, milliseconds(200)));
      for (const Received& record : records) {
        auto receipt = Verify(record.value);
        if (!receipt.ok() && !anchored && IsBeforePin(record.value)) {
          passed_over = true;
          continue;
        }
        RETURN_IF_ERROR(receipt.status());
        anchored = true;
        receipts_from = record.next;
        const bool welcome = receipt->outcome() == v1::OUTCOME_REGISTERED;
        if (welcome) RETURN_IF_ERROR(TakeOver(*receipt));
        if (!wanted(*receipt)) continue;
        if (&record != &records.back()) receipts.reset();  // what lies behind it is read the next time
        return receipt;
      }
      if (passed_over && !anchored) RETURN_IF_ERROR(CheckPin());
    }
    return Unavailable("no receipt within " + std::to_string(options.receipt_wait.count() / 1000) +
                       " s; is a sequencer running? The submission stays pending");
  }

  Result<v1::Receipt> Verify(const std::string& record) const {
    Key256 key = sequencer;
    if (!welcomed) {
      // Trust on first use: the welcome names the key that signs it.
      v1::SignedReceipt envelope;
      v1::Receipt receipt;
      if (!envelope.ParseFromString(record) || !receipt.ParseFromString(envelope.receipt())) {
        return Corrupt("receipt cannot be decoded");
      }
      ASSIGN_OR_RETURN(key, ToArray<32>(receipt.welcome().sequencer_public_key()));
    }
    ASSIGN_OR_RETURN(const VerifyingKey verifier, VerifyingKey::From(key));
    return VerifyReceipt(record, verifier);
  }

  // A receipt that the pinned key did not sign, as there may be from before it was in force. What names it as
  // the next is the last of them; nothing else is believed of it.
  bool IsBeforePin(const std::string& record) {
    v1::SignedReceipt envelope;
    v1::Receipt receipt;
    if (!envelope.ParseFromString(record) || !receipt.ParseFromString(envelope.receipt())) return false;
    anchored = receipt.outcome() == v1::OUTCOME_REGISTERED &&
               receipt.welcome().sequencer_public_key() == View(sequencer);
    return true;
  }

  // With nothing verified up to the topic's end, the pinned key is another ledger's.
  Status CheckPin() {
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Receipt(options.issuer)));
    if (receipts->Next(0) < bounds.end) return {};
    return Tampered("the receipts are not signed by the pinned key of the ledger");
  }

  // Of a verified welcome: the keys that hold from here on.
  Status TakeOver(const v1::Receipt& receipt) {
    const v1::Welcome& welcome = receipt.welcome();
    if (welcomed && receipt.ledger() != View(ledger)) return Tampered("a welcome of another ledger");
    ASSIGN_OR_RETURN(ledger, ToArray<16>(receipt.ledger()));
    ASSIGN_OR_RETURN(intake, ToArray<32>(welcome.intake_public_key()));
    ASSIGN_OR_RETURN(sequencer, ToArray<32>(welcome.sequencer_public_key()));
    const std::string origin = IssuerOrigin(options.prefecture, options.issuer);
    if (!options.next_key || welcome.issuer_key_id() == NoteKeyId(origin, options.key.public_key())) return {};
    ASSIGN_OR_RETURN(const std::optional<SigningKey> next, options.next_key());
    if (!next || welcome.issuer_key_id() != NoteKeyId(origin, next->public_key())) return {};
    if (options.on_next_key) RETURN_IF_ERROR(options.on_next_key());
    options.key = *next;
    return {};
  }

  Status AwaitWelcome() {
    if (welcomed) return {};
    RETURN_IF_ERROR(AwaitReceipt([](const v1::Receipt& r) { return r.outcome() == v1::OUTCOME_REGISTERED; }).status());
    welcomed = true;
    return Save();
  }

  // Refused for nothing but the keys that it was built with.
  static bool IsForKeys(const v1::Receipt& receipt) {
    if (receipt.outcome() != v1::OUTCOME_REJECTED || receipt.violations_size() != 1) return false;
    const v1::Violation& violation = receipt.violations(0);
    return (violation.field() == "body" && violation.rule() == "sealed") ||
           (violation.field() == "head" && violation.rule() == "signature");
  }

  // What a crash leaves: the state, and what was built on it and is pending.
  struct Kept {
    std::string state;
    std::string tag;
    MerkleEdge after;  // the tree that the receipt will confirm
    std::string submission;  // empty: nothing is pending
  };

  // state length(8) ‖ state ‖ tag length(8) ‖ tag ‖ edge length(8) ‖ edge ‖ submission
  static std::string EncodeKept(const Kept& kept) {
    std::string out;
    for (const std::string& part : {kept.state, kept.tag, kept.after.Encode()}) {
      AppendU64(out, part.size());
      out += part;
    }
    return out + kept.submission;
  }

  Result<Kept> ReadKept() {
    ASSIGN_OR_RETURN(const std::string read, file->Read());
    std::string_view bytes = read;
    const auto take = [&]() -> Result<std::string_view> {
      if (bytes.size() < 8 || bytes.size() - 8 < ReadU64(bytes)) return Corrupt(Path("state") + " is damaged");
      const std::string_view out = bytes.substr(8, ReadU64(bytes));
      bytes.remove_prefix(8 + out.size());
      return out;
    };
    Kept out;
    ASSIGN_OR_RETURN(out.state, take());
    ASSIGN_OR_RETURN(out.tag, take());
    ASSIGN_OR_RETURN(const std::string_view edge, take());
    ASSIGN_OR_RETURN(out.after, MerkleEdge::Decode(edge));
    out.submission = bytes;
    return out;
  }

  Result<Kept> Build(const std::vector<DraftEvent>& events, const std::string& tag) const {
    v1::SubmissionBody body;
    Kept out{Encode(), tag, tree, {}};
    for (const DraftEvent& event : events) {
      *body.add_drafts() = MakeDraft(event, options.issuer, Sequence(out.after.size() + 1));
      out.after.Append(LeafHash(body.drafts().rbegin()->header()));
    }
    TreeHead head;
    head.origin = IssuerOrigin(options.prefecture, options.issuer);
    head.size = out.after.size();
    head.root = out.after.Root();
    head.ledger = View(ledger);
    head.time = options.clock->Now();
    ASSIGN_OR_RETURN(const std::string note, TrySignTreeHead(head, options.key));
    ASSIGN_OR_RETURN(out.submission, SealSubmission(body, note, intake, ledger));
    if (out.submission.size() > kRecordBytesMax) return Invalid("the submission is larger than 64 MiB");
    return out;
  }

  // Sends what is pending (again) and takes its receipt.
  Result<v1::Receipt> Settle(Kept pending) {
    v1::Submission submission;
    if (!submission.ParseFromString(pending.submission)) return Corrupt("the pending submission is damaged");
    const Digest name = Sha256Of({submission.head()});
    const Record record{options.issuer, std::move(pending.submission), {}};
    Status appended = options.log->Append(topics.Inbox(options.issuer), record);
    if (appended.code() == Code::kNotFound) {
      return Denied("issuer " + options.issuer + " is not registered with this ledger");
    }
    RETURN_IF_ERROR(appended);
    ASSIGN_OR_RETURN(v1::Receipt receipt, AwaitReceipt([&](const v1::Receipt& r) {
                       return r.outcome() != v1::OUTCOME_REGISTERED && r.submission() == View(name);
                     }));
    if (receipt.outcome() != v1::OUTCOME_REJECTED) tree = std::move(pending.after);
    if (options.on_receipt) RETURN_IF_ERROR(options.on_receipt(pending.tag, receipt));
    settled = true;
    // A head that is void is never sent again.
    if (receipt.outcome() == v1::OUTCOME_REJECTED) RETURN_IF_ERROR(PutDown());
    return receipt;
  }

  // The state by itself in place of the settled submission.
  Status PutDown() { return settled ? Save() : Status(); }
};

Submitter::Submitter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Submitter::~Submitter() {
  // A failure costs that the last submission is sent once more.
  if (impl_->lock.get() >= 0) (void)impl_->PutDown();
}

Result<std::unique_ptr<Submitter>> Submitter::Open(SubmitterOptions options) {
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Submitter>(new Submitter(std::move(impl)));
}

Result<std::optional<v1::Receipt>> Submitter::SettlePending() {
  if (impl_->settled || !impl_->welcomed) return std::optional<v1::Receipt>();
  ASSIGN_OR_RETURN(auto kept, impl_->ReadKept());
  if (kept.submission.empty()) return std::optional<v1::Receipt>();
  ASSIGN_OR_RETURN(v1::Receipt receipt, impl_->Settle(std::move(kept)));
  return std::optional(std::move(receipt));
}

Result<v1::Receipt> Submitter::Submit(const std::vector<DraftEvent>& events, const std::string& tag) {
  CHECK(!events.empty() && events.size() <= kEventsPerSubmissionMax);
  RETURN_IF_ERROR(impl_->AwaitWelcome());
  RETURN_IF_ERROR(SettlePending().status());
  for (;;) {
    const Key256 sealed_to = impl_->intake, signed_by = impl_->options.key.public_key();
    ASSIGN_OR_RETURN(auto pending, impl_->Build(events, tag));
    // On disk before it leaves: a crash must not make the issuer sign a second history.
    RETURN_IF_ERROR(impl_->file->Write(Impl::EncodeKept(pending)));
    impl_->settled = false;
    ASSIGN_OR_RETURN(v1::Receipt receipt, impl_->Settle(std::move(pending)));
    // Once per change of keys that the receipts have told of on the way.
    const bool changed = impl_->intake != sealed_to || impl_->options.key.public_key() != signed_by;
    if (!changed || !Impl::IsForKeys(receipt)) return receipt;
  }
}

Result<std::vector<v1::Receipt>> Submitter::AllOf(v1::Outcome outcome) {
  RETURN_IF_ERROR(impl_->AwaitWelcome());
  const std::string topic = impl_->topics.Receipt(impl_->options.issuer);
  ASSIGN_OR_RETURN(const Bounds bounds, impl_->options.log->GetBounds(topic));
  ASSIGN_OR_RETURN(const auto reader, impl_->options.log->OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
  std::vector<v1::Receipt> out;
  Key256 key = impl_->sequencer;
  bool in_force = false;
  while (reader->Next(0) < bounds.end) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(1'000, milliseconds(200)));
    for (const Received& record : records) {
      ASSIGN_OR_RETURN(const VerifyingKey verifier, VerifyingKey::From(key));
      auto receipt = VerifyReceipt(record.value, verifier);
      if (!receipt.ok() && !in_force) continue;
      RETURN_IF_ERROR(receipt.status());
      in_force = true;
      if (receipt->outcome() == v1::OUTCOME_REGISTERED) {
        ASSIGN_OR_RETURN(key, ToArray<32>(receipt->welcome().sequencer_public_key()));
      }
      if (receipt->outcome() == outcome) out.push_back(*std::move(receipt));
    }
  }
  return out;
}

const LedgerId& Submitter::ledger() const { return impl_->ledger; }
std::uint64_t Submitter::size() const { return impl_->tree.size(); }

}  // namespace daicho
