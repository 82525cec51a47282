#include "ledger/local_log.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>

#include "ledger/store.h"

namespace daicho {
namespace {

// On disk. Never renumber.
//   family "log":           "format" -> kFormat; "writer/<name>" -> epoch, u64
//   family "topic/<name>":  index, u64 big-endian -> record
//   record:  version u8 = 1 | crc32 u32 over (index ‖ all after it) | key size u32 | headers u32 |
//            (name size u32 | text size u32) per header | key | names and texts | value
// Integers are little-endian but for the index, whose bytes sort.
constexpr char kFormat[] = "daicho-local-log/1";
constexpr char kFormatKey[] = "format";
constexpr char kWriterKey[] = "writer/";
constexpr char kLogFamily[] = "log";
constexpr std::string_view kTopicFamily = "topic/";
constexpr char kRecordVersion = 1;
constexpr std::size_t kRecordHead = 1 + 4;
constexpr std::size_t kHeadersMax = 1000;

// Bounds of one shared write and of one Poll; both hold at least one append or record.
constexpr std::size_t kGroupBytesMax = 64u << 20;
constexpr std::size_t kPollBytesMax = 64u << 20;

constexpr std::size_t kLogWriteBufferBytes = 32u << 20;

template <typename T>
void PutNumber(std::string* out, T number) {
  for (std::size_t i = 0; i < sizeof number; ++i)
    out->push_back(static_cast<char>(number >> (8 * i)));
}

template <typename T>
T TakeNumber(std::string_view* in) {
  T number = 0;
  for (std::size_t i = sizeof number; i-- > 0;)
    number = static_cast<T>(number << 8 | static_cast<std::uint8_t>((*in)[i]));
  in->remove_prefix(sizeof number);
  return number;
}

std::string IndexKey(std::uint64_t index) {
  std::string key(8, '\0');
  for (int i = 8; i-- > 0; index >>= 8) key[static_cast<std::size_t>(i)] = static_cast<char>(index);
  return key;
}

Result<std::uint64_t> ParseIndexKey(std::string_view key) {
  if (key.size() != 8) return Corrupt("an index of " + std::to_string(key.size()) + " bytes");
  std::uint64_t index = 0;
  for (const char c : key) index = index << 8 | static_cast<std::uint8_t>(c);
  return index;
}

std::uint32_t Checksum(std::string_view index_key, std::string_view body) {
  const auto add = [](uLong crc, std::string_view bytes) {
    return crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
  };
  return static_cast<std::uint32_t>(add(add(0, index_key), body));
}

std::string EncodeRecord(std::string_view index_key, const Record& record) {
  std::string out;
  out.reserve(kRecordHead + 8 + 8 * record.headers.size() + record.bytes());
  out.push_back(kRecordVersion);
  out.append(4, '\0');
  PutNumber(&out, static_cast<std::uint32_t>(record.key.size()));
  PutNumber(&out, static_cast<std::uint32_t>(record.headers.size()));
  for (const auto& [name, text] : record.headers) {
    PutNumber(&out, static_cast<std::uint32_t>(std::string_view(name).size()));
    PutNumber(&out, static_cast<std::uint32_t>(text.size()));
  }
  out += record.key;
  for (const auto& [name, text] : record.headers) out.append(name).append(text);
  out += record.value;
  std::string crc;
  PutNumber(&crc, Checksum(index_key, std::string_view(out).substr(kRecordHead)));
  out.replace(1, crc.size(), crc);
  return out;
}

// Key and value of a record; its headers are skipped.
Status DecodeRecord(std::string_view index_key, std::string_view bytes, Received* out) {
  if (bytes.size() < kRecordHead) return Corrupt("a record without a head");
  if (bytes[0] != kRecordVersion)
    return Unsupported("a record of version " + std::to_string(bytes[0]));
  bytes.remove_prefix(1);
  const auto crc = TakeNumber<std::uint32_t>(&bytes);
  if (crc != Checksum(index_key, bytes)) return Corrupt("a record's checksum disagrees");
  if (bytes.size() < 8) return Corrupt("a record without sizes");
  const std::uint64_t key_size = TakeNumber<std::uint32_t>(&bytes);
  const std::uint64_t headers = TakeNumber<std::uint32_t>(&bytes);
  if (bytes.size() < 8 * headers) return Corrupt("a record's headers are cut");
  std::uint64_t skip = key_size;
  for (std::uint64_t i = 0; i < 2 * headers; ++i) skip += TakeNumber<std::uint32_t>(&bytes);
  if (bytes.size() < skip) return Corrupt("a record is cut");
  out->key = bytes.substr(0, key_size);
  out->value = bytes.substr(skip);
  return {};
}

struct Topic {
  std::string name;
  Family family = 0;
  std::uint64_t allocated = 0;  // next index to give out
  std::uint64_t end = 0;        // all below are durable, and shown to readers
};

}  // namespace

// What log, readers and writers share.
class LocalLog::Core {
 public:
  Status Open(const std::string& dir);
  Status CreateTopic(const std::string& name);
  Result<Topic*> Find(const std::string& name);
  Status Append(std::span<const TopicRecord> records, const Writer* writer);
  Result<std::uint64_t> RaiseEpoch(const std::string& writer);
  std::uint64_t End(const Topic& topic);
  Status Snapshot(const std::string& dir) { return store_->Snapshot(dir); }
  // Waits until `ready`, called under the lock, is true or `wait` has passed.
  void WaitForRecords(std::chrono::milliseconds wait, const std::function<bool()>& ready);
  // Appends to `out` the records of `topic` in [from, end).
  Status Read(const Topic& topic, std::uint64_t from, std::uint64_t end, std::size_t records_max,
              std::size_t* bytes_left, std::vector<Received>* out) const;

 private:
  struct Pending {
    // Checks what must hold at its turn, then puts what it writes into the batch. Under the lock.
    std::function<Status(StoreBatch&)> prepare;
    std::size_t bytes;
    Status status = {};
    bool prepared = false;
    bool done = false;
  };

  Status LoadTopics();
  Status CheckFormat();
  Result<std::uint64_t> StoredEpoch(const std::string& writer);
  Status PutRecords(std::span<const TopicRecord> records, const Writer* writer, StoreBatch& batch);
  Status Commit(Pending* own);
  void CommitGroup(std::unique_lock<std::mutex>& lock);

  std::unique_ptr<Store> store_;
  Family log_family_ = 0;

  std::mutex mutex_;  // guards all below
  std::condition_variable turn_;
  std::condition_variable appended_;
  std::map<std::string, std::unique_ptr<Topic>> topics_;
  std::map<std::string, std::uint64_t> epochs_;
  std::deque<Pending*> queue_;  // the front one writes for all that stand behind it
  Status broken_;
};

class LocalLog::Writer : public LogWriter {
 public:
  Writer(Core& core, std::string name, std::uint64_t epoch)
      : core_(core), name_(std::move(name)), epoch_(epoch) {}
  Status Append(std::span<const TopicRecord> records) override {
    RETURN_IF_ERROR(CheckAppend(records));
    return core_.Append(records, this);
  }
  const std::string& name() const { return name_; }
  std::uint64_t epoch() const { return epoch_; }

 private:
  Core& core_;
  const std::string name_;
  const std::uint64_t epoch_;
};

Status LocalLog::Core::Open(const std::string& dir) {
  ASSIGN_OR_RETURN(store_, Store::Open({.path = dir,
                                        .families = {kLogFamily},
                                        .write_buffer_bytes = kLogWriteBufferBytes,
                                        .many_families = true}));  // a family a topic
  RETURN_IF_ERROR(CheckFormat());
  return LoadTopics();
}

Status LocalLog::Core::CheckFormat() {
  const auto format = store_->Get(log_family_, kFormatKey);
  if (format.ok())
    return *format == kFormat ? Status() : Unsupported("a local log of format '" + *format + "'");
  if (format.status().code() != Code::kNotFound) return format.status();
  if (store_->FamilyNames().size() > 1) return Corrupt("a local log without its format");
  StoreBatch batch;
  batch.Put(log_family_, kFormatKey, kFormat);
  return store_->Write(batch, true);
}

Status LocalLog::Core::LoadTopics() {
  const auto names = store_->FamilyNames();
  for (Family family = 0; family < names.size(); ++family) {
    if (!names[family].starts_with(kTopicFamily)) continue;
    auto topic = std::make_unique<Topic>();
    topic->name = names[family].substr(kTopicFamily.size());
    topic->family = family;
    auto it = store_->NewIterator(family);
    it.SeekToLast();
    RETURN_IF_ERROR(it.status().With(topic->name));
    if (it.Valid()) {
      ASSIGN_OR_RETURN(const std::uint64_t last, ParseIndexKey(it.key()));
      topic->allocated = topic->end = last + 1;
    }
    topics_.emplace(topic->name, std::move(topic));
  }
  return {};
}

Status LocalLog::Core::CreateTopic(const std::string& name) {
  RETURN_IF_ERROR(CheckLogName(name));
  std::lock_guard lock(mutex_);
  if (topics_.contains(name)) return {};
  auto topic = std::make_unique<Topic>();
  topic->name = name;
  ASSIGN_OR_RETURN(topic->family, store_->CreateFamily(std::string(kTopicFamily) + name));
  topics_.emplace(name, std::move(topic));
  return {};
}

Result<Topic*> LocalLog::Core::Find(const std::string& name) {
  std::lock_guard lock(mutex_);
  const auto it = topics_.find(name);
  if (it == topics_.end()) return NotFound("no topic '" + name + "'");
  return it->second.get();
}

std::uint64_t LocalLog::Core::End(const Topic& topic) {
  std::lock_guard lock(mutex_);
  return topic.end;
}

void LocalLog::Core::WaitForRecords(std::chrono::milliseconds wait,
                                    const std::function<bool()>& ready) {
  std::unique_lock lock(mutex_);
  // The sum with the clock must not overflow.
  appended_.wait_for(lock, std::min<std::chrono::milliseconds>(wait, std::chrono::hours(24)),
                     ready);
}

Status LocalLog::Core::Append(std::span<const TopicRecord> records, const Writer* writer) {
  std::size_t bytes = 0;
  for (const auto& [topic, record] : records) bytes += record.bytes();
  Pending own{.prepare = [&](StoreBatch& batch) { return PutRecords(records, writer, batch); },
              .bytes = bytes};
  return Commit(&own);
}

Status LocalLog::Core::PutRecords(std::span<const TopicRecord> records, const Writer* writer,
                                  StoreBatch& batch) {
  if (writer != nullptr && epochs_[writer->name()] != writer->epoch())
    return Conflict("the writer '" + writer->name() + "' was opened anew elsewhere");
  for (const auto& [topic, record] : records) {
    if (!topics_.contains(topic)) return NotFound("no topic '" + topic + "'");
    if (record.headers.size() > kHeadersMax) return Invalid("a record has too many headers");
  }
  for (const auto& [name, record] : records) {
    Topic& topic = *topics_[name];
    const std::string key = IndexKey(topic.allocated++);
    batch.Put(topic.family, key, EncodeRecord(key, record));
  }
  return {};
}

Result<std::uint64_t> LocalLog::Core::StoredEpoch(const std::string& writer) {
  const auto stored = store_->Get(log_family_, kWriterKey + writer);
  if (stored.status().code() == Code::kNotFound) return std::uint64_t{0};
  if (!stored.ok()) return stored.status();
  std::string_view bytes = *stored;
  if (bytes.size() != sizeof(std::uint64_t)) return Corrupt("an epoch of odd size");
  return TakeNumber<std::uint64_t>(&bytes);
}

// Takes its turn behind the appends: those of the older writer are through, or refused, when it
// returns.
Result<std::uint64_t> LocalLog::Core::RaiseEpoch(const std::string& writer) {
  std::uint64_t epoch = 0;
  Pending own{.prepare = [&](StoreBatch& batch) -> Status {
                if (!epochs_.contains(writer)) {
                  ASSIGN_OR_RETURN(epochs_[writer], StoredEpoch(writer));
                }
                epoch = ++epochs_[writer];
                std::string value;
                PutNumber(&value, epoch);
                batch.Put(log_family_, kWriterKey + writer, value);
                return {};
              },
              .bytes = 0};
  RETURN_IF_ERROR(Commit(&own));
  return epoch;
}

Status LocalLog::Core::Commit(Pending* own) {
  std::unique_lock lock(mutex_);
  queue_.push_back(own);
  turn_.wait(lock, [&] { return own->done || queue_.front() == own; });
  if (!own->done) CommitGroup(lock);
  return own->status;
}

// One synced write for the front of the queue and those behind it, as far as they fit.
void LocalLog::Core::CommitGroup(std::unique_lock<std::mutex>& lock) {
  StoreBatch batch;
  std::size_t size = 0;
  for (; size < queue_.size(); ++size) {
    Pending& next = *queue_[size];
    if (size > 0 && batch.bytes() + next.bytes > kGroupBytesMax) break;
    next.status = broken_.ok() ? next.prepare(batch) : broken_;
    next.prepared = next.status.ok();
  }
  Status written;
  if (batch.bytes() > 0) {
    lock.unlock();
    written = store_->Write(batch, true);
    lock.lock();
  }
  if (!written.ok())
    broken_ = Unavailable("the log must be opened anew after: " + written.ToString());
  for (std::size_t i = 0; i < size; ++i) {
    if (queue_.front()->prepared) queue_.front()->status = broken_;
    queue_.front()->done = true;
    queue_.pop_front();
  }
  if (broken_.ok())
    for (auto& [name, topic] : topics_) topic->end = topic->allocated;
  turn_.notify_all();
  appended_.notify_all();
}

Status LocalLog::Core::Read(const Topic& topic, std::uint64_t from, std::uint64_t end,
                            std::size_t records_max, std::size_t* bytes_left,
                            std::vector<Received>* out) const {
  auto it = store_->NewIterator(topic.family);
  it.Seek(IndexKey(from));
  for (; from < end && out->size() < records_max && *bytes_left > 0; it.Next(), ++from) {
    const std::string where = topic.name + " record " + std::to_string(from);
    RETURN_IF_ERROR(it.status().With(where));
    if (!it.Valid() || it.key() != IndexKey(from)) return Corrupt(where + " is missing");
    Received& received = out->emplace_back();
    received.cursor = Cursor(from);
    received.next = Cursor(from + 1);
    if (Status s = DecodeRecord(it.key(), it.value(), &received); !s.ok()) {
      out->pop_back();
      return s.With(where);
    }
    *bytes_left -= std::min(*bytes_left, received.key.size() + received.value.size() + 1);
  }
  return {};
}

class LocalLog::Reader : public LogReader {
 public:
  explicit Reader(Core& core) : core_(core) {}

  Result<std::uint32_t> Assign(const std::string& name, Cursor from) override {
    ASSIGN_OR_RETURN(Topic* const topic, core_.Find(name));
    if (from.value() > core_.End(*topic))
      return Invalid("reading '" + name + "' from past its end");
    for (const auto& source : sources_)
      if (source.topic == topic) return Invalid("'" + name + "' is being read already");
    sources_.push_back({topic, from.value()});
    return static_cast<std::uint32_t>(sources_.size() - 1);
  }

  Result<std::vector<Received>> Poll(std::size_t records_max,
                                     std::chrono::milliseconds wait) override {
    core_.WaitForRecords(wait, [&] {
      return std::ranges::any_of(sources_, [](const Source& s) { return s.next < s.topic->end; });
    });
    std::vector<Received> out;
    std::size_t bytes_left = kPollBytesMax;
    // Another source comes first each time, so that a busy one does not starve the rest.
    for (std::size_t i = 0; i < sources_.size(); ++i) {
      const std::size_t number = (turn_ + i) % sources_.size();
      RETURN_IF_ERROR(ReadSource(number, records_max, &bytes_left, &out));
    }
    ++turn_;
    return out;
  }

  Cursor Next(std::uint32_t source) const override {
    CHECK(source < sources_.size());
    return Cursor(sources_[source].next);
  }

 private:
  struct Source {
    Topic* topic;
    std::uint64_t next;
  };

  // Damage is reported once the records before it were returned.
  Status ReadSource(std::size_t number, std::size_t records_max, std::size_t* bytes_left,
                    std::vector<Received>* out) {
    Source& source = sources_[number];
    const std::size_t before = out->size();
    const std::uint64_t end = core_.End(*source.topic);
    if (source.next >= end) return {};
    const Status status = core_.Read(*source.topic, source.next, end, records_max, bytes_left, out);
    if (!status.ok() && out->empty()) return status;
    for (std::size_t i = before; i < out->size(); ++i)
      (*out)[i].source = static_cast<std::uint32_t>(number);
    source.next += out->size() - before;
    return {};
  }

  Core& core_;
  std::vector<Source> sources_;
  std::size_t turn_ = 0;
};

LocalLog::LocalLog(std::unique_ptr<Core> core) : core_(std::move(core)) {}
LocalLog::~LocalLog() = default;

Result<std::unique_ptr<LocalLog>> LocalLog::Open(const std::string& dir) {
  auto core = std::make_unique<Core>();
  if (Status s = core->Open(dir); !s.ok()) return s.With("the local log");
  return std::unique_ptr<LocalLog>(new LocalLog(std::move(core)));
}

Status LocalLog::CreateTopic(const std::string& topic) { return core_->CreateTopic(topic); }

Status LocalLog::Append(const std::string& topic, const Record& record) {
  const TopicRecord records[] = {{topic, record}};
  RETURN_IF_ERROR(CheckAppend(records));
  return core_->Append(records, nullptr);
}

Result<std::unique_ptr<LogWriter>> LocalLog::OpenWriter(const std::string& name) {
  RETURN_IF_ERROR(CheckLogName(name));
  ASSIGN_OR_RETURN(const std::uint64_t epoch, core_->RaiseEpoch(name));
  return std::unique_ptr<LogWriter>(std::make_unique<Writer>(*core_, name, epoch));
}

Result<std::unique_ptr<LogReader>> LocalLog::OpenReader() {
  return std::unique_ptr<LogReader>(std::make_unique<Reader>(*core_));
}

Result<Bounds> LocalLog::GetBounds(const std::string& topic) {
  ASSIGN_OR_RETURN(const Topic* const found, core_->Find(topic));
  return Bounds{.first = Cursor(0), .end = Cursor(core_->End(*found))};
}

Result<Received> LocalLog::ReadLast(const std::string& topic) {
  ASSIGN_OR_RETURN(const Topic* const found, core_->Find(topic));
  const std::uint64_t end = core_->End(*found);
  if (end == 0) return NotFound("the topic '" + topic + "' holds no record");
  std::vector<Received> last;
  std::size_t bytes = kPollBytesMax;
  RETURN_IF_ERROR(core_->Read(*found, end - 1, end, 1, &bytes, &last));
  return std::move(last.front());
}

Status LocalLog::Snapshot(const std::string& dir) { return core_->Snapshot(dir); }

}  // namespace daicho
