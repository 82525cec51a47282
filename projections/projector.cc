#include "projections/projector.h"

#include <condition_variable>
#include <mutex>
#include <thread>

#include "events/topics.h"
#include "ledger/erasure.h"
#include "ledger/generation.h"
#include "ledger/sequencer.h"
#include "projections/bulk_load.h"
#include "projections/consistency_register.h"
#include "projections/kikou_register.h"
#include "projections/matter_register.h"
#include "projections/provision_register.h"
#include "projections/retention.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kPollRecords = 5'000;
constexpr std::size_t kCommitEntries = 5'000;
constexpr char kBuilding[] = "building";
constexpr char kPurpose[] = "record file";
// Of all that the store holds. A change of it builds the record file anew.
constexpr char kFormat[] = "4";

}  // namespace

struct Projector::Impl {
  explicit Impl(ProjectorOptions o)
      : options(std::move(o)), topic(Topics{options.prefecture}.Ledger()),
        replay(options.ledger, options.registrar_public_key) {}

  ProjectorOptions options;
  std::string topic;
  std::unique_ptr<Store> store;
  std::unique_ptr<RecordFile> file;
  SearchParts search_parts;
  std::unique_ptr<SearchWriter> search_writer;  // null, like search, when no index is kept
  std::unique_ptr<Search> search;
  std::unique_ptr<provision_register::Writer> provisions;
  std::unique_ptr<RecordCopies> copies;  // null when none is kept
  std::unique_ptr<LogReader> reader;
  Position built_under;

  // Of the applying thread.
  std::set<KeySlot> orphans;                        // subjects all of whose notices so far are erased
  std::map<KeySlot, std::uint32_t> unordered;       // steps found erased that no erasure has ordered yet
  LedgerReplay replay;
  RecordCounts counts;
  LtHash digest;
  Cursor cursor;    // behind the last entry applied
  EntryPreparer preparer;
  Version scratch;  // whose storage serves every entry

  mutable std::mutex mutex;
  mutable std::condition_variable applied;
  Position visible;                                 // guarded by mutex, like those below
  std::shared_ptr<const Registry> registry;
  std::map<std::string, MerkleEdge> issuer_trees;

  Status Open() {
    RETURN_IF_ERROR(OpenStore());
    if (store->Get(RecordFile::kMeta, kBuilding).ok()) {
      // A bulk load was cut off: what it left has no position and is of no use.
      store.reset();
      RETURN_IF_ERROR(DropGeneration(options.dir, *options.keys, Kind(options), options.at_rest));
      RETURN_IF_ERROR(OpenStore());
    }
    file = std::make_unique<RecordFile>(*store);
    provisions = std::make_unique<provision_register::Writer>(*store);
    if (options.matching != nullptr) {
      search_writer = std::make_unique<SearchWriter>(*store, *options.matching, search_parts);
      search = std::make_unique<Search>(*store, options.matching, search_parts, options.version_cache_bytes);
    }
    if (options.copies != nullptr) {
      copies = std::make_unique<RecordCopies>(*store, options.copies);
    } else {
      RETURN_IF_ERROR(RecordCopies::Forget(*store));
    }
    return Reload();
  }

  Status OpenStore() {
    StoreOptions o;
    o.families = RecordFile::Families();
    o.write_ahead_log = false;  // the ledger is its log
    o.block_cache_bytes = options.block_cache_bytes;
    built_under = options.keys->erased_through();
    ASSIGN_OR_RETURN(store, OpenGeneration(o, options.dir, *options.keys, Kind(options), options.at_rest, kPurpose));
    return {};
  }

  // Goes back to what the store holds.
  Status Reload() {
    reader.reset();
    replay = LedgerReplay(options.ledger, options.registrar_public_key);
    counts = RecordCounts();
    digest = LtHash();
    cursor = Cursor();
    orphans.clear();
    unordered.clear();
    if (search_writer != nullptr) search_writer->Clear();
    RETURN_IF_ERROR(search_parts.Load(*store));
    RETURN_IF_ERROR(provisions->Load());
    Status loaded = replay.Load(*store, RecordFile::kMeta);
    if (loaded.ok()) {
      RETURN_IF_ERROR(LoadTotals());
    } else if (loaded.code() != Code::kNotFound) {
      return loaded.With("record file");
    }
    if (copies != nullptr) RETURN_IF_ERROR(copies->Load(replay.next_position()));
    Publish();
    return {};
  }

  Status LoadTotals() {
    ASSIGN_OR_RETURN(counts, file->Counts());
    ASSIGN_OR_RETURN(const std::string bytes, store->Get(RecordFile::kMeta, "digest"));
    ASSIGN_OR_RETURN(digest, LtHash::Decode(bytes));
    ASSIGN_OR_RETURN(const std::string stored, store->Get(RecordFile::kMeta, "cursor"));
    if (stored.size() != 8) return Corrupt("stored cursor has the wrong size");
    cursor = Cursor(ReadU64(stored));
    auto it = store->NewIterator(RecordFile::kOrphans);
    for (it.SeekToFirst(); it.Valid(); it.Next()) orphans.insert(KeySlot(ReadU64(it.key())));
    return it.status();
  }

  // Readers see the position only once its data is there.
  void Publish() {
    const std::lock_guard lock(mutex);
    visible = replay.next_position();
    registry = replay.ShareRegistry();
    for (const auto& [name, issuer] : replay.issuers()) issuer_trees[name] = issuer.tree;
    applied.notify_all();
  }

  // What one entry puts into the record file.
  Status Apply(const PreparedEntry& prepared, Cursor next, record_file::Writer& writer, bool in_bulk,
               bool& ends_submission) {
    ASSIGN_OR_RETURN(const LedgerReplay::Checked entry, replay.Next(prepared));
    cursor = next;
    ends_submission = entry.ends_submission;
    if (ends_submission) writer.PutTime(TimeMicros(entry.leaf.admitted_at()), entry.position);
    RETURN_IF_ERROR(retention::PutEntry(entry, writer.put()));
    RETURN_IF_ERROR(provisions
                        ->PutEntry(entry, *options.keys, writer.put(),
                                   [&](const v1::KeyReference& key) { AwaitOrder(key); })
                        .With("position " + std::to_string(entry.position.value())));
    RETURN_IF_ERROR(matter_register::PutEntry(entry, *options.keys, writer.put(),
                                              [&](const v1::KeyReference& key) { AwaitOrder(key); })
                        .With("position " + std::to_string(entry.position.value())));
    RETURN_IF_ERROR(kikou_register::PutEntry(entry, *options.keys, writer.put(),
                                             [&](const v1::KeyReference& key) { AwaitOrder(key); })
                        .With("position " + std::to_string(entry.position.value())));
    RETURN_IF_ERROR(consistency_register::PutEntry(entry, *options.keys, writer.put(),
                                                   [&](const v1::KeyReference& key) { AwaitOrder(key); })
                        .With("position " + std::to_string(entry.position.value())));
    if (entry.header.kind() == v1::EVENT_KIND_ERASURE) return TakeErasure(entry);
    if (entry.header.kind() != v1::EVENT_KIND_UPDATE) return {};
    auto payload = OpenPart(entry, 0, *options.keys);
    const bool erased = payload.status().code() == Code::kErased;
    record_file::Count(entry.leaf.effect(), erased, counts);
    if (erased) return TakeErased(entry, writer);
    if (entry.leaf.effect() == v1::EFFECT_REPEATED) return {};
    if (!payload.ok()) return payload.status().With("position " + std::to_string(entry.position.value()));
    Version& version = scratch;
    version.position = entry.position;
    version.admitted_at = TimeMicros(entry.leaf.admitted_at());
    version.effect = entry.leaf.effect();
    version.issuer = entry.header.issuer();
    version.sequence = Sequence(entry.header.sequence());
    if (!version.notice.ParseFromString(*payload)) {
      return Corrupt("position " + std::to_string(entry.position.value()) + ": notice cannot be decoded");
    }
    const v1::KeyReference& key = entry.leaf.keys(0);
    ASSIGN_OR_RETURN(version.handle, ToArray<16>(key.subject()));
    const KeySlot subject(key.slot());
    const bool orphan = !orphans.empty() && orphans.erase(subject) > 0;
    if (orphan) writer.PutOrphan(subject, false);
    const bool first = orphan || version.effect == v1::EFFECT_ENTERED;
    writer.PutVersion(version, subject, *payload, first);
    if (search_writer != nullptr && !in_bulk) search_writer->Add(version, subject, first);
    if (copies != nullptr) RETURN_IF_ERROR(copies->Add(version, subject, first));
    record_file::AddContent(digest, version.issuer, *payload);
    return {};
  }

  // A key that is gone: the erasure that ordered it lies further on in the ledger.
  void AwaitOrder(const v1::KeyReference& key) {
    std::uint32_t& step = unordered[KeySlot(key.slot())];
    step = std::max(step, key.step());
  }

  // A notice whose key is gone.
  Status TakeErased(const LedgerReplay::Checked& entry, record_file::Writer& writer) {
    AwaitOrder(entry.leaf.keys(0));
    const KeySlot slot(entry.leaf.keys(0).slot());
    if (entry.leaf.effect() == v1::EFFECT_ENTERED && orphans.insert(slot).second) writer.PutOrphan(slot, true);
    return {};
  }

  Status TakeErasure(const LedgerReplay::Checked& entry) {
    if (unordered.empty()) return {};
    ASSIGN_OR_RETURN(const v1::ErasurePlan plan, PlanOf(entry));
    for (const v1::ErasedKeys& keys : plan.keys()) {
      const auto found = unordered.find(KeySlot(keys.slot()));
      if (found != unordered.end() && found->second <= keys.last_step()) unordered.erase(found);
    }
    return {};
  }

  Status NotOrdered() const {
    return Tampered("the key of row " + std::to_string(unordered.begin()->first.value()) +
                    " is gone, and no erasure in the ledger ordered that");
  }

  void PutTotals(StoreBatch& batch) {
    replay.Save(batch, RecordFile::kMeta);
    batch.Put(RecordFile::kMeta, "counts", record_file::EncodeCounts(counts));
    batch.Put(RecordFile::kMeta, "digest", digest.Encode());
    std::string bytes;
    AppendU64(bytes, cursor.value());
    batch.Put(RecordFile::kMeta, "cursor", bytes);
  }

  Status Commit(StoreBatch& batch) {
    RETURN_IF_ERROR(replay.VerifyHeads());
    if (search_writer != nullptr) {
      RETURN_IF_ERROR(search_writer->Flush(
          [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); }));
    }
    if (copies != nullptr) {
      RETURN_IF_ERROR(copies->Flush(
          [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); }));
    }
    PutTotals(batch);
    RETURN_IF_ERROR(store->Write(batch, false));
    batch.Clear();
    if (copies != nullptr) copies->Publish(replay.next_position());
    Publish();
    return {};
  }

  Status Connect() {
    if (reader != nullptr) return {};
    ASSIGN_OR_RETURN(reader, options.log->OpenReader());
    return reader->Assign(topic, cursor).status();
  }

  void Progress(Cursor end) const {
    if (options.progress) options.progress(std::min(cursor, end).value(), end.value());
  }

  // Applies until `done` says so between two polls, and to the end of the submission it is in: a part of
  // one cannot be stored, and must not be forgotten.
  Status Follow(const std::function<bool()>& done, std::optional<Cursor> end) {
    RETURN_IF_ERROR(Connect());
    StoreBatch batch;
    std::size_t pending = 0;
    record_file::Writer writer(
        [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); },
        [&](Family family, std::string_view key) { batch.Delete(family, key); });
    while (pending > 0 || !done()) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, milliseconds(100)));
      if (pending > 0 && records.empty()) RETURN_IF_ERROR(CheckNotAtEnd());
      for (std::size_t i = 0; i < records.size(); ++i) {
        bool ends_submission = false;
        RETURN_IF_ERROR(Apply(preparer.Of(records, i), records[i].next, writer, false, ends_submission));
        ++pending;
        if (ends_submission && pending >= kCommitEntries) {
          RETURN_IF_ERROR(Commit(batch));
          pending = 0;
        }
      }
      if (pending > 0 && replay.between_submissions()) {
        RETURN_IF_ERROR(Commit(batch));
        pending = 0;
      }
      if (end) Progress(*end);
    }
    return {};
  }

  // A submission is appended whole: inside one, there is more to come.
  Status CheckNotAtEnd() {
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topic));
    if (reader->Next(0) < bounds.end) return {};
    return Tampered("position " + std::to_string(replay.next_position().value()) +
                    ": the ledger ends inside a submission");
  }

  Status FillInBulk(Cursor end) {
    StoreBatch mark;
    mark.Put(RecordFile::kMeta, kBuilding, "1");
    if (copies != nullptr) {
      copies->PutKey([&](Family family, std::string_view key, std::string_view value) { mark.Put(family, key, value); });
    }
    RETURN_IF_ERROR(store->Write(mark, false));
    RETURN_IF_ERROR(store->Flush());
    RETURN_IF_ERROR(Connect());
    BulkLoad load(*store, RecordFile::Families().size(), options.bulk_buffer_bytes);
    Status added;
    // Rows of orphans come and go: those that are left are put at the end.
    const auto put = [&](Family family, std::string_view key, std::string_view value) {
      if (family == RecordFile::kOrphans) return;
      if (Status status = load.Add(family, key, value); added.ok()) added = std::move(status);
    };
    record_file::Writer writer(put, [](Family, std::string_view) {});
    if (copies != nullptr) copies->BeginBulk(put);
    while (reader->Next(0) < end || !replay.between_submissions()) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(kPollRecords, milliseconds(100)));
      for (std::size_t i = 0; i < records.size(); ++i) {
        bool ends_submission = false;
        RETURN_IF_ERROR(Apply(preparer.Of(records, i), records[i].next, writer, true, ends_submission));
      }
      RETURN_IF_ERROR(added);
      Progress(end);
    }
    if (copies != nullptr) RETURN_IF_ERROR(copies->EndBulk());
    RETURN_IF_ERROR(added);
    RETURN_IF_ERROR(load.Finish());
    if (search_writer != nullptr) RETURN_IF_ERROR(search_writer->Build(*store, options.bulk_buffer_bytes));
    StoreBatch batch;
    batch.Delete(RecordFile::kMeta, kBuilding);
    record_file::Writer rest(
        [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); },
        [](Family, std::string_view) {});
    for (const KeySlot slot : orphans) rest.PutOrphan(slot, true);
    if (copies != nullptr) RETURN_IF_ERROR(copies->Load(replay.next_position()));
    // Nothing of it was used until here: now the newest heads are verified, which cover every event.
    RETURN_IF_ERROR(Commit(batch));
    return store->Flush();
  }

  Status Close() {
    if (copies != nullptr) {
      StoreBatch batch;
      copies->PutFingerprint(
          [&](Family family, std::string_view key, std::string_view value) { batch.Put(family, key, value); });
      RETURN_IF_ERROR(store->Write(batch, false));
    }
    return store->Flush();
  }

  Status CatchUp() {
    ASSIGN_OR_RETURN(const Bounds bounds, options.log->GetBounds(topic));
    if (replay.next_position() == Position(0)) {
      cursor = bounds.first;
      if (bounds.end.value() - bounds.first.value() >= options.bulk_from) {
        RETURN_IF_ERROR(FillInBulk(bounds.end));
      }
    }
    RETURN_IF_ERROR(Connect());
    // An order stands before its keys go, but may be newer than the end of a moment ago.
    for (Cursor end = bounds.end;;) {
      RETURN_IF_ERROR(Follow([&] { return reader->Next(0) >= end; }, end));
      if (unordered.empty()) return {};
      ASSIGN_OR_RETURN(const Bounds now, options.log->GetBounds(topic));
      if (now.end <= end) return NotOrdered();
      end = now.end;
    }
  }
};

std::string Projector::Kind(const ProjectorOptions& options) {
  return options.matching == nullptr ? kFormat : kFormat + ("-" + options.matching->id());
}

Projector::Projector(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Projector::~Projector() = default;

Result<std::unique_ptr<Projector>> Projector::Open(ProjectorOptions options) {
  auto impl = std::make_unique<Impl>(std::move(options));
  RETURN_IF_ERROR(impl->Open());
  return std::unique_ptr<Projector>(new Projector(std::move(impl)));
}

Status Projector::CatchUp() { return impl_->CatchUp(); }

Status Projector::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Status status = impl_->CatchUp();
    if (status.ok()) status = impl_->Follow([&] { return stop.stop_requested(); }, std::nullopt);
    if (status.ok() || !status.retriable()) {
      RETURN_IF_ERROR(status);
      break;
    }
    // The log is out of reach for now. What was applied but not committed is applied again.
    RETURN_IF_ERROR(impl_->Reload());
    std::this_thread::sleep_for(milliseconds(500));
  }
  return impl_->Close();
}

Position Projector::position() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->visible;
}

bool Projector::WaitFor(Position position, milliseconds wait) const {
  std::unique_lock lock(impl_->mutex);
  return impl_->applied.wait_for(lock, wait, [&] { return impl_->visible >= position; });
}

Position Projector::built_under() const { return impl_->built_under; }
const RecordFile& Projector::file() const { return *impl_->file; }
const Search& Projector::search() const { return *impl_->search; }
Result<RecordCopy> Projector::CopyAt(Position at) const { return impl_->copies->Take(at); }
Store& Projector::store() { return *impl_->store; }
const Store& Projector::store() const { return *impl_->store; }

std::shared_ptr<const Registry> Projector::registry() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->registry;
}

std::pair<Position, std::shared_ptr<const Registry>> Projector::registry_at_position() const {
  const std::lock_guard lock(impl_->mutex);
  return {impl_->visible, impl_->registry};
}

Result<Position> Projector::AsOf(std::optional<std::uint64_t> asked, std::optional<Date> day) const {
  const std::uint64_t applied = position().value();
  if (asked && *asked >= applied) return Invalid("position: the ledger is not that long yet");
  if (asked) return Position(*asked);
  if (day) return file().AtEndOf(*day);
  if (applied == 0) return NotFound("the ledger holds nothing yet");
  return Position(applied - 1);
}

Result<Registry> Projector::RegistryAt(Position at) const {
  return LedgerReplay::RegistryAt(*impl_->store, RecordFile::kMeta, at);
}

MerkleEdge Projector::IssuerTree(const std::string& issuer) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->issuer_trees.find(issuer);
  return found == impl_->issuer_trees.end() ? MerkleEdge() : found->second;
}

}  // namespace daicho
