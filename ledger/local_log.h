// LocalLog: the Log of one process, in one directory. A topic is a family of one Store, its cursors
// count 0, 1, 2 … without gaps. Appends of several threads share one synced write.
#pragma once

#include <memory>
#include <string>

#include "ledger/log.h"

namespace daicho {

class LocalLog : public Log {
 public:
  // Creates the directory when it is missing.
  // Errors: kUnavailable when a process has it open; kCorrupt when its files are damaged.
  static Result<std::unique_ptr<LocalLog>> Open(const std::string& dir);
  ~LocalLog() override;

  Status CreateTopic(const std::string& topic) override;
  // After a failed write every append returns kUnavailable until the log is opened anew.
  Status Append(const std::string& topic, const Record& record) override;
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override;
  Result<std::unique_ptr<LogReader>> OpenReader() override;
  Result<Bounds> GetBounds(const std::string& topic) override;
  Result<Received> ReadLast(const std::string& topic) override;
  // A copy of all that was appended so far in another directory, which Open takes.
  Status Snapshot(const std::string& dir);

 private:
  class Core;
  class Reader;
  class Writer;
  explicit LocalLog(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace daicho
