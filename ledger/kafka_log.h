// KafkaLog: the Log of a cluster. A topic has one partition, a cursor is its offset. An Append of a
// LogWriter is one transaction; readers see committed records only.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "ledger/log.h"

namespace daicho {

// Of KafkaLogOptions::end_wait, for who reads to the end once.
inline constexpr std::chrono::milliseconds kReadToEndWait{5};

struct KafkaLogOptions {
  std::string brokers;  // host:port[,host:port…]
  // librdkafka's own settings: TLS, SASL and the rest. They win over KafkaLog's tuning, but not
  // over what its guarantees rest on.
  std::vector<std::pair<std::string, std::string>> config;
  std::string compression = "lz4";
  int replication_factor = 0;  // of new topics; 0: the smaller of 3 and the number of brokers
  std::chrono::milliseconds timeout{10'000};  // of every request but an append
  std::chrono::milliseconds append_timeout{
      30'000};  // after it, the outcome of an append is unknown
  // The producer of single appends begins to connect as the log is opened, and Open does not wait for it: that no
  // broker answers is found by what is asked of the log first.
  bool appends_soon = false;
  // How long a broker keeps a reader at a topic's end before it says that there is nothing more: less tells who reads
  // to the end sooner that it is reached, more asks the broker less often.
  std::chrono::milliseconds end_wait{100};
};

class KafkaLog : public Log {
 public:
  // Errors: kUnavailable when no broker answers, kDenied when they refuse us, kInvalid for a
  // setting.
  static Result<std::unique_ptr<KafkaLog>> Open(const KafkaLogOptions& options);
  ~KafkaLog() override;

  Status CreateTopic(const std::string& topic) override;
  Status Append(const std::string& topic, const Record& record) override;
  // Waits for what an older writer of that name left behind: aborts or completes its transaction.
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override;
  Result<std::unique_ptr<LogReader>> OpenReader() override;
  // `end` is the high watermark: a commit is visible to readers a moment after it returns, and the
  // last stable offset may still lie below its records.
  Result<Bounds> GetBounds(const std::string& topic) override;
  // Errors: also kUnavailable when a transaction stays open for longer than the timeout.
  Result<Received> ReadLast(const std::string& topic) override;

 private:
  class Core;
  class Reader;
  class Writer;
  explicit KafkaLog(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace daicho
