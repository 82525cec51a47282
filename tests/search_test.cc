// Search and its index. Method: a population lives through years of notices, late ones, cancelled ones and planned
// ones among them; at random positions random conditions are asked of the index and of every record in turn,
// and both must find the same persons. What the index holds after years of single changes must be, byte for
// byte, what is built from the versions at once.
#include "projections/search.h"

#include <gtest/gtest.h>


#include "events/codes.h"
#include "tests/prefecture.h"
#include "tests/search_oracle.h"

namespace daicho {
namespace {

constexpr const char* kMunicipalityCodes[] = {"102016", "102024", "102032", "103446"};

struct SpokenName {
  const char *name, *kana;
};
constexpr SpokenName kFamilies[] = {{"渡邊", "わたなべ"},  {"渡辺", "ワタナベ"}, {"渡部", "わたべ"}, {"齋藤", "さいとう"},
                                    {"斉藤", "サイトウ"},  {"髙橋", "たかはし"}, {"小野", "おの"},   {"大野", "おおの"},
                                    {"小野寺", "おのでら"}, {"水木", "みずき"},   {"田", "でん"},     {"𠮷田", "よしだ"}};
constexpr SpokenName kGiven[] = {{"花子", "はなこ"}, {"花", "はな"},   {"太郎", "たろう"}, {"水月", "みづき"},
                                 {"子太", "したろ"}, {"野々", "のの"}, {"恵", "めぐみ"},   {"惠", "けい"}};
constexpr const char* kAddresses[] = {"大手町一丁目１番１号", "大手町1-1-12", "大手町二丁目３番", "上佐野町123番地4　コーポ渡邊101号",
                                      "字三夜沢45", "鶴ヶ谷町6番地"};

constexpr std::size_t kCacheBytes = 16 << 10;  // fewer places than there are residents

struct Living {
  KeySlot slot;
  SubjectHandle handle{};
  std::uint32_t last = 0;
  v1::ResidentRecord record;
  std::optional<v1::UpdateNotice> missing;  // the removal that another municipality still owes
};

class SearchTest : public ::testing::Test {
 protected:
  SearchTest() {
    StoreOptions options;
    options.path = dir_ / "file";
    options.families = RecordFile::Families();
    options.write_ahead_log = false;
    store_ = Store::Open(options).value();
    writer_ = std::make_unique<SearchWriter>(*store_, *matching_, parts_);
    search_ = std::make_unique<Search>(*store_, matching_, parts_, kCacheBytes);
    file_ = std::make_unique<RecordFile>(*store_);
  }

  std::size_t Below(std::size_t limit) { return chance_() % limit; }
  template <typename T, std::size_t N>
  const T& Any(const T (&of)[N]) {
    return of[Below(N)];
  }

  // --- a population

  v1::ResidentRecord NewRecord() {
    v1::ResidentRecord record;
    Name(record);
    record.set_sex(Below(2) == 0 ? v1::SEX_MALE : v1::SEX_FEMALE);
    const char* births[] = {"1988-02-29", "1988-02-10", "1988-02-??", "1988-??-??", "????-??-??", "1911-02-29"};
    record.set_birth(Below(3) == 0 ? Any(births) : FormatDate({static_cast<std::int16_t>(1950 + Below(3)),
                                                               static_cast<std::uint8_t>(1 + Below(3)),
                                                               static_cast<std::uint8_t>(1 + Below(4))}));
    if (Below(6) == 0) {
      record.mutable_alias()->set_name(std::string(Any(kFamilies).name) + "　" + Any(kGiven).name);
      record.mutable_alias()->set_kana("つうしょう");
      record.set_latin_name("NGUYEN VAN ANH");
    }
    Move(record);
    return record;
  }
  void Name(v1::ResidentRecord& record) {
    const SpokenName &family = Any(kFamilies), &given = Any(kGiven);
    const char* space = Below(4) == 0 ? "　" : " ";
    record.set_name(std::string(family.name) + space + given.name);
    record.set_kana(std::string(family.kana) + space + given.kana);
  }
  void Move(v1::ResidentRecord& record) {
    record.mutable_address()->set_municipality(Any(kMunicipalityCodes));
    record.mutable_address()->set_text(Any(kAddresses));
  }

  // What one resident is told of next.
  void Tell() {
    admitted_at_ = TimeMicros(admitted_at_.value() + static_cast<std::int64_t>(Below(40)) * 3'600'000'000);
    if (residents_.size() < 20 || Below(6) == 0) {
      Living who{KeySlot(residents_.size()), {}, 1, NewRecord(), {}};
      who.handle[0] = static_cast<std::uint8_t>(residents_.size() >> 8);
      who.handle[1] = static_cast<std::uint8_t>(residents_.size());
      residents_.push_back(who);
      return Admit(residents_.back(), 1, v1::NOTICE_KIND_ENTRY, v1::EFFECT_ENTERED);
    }
    Living& who = residents_[Below(residents_.size())];
    if (who.missing && Below(2) == 0) {
      AdmitNotice(who, *who.missing, v1::EFFECT_REMOVED_LATE);
      who.missing.reset();
      return;
    }
    switch (Below(8)) {
      case 0: {  // a planned move-out
        Admit(who, ++who.last, v1::NOTICE_KIND_REMOVAL, v1::EFFECT_REMOVED, static_cast<int>(Below(20)));
        return;
      }
      case 1: {  // moved, and the other municipality is late
        if (who.missing) return;
        v1::UpdateNotice removal = NoticeOf(who, who.last + 1, v1::NOTICE_KIND_REMOVAL, 0);
        who.missing = std::move(removal);
        Move(who.record);
        who.last += 2;
        Admit(who, who.last, v1::NOTICE_KIND_ENTRY, v1::EFFECT_MOVED_AHEAD);
        return;
      }
      case 2: {  // the last change is void
        const v1::ResidentRecord before = who.record;
        Name(who.record);
        Admit(who, ++who.last, v1::NOTICE_KIND_AMEND, v1::EFFECT_AMENDED);
        v1::UpdateNotice cancelling = NoticeOf(who, who.last + 1, v1::NOTICE_KIND_AMEND, 0);
        cancelling.set_cancels(who.last++);
        *cancelling.mutable_record() = who.record = before;
        AdmitNotice(who, cancelling, v1::EFFECT_AMENDED);
        return;
      }
      case 3: Name(who.record); break;
      default: Move(who.record);
    }
    // Sometimes told of before its day.
    Admit(who, ++who.last, v1::NOTICE_KIND_AMEND, v1::EFFECT_AMENDED, Below(10) == 0 ? 5 : -3);
  }
  v1::UpdateNotice NoticeOf(const Living& who, std::uint32_t number, v1::NoticeKind kind, int days) {
    v1::UpdateNotice notice;
    std::string digits = std::to_string(1'000'000'000 + who.slot.value());
    notice.set_resident_code(digits + ResidentCodeCheckDigit(digits));
    notice.set_update_number(number);
    notice.set_kind(kind);
    notice.set_changed_on(FormatDate(DateOfDayNumber(DayNumber(JapanDate(admitted_at_)) + days)));
    *notice.mutable_record() = who.record;
    return notice;
  }
  void Admit(const Living& who, std::uint32_t number, v1::NoticeKind kind, v1::Effect effect, int days = -1) {
    AdmitNotice(who, NoticeOf(who, number, kind, days), effect);
  }
  void AdmitNotice(const Living& who, const v1::UpdateNotice& notice, v1::Effect effect) {
    Version version{Position(days_.size()), who.handle, admitted_at_, effect, "102016", Sequence(1), notice};
    record_file::Writer rows([&](Family family, std::string_view key, std::string_view value) { batch_.Put(family, key, value); },
                             [](Family, std::string_view) {});
    const bool first = effect == v1::EFFECT_ENTERED;
    rows.PutVersion(version, who.slot, notice.SerializeAsString(), first);
    writer_->Add(version, who.slot, first);
    days_.push_back(JapanDate(admitted_at_));
    if (Below(4) == 0) Commit();
  }
  void Commit() {
    ASSERT_TRUE(writer_->Flush([&](Family family, std::string_view key, std::string_view value) {
                         batch_.Put(family, key, value);
                       }).ok());
    ASSERT_TRUE(store_->Write(batch_, false).ok());
    batch_.Clear();
  }
  void Live(std::size_t notices) {
    while (days_.size() < notices) Tell();
    Commit();
  }
  Position Last() const { return Position(days_.size() - 1); }

  // --- questions

  // A condition that someone, as some version said, meets, or nearly.
  v1::SearchCondition Question() {
    const Living& who = residents_[Below(residents_.size())];
    auto versions = store_->NewIterator(RecordFile::kVersions);
    const auto known = RecordFile::VersionsOf(versions, who.slot, Last()).value();
    const v1::ResidentRecord record = known[Below(known.size())].notice.record();
    v1::SearchCondition out;
    while (out.ByteSizeLong() == 0) {
      if (Below(2) == 0) out.set_name(Cut(record.name()));
      if (Below(3) == 0) out.set_kana(Cut(record.kana()));
      if (Below(3) == 0) out.set_birth(CutBirth(record.birth()));
      if (Below(4) == 0) out.set_address(Cut(record.address().text()));
      if (Below(4) == 0) out.set_municipality(record.address().municipality());
    }
    if (Below(3) == 0) out.set_sex(record.sex());
    if (Below(3) == 0) out.set_name_match(Below(2) == 0 ? v1::NAME_MATCH_WHOLE : v1::NAME_MATCH_INFIX);
    out.set_former(Below(4) == 0);
    return out;
  }
  // All of it, its beginning, what follows its first space, or a piece.
  std::string Cut(const std::string& text) {
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if ((text[i] & 0xc0) != 0x80) starts.push_back(i);
    }
    starts.push_back(text.size());
    const std::size_t length = starts.size() - 1;
    switch (Below(4)) {
      case 0: return text;
      case 1: return text.substr(0, starts[1 + Below(length)]);
      case 2: {
        const std::size_t space = text.find_first_of(" ");
        return space == text.npos ? text : text.substr(space);
      }
      default: {
        const std::size_t from = Below(length);
        return text.substr(starts[from], starts[from + 1 + Below(length - from)] - starts[from]);
      }
    }
  }
  std::string CutBirth(const std::string& birth) {
    const std::size_t lengths[] = {4, 7, 10};
    return birth.starts_with("?") ? birth : birth.substr(0, Any(lengths));
  }

  // --- two answers

  // Positions of the versions shown.
  std::set<std::uint64_t> ByEveryRecord(const v1::SearchCondition& condition, Position at) {
    std::set<std::uint64_t> out;
    auto versions = store_->NewIterator(RecordFile::kVersions);
    for (const Living& who : residents_) {
      const auto holds = RecordFile::Read(versions, who.slot, at, days_[at.value()]);
      if (!holds.ok()) continue;
      bool means = Means(*matching_, condition, holds->notice.record());
      if (condition.former()) {
        const auto known = RecordFile::VersionsOf(versions, who.slot, at).value();
        for (const Version& version : known) {
          means = means || Means(*matching_, condition, version.notice.record());
        }
      }
      if (means) out.insert(holds->position.value());
    }
    return out;
  }
  // Page by page.
  std::set<std::uint64_t> BySearch(const v1::SearchCondition& condition, Position at, std::size_t page_size,
                                   std::string* families = nullptr) {
    std::set<std::uint64_t> out;
    for (SearchCursor from;; from.skip += page_size) {
      const auto page = search_->Find(condition, at, days_[at.value()], page_size, from);
      EXPECT_TRUE(page.ok()) << page.status().ToString();
      if (!page.ok()) return out;
      EXPECT_FALSE(page->too_broad);
      if (families != nullptr) *families += page->explanation.family + " ";
      for (const Version& version : page->hits) {
        EXPECT_TRUE(out.insert(version.position.value()).second) << "shown twice";
      }
      if (!page->more) return out;
      from.family = page->explanation.family;
      EXPECT_EQ(page->hits.size(), page_size);
    }
  }
  std::map<std::pair<Family, std::string>, std::string> Index(const Store& store) {
    std::map<std::pair<Family, std::string>, std::string> out;
    for (Family family = RecordFile::kSearchNames; family <= RecordFile::kSearchParts; ++family) {
      auto it = store.NewIterator(family);
      for (it.SeekToFirst(); it.Valid(); it.Next()) out[{family, std::string(it.key())}] = it.value();
    }
    return out;
  }

  TemporaryDirectory dir_;
  std::mt19937_64 chance_{Seed()};
  std::shared_ptr<const Matching> matching_ = Matching::Shipped();
  std::unique_ptr<Store> store_;
  SearchParts parts_;
  std::unique_ptr<SearchWriter> writer_;
  std::unique_ptr<Search> search_;
  std::unique_ptr<RecordFile> file_;
  StoreBatch batch_;
  std::vector<Living> residents_;
  std::vector<Date> days_;  // of each position
  TimeMicros admitted_at_ = StartOfDay({2020, 1, 1});
};

// The worked example of projections/README.md.
TEST(SearchIndex, TheRowsOfOneWhoMovedAreThoseOfTheReadme) {
  Version born{Position(36), {}, StartOfDay({2026, 11, 24}), v1::EFFECT_ENTERED, "102016", Sequence(1), {}};
  v1::UpdateNotice& notice = born.notice;
  notice.set_update_number(1);
  notice.set_changed_on("2026-11-20");
  v1::ResidentRecord& record = *notice.mutable_record();
  record.set_name("渡邊󠄀 花子");
  record.set_kana("わたなべ はなこ");
  record.set_birth("1988-02-29");
  record.set_sex(v1::SEX_FEMALE);
  record.mutable_address()->set_municipality("102016");
  record.mutable_address()->set_text("大手町一丁目１番１号");
  Version moved = born;
  moved.position = Position(41);
  moved.notice.set_update_number(2);
  moved.notice.mutable_record()->mutable_address()->set_text("元総社町１番地");
  std::string rows;
  for (const search_index::Row& row : search_index::RowsOf(*Matching::Shipped(), KeySlot(0), {born, moved})) {
    rows += RecordFile::Families()[row.family] + " " + ToHex(row.key) + " -> " + ToHex(row.value) + "\n";
  }
  EXPECT_EQ(rows,
            "search_names 6bcf9faab8afaa93000f885d0000000000 -> 29000106018e800409e58583e7b78fe7a4be24050106018e800409e5a4a7e6898be794ba\n"
            "search_names 74e6b8a1e8bebae88ab1e5ad90000f885d0000000000 -> 29000106018e800609e58583e7b78fe7a4be24050106018e800609e5a4a7e6898be794ba\n"
            "search_given 6bafaa9300018e800f885d0000000000 -> 24000606\n"
            "search_given 74e88ab1e5ad9000018e800f885d0000000000 -> 24000606\n"
            "search_people 018e800f885d0000000000 -> 240006061974060ce6b8a1e8bebae88ab1e5ad906b0407cf9faab8afaa93\n"
            "search_addresses 018e80e58583e7b78fe7a4bee794ba312d000000000000 -> 290001060f885d1974060ce6b8a1e8bebae88ab1e5ad906b0407cf9faab8afaa93\n"
            "search_addresses 018e80e5a4a7e6898be794ba312d312d312d000000000000 -> 240501060f885d1974060ce6b8a1e8bebae88ab1e5ad906b0407cf9faab8afaa93\n");
}

TEST_F(SearchTest, FindsWhomAScanOfEveryRecordFindsAsOfAnyPosition) {
  Live(1'500);
  std::map<std::string, int> led;
  std::uint64_t found = 0;
  for (int asked = 0; asked < 1'000;) {
    const v1::SearchCondition condition = Question();
    if (!Answerable(*matching_, condition)) continue;
    ++asked;
    const Position at(Below(days_.size()));
    std::string families;
    const auto expected = ByEveryRecord(condition, at);
    ASSERT_EQ(BySearch(condition, at, 1 + Below(40), &families), expected)
        << condition.ShortDebugString() << " as of " << at.value();
    found += expected.size();
    ++led[families.substr(0, families.find(' '))];
  }
  EXPECT_GT(found, 1'000U);
  for (const char* family : {"search_names", "search_names(kana)", "search_addresses", "search_people", "search_parts"}) {
    EXPECT_GT(led[family], 0) << family;
  }
}

TEST_F(SearchTest, ACachedVersionIsTheStoredOne) {
  Live(300);
  const VersionCache cache(*store_, kCacheBytes), none(*store_, 0);
  // What does not fit into a place.
  Living& large = residents_.front();
  large.record.add_external_glyphs()->set_image_png(std::string(2 * VersionCache::kValueBytesMax, 'x'));
  Admit(large, ++large.last, v1::NOTICE_KIND_AMEND, v1::EFFECT_AMENDED);
  Commit();
  auto versions = store_->NewIterator(RecordFile::kVersions);
  for (int round = 0; round < 2; ++round) {
    for (const Living& who : residents_) {
      const auto stored = RecordFile::Read(versions, who.slot, Last(), std::nullopt);
      ASSERT_TRUE(stored.ok());
      for (const VersionCache* each : {&cache, &cache, &none}) {
        const auto found = each->Read(who.slot, stored->position);
        ASSERT_TRUE(found.ok()) << found.status().ToString();
        EXPECT_EQ(found->position, stored->position);
        EXPECT_EQ(found->handle, stored->handle);
        EXPECT_EQ(found->notice.SerializeAsString(), stored->notice.SerializeAsString());
      }
      EXPECT_EQ(cache.Read(who.slot, Position(Last().value() + 1)).status().code(), Code::kCorrupt);
    }
  }
}

TEST_F(SearchTest, TheIndexOfSingleChangesIsThatBuiltAtOnce) {
  Live(1'500);
  const auto grown = Index(*store_);
  StoreOptions options;
  options.path = dir_ / "built";
  options.families = RecordFile::Families();
  options.write_ahead_log = false;
  const auto built = Store::Open(options).value();
  StoreBatch batch;
  auto it = store_->NewIterator(RecordFile::kVersions);
  for (it.SeekToFirst(); it.Valid(); it.Next()) batch.Put(RecordFile::kVersions, it.key(), it.value());
  ASSERT_TRUE(built->Write(batch, false).ok());
  SearchParts parts;
  ASSERT_TRUE(SearchWriter(*built, *matching_, parts).Build(*built, 1u << 20).ok());
  EXPECT_EQ(Index(*built), grown);
  SearchParts loaded;
  ASSERT_TRUE(loaded.Load(*built).ok());
  EXPECT_EQ(loaded.Municipalities(Last()), parts_.Municipalities(Last()));
  EXPECT_TRUE(loaded.Municipalities(Position(0)).size() == 1);
  const std::string piece = matching_->FoldName("子").text;
  EXPECT_EQ(loaded.Containing(search_index::Kind::kText, true, piece, Last()),
            parts_.Containing(search_index::Kind::kText, true, piece, Last()));
}

TEST_F(SearchTest, AnAnswerDoesNotChangeWithWhatComesLater) {
  Live(800);
  struct Asked {
    v1::SearchCondition condition;
    Position at;
    std::vector<std::uint64_t> shown;
    SearchExplanation explanation;
  };
  std::vector<Asked> asked;
  const auto ask = [&](const v1::SearchCondition& condition, Position at) {
    const SearchPage page = search_->Find(condition, at, days_[at.value()], 20, {"", 5}).value();
    Asked out{condition, at, {}, page.explanation};
    for (const Version& version : page.hits) out.shown.push_back(version.position.value());
    return out;
  };
  while (asked.size() < 100) {
    const v1::SearchCondition condition = Question();
    if (Answerable(*matching_, condition)) asked.push_back(ask(condition, Position(Below(days_.size()))));
  }
  Live(2'500);
  for (const Asked& before : asked) {
    const Asked now = ask(before.condition, before.at);
    EXPECT_EQ(now.shown, before.shown) << before.condition.ShortDebugString();
    EXPECT_EQ(now.explanation.family, before.explanation.family);
    EXPECT_EQ(now.explanation.entries, before.explanation.entries);
  }
}

TEST_F(SearchTest, WhoWillMoveOutIsFoundUntilAndAfterThatDay) {
  residents_.push_back({KeySlot(0), {}, 1, NewRecord(), {}});
  Living& who = residents_[0];
  who.record.clear_alias();
  who.record.set_name("渡邊 花子");
  admitted_at_ = StartOfDay({2026, 11, 25});
  Admit(who, 1, v1::NOTICE_KIND_ENTRY, v1::EFFECT_ENTERED);
  who.record.set_name("水木 花子");
  Admit(who, 2, v1::NOTICE_KIND_REMOVAL, v1::EFFECT_REMOVED, 10);
  Commit();
  v1::SearchCondition was, will_be;
  was.set_name("渡邊");
  will_be.set_name("水木");
  const auto found = [&](const v1::SearchCondition& condition, Date on) {
    return search_->Find(condition, Position(1), on, 10, {}).value().hits.size();
  };
  EXPECT_EQ(found(was, {2026, 11, 25}), 1U);
  EXPECT_EQ(found(will_be, {2026, 11, 25}), 0U);
  EXPECT_EQ(found(was, {2026, 12, 5}), 0U);
  EXPECT_EQ(found(will_be, {2026, 12, 5}), 1U);
}

TEST_F(SearchTest, NumbersNarrowWithTheRestAndFormerOnesFind) {
  Live(300);
  const Living& who = residents_[7];
  const Version version = file_->Read(who.slot, Last(), days_.back()).value();
  v1::SearchCondition condition;
  condition.set_resident_code(version.notice.resident_code());
  EXPECT_EQ(BySearch(condition, Last(), 10), std::set<std::uint64_t>{version.position.value()});
  condition.set_name(version.notice.record().name());
  EXPECT_EQ(BySearch(condition, Last(), 10).size(), 1U);
  condition.set_sex(version.notice.record().sex() == v1::SEX_MALE ? v1::SEX_FEMALE : v1::SEX_MALE);
  EXPECT_TRUE(BySearch(condition, Last(), 10).empty());
}

TEST_F(SearchTest, WhatWouldCostTooMuchSaysSo) {
  for (std::size_t i = 0; i < 6'000; ++i) {
    Living who{KeySlot(i), {}, 1, NewRecord(), {}};
    who.record.mutable_address()->set_text("大手町1-1");
    residents_.push_back(who);
    Admit(who, 1, v1::NOTICE_KIND_ENTRY, v1::EFFECT_ENTERED);
  }
  Commit();
  v1::SearchCondition condition;
  condition.set_address("大手町1-1");
  EXPECT_EQ(search_->Find(condition, Last(), days_.back(), 100, {})->hits.size(), 100U);
  const SearchPage page = search_->Find(condition, Last(), days_.back(), 100, {"", 5'900}).value();
  EXPECT_TRUE(page.too_broad);
  EXPECT_TRUE(page.hits.empty());
  EXPECT_LE(page.explanation.entries, 3 * Search::kCostMax);
}

TEST_F(SearchTest, ABadConditionNamesItsField) {
  Live(30);
  const auto error = [&](const std::function<void(v1::SearchCondition&)>& set) {
    v1::SearchCondition condition;
    set(condition);
    const auto page = search_->Find(condition, Last(), days_.back(), 10, {});
    EXPECT_EQ(page.status().code(), Code::kInvalid);
    return page.status().message().substr(0, page.status().message().find(':'));
  };
  EXPECT_EQ(error([](auto&) {}), "condition");
  EXPECT_EQ(error([](auto& c) { c.set_sex(v1::SEX_MALE); }), "condition");
  EXPECT_EQ(error([](auto& c) { c.set_name("　"); }), "name");
  EXPECT_EQ(error([](auto& c) { c.set_kana("abc漢"); }), "kana");
  EXPECT_EQ(error([](auto& c) { c.set_birth("1988-13"); }), "birth");
  EXPECT_EQ(error([](auto& c) { c.set_municipality("102017"); }), "municipality");
  EXPECT_EQ(error([](auto& c) { c.set_name("あ"), c.set_name_match(static_cast<v1::NameMatch>(9)); }), "condition");
}

}  // namespace
}  // namespace daicho
