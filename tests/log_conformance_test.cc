// What every Log promises, asked of each. A row is {name, how to open it}; the Kafka row needs the
// broker that DAICHO_TEST_KAFKA=host:port names and fails without it. Topics are random, so that
// tests and runs may share a broker.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <ostream>
#include <random>
#include <thread>

#include "ledger/kafka_log.h"
#include "ledger/local_log.h"
#include "tests/open_transaction.h"

namespace daicho {
namespace {

using std::chrono::milliseconds;
using LogPtr = std::unique_ptr<Log>;

std::string RandomName() {
  return "t" + std::to_string(std::random_device{}()) + std::to_string(std::random_device{}());
}

const char* Broker() { return std::getenv("DAICHO_TEST_KAFKA"); }

template <typename T>
Result<LogPtr> AsLog(Result<std::unique_ptr<T>> log) {
  if (!log.ok()) return log.status();
  return LogPtr(std::move(*log));
}

Result<LogPtr> OpenKafka(milliseconds append_timeout) {
  return AsLog(
      KafkaLog::Open({.brokers = Broker(), .config = {}, .append_timeout = append_timeout}));
}

// Bytes that no codec makes smaller.
std::string Noise(std::size_t size) {
  std::string noise;
  std::mt19937_64 random(1);
  while (noise.size() < size) {
    const std::uint64_t word = random();
    noise.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  noise.resize(size);
  return noise;
}

struct Row {
  std::string name;
  std::function<Result<LogPtr>(const std::string& dir)> open;
  // Opens it such that appends give up at once where the implementation knows of giving up.
  std::function<Result<LogPtr>(const std::string& dir)> open_hasty;
  // Leaves records in `topic` that are not committed, by a writer that died; nothing where an
  // append is one write.
  std::function<void(const std::string& writer, const std::string& topic)> die_appending;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

class LogConformance : public ::testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    if (GetParam().name == "Kafka" && Broker() == nullptr)
      FAIL() << "DAICHO_TEST_KAFKA=host:port must name a broker for this test";
    dir_ = ::testing::TempDir() + "/daicho-" + RandomName();
    Reopen();
    for (const auto& topic : {ledger_, receipt_}) ASSERT_TRUE(log_->CreateTopic(topic).ok());
  }
  void TearDown() override {
    log_.reset();
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }

  void OpenBy(const std::function<Result<LogPtr>(const std::string&)>& open) {
    log_.reset();
    auto log = open(dir_);
    ASSERT_TRUE(log.ok()) << log.status().ToString();
    log_ = std::move(*log);
  }
  void Reopen() { OpenBy(GetParam().open); }
  void ReopenHasty() { OpenBy(GetParam().open_hasty); }

  std::unique_ptr<LogWriter> Sequencer() {
    auto writer = log_->OpenWriter(name_);
    EXPECT_TRUE(writer.ok()) << writer.status().ToString();
    return writer.ok() ? std::move(*writer) : nullptr;
  }
  static Record Entry(const std::string& value) { return {"handle", value, {{"ce_id", "1"}}}; }
  // One submission: its entries go to the ledger, its answer to the receipts.
  std::vector<TopicRecord> Submission(const std::vector<std::string>& entries) const {
    std::vector<TopicRecord> records;
    for (const auto& entry : entries) records.push_back({ledger_, Entry(entry)});
    records.push_back({receipt_, Entry("receipt of " + std::to_string(entries.size()))});
    return records;
  }
  Status Append(const std::string& value) { return log_->Append(ledger_, Entry(value)); }

  std::unique_ptr<LogReader> Reader(const std::vector<std::string>& topics,
                                    Cursor from = Cursor(0)) {
    auto reader = log_->OpenReader().value();
    for (const auto& topic : topics) {
      auto source = reader->Assign(topic, from);
      EXPECT_TRUE(source.ok()) << source.status().ToString();
    }
    return reader;
  }
  // Polls until all that stands in the topics has been polled past.
  std::vector<Received> ReadToEnd(LogReader& reader, const std::vector<std::string>& topics) {
    std::vector<Received> all;
    for (std::uint32_t source = 0; source < topics.size(); ++source) {
      const Cursor end = log_->GetBounds(topics[source])->end;
      while (reader.Next(source) < end) {
        auto records = reader.Poll(100, milliseconds(1000));
        if (!records.ok()) {
          ADD_FAILURE() << records.status().ToString();
          return all;
        }
        for (auto& record : *records) all.push_back(std::move(record));
      }
    }
    return all;
  }
  static std::vector<std::string> Values(const std::vector<Received>& records) {
    std::vector<std::string> values;
    for (const auto& record : records) values.push_back(record.value);
    return values;
  }
  std::vector<std::string> Read(const std::string& topic, Cursor from = Cursor(0)) {
    auto reader = Reader({topic}, from);
    return Values(ReadToEnd(*reader, {topic}));
  }

  std::string dir_;
  LogPtr log_;
  const std::string name_ = RandomName();
  const std::string ledger_ = name_ + ".ledger";
  const std::string receipt_ = name_ + ".receipt";
};

using Strings = std::vector<std::string>;

TEST_P(LogConformance, ASubmissionIsAppendedWholeAndInOrder) {
  ASSERT_TRUE(Sequencer()->Append(Submission({"a", "b", "c"})).ok());
  EXPECT_EQ(Read(ledger_), (Strings{"a", "b", "c"}));
  EXPECT_EQ(Read(receipt_), Strings{"receipt of 3"});
}

TEST_P(LogConformance, AnAppendToAnUnknownTopicAppendsNothing) {
  auto records = Submission({"a"});
  records.push_back({name_ + ".unknown", Entry("x")});
  auto writer = Sequencer();
  EXPECT_EQ(writer->Append(records).code(), Code::kNotFound);
  EXPECT_EQ(Read(ledger_), Strings{});
  EXPECT_TRUE(writer->Append(Submission({"b"})).ok());
}

TEST_P(LogConformance, ReadingResumesAtTheCursorOfARecord) {
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Append(value).ok());
  auto reader = Reader({ledger_});
  const auto all = ReadToEnd(*reader, {ledger_});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(Read(ledger_, all[1].cursor), (Strings{"b", "c"}));
  EXPECT_EQ(Read(ledger_, all[0].next), (Strings{"b", "c"}));
  EXPECT_EQ(Read(ledger_, all[2].next), Strings{});
}

TEST_P(LogConformance, NextReachesTheEndAlsoPastATransactionMarker) {
  ASSERT_TRUE(Sequencer()->Append(Submission({"a"})).ok());
  auto reader = Reader({ledger_});
  // The broker writes the marker a moment after the append has returned, and shows no record before.
  ASSERT_EQ(Values(reader->Poll(10, milliseconds(10'000)).value()), Strings{"a"});
  ReadToEnd(*reader, {ledger_});
  EXPECT_EQ(reader->Next(0), log_->GetBounds(ledger_)->end);
}

TEST_P(LogConformance, ReadingFromPastTheEndIsRefused) {
  EXPECT_EQ(log_->OpenReader().value()->Assign(ledger_, Cursor(5)).status().code(), Code::kInvalid);
}

TEST_P(LogConformance, AWaitingReaderGetsWhatIsAppended) {
  auto reader = Reader({ledger_, receipt_});
  ASSERT_TRUE(reader->Poll(10, milliseconds(300)).ok());
  std::jthread appender([&] {
    std::this_thread::sleep_for(milliseconds(100));
    EXPECT_TRUE(Append("late").ok());
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Values(reader->Poll(10, milliseconds(10'000)).value()), Strings{"late"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(5000));
}

TEST_P(LogConformance, APollWithoutRecordsReturnsWhenTheWaitHasPassed) {
  auto reader = Reader({ledger_});
  ASSERT_TRUE(reader->Poll(10, milliseconds(2000)).ok());
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(reader->Poll(10, milliseconds(200)).value().empty());
  const auto took = std::chrono::steady_clock::now() - begin;
  EXPECT_TRUE(took >= milliseconds(190) && took < milliseconds(1500)) << took.count();
}

TEST_P(LogConformance, OneReaderFollowsSeveralTopicsEachInItsOrder) {
  ASSERT_TRUE(Sequencer()->Append(Submission({"a", "b"})).ok());
  auto reader = Reader({ledger_, receipt_});
  std::map<std::uint32_t, Strings> by_source;
  for (const auto& r : ReadToEnd(*reader, {ledger_, receipt_}))
    by_source[r.source].push_back(r.value);
  EXPECT_EQ(by_source[0], (Strings{"a", "b"}));
  EXPECT_EQ(by_source[1], Strings{"receipt of 2"});
}

TEST_P(LogConformance, ATopicAssignedLaterDoesNotDisturbTheOthers) {
  for (const char* value : {"a", "b", "c"}) ASSERT_TRUE(Append(value).ok());
  auto reader = Reader({ledger_});
  Strings seen;
  while (seen.empty()) seen = Values(reader->Poll(1, milliseconds(1000)).value());
  EXPECT_EQ(reader->Assign(receipt_, Cursor(0)).value(), 1u);
  for (const auto& r : ReadToEnd(*reader, {ledger_, receipt_})) seen.push_back(r.value);
  EXPECT_EQ(seen, (Strings{"a", "b", "c"}));
}

TEST_P(LogConformance, WhatWasAppendedSurvivesReopening) {
  ASSERT_TRUE(Sequencer()->Append(Submission({"a"})).ok());
  ASSERT_TRUE(Append("b").ok());
  Reopen();
  EXPECT_EQ(Read(ledger_), (Strings{"a", "b"}));
  EXPECT_TRUE(log_->CreateTopic(ledger_).ok());
  EXPECT_EQ(Read(ledger_), (Strings{"a", "b"}));
}

TEST_P(LogConformance, ARepeatedAppendIsSeenTwice) {
  ASSERT_TRUE(Append("again").ok());
  ASSERT_TRUE(Append("again").ok());
  EXPECT_EQ(Read(ledger_), (Strings{"again", "again"}));
}

TEST_P(LogConformance, ASecondWriterFencesTheFirst) {
  auto first = Sequencer();
  ASSERT_TRUE(first->Append(Submission({"a"})).ok());
  auto second = Sequencer();
  const Status fenced = first->Append(Submission({"stale"}));
  EXPECT_EQ(fenced.code(), Code::kConflict) << fenced.ToString();
  EXPECT_EQ(first->Append(Submission({"stale"})).code(), Code::kConflict);
  EXPECT_TRUE(second->Append(Submission({"b"})).ok());
  EXPECT_EQ(Read(ledger_), (Strings{"a", "b"}));
}

TEST_P(LogConformance, AnUnknownOutcomeIsSettledByOpeningTheWriterAnew) {
  ReopenHasty();
  const Status status = Sequencer()->Append(Submission(Strings(2000, std::string(1000, 'x'))));
  EXPECT_TRUE(status.ok() || status.code() == Code::kUnavailable) << status.ToString();
  Reopen();
  auto writer = Sequencer();
  const std::size_t held = Read(ledger_).size();
  EXPECT_TRUE(held == 2000 || (held == 0 && !status.ok())) << held;
  ASSERT_TRUE(writer->Append(Submission({"next"})).ok());
  EXPECT_EQ(Read(ledger_).size(), held + 1);
}

TEST_P(LogConformance, AnUncommittedAppendIsNeverSeen) {
  ASSERT_TRUE(Append("before").ok());
  GetParam().die_appending(name_, ledger_);
  auto reader = Reader({ledger_});
  EXPECT_EQ(Values(reader->Poll(10, milliseconds(3000)).value()), Strings{"before"});
  EXPECT_TRUE(reader->Poll(10, milliseconds(300)).value().empty());
  ASSERT_TRUE(Sequencer()->Append(Submission({"after"})).ok());
  EXPECT_EQ(Values(ReadToEnd(*reader, {ledger_})), Strings{"after"});
}

TEST_P(LogConformance, ABigRecordPasses) {
  const std::string big = Noise(20u << 20);
  ASSERT_TRUE(Append(big).ok());
  ASSERT_TRUE(Sequencer()->Append(Submission({big})).ok());
  EXPECT_EQ(Read(ledger_), (Strings{big, big}));
}

TEST_P(LogConformance, TheLargestRecordPassesAndALargerOneIsRefused) {
  Record largest{"", Noise(kRecordBytesMax), {}};
  EXPECT_TRUE(log_->Append(ledger_, largest).ok());
  EXPECT_TRUE(
      Sequencer()->Append(std::vector<TopicRecord>{{ledger_, largest}, {receipt_, largest}}).ok());
  EXPECT_EQ(Read(ledger_), (Strings{largest.value, largest.value}));
  largest.key = "k";
  EXPECT_EQ(log_->Append(ledger_, largest).code(), Code::kInvalid);
}

TEST_P(LogConformance, ReadLastIsTheNewestCommittedRecord) {
  EXPECT_EQ(log_->ReadLast(ledger_).status().code(), Code::kNotFound);
  auto writer = Sequencer();
  for (const char* value : {"a", "b", "c"}) {
    ASSERT_TRUE(writer->Append(Submission({"x", value})).ok());
    const auto last = log_->ReadLast(ledger_);
    ASSERT_TRUE(last.ok()) << last.status().ToString();
    EXPECT_EQ(last->value, value);
  }
}

TEST_P(LogConformance, ReadLastWalksBackOverWhatWasNeverCommitted) {
  ASSERT_TRUE(Append("last").ok());
  GetParam().die_appending(name_, ledger_);
  Sequencer();
  EXPECT_EQ(log_->ReadLast(ledger_).value().value, "last");
}

TEST_P(LogConformance, AnUnknownTopicIsNotFound) {
  const std::string unknown = name_ + ".unknown";
  EXPECT_EQ(log_->Append(unknown, Entry("x")).code(), Code::kNotFound);
  EXPECT_EQ(log_->GetBounds(unknown).status().code(), Code::kNotFound);
  EXPECT_EQ(log_->ReadLast(unknown).status().code(), Code::kNotFound);
  EXPECT_EQ(log_->OpenReader().value()->Assign(unknown, Cursor(0)).status().code(),
            Code::kNotFound);
}

TEST_P(LogConformance, NamesAreChecked) {
  for (const std::string& name :
       {std::string(), std::string("UPPER"), std::string("a/b"), std::string(201, 'a')}) {
    EXPECT_EQ(log_->CreateTopic(name).code(), Code::kInvalid) << name;
    EXPECT_EQ(log_->OpenWriter(name).status().code(), Code::kInvalid) << name;
  }
}

// A log may give its own readers what it appended itself before the cluster does; what another process wrote in between
// must not be passed over for that.
TEST_P(LogConformance, AFollowerSeesItsOwnAndOthersAppendsInOrder) {
  LogPtr opened;
  if (GetParam().name == "Kafka") opened = GetParam().open(dir_).value();  // LocalLog belongs to one process
  Log& other = opened != nullptr ? *opened : *log_;
  auto writer = Sequencer();
  auto reader = Reader({ledger_});
  std::vector<Received> followed;
  std::mt19937 random(20);
  const auto poll = [&] {
    auto records = reader->Poll(1 + random() % 5, milliseconds(random() % 3));
    ASSERT_TRUE(records.ok()) << records.status().ToString();
    std::ranges::move(*records, std::back_inserter(followed));
  };
  std::size_t appended = 0;
  for (int step = 0; step < 150; ++step) {
    const std::string name = std::to_string(step);
    const auto kind = random() % 8;
    const std::size_t before = appended;
    if (kind < 4) {
      ASSERT_TRUE(writer->Append(Submission({name + "a", name + "b"})).ok());
      appended += 2;
    } else if (kind == 4) {
      ASSERT_TRUE(writer->Append(Submission({name + Noise(2u << 20)})).ok());
    } else {
      ASSERT_TRUE((kind == 5 ? other : *log_).Append(ledger_, Entry(name)).ok());
    }
    if (appended == before) ++appended;
    poll();
  }
  const auto begin = std::chrono::steady_clock::now();
  while (followed.size() < appended && std::chrono::steady_clock::now() - begin < std::chrono::seconds(30)) {
    ASSERT_NO_FATAL_FAILURE(poll());
  }
  auto fresh = other.OpenReader().value();
  ASSERT_TRUE(fresh->Assign(ledger_, Cursor(0)).ok());
  const auto all = ReadToEnd(*fresh, {ledger_});
  ASSERT_EQ(all.size(), appended);
  ASSERT_EQ(followed.size(), appended) << reader->Next(0).value() << " of " << all.back().cursor.value();
  for (std::size_t i = 0; i < appended; ++i) {
    ASSERT_EQ(followed[i].cursor, all[i].cursor);
    ASSERT_EQ(followed[i].key, all[i].key);
    ASSERT_TRUE(followed[i].value == all[i].value) << i;
  }
}

TEST_P(LogConformance, AppendsOfSeveralThreadsAreAllKept) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 25; ++i) EXPECT_TRUE(Append("v").ok());
    });
  threads.clear();
  EXPECT_EQ(Read(ledger_).size(), 100u);
}

const Row kRows[] = {
    {"Local", [](const std::string& dir) { return AsLog(LocalLog::Open(dir)); },
     [](const std::string& dir) { return AsLog(LocalLog::Open(dir)); },
     [](const std::string&, const std::string&) {}},
    {"Kafka", [](const std::string&) { return OpenKafka(milliseconds(30'000)); },
     [](const std::string&) { return OpenKafka(milliseconds(5)); },
     [](const std::string& writer, const std::string& topic) {
       LeaveTransactionOpen(Broker(), writer, topic, 30);
     }},
};

INSTANTIATE_TEST_SUITE_P(Logs, LogConformance, ::testing::ValuesIn(kRows),
                         [](const auto& row) { return row.param.name; });

TEST(KafkaLog, AnUnreachableBrokerIsNamedInTime) {
  const auto begin = std::chrono::steady_clock::now();
  const auto log =
      KafkaLog::Open({.brokers = "127.0.0.1:1", .config = {}, .timeout = milliseconds(1000)});
  EXPECT_EQ(log.status().code(), Code::kUnavailable);
  EXPECT_NE(log.status().message().find("127.0.0.1:1"), std::string::npos)
      << log.status().ToString();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(3000));
}

TEST(KafkaLog, AnUnknownSettingIsRefused) {
  const auto log = KafkaLog::Open({.brokers = "127.0.0.1:1", .config = {{"no.such", "setting"}}});
  EXPECT_EQ(log.status().code(), Code::kInvalid);
}

}  // namespace
}  // namespace daicho
