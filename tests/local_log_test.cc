// LocalLog under damage. Method: a log of ten appends over two topics is left as a crash leaves it
// (copied while open), then its files are cut or a bit in them is flipped. A cut write-ahead log
// must give back a prefix of whole appends; a flipped bit must be reported, and never change what
// is read.
#include "ledger/local_log.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

namespace daicho {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

constexpr int kAppends = 10;

std::string ValueOf(int append) {
  return "value-" + std::to_string(append) + std::string(100, 'x');
}

// The files of `dir` that hold entries: the write-ahead log, or tables when there are some.
fs::path FileWith(const fs::path& dir, std::string_view extension) {
  fs::path largest;
  for (const auto& file : fs::directory_iterator(dir))
    if (file.path().extension() == extension &&
        (largest.empty() || file.file_size() > fs::file_size(largest)))
      largest = file;
  return largest;
}

class LocalLogTest : public ::testing::Test {
 protected:
  LocalLogTest()
      : root_(fs::path(::testing::TempDir()) /
              ("daicho-log-" + std::to_string(std::random_device{}()))) {
    fs::create_directories(root_);
  }
  ~LocalLogTest() override { fs::remove_all(root_); }

  // The directory of a log of kAppends appends, each of two records, as a crash leaves it.
  fs::path CrashedLog() {
    auto log = LocalLog::Open(root_ / "live").value();
    EXPECT_TRUE(log->CreateTopic("ledger").ok() && log->CreateTopic("receipt").ok());
    auto writer = log->OpenWriter("sequencer").value();
    for (int i = 0; i < kAppends; ++i) {
      const TopicRecord records[] = {{"ledger", {"k", ValueOf(i), {{"ce_id", "1"}}}},
                                     {"receipt", {"k", ValueOf(i), {}}}};
      EXPECT_TRUE(writer->Append(records).ok());
    }
    fs::copy(root_ / "live", root_ / "crashed");
    return root_ / "crashed";
  }
  fs::path Copy(const fs::path& dir) {
    fs::remove_all(root_ / "copy");
    fs::copy(dir, root_ / "copy");
    return root_ / "copy";
  }
  static void FlipBit(const fs::path& path, std::uintmax_t at, int bit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(byte ^ (1 << bit)));
  }
  // How many records the topic gives back, each as it was written; or why it does not.
  static Result<int> ReadBack(LocalLog& log, const std::string& topic) {
    ASSIGN_OR_RETURN(auto reader, log.OpenReader());
    ASSIGN_OR_RETURN([[maybe_unused]] const auto source, reader->Assign(topic, Cursor(0)));
    for (int count = 0;;) {
      ASSIGN_OR_RETURN(const auto records, reader->Poll(3, milliseconds(0)));
      if (records.empty()) return count;
      for (const auto& record : records)
        if (record.value != ValueOf(count++)) return Internal("a wrong value was read");
    }
  }
  // The number of whole appends in the log at `dir`.
  static Result<int> AppendsIn(const fs::path& dir) {
    ASSIGN_OR_RETURN(auto log, LocalLog::Open(dir));
    ASSIGN_OR_RETURN(const int ledger, ReadBack(*log, "ledger"));
    ASSIGN_OR_RETURN(const int receipt, ReadBack(*log, "receipt"));
    if (ledger != receipt) return Internal("a part of an append was read");
    return ledger;
  }

  [[noreturn]] static void OpenSecond(const std::string& dir) {
    std::fputs(LocalLog::Open(dir).status().ToString().c_str(), stderr);
    std::_Exit(0);
  }

  const fs::path root_;
};

TEST_F(LocalLogTest, ATornWriteAheadLogGivesBackAPrefixOfWholeAppends) {
  const fs::path crashed = CrashedLog();
  const auto size = fs::file_size(FileWith(crashed, ".log"));
  int before = 0;
  for (std::uintmax_t cut = 0; cut <= size;
       cut += (cut + 61 < size || cut == size ? 61 : size - cut)) {
    const fs::path dir = Copy(crashed);
    fs::resize_file(FileWith(dir, ".log"), cut);
    const auto appends = AppendsIn(dir);
    // A log cut before its first record has lost its format, too.
    if (appends.status().code() == Code::kCorrupt && before == 0 && cut < 200) continue;
    ASSERT_TRUE(appends.ok()) << cut << ": " << appends.status().ToString();
    ASSERT_TRUE(*appends == before || *appends == before + 1) << cut;
    before = *appends;
  }
  EXPECT_EQ(before, kAppends);
}

TEST_F(LocalLogTest, AFlippedBitInTheWriteAheadLogIsReported) {
  const fs::path crashed = CrashedLog();
  const auto size = fs::file_size(FileWith(crashed, ".log"));
  const std::uintmax_t step = std::getenv("DAICHO_EVERY_BYTE") != nullptr ? 1 : 37;
  for (std::uintmax_t at = 0; at < size; at += step) {
    const fs::path dir = Copy(crashed);
    FlipBit(FileWith(dir, ".log"), at, static_cast<int>(at % 8));
    EXPECT_EQ(AppendsIn(dir).status().code(), Code::kCorrupt) << "byte " << at;
  }
}

TEST_F(LocalLogTest, AFlippedBitInATableIsReportedOrHarmless) {
  const fs::path crashed = CrashedLog();
  ASSERT_TRUE(LocalLog::Open(crashed).ok());  // recovery moves the log into tables
  const auto size = fs::file_size(FileWith(crashed, ".sst"));
  int reported = 0;
  for (std::uintmax_t at = 0; at < size; at += 37) {
    const fs::path dir = Copy(crashed);
    FlipBit(FileWith(dir, ".sst"), at, static_cast<int>(at % 8));
    const auto appends = AppendsIn(dir);
    if (appends.ok())
      EXPECT_EQ(*appends, kAppends) << "byte " << at;
    else
      EXPECT_EQ(appends.status().code(), Code::kCorrupt) << appends.status().ToString();
    reported += !appends.ok();
  }
  EXPECT_GT(reported, 5);
}

TEST_F(LocalLogTest, AFlippedBitInTheManifestIsReported) {
  const fs::path crashed = CrashedLog();
  const auto manifest = [](const fs::path& dir) {
    std::string name;
    std::ifstream(dir / "CURRENT") >> name;
    return dir / name;
  };
  const auto size = fs::file_size(manifest(crashed));
  for (std::uintmax_t at = 0; at < size; at += 11) {
    const fs::path dir = Copy(crashed);
    FlipBit(manifest(dir), at, static_cast<int>(at % 8));
    EXPECT_EQ(AppendsIn(dir).status().code(), Code::kCorrupt) << "byte " << at;
  }
}

// The death test runs this body again, in a process of its own, to come to the second opening.
TEST_F(LocalLogTest, ASecondProcessIsLockedOut) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  std::unique_ptr<LocalLog> log;
  if (std::getenv("DAICHO_TEST_HELD") == nullptr) {
    log = LocalLog::Open(root_ / "live").value();
    setenv("DAICHO_TEST_HELD", (root_ / "live").c_str(), 1);
  }
  EXPECT_EXIT(OpenSecond(std::getenv("DAICHO_TEST_HELD")), ::testing::ExitedWithCode(0),
              "unavailable: .*another process has it open");
}

TEST_F(LocalLogTest, AppendsOfSeveralThreadsAreAllKeptWithoutGaps) {
  auto log = LocalLog::Open(root_ / "live").value();
  ASSERT_TRUE(log->CreateTopic("inbox").ok());
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(log->Append("inbox", {"k", "v", {}}).ok());
    });
  threads.clear();
  EXPECT_EQ(log->GetBounds("inbox")->end, Cursor(200));
}

}  // namespace
}  // namespace daicho
