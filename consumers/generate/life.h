// What happens to the prefecture's people month by month, told as notices. Keeps the rules of
// generate.h: update numbers without gaps, amendments and removals only by the municipality of the
// resident, one issuer per resident and round except in a move between two municipalities.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "consumers/generate/calendar.h"
#include "consumers/generate/recorder.h"
#include "consumers/generate/world.h"

namespace daicho::generate {

class Life {
 public:
  // `world` and `recorder` are borrowed. Rounds up to `last_round` will be lived.
  Life(World& world, Recorder& recorder, std::uint64_t residents, int last_round);

  // Requires: rounds are lived in order.
  void LiveMonth(int round, const Period& period);

 private:
  // What was begun in an earlier round and is finished in a later one.
  struct Pending {
    enum class Kind { kCancel, kArrival, kReturn, kNumberEntry } kind;
    std::uint32_t subject;  // a person of kCancel and kNumberEntry, else a household
    Person before = {};     // kCancel: as it was
    generate::Kind cancelled = generate::Kind::kAmend;
    std::uint16_t update = 0;       // kCancel: the number of what is cancelled
    std::uint8_t municipality = 0;  // kArrival, kReturn: where to
  };

  void FinishPending();
  void Cancel(const Pending& pending);
  void NumberEntry(const Pending& pending);
  void Arrive(std::uint32_t household, std::uint8_t municipality);

  void Waves();
  void RenumberTown();
  void DropOaza();
  void AmendTown(std::uint16_t town, Day changed_on);
  void CertifyKana(std::uint8_t municipality);

  void LiveHousehold(std::uint32_t household);
  void Move(std::uint32_t household);
  std::uint32_t SplitOff(std::uint32_t household);
  void MoveWithin(std::uint32_t household);
  void MoveAway(std::uint32_t household);
  void MoveBetween(std::uint32_t household);
  void Newcomers();

  // True if the event touched more than the person, so that the household is done for the month.
  bool LivePerson(std::uint32_t household, std::uint32_t person);
  void Die(std::uint32_t household, std::uint32_t person);
  void GiveBirth(std::uint32_t household, std::uint32_t mother);
  bool Marry(std::uint32_t household, std::uint32_t person);
  void Wed(std::uint32_t groom, std::uint32_t bride_household, std::uint32_t bride);
  void Disappear(std::uint32_t household, std::uint32_t person);
  void Naturalise(std::uint32_t person);
  void ChangeNumbers(std::uint32_t person, std::uint32_t kind);
  void Correct(std::uint32_t household, std::uint32_t person);
  bool CorrectName(std::uint32_t person);
  void CorrectAddress(std::uint32_t household);

  void Amend(std::uint32_t person, Reason reason, int lag_days_max);
  void MaybeCancel(std::uint32_t household, const std::vector<Person>& before,
                   generate::Kind cancelled, std::uint32_t per_million);
  void Schedule(int round, Pending pending);
  void ScheduleCancel(std::uint32_t person, const Person& before, generate::Kind cancelled);

  Moment NextMoment(const Person& person);
  // One after which every member can be notified.
  Moment HouseholdMoment(const Household& household);
  Day ChangedOn(const Person& person, Moment notified_at, int lag_days_max);
  int Age(const Person& person) const;
  std::uint8_t OtherMunicipality(std::uint8_t municipality);
  std::vector<Person> Members(std::uint32_t household) const;
  bool Busy(const Household& household) const { return household.busy_until >= round_; }

  World& world_;
  Recorder& recorder_;
  const std::uint64_t residents_;
  const int last_round_;
  int round_ = 1;
  const Period* period_ = nullptr;
  std::vector<std::vector<Pending>> pending_;  // by round
  std::array<std::uint32_t, 64> grooms_;       // waiting households by municipality, or kNoIndex
};

}  // namespace daicho::generate
