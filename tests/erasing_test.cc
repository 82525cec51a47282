// Erasing by itself: what it plans, orders and declares, and where it goes on after a crash. Method: a real prefecture
// with its sequencer and record file; what the node does for it (intake keys, backups) is said by the test.
#include "consumers/erasing.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/retaining.h"

namespace daicho {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

class ErasingTest : public ::testing::Test {
 protected:
  ErasingTest() {
    live_ = LiveProjector::Start(r_.OptionsOf("live", P().log(), P().key_store()),
                                 [](const Status& status) { ADD_FAILURE() << status.ToString(); })
                .value();
  }
  Prefecture& P() { return r_.p; }

  ErasingOptions Options() {
    ErasingOptions o;
    o.ledger = P().ledger_id();
    o.projector = live_.get();
    o.keys = &P().key_store();
    o.clock = &P().clock();
    o.submit = [this](const std::vector<DraftEvent>& events) -> Result<Position> {
      const v1::Receipt receipt = P().Submit(Retaining::Retention(), events);
      if (receipt.outcome() != v1::OUTCOME_ADMITTED) return Invalid(ErrorsOf(receipt));
      return Position(receipt.last_position());
    };
    o.rotate_intake = [this]() -> Status {
      P().RotateIntake();
      return {};
    };
    o.old_intake_destroyed = []() -> Result<bool> { return true; };
    o.backups = [](Position) { return Result<std::vector<v1::ErasedPlace>>(std::vector<v1::ErasedPlace>()); };
    return o;
  }

  // Residents 1 to n, each with a notice that has been superseded.
  void Enter(int n) {
    for (int i = 1; i <= n; ++i) {
      r_.Admit(Birth(Person(i), kMaebashi));
      r_.Admit(AddressChange(Person(i), 2, kMaebashi));
    }
    Show();
  }
  // The record file has all of the ledger.
  void Show() { ASSERT_TRUE(live_->get()->WaitFor(Position(P().Size()), seconds(30))); }
  Date Today() { return JapanDate(P().clock().Now()); }
  // The day when the notices superseded so far have expired.
  void PassYears(int years) { P().clock().Advance(hours(24 * 366 * years)); }

  std::vector<v1::Erasure> ConsentedOrders(const std::vector<std::string>& plans) {
    std::vector<v1::Erasure> out;
    for (const std::string& bytes : plans) out.push_back(r_.Order(Parsed<v1::ErasurePlan>(bytes)));
    return out;
  }
  template <typename Message>
  static Message Parsed(const std::string& bytes) {
    Message out;
    EXPECT_TRUE(out.ParseFromString(bytes));
    return out;
  }
  // The ledger's events of that kind.
  template <typename Message>
  std::vector<Message> Events(v1::EventKind kind) {
    std::vector<Message> out;
    for (const auto& entry : P().Entries()) {
      if (entry.header.kind() == kind) out.push_back(Parsed<Message>(P().Open(entry).value()));
    }
    return out;
  }
  std::vector<v1::ErasureCompleted> Completed() {
    return Events<v1::ErasureCompleted>(v1::EVENT_KIND_ERASURE_COMPLETED);
  }
  static const v1::ErasedPlace* Find(const v1::ErasureCompleted& done, const std::string& place) {
    for (const v1::ErasedPlace& found : done.places()) {
      if (found.place() == place) return &found;
    }
    return nullptr;
  }
  // "12": the update numbers that the record file tells of resident n.
  std::string Told(int n) {
    Show();
    const auto file = live_->get();
    const Position last(file->position().value() - 1);
    const auto subject = file->file().FindByResidentCode(Person(n).code, last);
    EXPECT_TRUE(subject.ok()) << subject.status().ToString();
    const auto history = file->file().History(*subject, last).value();
    std::string out;
    for (const Version& version : history) {
      out += std::to_string(version.notice.update_number());
    }
    return out;
  }

  Retaining r_;
  std::unique_ptr<LiveProjector> live_;
};

TEST_F(ErasingTest, BeforeAnythingHasExpiredThereIsNoPlan) {
  Enter(1);
  PassYears(149);
  EXPECT_TRUE(Erasing(Options()).Plan(Today()).value().empty());
}

TEST_F(ErasingTest, WhatExceedsOneOrderIsPlannedInChunksOfOneRunAndGoesTogether) {
  Enter(5);
  PassYears(151);
  ErasingOptions options = Options();
  options.keys_per_order = 2;
  Erasing erasing(options);
  const auto plans = erasing.Plan(Today()).value();
  ASSERT_EQ(plans.size(), 3u);
  std::set<std::string> runs;
  std::vector<int> keys;
  for (std::uint32_t i = 0; i < plans.size(); ++i) {
    const auto plan = Parsed<v1::ErasurePlan>(plans[i]);
    EXPECT_EQ(plan.chunk(), i);
    EXPECT_EQ(plan.chunk_count(), 3u);
    runs.insert(plan.run());
    keys.push_back(plan.keys_size());
  }
  EXPECT_EQ(runs.size(), 1u);
  EXPECT_EQ(keys, (std::vector<int>{2, 2, 1}));

  const auto json = nlohmann::json::parse(erasing.Run(ConsentedOrders(plans)).value());
  EXPECT_EQ(json["run"], ToHex(*runs.begin()));
  for (int n = 1; n <= 5; ++n) EXPECT_EQ(Told(n), "2");
  EXPECT_EQ(Events<v1::Erasure>(v1::EVENT_KIND_ERASURE).size(), 3u);
  ASSERT_EQ(Completed().size(), 1u);
  EXPECT_EQ(Completed()[0].erased_through(), json["ordered_at"].get<std::uint64_t>());
  EXPECT_TRUE(P().RegistryNow().open_runs().empty());
}

TEST_F(ErasingTest, OneChunkThatTheLedgerRefusesLeavesAllUndone) {
  Enter(3);
  PassYears(151);
  ErasingOptions options = Options();
  options.keys_per_order = 1;
  Erasing erasing(options);
  auto orders = ConsentedOrders(erasing.Plan(Today()).value());
  ASSERT_EQ(orders.size(), 3u);
  orders[2].mutable_consents()->RemoveLast();
  EXPECT_EQ(erasing.Run(orders).status().code(), Code::kInvalid);
  EXPECT_TRUE(Events<v1::Erasure>(v1::EVENT_KIND_ERASURE).empty());
  EXPECT_EQ(P().key_store().erased_through(), Position(0));
  EXPECT_EQ(Told(1), "12");
}

TEST_F(ErasingTest, InboxesThatCanBeReadYetAreDeclaredAsAwaitingWithoutADay) {
  Enter(1);
  PassYears(151);
  ErasingOptions options = Options();
  options.inboxes_wait = milliseconds(0);
  options.old_intake_destroyed = []() -> Result<bool> { return false; };
  Erasing erasing(options);
  ASSERT_TRUE(erasing.Run(ConsentedOrders(erasing.Plan(Today()).value())).ok());
  const v1::ErasureCompleted done = Completed().at(0);
  ASSERT_NE(Find(done, "inboxes"), nullptr);
  EXPECT_EQ(Find(done, "inboxes")->means(), v1::ERASURE_MEANS_AWAITS);
  EXPECT_EQ(Find(done, "inboxes")->until(), "");
  EXPECT_EQ(Find(done, "ledger")->means(), v1::ERASURE_MEANS_KEYS_DESTROYED);
}

TEST_F(ErasingTest, AnEarlierRotationThatNeverEndsLeavesTheInboxesAwaiting) {
  Enter(1);
  PassYears(151);
  ErasingOptions options = Options();
  options.inboxes_wait = milliseconds(50);
  int asked = 0;
  options.rotate_intake = [&]() -> Status {
    ++asked;
    return Conflict("still waited for");
  };
  options.old_intake_destroyed = []() -> Result<bool> { return true; };
  Erasing erasing(options);
  ASSERT_TRUE(erasing.Run(ConsentedOrders(erasing.Plan(Today()).value())).ok());
  EXPECT_GT(asked, 1);
  EXPECT_EQ(Find(Completed().at(0), "inboxes")->means(), v1::ERASURE_MEANS_AWAITS);
}

TEST_F(ErasingTest, BackupsOfBeforeAreDeclaredWithTheDayUntilWhichTheyAreKept) {
  Enter(1);
  PassYears(151);
  ErasingOptions options = Options();
  Position asked;
  options.backups = [&](Position erased_through) -> Result<std::vector<v1::ErasedPlace>> {
    asked = erased_through;
    v1::ErasedPlace place;
    place.set_place("backup 0a");
    place.set_means(v1::ERASURE_MEANS_AWAITS);
    place.set_until("2178-01-31");
    return std::vector<v1::ErasedPlace>{place};
  };
  Erasing erasing(options);
  ASSERT_TRUE(erasing.Run(ConsentedOrders(erasing.Plan(Today()).value())).ok());
  const v1::ErasureCompleted done = Completed().at(0);
  EXPECT_EQ(asked, Position(done.erased_through()).Next());
  ASSERT_NE(Find(done, "backup 0a"), nullptr);
  EXPECT_EQ(Find(done, "backup 0a")->until(), "2178-01-31");
}

TEST_F(ErasingTest, WhatACrashLeftBeforeItsCompletionIsCarriedOnOnce) {
  Enter(2);
  PassYears(151);
  {
    ErasingOptions options = Options();
    const auto submit = options.submit;
    options.submit = [&](const std::vector<DraftEvent>& events) -> Result<Position> {
      if (events.front().kind == v1::EVENT_KIND_ERASURE_COMPLETED) return Unavailable("the process is gone");
      return submit(events);
    };
    Erasing erasing(options);
    EXPECT_EQ(erasing.Run(ConsentedOrders(erasing.Plan(Today()).value())).status().code(), Code::kUnavailable);
  }
  EXPECT_TRUE(Completed().empty());
  ASSERT_EQ(P().RegistryNow().open_runs().size(), 1u);
  const std::string run = P().RegistryNow().open_runs().begin()->first;

  live_.reset();
  P().Restart();
  live_ = LiveProjector::Start(r_.OptionsOf("live", P().log(), P().key_store()),
                               [](const Status& status) { ADD_FAILURE() << status.ToString(); })
              .value();
  Show();
  Erasing again(Options());
  ASSERT_TRUE(again.CarryOn().ok());
  ASSERT_EQ(Completed().size(), 1u);
  EXPECT_EQ(Completed()[0].run(), run);
  EXPECT_EQ(Told(1), "2");
  Show();
  ASSERT_TRUE(again.CarryOn().ok());
  EXPECT_EQ(Completed().size(), 1u);
}

TEST_F(ErasingTest, AStandingOrderRunsWhenTheClockHasComeSoFarAndOncePerNotice) {
  v1::PolicyRules rules = Retaining::Rules();
  rules.set_version(2);
  rules.set_standing_erasure(true);
  rules.set_standing_order("決裁 7号");
  r_.SetPolicy(rules);
  Enter(1);
  Erasing erasing(Options());
  EXPECT_FALSE(erasing.RunStanding(Today()).value());
  PassYears(151);
  EXPECT_TRUE(erasing.RunStanding(Today()).value());
  EXPECT_EQ(Told(1), "2");
  const auto orders = Events<v1::Erasure>(v1::EVENT_KIND_ERASURE);
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].standing_order(), "決裁 7号");
  EXPECT_EQ(Parsed<v1::ErasurePlan>(orders[0].plan()).judged_on(), FormatDate(Today()));
  EXPECT_FALSE(erasing.RunStanding(Today()).value());
}

TEST_F(ErasingTest, WithoutAStandingOrderNothingRunsByItself) {
  Enter(1);
  PassYears(151);
  EXPECT_FALSE(Erasing(Options()).RunStanding(Today()).value());
  EXPECT_EQ(Told(1), "12");
}

}  // namespace
}  // namespace daicho
