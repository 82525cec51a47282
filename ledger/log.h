// Log: named append-only sequences of records (topics). LocalLog keeps them in RocksDB, KafkaLog in a
// Kafka cluster, SocketLog reaches those of a running node; nothing above knows which it has.
//
//   gateway ── Append ──► inbox.<issuer> ──► LogReader ─ sequencer ─ LogWriter ──► ledger, receipt.<issuer>
//
// Every method may be called from any thread. A LogReader or LogWriter belongs to one thread at a time,
// and its Log outlives it. Names of topics and writers: 1 to 200 of a-z 0-9 . _ -
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/ids.h"
#include "events/result.h"

namespace daicho {

// Largest record: a submission of 10,000 notices with glyph images fits.
inline constexpr std::size_t kRecordBytesMax = 64u << 20;
// Largest sum of records in one LogWriter::Append.
inline constexpr std::size_t kAppendBytesMax = 4 * kRecordBytesMax;

// Borrowed: must live until the append returns.
struct Header {
  const char* name = nullptr;
  std::string_view value;
};

struct Record {
  std::string key;
  std::string value;
  std::vector<Header> headers;

  std::size_t bytes() const;
};

struct TopicRecord {
  std::string topic;
  Record record;
};

// A record read back. `next` is where to resume after it.
struct Received {
  std::uint32_t source = 0;  // what LogReader::Assign returned for its topic
  Cursor cursor;
  Cursor next;
  std::string key;
  std::string value;
};

// Records read back where the log has them; `storage` keeps them there and may be destroyed by any thread. It is
// shared because its type is the log's own.
struct ReceivedInPlace {
  struct One {
    std::uint32_t source = 0;
    Cursor cursor;
    Cursor next;
    std::string_view key;
    std::string_view value;
  };
  std::vector<One> records;
  std::shared_ptr<void> storage;
};

struct Bounds {
  Cursor first;  // oldest record still held
  Cursor end;    // every committed record lies below it
};

// Follows any number of topics in the order of each.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // Starts reading `topic` at the first record whose cursor is >= from. Returns the topic's number in
  // Received::source: 0 for the first assigned topic, 1 for the second …
  // Errors: kNotFound when there is no such topic; kInvalid when `from` lies past its end (the log has lost
  // what was read once) or the topic is assigned already.
  virtual Result<std::uint32_t> Assign(const std::string& topic, Cursor from) = 0;
  // Up to `records_max` committed records, or none when `wait` passed without any. Returns as soon as
  // some are there, or when Next moved past a marker. Never returns a part of an atomic append before
  // that append is committed.
  virtual Result<std::vector<Received>> Poll(std::size_t records_max,
                                             std::chrono::milliseconds wait) = 0;
  // Poll without a copy of every record where the log can do without. The storage must go before the reader.
  virtual Result<ReceivedInPlace> PollInPlace(std::size_t records_max, std::chrono::milliseconds wait);
  // Where the next record of that source will be looked for. Once everything below a topic's
  // Bounds::end has been returned and polled past, Next is at or above that end, also where a
  // Kafka transaction marker and no record stands last.
  virtual Cursor Next(std::uint32_t source) const = 0;
};

// The one active writer under its name; opening another under the same name fences this one off.
class LogWriter {
 public:
  virtual ~LogWriter() = default;
  // Appends all of `records` or none, in order, each to its topic. Durable when it returns OK.
  // Errors: kConflict when fenced (final); kUnavailable when the outcome is unknown: discard this
  // writer, open a new one (which settles what was in flight), then read back what the log holds.
  virtual Status Append(std::span<const TopicRecord> records) = 0;
};

class Log {
 public:
  virtual ~Log() = default;
  // Harmless when the topic exists.
  virtual Status CreateTopic(const std::string& topic) = 0;
  // Appends one record, durable when it returns. A repeat after kUnavailable may append it twice.
  // Errors: kNotFound when there is no such topic.
  virtual Status Append(const std::string& topic, const Record& record) = 0;
  virtual Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) = 0;
  virtual Result<std::unique_ptr<LogReader>> OpenReader() = 0;
  virtual Result<Bounds> GetBounds(const std::string& topic) = 0;
  // The newest committed record. Errors: kNotFound when the topic holds none.
  virtual Result<Received> ReadLast(const std::string& topic) = 0;
};

// What every Log asks of its callers. Errors: kInvalid.
Status CheckLogName(std::string_view name);
Status CheckRecord(const Record& record);
Status CheckAppend(std::span<const TopicRecord> records);

}  // namespace daicho
