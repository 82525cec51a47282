// Small files that must survive a crash. A crash is played by cutting what was being written at every byte.
#include "ledger/files.h"

#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/prefecture.h"

namespace daicho {
namespace {

class SlotFileTest : public ::testing::Test {
 protected:
  std::string Path() const { return directory_ / "slots"; }
  std::string Content() const { return SlotFile(Path()).Read().value(); }
  void Put(const std::string& bytes) const { std::ofstream(Path(), std::ios::binary) << bytes; }

  TemporaryDirectory directory_;
};

TEST_F(SlotFileTest, GivesWhatWasWrittenLast) {
  SlotFile file(Path());
  EXPECT_EQ(file.Read().status().code(), Code::kNotFound);
  for (int i = 0; i < 7; ++i) {
    ASSERT_TRUE(file.Write("content " + std::to_string(i)).ok());
    EXPECT_EQ(file.Read().value(), "content " + std::to_string(i));
    EXPECT_EQ(Content(), "content " + std::to_string(i));
  }
  SlotFile again(Path());
  ASSERT_TRUE(again.Write("").ok()) << "who opens it anew goes on from there";
  EXPECT_EQ(Content(), "");
  ASSERT_TRUE(again.Write("more").ok());
  EXPECT_EQ(Content(), "more");
}

TEST_F(SlotFileTest, GrowsForWhatDoesNotFitAndStays) {
  SlotFile file(Path());
  ASSERT_TRUE(file.Write("small").ok());
  const auto small = std::filesystem::file_size(Path());
  const std::string large(100'000, 'x');
  ASSERT_TRUE(file.Write(large).ok());
  EXPECT_EQ(Content(), large);
  const auto grown = std::filesystem::file_size(Path());
  EXPECT_GT(grown, small);
  for (const char* content : {"a", "b", "c"}) {
    ASSERT_TRUE(file.Write(content).ok());
    EXPECT_EQ(Content(), content);
  }
  EXPECT_EQ(std::filesystem::file_size(Path()), grown);
}

TEST_F(SlotFileTest, AWriteThatWasCutLeavesWhatWasBefore) {
  SlotFile file(Path());
  for (const char* content : {"first", "second", "third"}) ASSERT_TRUE(file.Write(content).ok());
  const std::string before = ReadFile(Path()).value();
  ASSERT_TRUE(file.Write("the fourth is longer").ok());
  const std::string after = ReadFile(Path()).value();
  ASSERT_EQ(before.size(), after.size());
  std::vector<std::size_t> changed;
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (before[i] != after[i]) changed.push_back(i);
  }
  ASSERT_GT(changed.size(), 50u);
  for (std::size_t cut = 0; cut < changed.size(); ++cut) {
    Put(after.substr(0, changed[cut]) + before.substr(changed[cut]));
    EXPECT_EQ(Content(), "third") << cut;
    SlotFile next(Path());
    ASSERT_TRUE(next.Write("next").ok());
    EXPECT_EQ(Content(), "next") << cut;
  }
}

TEST_F(SlotFileTest, OfADamagedFileThePlaceThatIsWholeCounts) {
  SlotFile file(Path());
  for (const char* content : {"first", "second"}) ASSERT_TRUE(file.Write(content).ok());
  const std::string whole = ReadFile(Path()).value();
  std::multiset<std::string> read;
  for (const std::size_t at : {std::size_t{3}, whole.size() / 2 + 3}) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 1);
    Put(bytes);
    read.insert(Content());
  }
  EXPECT_EQ(read, std::multiset<std::string>({"first", "second"}));
}

TEST_F(SlotFileTest, RefusesWhatIsNoSuchFile) {
  for (const std::string& bytes : {std::string(), std::string("x"), std::string(32'768, '\0'), std::string(32'768, '\xff')}) {
    Put(bytes);
    EXPECT_EQ(SlotFile(Path()).Read().status().code(), Code::kCorrupt);
    EXPECT_EQ(SlotFile(Path()).Write("x").code(), Code::kCorrupt) << "it could be something else";
  }
}

}  // namespace
}  // namespace daicho
