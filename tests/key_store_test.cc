// The key store: keys survive as they were synced, and nothing else does; what was erased is gone from
// everywhere. Method: a store in a temporary directory whose file is cut, overwritten and crafted by hand, row
// by row; an erasure whose directory is copied at every step, each copy being what a crash there leaves; and a
// search of all files for the bytes of keys that must not exist.
#include "ledger/key_store.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <set>
#include <thread>

#include "events/event.h"
#include "ledger/files.h"
#include "tests/prefecture.h"
#include "tests/soft_token.h"

namespace daicho {
namespace {

constexpr std::size_t kRow = 64;

class KeyStoreTest : public ::testing::Test {
 protected:
  using Mode = KeyStore::Mode;
  Result<std::unique_ptr<KeyStore>> Open(Mode mode) { return KeyStore::Open(Dir(), mode); }
  std::string Dir() const { return directory_ / "keys"; }
  std::string File(int epoch = 1) const { return Dir() + "/keys." + std::to_string(epoch); }

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

  // The key of epoch 1, as its holder gives it out.
  Key256 EpochKey(const std::string& dir, int epoch = 1) const {
    const std::string number = std::to_string(epoch);
    const std::string header = ReadFile(dir + "/keys." + number).value().substr(0, kRow);
    const std::string name = "epoch-" + ToHex(header.substr(16, 8)) + "-" + number;
    return OpenFileHolder(dir + "/holder")
        .value()
        ->Unwrap(name, ReadFile(dir + "/epoch." + number + ".key").value(), "daicho/epoch-key/1\n" + header)
        .value();
  }
  static std::vector<std::string> Names(const std::string& dir) {
    std::vector<std::string> out;
    for (const auto& file : std::filesystem::recursive_directory_iterator(dir))
      if (file.is_regular_file()) out.push_back(file.path().lexically_relative(dir));
    std::ranges::sort(out);
    return out;
  }
  // True if `bytes` stand in any file under the directory.
  static bool StandsIn(const std::string& dir, std::string_view bytes) {
    for (const std::string& name : Names(dir))
      if (ReadFile(dir + "/" + name).value().find(bytes) != std::string::npos) return true;
    return false;
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
  for (const std::uint32_t step : {0u, 5u, 5u, 6u, 2u, 40u, 0u})
    EXPECT_EQ(store->KeyAt(KeySlot(0), step).value(), RatchetKey(key, step)) << step;
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
    const Key256 epoch_key = EpochKey(Dir());
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
  const std::string path = Dir() + "/epoch.1.key";
  ASSERT_TRUE(WriteFileDurably(path, std::string(60, 'x')).ok());
  EXPECT_EQ(Open(Mode::kRead).status().code(), Code::kTampered);
  ASSERT_TRUE(RemoveFile(path).ok());
  EXPECT_FALSE(Open(Mode::kRead).ok());
  EXPECT_FALSE(Open(Mode::kWrite).ok());
}

TEST_F(KeyStoreTest, AnyChangeOfTheHeaderIsRefused) {
  Filled(1);
  for (std::size_t at = 0; at < kRow; ++at) {
    const auto flip = [&](std::string& bytes) { bytes[at] = static_cast<char>(bytes[at] ^ 1); };
    Change(flip);
    const Code code = Open(Mode::kRead).status().code();
    EXPECT_TRUE(code == Code::kTampered || code == Code::kCorrupt || code == Code::kNotFound) << at;
    Change(flip);
  }
  EXPECT_TRUE(Open(Mode::kRead).ok());
}

TEST_F(KeyStoreTest, LostRowsAreReportedNotReplaced) {
  Filled(1);
  ASSERT_TRUE(RemoveFile(File()).ok());
  EXPECT_EQ(Open(Mode::kWrite).status().code(), Code::kCorrupt);
  EXPECT_EQ(Names(Dir()).size(), 2u);  // the epoch's key and its holder's, for when the rows are found
}

TEST_F(KeyStoreTest, AStoreWhoseMakingACrashCutShortIsMadeAgain) {
  Filled(1);
  std::filesystem::rename(File(), Dir() + "/keys.new");
  EXPECT_EQ(Open(Mode::kRead).status().code(), Code::kNotFound);
  ASSERT_TRUE(Open(Mode::kWrite).ok());
  EXPECT_EQ(CodeAt(0), Code::kNotFound);
  EXPECT_EQ(Names(Dir()).size(), 3u);
}

TEST_F(KeyStoreTest, AStoreOfTheFormerFormatIsRefused) {
  ASSERT_TRUE(MakeDirectories(Dir()).ok());
  ASSERT_TRUE(WriteFileDurably(Dir() + "/keys", "daicho-keys-1\n").ok());
  EXPECT_EQ(Open(Mode::kWrite).status().code(), Code::kUnsupported);
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

TEST_F(KeyStoreTest, TheExampleOfTheDocumentationOpens) {
  const auto hex = [](const char* text) { return FromHex(text).value(); };
  ASSERT_TRUE(MakeDirectories(Dir() + "/holder").ok());
  ASSERT_TRUE(WriteFileDurably(Dir() + "/holder/epoch-a0a1a2a3a4a5a6a7-1.key", std::string(32, '\x09')).ok());
  ASSERT_TRUE(WriteFileDurably(Dir() + "/epoch.1.key",
                               hex("000102030405060708090a0bed569cc53b482de298512b98d7c4c233d47288a5"
                                   "9a173ba3780937f141cef8dc8ae5868b6de29a14d016ef73eb3e4534"))
                  .ok());
  ASSERT_TRUE(WriteFileDurably(File(), hex("64616963686f2d6b6579732d320a0000a0a1a2a3a4a5a6a7a8a9aaabacadaeaf"
                                           "0000000000000000000000000000000000000000000000000000000000000001"
                                           "196530c8f2956a9371afae0c961a831d8a5fd60fc6da5c360950fd978d122a88"
                                           "aa410f2ef2d029037883159fc5188f9a710191ac4776a68d02ab8c4000000000"))
                  .ok());
  EXPECT_EQ(ToHex(View(Open(Mode::kRead).value()->KeyAt(KeySlot(0), 0).value())),
            "ffc6f5c2982faf00965e31c27ad548b7b30f03363e67325c9d2ccca1d07117ed");
}

// Rows 0 to 5. The erasure moves row 1 to step 2 and row 4 to step 1, and destroys rows 2 and 5.
class Erasing : public KeyStoreTest {
 protected:
  static constexpr std::uint32_t kAll = KeyStore::kNoLivingStep;
  const std::vector<KeyStore::Advance> advances_ = {
      {KeySlot(5), 7}, {KeySlot(2), kAll}, {KeySlot(1), 2}, {KeySlot(4), 1}, {KeySlot(5), kAll}, {KeySlot(1), 1}};

  Erasing() { keys_ = Filled(6); }

  void ExpectLiving(const KeyStore& store) {
    for (const auto& [slot, step] : {std::pair(0u, 0u), {1u, 2u}, {1u, 9u}, {3u, 0u}, {3u, 4u}, {4u, 1u}})
      EXPECT_EQ(store.KeyAt(KeySlot(slot), step).value(), RatchetKey(keys_[slot], step)) << slot;
  }
  // Whether the erased steps are erased: all of them, or none.
  bool ErasedAll(const KeyStore& store) {
    std::set<Code> codes;
    for (const auto& [slot, step] : {std::pair(1u, 0u), {1u, 1u}, {2u, 0u}, {2u, 9u}, {4u, 0u}, {5u, 8u}})
      codes.insert(store.KeyAt(KeySlot(slot), step).status().code());
    EXPECT_EQ(codes.size(), 1u);
    EXPECT_TRUE(codes.contains(Code::kErased) || codes.contains(Code::kOk));
    return codes.contains(Code::kErased);
  }

  std::vector<Key256> keys_;
};

TEST_F(Erasing, ErasedStepsAreErasedAndLivingOnesUnchanged) {
  auto store = Open(Mode::kWrite).value();
  const auto reader = Open(Mode::kRead).value();
  for (const KeyStore* each : {store.get(), reader.get()}) EXPECT_FALSE(ErasedAll(*each));
  EXPECT_EQ(store->erased_through(), Position(0));
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  EXPECT_EQ(store->epoch(), 2u);
  EXPECT_EQ(store->erased_through(), Position(42));
  for (const KeyStore* each : {store.get(), reader.get()}) {
    ExpectLiving(*each);
    EXPECT_TRUE(ErasedAll(*each));
  }
  EXPECT_TRUE(store->VerifyAll().ok());
  store = nullptr;
  store = Open(Mode::kWrite).value();
  EXPECT_EQ(store->erased_through(), Position(42));
  ExpectLiving(*store);
  EXPECT_TRUE(ErasedAll(*store));
  EXPECT_EQ(store->Create().slot, KeySlot(6));
}

TEST_F(Erasing, RepeatedItChangesNothingAndRowsNeverGoBack) {
  auto store = Open(Mode::kWrite).value();
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  ASSERT_TRUE(store->Erase(advances_, Position(40)).ok());
  ASSERT_TRUE(store->Erase(std::vector<KeyStore::Advance>{{KeySlot(1), 1}, {KeySlot(2), 0}}, Position(3)).ok());
  EXPECT_EQ(store->erased_through(), Position(42));
  EXPECT_EQ(store->epoch(), 4u);
  ExpectLiving(*store);
  EXPECT_TRUE(ErasedAll(*store));
}

TEST_F(Erasing, NothingOfWhatWasErasedStandsInAnyFile) {
  const std::string wrapped = ReadFile(File()).value();
  const Key256 old_epoch_key = EpochKey(Dir());
  const std::string holder_name = Names(Dir() + "/holder").at(0);
  const std::string holder_key = ReadFile(Dir() + "/holder/" + holder_name).value();
  ASSERT_TRUE(StandsIn(Dir(), wrapped.substr(3 * kRow, kRow)));
  {
    auto store = Open(Mode::kWrite).value();
    ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  }
  EXPECT_FALSE(StandsIn(Dir(), View(old_epoch_key)));
  EXPECT_FALSE(StandsIn(Dir(), holder_key));
  for (std::size_t slot = 0; slot < keys_.size(); ++slot) {
    EXPECT_FALSE(StandsIn(Dir(), View(keys_[slot])));
    EXPECT_FALSE(StandsIn(Dir(), std::string_view(wrapped).substr((slot + 1) * kRow, kRow)));
  }
  EXPECT_EQ(Names(Dir()).size(), 3u);
  EXPECT_NE(Names(Dir() + "/holder").at(0), holder_name);
}

TEST_F(Erasing, TheOldFileIsOverwrittenWhereItStood) {
  const std::string link = directory_ / "link", before = ReadFile(File()).value();
  std::filesystem::create_hard_link(File(), link);
  ASSERT_TRUE(Open(Mode::kWrite).value()->Erase(advances_, Position(41)).ok());
  const std::string after = ReadFile(link).value();
  ASSERT_EQ(after.size(), before.size());
  for (std::size_t at = 0; at < before.size(); at += 16)
    EXPECT_NE(after.substr(at, 16), before.substr(at, 16));
}

TEST_F(Erasing, ACrashAtAnyStepLeavesTheOldStateOrTheNew) {
  std::vector<std::string> images;
  {
    auto store = Open(Mode::kWrite).value();
    store->OnStep([&] {
      images.push_back(directory_ / ("crash-" + std::to_string(images.size())));
      std::filesystem::copy(Dir(), images.back(), std::filesystem::copy_options::recursive);
    });
    ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  }
  ASSERT_EQ(images.size(), 7u);
  std::string states;
  for (const std::string& image : images) {
    {
      auto reader = KeyStore::Open(image, Mode::kRead).value();
      ExpectLiving(*reader);
    }
    auto store = KeyStore::Open(image, Mode::kWrite).value();
    ExpectLiving(*store);
    const bool erased = ErasedAll(*store);
    EXPECT_EQ(store->erased_through(), Position(erased ? 42 : 0));
    EXPECT_EQ(store->epoch(), erased ? 2u : 1u);
    EXPECT_TRUE(store->VerifyAll().ok());
    EXPECT_EQ(Names(image).size(), 3u) << image;
    states += erased ? 'n' : 'o';
    ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
    EXPECT_TRUE(ErasedAll(*store));
    ExpectLiving(*store);
  }
  EXPECT_EQ(states, "ooonnnn");
}

// A holder that fails when it is told to.
class FailingHolder : public KeyHolder {
 public:
  explicit FailingHolder(KeyHolder& holder) : holder_(holder) {}
  Result<bool> Has(std::string_view name) const override { return holder_.Has(name); }
  Status Create(std::string_view name) override {
    return fail_create ? Unavailable("told to") : holder_.Create(name);
  }
  Result<std::string> Wrap(std::string_view name, const Key256& key, std::string_view aad) const override {
    return fail_wrap ? Result<std::string>(Unavailable("told to")) : holder_.Wrap(name, key, aad);
  }
  Result<Key256> Unwrap(std::string_view name, std::string_view wrapped, std::string_view aad) const override {
    return holder_.Unwrap(name, wrapped, aad);
  }
  Status Destroy(std::string_view name) override {
    return fail_destroy ? Unavailable("told to") : holder_.Destroy(name);
  }

  bool fail_create = false, fail_wrap = false, fail_destroy = false;

 private:
  KeyHolder& holder_;
};

TEST_F(Erasing, AHolderThatFailsBeforeTheSwitchLeavesTheOldState) {
  auto files = OpenFileHolder(Dir() + "/holder").value();
  FailingHolder holder(*files);
  auto store = KeyStore::Open(Dir(), Mode::kWrite, &holder).value();
  for (bool* fails : {&holder.fail_create, &holder.fail_wrap}) {
    *fails = true;
    EXPECT_EQ(store->Erase(advances_, Position(41)).code(), Code::kUnavailable);
    *fails = false;
    EXPECT_EQ(store->epoch(), 1u);
    EXPECT_FALSE(ErasedAll(*store));
    ExpectLiving(*store);
  }
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  EXPECT_TRUE(ErasedAll(*store));
  ExpectLiving(*store);
  EXPECT_EQ(Names(Dir()).size(), 3u);
}

TEST_F(Erasing, AHolderThatCannotDestroyIsToldAndTheNextOpeningFinishes) {
  auto files = OpenFileHolder(Dir() + "/holder").value();
  FailingHolder holder(*files);
  {
    auto store = KeyStore::Open(Dir(), Mode::kWrite, &holder).value();
    holder.fail_destroy = true;
    EXPECT_EQ(store->Erase(advances_, Position(41)).code(), Code::kUnavailable);
    EXPECT_EQ(store->epoch(), 2u);
    EXPECT_TRUE(ErasedAll(*store));
    ExpectLiving(*store);
    EXPECT_EQ(store->Erase(advances_, Position(41)).code(), Code::kUnavailable);
    EXPECT_EQ(store->epoch(), 2u);
  }
  EXPECT_EQ(KeyStore::Open(Dir(), Mode::kWrite, &holder).status().code(), Code::kUnavailable);
  holder.fail_destroy = false;
  auto store = KeyStore::Open(Dir(), Mode::kWrite, &holder).value();
  EXPECT_TRUE(ErasedAll(*store));
  EXPECT_EQ(Names(Dir()).size(), 3u);
}

TEST_F(Erasing, BadInputChangesNothing) {
  auto store = Open(Mode::kWrite).value();
  const std::vector<KeyStore::Advance> beyond = {{KeySlot(1), 2}, {KeySlot(6), 1}};
  EXPECT_EQ(store->Erase(beyond, Position(41)).code(), Code::kInvalid);
  EXPECT_EQ(store->epoch(), 1u);
  EXPECT_FALSE(ErasedAll(*store));
}

TEST_F(Erasing, ALivingRowThatDoesNotOpenStopsItAndADestroyedOneDoesNot) {
  const auto damage = [this](std::size_t row) {
    Change([&](std::string& bytes) { bytes[(row + 1) * kRow + 20] ^= 1; });
  };
  damage(2);
  EXPECT_EQ(Open(Mode::kRead).value()->VerifyAll().code(), Code::kTampered);
  damage(3);
  {
    auto store = Open(Mode::kWrite).value();
    EXPECT_EQ(store->Erase(advances_, Position(41)).code(), Code::kTampered);
    EXPECT_EQ(store->epoch(), 1u);
    EXPECT_EQ(store->KeyAt(KeySlot(0), 0).value(), keys_[0]);
  }
  damage(3);
  auto store = Open(Mode::kWrite).value();
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  ExpectLiving(*store);
  EXPECT_TRUE(store->VerifyAll().ok());
}

TEST_F(Erasing, KeysThatAreMadeAndReadMeanwhileStayWhatTheyAre) {
  auto store = Open(Mode::kWrite).value();
  auto reader = Open(Mode::kRead).value();
  std::atomic<bool> done = false;
  std::vector<KeyStore::NewKey> made;
  std::jthread maker([&] {
    while (!done && made.size() < 20'000) {
      made.push_back(store->Create());
      if (made.size() % 16 == 0) {
        EXPECT_TRUE(store->Sync().ok());
        EXPECT_EQ(reader->KeyAt(made.back().slot, 0).value(), made.back().key);
      }
    }
  });
  std::jthread readers([&] {
    while (!done) {
      ExpectLiving(*store);
      ExpectLiving(*reader);
    }
  });
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(store->Erase(advances_, Position(i)).ok());
  done = true;
  maker.join();
  readers.join();
  ASSERT_TRUE(store->Sync().ok());
  ASSERT_TRUE(reader->Refresh().ok());
  EXPECT_EQ(reader->epoch(), 21u);
  EXPECT_EQ(reader->erased_through(), Position(20));
  for (const auto& key : made) ASSERT_EQ(reader->KeyAt(key.slot, 0).value(), key.key);
  EXPECT_TRUE(ErasedAll(*reader));
}

TEST_F(Erasing, AReaderInAnotherProcessTakesUpTheNewEpoch) {
  int ready[2], go[2];
  ASSERT_EQ(::pipe(ready), 0);
  ASSERT_EQ(::pipe(go), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto reader = Open(Mode::kRead).value();
    ExpectLiving(*reader);
    bool right = !ErasedAll(*reader);
    char byte = 'r';
    right = right && ::write(ready[1], &byte, 1) == 1 && ::read(go[0], &byte, 1) == 1;
    right = right && ErasedAll(*reader) && reader->KeyAt(KeySlot(6), 0).ok();
    ExpectLiving(*reader);
    right = right && reader->epoch() == 2 && reader->erased_through() == Position(42);
    ::_exit(right && !HasFailure() ? 0 : 1);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  auto store = Open(Mode::kWrite).value();
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  store->Create();
  ASSERT_TRUE(store->Sync().ok());
  ASSERT_EQ(::write(go[1], &byte, 1), 1);
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int fd : {ready[0], ready[1], go[0], go[1]}) ::close(fd);
}

TEST_F(Erasing, ACopyFromBeforeIsNoiseOnceTheTokenHasDestroyedItsKey) {
  auto holder = OpenKeyHolder(SoftToken::Get().Uri("epochs")).value();
  const std::string dir = directory_ / "in-token", copy = directory_ / "copy";
  auto store = KeyStore::Open(dir, Mode::kWrite, holder.get()).value();
  const auto created = store->Create(), living = store->Create();
  ASSERT_TRUE(store->Sync().ok());
  std::filesystem::copy(dir, copy, std::filesystem::copy_options::recursive);
  EXPECT_EQ(KeyStore::Open(copy, Mode::kRead, holder.get()).value()->KeyAt(created.slot, 0).value(),
            created.key);
  ASSERT_TRUE(store->Erase(std::vector<KeyStore::Advance>{{created.slot, kAll}}, Position(0)).ok());
  EXPECT_EQ(KeyStore::Open(copy, Mode::kRead, holder.get()).status().code(), Code::kNotFound);
  EXPECT_EQ(store->KeyAt(living.slot, 0).value(), living.key);
  EXPECT_FALSE(FileExists(dir + "/holder"));
}

TEST_F(Erasing, ABackupIsRestoredAndErasuresAreCarriedOutAgain) {
  const Key256 backup_key = RandomArray<32>();
  const std::string backup = directory_ / "backup", dir = directory_ / "restored";
  {
    auto store = Open(Mode::kWrite).value();
    ASSERT_TRUE(store->Erase({}, Position(9)).ok());
    ASSERT_TRUE(store->Backup(backup, backup_key).ok());
    EXPECT_EQ(store->Backup(backup, backup_key).code(), Code::kConflict);
    ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  }
  ASSERT_TRUE(KeyStore::Restore(backup, backup_key, dir).ok());
  EXPECT_EQ(KeyStore::Restore(backup, backup_key, dir).code(), Code::kConflict);
  auto store = KeyStore::Open(dir, Mode::kWrite).value();
  EXPECT_EQ(store->erased_through(), Position(10));
  EXPECT_FALSE(ErasedAll(*store));
  ExpectLiving(*store);
  ASSERT_TRUE(store->Erase(advances_, Position(41)).ok());
  EXPECT_TRUE(ErasedAll(*store));
  ExpectLiving(*store);
}

TEST_F(Erasing, ABackupThatWasChangedOrHasAnotherKeyIsTampered) {
  const Key256 backup_key = RandomArray<32>();
  const std::string backup = directory_ / "backup", dir = directory_ / "restored";
  ASSERT_TRUE(Open(Mode::kWrite).value()->Backup(backup, backup_key).ok());
  EXPECT_EQ(KeyStore::Restore(backup, RandomArray<32>(), dir).code(), Code::kTampered);
  const std::string rows = ReadFile(backup + "/backup.keys").value();
  const auto with = [&](const std::string& bytes) {
    EXPECT_TRUE(WriteFileDurably(backup + "/backup.keys", bytes).ok());
    return KeyStore::Restore(backup, backup_key, dir).code();
  };
  EXPECT_EQ(with(rows.substr(0, rows.size() - kRow)), Code::kTampered);
  for (const std::size_t at : {std::size_t{20}, std::size_t{50}, std::size_t{63}, kRow + 5, 3 * kRow + 63}) {
    std::string changed = rows;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_EQ(with(changed), Code::kTampered) << at;
  }
  EXPECT_FALSE(FileExists(dir));
  EXPECT_EQ(with(rows), Code::kOk);
}

}  // namespace
}  // namespace daicho
