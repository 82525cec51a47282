// The key store: keys survive as they were synced, and nothing else does. Method: a store in a
// temporary directory whose file is cut, overwritten and crafted by hand, row by row.
#include "ledger/key_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "events/event.h"
#include "ledger/files.h"
#include "tests/prefecture.h"

namespace daicho {
namespace {

constexpr std::size_t kRow = 64;

class KeyStoreTest : public ::testing::Test {
 protected:
  using Mode = KeyStore::Mode;
  Result<std::unique_ptr<KeyStore>> Open(Mode mode) { return KeyStore::Open(Dir(), mode); }
  std::string Dir() const { return directory_ / "keys"; }
  std::string File() const { return Dir() + "/keys"; }

  // A closed store of so many keys.
  std::vector<Key256> Filled(int keys) {
    auto store = Open(Mode::kWrite).value();
    std::vector<Key256> out;
    for (int i = 0; i < keys; ++i) out.push_back(store->Create().key);
    EXPECT_TRUE(store->Sync().ok());
    return out;
  }
  void Change(const std::function<void(std::string&)>& change) {
    std::string bytes = ReadFile(File()).value();
    change(bytes);
    ASSERT_TRUE(WriteFileDurably(File(), bytes).ok());
  }
  Code CodeAt(std::uint64_t slot, std::uint32_t step = 0) {
    return Open(Mode::kRead).value()->KeyAt(KeySlot(slot), step).status().code();
  }

  TemporaryDirectory directory_;
};

TEST_F(KeyStoreTest, SlotsAreDenseAndKeysFresh) {
  auto store = Open(Mode::kWrite).value();
  const auto first = store->Create(), second = store->Create();
  EXPECT_EQ(first.slot, KeySlot(0));
  EXPECT_EQ(second.slot, KeySlot(1));
  EXPECT_EQ(store->next_slot(), KeySlot(2));
  EXPECT_NE(first.key, second.key);
}

TEST_F(KeyStoreTest, AKeyIsUsableAtOnceAndSyncedKeysSurvive) {
  auto store = Open(Mode::kWrite).value();
  const auto created = store->Create();
  EXPECT_EQ(store->KeyAt(created.slot, 0).value(), created.key);
  ASSERT_TRUE(store->Sync().ok());
  const auto unsynced = store->Create();
  store.reset();
  store = Open(Mode::kWrite).value();
  EXPECT_EQ(store->KeyAt(created.slot, 0).value(), created.key);
  EXPECT_EQ(store->KeyAt(unsynced.slot, 0).status().code(), Code::kNotFound);
  EXPECT_EQ(store->Create().slot, unsynced.slot);
}

TEST_F(KeyStoreTest, AnyStepIsReachedFromTheStoredOne) {
  const Key256 key = Filled(1)[0];
  auto store = Open(Mode::kRead).value();
  EXPECT_EQ(store->KeyAt(KeySlot(0), 0).value(), key);
  EXPECT_EQ(store->KeyAt(KeySlot(0), 5).value(), RatchetKey(key, 5));
}

TEST_F(KeyStoreTest, AReaderBesideTheWriterSeesWhatIsSynced) {
  auto writer = Open(Mode::kWrite).value();
  auto reader = Open(Mode::kRead).value();
  const auto created = writer->Create();
  EXPECT_EQ(reader->KeyAt(created.slot, 0).status().code(), Code::kNotFound);
  ASSERT_TRUE(writer->Sync().ok());
  EXPECT_EQ(reader->KeyAt(created.slot, 0).value(), created.key);
}

TEST_F(KeyStoreTest, ASecondWriterIsRefusedUntilTheFirstIsGone) {
  auto first = Open(Mode::kWrite);
  EXPECT_EQ(Open(Mode::kWrite).status().code(), Code::kUnavailable);
  EXPECT_TRUE(Open(Mode::kRead).ok());
  first->reset();
  EXPECT_TRUE(Open(Mode::kWrite).ok());
}

TEST_F(KeyStoreTest, ASecondWriterIsRefusedInAnotherProcessToo) {
  auto first = Open(Mode::kWrite);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(Open(Mode::kWrite).status().code() == Code::kUnavailable ? 0 : 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(KeyStoreTest, WhatIsMissingIsNotCreatedForAReader) {
  EXPECT_EQ(Open(Mode::kRead).status().code(), Code::kNotFound);
  EXPECT_FALSE(FileExists(Dir()));
}

TEST_F(KeyStoreTest, ATornLastRowIsForgottenAndItsSlotTakenAgain) {
  const auto keys = Filled(3);
  Change([](std::string& bytes) { bytes.resize(bytes.size() - 1); });
  EXPECT_EQ(CodeAt(2), Code::kNotFound);
  auto store = Open(Mode::kWrite).value();
  EXPECT_EQ(store->KeyAt(KeySlot(1), 0).value(), keys[1]);
  const auto created = store->Create();
  EXPECT_EQ(created.slot, KeySlot(2));
  ASSERT_TRUE(store->Sync().ok());
  store.reset();
  EXPECT_EQ(Open(Mode::kRead).value()->KeyAt(KeySlot(2), 0).value(), created.key);
}

TEST_F(KeyStoreTest, AFlippedByteAnywhereInARowIsTamperedAndHarmsNoOther) {
  const auto keys = Filled(3);
  for (std::size_t at = 0; at < kRow; ++at) {
    const auto flip = [&](std::string& bytes) {
      bytes[2 * kRow + at] = static_cast<char>(bytes[2 * kRow + at] ^ 1);
    };
    Change(flip);
    const std::uint32_t any_step = ~0u >> 1;
    // Of the step: a later base also hides the steps before it.
    const Code code =
        at < kRow - 4 ? CodeAt(1) : CodeAt(1, at == kRow - 4 ? 1u << 24 : any_step & 0x00ffffff);
    EXPECT_EQ(code, Code::kTampered) << "byte " << at;
    EXPECT_EQ(CodeAt(0), Code::kOk);
    EXPECT_EQ(CodeAt(2), Code::kOk);
    Change(flip);
  }
}

TEST_F(KeyStoreTest, RowsCannotBeExchanged) {
  Filled(2);
  Change([](std::string& bytes) {
    std::swap_ranges(&bytes[kRow], &bytes[2 * kRow], &bytes[2 * kRow]);
  });
  EXPECT_EQ(CodeAt(0), Code::kTampered);
  EXPECT_EQ(CodeAt(1), Code::kTampered);
}

TEST_F(KeyStoreTest, AZeroedRowIsErased) {
  Filled(2);
  Change([](std::string& bytes) { bytes.replace(kRow, kRow, kRow, '\0'); });
  EXPECT_EQ(CodeAt(0), Code::kErased);
  EXPECT_EQ(CodeAt(1), Code::kOk);
}

TEST_F(KeyStoreTest, StepsBelowTheStoredOneAreErasedAndLaterOnesAreNot) {
  const Key256 key = Filled(1)[0], later = RatchetKey(key, 3);
  Change([&](std::string& bytes) {
    const Key256 epoch_key = ToArray<32>(ReadFile(Dir() + "/epoch.key").value()).value();
    const std::string nonce(kNonceBytes, 'n');
    std::string aad, row = nonce;
    AppendU64(aad, 1);  // epoch
    AppendU64(aad, 0);  // slot
    AppendU32(aad, 3);  // step
    AeadSeal(epoch_key, nonce, aad, {View(later)}, row);
    AppendU32(row, 3);
    bytes.replace(kRow, kRow, row);
  });
  for (const std::uint32_t step : {0u, 1u, 2u}) EXPECT_EQ(CodeAt(0, step), Code::kErased);
  auto store = Open(Mode::kRead).value();
  EXPECT_EQ(store->KeyAt(KeySlot(0), 3).value(), later);
  EXPECT_EQ(store->KeyAt(KeySlot(0), 4).value(), RatchetKey(key, 4));
}

TEST_F(KeyStoreTest, WithoutItsEpochKeyNoCopyCanBeRead) {
  Filled(1);
  ASSERT_TRUE(WriteFileDurably(Dir() + "/epoch.key", View(RandomArray<32>())).ok());
  EXPECT_EQ(CodeAt(0), Code::kTampered);
  ASSERT_TRUE(RemoveFile(Dir() + "/epoch.key").ok());
  EXPECT_FALSE(Open(Mode::kRead).ok());
}

TEST_F(KeyStoreTest, AFileThatIsNoKeyStoreIsCorrupt) {
  Filled(1);
  Change([](std::string& bytes) { bytes[0] = 'D'; });
  EXPECT_EQ(Open(Mode::kRead).status().code(), Code::kCorrupt);
  Change([](std::string& bytes) { bytes.resize(10); });
  EXPECT_EQ(Open(Mode::kWrite).status().code(), Code::kCorrupt);
}

TEST_F(KeyStoreTest, KeysDoNotStandInTheFile) {
  const Key256 key = Filled(1)[0];
  EXPECT_EQ(ReadFile(File()).value().find(View(key)), std::string::npos);
}

}  // namespace
}  // namespace daicho
