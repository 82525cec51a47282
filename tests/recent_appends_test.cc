// RecentAppends without a broker: the cursors are those that one would have given.
#include "ledger/recent_appends.h"

#include <gtest/gtest.h>

namespace daicho {
namespace {

class RecentAppendsTest : public ::testing::Test {
 protected:
  void Add(const std::vector<std::uint64_t>& cursors, const std::string& writer,
           std::size_t bytes = 1) {
    const Record record{"key", std::string(bytes, 'v'), {}};
    std::vector<RecentAppends::Appended> appended;
    for (const std::uint64_t cursor : cursors) appended.push_back({topic_, record, Cursor(cursor)});
    recent_.Add(appended, writer);
  }
  std::vector<std::uint64_t> From(std::uint64_t next, std::size_t most = 100) const {
    std::vector<std::uint64_t> cursors;
    for (const auto& kept : follower_.From(Cursor(next), most))
      cursors.push_back(kept->cursor.value());
    return cursors;
  }

  using Cursors = std::vector<std::uint64_t>;
  const std::string topic_ = "ledger";
  int woken_ = 0;
  RecentAppends recent_;
  RecentAppends::Follower follower_{recent_, topic_, [this] { ++woken_; }};
};

TEST_F(RecentAppendsTest, GivesWhatStandsDirectlyBehind) {
  Add({7}, "");
  Add({8}, "");
  EXPECT_EQ(From(7), (Cursors{7, 8}));
  EXPECT_EQ(From(7, 1), Cursors{7});
  EXPECT_EQ(From(8), Cursors{8});
  EXPECT_EQ(From(6), Cursors{});
  EXPECT_EQ(From(9), Cursors{});
  EXPECT_EQ(woken_, 2);
}

TEST_F(RecentAppendsTest, KnowsTheMarkerBetweenTwoTransactions) {
  Add({3, 4}, "sequencer");
  Add({6}, "sequencer");
  EXPECT_EQ(From(3), (Cursors{3, 4, 6}));
  EXPECT_EQ(From(5), Cursors{6});  // 5 is the first one's marker
  EXPECT_EQ(From(2), Cursors{});
}

TEST_F(RecentAppendsTest, TakesNoRecordOfOthersForAMarker) {
  Add({3}, "sequencer");
  Add({6}, "sequencer");  // one of 4 and 5 is somebody else's
  EXPECT_EQ(From(4), Cursors{});
  EXPECT_EQ(From(5), Cursors{});
  EXPECT_EQ(From(6), Cursors{6});
  Add({7}, "");  // where the transaction's marker belongs: not what this process believes it to be
  EXPECT_EQ(From(6), Cursors{});
  EXPECT_EQ(From(7), Cursors{7});
}

// Until the writer's next transaction its marker may be yet to come: with 3 committed, 4 may be
// somebody else's and the marker be written behind 5.
TEST_F(RecentAppendsTest, InfersAMarkerFromTheSameWriterOnly) {
  for (const char* other : {"", "another"}) {
    Add({3}, "sequencer");
    Add({5}, other);
    EXPECT_EQ(From(3), Cursors{});
    EXPECT_EQ(From(4), Cursors{});
    EXPECT_EQ(From(5), Cursors{5});
  }
}

TEST_F(RecentAppendsTest, ForgetsWhereOthersWroteInsideAnAppend) {
  Add({3, 4, 6}, "sequencer");
  EXPECT_EQ(From(3), Cursors{});
  EXPECT_EQ(From(5), Cursors{});
  EXPECT_EQ(From(6), Cursors{6});
}

TEST_F(RecentAppendsTest, ForgetsWhereACursorIsNotKnown) {
  Add({3}, "sequencer");
  Add({RecentAppends::kUnknown.value()}, "sequencer");
  EXPECT_EQ(From(3), Cursors{});
  Add({8}, "sequencer");
  EXPECT_EQ(From(7), Cursors{});
  EXPECT_EQ(From(8), Cursors{8});
}

TEST_F(RecentAppendsTest, KeepsNoMoreThanItsBound) {
  Add({3}, "sequencer");
  Add({5}, "sequencer", RecentAppends::kBytesMax);
  EXPECT_EQ(From(3), Cursors{});
  EXPECT_EQ(woken_, 2);
  std::uint64_t cursor = 10;
  for (; cursor < 30; ++cursor) Add({cursor}, "", RecentAppends::kBytesMax / 10);
  EXPECT_EQ(From(10), Cursors{});
  EXPECT_EQ(From(cursor - 9).size(), 9u);
}

TEST_F(RecentAppendsTest, SaysWhetherSomethingIsLacking) {
  EXPECT_FALSE(follower_.Lacks(Cursor(0)));
  Add({3}, "sequencer");
  EXPECT_TRUE(follower_.Lacks(Cursor(2)));
  EXPECT_FALSE(follower_.Lacks(Cursor(4)));
  Add({5}, "sequencer", RecentAppends::kBytesMax);
  EXPECT_TRUE(follower_.Lacks(Cursor(4)));
  EXPECT_FALSE(follower_.Lacks(Cursor(6)));
  Add({RecentAppends::kUnknown.value()}, "sequencer");
  EXPECT_TRUE(follower_.Lacks(Cursor(6)));
}

TEST_F(RecentAppendsTest, KeepsNothingThatNobodyReads) {
  const Record record{"key", "value", {}};
  const std::string other = "receipt";
  const RecentAppends::Appended appended{other, record, Cursor(1)};
  recent_.Add({&appended, 1}, "");
  const RecentAppends::Follower late(recent_, other, [] {});
  EXPECT_TRUE(late.From(Cursor(1), 10).empty());
}

}  // namespace
}  // namespace daicho
