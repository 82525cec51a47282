// The provision register. Method: provisions, receipts and suspensions are admitted by a real sequencer and kept beside
// it in a list; at every position every question is asked of the register and of the list. A projection that followed,
// one that was reopened again and again, one filled in bulk and one built anew must hold the same bytes. Then stories: what is
// erased, what a receipt must say, when a suspension stands.
#include "projections/provision_register.h"

#include <gtest/gtest.h>

#include "tests/provisions.h"

namespace daicho {
namespace {

using Register = ProvisionRegister;

Date Day(const std::string& text) { return ParseDate(text).value(); }

class ProvisionRegisterTest : public ProvisionsTest {
 protected:
  std::unique_ptr<Projector> CaughtUp(const std::string& name) { return r_.CaughtUp(name); }
  static std::map<std::pair<Family, std::string>, std::string> Contents(Projector& projector) {
    std::map<std::pair<Family, std::string>, std::string> out;
    for (Family family = 0; family < RecordFile::Families().size(); ++family) {
      auto it = projector.store().NewIterator(family);
      for (it.SeekToFirst(); it.Valid(); it.Next()) out[{family, std::string(it.key())}] = it.value();
      EXPECT_TRUE(it.status().ok());
    }
    return out;
  }
  std::map<std::pair<Family, std::string>, std::string> FilledInBulk(const std::string& name) {
    ProjectorOptions options = r_.OptionsOf(name, p().log(), p().key_store());
    options.bulk_from = 1;
    auto projector = Projector::Open(options).value();
    EXPECT_TRUE(projector->CatchUp().ok());
    return Contents(*projector);
  }
  static Position Now(const Projector& projector) { return Position(projector.position().value() - 1); }

  // "12 14 ": positions.
  template <typename Events>
  static std::string Positions(const daicho::Result<Events>& events) {
    if (!events.ok()) return events.status().ToString();
    std::string out;
    for (const auto& event : *events) out += std::to_string(event.position.value()) + " ";
    return out;
  }
  static std::string Places(const daicho::Result<std::vector<Register::Given>>& given) {
    if (!given.ok()) return given.status().ToString();
    std::string out;
    for (const auto& each : *given) {
      out += std::to_string(each.event.position.value()) + "." + std::to_string(each.part) + "=" +
             each.result.request_id() + " ";
    }
    return out;
  }
  static std::string Suspended(const Register& provisions, int person, const std::string& basis, const std::string& day,
                               Position at) {
    const auto found = provisions.SuspensionOf(HandleOf(person), basis, Day(day), at);
    if (!found.ok()) return found.status().ToString();
    return *found ? (*found)->decision.reference() : "";
  }
};

// --- a random history against a list -------------------------------------------------------------

class RandomProvisions : public ProvisionRegisterTest {
 protected:
  const std::vector<std::string> kAgencies{"boe", "gunma-boe", "tax"};
  const std::vector<std::string> kReferences{"R8-0001", "R8-0002", "R8-00012", ""};
  const std::vector<std::string> kBases{"30-15-2/6-3", "30-15-2/6-30"};
  const std::vector<std::string> kDays{"2026-11-26", "2026-11-27"};

  template <typename List>
  const auto& Any(const List& list) {
    return list[random_() % list.size()];
  }
  bool Chance(unsigned percent) { return random_() % 100 < percent; }

  void Tell(int events) {
    for (int i = 0; i < events; ++i) {
      const auto drawn = random_() % 10;
      const auto delivery = [](const Told& told) { return !told.provision.agency().empty(); };
      if (drawn < 3 && std::ranges::any_of(told_, delivery)) {
        const Told* told = &Any(told_);
        while (!delivery(*told)) told = &Any(told_);
        Chance(80) ? Confirm(*told)
                   : Confirm(Any(kAgencies), told->position, Chance(50) ? told->provision.delivered_digest() : "other");
      } else if (drawn < 5) {
        std::vector<std::string> bases;
        if (Chance(50)) bases.push_back(Any(kBases));
        Decide(static_cast<int>(random_() % kPersons), Any(kReferences),
               static_cast<v1::SuspensionResult>(1 + random_() % 4), bases, Chance(50) ? Any(kDays) : "",
               Chance(50) ? Any(kDays) : "");
      } else {
        v1::Provision provision = Provision(Any(kAgencies), Any(kReferences), static_cast<v1::ProvisionMode>(1 + random_() % 3));
        provision.set_basis(Any(kBases));
        provision.set_judged_on(Any(kDays));
        if (Chance(20)) provision.set_refusal(v1::REFUSAL_REASON_REFERENCE);
        if (Chance(10)) provision.set_refusal(v1::REFUSAL_REASON_BASIS);
        if (Chance(20)) provision.set_cause_position(7);
        if (Chance(15)) provision.set_ends_standing(true);
        if (Chance(20)) provision.clear_delivered_digest();
        std::vector<std::pair<int, v1::ProvisionResult>> results;
        while (results.size() < 4 && Chance(60)) {
          results.push_back(Result(static_cast<int>(random_() % kPersons),
                                   Chance(70) ? v1::ANSWER_OUTCOME_FOUND : v1::ANSWER_OUTCOME_NONE));
        }
        Provide(provision, results, Chance(30) ? v1::EVENT_KIND_TRANSFER : v1::EVENT_KIND_PROVISION);
      }
    }
  }

  // Those up to `at` for which `wanted` holds.
  template <typename Wanted>
  std::vector<Told> Events(Position at, const Wanted& wanted) const {
    std::vector<Told> out;
    for (const Told& told : told_) {
      if (told.position <= at && !told.provision.agency().empty() && wanted(told)) out.push_back(told);
    }
    return out;
  }
  static std::string Positions(const std::vector<Told>& events) {
    std::string out;
    for (const Told& told : events) out += std::to_string(told.position.value()) + " ";
    return out;
  }
  std::optional<Position> ReceiptOracle(const Told& delivery, Position at) const {
    for (const Told& told : told_) {
      if (told.kind == v1::EVENT_KIND_DELIVERY_RECEIVED && told.position <= at && !delivery.provision.delivered_digest().empty() &&
          told.receipt.provision_position() == delivery.position.value() && told.receipt.agency() == delivery.provision.agency() &&
          told.receipt.delivered_digest() == delivery.provision.delivered_digest()) {
        return told.position;
      }
    }
    return std::nullopt;
  }
  std::string SuspensionOracle(int person, const std::string& basis, const std::string& day, Position at) const {
    std::map<std::string, const Told*> newest;  // by matter
    for (const Told& told : told_) {
      const v1::SuspensionDecided& decision = told.decision;
      if (told.person != person || told.position > at || day < decision.valid_from()) continue;
      if (decision.bases_size() == 0 || decision.bases(0) == basis) newest[decision.reference()] = &told;
    }
    const Told* out = nullptr;
    for (const auto& [matter, told] : newest) {
      const v1::SuspensionDecided& decision = told->decision;
      if (decision.result() != v1::SUSPENSION_RESULT_SUSPENDED) continue;
      if (!decision.valid_until().empty() && decision.valid_until() < day) continue;
      if (out == nullptr || out->position < told->position) out = told;
    }
    return out == nullptr ? "" : std::to_string(out->position.value());
  }

  void CompareAt(const Register& provisions, Position at) {
    SCOPED_TRACE("at " + std::to_string(at.value()));
    const Position first(told_[told_.size() / 3].position);
    for (const std::string& agency : kAgencies) {
      SCOPED_TRACE(agency);
      const auto of_agency = [&](const Told& told) { return told.provision.agency() == agency; };
      for (const std::string& reference : kReferences) {
        const auto of = [&](const Told& told) { return of_agency(told) && told.provision.reference() == reference; };
        ASSERT_EQ(ProvisionRegisterTest::Positions(provisions.EventsOf(agency, reference, at)), Positions(Events(at, of)));
        const auto accepted = Events(at, [&](const Told& told) {
          return of(told) && told.provision.refusal() == v1::REFUSAL_REASON_UNSPECIFIED;
        });
        const auto begun = provisions.First(agency, reference, at).value();
        ASSERT_EQ(begun.has_value(), !accepted.empty());
        if (begun) {
          ASSERT_EQ(begun->position, accepted.front().position);
        }
      }
      for (const std::string& basis : kBases) {
        for (const std::string& day : kDays) {
          std::uint64_t asked = 0;
          for (const Told& told : Events(at, of_agency)) {
            const v1::Provision& provision = told.provision;
            if (provision.cause_position() != 0) continue;
            if (provision.basis() == basis && provision.judged_on() == day) asked += told.results.size();
          }
          ASSERT_EQ(provisions.AskedOn(agency, basis, Day(day), at).value(), asked) << basis << " " << day;
        }
        const auto within = [&](const Told& told) {
          return of_agency(told) && told.provision.basis() == basis && told.position >= first &&
                 told.kind == v1::EVENT_KIND_TRANSFER;
        };
        const Register::Filter filter{agency, basis, v1::EVENT_KIND_TRANSFER, first, at};
        ASSERT_EQ(ProvisionRegisterTest::Positions(provisions.Events(filter, 1'000)), Positions(Events(at, within)));
      }
      const auto delivered =
          Events(at, [&](const Told& told) { return of_agency(told) && !told.provision.delivered_digest().empty(); });
      std::vector<Told> waiting;
      for (const Told& told : delivered) {
        const auto receipt = ReceiptOracle(told, at);
        ASSERT_EQ(provisions.ReceiptOf(told.position, at).value(), receipt);
        if (!receipt) waiting.push_back(told);
      }
      const Register::Deliveries deliveries = provisions.DeliveriesTo(agency, at).value();
      ASSERT_EQ(deliveries.delivered, delivered.size());
      ASSERT_EQ(deliveries.unconfirmed(), waiting.size());
      ASSERT_EQ(deliveries.oldest, waiting.empty() ? std::nullopt : std::optional(waiting.front().position));
      ASSERT_EQ(ProvisionRegisterTest::Positions(provisions.Unconfirmed(agency, at, 1'000)), Positions(waiting));
    }
    ASSERT_EQ(ProvisionRegisterTest::Positions(provisions.Events({"", "", v1::EVENT_KIND_UNSPECIFIED, first, at}, 1'000)),
              Positions(Events(at, [&](const Told& told) { return told.position >= first; })));
    for (int person = 0; person < kPersons; ++person) {
      std::string given, followed;
      for (const Told& told : Events(at, [](const Told&) { return true; })) {
        bool follows = false;
        for (std::size_t i = 0; i < told.results.size(); ++i) {
          if (told.results[i].first != person) continue;
          given += std::to_string(told.position.value()) + "." + std::to_string(i + 1) + "=" + std::to_string(person) + " ";
          follows |= told.provision.mode() == v1::PROVISION_MODE_STANDING && told.provision.cause_position() == 0;
        }
        const auto ends = Events(at, [&](const Told& later) {
          return later.provision.agency() == told.provision.agency() && later.provision.ends_standing() &&
                 later.provision.reference() == told.provision.reference() &&
                 later.provision.refusal() == v1::REFUSAL_REASON_UNSPECIFIED;
        });
        if (follows && ends.empty()) followed += std::to_string(told.position.value()) + " ";
      }
      ASSERT_EQ(Places(provisions.GivenOf(HandleOf(person), at)), given);
      ASSERT_EQ(ProvisionRegisterTest::Positions(provisions.SubscriptionsOf(HandleOf(person), at)), followed);
      for (const std::string& basis : kBases) {
        for (const std::string& day : {std::string("2026-11-25"), kDays[0], kDays[1], std::string("2026-11-28")}) {
          const auto found = provisions.SuspensionOf(HandleOf(person), basis, Day(day), at).value();
          ASSERT_EQ(found ? std::to_string(found->position.value()) : "", SuspensionOracle(person, basis, day, at))
              << basis << " " << day;
        }
      }
    }
  }

  std::mt19937_64 random_{Seed()};
};

TEST_F(RandomProvisions, AreAnsweredAsOfEveryPositionAsAListAnswers) {
  Tell(120);
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  for (const Told& told : told_) {
    CompareAt(provisions, told.position);
    if (HasFatalFailure()) return;
  }
  EXPECT_EQ(provisions.Agencies().value(), kAgencies);
}

TEST_F(RandomProvisions, FollowedReopenedFilledInBulkAndRebuiltAreTheSameBytes) {
  auto live = Projector::Open(r_.OptionsOf("live", p().log(), p().key_store())).value();
  std::jthread following([&](std::stop_token stop) { EXPECT_TRUE(live->Run(stop).ok()); });
  for (int i = 0; i < 4; ++i) {
    Tell(20);
    CaughtUp("reopened").reset();
  }
  ASSERT_TRUE(live->WaitFor(Position(p().Size()), std::chrono::seconds(30)));
  following.request_stop();
  following.join();
  const auto rebuilt = Contents(*CaughtUp("rebuilt"));
  EXPECT_EQ(Contents(*live), rebuilt);
  EXPECT_EQ(Contents(*CaughtUp("reopened")), rebuilt);
  EXPECT_EQ(FilledInBulk("bulk"), rebuilt);
  EXPECT_GT(std::ranges::count_if(rebuilt, [](const auto& row) { return row.first.first == RecordFile::kGiven; }), 10);
}

TEST_F(RandomProvisions, PagesJoinToTheWhole) {
  Tell(40);
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  for (const std::string& agency : {std::string(), kAgencies[0]}) {
    Register::Filter filter{agency, "", v1::EVENT_KIND_UNSPECIFIED, Position(0), Now(*projector)};
    const std::string whole = ProvisionRegisterTest::Positions(provisions.Events(filter, 1'000));
    std::string joined;
    for (auto page = provisions.Events(filter, 3).value(); !page.empty(); page = provisions.Events(filter, 3).value()) {
      EXPECT_LE(page.size(), 3u);
      joined += ProvisionRegisterTest::Positions(daicho::Result<std::vector<Register::Event>>(page));
      filter.first = page.back().position.Next();
    }
    EXPECT_EQ(joined, whole);
    EXPECT_EQ(provisions.Events(filter, 0)->size(), 0u);
  }
}

// --- stories -------------------------------------------------------------------------------------

TEST_F(ProvisionRegisterTest, TellsWhatWasSaidToTheByte) {
  v1::Provision provision = Provision("gunma-boe", "R8-0001");
  provision.set_duty("6-3-1");
  const Position position = Provide(provision, {Result(1), Result(2, v1::ANSWER_OUTCOME_MULTIPLE)}, v1::EVENT_KIND_TRANSFER);
  const TimeMicros admitted = p().clock().Now();
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  const Register::Event event = provisions.At(position).value();
  EXPECT_EQ(event.kind, v1::EVENT_KIND_TRANSFER);
  EXPECT_EQ(event.admitted_at, admitted);
  EXPECT_EQ(event.provision.SerializeAsString(), told_.back().provision.SerializeAsString());
  EXPECT_EQ(provisions.GivenOf(HandleOf(1), position)->at(0).result.SerializeAsString(),
            told_.back().results[0].second.SerializeAsString());
  EXPECT_EQ(provisions.At(Position(1)).status().code(), Code::kNotFound);
  EXPECT_EQ(provisions.AskedOn("gunma-boe", provision.basis(), Day("2026-11-26"), position).value(), 2u);
}

TEST_F(ProvisionRegisterTest, AReceiptForOtherBytesOrOfAnotherAgencyConfirmsNothingAndASecondOneNeither) {
  const Position first = Provide(Provision("boe", "1"), {Result(1)});
  const std::string digest = told_.back().provision.delivered_digest();
  const Position second = Provide(Provision("boe", "2"), {Result(1)});
  Confirm("boe", first, std::string(32, 'x'));
  Confirm("tax", first, digest);
  Confirm("boe", second, digest);
  Confirm("boe", Position(1), digest);
  {
    const auto projector = CaughtUp("file");
    const Register provisions(projector->store());
    EXPECT_EQ(provisions.DeliveriesTo("boe", Now(*projector))->unconfirmed(), 2u);
    EXPECT_EQ(provisions.DeliveriesTo("tax", Now(*projector))->confirmed, 0u);
  }
  const Position received = Confirm("boe", first, digest);
  Confirm("boe", first, digest);
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  EXPECT_EQ(provisions.ReceiptOf(first, Now(*projector)).value(), received);
  EXPECT_EQ(provisions.DeliveriesTo("boe", Now(*projector))->confirmed, 1u);
  EXPECT_EQ(Positions(provisions.Unconfirmed("boe", Now(*projector), 10)), std::to_string(second.value()) + " ");
}

TEST_F(ProvisionRegisterTest, ASuspensionStandsFromItsFirstDayUntilItsMatterIsLifted) {
  Decide(1, "S-1", v1::SUSPENSION_RESULT_SUSPENDED, {"a", "b"}, "2026-12-01", "2026-12-31");
  const Position before = told_.back().position;
  Decide(1, "S-2", v1::SUSPENSION_RESULT_REFUSED);
  Decide(1, "S-1", v1::SUSPENSION_RESULT_LIFTED, {"a"}, "2026-12-10");
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  const Position now = Now(*projector);
  EXPECT_EQ(Suspended(provisions, 1, "a", "2026-11-30", now), "");
  EXPECT_EQ(Suspended(provisions, 1, "a", "2026-12-01", now), "S-1");
  EXPECT_EQ(Suspended(provisions, 1, "a", "2026-12-10", now), "");
  EXPECT_EQ(Suspended(provisions, 1, "a", "2026-12-10", before), "S-1");
  EXPECT_EQ(Suspended(provisions, 1, "b", "2026-12-31", now), "S-1");
  EXPECT_EQ(Suspended(provisions, 1, "b", "2027-01-01", now), "");
  EXPECT_EQ(Suspended(provisions, 1, "c", "2026-12-05", now), "");
  EXPECT_EQ(Suspended(provisions, 2, "a", "2026-12-05", now), "");
  EXPECT_EQ(Suspended(provisions, 1, "a", "2026-12-05", Position(before.value() - 1)), "");
}

// --- erasure -------------------------------------------------------------------------------------

class ErasedProvisions : public ProvisionRegisterTest {
 protected:
  // Erases what has expired in 2034: all that is told until now; with `only`, of that person alone.
  void Erase(std::optional<int> only = {}) {
    v1::ErasurePlan plan = r_.Plan(*CaughtUp("planning"), "2034-01-01");
    if (only) {
      v1::ErasurePlan all = plan;
      plan.clear_keys();
      for (const v1::ErasedKeys& keys : all.keys()) {
        if (keys.subject() == View(HandleOf(*only))) *plan.add_keys() = keys;
      }
      ASSERT_EQ(plan.keys_size(), 1);
    }
    ASSERT_NO_FATAL_FAILURE(r_.Erase(plan));
  }
};

TEST_F(ErasedProvisions, APersonsShareGoesAloneAndTheEventStays) {
  const Position position = Provide(Provision("boe", "1", v1::PROVISION_MODE_STANDING), {Result(1), Result(2)});
  Erase(1);
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  EXPECT_EQ(Places(provisions.GivenOf(HandleOf(1), Now(*projector))), "");
  EXPECT_EQ(Positions(provisions.SubscriptionsOf(HandleOf(1), Now(*projector))), "");
  EXPECT_EQ(Places(provisions.GivenOf(HandleOf(2), Now(*projector))), std::to_string(position.value()) + ".2=2 ");
  EXPECT_EQ(provisions.At(position)->provision.result_count(), 2u);
  EXPECT_EQ(FilledInBulk("bulk"), Contents(*projector));
}

TEST_F(ErasedProvisions, WhatHasExpiredLeavesNothingAndWhatCameLaterStays) {
  const Position old = Provide(Provision("boe", "1"), {Result(1)});
  Confirm(told_.back());
  Decide(1, "S-1", v1::SUSPENSION_RESULT_SUSPENDED);
  p().clock().Advance(std::chrono::hours(24 * 365 * 2));
  const Position young = Provide(Provision("boe", "2"), {Result(1)});
  Erase();
  Confirm(told_.back());
  const auto projector = CaughtUp("file");
  const Register provisions(projector->store());
  const Position now = Now(*projector);
  EXPECT_EQ(provisions.At(old).status().code(), Code::kNotFound);
  EXPECT_EQ(Places(provisions.GivenOf(HandleOf(1), now)), std::to_string(young.value()) + ".1=1 ");
  EXPECT_EQ(provisions.First("boe", "1", now).value(), std::nullopt);
  EXPECT_EQ(provisions.DeliveriesTo("boe", now)->delivered, 1u);
  EXPECT_EQ(provisions.DeliveriesTo("boe", now)->unconfirmed(), 0u);
  EXPECT_EQ(FilledInBulk("bulk"), Contents(*projector));
}

TEST_F(ErasedProvisions, AKeyThatNobodyOrderedGoneStopsTheProjector) {
  Provide(Provision("boe", "1"), {Result(1)});
  const v1::KeyReference key = p().Entries().back().leaf.keys(1);
  ASSERT_EQ(key.subject(), View(HandleOf(1)));
  ASSERT_TRUE(p().Stop().ok());
  const KeyStore::Advance gone{KeySlot(key.slot()), KeyStore::kNoLivingStep};
  ASSERT_TRUE(p().key_store().Erase({&gone, 1}, Position(0)).ok());
  auto projector = Projector::Open(r_.OptionsOf("file", p().log(), p().key_store())).value();
  EXPECT_EQ(projector->CatchUp().code(), Code::kTampered);
}

}  // namespace
}  // namespace daicho
