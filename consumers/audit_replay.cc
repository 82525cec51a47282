#include "consumers/audit_replay.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "consumers/audit_checkpoints.h"
#include "consumers/reading.h"
#include "events/topics.h"
#include "events/tree_head.h"
#include "ledger/entry_stream.h"
#include "ledger/files.h"
#include "projections/projector.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

constexpr char kFormat[] = "daicho-state/1";
constexpr char kAuditor[] = "daicho/auditor";

// A ledger that ends at a cursor.
class PrefixLog final : public Log {
 public:
  PrefixLog(Log& log, std::string topic, Cursor end) : log_(log), topic_(std::move(topic)), end_(end) {}
  Status CreateTopic(const std::string&) override { return Denied("for reading"); }
  Status Append(const std::string&, const Record&) override { return Denied("for reading"); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string&) override { return Denied("for reading"); }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    ASSIGN_OR_RETURN(auto reader, log_.OpenReader());
    return std::unique_ptr<LogReader>(std::make_unique<Reader>(std::move(reader), end_));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    ASSIGN_OR_RETURN(Bounds bounds, log_.GetBounds(topic));
    if (topic == topic_) bounds.end = std::min(bounds.end, end_);
    return bounds;
  }
  Result<Received> ReadLast(const std::string& topic) override { return log_.ReadLast(topic); }

 private:
  class Reader final : public LogReader {
   public:
    Reader(std::unique_ptr<LogReader> reader, Cursor end) : reader_(std::move(reader)), end_(end) {}
    Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
      return reader_->Assign(topic, from);
    }
    Result<std::vector<Received>> Poll(std::size_t most, std::chrono::milliseconds wait) override {
      ASSIGN_OR_RETURN(auto records, reader_->Poll(most, wait));
      std::erase_if(records, [&](const Received& record) { return record.cursor >= end_; });
      return records;
    }
    Cursor Next(std::uint32_t source) const override { return reader_->Next(source); }

   private:
    std::unique_ptr<LogReader> reader_;
    Cursor end_;
  };
  Log& log_;
  std::string topic_;
  Cursor end_;
};

// Where the state ends.
struct Stop {
  Cursor cursor;
  MerkleEdge tree;
  TimeMicros admitted_at;
};

class Replayer {
 public:
  explicit Replayer(const ReplayOptions& options)
      : options_(options), topic_(Topics{options.ledger.prefecture}.Ledger()) {}

  Result<std::string> Run() {
    if (FileExists(options_.out)) return Conflict(options_.out + " exists");
    RETURN_IF_ERROR(LoadSnapshot());
    RETURN_IF_ERROR(FindStop());
    RETURN_IF_ERROR(MakeDirectories(options_.out));
    if (!options_.from.empty()) {
      std::error_code error;
      fs::copy(options_.from + "/record_file", options_.out + "/record_file", fs::copy_options::recursive, error);
      if (error) return Unavailable("copying the record file: " + error.message());
    }
    RETURN_IF_ERROR(Project());
    RETURN_IF_ERROR(WriteFileDurably(options_.out + "/state.json", state_, 0644));
    if (options_.auditor) {
      ASSIGN_OR_RETURN(const std::string note, TrySignNote(state_, kAuditor, *options_.auditor));
      RETURN_IF_ERROR(WriteFileDurably(options_.out + "/state.note", note, 0644));
    }
    return state_;
  }

 private:
  // What an earlier replay says of itself; the ledger must agree with it.
  Status LoadSnapshot() {
    if (options_.from.empty()) return {};
    ASSIGN_OR_RETURN(const std::string text, ReadFile(options_.from + "/state.json"));
    if (options_.auditor) {
      ASSIGN_OR_RETURN(const std::string signed_text, ReadFile(options_.from + "/state.note"));
      ASSIGN_OR_RETURN(const Note note, ParseNote(signed_text));
      ASSIGN_OR_RETURN(const VerifyingKey key, VerifyingKey::From(options_.auditor->public_key()));
      const Status verified = VerifyNote(note, {kAuditor, NoteAlgorithm::kEd25519, key});
      if (!verified.ok()) return Tampered("state.note: " + verified.message());
      if (note.text != text) return Tampered("state.json is not what state.note signs");
    }
    const auto state = ordered_json::parse(text, nullptr, false);
    if (!state.is_object() || state.value("format", "") != kFormat || !state["size"].is_number_unsigned()) {
      return Invalid(options_.from + ": not the state of a replay");
    }
    if (state.value("ledger", "") != ToHex(View(options_.ledger.ledger))) return Tampered("a state of another ledger");
    snapshot_ = Snapshot{state["size"], state.value("root", ""), state.value("digest", "")};
    return {};
  }

  // Verifies every entry up to the stop, and on to the first checkpoint that covers it.
  Status FindStop() {
    LedgerReplay replay(options_.ledger.ledger, options_.ledger.registrar);
    CheckpointAuditOptions checkpoint_options;
    checkpoint_options.prefecture = options_.ledger.prefecture;
    checkpoint_options.ledger = options_.ledger.ledger;
    checkpoint_options.sequencer = options_.ledger.sequencer;
    Status found;  // what is wrong with a checkpoint, the first
    CheckpointAudit checkpoints(std::move(checkpoint_options), [&](const Finding& finding) {
      if (found.ok()) found = Tampered("checkpoint of size " + std::to_string(finding.position.value()) + ": " + finding.detail);
    });
    RETURN_IF_ERROR(checkpoints.Open(*options_.log));
    RETURN_IF_ERROR(found);
    ASSIGN_OR_RETURN(const Bounds bounds, options_.log->GetBounds(topic_));
    EntryStreamOptions stream_options;
    stream_options.log = options_.log;
    stream_options.topic = topic_;
    stream_options.from = bounds.first;
    stream_options.end = bounds.end;
    ASSIGN_OR_RETURN(auto stream, EntryStream::Open(std::move(stream_options)));
    for (bool stopped = false; !stopped || !Covered(checkpoints);) {
      ASSIGN_OR_RETURN(const EntryStream::Batch* batch, stream->Next());
      if (batch == nullptr) break;
      for (std::size_t i = 0; i < batch->records.size() && !(stopped && Covered(checkpoints)); ++i) {
        ASSIGN_OR_RETURN(const LedgerReplay::Checked entry, replay.Next(batch->prepared[i]));
        stopped = stopped || (options_.as_of && replay.last_admitted_at() > EndOfDay(*options_.as_of));
        if (!stopped) {
          RETURN_IF_ERROR(CompareSnapshot(replay.tree()));
          if (entry.ends_submission) stop_ = Stop{batch->records[i].next, replay.tree(), replay.last_admitted_at()};
          stopped = entry.ends_submission && options_.position && entry.position >= *options_.position;
        }
        if (stopped && !stop_) return NotFound("the ledger had not begun then");
        RETURN_IF_ERROR(checkpoints.Reached(replay));
        RETURN_IF_ERROR(found);
      }
    }
    RETURN_IF_ERROR(replay.VerifyHeads());
    if (!stop_) return NotFound("the ledger had not begun then");
    if (options_.position && stop_->tree.size() <= options_.position->value()) {
      return NotFound("the ledger does not reach that position");
    }
    if (snapshot_ && stop_->tree.size() < snapshot_->size) return Invalid("--from: a state behind the one asked for");
    if (Covered(checkpoints)) {
      checkpoint_ = checkpoints.newest()->note;
    } else if (checkpoints.last_size() > stop_->tree.size()) {
      return Tampered("a checkpoint covers " + std::to_string(checkpoints.last_size()) + " entries; the ledger holds " +
                      std::to_string(replay.next_position().value()));
    }
    return {};
  }

  // The newest checkpoint that the ledger agreed with covers the state.
  bool Covered(const CheckpointAudit& checkpoints) const {
    return stop_ && checkpoints.newest() && checkpoints.newest()->head.size >= stop_->tree.size();
  }

  Status CompareSnapshot(const MerkleEdge& tree) const {
    if (!snapshot_ || tree.size() != snapshot_->size || ToHex(View(tree.Root())) == snapshot_->root) return {};
    return Tampered("the ledger is not the one that the earlier state was made from");
  }

  Status Project() {
    PrefixLog prefix(*options_.log, topic_, stop_->cursor);
    ProjectorOptions o;
    o.prefecture = options_.ledger.prefecture;
    o.ledger = options_.ledger.ledger;
    o.registrar_public_key = options_.ledger.registrar;
    o.dir = options_.out + "/record_file";
    o.log = &prefix;
    o.keys = options_.keys;
    o.progress = options_.progress;
    ASSIGN_OR_RETURN(auto projector, Projector::Open(std::move(o)));
    if (snapshot_) {
      ASSIGN_OR_RETURN(const Digest digest, projector->file().ContentDigest());
      if (projector->position().value() != snapshot_->size || ToHex(View(digest)) != snapshot_->digest) {
        return Tampered("the earlier record file is not what its state says");
      }
    }
    RETURN_IF_ERROR(projector->CatchUp());
    RETURN_IF_ERROR(projector->store().Flush());
    RETURN_IF_ERROR(WriteRecords(*projector));
    return Describe(*projector);
  }

  Status WriteRecords(Projector& projector) {
    std::ofstream out(options_.out + "/records.ndjson", std::ios::binary);
    auto it = projector.store().NewIterator(RecordFile::kHandles);
    const Position last(stop_->tree.size() - 1);
    for (it.SeekToFirst(); it.Valid(); it.Next()) {
      ASSIGN_OR_RETURN(const SubjectHandle handle, ToArray<16>(it.key()));
      ASSIGN_OR_RETURN(const KeySlot subject, projector.file().FindByHandle(handle));
      const auto version = projector.file().Read(subject, last, std::nullopt);
      if (version.status().code() == Code::kNotFound) continue;  // all of it erased
      RETURN_IF_ERROR(version.status());
      out << VersionJson(*version) << "\n";
    }
    RETURN_IF_ERROR(it.status());
    out.close();
    return out ? Status() : Unavailable("writing records.ndjson");
  }

  Status Describe(Projector& projector) {
    ASSIGN_OR_RETURN(const Digest digest, projector.file().ContentDigest());
    ordered_json state = {{"format", kFormat},
                          {"ledger", ToHex(View(options_.ledger.ledger))},
                          {"position", stop_->tree.size() - 1},
                          {"size", stop_->tree.size()},
                          {"root", ToHex(View(stop_->tree.Root()))},
                          {"admitted_at", FormatTimestamp(stop_->admitted_at)},
                          {"digest", ToHex(View(digest))},
                          {"issuers", ordered_json::object()},
                          {"checkpoint", checkpoint_}};
    const std::shared_ptr<const Registry> registry = projector.registry();
    for (const auto& [name, issuer] : registry->issuers()) {
      const MerkleEdge tree = projector.IssuerTree(name);
      state["issuers"][name] = {{"size", tree.size()}, {"root", ToHex(View(tree.Root()))}};
    }
    state_ = state.dump(2) + "\n";
    return {};
  }

  struct Snapshot {
    std::uint64_t size;
    std::string root, digest;
  };

  const ReplayOptions& options_;
  std::string topic_;
  std::optional<Snapshot> snapshot_;
  std::optional<Stop> stop_;
  std::string checkpoint_, state_;
};

}  // namespace

Result<std::string> ReplayTo(const ReplayOptions& options) { return Replayer(options).Run(); }

}  // namespace daicho
