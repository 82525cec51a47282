// The projector and its record file. Method: a random history is admitted by a real sequencer and
// kept beside it in plain maps; at every position every question is asked of both. A live
// projection, one filled in bulk and one built anew must hold the same bytes. Crashes are copies of
// the directory taken while it is open; damaged ledgers are copies with a record left out, changed
// or put in.
#include "projections/projector.h"

#include <gtest/gtest.h>

#include "tests/log_wrappers.h"
#include "tests/resident_model.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

Date Day(const std::string& text) { return ParseDate(text).value(); }

// A ledger whose end is believed to be where it is set.
class ShortSightedLog : public PrefixedLog {
 public:
  explicit ShortSightedLog(const std::string& dir) : PrefixedLog(OpenLocal(dir), "") {}
  Result<Bounds> GetBounds(const std::string& topic) override {
    ASSIGN_OR_RETURN(Bounds bounds, PrefixedLog::GetBounds(topic));
    bounds.end = std::min(bounds.end, Cursor(sees_until));
    return bounds;
  }
  std::atomic<std::uint64_t> sees_until{~0ull};
};

class ProjectorTest : public ::testing::Test {
 protected:
  static ProjectorOptions OptionsOf(Prefecture& p, Log& log, const std::string& dir) {
    ProjectorOptions o;
    o.prefecture = Prefecture::kNumber;
    o.ledger = p.ledger_id();
    o.registrar_public_key = p.registrar_key().public_key();
    o.dir = dir;
    o.log = &log;
    o.keys = &p.key_store();
    o.matching = Matching::Shipped();
    o.copies = CopyKeyed(1);
    o.bulk_buffer_bytes = 1u << 20;
    return o;
  }
  static std::shared_ptr<const CopyKeying> CopyKeyed(std::uint32_t epoch) {
    CopyKey key{.epoch = epoch};
    key.secret.fill(static_cast<std::uint8_t>(epoch));
    return std::make_shared<CopyKeying>(key);
  }
  std::unique_ptr<Projector> Open(const std::string& name) {
    return Projector::Open(OptionsOf(p_, p_.log(), p_.Path(name))).value();
  }
  std::unique_ptr<Projector> CaughtUp(const std::string& name) {
    auto out = Open(name);
    const Status status = out->CatchUp();
    EXPECT_TRUE(status.ok()) << status.ToString();
    return out;
  }
  std::unique_ptr<Projector> FilledInBulk(const std::string& name) {
    ProjectorOptions options = OptionsOf(p_, p_.log(), p_.Path(name));
    options.bulk_from = 1;
    auto out = Projector::Open(options).value();
    EXPECT_TRUE(out->CatchUp().ok());
    return out;
  }
  // All that it has stored, but for what it leaves when it is stopped.
  static std::map<std::pair<Family, std::string>, std::string> Contents(Projector& projector) {
    std::map<std::pair<Family, std::string>, std::string> out;
    for (Family family = 0; family < RecordFile::Families().size(); ++family) {
      auto it = projector.store().NewIterator(family);
      for (it.SeekToFirst(); it.Valid(); it.Next())
        out[{family, std::string(it.key())}] = it.value();
      EXPECT_TRUE(it.status().ok());
    }
    out.erase({RecordFile::kMeta, "copy_fingerprint"});
    return out;
  }

  void Admit(const v1::UpdateNotice& notice) {
    const v1::Receipt receipt = p_.Notify(notice.record().address().municipality(), {notice});
    ASSERT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
  }
  // "amend 3": what the file says of who has the code; what it says when there is nothing.
  static std::string Said(const Result<Version>& version) {
    if (!version.ok()) return std::string(CodeName(version.status().code()));
    const char* kinds[] = {"?", "entry", "removal", "amend"};
    return std::string(kinds[version->notice.kind()]) + " " +
           std::to_string(version->notice.update_number());
  }
  static std::string Read(const Projector& projector, const Person& person,
                          std::optional<Date> on = {}) {
    const Position at(projector.position().value() - 1);
    auto subject = projector.file().FindByResidentCode(person.code, at);
    return subject.ok() ? Said(projector.file().Read(*subject, at, on)) : "nobody";
  }
  static std::string Numbers(const Projector& projector, const Person& person) {
    const Position at(projector.position().value() - 1);
    const KeySlot subject = projector.file().FindByResidentCode(person.code, at).value();
    std::string out;
    const auto history = projector.file().History(subject, at);
    for (const Version& version : *history) {
      out += std::to_string(version.notice.update_number());
    }
    return out;
  }

  Prefecture p_;
  Person hanako_{1};
};

// --- stories -------------------------------------------------------------------------------------

class RecordFileStories : public ProjectorTest {
 protected:
  RecordFileStories() { p_.Found(); }
};

TEST_F(RecordFileStories, ALateRemovalTakesItsPlaceInTheHistoryWithoutDisturbingTheRecord) {
  for (const auto& notice : {Birth(hanako_, kMaebashi), MoveIn(hanako_, 3, kTakasaki)})
    Admit(notice);
  EXPECT_EQ(CaughtUp("file")->file().Counts().value(), (RecordCounts{1, 0, 2, 1}));
  Admit(MoveOut(hanako_, 2, kMaebashi));
  auto file = CaughtUp("file");
  EXPECT_EQ(Read(*file, hanako_), "entry 3");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-12-01")), "entry 3");
  EXPECT_EQ(Numbers(*file, hanako_), "123");
  EXPECT_EQ(file->file().Counts().value(), (RecordCounts{1, 0, 3, 0}));
}

TEST_F(RecordFileStories, APlannedMoveOutHoldsFromItsDayOn) {
  Admit(Birth(hanako_, kMaebashi));
  Admit(Notice(hanako_, v1::CHANGE_REASON_MOVE_OUT, 2, kMaebashi, "2026-12-10"));
  auto file = CaughtUp("file");
  EXPECT_EQ(Read(*file, hanako_), "removal 2");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-12-09")), "entry 1");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-12-10")), "removal 2");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-11-19")), "not found");
}

TEST_F(RecordFileStories, ACancelledChangeHeldOnNoDayButIsKept) {
  Admit(Birth(hanako_, kMaebashi));
  Admit(Notice(hanako_, v1::CHANGE_REASON_ADDRESS_CHANGE, 2, kMaebashi, "2026-11-21"));
  auto cancellation =
      Notice(hanako_, v1::CHANGE_REASON_EX_OFFICIO_AMENDMENT, 3, kMaebashi, "2026-11-23");
  cancellation.set_cancels(2);
  EXPECT_EQ(Read(*CaughtUp("file"), hanako_, Day("2026-11-22")), "amend 2");
  Admit(cancellation);
  auto file = CaughtUp("file");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-11-22")), "entry 1");
  EXPECT_EQ(Read(*file, hanako_, Day("2026-11-23")), "amend 3");
  EXPECT_EQ(Numbers(*file, hanako_), "123");
  // What was known before the cancellation is still known as of then.
  const KeySlot subject = file->file().FindByResidentCode(hanako_.code, Position(4)).value();
  EXPECT_EQ(Said(file->file().Read(subject, Position(4), Day("2026-11-22"))), "amend 2");
}

TEST_F(RecordFileStories, AFormerCodeOrNumberFindsItsSubjectAndANewOneOnlyOnceItIsKnown) {
  Admit(Birth(hanako_, kMaebashi));
  const Person before = hanako_;
  Admit(CodeChange(hanako_, 50, 2, kMaebashi));
  Admit(NumberChange(hanako_, 60, 3, kMaebashi));
  auto projector = CaughtUp("file");
  const RecordFile& file = projector->file();
  const KeySlot subject = file.FindByResidentCode(before.code, Position(3)).value();
  for (const std::uint64_t at : {3, 4, 5}) {
    EXPECT_EQ(file.FindByResidentCode(before.code, Position(at)).value(), subject);
    EXPECT_EQ(file.FindByIndividualNumber(before.number, Position(at)).value(), subject);
    EXPECT_EQ(file.FindByResidentCode(hanako_.code, Position(at)).ok(), at >= 4);
    EXPECT_EQ(file.FindByIndividualNumber(hanako_.number, Position(at)).ok(), at >= 5);
  }
  const SubjectHandle handle = file.Read(subject, Position(5), std::nullopt).value().handle;
  EXPECT_EQ(file.FindByHandle(handle).value(), file.FindByResidentCode(hanako_.code, Position(5)).value());
  EXPECT_EQ(file.FindByHandle(SubjectHandle{}).status().code(), Code::kNotFound);
  EXPECT_EQ(file.FindByResidentCode(before.code, Position(2)).status().code(), Code::kNotFound);
}

TEST_F(RecordFileStories, ARepeatedNoticeIsNoSecondVersion) {
  Admit(Birth(hanako_, kMaebashi));
  const Digest before = CaughtUp("file")->file().ContentDigest().value();
  Admit(Birth(hanako_, kMaebashi));
  auto file = CaughtUp("file");
  EXPECT_EQ(Numbers(*file, hanako_), "1");
  EXPECT_EQ(file->file().Counts().value(), (RecordCounts{1, 0, 1, 0}));
  EXPECT_EQ(file->file().ContentDigest().value(), before);
  EXPECT_EQ(file->position(), Position(5));
}

TEST_F(RecordFileStories, ADayKnowsWhatWasAdmittedByItsEndInJapan) {
  auto empty = Open("file");
  EXPECT_EQ(empty->file().AtEndOf(Day("2026-12-01")).status().code(), Code::kNotFound);
  empty.reset();
  Admit(Birth(hanako_, kMaebashi));            // 24 November, in the morning
  p_.clock().Advance(std::chrono::hours(13));  // still the 24th in Japan
  Admit(AddressChange(hanako_, 2, kMaebashi));
  p_.clock().Advance(std::chrono::hours(1));  // the 25th in Japan, the 24th in Greenwich
  Admit(AddressChange(hanako_, 3, kMaebashi));
  auto projector = CaughtUp("file");
  EXPECT_EQ(projector->file().AtEndOf(Day("2026-11-23")).status().code(), Code::kNotFound);
  EXPECT_EQ(projector->file().AtEndOf(Day("2026-11-24")).value(), Position(4));
  EXPECT_EQ(projector->file().AtEndOf(Day("2026-11-25")).value(), Position(5));
  EXPECT_EQ(projector->file().AtEndOf(Day("2027-11-25")).value(), Position(5));
}

// --- a random history against plain maps ---------------------------------------------------------

class RandomHistory : public ProjectorTest {
 protected:
  struct Told {
    Position position;
    TimeMicros admitted_at;
    v1::Effect effect;
    int person;
    std::string issuer;
    v1::UpdateNotice notice;
  };

  RandomHistory() { p_.Found(); }

  // Admits random notices in submissions of one to five.
  void Tell(int notices) {
    while (notices > 0) {
      const auto size = 1 + draw_.Below(5);
      std::string issuer;
      std::vector<v1::UpdateNotice> submission;
      std::vector<Told> told;
      while (submission.size() < size) {
        const auto drawn = draw_.Draw();
        const Verdict verdict = model_.Judge(drawn.notice, drawn.issuer);
        if (!verdict.error.empty()) continue;
        if (!issuer.empty() && drawn.issuer != issuer) break;
        issuer = drawn.issuer;
        const int person = model_.Apply(verdict, drawn.notice, issuer);
        submission.push_back(drawn.notice);
        told.push_back({{}, {}, verdict.effect, person, issuer, drawn.notice});
      }
      p_.clock().Advance(std::chrono::minutes(draw_.Below(600)));
      const v1::Receipt receipt = p_.Notify(issuer, submission);
      ASSERT_EQ(receipt.outcome(), v1::OUTCOME_ADMITTED) << ErrorsOf(receipt);
      for (std::size_t i = 0; i < told.size(); ++i) {
        told[i].position = Position(receipt.first_position() + i);
        told[i].admitted_at = p_.clock().Now();
        told_.push_back(told[i]);
      }
      notices -= static_cast<int>(size);
    }
  }

  // What RecordFile::Read promises, told again.
  std::string ReadOracle(int person, Position at, std::optional<Date> on) const {
    std::set<std::uint32_t> cancelled;
    for (const Told& told : told_) {
      if (told.person == person && told.position <= at) cancelled.insert(told.notice.cancels());
    }
    std::string out = "not found";
    std::uint32_t newest = 0;
    for (const Told& told : told_) {
      if (told.person != person || told.position > at) continue;
      if (told.effect == v1::EFFECT_REPEATED || told.notice.update_number() < newest) continue;
      if (on && (cancelled.contains(told.notice.update_number()) ||
                 told.notice.changed_on() > FormatDate(*on))) {
        continue;
      }
      newest = told.notice.update_number();
      out = std::to_string(told.position.value()) + " " + told.notice.SerializeAsString();
    }
    return out;
  }
  std::string HistoryOracle(int person, Position at) const {
    std::map<std::uint32_t, std::uint64_t> by_number;
    for (const Told& told : told_) {
      if (told.person != person || told.position > at || told.effect == v1::EFFECT_REPEATED)
        continue;
      by_number[told.notice.update_number()] = told.position.value();
    }
    std::string out;
    for (const auto& [number, position] : by_number) {
      out += std::to_string(number) + "@" + std::to_string(position) + " ";
    }
    return out;
  }
  static std::string ReadFile(const RecordFile& file, KeySlot subject, Position at,
                              std::optional<Date> on) {
    const auto version = file.Read(subject, at, on);
    if (!version.ok()) return std::string(CodeName(version.status().code()));
    return std::to_string(version->position.value()) + " " + version->notice.SerializeAsString();
  }
  static std::string History(const RecordFile& file, KeySlot subject, Position at) {
    std::string out;
    const auto versions = file.History(subject, at);
    if (!versions.ok()) return std::string(CodeName(versions.status().code()));
    for (const Version& version : *versions) {
      out += std::to_string(version.notice.update_number()) + "@" +
             std::to_string(version.position.value()) + " ";
    }
    return out;
  }
  RecordCounts CountsOracle() const {
    RecordCounts out;
    for (const auto& resident : model_.residents()) {
      ++(resident.removed ? out.removed : out.residents);
      out.versions += resident.said.size();
      out.awaiting_removal += resident.awaited.size();
    }
    return out;
  }
  Digest DigestOracle() const {
    LtHash out;
    for (const Told& told : told_) {
      if (told.effect == v1::EFFECT_REPEATED) continue;
      out.Add({"daicho/record-version/1\n", told.issuer, "\n", told.notice.SerializeAsString()});
    }
    return out.Fingerprint();
  }

  const std::uint64_t seed_ = Seed();
  ResidentModel model_;
  RandomNotices draw_{model_, seed_, 15};
  std::vector<Told> told_;
};

TEST_F(RandomHistory, IsAnsweredAsOfEveryPositionAsPlainMapsAnswerIt) {
  Tell(250);
  auto projector = CaughtUp("file");
  const RecordFile& file = projector->file();
  std::map<std::string, int> codes, numbers;  // whose they are or were, as of the position
  std::map<int, KeySlot> subjects;
  for (const Told& now : told_) {
    const Position at = now.position;
    codes.emplace(now.notice.resident_code(), now.person);
    if (!now.notice.record().individual_number().empty() && now.effect != v1::EFFECT_REMOVED_LATE) {
      numbers.emplace(now.notice.record().individual_number(), now.person);
    }
    for (const auto& [code, person] : codes) {
      const auto found = file.FindByResidentCode(code, at);
      ASSERT_TRUE(found.ok()) << "code " << code << " at " << at.value();
      ASSERT_EQ(*found, subjects.emplace(person, *found).first->second);
    }
    for (const auto& [number, person] : numbers) {
      const auto found = file.FindByIndividualNumber(number, at);
      ASSERT_TRUE(found.ok()) << "number " << number << " at " << at.value();
      ASSERT_EQ(*found, subjects.at(person));
    }
    for (int name = 0; name < 45; ++name) {  // all that RandomNotices may draw
      ASSERT_EQ(file.FindByResidentCode(CodeOf(name), at).ok(), codes.contains(CodeOf(name)));
      ASSERT_EQ(file.FindByIndividualNumber(NumberOf(name), at).ok(),
                numbers.contains(NumberOf(name)));
    }
    for (const auto& [person, subject] : subjects) {
      SCOPED_TRACE("person " + std::to_string(person) + " at " + std::to_string(at.value()));
      ASSERT_EQ(History(file, subject, at), HistoryOracle(person, at));
      ASSERT_EQ(ReadFile(file, subject, at, {}), ReadOracle(person, at, {}));
      for (const char* on :
           {"2026-10-10", "2026-11-07", "2026-11-20", "2026-12-08", "2027-01-01"}) {
        ASSERT_EQ(ReadFile(file, subject, at, Day(on)), ReadOracle(person, at, Day(on))) << on;
      }
    }
  }
  EXPECT_GT(subjects.size(), 8);
}

TEST_F(RandomHistory, EveryDayEndsAtItsLastPosition) {
  Tell(100);
  auto projector = CaughtUp("file");
  for (Date day = Day("2026-11-23"); day < Day("2027-01-10");
       day = DateOfDayNumber(DayNumber(day) + 1)) {
    std::optional<Position> last;
    for (const auto& entry : p_.Entries()) {
      if (JapanDate(TimeMicros(entry.leaf.admitted_at())) <= day) last = entry.position;
    }
    const auto at = projector->file().AtEndOf(day);
    ASSERT_EQ(at.ok(), last.has_value());
    if (last) {
      ASSERT_EQ(*at, *last) << FormatDate(day);
    }
  }
}

// Against rows gathered from what was told: the fingerprint, the items in order, and the rows themselves.
class RandomCopies : public RandomHistory {
 protected:
  std::map<std::uint64_t, v1::HeldCopy> RowsOracle(Position at) const {
    std::map<int, const Told*> standing;
    for (const Told& told : told_) {
      if (told.position > at || told.effect == v1::EFFECT_REPEATED) continue;
      const Told*& one = standing[told.person];
      if (one == nullptr || one->notice.update_number() < told.notice.update_number()) one = &told;
    }
    std::map<std::uint64_t, v1::HeldCopy> out;
    for (const auto& [person, told] : standing) {
      out[CodeNumber(told->notice.resident_code()).value()] = HeldRow(told->notice);
    }
    return out;
  }
  void ExpectCopy(const Projector& projector, std::uint32_t epoch, Position at) const {
    auto copy = projector.CopyAt(at);
    ASSERT_TRUE(copy.ok()) << copy.status().ToString();
    const auto rows = RowsOracle(at);
    CopyFingerprint expected(CopyKeyed(epoch));
    for (const auto& [code, row] : rows) expected.Add(expected.keying().Item(row));
    EXPECT_EQ(copy->fingerprint().Cut(at), expected.Cut(at)) << "at " << at.value();
    EXPECT_EQ(copy->fingerprint().Encode(), expected.Encode());
    auto next = rows.begin();
    ASSERT_TRUE(copy->Scan(0, kCopyCodeEnd, [&](const CopyItem& item) -> Status {
      if (next == rows.end()) return Corrupt("too many items");
      EXPECT_EQ(item, expected.keying().Item(next->second));
      const auto row = copy->Row(item.code);
      EXPECT_TRUE(row.ok() && row->has_value());
      if (row.ok() && *row) { EXPECT_EQ((*row)->SerializeAsString(), next->second.SerializeAsString()); }
      ++next;
      return {};
    }).ok()) << "at " << at.value();
    EXPECT_EQ(next, rows.end());
  }
  void ExpectCopies(const Projector& projector, std::uint32_t epoch) const {
    for (const Told& told : told_) ExpectCopy(projector, epoch, told.position);
  }
};

TEST_F(RandomCopies, StandAsOfEveryPositionLiveInBulkReopenedAndUnderAnotherKey) {
  Tell(300);
  auto live = Open("live");
  ASSERT_TRUE(live->CatchUp().ok());
  Tell(60);
  ASSERT_TRUE(live->CatchUp().ok());
  ExpectCopies(*live, 1);
  ExpectCopies(*FilledInBulk("bulk"), 1);
  live.reset();
  std::stop_source stopped;
  stopped.request_stop();
  ASSERT_TRUE(Open("live")->Run(stopped.get_token()).ok());  // leaves its fingerprint
  ExpectCopies(*CaughtUp("live"), 1);
  Tell(20);
  ExpectCopies(*CaughtUp("live"), 1);
  ProjectorOptions options = OptionsOf(p_, p_.log(), p_.Path("live"));
  options.copies = nullptr;
  Tell(20);
  ASSERT_TRUE(Projector::Open(options).value()->CatchUp().ok());
  ExpectCopies(*CaughtUp("live"), 1);
  options.copies = CopyKeyed(2);
  ExpectCopies(*Projector::Open(options).value(), 2);
}

TEST_F(RandomHistory, LiveBulkAndRebuiltHoldTheSameBytesAndTheSameAsTheModel) {
  auto live = Open("live");
  std::jthread following([&](std::stop_token stop) { EXPECT_TRUE(live->Run(stop).ok()); });
  Tell(200);
  const Position end(p_.Size());
  ASSERT_TRUE(live->WaitFor(end, std::chrono::seconds(30)));
  following.request_stop();
  following.join();
  auto bulk = FilledInBulk("bulk"), rebuilt = CaughtUp("rebuilt");
  for (Projector* projector : {live.get(), bulk.get(), rebuilt.get()}) {
    EXPECT_EQ(projector->position(), end);
    EXPECT_EQ(projector->file().Counts().value(), CountsOracle());
    EXPECT_EQ(projector->file().ContentDigest().value(), DigestOracle());
    EXPECT_EQ(projector->IssuerTree(kMaebashi), p_.TreeOf(kMaebashi));
  }
  EXPECT_EQ(Contents(*live), Contents(*rebuilt));
  EXPECT_EQ(Contents(*bulk), Contents(*rebuilt));
}

TEST_F(RandomHistory, ACrashFallsBackToAConsistentStateAndAppliesTheRestAgain) {
  Tell(50);
  auto projector = CaughtUp("file");
  ASSERT_TRUE(projector->store().Flush().ok());
  const Position flushed = projector->position();
  const auto contents = Contents(*projector);
  Tell(50);
  ASSERT_TRUE(projector->CatchUp().ok());
  fs::copy(p_.Path("file"), p_.Path("crashed"), fs::copy_options::recursive);
  auto crashed = Open("crashed");
  EXPECT_EQ(crashed->position(), flushed);
  EXPECT_EQ(Contents(*crashed), contents);
  ASSERT_TRUE(crashed->CatchUp().ok());
  EXPECT_EQ(Contents(*crashed), Contents(*projector));
  EXPECT_EQ(crashed->file().ContentDigest().value(), DigestOracle());
}

TEST_F(RandomHistory, AnInterruptedBulkLoadBeginsAnew) {
  Tell(50);
  {
    auto begun = Open("file");
    StoreBatch mark;
    mark.Put(RecordFile::kMeta, "building", "1");
    mark.Put(RecordFile::kVersions, "half a key", "left behind");
    ASSERT_TRUE(begun->store().Write(mark, false).ok());
    ASSERT_TRUE(begun->store().Flush().ok());
  }
  EXPECT_EQ(Contents(*FilledInBulk("file")), Contents(*CaughtUp("rebuilt")));
}

TEST_F(RandomHistory, ReopeningGoesOnWhereItStopped) {
  for (int i = 0; i < 4; ++i) {
    Tell(20);
    auto projector = CaughtUp("file");
    EXPECT_EQ(projector->position(), Position(p_.Size()));
    EXPECT_EQ(projector->file().ContentDigest().value(), DigestOracle());
  }
}

// --- a growing ledger ----------------------------------------------------------------------------

TEST(ProjectorGrowth, ASubmissionThatArrivesWhileItCatchesUpIsAppliedWhole) {
  ShortSightedLog* log = nullptr;
  Prefecture p([&](const std::string& dir) {
    auto out = std::make_unique<ShortSightedLog>(dir);
    log = out.get();
    return out;
  });
  p.Found();
  std::vector<v1::UpdateNotice> many;
  for (int i = 0; i < 7'000; ++i) many.push_back(Birth(Person(i), kMaebashi));
  p.Notify(kMaebashi, many);
  ProjectorOptions options;
  options.prefecture = Prefecture::kNumber;
  options.ledger = p.ledger_id();
  options.registrar_public_key = p.registrar_key().public_key();
  options.dir = p.Path("file");
  options.log = log;
  options.keys = &p.key_store();
  auto projector = Projector::Open(options).value();
  log->sees_until = 3;  // the many came after it had looked
  ASSERT_TRUE(projector->CatchUp().ok());
  EXPECT_GE(projector->position(), Position(3));
  log->sees_until = ~0ull;
  ASSERT_TRUE(projector->CatchUp().ok());
  for (const int person : {0, 4'000, 4'999, 6'999}) {
    EXPECT_TRUE(projector->file().FindByResidentCode(CodeOf(person), Position(8'000)).ok())
        << person;
  }
  EXPECT_EQ(projector->file().Counts()->versions, 7'000);
}

// --- damaged ledgers -----------------------------------------------------------------------------

class DamagedLedger : public ProjectorTest {
 protected:
  DamagedLedger() {
    p_.Found();
    Admit(Birth(hanako_, kMaebashi));
    Admit(AddressChange(hanako_, 2, kMaebashi));
    records_ = p_.Records();
  }
  // A log that holds these records as this prefecture's ledger.
  std::unique_ptr<Log> LedgerOf(const std::vector<std::string>& records) {
    auto log = OpenLocal(p_.Path("damaged" + std::to_string(++logs_)));
    EXPECT_TRUE(log->CreateTopic(Prefecture::LedgerTopic()).ok());
    for (const std::string& record : records) {
      EXPECT_TRUE(log->Append(Prefecture::LedgerTopic(), Record{"", record, {}}).ok());
    }
    return log;
  }
  // Stops there with that code, keeps what was applied before, and stops there again.
  void ExpectStopsAt(std::uint64_t position, Code code, const std::vector<std::string>& records) {
    const std::uint64_t sound = 3;
    auto log = LedgerOf(records);
    const std::string dir = p_.Path("projection" + std::to_string(logs_));
    {
      auto before = LedgerOf({records_.begin(), records_.begin() + sound});
      ASSERT_TRUE(Projector::Open(OptionsOf(p_, *before, dir)).value()->CatchUp().ok());
    }
    for (int attempt = 0; attempt < 2; ++attempt) {
      auto projector = Projector::Open(OptionsOf(p_, *log, dir)).value();
      const Status status = projector->CatchUp();
      EXPECT_EQ(status.code(), code) << status.ToString();
      EXPECT_EQ(status.message().find("position " + std::to_string(position) + ": "), 0u)
          << status.ToString();
      EXPECT_EQ(projector->position(), Position(sound));
    }
  }

  std::vector<std::string> records_;
  int logs_ = 0;
};

TEST_F(DamagedLedger, AGapStopsIt) {
  ExpectStopsAt(3, Code::kTampered, {records_[0], records_[1], records_[2], records_[4]});
}

TEST_F(DamagedLedger, ARecordTwiceStopsIt) {
  ExpectStopsAt(4, Code::kTampered,
                {records_[0], records_[1], records_[2], records_[3], records_[3]});
}

TEST_F(DamagedLedger, AForeignRecordStopsIt) {
  auto records = records_;
  records.insert(records.begin() + 4, "no entry at all");
  ExpectStopsAt(4, Code::kUnsupported, records);
}

TEST_F(DamagedLedger, AnotherLedgersEntryStopsIt) {
  Prefecture other;
  other.Found();
  other.Notify(kMaebashi, {Birth(hanako_, kMaebashi)});
  auto records = records_;
  records[3] = other.Records()[3];
  ExpectStopsAt(3, Code::kTampered, records);
}

TEST_F(DamagedLedger, AFlippedBitInSealedContentStopsIt) {
  auto records = records_;
  v1::Entry entry;
  ASSERT_TRUE(entry.ParseFromString(records[4]));
  entry.mutable_parts(0)->back() ^= 1;
  records[4] = entry.SerializeAsString();
  ExpectStopsAt(4, Code::kTampered, records);
}

TEST_F(DamagedLedger, AFileOfAnotherLedgerIsNotContinued) {
  Prefecture other;
  other.Found();
  CaughtUp("file").reset();
  EXPECT_EQ(Projector::Open(OptionsOf(other, other.log(), p_.Path("file"))).status().code(),
            Code::kTampered);
}

}  // namespace
}  // namespace daicho
