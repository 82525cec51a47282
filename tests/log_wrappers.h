// Logs around a log, for tests: one that gives its topics a prefix of their own, so that tests may
// share a broker, and one whose calls fail when told to.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ledger/log.h"

namespace daicho {

class PrefixedLog : public Log {
 public:
  PrefixedLog(std::unique_ptr<Log> log, std::string prefix)
      : log_(std::move(log)), prefix_(std::move(prefix)) {}

  Status CreateTopic(const std::string& topic) override {
    return log_->CreateTopic(prefix_ + topic);
  }
  Status Append(const std::string& topic, const Record& record) override {
    return log_->Append(prefix_ + topic, record);
  }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override {
    ASSIGN_OR_RETURN(auto writer, log_->OpenWriter(prefix_ + name));
    return std::unique_ptr<LogWriter>(new Writer(std::move(writer), prefix_));
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    ASSIGN_OR_RETURN(auto reader, log_->OpenReader());
    return std::unique_ptr<LogReader>(new Reader(std::move(reader), prefix_));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    return log_->GetBounds(prefix_ + topic);
  }
  Result<Received> ReadLast(const std::string& topic) override {
    return log_->ReadLast(prefix_ + topic);
  }

 private:
  class Writer : public LogWriter {
   public:
    Writer(std::unique_ptr<LogWriter> writer, std::string prefix)
        : writer_(std::move(writer)), prefix_(std::move(prefix)) {}
    Status Append(std::span<const TopicRecord> records) override {
      std::vector<TopicRecord> prefixed(records.begin(), records.end());
      for (TopicRecord& record : prefixed) record.topic = prefix_ + record.topic;
      return writer_->Append(prefixed);
    }

   private:
    std::unique_ptr<LogWriter> writer_;
    std::string prefix_;
  };
  class Reader : public LogReader {
   public:
    Reader(std::unique_ptr<LogReader> reader, std::string prefix)
        : reader_(std::move(reader)), prefix_(std::move(prefix)) {}
    Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override {
      return reader_->Assign(prefix_ + topic, from);
    }
    Result<std::vector<Received>> Poll(std::size_t records_max,
                                       std::chrono::milliseconds wait) override {
      return reader_->Poll(records_max, wait);
    }
    Cursor Next(std::uint32_t source) const override { return reader_->Next(source); }

   private:
    std::unique_ptr<LogReader> reader_;
    std::string prefix_;
  };

  std::unique_ptr<Log> log_;
  std::string prefix_;
};

// Which calls fail. Shared by all that a FaultyLog opens; any thread.
struct Faults {
  std::atomic<std::uint64_t> mask{0};  // bit n: the nth call from now on fails
  std::atomic<bool> acts{false};       // the failing call has done its work: the outcome is unknown
  std::atomic<int> calls{0};
  std::atomic<int> failed{0};

  void Set(std::uint64_t failing, bool having_acted) {
    mask = failing;
    acts = having_acted;
    calls = failed = 0;
  }
  bool Hit() {
    const int call = calls++;
    const bool hit = call < 64 && (mask >> call & 1) != 0;
    failed += hit;
    return hit;
  }
};

// Reads do not fail once their reader is open; Log::Append, which issuers use, never does.
class FaultyLog : public Log {
 public:
  FaultyLog(Log& log, Faults& faults) : log_(log), faults_(faults) {}  // both borrowed

  Status CreateTopic(const std::string& topic) override {
    return Try<Status>([&] { return log_.CreateTopic(topic); });
  }
  Status Append(const std::string& topic, const Record& record) override {
    return log_.Append(topic, record);
  }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override {
    return Try<Result<std::unique_ptr<LogWriter>>>([&]() -> Result<std::unique_ptr<LogWriter>> {
      ASSIGN_OR_RETURN(auto writer, log_.OpenWriter(name));
      return std::unique_ptr<LogWriter>(new Writer(*this, std::move(writer)));
    });
  }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    return Try<Result<std::unique_ptr<LogReader>>>([&] { return log_.OpenReader(); });
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    return Try<Result<Bounds>>([&] { return log_.GetBounds(topic); });
  }
  Result<Received> ReadLast(const std::string& topic) override {
    return Try<Result<Received>>([&] { return log_.ReadLast(topic); });
  }

 private:
  template <typename Answer>
  Answer Try(const std::function<Answer()>& act) {
    if (!faults_.Hit()) return act();
    if (faults_.acts) static_cast<void>(act().ok());
    return Unavailable("injected");
  }
  class Writer : public LogWriter {
   public:
    Writer(FaultyLog& log, std::unique_ptr<LogWriter> writer)
        : log_(log), writer_(std::move(writer)) {}
    Status Append(std::span<const TopicRecord> records) override {
      return log_.Try<Status>([&] { return writer_->Append(records); });
    }

   private:
    FaultyLog& log_;
    std::unique_ptr<LogWriter> writer_;
  };

  Log& log_;
  Faults& faults_;
};

}  // namespace daicho
