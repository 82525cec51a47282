// Two record files laid side by side. Method: a real prefecture's ledger is projected and replayed; differences of each kind are
// planted in the store of a replay, under a closed record file; what is told is compared with what was planted, also
// in pages of one person, and against a model over random differences.
#include "consumers/audit_diff.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

#include "consumers/audit_replay.h"
#include "ledger/files.h"
#include "tests/retaining.h"

namespace daicho {
namespace {

using What = VersionDifference::What;

class AuditDiff : public ::testing::Test {
 protected:
  AuditDiff() {
    for (const Person& person : people_) r_.Admit(Birth(person, kMaebashi));
    r_.Admit(AddressChange(people_[0], 2, kMaebashi));
    r_.Admit(AddressChange(people_[0], 3, kMaebashi));
    r_.Admit(AddressChange(people_[1], 2, kMaebashi));
  }

  Prefecture& p() { return r_.p; }
  Position Last() { return Position(p().Size() - 1); }
  void Replay(const std::string& out, Position position) {
    ReplayOptions o;
    o.ledger.prefecture = Prefecture::kNumber;
    o.ledger.ledger = p().ledger_id();
    o.ledger.registrar = p().registrar_key().public_key();
    o.ledger.sequencer = p().ledger_key().public_key();
    o.log = &p().log();
    o.keys = &p().key_store();
    o.out = p().Path(out);
    o.position = position;
    const auto state = ReplayTo(o);
    ASSERT_TRUE(state.ok()) << state.status().ToString();
  }
  std::unique_ptr<Store> StoreOf(const std::string& replay) {
    StoreOptions options;
    options.families = RecordFile::Families();
    options.path = std::filesystem::directory_iterator(p().Path(replay) + "/record_file")->path().string();
    return Store::Open(options).value();
  }
  void Plant(const std::string& replay, const std::function<void(StoreBatch&)>& change) {
    const auto store = StoreOf(replay);
    StoreBatch batch;
    change(batch);
    ASSERT_TRUE(store->Write(batch, true).ok());
    ASSERT_TRUE(store->Flush().ok());
  }
  // Keys and values of all versions, by handle and position.
  using Versions = std::map<std::pair<SubjectHandle, Position>, std::pair<std::string, std::string>>;
  Versions VersionsIn(const std::string& replay) {
    Versions out;
    const auto store = StoreOf(replay);
    auto it = store->NewIterator(RecordFile::kVersions);
    for (it.SeekToFirst(); it.Valid(); it.Next()) {
      const Version version = record_file::DecodeVersion(it.key(), it.value()).value();
      out[{version.handle, version.position}] = {std::string(it.key()), std::string(it.value())};
    }
    return out;
  }
  // The person of `n` versions, and their positions, newest first.
  std::pair<SubjectHandle, std::vector<Position>> WhoHas(std::size_t n, const Versions& versions) {
    std::map<SubjectHandle, std::vector<Position>> by_handle;
    for (const auto& [key, value] : versions) by_handle[key.first].insert(by_handle[key.first].begin(), key.second);
    for (const auto& each : by_handle) {
      if (each.second.size() == n) return each;
    }
    return {};
  }

  DiffSide Live() {
    projector_ = r_.CaughtUp("live");
    return SideOfNode("live", [this](const node::Request& request) -> Result<node::Response> {
             node::Response out = request.has_mark_versions() ? AnswerMarkVersions(*projector_, request.mark_versions())
                                                              : AnswerRecordFileState(*projector_);
             if (out.code() != 0) return Status(static_cast<Code>(out.code()), out.message());
             return out;
           })
        .value();
  }
  Result<DiffResult> Compare(const DiffSide& a, const DiffSide& b) {
    told_.clear();
    return Diff(a, b, [this](const VersionDifference& difference) {
      told_.push_back(difference);
      return Status();
    });
  }
  Result<DiffResult> Compare(const std::string& a, const std::string& b) {
    ASSIGN_OR_RETURN(const DiffSide first, SideOfReplay(p().Path(a)));
    ASSIGN_OR_RETURN(const DiffSide second, SideOfReplay(p().Path(b)));
    return Compare(first, second);
  }
  void ExpectOne(const SubjectHandle& handle, Position position, What what, bool standing, bool erased = false) {
    ASSERT_EQ(told_.size(), 1u);
    EXPECT_EQ(told_[0].handle, handle);
    EXPECT_EQ(told_[0].position, position);
    EXPECT_EQ(told_[0].what, what);
    EXPECT_EQ(told_[0].standing, standing);
    EXPECT_EQ(told_[0].erased, erased);
  }

  Retaining r_;
  std::vector<Person> people_{Person(1), Person(2), Person(3)};
  std::unique_ptr<Projector> projector_;
  std::vector<VersionDifference> told_;
};

TEST_F(AuditDiff, AReplayAndTheLiveRecordFileAreTheSame) {
  Replay("replay", Last());
  const auto result = Compare(SideOfReplay(p().Path("replay")).value(), Live());
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(result->same());
  EXPECT_EQ(result->compared.first.versions, 6u);
  EXPECT_EQ(result->compared.second.subjects, 3u);
  EXPECT_EQ(result->contents[0], projector_->file().ContentDigest().value());
  EXPECT_EQ(result->contents[0], result->contents[1]);
  EXPECT_TRUE(told_.empty());
}

TEST_F(AuditDiff, OfTwoPositionsTheLowerOneCounts) {
  const Position then(Last().value() - 1);
  Replay("then", then);
  Replay("now", Last());
  auto result = Compare("then", "now");
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->same());
  EXPECT_EQ(result->at, then);
  EXPECT_EQ(result->compared.second.versions, 5u);
  EXPECT_EQ(result->contents[0], result->contents[1]);
  result = Compare(Live(), SideOfReplay(p().Path("then")).value());
  EXPECT_TRUE(result->same());
  EXPECT_EQ(result->positions[0], Last());
}

TEST_F(AuditDiff, AVersionThatIsMissingIsNamedWithTheSideThatHasIt) {
  Replay("a", Last());
  Replay("b", Last());
  const Versions versions = VersionsIn("a");
  const auto [handle, positions] = WhoHas(3, versions);
  Plant("b", [&](StoreBatch& batch) { batch.Delete(RecordFile::kVersions, versions.at({handle, positions[1]}).first); });
  auto result = Compare("a", "b");
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->same());
  ExpectOne(handle, positions[1], What::kOnlyFirst, false);
  EXPECT_TRUE(result->declared[0]);
  EXPECT_FALSE(result->declared[1]);
  result = Compare("b", "a");
  ExpectOne(handle, positions[1], What::kOnlySecond, false);
  EXPECT_EQ(result->compared.standing, 0u);

  Plant("b", [&](StoreBatch& batch) {
    const auto& middle = versions.at({handle, positions[1]});
    batch.Put(RecordFile::kVersions, middle.first, middle.second);
    batch.Delete(RecordFile::kVersions, versions.at({handle, positions[0]}).first);
  });
  result = Compare("a", "b");
  ExpectOne(handle, positions[0], What::kOnlyFirst, true);
  EXPECT_EQ(result->compared.standing, 1u);
}

TEST_F(AuditDiff, AVersionOfOtherBytesIsNamedAlsoWhenItCannotBeRead) {
  Replay("a", Last());
  Replay("b", Last());
  const Versions versions = VersionsIn("a");
  const auto [handle, positions] = WhoHas(1, versions);
  const auto& [key, value] = versions.at({handle, positions[0]});
  const auto put = [&](const std::string& changed) {
    Plant("b", [&](StoreBatch& batch) { batch.Put(RecordFile::kVersions, key, changed); });
  };
  std::string changed = value;
  changed[2] = static_cast<char>(changed[2] ^ 1);  // the time of admission: no part of the row, nor of the content
  put(changed);
  auto result = Compare("a", "b");
  ExpectOne(handle, positions[0], What::kBytes, false);
  EXPECT_TRUE(result->declared[1]);
  EXPECT_FALSE(result->same());

  put(value.substr(0, 10));
  result = Compare("a", "b");
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ExpectOne(handle, positions[0], What::kBytes, true);
  EXPECT_FALSE(result->declared[1]);
}

TEST_F(AuditDiff, WhatTheOtherSideHasErasedIsToldApart) {
  Replay("a", Last());
  Replay("b", Last());
  const Versions versions = VersionsIn("a");
  const auto [handle, positions] = WhoHas(1, versions);
  const std::string key = versions.at({handle, positions[0]}).first;
  Plant("b", [&](StoreBatch& batch) {
    batch.Delete(RecordFile::kVersions, key);
    batch.Put(RecordFile::kErased, key.substr(0, 8), std::string("\0\0\0\1", 4));
  });
  const auto result = Compare("a", "b");
  ExpectOne(handle, positions[0], What::kOnlyFirst, true, true);
  EXPECT_EQ(result->compared.first.only_erased, 1u);
}

TEST_F(AuditDiff, AContentThatIsNotTheOneDeclaredIsNotTheSame) {
  Replay("a", Last());
  Replay("b", Last());
  const std::string path = p().Path("b") + "/state.json";
  std::string text = ReadFile(path).value();
  const std::size_t digest = text.find("\"digest\": \"") + 11;
  text[digest] = text[digest] == '0' ? '1' : '0';
  ASSERT_TRUE(WriteFileDurably(path, text).ok());
  const auto result = Compare("a", "b");
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->compared.same());
  EXPECT_FALSE(result->same());
  EXPECT_TRUE(result->declared[0]);
  EXPECT_FALSE(result->declared[1]);
}

TEST_F(AuditDiff, WhatIsNoReplayOrOfAnotherPositionOrLedgerIsRefused) {
  Replay("a", Last());
  EXPECT_EQ(SideOfReplay(p().Path("absent")).status().code(), Code::kNotFound);
  DiffSide other = SideOfReplay(p().Path("a")).value();
  other.state.ledger[0] ^= 1;
  EXPECT_EQ(Compare(SideOfReplay(p().Path("a")).value(), other).status().code(), Code::kInvalid);
  const std::string path = p().Path("a") + "/state.json";
  std::string text = ReadFile(path).value();
  const std::string size = "\"size\": " + std::to_string(p().Size());
  text.replace(text.find(size), size.size(), "\"size\": 1");
  ASSERT_TRUE(WriteFileDurably(path, text).ok());
  EXPECT_EQ(SideOfReplay(p().Path("a")).status().code(), Code::kTampered);
}

TEST_F(AuditDiff, RandomDifferencesAreToldAllAndOnlyInPagesOfAnySize) {
  std::mt19937_64 random(Seed());
  for (int i = 10; i < 40; ++i) {
    const Person person(i);
    r_.Admit(Birth(person, kMaebashi));
    for (std::uint32_t n = 2; n < 2 + random() % 4; ++n) r_.Admit(AddressChange(person, n, kMaebashi));
  }
  Replay("a", Last());
  Replay("b", Last());
  std::map<std::pair<SubjectHandle, Position>, What> expected;
  const Versions versions = VersionsIn("a");
  for (const char* side : {"a", "b"}) {
    Plant(side, [&](StoreBatch& batch) {
      for (const auto& [name, stored] : versions) {
        if (expected.contains(name) || random() % 8 != 0) continue;
        if (random() % 2 == 0) {
          batch.Delete(RecordFile::kVersions, stored.first);
          expected[name] = std::string(side) == "a" ? What::kOnlySecond : What::kOnlyFirst;
        } else {
          std::string changed = stored.second;
          changed.back() = static_cast<char>(changed.back() ^ 0x20);
          batch.Put(RecordFile::kVersions, stored.first, changed);
          expected[name] = What::kBytes;
        }
      }
    });
  }
  const auto a = StoreOf("a"), b = StoreOf("b");
  const CopyKeying keying(CopyKey{0, RandomArray<32>()});
  for (const std::size_t most : {1, 7, 10'000}) {
    const auto pages = [&](const Store& store) {
      return VersionPages([&](KeySlot from) -> Result<VersionPage> {
        ASSIGN_OR_RETURN(const VersionPage page, ReadVersionPage(store, keying, from, Last(), most));
        return VersionPage::Decode(page.Encode());
      });
    };
    std::map<std::pair<SubjectHandle, Position>, What> told;
    const auto result = CompareVersions(pages(*a), pages(*b), [&](const VersionDifference& difference) {
      EXPECT_TRUE(told.emplace(std::pair(difference.handle, difference.position), difference.what).second);
      return Status();
    });
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    EXPECT_EQ(told, expected);
    EXPECT_EQ(result->first.only + result->second.only + result->bytes_differ, expected.size());
  }
}

TEST_F(AuditDiff, APageThatIsCutOffIsRefused) {
  const auto live = r_.CaughtUp("live");
  const CopyKeying keying(CopyKey{0, RandomArray<32>()});
  const std::string bytes = ReadVersionPage(live->store(), keying, KeySlot(0), Last()).value().Encode();
  ASSERT_TRUE(VersionPage::Decode(bytes).ok());
  EXPECT_EQ(VersionPage::Decode(bytes.substr(0, bytes.size() - 1)).status().code(), Code::kCorrupt);
  EXPECT_EQ(VersionPage::Decode(bytes.substr(0, 100)).status().code(), Code::kCorrupt);
}

}  // namespace
}  // namespace daicho
