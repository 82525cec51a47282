// What the fingerprint of a copy costs who applies events: a home's ledger is applied entry by entry into two record
// files, as a node keeps them (encrypted, with the search index), one of them followed by items and fingerprint. A
// step of one, a step of the other, and in turn which is first; then all of it again. What counts of a step is its
// least processor time of all rounds: of all threads, until all that it set going is done.
//
// copy_upkeep --home DIR --work DIR [--step N] [--poll N] [--rounds N]
// HOME's node does not run; its log is embedded. WORK must not exist yet.
#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "bench/cpu_time.h"
#include "consumers/home.h"
#include "events/topics.h"
#include "ledger/replay.h"
#include "projections/projector.h"

namespace daicho {
namespace {

// The store's own threads go on behind a step.
double CpuSecondsAtRest() {
  for (double before = CpuSeconds();;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    const double now = CpuSeconds();
    if (now - before < 0.001) return now;
    before = now;
  }
}

// Another log, whose topics end where it is told to. Requires: cursors that count records.
class EndingLog : public Log {
 public:
  // `poll`: records it gives at once, at most.
  EndingLog(Log& log, std::size_t poll) : log_(log), poll_(poll) {}
  void EndAt(Cursor end) { end_ = end; }

  Status CreateTopic(const std::string& topic) override { return log_.CreateTopic(topic); }
  Status Append(const std::string& topic, const Record& record) override { return log_.Append(topic, record); }
  Result<std::unique_ptr<LogWriter>> OpenWriter(const std::string& name) override { return log_.OpenWriter(name); }
  Result<Received> ReadLast(const std::string& topic) override { return log_.ReadLast(topic); }
  Result<std::unique_ptr<LogReader>> OpenReader() override {
    ASSIGN_OR_RETURN(auto reader, log_.OpenReader());
    return std::unique_ptr<LogReader>(new Reader(*this, std::move(reader)));
  }
  Result<Bounds> GetBounds(const std::string& topic) override {
    ASSIGN_OR_RETURN(Bounds bounds, log_.GetBounds(topic));
    bounds.end = std::min(bounds.end, end_);
    return bounds;
  }

 private:
  class Reader : public LogReader {
   public:
    Reader(const EndingLog& log, std::unique_ptr<LogReader> reader) : log_(log), reader_(std::move(reader)) {}
    Result<std::uint32_t> Assign(const std::string& topic, Cursor from) override { return reader_->Assign(topic, from); }
    Result<std::vector<Received>> Poll(std::size_t records_max, std::chrono::milliseconds wait) override {
      const std::size_t left = log_.end_.value() - Next(0).value();
      return reader_->Poll(std::min({records_max, left, log_.poll_}), wait);
    }
    Cursor Next(std::uint32_t source) const override { return reader_->Next(source); }

   private:
    const EndingLog& log_;
    std::unique_ptr<LogReader> reader_;
  };

  Log& log_;
  std::size_t poll_;
  Cursor end_;
};

// Ends of submissions, `step` entries or more apart, and the ledger's.
Result<std::vector<Cursor>> StepsOf(Log& log, const Home& home, std::uint64_t step) {
  const std::string topic = Topics(home.prefecture).Ledger();
  ASSIGN_OR_RETURN(const Bounds bounds, log.GetBounds(topic));
  ASSIGN_OR_RETURN(const auto reader, log.OpenReader());
  RETURN_IF_ERROR(reader->Assign(topic, bounds.first).status());
  LedgerReplay replay(home.ledger, home.root);
  std::vector<Cursor> ends;
  for (std::uint64_t entries = 0; reader->Next(0) < bounds.end;) {
    ASSIGN_OR_RETURN(const auto records, reader->Poll(5'000, std::chrono::milliseconds(100)));
    for (const Received& record : records) {
      ASSIGN_OR_RETURN(const LedgerReplay::Checked entry, replay.Next(record.value));
      if (++entries < step || !entry.ends_submission) continue;
      ends.push_back(record.next);
      entries = 0;
    }
    RETURN_IF_ERROR(replay.VerifyHeads());
  }
  if (ends.empty() || ends.back() < bounds.end) ends.push_back(bounds.end);
  return ends;
}

class Upkeep {
 public:
  Upkeep(std::string home, std::string work, std::size_t poll) : dir_(std::move(home)), work_(std::move(work)), poll_(poll) {}

  Status Run(std::uint64_t step, int rounds) {
    RETURN_IF_ERROR(Open());
    ASSIGN_OR_RETURN(const std::vector<Cursor> ends, StepsOf(*log_, home_, step));
    std::vector<std::array<double, 2>> least(ends.size(), {1e9, 1e9});
    for (int round = 1; round <= rounds; ++round) {
      std::array<double, 2> total{};
      RETURN_IF_ERROR(Round(ends, round % 2, [&](std::size_t i, std::size_t way, double seconds) {
        total[way] += seconds;
        least[i][way] = std::min(least[i][way], seconds);
      }));
      fmt::print("round {}: {:.2f} s without, {:.2f} s with\n", round, total[0], total[1]);
      std::fflush(stdout);
    }
    std::array<double, 2> sum{};
    for (const auto& each : least) sum[0] += each[0], sum[1] += each[1];
    const double entries = static_cast<double>(ends.back().value()) / 1e6;
    fmt::print("RESULT entries={} steps={} rounds={} cpu_us_per_entry_without={:.2f} with={:.2f} ratio={:.3f}\n", ends.back().value(),
               ends.size(), rounds, sum[0] / entries, sum[1] / entries, sum[1] / sum[0]);
    return {};
  }

 private:
  Status Open() {
    ASSIGN_OR_RETURN(home_, OpenHome(dir_));
    ASSIGN_OR_RETURN(log_, OpenLog(home_.log, home_.kafka_config));
    ASSIGN_OR_RETURN(holder_, OpenHolder(home_));
    ASSIGN_OR_RETURN(keys_, KeyStore::Open(home_.Path("keystore"), KeyStore::Mode::kRead, holder_.get()));
    if (!std::filesystem::create_directories(work_)) return Invalid("--work: exists already");
    return {};
  }

  Status Round(const std::vector<Cursor>& ends, std::size_t first,
               const std::function<void(std::size_t step, std::size_t way, double seconds)>& take) {
    EndingLog log(*log_, poll_);
    std::array<std::unique_ptr<Projector>, 2> ways;  // without, with
    for (std::size_t way = 0; way < ways.size(); ++way) {
      ProjectorOptions options;
      options.prefecture = home_.prefecture;
      options.ledger = home_.ledger;
      options.registrar_public_key = home_.root;
      options.dir = work_ + "/" + std::to_string(way);
      options.log = &log;
      options.keys = keys_.get();
      options.at_rest = holder_.get();
      options.matching = Matching::Shipped();
      if (way == 1) options.copies = std::make_shared<CopyKeying>(CopyKey{1, RandomArray<32>()});
      options.bulk_from = ~0ull;
      std::filesystem::remove_all(options.dir);
      ASSIGN_OR_RETURN(ways[way], Projector::Open(std::move(options)));
    }
    for (std::size_t i = 0; i < ends.size(); ++i) {
      log.EndAt(ends[i]);
      for (const std::size_t turn : {0, 1}) {
        const std::size_t way = (i + first + turn) % 2;
        const double before = CpuSecondsAtRest();
        RETURN_IF_ERROR(ways[way]->CatchUp());
        take(i, way, CpuSecondsAtRest() - before);
      }
    }
    return {};
  }

  std::string dir_, work_;
  std::size_t poll_;
  Home home_;
  std::unique_ptr<Log> log_;
  std::unique_ptr<KeyHolder> holder_;
  std::unique_ptr<KeyStore> keys_;
};

}  // namespace
}  // namespace daicho

int main(int argc, char** argv) {
  std::string home, work;
  std::uint64_t step = 5'000;
  std::size_t poll = ~std::size_t{0};
  int rounds = 5;
  CLI::App app("what the fingerprint of a copy costs who applies events");
  app.add_option("--home", home)->required();
  app.add_option("--work", work)->required();
  app.add_option("--step", step, "entries")->check(CLI::PositiveNumber);
  app.add_option("--poll", poll, "entries at once, at most; 1: as they come in one by one")->check(CLI::PositiveNumber);
  app.add_option("--rounds", rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  const daicho::Status status = daicho::Upkeep(home, work, poll).Run(step, rounds);
  if (!status.ok()) fmt::print(stderr, "copy_upkeep: {}\n", status.ToString());
  return status.ok() ? 0 : 1;
}
