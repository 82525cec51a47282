// An erasure from its order to files that hold nothing of it. Method: a real sequencer, key store
// and projector on a real log; the order is given by two operators long after the notices. What
// follows the ledger live, what is built anew and what a sequencer without a state reads back must
// agree afterwards. Crashes are copies of the key store taken after every step of its change,
// opened on the same ledger.
//
// The Kafka row needs the broker that DAICHO_TEST_KAFKA=host:port names and fails without it.
#include "ledger/erasure.h"

#include <gtest/gtest.h>

#include <fstream>

#include "ledger/generation.h"
#include "ledger/kafka_log.h"
#include "projections/live_projector.h"
#include "tests/log_wrappers.h"
#include "tests/retaining.h"

namespace daicho {
namespace {

namespace fs = std::filesystem;

struct Row {
  std::string name;
  std::function<OpenLogFunction()> log;
};
void PrintTo(const Row& row, std::ostream* out) { *out << row.name; }

OpenLogFunction OnKafka() {
  const std::string prefix = "t" + ToHex(View(RandomArray<8>())) + ".";
  return [prefix](const std::string&) -> std::unique_ptr<Log> {
    KafkaLogOptions options;
    options.brokers = std::getenv("DAICHO_TEST_KAFKA");
    return std::make_unique<PrefixedLog>(KafkaLog::Open(options).value(), prefix);
  };
}

using Contents = std::map<std::pair<Family, std::string>, std::string>;

Contents ContentsOf(Store& store, std::size_t families) {
  Contents out;
  for (Family family = 0; family < families; ++family) {
    auto it = store.NewIterator(family);
    for (it.SeekToFirst(); it.Valid(); it.Next()) out[{family, std::string(it.key())}] = it.value();
    EXPECT_TRUE(it.status().ok());
  }
  return out;
}

class ErasureTest : public ::testing::TestWithParam<Row> {
 protected:
  void SetUp() override {
    if (GetParam().name == "Kafka" && std::getenv("DAICHO_TEST_KAFKA") == nullptr) {
      FAIL() << "DAICHO_TEST_KAFKA=host:port must name a broker for this test";
    }
    r_ = std::make_unique<Retaining>(GetParam().log());
  }
  Prefecture& P() { return r_->p; }
  void Admit(const std::vector<v1::UpdateNotice>& notices) {
    for (const auto& notice : notices) r_->Admit(notice);
  }
  std::string Refused(const v1::UpdateNotice& notice) {
    return ErrorsOf(P().Notify(notice.record().address().municipality(), {notice}));
  }
  std::string FileKind() { return Projector::Kind(r_->OptionsOf("file", P().log(), P().key_store())); }
  // Built anew, unless it goes by a name that was used before.
  std::unique_ptr<Projector> File() { return File("file" + std::to_string(builds_++)); }
  std::unique_ptr<Projector> File(const std::string& name) { return r_->CaughtUp(name); }

  // When all that is superseded today has expired.
  std::string FarAhead() {
    Date day = JapanDate(P().clock().Now());
    day.year = static_cast<std::int16_t>(day.year + 151);
    return FormatDate(day);
  }
  // Orders all that has expired by that day, by default far ahead; returns when the running sequencer has carried it out.
  Position Erase(const std::string& today = "") {
    const Position ordered = Order(today.empty() ? FarAhead() : today);
    AwaitCarriedOut(ordered);
    return ordered;
  }
  Position Order(const std::string& today) {
    const auto plan = r_->Plan(*File(), today);
    const v1::Receipt receipt = r_->Submit(r_->Order(plan));
    Retaining::ExpectAdmitted(receipt);
    return Position(receipt.last_position());
  }
  void AwaitCarriedOut(Position ordered) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (P().key_store().erased_through() <= ordered) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline);
      std::this_thread::yield();
    }
  }

  // "23": the update numbers that the file tells of who is found by that code or number, as known
  // at `at`.
  static std::string Told(const Projector& file, const std::string& by,
                          std::optional<Position> at = {}) {
    const Position then = at.value_or(Position(file.position().value() - 1));
    const auto subject = by.size() == 11 ? file.file().FindByResidentCode(by, then)
                                         : file.file().FindByIndividualNumber(by, then);
    if (!subject.ok()) return "nobody";
    const auto history = file.file().History(*subject, then);
    if (!history.ok()) return std::string(CodeName(history.status().code()));
    std::string out;
    for (const Version& version : *history) out += std::to_string(version.notice.update_number());
    return out;
  }
  KeySlot SlotOf(const std::string& code) {
    const auto file = File();
    return file->file().FindByResidentCode(code, Position(file->position().value() - 1)).value();
  }

  Contents State() {
    EXPECT_TRUE(P().Stop().ok());
    StoreOptions options;
    options.families = {"meta", "residents", "numbers", "notices", "submissions", "subjects"};
    options.write_ahead_log = false;
    const auto store =
        OpenGeneration(options, P().Path("state"), P().key_store(), "", nullptr, "sequencer state")
            .value();
    return ContentsOf(*store, options.families.size());
  }
  // Followed or filled in bulk, kept or read back: all tell the same.
  void ExpectOneTruth() {
    const auto followed = File("followed");
    ProjectorOptions options =
        r_->OptionsOf("bulk" + std::to_string(builds_++), P().log(), P().key_store());
    options.bulk_from = 1;
    const auto filled = Projector::Open(options).value();
    ASSERT_TRUE(filled->CatchUp().ok());
    const std::size_t families = RecordFile::Families().size();
    EXPECT_EQ(ContentsOf(followed->store(), families), ContentsOf(filled->store(), families));
    EXPECT_EQ(followed->file().ContentDigest().value(), filled->file().ContentDigest().value());
    const Contents kept = State();
    P().LoseState();
    EXPECT_EQ(State(), kept);
    P().Start();
  }

  std::unique_ptr<Retaining> r_;
  Person hanako_{1}, taro_{2};
  int builds_ = 0;
};

// --- what is left --------------------------------------------------------------------------------

TEST_P(ErasureTest, OldVersionsOfALivingPersonGoAndTheNewestStays) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi),
         AddressChange(hanako_, 3, kMaebashi), Birth(taro_, kMaebashi)});
  const KeySlot slot = SlotOf(hanako_.code);
  const Position before(P().Size() - 1);
  EXPECT_EQ(Told(*File(), hanako_.code), "123");
  const Position ordered = Erase();
  EXPECT_EQ(P().key_store().erased_through(), ordered.Next());
  EXPECT_EQ(P().key_store().epoch(), 2u);
  for (const std::uint32_t step : {0u, 1u}) {
    EXPECT_EQ(P().key_store().KeyAt(slot, step).status().code(), Code::kErased) << step;
  }
  const auto file = File();
  EXPECT_EQ(Told(*file, hanako_.code), "3");
  EXPECT_EQ(Told(*file, hanako_.number), "3");
  EXPECT_EQ(Told(*file, hanako_.code, before), "3");
  EXPECT_EQ(Told(*file, hanako_.code, Position(before.value() - 2)), "nobody")
      << "only what is gone was known then";
  EXPECT_EQ(Told(*file, taro_.code), "1");
  EXPECT_EQ(file->file().Counts().value(), (RecordCounts{2, 0, 2, 0}));
  ExpectOneTruth();
}

TEST_P(ErasureTest, AFormerCodeOrNumberFindsAsLongAsANoticeTellsIt) {
  const std::string code = hanako_.code, number = hanako_.number;
  Admit({Birth(hanako_, kMaebashi), CodeChange(hanako_, 11, 2, kMaebashi),
         NumberChange(hanako_, 12, 3, kMaebashi)});
  const std::string code_told = taro_.code, number_told = taro_.number;
  Admit({Birth(taro_, kMaebashi), AddressChange(taro_, 2, kMaebashi),
         CodeChange(taro_, 21, 3, kMaebashi)});
  Erase();
  const auto file = File();
  EXPECT_EQ(Told(*file, code), "nobody");
  EXPECT_EQ(Told(*file, number), "3") << "the living notice says which it was before";
  EXPECT_EQ(Told(*file, hanako_.code), "3");
  EXPECT_EQ(Told(*file, hanako_.number), "3");
  EXPECT_EQ(Told(*file, code_told), "3");
  EXPECT_EQ(Told(*file, taro_.code), "3");
  EXPECT_EQ(Told(*file, number_told), "3");
  Admit({AddressChange(taro_, 4, kMaebashi), AddressChange(hanako_, 4, kMaebashi)});
  Erase();
  EXPECT_EQ(Told(*File(), code_told), "nobody");
  EXPECT_EQ(Told(*File(), number), "nobody");
  EXPECT_EQ(Told(*File(), hanako_.code), "4");
  ExpectOneTruth();
}

TEST_P(ErasureTest, WhoIsGoneAltogetherMayBeEnteredAnewAsAnother) {
  Admit({Birth(hanako_, kMaebashi), MoveOut(hanako_, 2, kMaebashi), MoveOut(hanako_, 2, kMaebashi),
         Birth(taro_, kMaebashi)});
  const KeySlot before = SlotOf(hanako_.code);
  Erase();
  EXPECT_EQ(Told(*File(), hanako_.code), "nobody");
  EXPECT_EQ(Told(*File(), hanako_.number), "nobody");
  EXPECT_EQ(Refused(MoveIn(hanako_, 3, kTakasaki)), "0 update_number update_number 1");
  ExpectOneTruth();
  Admit({Birth(hanako_, kTakasaki), AddressChange(hanako_, 2, kTakasaki)});
  EXPECT_EQ(Told(*File(), hanako_.code), "12");
  EXPECT_NE(SlotOf(hanako_.code), before);
  ExpectOneTruth();
}

TEST_P(ErasureTest, ReadingsGoWhileThePersonStays) {
  Admit({Birth(hanako_, kMaebashi)});
  const auto file = File();
  const Position last(file->position().value() - 1);
  const SubjectHandle subject =
      file->file().Read(file->file().FindByResidentCode(hanako_.code, last).value(), last, std::nullopt).value().handle;
  r_->RecordReading(std::string(View(subject)));
  const auto reading = P().Entries().back();
  Erase("2040-01-01");
  EXPECT_EQ(P().Open(reading).status().code(), Code::kErased);
  EXPECT_EQ(Told(*File(), hanako_.code), "1");
  r_->RecordReading(std::string(View(subject)));
  EXPECT_TRUE(P().Open(P().Entries().back()).ok());
  ExpectOneTruth();
}

TEST_P(ErasureTest, FilesHoldNothingOfWhatIsGone) {
  auto marked = [](v1::UpdateNotice notice, const std::string& marker) {
    notice.mutable_record()->set_name(marker);
    notice.mutable_record()->mutable_address()->set_text(marker + "町");
    return notice;
  };
  Admit({marked(Birth(hanako_, kMaebashi), "消去 梅子"),
         marked(MoveOut(hanako_, 2, kMaebashi), "消去 梅子")});
  Admit({marked(Birth(taro_, kMaebashi), "消去 梅代"),
         marked(AddressChange(taro_, 2, kMaebashi), "存続 竹夫")});
  std::vector<std::string> secrets = {"消去 梅子", "消去 梅代", "消去 梅子町", hanako_.code,
                                      hanako_.number};
  for (const auto& [code, steps] : {std::pair(hanako_.code, 2u), std::pair(taro_.code, 1u)}) {
    for (std::uint32_t step = 0; step < steps; ++step) {
      secrets.emplace_back(View(P().key_store().KeyAt(SlotOf(code), step).value()));
    }
  }
  const std::vector<std::string> places = {"keys", "state", "file", "log"};
  const auto found = [&] {
    std::set<std::string> out;
    for (const std::string& place : places) {
      std::error_code none;
      for (const auto& entry : fs::recursive_directory_iterator(P().Path(place), none)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream in(entry.path(), std::ios::binary);
        const std::string bytes((std::istreambuf_iterator<char>(in)), {});
        for (std::size_t i = 0; i < secrets.size(); ++i) {
          if (bytes.find(secrets[i]) != std::string::npos)
            out.insert(place + " " + std::to_string(i));
        }
      }
    }
    return out;
  };
  EXPECT_TRUE(File("file")->store().Flush().ok());
  EXPECT_TRUE(P().Stop().ok());
  EXPECT_TRUE(found().contains("file 0"))
      << "this record file is in the clear: the search finds what there is";
  P().Start();
  Erase();
  ASSERT_TRUE(P().Stop().ok());
  EXPECT_TRUE(File("file")->store().Flush().ok());
  ASSERT_TRUE(DropOldGenerations(P().Path("file"), P().key_store(), FileKind(), nullptr).ok());
  EXPECT_EQ(found(), std::set<std::string>());
  EXPECT_EQ(Told(*File(), taro_.code), "2");
}

// --- admission goes on ---------------------------------------------------------------------------

TEST_P(ErasureTest, WhoseFirstNoticesAreGoneIsFollowedOnAsBefore) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi),
         AddressChange(hanako_, 3, kMaebashi)});
  Erase();
  EXPECT_EQ(Refused(AddressChange(hanako_, 2, kMaebashi)), "0 update_number update_number 4");
  EXPECT_EQ(Refused(Birth(hanako_, kMaebashi)), "0 kind already_resident");
  Admit({AddressChange(hanako_, 3, kMaebashi)});
  EXPECT_EQ(P().Entries().back().leaf.effect(), v1::EFFECT_REPEATED);
  Person stolen(9);
  stolen.number = hanako_.number;
  EXPECT_EQ(Refused(Birth(stolen, kMaebashi)), "0 record.individual_number in_use");
  const std::string former = hanako_.code;
  Admit({CodeChange(hanako_, 11, 4, kMaebashi), MoveIn(hanako_, 6, kTakasaki),
         MoveOut(hanako_, 5, kMaebashi), NumberChange(hanako_, 12, 7, kTakasaki),
         MoveOut(hanako_, 8, kTakasaki), MoveIn(hanako_, 9, kMaebashi)});
  EXPECT_EQ(Told(*File(), former), "3456789");
  ExpectOneTruth();
  Erase();
  EXPECT_EQ(Told(*File(), hanako_.code), "9");
  Admit({AddressChange(hanako_, 10, kMaebashi)});
  ExpectOneTruth();
}

TEST_P(ErasureTest, ALateRemovalIsTakenAlsoWhenTheNoticesBeforeTheMoveAreGone) {
  Admit({Birth(hanako_, kMaebashi), MoveIn(hanako_, 3, kTakasaki)});
  Erase();
  EXPECT_EQ(Refused(Notice(hanako_, v1::CHANGE_REASON_MOVE_OUT, 2, kTakasaki)),
            "0 update_number update_number 4");
  Admit({MoveOut(hanako_, 2, kMaebashi)});
  EXPECT_EQ(P().Entries().back().leaf.effect(), v1::EFFECT_REMOVED_LATE);
  EXPECT_EQ(File()->file().Counts().value(), (RecordCounts{1, 0, 2, 0}));
  ExpectOneTruth();
  Admit({MoveOut(hanako_, 2, kMaebashi), AddressChange(hanako_, 4, kTakasaki)});
  ExpectOneTruth();
}

TEST_P(ErasureTest, ALateRemovalThatStaysIsKnownAgain) {
  Admit({Birth(hanako_, kMaebashi), MoveIn(hanako_, 3, kTakasaki), MoveOut(hanako_, 2, kMaebashi)});
  Erase();
  Admit({MoveOut(hanako_, 2, kMaebashi)});
  EXPECT_EQ(P().Entries().back().leaf.effect(), v1::EFFECT_REPEATED);
  ExpectOneTruth();
}

// --- orders that are refused ---------------------------------------------------------------------

TEST_P(ErasureTest, AnOrderThatBreaksARuleIsRefusedAndErasesNothing) {
  Retaining::ExpectAdmitted(P().Submit(Prefecture::Registrar(), {r_->Operator("sato-2", "sato")}));
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  const v1::ErasurePlan plan = r_->Plan(*File(), FarAhead());
  const std::uint64_t size = P().Size();
  const auto refused = [&](const v1::Erasure& order) {
    const v1::Receipt receipt = r_->Submit(order);
    EXPECT_EQ(receipt.outcome(), v1::OUTCOME_REJECTED);
    return receipt.violations_size() > 0 ? receipt.violations(0).message() : "";
  };
  const auto with = [&](const std::function<void(v1::ErasurePlan&)>& change) {
    v1::ErasurePlan changed = plan;
    change(changed);
    return refused(r_->Order(changed));
  };
  EXPECT_EQ(refused(r_->Order(plan, {})), "consents: of two operators, two persons");
  EXPECT_EQ(refused(r_->Order(plan, {"sato", "sato"})), "consents: of two operators, two persons");
  EXPECT_EQ(refused(r_->Order(plan, {"sato", "sato-2"})),
            "consents: of two operators, two persons");
  EXPECT_EQ(with([](auto& p) { p.set_policy_position(1); }),
            "plan.policy_position: not the rules in force");
  EXPECT_EQ(with([](auto& p) { p.set_ledger(std::string(16, 'x')); }),
            "plan.ledger: of another ledger");
  EXPECT_EQ(with([](auto& p) { p.mutable_keys(0)->set_rule("other"); }),
            "plan.keys.rule: no rule by which anything ends");
  EXPECT_EQ(with([](auto& p) { p.mutable_keys(0)->set_slot(1'000'000); }),
            "鍵保管庫にない鍵の消去です");
  EXPECT_EQ(with([](auto& p) { p.mutable_keys(0)->set_last_step(~0u); }),
            "鍵保管庫にない鍵の消去です");
  v1::Erasure standing;
  standing.set_plan(plan.SerializeAsString());
  standing.set_standing_order("none");
  EXPECT_EQ(refused(standing), "standing_order: not the one in force");
  EXPECT_EQ(P().Size(), size);
  EXPECT_EQ(P().key_store().epoch(), 1u);
  EXPECT_EQ(Told(*File(), hanako_.code), "12");
}

TEST_P(ErasureTest, UnderAStandingOrderNobodyNeedConsent) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  v1::PolicyRules rules = Retaining::Rules();
  rules.set_version(2);
  rules.set_standing_erasure(true);
  rules.set_standing_order("決裁 7号");
  r_->SetPolicy(rules);
  v1::Erasure order;
  order.set_plan(r_->Plan(*File(), FarAhead()).SerializeAsString());
  order.set_standing_order("決裁 7号");
  const v1::Receipt receipt = r_->Submit(order);
  Retaining::ExpectAdmitted(receipt);
  AwaitCarriedOut(Position(receipt.last_position()));
  EXPECT_EQ(Told(*File(), hanako_.code), "2");
}

// --- crashes and old copies ----------------------------------------------------------------------

TEST_P(ErasureTest, ACrashAtAnyStepIsCarriedOnBeforeAnythingIsRead) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi), Birth(taro_, kMaebashi)});
  const KeySlot slot = SlotOf(hanako_.code);
  int crashes = 0;
  const auto crash = [&] {
    const std::string at = P().Path("crash" + std::to_string(crashes++));
    fs::create_directories(at);
    fs::copy(P().Path("keys"), at + "/keys", fs::copy_options::recursive);
    fs::copy(P().Path("state"), at + "/state", fs::copy_options::recursive);
  };
  const auto plan = r_->Plan(*File(), FarAhead());
  crash();  // the order will stand, and nothing be done
  P().key_store().OnStep(crash);
  const v1::Receipt receipt = r_->Submit(r_->Order(plan));
  Retaining::ExpectAdmitted(receipt);
  AwaitCarriedOut(Position(receipt.last_position()));
  ASSERT_TRUE(P().Stop().ok());
  P().key_store().OnStep([] {});
  crash();  // all is done but the state
  ASSERT_GE(crashes, 6);
  const auto truth = File();
  for (int i = 0; i < crashes; ++i) {
    SCOPED_TRACE("crash " + std::to_string(i));
    const std::string at = P().Path("crash" + std::to_string(i));
    auto keys = KeyStore::Open(at + "/keys", KeyStore::Mode::kWrite);
    ASSERT_TRUE(keys.ok()) << keys.status().ToString();
    SequencerOptions options = P().SequencerWith(**keys);
    options.state_dir = at + "/state";
    const auto sequencer = Sequencer::Open(options);
    ASSERT_TRUE(sequencer.ok()) << sequencer.status().ToString();
    EXPECT_EQ((*keys)->erased_through(), Position(receipt.last_position() + 1));
    EXPECT_EQ((*keys)->KeyAt(slot, 0).status().code(), Code::kErased);
    EXPECT_TRUE((*keys)->VerifyAll().ok());
    const auto file =
        Projector::Open(r_->OptionsOf("crash" + std::to_string(i) + "/file", P().log(), **keys))
            .value();
    ASSERT_TRUE(file->CatchUp().ok());
    EXPECT_EQ(file->file().ContentDigest().value(), truth->file().ContentDigest().value());
    EXPECT_EQ(file->file().Counts().value(), truth->file().Counts().value());
  }
}

TEST_P(ErasureTest, AfterACrashBehindTheOrderARestartCarriesItOut) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  const auto order = r_->Order(r_->Plan(*File(), FarAhead()));
  const v1::Receipt receipt = r_->Submit(order);
  Retaining::ExpectAdmitted(receipt);
  P().Restart();
  EXPECT_GT(P().key_store().erased_through(), Position(receipt.last_position()));
  EXPECT_EQ(Told(*File(), hanako_.code), "2");
  Admit({AddressChange(hanako_, 3, kMaebashi)});
  ExpectOneTruth();
}

TEST_P(ErasureTest, AKeyThatIsGoneWithoutAnOrderStopsTheProjector) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  const std::vector<KeyStore::Advance> advances = {{SlotOf(hanako_.code), 1}};
  ASSERT_TRUE(P().key_store().Erase(advances, Position(0)).ok());
  auto file = Projector::Open(r_->OptionsOf("anew", P().log(), P().key_store())).value();
  EXPECT_EQ(file->CatchUp().code(), Code::kTampered);
}

TEST_P(ErasureTest, AnOlderCopyOfTheKeysIsBroughtUpToTheLedgerBeforeItIsUsed) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi), Birth(taro_, kMaebashi)});
  const KeySlot slot = SlotOf(hanako_.code);
  const Key256 backup_key = RandomArray<32>();
  ASSERT_TRUE(P().key_store().Backup(P().Path("copy"), backup_key).ok());
  Erase();
  Admit({AddressChange(hanako_, 3, kMaebashi)});
  const Position last = Erase();
  const Digest digest = File()->file().ContentDigest().value();
  ASSERT_TRUE(P().Stop().ok());

  ASSERT_TRUE(KeyStore::Restore(P().Path("copy"), backup_key, P().Path("restored")).ok());
  const auto keys = KeyStore::Open(P().Path("restored"), KeyStore::Mode::kWrite).value();
  EXPECT_TRUE(keys->KeyAt(slot, 0).ok()) << "the copy had it";
  // A record file from before the erasures is left of the restored home.
  {
    ASSERT_TRUE(Projector::Open(r_->OptionsOf("old", P().log(), *keys)).value()->CatchUp().ok());
  }
  SequencerOptions options = P().SequencerWith(*keys);
  options.state_dir = P().Path("restored-state");
  ASSERT_TRUE(Sequencer::Open(options).ok());
  EXPECT_EQ(keys->erased_through(), last.Next());
  for (const std::uint32_t step : {0u, 1u})
    EXPECT_EQ(keys->KeyAt(slot, step).status().code(), Code::kErased);

  std::vector<Status> failures;
  const auto live =
      LiveProjector::Start(r_->OptionsOf("old", P().log(), *keys), [&](const Status& status) {
        failures.push_back(status);
      }).value();
  ASSERT_TRUE(live->get()->WaitFor(Position(P().Size()), std::chrono::seconds(30)));
  EXPECT_EQ(live->get()->file().ContentDigest().value(), digest);
  EXPECT_EQ(Told(*live->get(), hanako_.code), "3");
  std::set<std::string> generations;
  for (const auto& entry : fs::directory_iterator(P().Path("old")))
    generations.insert(entry.path().filename());
  EXPECT_EQ(generations, std::set<std::string>{std::to_string(last.value() + 1) + "-" + FileKind()});
  EXPECT_TRUE(failures.empty());
}

TEST_P(ErasureTest, ACopyOfTheKeysFromBeforeARowWasUsedIsRefused) {
  Admit({Birth(hanako_, kMaebashi)});
  const Key256 backup_key = RandomArray<32>();
  ASSERT_TRUE(P().key_store().Backup(P().Path("copy"), backup_key).ok());
  r_->RecordReading(std::string(View(RandomArray<16>())));
  ASSERT_TRUE(P().Stop().ok());
  ASSERT_TRUE(KeyStore::Restore(P().Path("copy"), backup_key, P().Path("restored")).ok());
  const auto keys = KeyStore::Open(P().Path("restored"), KeyStore::Mode::kWrite).value();
  SequencerOptions options = P().SequencerWith(*keys);
  options.state_dir = P().Path("restored-state");
  EXPECT_EQ(Sequencer::Open(options).status().code(), Code::kNotFound)
      << "its next row would be used twice";
}

TEST_P(ErasureTest, ARenewedRecordFileReplacesTheOneThatServesAndTheOldOneIsDestroyed) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  std::vector<Status> failures;
  const auto live = LiveProjector::Start(r_->OptionsOf("live", P().log(), P().key_store()),
                                         [&](const Status& status) { failures.push_back(status); })
                        .value();
  ASSERT_TRUE(live->get()->WaitFor(Position(P().Size()), std::chrono::seconds(30)));
  const Position ordered = Erase();
  ASSERT_TRUE(live->Renew().ok());
  EXPECT_EQ(Told(*live->get(), hanako_.code), "2");
  std::set<std::string> generations;
  for (const auto& entry : fs::directory_iterator(P().Path("live")))
    generations.insert(entry.path().filename());
  EXPECT_EQ(generations, std::set<std::string>{std::to_string(ordered.value() + 1) + "-" + FileKind()});
  Admit({AddressChange(hanako_, 3, kMaebashi)});
  ASSERT_TRUE(live->get()->WaitFor(Position(P().Size()), std::chrono::seconds(30)));
  EXPECT_EQ(Told(*live->get(), hanako_.code), "23");
  EXPECT_TRUE(failures.empty());
}

TEST_P(ErasureTest, AReaderOfTheKeyStoreInAnotherProcessProjectsTheSame) {
  Admit({Birth(hanako_, kMaebashi), AddressChange(hanako_, 2, kMaebashi)});
  const auto reader = KeyStore::Open(P().Path("keys"), KeyStore::Mode::kRead).value();
  Erase();
  ASSERT_TRUE(reader->Refresh().ok());
  EXPECT_EQ(reader->erased_through(), P().key_store().erased_through());
  const auto file = Projector::Open(r_->OptionsOf("reader", P().log(), *reader)).value();
  ASSERT_TRUE(file->CatchUp().ok());
  EXPECT_EQ(file->file().ContentDigest().value(), File()->file().ContentDigest().value());
}

INSTANTIATE_TEST_SUITE_P(Logs, ErasureTest,
                         ::testing::Values(Row{"Local", [] { return OpenLogFunction(OpenLocal); }},
                                           Row{"Kafka", OnKafka}),
                         [](const auto& row) { return row.param.name; });

}  // namespace
}  // namespace daicho
