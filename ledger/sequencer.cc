#include "ledger/sequencer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "events/dates.h"
#include "events/erasure.pb.h"
#include "events/retention.h"
#include "events/topics.h"
#include "ledger/erasure.h"
#include "ledger/generation.h"
#include "ledger/residents.h"
#include "ledger/state_overlay.h"
#include "ledger/submission.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kPreparedBytesMax = 48u << 20;
constexpr std::size_t kReplayBatch = 10'000;
constexpr milliseconds kInboxWait{50};
constexpr char kPurpose[] = "sequencer state";

const std::vector<std::string> kFamilies = {"meta",     "residents",   "numbers",
                                            "notices",  "submissions", "subjects"};
enum : Family { kMeta, kResidents, kNumbers, kNotices, kSubmissions, kSubjects };

// A submission read from an inbox, on its way through the stages.
struct Arrival {
  std::string issuer;
  Cursor next;
  std::size_t bytes = 0;
  PreparedSubmission prepared;
};

// A notice that may be admitted, and the key that will seal it.
struct Judged {
  Decision decision;
  Key256 key{};
};

// What the committer appends and then stores.
struct Batch {
  std::vector<TopicRecord> records;  // per submission its entries, then the receipts that speak of them
  std::vector<std::size_t> unsigned_receipts;  // which of those are receipts still to be signed
  std::deque<std::string> texts;     // what their headers refer to
  std::size_t events = 0;
  std::size_t bytes = 0;
  bool erases = false;  // orders an erasure: the last batch before it is carried out
  StoreBatch state;
  Position end;
  std::string intake;                      // public key in force at the end
  std::map<std::string, Cursor> answered;  // per issuer, up to where in its inbox
  Sequencer::Counters counters;
};

v1::Violation SubmissionViolation(const char* field, const char* rule, std::string message,
                                  std::uint64_t expected = 0) {
  v1::Violation out;
  out.set_field(field);
  out.set_rule(rule);
  out.set_message(std::move(message));
  out.set_expected(expected);
  return out;
}

std::string SubmissionKey(const std::string& issuer, const Digest& head) {
  return issuer + "/" + std::string(View(head));
}

constexpr std::size_t kSubjectKeyBytes = 12;
std::string SubjectKeyValue(KeySlot slot, std::uint32_t next_step) {
  std::string out;
  AppendU64(out, slot.value());
  AppendU32(out, next_step);
  return out;
}

std::string PositionsValue(std::uint64_t first, std::uint64_t last) {
  std::string out;
  AppendU64(out, first);
  AppendU64(out, last);
  return out;
}

}  // namespace

struct Sequencer::Impl {
  explicit Impl(SequencerOptions o)
      : options(std::move(o)), topics{options.prefecture},
        replay(options.ledger, options.registrar_public_key) {}

  SequencerOptions options;
  Topics topics;
  std::unique_ptr<Store> store;
  std::unique_ptr<StateOverlay> state;
  std::unique_ptr<Residents> residents;
  LedgerReplay replay;
  std::unique_ptr<LogWriter> writer;
  std::atomic<std::uint64_t> committed_position{0};
  std::atomic<std::uint64_t> admitted{0}, repeated{0}, rejected{0}, events{0};

  // Shared with the preparing and the committing thread.
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::pair<std::string, Cursor>> to_assign;  // guarded by mutex, like all below
  std::deque<Arrival> arrivals;
  std::size_t arrivals_bytes = 0;
  std::unique_ptr<Batch> committing;
  Status failure;
  bool stopping = false;
  LedgerKeys ledger_keys;
  std::string committed_intake;              // public key in force, of what is committed
  std::map<std::string, Cursor> committed;   // per issuer, its inbox up to there is answered
  std::string drain_of;                      // the intake key that committed_intake was when goals were set
  std::map<std::string, Cursor> drain_goal;

  // Of the judging thread.
  Batch batch;
  std::map<std::string, v1::Receipt> refusals;  // by issuer, what was rejected since its last admission
  std::map<std::string, Cursor> answered;       // by issuer, behind its last submission that was judged
  SigningKey receipt_key;                       // in force

  // --- catching up -------------------------------------------------------------------------------

  Status OpenState() {
    residents.reset();
    state.reset();
    store.reset();
    RETURN_IF_ERROR(DropOldGenerations(options.state_dir, *options.keys, "", options.at_rest));
    StoreOptions store_options;
    store_options.families = kFamilies;
    store_options.write_ahead_log = false;  // the ledger is its log
    ASSIGN_OR_RETURN(store,
                     OpenGeneration(store_options, options.state_dir, *options.keys, "", options.at_rest, kPurpose));
    state = std::make_unique<StateOverlay>(*store);
    residents = std::make_unique<Residents>(*state, ResidentFamilies{kResidents, kNumbers, kNotices});
    return {};
  }

  // Becomes the writer, forgets what is not in the log, and reads what is.
  Status Recover() {
    batch = Batch();
    refusals.clear();
    ASSIGN_OR_RETURN(writer, options.log->OpenWriter(topics.Prefix() + "sequencer"));
    RETURN_IF_ERROR(Reread());
    ASSIGN_OR_RETURN(const bool erased, CarryOutErasures(*options.log, topics.Ledger(), replay.registry().erasures(),
                                                         *options.keys));
    if (erased) {
      RETURN_IF_ERROR(OpenState());
      RETURN_IF_ERROR(Reread());
    }
    committed_position = replay.next_position().value();
    RETURN_IF_ERROR(LoadKeys());
    RETURN_IF_ERROR(TakeReceiptKey());
    answered.clear();
    for (const auto& [issuer, registered] : replay.registry().issuers()) {
      ASSIGN_OR_RETURN(answered[issuer], ResumeAt(issuer));
    }
    for (const auto& [agency, registered] : replay.registry().agencies()) {
      RETURN_IF_ERROR(CreateAgencyTopics(agency));
    }
    if (replay.next_position() == Position(0)) {
      const std::string registrar = RoleIssuer(options.prefecture, "registrar");
      ASSIGN_OR_RETURN(answered[registrar], ResumeAt(registrar));
    }
    const std::lock_guard lock(mutex);
    to_assign.assign(answered.begin(), answered.end());
    committed = answered;
    committed_intake = InForce(replay.registry(), v1::KEY_USE_INTAKE);
    return {};
  }

  // --- the ledger's own keys ---------------------------------------------------------------------

  Status LoadKeys() {
    ASSIGN_OR_RETURN(LedgerKeys loaded, options.ledger_keys());
    const std::lock_guard lock(mutex);
    ledger_keys = std::move(loaded);
    return {};
  }

  // Public key; empty: none.
  static std::string InForce(const Registry& registry, v1::KeyUse use) {
    const auto current = registry.CurrentKey(use, "");
    return current.ok() ? current->key : "";
  }

  bool HoldsInForce(const Registry& registry) {
    const std::lock_guard lock(mutex);
    const std::string sequencer = InForce(registry, v1::KEY_USE_SEQUENCER);
    const std::string intake = InForce(registry, v1::KEY_USE_INTAKE);
    return std::any_of(ledger_keys.receipts.begin(), ledger_keys.receipts.end(),
                       [&](const SigningKey& key) { return View(key.public_key()) == sequencer; }) &&
           std::any_of(ledger_keys.intake.begin(), ledger_keys.intake.end(),
                       [&](const HpkeKeyPair& key) { return View(key.public_key) == intake; });
  }

  // Requires: mutex is held.
  bool HoldsIntake() const {
    return committed_intake.empty() ||
           std::any_of(ledger_keys.intake.begin(), ledger_keys.intake.end(),
                       [&](const HpkeKeyPair& key) { return View(key.public_key) == committed_intake; });
  }

  // Does the node hold the keys that `after` has put in force? Nobody could read or sign for it otherwise.
  bool CanFollow(const Registry& after) {
    if (InForce(after, v1::KEY_USE_SEQUENCER) == InForce(replay.registry(), v1::KEY_USE_SEQUENCER) &&
        InForce(after, v1::KEY_USE_INTAKE) == InForce(replay.registry(), v1::KEY_USE_INTAKE)) {
      return true;
    }
    return LoadKeys().ok() && HoldsInForce(after);
  }

  // The one in force; before the opening the newest.
  Status TakeReceiptKey() {
    const std::string in_force = InForce(replay.registry(), v1::KEY_USE_SEQUENCER);
    const std::lock_guard lock(mutex);
    for (const SigningKey& key : ledger_keys.receipts) {
      if (!in_force.empty() && View(key.public_key()) != in_force) continue;
      // Those so far are by the key before it.
      if (receipt_key.public_key() != key.public_key()) RETURN_IF_ERROR(SignReceipts());
      receipt_key = key;
      return {};
    }
    return Denied("the node does not hold the ledger's sequencer key in force");
  }

  // By the key in force or one before it: nobody is written to at a rotation but by the old key.
  Result<v1::Receipt> VerifyOwnReceipt(std::string_view record) const {
    const auto spans = replay.registry().Keys(v1::KEY_USE_SEQUENCER, "");
    if (spans.empty()) {
      ASSIGN_OR_RETURN(const auto key, VerifyingKey::From(receipt_key.public_key()));
      return VerifyReceipt(record, key);
    }
    Result<v1::Receipt> out = Tampered("no key of the ledger");
    for (auto span = spans.rbegin(); span != spans.rend() && !out.ok(); ++span) {
      ASSIGN_OR_RETURN(const Key256 bytes, ToArray<32>(span->key));
      ASSIGN_OR_RETURN(const auto key, VerifyingKey::From(bytes));
      out = VerifyReceipt(record, key);
    }
    return out;
  }

  // Tells an issuer of the keys in force. Its last receipt says where its inbox is read on, and which of its
  // heads is void: so what is still true of it is said again behind.
  Status AddWelcome(const std::string& issuer) {
    const Registry& registry = replay.registry();
    v1::Receipt receipt;
    receipt.set_version(kReceiptVersion);
    receipt.set_ledger(std::string(View(options.ledger)));
    receipt.set_issuer(issuer);
    receipt.set_outcome(v1::OUTCOME_REGISTERED);
    receipt.set_inbox_next(answered[issuer].value());
    v1::Welcome& welcome = *receipt.mutable_welcome();
    welcome.set_prefecture(static_cast<std::uint32_t>(options.prefecture));
    welcome.set_intake_public_key(InForce(registry, v1::KEY_USE_INTAKE));
    welcome.set_sequencer_public_key(InForce(registry, v1::KEY_USE_SEQUENCER));
    welcome.set_issuer_key_id(IssuerKeyId(registry, issuer));
    return AddReceipt(receipt);
  }
  Status RepeatRefusal(const std::string& issuer) {
    const auto refused = refusals.find(issuer);
    if (refused == refusals.end()) return {};
    v1::Receipt again = refused->second;
    again.set_inbox_next(answered[issuer].value());
    return AddReceipt(again);
  }

  // Tells each municipality what a comparison found of its residents, in the append that holds the comparison.
  Status TellResults(const std::string& payload) {
    v1::ConsistencyRun run;
    if (!run.ParseFromString(payload)) return {};  // a sealed payload is judged by who reads it
    for (v1::MunicipalityResult& result : *run.mutable_results()) {
      const std::string issuer = result.municipality();
      if (!answered.contains(issuer)) continue;  // no issuer of this ledger
      v1::Receipt receipt;
      receipt.set_version(kReceiptVersion);
      receipt.set_ledger(std::string(View(options.ledger)));
      receipt.set_issuer(issuer);
      receipt.set_outcome(v1::OUTCOME_COMPARED);
      receipt.set_inbox_next(answered[issuer].value());
      v1::ComparisonResult& comparison = *receipt.mutable_comparison();
      comparison.set_run(run.run());
      comparison.set_holder(run.holder());
      comparison.set_holder_as_of(run.holder_as_of());
      comparison.set_evaluated_at(run.evaluated_at());
      comparison.mutable_result()->Swap(&result);
      RETURN_IF_ERROR(AddReceipt(receipt));
      RETURN_IF_ERROR(RepeatRefusal(issuer));
    }
    return {};
  }

  // Empty: none, or revoked.
  static std::string IssuerKeyId(const Registry& registry, const std::string& issuer) {
    const auto current = registry.CurrentKey(v1::KEY_USE_ISSUER, issuer);
    return current.ok() ? current->key_id : "";
  }

  // After an admission: `before` is the registry without it.
  Status Announce(const Registry& before) {
    const Registry& after = replay.registry();
    std::vector<std::string> newcomers, told;
    const bool all = InForce(before, v1::KEY_USE_SEQUENCER) != InForce(after, v1::KEY_USE_SEQUENCER) ||
                     InForce(before, v1::KEY_USE_INTAKE) != InForce(after, v1::KEY_USE_INTAKE);
    for (const auto& [issuer, registered] : after.issuers()) {
      if (!before.issuers().contains(issuer)) {
        if (!answered.contains(issuer)) newcomers.push_back(issuer);  // not the registrar's own opening
      } else if (all || IssuerKeyId(after, issuer) != IssuerKeyId(before, issuer)) {
        told.push_back(issuer);
      }
    }
    // The old key vouches for the new one; what follows verifies by the new.
    for (const std::string& issuer : told) RETURN_IF_ERROR(AddWelcome(issuer));
    RETURN_IF_ERROR(TakeReceiptKey());
    for (const std::string& issuer : told) RETURN_IF_ERROR(RepeatRefusal(issuer));
    for (const std::string& issuer : newcomers) {
      RETURN_IF_ERROR(CreateIssuerTopics(issuer));
      RETURN_IF_ERROR(AddWelcome(issuer));
      const std::lock_guard lock(mutex);
      to_assign.emplace_back(issuer, Cursor(0));
    }
    for (const auto& [agency, registered] : after.agencies()) {
      if (!before.agencies().contains(agency)) RETURN_IF_ERROR(CreateAgencyTopics(agency));
    }
    return {};
  }

  // Brings the state up to the ledger's end.
  Status Reread() {
    state->Reset();
    replay = LedgerReplay(options.ledger, options.registrar_public_key);
    if (Status status = replay.Load(*store, kMeta); !status.ok() && status.code() != Code::kNotFound) {
      return status;
    }
    return CatchUp().With("reading the ledger back");
  }

  Result<bool> IntakeDrained(const Key256& newest) {
    std::map<std::string, Cursor> done;
    {
      const std::lock_guard lock(mutex);
      if (committed_intake != View(newest)) return false;
      done = committed;
    }
    if (drain_of != View(newest)) {
      std::map<std::string, Cursor> goal;
      for (const auto& [issuer, cursor] : done) {
        ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Inbox(issuer)));
        goal[issuer] = bounds.end;
      }
      drain_goal = std::move(goal);
      drain_of = View(newest);
    }
    return std::all_of(drain_goal.begin(), drain_goal.end(),
                       [&](const auto& goal) { return done[goal.first] >= goal.second; });
  }

  Status CreateIssuerTopics(const std::string& issuer) {
    RETURN_IF_ERROR(options.log->CreateTopic(topics.Inbox(issuer)));
    return options.log->CreateTopic(topics.Receipt(issuer));
  }

  Status CreateAgencyTopics(const std::string& agency) {
    for (const std::string& topic : topics.OfAgency(agency)) RETURN_IF_ERROR(options.log->CreateTopic(topic));
    return {};
  }

  // Behind the last submission of the issuer that was answered.
  Result<Cursor> ResumeAt(const std::string& issuer) {
    auto last = options.log->ReadLast(topics.Receipt(issuer));
    if (last.status().code() == Code::kNotFound) {
      RETURN_IF_ERROR(CreateIssuerTopics(issuer));
      return Cursor(0);
    }
    RETURN_IF_ERROR(last.status());
    auto receipt = VerifyOwnReceipt(last->value);
    if (!receipt.ok()) return receipt.status().With("last receipt of issuer " + issuer);
    const Cursor next(receipt->inbox_next());
    if (receipt->outcome() == v1::OUTCOME_REJECTED) refusals[issuer] = std::move(*receipt);
    return next;
  }

  Status CatchUp() {
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Ledger()));
    ASSIGN_OR_RETURN(const Cursor from,
                     FindEntry(*options.log, topics.Ledger(), replay.next_position()));
    ASSIGN_OR_RETURN(auto reader, options.log->OpenReader());
    RETURN_IF_ERROR(reader->Assign(topics.Ledger(), from).status());
    EntryPreparer preparer;
    std::uint64_t first = replay.next_position().value();
    std::size_t unsaved = 0;
    while (reader->Next(0) < bounds.end) {
      ASSIGN_OR_RETURN(const auto received, reader->Poll(kReplayBatch, milliseconds(100)));
      for (std::size_t i = 0; i < received.size(); ++i) {
        ASSIGN_OR_RETURN(const auto entry, replay.Next(preparer.Of(received, i)));
        if (Status status = Reapply(entry); !status.ok()) {
          return status.With("position " + std::to_string(entry.position.value()));
        }
        ++unsaved;
        if (!entry.ends_submission) continue;
        const Digest head = Sha256Of({replay.IssuerHead(entry)});
        state->Put(kSubmissions, SubmissionKey(entry.header.issuer(), head),
                   PositionsValue(first, entry.position.value()));
        state->Keep();
        first = entry.position.value() + 1;
        if (unsaved >= kReplayBatch) {
          RETURN_IF_ERROR(SaveReplayed());
          unsaved = 0;
        }
      }
    }
    if (!replay.between_submissions()) return Tampered("the ledger ends inside a submission");
    return SaveReplayed();
  }

  Status SaveReplayed() {
    RETURN_IF_ERROR(replay.VerifyHeads());
    StoreBatch changes = state->Seal();
    replay.Save(changes, kMeta);
    RETURN_IF_ERROR(store->Write(changes, false));
    state->Land();
    return {};
  }

  // Takes an admitted entry into the state: the same rules as at its admission must say the same.
  Status Reapply(const LedgerReplay::Checked& entry) {
    if (entry.header.kind() != v1::EVENT_KIND_UPDATE) {
      for (int i = 0; i < entry.leaf.keys_size(); ++i) {
        const v1::KeyReference& key = entry.leaf.keys(i);
        if (key.slot() >= options.keys->next_slot().value()) {
          return NotFound("the key store has no row " + std::to_string(key.slot()) + ": it is older than the ledger");
        }
        PutSubjectKey(key.subject(), entry.header.retention(), KeySlot(key.slot()), key.step() + 1);
      }
      return {};
    }
    const v1::KeyReference& key = entry.leaf.keys(0);
    const auto payload = OpenPart(entry, 0, *options.keys);
    if (payload.status().code() == Code::kErased) {
      return PutErased(entry);
    }
    RETURN_IF_ERROR(payload.status());
    v1::UpdateNotice notice;
    if (!notice.ParseFromString(*payload)) return Corrupt("notice cannot be decoded");
    const std::string digest = NoticeDigest(*payload);
    ASSIGN_OR_RETURN(Decision decision, residents->Decide(notice, entry.header.issuer(), digest));
    if (!decision.violations.empty() || decision.effect != entry.leaf.effect()) {
      return ReapplyAfterErased(entry, notice, digest);
    }
    if (decision.effect == v1::EFFECT_ENTERED) {
      ASSIGN_OR_RETURN(decision.resident.handle, ToArray<16>(key.subject()));
      decision.resident.slot = KeySlot(key.slot());
    } else if (key.subject() != View(decision.resident.handle) ||
               key.slot() != decision.resident.slot.value() || key.step() != decision.resident.next_step) {
      return Tampered("the entry is sealed under another key than its subject's");
    }
    return residents->Apply(decision, notice, entry.header.issuer(), digest);
  }

  // Of an erased notice, what its leaf tells: slot and step, and whose resident it made the subject.
  Status PutErased(const LedgerReplay::Checked& entry) {
    const v1::KeyReference& key = entry.leaf.keys(0);
    const std::string name = key.subject() + static_cast<char>(v1::RETENTION_CLASS_NOTICE);
    ASSIGN_OR_RETURN(const auto before, state->Get(kSubjects, name));
    const v1::Effect effect = entry.leaf.effect();
    const bool settles = effect == v1::EFFECT_ENTERED || Supersedes(effect);
    std::string value = SubjectKeyValue(KeySlot(key.slot()), key.step() + 1);
    value += settles || !before ? entry.header.issuer() : before->substr(kSubjectKeyBytes);
    state->Put(kSubjects, name, std::move(value));
    return {};
  }

  // What cannot be judged again because notices before it are erased is taken as it was admitted: the first
  // that is left tells all that there is to know, and a repeat or a late removal may speak of what is gone.
  Status ReapplyAfterErased(const LedgerReplay::Checked& entry, const v1::UpdateNotice& notice,
                            const std::string& digest) {
    const v1::KeyReference& key = entry.leaf.keys(0);
    ASSIGN_OR_RETURN(const auto erased,
                     state->Get(kSubjects, key.subject() + static_cast<char>(v1::RETENTION_CLASS_NOTICE)));
    if (!erased) return Tampered("the admitted notice does not follow from those before it");
    Resident resident;
    ASSIGN_OR_RETURN(resident.handle, ToArray<16>(key.subject()));
    resident.slot = KeySlot(key.slot());
    resident.next_step = key.step();
    resident.municipality = erased->substr(kSubjectKeyBytes);
    return residents->Adopt(std::move(resident), entry.leaf.effect(), notice, entry.header.issuer(), digest);
  }

  void PutSubjectKey(const std::string& subject, v1::RetentionClass retention, KeySlot slot,
                     std::uint32_t next_step) {
    state->Put(kSubjects, subject + static_cast<char>(retention), SubjectKeyValue(slot, next_step));
  }

  // --- prepare: its own thread -------------------------------------------------------------------

  void PrepareLoop() {
    auto failed = [&](Status status) {
      const std::lock_guard lock(mutex);
      if (failure.ok()) failure = std::move(status);
      changed.notify_all();
    };
    auto opened = options.log->OpenReader();
    if (!opened.ok()) return failed(opened.status());
    LogReader& reader = **opened;
    std::vector<std::string> sources;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return stopping || arrivals_bytes < kPreparedBytesMax; });
        if (stopping) return;
        // Without the intake key everything would be refused; the registrar still seals to the one that is held.
        std::deque<std::pair<std::string, Cursor>> waiting;
        for (; !to_assign.empty(); to_assign.pop_front()) {
          const auto& [issuer, from] = to_assign.front();
          if (!HoldsIntake() && issuer != RoleIssuer(options.prefecture, "registrar")) {
            waiting.push_back(to_assign.front());
            continue;
          }
          auto source = reader.Assign(topics.Inbox(issuer), from);
          if (!source.ok()) {
            if (failure.ok()) failure = source.status();
            changed.notify_all();
            return;
          }
          sources.resize(*source + 1);
          sources[*source] = issuer;
        }
        to_assign = std::move(waiting);
      }
      auto received = reader.Poll(16, kInboxWait);
      if (!received.ok()) return failed(received.status());
      std::vector<HpkeKeyPair> intake;
      {
        const std::lock_guard lock(mutex);
        intake = ledger_keys.intake;
      }
      for (Received& record : *received) {
        Arrival arrival{sources[record.source], record.next, record.value.size(), {}};
        arrival.prepared = PrepareSubmission(record.value, arrival.issuer, options.prefecture,
                                             options.ledger, intake);
        const std::lock_guard lock(mutex);
        if (stopping) return;
        arrivals_bytes += arrival.bytes;
        arrivals.push_back(std::move(arrival));
        changed.notify_all();
      }
    }
  }

  // --- judge: Run's thread -----------------------------------------------------------------------

  Status Judge(Arrival& arrival) {
    PreparedSubmission& submission = arrival.prepared;
    v1::Receipt receipt;
    receipt.set_version(kReceiptVersion);
    receipt.set_ledger(std::string(View(options.ledger)));
    receipt.set_issuer(arrival.issuer);
    receipt.set_submission(std::string(View(submission.head_digest)));
    receipt.set_inbox_next(arrival.next.value());

    const std::string key = SubmissionKey(arrival.issuer, submission.head_digest);
    ASSIGN_OR_RETURN(const auto known, state->Get(kSubmissions, key));
    if (known) {
      receipt.set_outcome(v1::OUTCOME_ALREADY_ADMITTED);
      receipt.set_first_position(ReadU64(*known));
      receipt.set_last_position(ReadU64(std::string_view(*known).substr(8)));
      ++batch.counters.repeated;
    } else if (const auto refused = refusals.find(arrival.issuer);
               refused != refusals.end() && refused->second.submission() == receipt.submission()) {
      // The receipt made this head void: the issuer may have seen it and signed another.
      receipt.set_outcome(v1::OUTCOME_REJECTED);
      *receipt.mutable_violations() = refused->second.violations();
      ++batch.counters.rejected;
    } else {
      RETURN_IF_ERROR(CheckHead(arrival));
      // Rules about residents are judged only for a submission that is its issuer's next word.
      std::vector<Judged> judged;
      if (IsNext(arrival)) RETURN_IF_ERROR(Decide(arrival, judged));
      if (submission.violations.empty()) {
        RETURN_IF_ERROR(Admit(arrival, judged, receipt));
      } else {
        state->Drop();
        receipt.set_outcome(v1::OUTCOME_REJECTED);
        std::stable_sort(submission.violations.begin(), submission.violations.end(),
                         [](const auto& a, const auto& b) { return a.item() < b.item(); });
        for (v1::Violation& violation : submission.violations) {
          *receipt.add_violations() = std::move(violation);
        }
        refusals[arrival.issuer] = receipt;
        ++batch.counters.rejected;
      }
    }
    const IssuerState* issuer = replay.FindIssuer(arrival.issuer);
    if (issuer != nullptr) {
      receipt.set_issuer_size(issuer->tree.size());
      receipt.set_issuer_root(std::string(View(issuer->tree.Root())));
    }
    answered[arrival.issuer] = arrival.next;
    return AddReceipt(receipt);
  }

  Status AddReceipt(v1::Receipt& receipt) {
    receipt.set_decided_at(options.clock->Now().value());
    TopicRecord record;
    record.topic = topics.Receipt(receipt.issuer());
    record.record.key = receipt.submission();
    record.record.value = receipt.SerializeAsString();
    batch.bytes += record.record.value.size();
    batch.unsigned_receipts.push_back(batch.records.size());
    batch.records.push_back(std::move(record));
    batch.answered[receipt.issuer()] = answered[receipt.issuer()];
    return {};
  }

  // Together, since a token takes its time for each signature.
  Status SignReceipts() {
    if (batch.unsigned_receipts.empty()) return {};
    std::vector<std::string> receipts;
    for (const std::size_t at : batch.unsigned_receipts) receipts.push_back(std::move(batch.records[at].record.value));
    ASSIGN_OR_RETURN(receipts, daicho::SignReceipts(std::move(receipts), receipt_key));
    for (std::size_t i = 0; i < receipts.size(); ++i) {
      batch.records[batch.unsigned_receipts[i]].record.value = std::move(receipts[i]);
    }
    batch.unsigned_receipts.clear();
    return {};
  }

  bool IsNext(const Arrival& arrival) const {
    return arrival.prepared.readable &&
           std::none_of(arrival.prepared.violations.begin(), arrival.prepared.violations.end(),
                        [](const v1::Violation& v) { return v.field() == "head"; });
  }

  // The signature, and that the head continues what the issuer said before.
  Status CheckHead(Arrival& arrival) {
    PreparedSubmission& submission = arrival.prepared;
    if (!submission.readable) return {};
    auto refuse = [&](const char* rule, std::string message, std::uint64_t expected = 0) {
      submission.violations.push_back(SubmissionViolation("head", rule, std::move(message), expected));
      return Status();
    };
    MerkleEdge tree;
    VerifyingKey key;
    if (const IssuerState* issuer = replay.FindIssuer(arrival.issuer)) {
      if (!issuer->key) return refuse("revoked", "この発行者の鍵は失効しています");
      tree = issuer->tree;
      key = *issuer->key;
    } else if (replay.next_position() == Position(0)) {
      ASSIGN_OR_RETURN(key, VerifyingKey::From(options.registrar_public_key));
    } else {
      return refuse("issuer", "登録されていない発行者です");
    }
    if (!VerifyTreeHead(submission.head_note, key).ok()) return refuse("signature", "署名を検証できません");
    const std::uint64_t first = submission.head.size - submission.events.size() + 1;
    const std::uint64_t expected = tree.size() + 1;
    if (first > expected) return refuse("gap", "連番が飛んでいます", expected);
    if (first < expected) return refuse("repeat_differs", "受理済みの連番に別の内容が提出されました", expected);
    for (const PreparedEvent& event : submission.events) tree.Append(event.leaf_hash);
    if (tree.Root() != submission.head.root) return refuse("root", "ツリーヘッドが内容と一致しません");
    return {};
  }

  bool IsOwn(const v1::LedgerOpened& opened) const {
    return opened.ledger() == View(options.ledger) &&
           opened.registrar_public_key() == View(options.registrar_public_key) &&
           static_cast<int>(opened.prefecture()) == options.prefecture;
  }

  // An order for keys that are not there could never be carried out.
  bool HoldsRows(const std::string& payload) const {
    v1::Erasure erasure;
    v1::ErasurePlan plan;
    if (!erasure.ParseFromString(payload) || !plan.ParseFromString(erasure.plan())) return false;
    return std::all_of(plan.keys().begin(), plan.keys().end(), [&](const v1::ErasedKeys& keys) {
      return keys.slot() < options.keys->next_slot().value() && keys.last_step() < KeyStore::kNoLivingStep - 1;
    });
  }

  // May this issuer say this, and does each notice follow from those before it?
  Status Decide(Arrival& arrival, std::vector<Judged>& judged) {
    auto& violations = arrival.prepared.violations;
    const IssuerState* issuer = replay.FindIssuer(arrival.issuer);
    const v1::IssuerRole role = issuer != nullptr ? issuer->role : v1::ISSUER_ROLE_REGISTRAR;
    const std::vector<v1::Violation> unreadable = violations;  // items that broke a rule already
    std::optional<Registry> registry;  // as it would be after the events so far
    judged.resize(arrival.prepared.events.size());
    for (std::size_t item = 0; item < judged.size(); ++item) {
      const PreparedEvent& event = arrival.prepared.events[item];
      const auto broken = [item](const v1::Violation& v) { return v.item() == item; };
      if (event.kind == nullptr ||
          std::any_of(unreadable.begin(), unreadable.end(), broken)) {
        continue;
      }
      if (violations.size() >= kViolationsMax) break;
      auto refuse = [&](v1::Violation violation) {
        violation.set_item(item);
        violations.push_back(std::move(violation));
      };
      if (!MayIssue(role, event.header.kind())) {
        refuse(SubmissionViolation("header.kind", "authority", "この発行者には許されない種別です"));
        continue;
      }
      const bool opens = event.header.kind() == v1::EVENT_KIND_LEDGER_OPENED;
      if (item == 0 && replay.next_position() == Position(0) && !opens) {
        refuse(SubmissionViolation("header.kind", "opening", "台帳は開設から始まります"));
        continue;
      }
      if (event.kind->clear) {
        if (!registry) registry = replay.registry();
        const Position at(replay.next_position().value() + item);
        const TimeMicros now = std::max(options.clock->Now(), replay.last_admitted_at());
        if (Status status = registry->Apply(event.header.kind(), event.parts[0].payload(), at, now); !status.ok()) {
          refuse(SubmissionViolation("payload", "registry", status.message()));
        } else if (event.header.kind() == v1::EVENT_KIND_ERASURE && !HoldsRows(event.parts[0].payload())) {
          refuse(SubmissionViolation("payload", "rows", "鍵保管庫にない鍵の消去です"));
        } else if (opens && !IsOwn(registry->ledger())) {
          refuse(SubmissionViolation("payload", "ledger", "他の台帳の開設です"));
        } else if (!CanFollow(*registry)) {
          refuse(SubmissionViolation("payload", "held", "新しい鍵の秘密鍵がこのノードにありません"));
        }
        continue;
      }
      if (event.header.kind() != v1::EVENT_KIND_UPDATE) continue;
      ASSIGN_OR_RETURN(Decision decision, residents->Decide(event.notice, arrival.issuer, event.notice_digest));
      for (v1::Violation& violation : decision.violations) refuse(std::move(violation));
      if (decision.violations.empty()) {
        if (decision.effect == v1::EFFECT_ENTERED) {
          const KeyStore::NewKey created = options.keys->Create();
          decision.resident.handle = RandomArray<16>();
          decision.resident.slot = created.slot;
          judged[item].key = created.key;
        } else {
          ASSIGN_OR_RETURN(judged[item].key,
                           options.keys->KeyAt(decision.resident.slot, decision.resident.next_step));
        }
        RETURN_IF_ERROR(residents->Apply(decision, event.notice, arrival.issuer, event.notice_digest));
        judged[item].decision = std::move(decision);
      }
    }
    return {};
  }

  Status Admit(Arrival& arrival, const std::vector<Judged>& judged, v1::Receipt& receipt);

  // --- commit: its own thread --------------------------------------------------------------------

  void CommitLoop() {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, [&] { return committing != nullptr || stopping; });
      if (committing == nullptr) return;
      Batch& work = *committing;
      lock.unlock();
      Status status = Commit(work);
      lock.lock();
      if (!status.ok() && failure.ok()) failure = std::move(status);
      committing = nullptr;
      changed.notify_all();
    }
  }

  Status Commit(Batch& work) {
    RETURN_IF_ERROR(options.keys->Sync());
    RETURN_IF_ERROR(writer->Append(work.records));
    RETURN_IF_ERROR(store->Write(work.state, false));
    state->Land();
    committed_position = work.end.value();
    {
      const std::lock_guard lock(mutex);
      committed_intake = work.intake;
      for (const auto& [issuer, cursor] : work.answered) committed[issuer] = cursor;
    }
    admitted += work.counters.admitted;
    repeated += work.counters.repeated;
    rejected += work.counters.rejected;
    events += work.counters.events;
    return {};
  }

  // --- running -----------------------------------------------------------------------------------

  Status Session(std::stop_token stop) {
    {
      const std::lock_guard lock(mutex);
      stopping = false;
      failure = Status();
      arrivals.clear();
      arrivals_bytes = 0;
    }
    std::thread preparer([this] { PrepareLoop(); });
    std::thread committer([this] { CommitLoop(); });
    const std::stop_callback wake(stop, [this] {
      const std::lock_guard lock(mutex);
      changed.notify_all();
    });
    Status status = JudgeLoop(stop);
    {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return committing == nullptr; });
      if (status.ok()) status = failure;
      stopping = true;
      changed.notify_all();
    }
    preparer.join();
    committer.join();
    return status;
  }

  // A batch goes out whenever the committer is idle: a lone notice does not wait, and under load a batch
  // grows as long as the one before it takes.
  Status JudgeLoop(std::stop_token stop) {
    for (;;) {
      std::unique_lock lock(mutex);
      const auto can_hand_over = [&] { return committing == nullptr && !batch.records.empty(); };
      const auto can_judge = [&] { return !stop.stop_requested() && !arrivals.empty() && HasRoom(); };
      const auto done = [&] {
        return stop.stop_requested() && committing == nullptr && batch.records.empty();
      };
      changed.wait(lock, [&] { return !failure.ok() || can_hand_over() || can_judge() || done(); });
      if (!failure.ok()) return failure;
      if (done()) return {};
      if (can_hand_over()) {
        const bool erases = batch.erases;
        lock.unlock();
        RETURN_IF_ERROR(HandOver());
        if (erases) return {};
        continue;
      }
      Arrival arrival = std::move(arrivals.front());
      arrivals.pop_front();
      arrivals_bytes -= arrival.bytes;
      changed.notify_all();
      lock.unlock();
      RETURN_IF_ERROR(Judge(arrival));
    }
  }

  bool HasRoom() const {
    return batch.events < options.batch_events_max && batch.bytes < options.batch_bytes_max && !batch.erases;
  }

  Status HandOver() {
    RETURN_IF_ERROR(replay.VerifyHeads());
    RETURN_IF_ERROR(SignReceipts());
    batch.state = state->Seal();
    replay.Save(batch.state, kMeta);
    batch.end = replay.next_position();
    batch.intake = InForce(replay.registry(), v1::KEY_USE_INTAKE);
    const std::lock_guard lock(mutex);
    committing = std::make_unique<Batch>(std::move(batch));
    batch = Batch();
    changed.notify_all();
    return {};
  }
};

Status Sequencer::Impl::Admit(Arrival& arrival, const std::vector<Judged>& judged,
                              v1::Receipt& receipt) {
  PreparedSubmission& submission = arrival.prepared;
  const TimeMicros admitted_at = std::max(options.clock->Now(), replay.last_admitted_at());
  const std::string& time = batch.texts.emplace_back(FormatTimestamp(admitted_at));
  const std::string& source =
      batch.texts.emplace_back("/daicho/" + std::to_string(options.prefecture) + "/ledger");
  receipt.set_outcome(v1::OUTCOME_ADMITTED);
  receipt.set_first_position(replay.next_position().value());
  // What it may change: of notices and the like nothing.
  const bool administers = std::any_of(submission.events.begin(), submission.events.end(),
                                       [](const PreparedEvent& event) { return event.kind->clear; });
  const std::optional<Registry> registry_before = administers ? std::optional(replay.registry()) : std::nullopt;
  v1::EntryLeaf leaf;
  v1::Entry entry;
  for (std::size_t item = 0; item < submission.events.size(); ++item) {
    PreparedEvent& event = submission.events[item];
    leaf.Clear();
    entry.Clear();
    leaf.set_version(kLeafVersion);
    leaf.set_ledger(receipt.ledger());
    leaf.set_position(replay.next_position().value());
    leaf.set_admitted_at(admitted_at.value());
    leaf.set_header(std::move(event.header_bytes));
    std::vector<Key256> keys;
    if (event.header.kind() == v1::EVENT_KIND_UPDATE) {
      const Resident& before = judged[item].decision.resident;
      leaf.set_effect(judged[item].decision.effect);
      v1::KeyReference* reference = leaf.add_keys();
      reference->set_subject(std::string(View(before.handle)));
      reference->set_slot(before.slot.value());
      reference->set_step(before.next_step);
      keys.push_back(judged[item].key);
    } else {
      for (const v1::DraftPart& part : event.parts) {
        if (part.clear()) continue;
        // A part about nobody has a subject of its own.
        const std::string subject =
            part.subject().empty() ? std::string(View(RandomArray<16>())) : part.subject();
        ASSIGN_OR_RETURN(const auto held,
                         state->Get(kSubjects, subject + static_cast<char>(event.header.retention())));
        v1::KeyReference* reference = leaf.add_keys();
        reference->set_subject(subject);
        if (held) {
          reference->set_slot(ReadU64(*held));
          reference->set_step(ReadU32(std::string_view(*held).substr(8)));
          ASSIGN_OR_RETURN(const Key256 key,
                           options.keys->KeyAt(KeySlot(reference->slot()), reference->step()));
          keys.push_back(key);
        } else {
          const KeyStore::NewKey created = options.keys->Create();
          reference->set_slot(created.slot.value());
          keys.push_back(created.key);
        }
        PutSubjectKey(subject, event.header.retention(), KeySlot(reference->slot()), reference->step() + 1);
      }
    }
    if (item + 1 == submission.events.size()) leaf.set_head(submission.detached_head);
    leaf.SerializeToString(entry.mutable_leaf());
    auto key = keys.begin();
    std::vector<std::string> sealed;
    for (const v1::DraftPart& part : event.parts) {
      if (part.clear()) {
        entry.add_parts(part.salt() + part.payload());
      } else {
        entry.add_parts(sealed.emplace_back(SealPart(*key++, entry.leaf(), part.salt(), part.payload())));
      }
    }
    AppendDigests(*entry.mutable_leaf(), sealed);
    TopicRecord record;
    record.topic = topics.Ledger();
    record.record.key = leaf.keys_size() > 0 ? leaf.keys(0).subject() : std::string(16, '\0');
    record.record.value = entry.SerializeAsString();
    record.record.headers = {{"ce_specversion", "1.0"},
                             {"ce_id", batch.texts.emplace_back(std::to_string(leaf.position()))},
                             {"ce_source", source},
                             {"ce_type", event.kind->type},
                             {"ce_time", time},
                             {"content-type", "application/protobuf"}};
    // What every follower will check is checked before it is written.
    if (Status status = replay.Next(record.record.value).status(); !status.ok()) {
      return Internal("a judged event does not pass replay: " + status.message());
    }
    batch.erases |= event.header.kind() == v1::EVENT_KIND_ERASURE;
    batch.bytes += record.record.value.size();
    batch.records.push_back(std::move(record));
  }
  replay.TakeVerified(arrival.issuer, submission.head_note);  // by CheckHead
  receipt.set_last_position(replay.next_position().value() - 1);
  state->Put(kSubmissions, SubmissionKey(arrival.issuer, submission.head_digest),
             PositionsValue(receipt.first_position(), receipt.last_position()));
  state->Keep();
  batch.events += submission.events.size();
  batch.counters.events += submission.events.size();
  ++batch.counters.admitted;
  refusals.erase(arrival.issuer);
  for (const PreparedEvent& event : submission.events) {
    if (event.header.kind() == v1::EVENT_KIND_CONSISTENCY_RUN) RETURN_IF_ERROR(TellResults(event.parts[0].payload()));
  }
  return registry_before ? Announce(*registry_before) : Status();
}

Sequencer::Sequencer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sequencer::~Sequencer() = default;

Result<std::unique_ptr<Sequencer>> Sequencer::Open(SequencerOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(impl->OpenState());
  RETURN_IF_ERROR(impl->Recover());
  return std::unique_ptr<Sequencer>(new Sequencer(std::move(impl)));
}

Status Sequencer::Run(std::stop_token stop) {
  int failures = 0;
  for (bool current = true; !stop.stop_requested();) {
    const std::uint64_t before = impl_->committed_position;
    // After an unknown outcome only the log knows what is true: nothing is judged before it was read back. A
    // session that ends by itself has ordered an erasure, which recovering carries out.
    const Status status = current ? impl_->Session(stop) : impl_->Recover();
    current = status.ok() && !current;
    if (status.ok()) continue;
    if (!status.retriable()) return status;
    failures = impl_->committed_position > before ? 1 : failures + 1;
    const auto pause = std::min(milliseconds(100) * failures, milliseconds(5'000));
    const auto until = std::chrono::steady_clock::now() + pause;
    while (!stop.stop_requested() && std::chrono::steady_clock::now() < until) {
      std::this_thread::sleep_for(milliseconds(50));
    }
  }
  return impl_->store->Flush();
}

Result<bool> Sequencer::IntakeDrained(const Key256& newest) { return impl_->IntakeDrained(newest); }
bool Sequencer::HoldsIntake() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->HoldsIntake();
}
Status Sequencer::ReloadKeys() { return impl_->LoadKeys(); }

Position Sequencer::position() const { return Position(impl_->committed_position); }

Sequencer::Counters Sequencer::counters() const {
  return {impl_->admitted, impl_->repeated, impl_->rejected, impl_->events};
}

Status CreateLedgerTopics(Log& log, int prefecture) {
  const Topics topics{prefecture};
  const std::string registrar = RoleIssuer(prefecture, "registrar");
  for (const std::string& topic : {topics.Ledger(), topics.Checkpoint(), topics.Inbox(registrar),
                                   topics.Receipt(registrar)}) {
    RETURN_IF_ERROR(log.CreateTopic(topic));
  }
  return {};
}

Result<Cursor> FindEntry(Log& log, const std::string& topic, Position position) {
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  // Cursors run ahead of positions by the markers between them: the entry lies in [low, high].
  std::uint64_t low = std::max(bounds.first.value(), position.value());
  std::uint64_t high = bounds.end.value();
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    ASSIGN_OR_RETURN(auto reader, log.OpenReader());
    RETURN_IF_ERROR(reader->Assign(topic, Cursor(middle)).status());
    std::optional<Received> found;
    while (!found && reader->Next(0).value() < high) {
      ASSIGN_OR_RETURN(auto received, reader->Poll(1, milliseconds(100)));
      if (!received.empty()) found = std::move(received.front());
    }
    if (!found || found->cursor.value() >= high) {
      high = middle;
      continue;
    }
    v1::Entry entry;
    if (!entry.ParseFromString(found->value)) return Corrupt("topic " + topic + " holds a record that is no entry");
    ASSIGN_OR_RETURN(const v1::EntryLeaf leaf, ParseLeaf(entry.leaf()));
    if (leaf.position() == position.value()) return found->cursor;
    if (leaf.position() < position.value()) {
      low = found->cursor.value() + (position.value() - leaf.position());
    } else {
      high = std::min(middle, found->cursor.value() - (leaf.position() - position.value()));
    }
  }
  return Cursor(low);
}

}  // namespace daicho
