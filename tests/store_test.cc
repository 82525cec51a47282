// Store: what was written is there after a reopening, batches are whole over all families, and a
// second opening is refused; all of it in clear and encrypted. Damage to its files is in local_log_test.cc.
#include "ledger/store.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>

namespace daicho {
namespace {

class StoreTest : public ::testing::TestWithParam<bool> {
 protected:
  StoreTest() {
    options_.path =
        ::testing::TempDir() + "/daicho-store-" + std::to_string(std::random_device{}());
    options_.families = {"records", "indices"};
    if (GetParam()) options_.file_key = Key256{7};
  }
  ~StoreTest() override {
    store_.reset();
    std::filesystem::remove_all(options_.path);
  }

  void Reopen() {
    store_.reset();
    auto store = Store::Open(options_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = std::move(*store);
  }
  // What the disk holds if the process dies now, in place of the store.
  void CrashAndReopen() {
    const std::string image = options_.path + "-crash";
    std::filesystem::copy(options_.path, image);
    store_.reset();
    std::filesystem::remove_all(options_.path);
    std::filesystem::rename(image, options_.path);
    Reopen();
  }
  Status Put(Family family, std::string_view key, std::string_view value) {
    StoreBatch batch;
    batch.Put(family, key, value);
    return store_->Write(batch, true);
  }
  std::string Get(Family family, std::string_view key) {
    auto value = store_->Get(family, key);
    return value.ok() ? *value : value.status().ToString();
  }
  std::string Scan(Family family) {
    std::string all;
    auto it = store_->NewIterator(family);
    for (it.SeekToFirst(); it.Valid(); it.Next())
      all.append(it.key()).append("=").append(it.value()).append(" ");
    return it.status().ok() ? all : it.status().ToString();
  }

  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_P(StoreTest, BatchesReachAllFamiliesAndSurviveReopening) {
  Reopen();
  StoreBatch batch;
  batch.Put(0, "a", "1");
  batch.Put(1, "b", "2");
  batch.Put(0, "gone", "x");
  batch.Delete(0, "gone");
  ASSERT_TRUE(store_->Write(batch, true).ok());
  Reopen();
  EXPECT_EQ(Scan(0), "a=1 ");
  EXPECT_EQ(Scan(1), "b=2 ");
}

TEST_P(StoreTest, AMissingKeyIsNotFound) {
  Reopen();
  EXPECT_EQ(store_->Get(0, "none").status().code(), Code::kNotFound);
}

TEST_P(StoreTest, FamiliesAreNumberedAsAskedForThenAsFound) {
  Reopen();
  EXPECT_EQ(store_->CreateFamily("late").value(), 2u);
  EXPECT_EQ(store_->CreateFamily("records").value(), 0u);
  ASSERT_TRUE(Put(2, "k", "late").ok());
  options_.families = {"indices"};
  Reopen();
  EXPECT_EQ(store_->FamilyNames(), (std::vector<std::string>{"indices", "records", "late"}));
  EXPECT_EQ(Get(2, "k"), "late");
}

TEST_P(StoreTest, ASecondOpeningIsRefused) {
  Reopen();
  auto second = Store::Open(options_);
  EXPECT_EQ(second.status().code(), Code::kUnavailable);
  EXPECT_NE(second.status().message().find("has it open"), std::string::npos);
}

TEST_P(StoreTest, AnIteratorSeesTheStoreAsItWas) {
  Reopen();
  ASSERT_TRUE(Put(0, "a", "1").ok());
  auto it = store_->NewIterator(0);
  ASSERT_TRUE(Put(0, "b", "2").ok());
  it.SeekForPrev("z");
  ASSERT_TRUE(it.Valid());
  EXPECT_EQ(it.key(), "a");
}

TEST_P(StoreTest, IngestedEntriesReplaceWhatStoodUnderTheirKeys) {
  Reopen();
  ASSERT_TRUE(Put(0, "a", "old").ok());
  ASSERT_TRUE(store_
                  ->Ingest(0,
                           [](const auto& add) {
                             RETURN_IF_ERROR(add("a", "new"));
                             return add("b", "2");
                           })
                  .ok());
  ASSERT_TRUE(store_->Ingest(1, [](const auto&) { return Status(); }).ok());
  Reopen();
  EXPECT_EQ(Scan(0), "a=new b=2 ");
}

TEST_P(StoreTest, AnUnsortedIngestChangesNothing) {
  Reopen();
  EXPECT_FALSE(store_
                   ->Ingest(0,
                            [](const auto& add) {
                              RETURN_IF_ERROR(add("b", "2"));
                              return add("a", "1");
                            })
                   .ok());
  EXPECT_EQ(Scan(0), "");
}

TEST_P(StoreTest, WithoutAWriteAheadLogACrashFallsBackToTheLastFlush) {
  options_.write_ahead_log = false;
  Reopen();
  ASSERT_TRUE(Put(0, "a", "1").ok());
  ASSERT_TRUE(Put(1, "position", "1").ok());
  ASSERT_TRUE(store_->Flush().ok());
  ASSERT_TRUE(Put(0, "b", "2").ok());
  CrashAndReopen();
  EXPECT_EQ(Scan(0), "a=1 ");
  EXPECT_EQ(Scan(1), "position=1 ");
}

TEST_P(StoreTest, DeletedValuesLeaveTheFilesByCompaction) {
  Reopen();
  ASSERT_TRUE(Put(0, "a", std::string(1 << 20, 'x')).ok());
  ASSERT_TRUE(store_->Flush().ok());
  StoreBatch batch;
  batch.Delete(0, "a");
  ASSERT_TRUE(store_->Write(batch, true).ok());
  ASSERT_TRUE(store_->Compact(0).ok());
  EXPECT_LT(store_->SizeBytes(), 1u << 20);
}

TEST_P(StoreTest, ALostCurrentFileIsReportedNotReplaced) {
  Reopen();
  ASSERT_TRUE(Put(0, "a", "1").ok());
  ASSERT_TRUE(store_->Flush().ok());
  store_.reset();
  std::filesystem::remove(options_.path + "/CURRENT");
  EXPECT_EQ(Store::Open(options_).status().code(), Code::kCorrupt);
}

TEST_P(StoreTest, ASnapshotIsTheStoreAsItWas) {
  options_.write_ahead_log = false;
  Reopen();
  ASSERT_TRUE(Put(0, "a", "1").ok());
  ASSERT_TRUE(Put(1, "position", "1").ok());
  std::string copy = options_.path + "-copy";
  ASSERT_TRUE(store_->Snapshot(copy).ok());
  ASSERT_TRUE(Put(0, "a", "2").ok());
  EXPECT_FALSE(store_->Snapshot(copy).ok());
  ASSERT_TRUE(store_->Compact(0).ok());
  std::swap(options_.path, copy);
  Reopen();
  EXPECT_EQ(Scan(0), "a=1 ");
  EXPECT_EQ(Scan(1), "position=1 ");
  store_.reset();
  EXPECT_TRUE(Store::Destroy(copy).ok());
}

TEST_P(StoreTest, OnlyAStoreThatNobodyHasOpenIsDestroyed) {
  Reopen();
  EXPECT_EQ(Store::Destroy(options_.path).code(), Code::kUnavailable);
  EXPECT_TRUE(Put(0, "a", "1").ok());
  store_.reset();
  EXPECT_TRUE(Store::Destroy(options_.path).ok());
  EXPECT_FALSE(std::filesystem::exists(options_.path));
  EXPECT_TRUE(Store::Destroy(options_.path).ok());

  std::filesystem::create_directories(options_.path + "/other");
  EXPECT_EQ(Store::Destroy(options_.path).code(), Code::kInvalid);
  EXPECT_TRUE(std::filesystem::exists(options_.path + "/other"));
}

INSTANTIATE_TEST_SUITE_P(Store, StoreTest, ::testing::Bool(), [](const auto& row) {
  return std::string(row.param ? "Encrypted" : "Clear");
});

}  // namespace
}  // namespace daicho
