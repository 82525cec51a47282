#include "ledger/notary.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "events/topics.h"
#include "ledger/sequencer.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using SteadyClock = std::chrono::steady_clock;

constexpr Family kMeta = 0;   // the replay's state, and the rows named here
constexpr Family kTrees = 1;  // TreeStore
constexpr Family kNotes = 2;  // size(8) → signed checkpoint

constexpr std::string_view kCursorKey = "cursor";
constexpr std::string_view kHeadKey =
    "head";  // size(8) ‖ root(32) ‖ time(8): signed, or to be signed
constexpr std::string_view kIssuerHeadKey = "issuer-head/";  // ‖ issuer → its newest signed head

constexpr std::size_t kPollRecords = 5'000;
constexpr std::size_t kCommitEntries = 5'000;
constexpr milliseconds kPollWait{100};
// Of the checkpoint topic's end: the newest checkpoint is in it, whatever lines came in to those
// before.
constexpr std::uint64_t kTopicWindow = kCheckpointsKept * kNoteSignaturesMax;
// Largest leaf that fits its length in a bundle.
constexpr std::size_t kBundledLeafBytesMax = 65'535;

std::string SizeKey(std::uint64_t size) {
  std::string key;
  AppendU64(key, size);
  return key;
}

// A note of the same text with `line` in place of the line of that key.
std::string WithLine(const Note& note, const NoteSignature& line) {
  std::string out = std::string(note.text) + "\n";
  for (const NoteSignature& old : note.signatures) {
    if (old.name == line.name && old.key_id == line.key_id) continue;
    out += SignatureLine(old.name, old.key_id, old.bytes);
  }
  return out + SignatureLine(line.name, line.key_id, line.bytes);
}

Status DifferentHistory(const std::string& why) {
  return Tampered(why + ": the notary refuses to sign a different history");
}

}  // namespace

Result<TreeHead> VerifyCheckpoint(std::string_view note, int prefecture, const LedgerId& ledger,
                                  const VerifyingKey& key) {
  ASSIGN_OR_RETURN(TreeHead head, VerifyTreeHead(note, key));
  if (head.origin != LedgerOrigin(prefecture) || head.ledger != View(ledger)) {
    return Tampered("a checkpoint of another ledger");
  }
  return head;
}

struct Notary::Impl {
  explicit Impl(NotaryOptions o)
      : options(std::move(o)),
        topics{options.prefecture},
        replay(options.ledger, options.registrar_public_key) {}

  NotaryOptions options;
  Topics topics;
  std::unique_ptr<Store> store;
  std::optional<TreeStore> trees;

  // Of the following thread.
  LedgerReplay replay;
  std::optional<TreeWriter> writer;
  std::unique_ptr<LogReader> reader;
  EntryPreparer preparer;
  StoreBatch batch;
  std::size_t pending = 0;       // entries in the batch
  Cursor cursor;                 // behind the last entry applied
  bool settled = false;          // what the topic holds has been compared
  std::optional<TreeHead> head;  // the one stored
  std::optional<SteadyClock::time_point> waits_since;  // the oldest applied that no checkpoint covers; none: at once

  std::mutex publishing;     // makes one sequence of what is stored and appended; held across both
  mutable std::mutex mutex;  // of what readers see, never held across I/O
  mutable std::condition_variable published;
  std::map<std::uint64_t, std::string> notes;  // guarded by mutex: the newest ones stored
  std::uint64_t newest = 0;                    // guarded by mutex: size of the newest one published
  std::shared_ptr<const Registry> registry = std::make_shared<const Registry>();  // guarded by mutex: as stored

  std::uint64_t size() const { return replay.next_position().value(); }

  Status Open() {
    StoreOptions store_options;
    store_options.path = options.dir;
    store_options.file_key = options.file_key;
    store_options.families = {"meta", "trees", "notes"};
    ASSIGN_OR_RETURN(store, Store::Open(store_options));
    trees.emplace(*store, kTrees);
    return Reload();
  }

  // --- what is stored

  // Goes back to what the store holds.
  Status Reload() {
    reader.reset();
    batch.Clear();
    pending = 0;
    settled = false;
    cursor = Cursor();
    head.reset();
    waits_since.reset();
    replay = LedgerReplay(options.ledger, options.registrar_public_key);
    writer.emplace(*trees);
    const Status loaded = replay.Load(*store, kMeta);
    if (loaded.ok()) {
      RETURN_IF_ERROR(LoadOwn().With("notary"));
    } else if (loaded.code() != Code::kNotFound) {
      return loaded.With("notary");
    }
    return LoadNotes().With("notary");
  }

  Status LoadOwn() {
    ASSIGN_OR_RETURN(const std::string stored, store->Get(kMeta, kCursorKey));
    if (stored.size() != 8) return Corrupt("the stored cursor is damaged");
    cursor = Cursor(ReadU64(stored));
    ASSIGN_OR_RETURN(const std::uint64_t leaves, writer->Size(std::string(kLedgerTree)));
    if (leaves != size()) return Corrupt("the tree has another size than the replay");
    auto bytes = store->Get(kMeta, kHeadKey);
    if (bytes.status().code() == Code::kNotFound) return {};
    RETURN_IF_ERROR(bytes.status());
    ASSIGN_OR_RETURN(head, DecodeHead(*bytes));
    ASSIGN_OR_RETURN(const Digest root, RootOf(head->size, trees->Nodes(kLedgerTree)));
    if (root != head->root) return Corrupt("the tiles disagree with the stored head");
    return {};
  }

  Status LoadNotes() {
    const std::lock_guard sequence(publishing);
    std::map<std::uint64_t, std::string> loaded;
    auto it = store->NewIterator(kNotes);
    for (it.SeekToFirst(); it.Valid(); it.Next()) {
      const std::string note(it.value());
      auto checked = Verified(note);
      if (!checked.ok()) return checked.status().With("stored checkpoint");
      if (it.key() != SizeKey(checked->size))
        return Corrupt("a stored checkpoint is of another size");
      loaded[checked->size] = note;
    }
    RETURN_IF_ERROR(it.status());
    const std::lock_guard lock(mutex);
    notes = std::move(loaded);
    registry = replay.ShareRegistry();
    return {};
  }

  TreeHead NewHead(std::uint64_t of_size, const Digest& root, TimeMicros time) const {
    TreeHead out;
    out.origin = LedgerOrigin(options.prefecture);
    out.size = of_size;
    out.root = root;
    out.ledger = View(options.ledger);
    out.time = time;
    return out;
  }

  static std::string EncodeHead(const TreeHead& head) {
    std::string out;
    AppendU64(out, head.size);
    out.append(View(head.root));
    AppendU64(out, static_cast<std::uint64_t>(head.time.value()));
    return out;
  }

  Result<TreeHead> DecodeHead(std::string_view bytes) const {
    if (bytes.size() != 48) return Corrupt("the stored head is damaged");
    ASSIGN_OR_RETURN(const Digest root, ToArray<32>(bytes.substr(8, 32)));
    return NewHead(ReadU64(bytes), root,
                   TimeMicros(static_cast<std::int64_t>(ReadU64(bytes.substr(40)))));
  }

  // The ledger's key that signs at that size: the one that holds for the entry that comes next.
  Result<VerifyingKey> KeyAt(std::uint64_t of_size) const {
    ASSIGN_OR_RETURN(const KeySpan span,
                     replay.registry().KeyAt(v1::KEY_USE_SEQUENCER, "", Position(of_size)));
    ASSIGN_OR_RETURN(const Key256 bytes, ToArray<32>(span.key));
    return VerifyingKey::From(bytes);
  }

  Result<TreeHead> Verified(std::string_view note) const {
    ASSIGN_OR_RETURN(const TreeHead unverified, ParseTreeHead(note));
    if (unverified.size > size()) {
      return DifferentHistory("checkpoint of size " + std::to_string(unverified.size) +
                              ": the ledger has only " + std::to_string(size()) + " entries");
    }
    ASSIGN_OR_RETURN(const VerifyingKey key, KeyAt(unverified.size));
    return VerifyCheckpoint(note, options.prefecture, options.ledger, key);
  }

  // --- following

  Status Apply(const PreparedEntry& prepared, Cursor next) {
    ASSIGN_OR_RETURN(const LedgerReplay::Checked entry, replay.Next(prepared));
    cursor = next;
    ++pending;
    if (!waits_since) waits_since = SteadyClock::now();
    const std::string& issuer = entry.header.issuer();
    RETURN_IF_ERROR(writer->Append(batch, std::string(kLedgerTree), entry.leaf_hash));
    RETURN_IF_ERROR(writer->Append(batch, issuer, entry.header_hash));
    if (entry.ends_submission)
      batch.Put(kMeta, std::string(kIssuerHeadKey) + issuer, replay.IssuerHead(entry));
    return {};
  }

  Status Commit(bool sync) {
    RETURN_IF_ERROR(replay.VerifyHeads());
    writer->Save(batch);
    replay.Save(batch, kMeta);
    batch.Put(kMeta, kCursorKey, SizeKey(cursor.value()));
    RETURN_IF_ERROR(store->Write(batch, sync));
    batch.Clear();
    pending = 0;
    const std::lock_guard lock(mutex);
    registry = replay.ShareRegistry();
    return {};
  }

  bool Unsigned() const { return size() > (head ? head->size : 0); }
  SteadyClock::time_point DueAt() const { return waits_since ? *waits_since + options.interval : SteadyClock::time_point(); }
  bool Due() const { return SteadyClock::now() >= DueAt(); }
  milliseconds Wait() const {
    if (!Unsigned()) return kPollWait;
    const auto left = DueAt() - SteadyClock::now();
    return std::clamp(std::chrono::ceil<milliseconds>(left), milliseconds(1), kPollWait);
  }

  // Applies until `done` says so between two polls, and to the end of the submission it is in.
  // Signs on the way, or not at all.
  Status Follow(const std::function<bool()>& done, bool sign) {
    while (pending > 0 || (sign && Unsigned()) || !done()) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, sign ? Wait() : kPollWait));
      if (records.empty() && !replay.between_submissions()) RETURN_IF_ERROR(CheckNotAtEnd());
      for (std::size_t i = 0; i < records.size(); ++i) {
        RETURN_IF_ERROR(Apply(preparer.Of(records, i), records[i].next));
        if (pending >= kCommitEntries && replay.between_submissions())
          RETURN_IF_ERROR(Commit(false));
      }
      if (!replay.between_submissions()) continue;
      if (!sign && pending > 0) RETURN_IF_ERROR(Commit(false));
      if (sign && Unsigned() && (Due() || done())) RETURN_IF_ERROR(Sign());
    }
    return {};
  }

  // A submission is appended whole: inside one, there is more to come.
  Status CheckNotAtEnd() {
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Ledger()));
    if (reader->Next(0) < bounds.end) return {};
    return Tampered("position " + std::to_string(size()) + ": the ledger ends inside a submission");
  }

  Status Connect() {
    if (reader != nullptr) return {};
    if (size() == 0) {
      ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Ledger()));
      cursor = bounds.first;
    } else {
      RETURN_IF_ERROR(CheckTail());
    }
    ASSIGN_OR_RETURN(auto opened, options.log->OpenReader());
    const Status assigned = opened->Assign(topics.Ledger(), cursor).status();
    if (assigned.code() == Code::kInvalid)
      return DifferentHistory("the ledger is shorter than it was");
    RETURN_IF_ERROR(assigned);
    reader = std::move(opened);
    return {};
  }

  // The ledger still ends, or goes on, with what the last tile says.
  Status CheckTail() const {
    const std::uint64_t bundle = (size() - 1) / kTileWidth;
    const Status same = EntryBundle(bundle, size() - bundle * kTileWidth).status();
    if (same.code() == Code::kNotFound)
      return DifferentHistory("the ledger is shorter than it was");
    if (same.code() == Code::kTampered) return DifferentHistory(same.message());
    return same;
  }

  Status CatchUp() {
    RETURN_IF_ERROR(Connect());
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Ledger()));
    const auto done = [&] { return reader->Next(0) >= bounds.end; };
    if (!settled) {
      RETURN_IF_ERROR(Follow(done, false));
      RETURN_IF_ERROR(Settle());
      settled = true;
    }
    return Follow(done, true);
  }

  // The log is out of reach for now: what was applied but not committed is applied again.
  Status Recover(Status status) {
    if (status.retriable()) RETURN_IF_ERROR(Reload());
    return status;
  }

  // --- one history

  struct Published {
    TreeHead head;
    std::string note;
  };

  // The newest record of each size at the topic's end.
  Result<std::map<std::uint64_t, Published>> ReadPublished() const {
    std::map<std::uint64_t, Published> out;
    const std::string topic = topics.Checkpoint();
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topic));
    const std::uint64_t begin = bounds.end.value() - std::min(bounds.end.value(), kTopicWindow);
    ASSIGN_OR_RETURN(auto topic_reader, options.log->OpenReader());
    RETURN_IF_ERROR(topic_reader->Assign(topic, std::max(bounds.first, Cursor(begin))).status());
    while (topic_reader->Next(0) < bounds.end) {
      ASSIGN_OR_RETURN(const auto records, topic_reader->Poll(kTopicWindow, kPollWait));
      for (const Received& record : records) {
        auto checked = Verified(record.value);
        if (!checked.ok()) return checked.status().With("checkpoint topic");
        RETURN_IF_ERROR(CheckHistory(*checked));
        out[checked->size] = {*checked, record.value};
      }
    }
    return out;
  }

  Status CheckHistory(const TreeHead& signed_head) const {
    ASSIGN_OR_RETURN(const Digest root, RootOf(signed_head.size, trees->Nodes(kLedgerTree)));
    if (root != signed_head.root) {
      return DifferentHistory("checkpoint of size " + std::to_string(signed_head.size) +
                              ": the ledger has another root");
    }
    return {};
  }

  // Before it signs anything: nothing on the topic disagrees with the ledger, and what was begun is
  // finished. Requires: nothing pending.
  Status Settle() {
    ASSIGN_OR_RETURN(const auto on_topic, ReadPublished());
    const std::uint64_t known = on_topic.empty() ? 0 : on_topic.rbegin()->first;
    const std::uint64_t own = head ? head->size : 0;
    const bool begun = head && !checkpoint(own).ok();  // stored to be signed, and not signed
    // The key may have changed since: then nobody has seen that head, and a larger one follows.
    if (begun && own > known) return KeyFor(own).ok() ? Publish(*head) : Status();
    if (known > own || begun) RETURN_IF_ERROR(Adopt(on_topic.rbegin()->second));
    return head ? PublishAgain(on_topic) : Status();
  }

  // Takes over a checkpoint that this store does not know of, though this key has signed it.
  Status Adopt(const Published& known) {
    const std::lock_guard lock(publishing);
    StoreBatch adopted;
    adopted.Put(kMeta, kHeadKey, EncodeHead(known.head));
    RETURN_IF_ERROR(StoreNote(adopted, known.head.size, known.note));
    head = known.head;
    return {};
  }

  // The newest note, unless it stands on the topic as it is.
  Status PublishAgain(const std::map<std::uint64_t, Published>& on_topic) {
    const std::lock_guard lock(publishing);
    ASSIGN_OR_RETURN(const std::string note, checkpoint(head->size));
    const auto found = on_topic.find(head->size);
    if (found == on_topic.end() || found->second.note != note) {
      RETURN_IF_ERROR(options.log->Append(topics.Checkpoint(), {"", note, {}}));
    }
    Announce(head->size);
    return {};
  }

  // --- signing

  Result<SigningKey> KeyFor(std::uint64_t of_size) const {
    ASSIGN_OR_RETURN(const VerifyingKey holding, KeyAt(of_size));
    return options.key_of(holding.bytes());
  }

  Status Sign() {
    RETURN_IF_ERROR(KeyFor(size()).status());  // before anything is stored that it would not sign
    ASSIGN_OR_RETURN(const Digest root, writer->Root(std::string(kLedgerTree)));
    if (root != replay.tree().Root()) return Corrupt("the tiles disagree with the entries");
    TimeMicros time = std::max(options.clock->Now(), replay.last_admitted_at());
    if (head) time = std::max(time, head->time);
    const TreeHead next = NewHead(size(), root, time);
    batch.Put(kMeta, kHeadKey, EncodeHead(next));
    RETURN_IF_ERROR(Commit(true));
    head = next;
    waits_since.reset();
    return Publish(next);
  }

  // Requires: the head is stored, and synced.
  Status Publish(const TreeHead& stored) {
    const std::lock_guard lock(publishing);
    ASSIGN_OR_RETURN(const SigningKey key, KeyFor(stored.size));
    ASSIGN_OR_RETURN(const std::string note, TrySignTreeHead(stored, key));
    StoreBatch signed_note;
    RETURN_IF_ERROR(StoreNote(signed_note, stored.size, note));
    RETURN_IF_ERROR(options.log->Append(topics.Checkpoint(), {"", note, {}}));
    Announce(stored.size);
    return {};
  }

  // With what else is in the batch. Requires: `publishing` is held.
  Status StoreNote(StoreBatch& with, std::uint64_t of_size, const std::string& note) {
    with.Put(kNotes, SizeKey(of_size), note);
    std::vector<std::uint64_t> old;
    {
      const std::lock_guard lock(mutex);
      for (const auto& [kept, text] : notes) {
        if (notes.size() - old.size() < kCheckpointsKept) break;
        old.push_back(kept);
      }
    }
    for (const std::uint64_t gone : old) with.Delete(kNotes, SizeKey(gone));
    RETURN_IF_ERROR(store->Write(with, true));
    const std::lock_guard lock(mutex);
    for (const std::uint64_t gone : old) notes.erase(gone);
    notes[of_size] = note;
    return {};
  }

  void Announce(std::uint64_t of_size) {
    const std::lock_guard lock(mutex);
    newest = std::max(newest, of_size);
    published.notify_all();
  }

  // --- for any thread

  Result<std::string> checkpoint(std::uint64_t of_size) const {
    const std::lock_guard lock(mutex);
    const auto found = notes.find(of_size);
    if (found == notes.end()) return NotFound("no checkpoint of that size is kept");
    return found->second;
  }

  Status AddCosignature(std::uint64_t of_size, const NoteKey& witness, std::string_view line) {
    const std::lock_guard lock(publishing);
    ASSIGN_OR_RETURN(const std::string note, checkpoint(of_size));
    ASSIGN_OR_RETURN(const Note parsed, ParseNote(note));
    const std::string alone = std::string(parsed.text) + "\n" + std::string(line);
    const auto cosignature = ParseNote(alone);
    if (!cosignature.ok() || cosignature->text != parsed.text ||
        cosignature->signatures.size() != 1) {
      return Invalid("cosignature: not one signature line");
    }
    const auto time = VerifyCosignature(*cosignature, witness);
    if (time.status().code() == Code::kNotFound) return Invalid("cosignature: of another key");
    RETURN_IF_ERROR(time.status());
    const std::string cosigned = WithLine(parsed, cosignature->signatures[0]);
    if (cosigned.size() > kSignedHeadBytesMax || !ParseNote(cosigned).ok()) {
      return Invalid("cosignature: the checkpoint has no room for it");
    }
    StoreBatch lines;
    RETURN_IF_ERROR(StoreNote(lines, of_size, cosigned));
    return options.log->Append(topics.Checkpoint(), {"", cosigned, {}});
  }

  Result<std::string> EntryBundle(std::uint64_t index, std::uint64_t width) const {
    ASSIGN_OR_RETURN(const std::string tile, trees->Tile(kLedgerTree, 0, index, width));
    const Position first(index * kTileWidth);
    ASSIGN_OR_RETURN(const Cursor from, FindEntry(*options.log, topics.Ledger(), first));
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topics.Ledger()));
    ASSIGN_OR_RETURN(auto entries, options.log->OpenReader());
    RETURN_IF_ERROR(entries->Assign(topics.Ledger(), from).status());
    std::string out;
    std::uint64_t read = 0;
    while (read < width) {
      if (entries->Next(0) >= bounds.end) return NotFound("the ledger ends before that entry");
      ASSIGN_OR_RETURN(const auto records, entries->Poll(width - read, kPollWait));
      for (const Received& record : records) {
        EntryView entry;
        RETURN_IF_ERROR(ParseEntry(record.value, entry));
        if (View(LeafHash(entry.leaf)) != std::string_view(tile).substr(32 * read, 32)) {
          return Tampered("position " + std::to_string(first.value() + read) +
                          ": another entry than the tree's");
        }
        if (entry.leaf.size() > kBundledLeafBytesMax)
          return Unsupported("a leaf is too long for a bundle");
        out.push_back(static_cast<char>(entry.leaf.size() >> 8));
        out.push_back(static_cast<char>(entry.leaf.size()));
        out.append(entry.leaf);
        ++read;
      }
    }
    return out;
  }
};

Notary::Notary(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Notary::~Notary() = default;

Result<std::unique_ptr<Notary>> Notary::Open(NotaryOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Notary>(new Notary(std::move(impl)));
}

Status Notary::CatchUp() { return impl_->Recover(impl_->CatchUp()); }

Status Notary::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Status status = impl_->CatchUp();
    if (status.ok()) status = impl_->Follow([&] { return stop.stop_requested(); }, true);
    if (status.ok()) return {};
    status = impl_->Recover(std::move(status));
    if (!status.retriable()) return status;
    std::this_thread::sleep_for(milliseconds(500));
  }
  return {};
}

std::string Notary::checkpoint() const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->notes.find(impl_->newest);
  return found == impl_->notes.end() ? std::string() : found->second;
}

Result<std::string> Notary::checkpoint(std::uint64_t size) const { return impl_->checkpoint(size); }

bool Notary::WaitFor(std::uint64_t size, milliseconds wait) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->published.wait_for(lock, wait, [&] { return impl_->newest >= size; });
}

Status Notary::AddCosignature(std::uint64_t size, const NoteKey& witness, std::string_view line) {
  return impl_->AddCosignature(size, witness, line);
}

std::shared_ptr<const Registry> Notary::registry() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->registry;
}

const TreeStore& Notary::trees() const { return *impl_->trees; }

Result<std::string> Notary::IssuerHead(const std::string& issuer) const {
  return impl_->store->Get(kMeta, std::string(kIssuerHeadKey) + issuer);
}

Result<std::string> Notary::EntryBundle(std::uint64_t index, std::uint64_t width) const {
  if (width < 1 || width > kTileWidth) return Invalid("width: 1 to 256");
  return impl_->EntryBundle(index, width);
}

}  // namespace daicho
