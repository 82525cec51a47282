// Encryption of a store's files. Method: a marker is written along every way that leads to a file
// (log, memtable, compaction, bulk load, snapshot, names of families), and every file of the
// directory is searched for it; then stores are opened with the wrong key, without one, with one
// they never had, and as a crash leaves them.
#include <gtest/gtest.h>

#include <filesystem>

#include "ledger/files.h"
#include "ledger/store.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

constexpr std::string_view kMarker = "0123456789-marker-of-a-person";

class StoreEncryption : public ::testing::Test {
 protected:
  StoreEncryption() {
    options_.path = directory_ / "store";
    options_.families = {"family-" + std::string(kMarker)};
    options_.file_key = RandomArray<32>();
  }

  void Open() {
    store_.reset();
    auto store = Store::Open(options_);
    ASSERT_TRUE(store.ok()) << store.status().ToString();
    store_ = std::move(*store);
  }
  Code CodeOfOpening(const std::optional<Key256>& key) {
    StoreOptions options = options_;
    options.file_key = key;
    return Store::Open(options).status().code();
  }
  Status Put(const std::string& key) {
    StoreBatch batch;
    batch.Put(0, key, kMarker);
    return store_->Write(batch, true);
  }
  std::string Get(const std::string& key) {
    auto value = store_->Get(0, key);
    return value.ok() ? *value : value.status().ToString();
  }
  void WriteAlongEveryWay() {
    ASSERT_TRUE(Put(std::string(kMarker) + "-a").ok());
    ASSERT_TRUE(store_->Flush().ok());
    ASSERT_TRUE(
        store_->Ingest(0, [](const auto& add) { return add(std::string(kMarker) + "-b", kMarker); })
            .ok());
    ASSERT_TRUE(store_->Compact(0).ok());
    ASSERT_TRUE(Put(std::string(kMarker) + "-c").ok());  // in the log alone
  }
  // The files under `root` that hold the marker, as "name name ".
  static std::string FilesWithMarker(const std::string& root) {
    std::string out;
    for (const auto& file : std::filesystem::recursive_directory_iterator(root)) {
      if (!file.is_regular_file()) continue;
      if (ReadFile(file.path()).value().find(kMarker) != std::string::npos)
        out += file.path().filename().string() + " ";
    }
    return out;
  }
  void Damage(const std::string& name, const std::function<void(std::string&)>& change) {
    std::string bytes = ReadFile(options_.path + "/" + name).value();
    change(bytes);
    ASSERT_TRUE(WriteFileDurably(options_.path + "/" + name, bytes).ok());
  }

  TemporaryDirectory directory_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreEncryption, NothingOfWhatIsStoredStandsInAnyFile) {
  Open();
  WriteAlongEveryWay();
  ASSERT_TRUE(store_->Snapshot(directory_ / "copy").ok());
  ASSERT_TRUE(Put(std::string(kMarker) + "-d").ok());
  EXPECT_EQ(FilesWithMarker(directory_ / "."), "");
}

TEST_F(StoreEncryption, TheSearchFindsTheMarkerInAStoreInClear) {
  options_.file_key.reset();
  Open();
  WriteAlongEveryWay();
  const std::string found = FilesWithMarker(options_.path);
  for (const char* kind : {".sst", ".log", "MANIFEST", "OPTIONS"})
    EXPECT_NE(found.find(kind), std::string::npos) << kind << " of " << found;
}

TEST_F(StoreEncryption, WhatWasSyncedSurvivesACrash) {
  Open();
  WriteAlongEveryWay();
  const std::string image = directory_ / "image";
  std::filesystem::copy(options_.path, image);
  store_.reset();
  options_.path = image;
  Open();
  for (const char* key : {"-a", "-b", "-c"}) EXPECT_EQ(Get(std::string(kMarker) + key), kMarker);
}

TEST_F(StoreEncryption, AnotherKeyIsTamperedAndHarmsNothing) {
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  EXPECT_EQ(CodeOfOpening(RandomArray<32>()), Code::kTampered);
  Open();
  EXPECT_EQ(Get("k"), kMarker);
}

TEST_F(StoreEncryption, AnEncryptedStoreIsNotOpenedWithoutAKey) {
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  EXPECT_EQ(CodeOfOpening(std::nullopt), Code::kInvalid);
  Open();
  EXPECT_EQ(Get("k"), kMarker);
}

TEST_F(StoreEncryption, AStoreInClearIsNotOpenedWithAKey) {
  const auto key = std::exchange(options_.file_key, std::nullopt);
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  EXPECT_EQ(CodeOfOpening(key), Code::kInvalid);
  Open();
  EXPECT_EQ(Get("k"), kMarker);
}

TEST_F(StoreEncryption, AReaderIsToldTheSame) {
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  options_.read_only = true;
  EXPECT_EQ(CodeOfOpening(RandomArray<32>()), Code::kTampered);
  EXPECT_EQ(CodeOfOpening(std::nullopt), Code::kInvalid);
  Open();
  EXPECT_EQ(Get("k"), kMarker);
}

TEST_F(StoreEncryption, AFileFromAStoreOfAnotherKeyIsTampered) {
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  Damage("CURRENT", [](std::string& bytes) { bytes[40] = static_cast<char>(bytes[40] ^ 1); });
  EXPECT_EQ(CodeOfOpening(options_.file_key), Code::kTampered);
}

TEST_F(StoreEncryption, AFileThatACrashLeftUnbegunIsEmpty) {
  Open();
  ASSERT_TRUE(Put("k").ok());
  store_.reset();
  const std::string begun = ReadFile(options_.path + "/CURRENT").value();
  for (const std::size_t size : {0u, 1u, 16u, 100u, 4095u}) {
    ASSERT_TRUE(WriteFileDurably(options_.path + "/000999.log", begun.substr(0, size)).ok());
    Open();
    EXPECT_EQ(Get("k"), kMarker) << size;
    store_.reset();
  }
}

TEST_F(StoreEncryption, AFileIsReadByItsDocumentedFormatAlone) {
  options_.file_key->fill(7);
  Open();
  store_.reset();
  // Of the documentation's example, with the counter block that was drawn.
  std::string file = ReadFile(options_.path + "/CURRENT").value();
  const Key256 cipher = HmacSha256(*options_.file_key, "daicho/store/1/cipher");
  const Key256 check = HmacSha256(*options_.file_key, "daicho/store/1/check");
  EXPECT_EQ(file.substr(0, 16), std::string_view("daicho-store-1\n\0", 16));
  EXPECT_EQ(file.substr(32, 32), View(HmacSha256(check, file.substr(0, 32))));
  EXPECT_EQ(file.substr(64, 4032), std::string(4032, '\0'));
  const CounterBlock counter = ToArray<16>(file.substr(16, 16)).value();
  CtrXor(cipher, counter, 4096, file.data() + 4096, file.size() - 4096);
  EXPECT_EQ(file.substr(4096, 9), "MANIFEST-");

  CounterBlock example;
  for (std::uint8_t i = 0; i < 16; ++i) example[i] = i;
  std::string content = "MANIFEST-000005\n";
  CtrXor(cipher, example, 4096, content.data(), content.size());
  EXPECT_EQ(ToHex(content), "f254d65dacdcc95446edaf17384c4f43");
}

TEST_F(StoreEncryption, EqualContentsUnderOneKeyAreNowhereEqual) {
  Open();
  store_.reset();
  const std::string first = ReadFile(options_.path + "/CURRENT").value();
  ASSERT_TRUE(Store::Destroy(options_.path).ok());
  Open();
  const std::string second = ReadFile(options_.path + "/CURRENT").value();
  ASSERT_EQ(first.size(), second.size());
  EXPECT_NE(first.substr(16, 48), second.substr(16, 48));
  EXPECT_NE(first.substr(4096), second.substr(4096));
}

}  // namespace
}  // namespace daicho
