#include "consumers/generate/life.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "events/result.h"

namespace daicho::generate {
namespace {

// 氏名の振り仮名: certified by declaration from the first day, ex officio from the second.
constexpr Day kKanaDeclared = DayOf(Civil{2025, 5, 26});
constexpr Day kKanaExOfficio = DayOf(Civil{2026, 5, 26});
// The two largest cities certify after the simulated years.
constexpr std::uint8_t kKanaWaveFirst = 2;
constexpr std::uint8_t kKanaWaveMonths = 6;

// Moves per month, in per mille of the yearly average; January first.
constexpr std::uint32_t kSeason[12] = {800, 900, 1900, 1850, 900, 850,
                                       850, 850, 850,  850,  780, 780};

// Chances per month and million.
constexpr std::uint32_t kMove = 5200;
constexpr std::uint32_t kBirth = 5700;
constexpr std::uint32_t kMarriage = 6000;
constexpr std::uint32_t kCorrection = 1300;
constexpr std::uint32_t kNumbers = 75;
constexpr std::uint32_t kDisappear = 20;
constexpr std::uint32_t kNaturalise = 400;
constexpr std::uint32_t kKanaDeclaration = 8000;
constexpr std::uint32_t kNewcomersPerYear = 23'500;

std::uint32_t MovingFactor(int head_age) {  // per mille
  return head_age < 30 ? 3000 : head_age < 45 ? 1600 : head_age < 65 ? 600 : 250;
}

std::uint32_t DyingChance(int age) {  // per month and million
  constexpr std::pair<int, std::uint32_t> kSteps[] = {
      {1, 150},   {15, 8},    {30, 35},   {40, 55},   {50, 120},    {60, 290},    {70, 700},
      {75, 1400}, {80, 2300}, {85, 4200}, {90, 8000}, {95, 15'000}, {100, 27'000}};
  for (const auto& [below, chance] : kSteps) {
    if (age < below) return chance;
  }
  return 40'000;
}

}  // namespace

Life::Life(World& world, Recorder& recorder, std::uint64_t residents, int last_round)
    : world_(world),
      recorder_(recorder),
      residents_(residents),
      last_round_(last_round),
      pending_(static_cast<std::size_t>(last_round) + 1) {
  CHECK(world.data.municipalities.size() <= grooms_.size());
  grooms_.fill(kNoIndex);
}

void Life::LiveMonth(int round, const Period& period) {
  round_ = round;
  period_ = &period;
  FinishPending();
  Waves();
  const auto households = static_cast<std::uint32_t>(world_.households.size());
  for (std::uint32_t household = 0; household < households; ++household) LiveHousehold(household);
  Newcomers();
}

// --- what earlier rounds began ---

void Life::Schedule(int round, Pending pending) {
  if (round <= last_round_) pending_[static_cast<std::size_t>(round)].push_back(std::move(pending));
}

void Life::ScheduleCancel(std::uint32_t id, const Person& before, generate::Kind cancelled) {
  Schedule(round_ + 1, {.kind = Pending::Kind::kCancel,
                        .subject = id,
                        .before = before,
                        .cancelled = cancelled,
                        .update = world_.persons[id].updates});
}

void Life::FinishPending() {
  const std::vector<Pending> due = std::move(pending_[static_cast<std::size_t>(round_)]);
  for (const Pending& pending : due) {
    switch (pending.kind) {
      case Pending::Kind::kCancel:
        Cancel(pending);
        break;
      case Pending::Kind::kNumberEntry:
        NumberEntry(pending);
        break;
      case Pending::Kind::kArrival:
      case Pending::Kind::kReturn:
        Arrive(pending.subject, pending.municipality);
        break;
    }
  }
}

void Life::Cancel(const Pending& pending) {
  Person& person = world_.persons[pending.subject];
  // Something came between: what is on top now is not what was to be cancelled.
  if (person.updates != pending.update) return;
  const Moment at = NextMoment(person);
  Notice notice{Kind::kAmend, Reason::kExOfficioAmendment, DayOf(at), at, person.updates};
  if (pending.cancelled == Kind::kRemoval) {
    notice.kind = Kind::kEntry;
    notice.reason = Reason::kExOfficioEntry;
  } else if (pending.cancelled == Kind::kEntry) {
    notice.kind = Kind::kRemoval;
    notice.reason = Reason::kExOfficioRemoval;
  }
  if (pending.cancelled != Kind::kEntry) {
    const Person now = person;
    person = pending.before;
    person.updates = now.updates;
    person.last_notified = now.last_notified;
    person.resident = now.resident;
  }
  recorder_.Emit(pending.subject, notice);
}

void Life::NumberEntry(const Pending& pending) {
  Person& person = world_.persons[pending.subject];
  if (person.dead) return;
  if (!person.resident) return Schedule(round_ + 1, pending);
  person.number = world_.next_number++;
  Amend(pending.subject, Reason::kIndividualNumberEntry, 3);
}

void Life::Arrive(std::uint32_t id, std::uint8_t municipality) {
  Household& household = world_.households[id];
  if (household.size == 0) return;
  household.busy_until = static_cast<std::uint16_t>(round_);
  const AddressRef address =
      MakeAddress(world_, municipality, household.size == 1 ? 500'000 : 250'000);
  Moment at = HouseholdMoment(household);
  for (int i = 0; i < household.size; ++i) {
    const std::uint32_t member = household.members[static_cast<std::size_t>(i)];
    Person& person = world_.persons[member];
    person.moved_between |= person.address.municipality != municipality;
    person.address = address;
    const Day changed_on = ChangedOn(person, at, 13);
    recorder_.Emit(member, {Kind::kEntry, Reason::kMoveIn, changed_on, at++});
  }
}

// --- many residents at once ---

void Life::Waves() {
  if (round_ % 12 == 7) RenumberTown();
  if (round_ % 24 == 10) DropOaza();
  if (period_->last() < kKanaExOfficio) return;
  for (std::size_t m = kKanaWaveFirst; m < world_.data.municipalities.size(); ++m) {
    if (static_cast<int>(m) % kKanaWaveMonths == (period_->month() + 1) % kKanaWaveMonths) {
      CertifyKana(static_cast<std::uint8_t>(m));
    }
  }
}

// 住居表示の実施: lots become blocks.
void Life::RenumberTown() {
  constexpr std::uint32_t kCities = 12;
  const Municipality& city = world_.data.municipalities[world_.random.Below(kCities)];
  std::uint16_t town = city.towns[city.town_weights.Draw(world_.random)];
  for (int i = 0; i < 20 && world_.data.towns[town].numbering != Numbering::kLots; ++i) {
    town = city.towns[city.town_weights.Draw(world_.random)];
  }
  if (world_.data.towns[town].numbering != Numbering::kLots) return;
  world_.data.towns[town].numbering = Numbering::kBlocks;
  world_.data.towns[town].chome_max = 3;
  for (Person& person : world_.persons) {
    AddressRef& address = person.address;
    if (address.town != town) continue;
    address.chome = static_cast<std::uint8_t>(1 + address.block % 3);
    address.number = static_cast<std::uint16_t>(1 + (address.block + address.number) % 30);
    address.block = static_cast<std::uint16_t>(1 + address.block / 60);
  }
  AmendTown(town, period_->first() + 11);
}

// 町字の名称変更: a town or village drops 大字 from all of its names.
void Life::DropOaza() {
  constexpr std::string_view kOaza = "大字";
  const std::size_t first =
      world_.random.Below(static_cast<std::uint32_t>(world_.data.municipalities.size()));
  for (std::size_t i = 0; i < world_.data.municipalities.size(); ++i) {
    const Municipality& place =
        world_.data.municipalities[(first + i) % world_.data.municipalities.size()];
    if (!world_.data.towns[place.towns[0]].name.starts_with(kOaza)) continue;
    for (const std::uint16_t town : place.towns) {
      std::string& name = world_.data.towns[town].name;
      if (!name.starts_with(kOaza)) continue;
      name.erase(0, kOaza.size());
      AmendTown(town, period_->first() + 10);
    }
    return;
  }
}

void Life::AmendTown(std::uint16_t town, Day changed_on) {
  Moment batch = StartOf(changed_on) + 20 * 3600;
  std::uint32_t amended = 0;
  for (std::uint32_t id = 0; id < world_.persons.size(); ++id) {
    const Person& person = world_.persons[id];
    if (!person.resident || person.address.town != town) continue;
    const Moment at = std::max(batch, person.last_notified + 1);
    recorder_.Emit(id, {Kind::kAmend, Reason::kMinorAmendment, changed_on, at});
    if (++amended % 50 == 0) ++batch;
  }
}

void Life::CertifyKana(std::uint8_t municipality) {
  for (std::uint32_t id = 0; id < world_.persons.size(); ++id) {
    Person& person = world_.persons[id];
    if (!person.resident || person.address.municipality != municipality) continue;
    if (person.foreign || person.kana_certified) continue;
    person.kana_certified = true;
    Amend(id, Reason::kExOfficioAmendment, 0);
  }
}

// --- households ---

void Life::LiveHousehold(std::uint32_t id) {
  const Household household = world_.households[id];
  if (household.size == 0 || Busy(household)) return;
  const Person& head = world_.persons[household.members[0]];
  if (!head.resident) return;
  const std::uint32_t season = kSeason[period_->month() - 1];
  if (world_.random.Chance(kMove * MovingFactor(Age(head)) / 1000 * season / 1000)) {
    Move(id);
    return;
  }
  for (int i = 0; i < household.size; ++i) {
    if (LivePerson(id, household.members[static_cast<std::size_t>(i)])) return;
  }
}

void Life::Move(std::uint32_t id) {
  const std::uint32_t mover = SplitOff(id);
  const std::uint32_t kind = world_.random.Below(100);
  if (kind < 42) {
    MoveWithin(mover);
  } else if (kind < 63) {
    MoveBetween(mover);
  } else {
    MoveAway(mover);
  }
}

// Often one grown child leaves; otherwise all go.
std::uint32_t Life::SplitOff(std::uint32_t id) {
  const Household household = world_.households[id];
  if (household.size < 2 || world_.random.Chance(450'000)) return id;
  for (std::size_t i = 1; i < household.size; ++i) {
    const std::uint32_t member = household.members[i];
    const Person& person = world_.persons[member];
    if (person.married || Age(person) < 18 || Age(person) > 34) continue;
    world_.RemoveMember(id, member);
    const std::uint32_t alone = world_.NewHousehold();
    world_.households[alone].members[0] = member;
    world_.households[alone].size = 1;
    world_.persons[member].household = alone;
    return alone;
  }
  return id;
}

void Life::MoveWithin(std::uint32_t id) {
  Household& household = world_.households[id];
  household.busy_until = static_cast<std::uint16_t>(round_);
  const std::vector<Person> before = Members(id);
  const AddressRef address =
      MakeAddress(world_, before[0].address.municipality, household.size == 1 ? 600'000 : 250'000);
  Moment at = HouseholdMoment(household);
  const Day changed_on = ChangedOn(before[0], at, 13);
  for (std::size_t i = 0; i < household.size; ++i) {
    world_.persons[household.members[i]].address = address;
    recorder_.Emit(household.members[i], {Kind::kAmend, Reason::kAddressChange,
                                          std::max(changed_on, before[i].birth), at++});
  }
  MaybeCancel(id, before, Kind::kAmend, 6000);
}

void Life::MoveAway(std::uint32_t id) {
  Household& household = world_.households[id];
  household.busy_until = static_cast<std::uint16_t>(round_);
  const std::vector<Person> before = Members(id);
  Moment at = HouseholdMoment(household);
  const Day planned = DayOf(at) + world_.random.Between(0, 25);
  for (std::size_t i = 0; i < household.size; ++i) {
    recorder_.Emit(household.members[i], {Kind::kRemoval, Reason::kMoveOut, planned, at++});
  }
  MaybeCancel(id, before, Kind::kRemoval, 9000);
  if (Busy(household) && household.busy_until == round_ && world_.random.Chance(110'000)) {
    const std::uint8_t home = before[0].address.municipality;
    const std::uint8_t where = world_.random.Chance(500'000) ? home : OtherMunicipality(home);
    const int when = round_ + world_.random.Between(3, 30);
    Schedule(when, {.kind = Pending::Kind::kReturn, .subject = id, .municipality = where});
  }
}

void Life::MoveBetween(std::uint32_t id) {
  Household& household = world_.households[id];
  const std::uint8_t from = world_.persons[household.members[0]].address.municipality;
  const std::uint8_t to = OtherMunicipality(from);
  // A move-in may run ahead of one notice only: who has had another this month arrives next month.
  const std::vector<Person> members = Members(id);
  const bool notified = std::any_of(members.begin(), members.end(), [this](const Person& person) {
    return person.last_notified >= StartOf(period_->first());
  });
  if (notified && round_ == last_round_) return MoveAway(id);
  const bool later = notified || (round_ < last_round_ && world_.random.Chance(400'000));
  // Often the move-in is notified first: the removal follows when the old municipality hears.
  const bool ahead = !later && world_.random.Chance(400'000);
  household.busy_until = static_cast<std::uint16_t>(later ? round_ + 1 : round_);
  const Moment in_at = HouseholdMoment(household);
  Moment out_at = in_at;
  if (ahead)
    out_at += DayOf(in_at) < period_->last() - 1 ? 72000 + world_.random.Below(18000) : 600;
  const Day planned = ahead ? ChangedOn(world_.persons[household.members[0]], in_at, 13)
                            : DayOf(out_at) + world_.random.Between(0, 14);
  for (std::size_t i = 0; i < household.size; ++i) {
    const Day changed_on = std::max(planned, world_.persons[household.members[i]].birth);
    recorder_.Emit(household.members[i], {Kind::kRemoval, Reason::kMoveOut, changed_on, out_at++});
  }
  if (later) {
    Schedule(round_ + 1, {.kind = Pending::Kind::kArrival, .subject = id, .municipality = to});
    return;
  }
  if (!ahead) return Arrive(id, to);
  const AddressRef address = MakeAddress(world_, to, 350'000);
  Moment at = in_at;
  for (std::size_t i = 0; i < household.size; ++i) {
    Person& person = world_.persons[household.members[i]];
    const Moment removed_at = person.last_notified;
    person.address = address;
    person.moved_between = true;
    person.last_notified = 0;  // this one notice is older than the one before it
    recorder_.Emit(household.members[i],
                   {Kind::kEntry, Reason::kMoveIn, person.last_changed, at++});
    person.last_notified = removed_at;
  }
}

void Life::Newcomers() {
  const std::uint64_t yearly = residents_ * kNewcomersPerYear / 1'000'000;
  const std::uint64_t season = kSeason[period_->month() - 1];
  std::uint64_t left = yearly * season / 12'000;
  // Small prefectures still get someone now and then.
  if (world_.random.Below(12'000) < yearly * season % 12'000) ++left;
  while (left > 0) {
    const auto where =
        static_cast<std::uint8_t>(world_.data.municipality_weights.Draw(world_.random));
    const std::uint32_t id = MakeHousehold(world_, where, period_->first(), Arrival::kMoving,
                                           static_cast<int>(std::min<std::uint64_t>(left, 8)));
    Household& household = world_.households[id];
    household.busy_until = static_cast<std::uint16_t>(round_);
    Moment at = HouseholdMoment(household);
    const Day moved_on = DayOf(at) - world_.random.Between(0, 13);
    const std::uint32_t certified = moved_on < kKanaDeclared    ? 0
                                    : moved_on < kKanaExOfficio ? 60'000
                                                                : 500'000;
    for (std::size_t i = 0; i < household.size; ++i) {
      Person& person = world_.persons[household.members[i]];
      person.kana_certified = !person.foreign && world_.random.Chance(certified);
      const Day changed_on = std::max(moved_on, person.birth);
      recorder_.Emit(household.members[i], {Kind::kEntry, Reason::kMoveIn, changed_on, at++});
    }
    MaybeCancel(id, Members(id), Kind::kEntry, 5000);
    left -= std::min<std::uint64_t>(left, household.size);
  }
}

// --- persons ---

bool Life::LivePerson(std::uint32_t household, std::uint32_t id) {
  const Person& person = world_.persons[id];
  const int age = Age(person);
  std::uint32_t at = world_.random.Below(1'000'000);
  const auto happens = [&at](std::uint32_t chance) {
    if (at < chance) return true;
    at -= chance;
    return false;
  };
  if (happens(DyingChance(age))) {
    Die(household, id);
  } else if (happens(kCorrection)) {
    Correct(household, id);
    return true;
  } else if (happens(kNumbers)) {
    ChangeNumbers(id, world_.random.Below(100));
  } else if (happens(kDisappear)) {
    Disappear(household, id);
  } else if (age >= 20 && age < 45 && happens(person.married ? kBirth : kMarriage)) {
    if (!person.married) return Marry(household, id);
    if (person.female) GiveBirth(household, id);
    return true;
  } else if (person.foreign && happens(kNaturalise)) {
    Naturalise(id);
  } else if (!person.foreign && !person.kana_certified && period_->first() >= kKanaDeclared &&
             happens(kKanaDeclaration)) {
    world_.persons[id].kana_certified = true;
    Amend(id, Reason::kExOfficioAmendment, 0);
  }
  return false;
}

void Life::Die(std::uint32_t household, std::uint32_t id) {
  Person& person = world_.persons[id];
  const Moment at = NextMoment(person);
  recorder_.Emit(id, {Kind::kRemoval, Reason::kDeath, ChangedOn(person, at, 7), at});
  person.dead = true;
  world_.RemoveMember(household, id);
}

void Life::GiveBirth(std::uint32_t household, std::uint32_t mother) {
  if (world_.households[household].size == kHouseholdMembersMax) return;
  const Moment at = period_->AnyMoment(world_.random);
  const Day birth = DayOf(at) - world_.random.Between(1, 14);
  Person child = MakeChild(world_, mother, birth);
  child.kana_certified = !child.foreign && birth >= kKanaDeclared;
  const bool number_later = world_.random.Chance(150'000);
  if (number_later) child.number = kNoIndex;
  child.last_changed = birth;
  const std::uint32_t id = world_.AddMember(household, child);
  recorder_.Emit(id, {Kind::kEntry, Reason::kBirth, birth, at});
  if (number_later) {
    const int when = round_ + world_.random.Between(1, 2);
    Schedule(when, {.kind = Pending::Kind::kNumberEntry, .subject = id});
  }
}

// A man who lives alone waits for a bride of the same municipality; she moves in with him.
bool Life::Marry(std::uint32_t household, std::uint32_t id) {
  const Person& person = world_.persons[id];
  if (person.foreign) return false;
  std::uint32_t& waiting = grooms_[person.address.municipality];
  if (!person.female) {
    if (world_.households[household].size == 1) waiting = id;
    return false;
  }
  if (waiting == kNoIndex) return false;
  const std::uint32_t groom = std::exchange(waiting, kNoIndex);
  const Person& man = world_.persons[groom];
  const Household& home = world_.households[man.household];
  const bool free = man.resident && !man.married && home.size == 1 && !Busy(home) &&
                    man.address.municipality == person.address.municipality;
  if (!free) return false;
  Wed(groom, household, id);
  return true;
}

void Life::Wed(std::uint32_t groom, std::uint32_t bride_household, std::uint32_t bride) {
  Random& random = world_.random;
  Person& man = world_.persons[groom];
  Person& woman = world_.persons[bride];
  man.married = woman.married = true;
  const bool takes_hers = random.Chance(50'000);
  Person& renamed = takes_hers ? man : woman;
  if (man.surname != woman.surname) {
    renamed.birth_surname = renamed.surname;
    renamed.surname = takes_hers ? woman.surname : man.surname;
    renamed.glyph = Glyph::kNone;
    renamed.has_former_name = random.Chance(45'000);
    Amend(takes_hers ? groom : bride, Reason::kExOfficioAmendment, 10);
  }
  world_.RemoveMember(bride_household, bride);
  Household& home = world_.households[man.household];
  home.members[home.size++] = bride;
  home.busy_until = static_cast<std::uint16_t>(round_);
  woman.household = man.household;
  woman.address = man.address;
  Amend(bride, Reason::kAddressChange, 13);
}

// 職権消除: the municipality found nobody at the address. Some come back.
void Life::Disappear(std::uint32_t household, std::uint32_t id) {
  Person& person = world_.persons[id];
  const Moment at = NextMoment(person);
  recorder_.Emit(id, {Kind::kRemoval, Reason::kExOfficioRemoval, ChangedOn(person, at, 0), at});
  world_.RemoveMember(household, id);
  person.household = world_.NewHousehold();
  Household& alone = world_.households[person.household];
  alone.members[0] = id;
  alone.size = 1;
  if (!world_.random.Chance(300'000)) return;
  const int when = round_ + world_.random.Between(2, 24);
  Schedule(when, {.kind = Pending::Kind::kReturn,
                  .subject = person.household,
                  .municipality = person.address.municipality});
}

// 帰化: removed as a foreign resident, entered as a Japanese one, with the same numbers.
void Life::Naturalise(std::uint32_t id) {
  Person& person = world_.persons[id];
  const Moment at = NextMoment(person);
  const Day changed_on = ChangedOn(person, at, 10);
  recorder_.Emit(id, {Kind::kRemoval, Reason::kExOfficioRemoval, changed_on, at});
  person.surname = person.has_alias ? person.alias_surname : MakeSurname(world_);
  person.birth_surname = person.surname;
  if (!person.has_alias) person.given = MakeGivenName(world_, person.female, person.birth);
  person.foreign = person.has_alias = false;
  person.kana_certified = period_->first() >= kKanaDeclared;
  recorder_.Emit(id, {Kind::kEntry, Reason::kExOfficioEntry, changed_on, at + 60});
}

void Life::ChangeNumbers(std::uint32_t id, std::uint32_t kind) {
  Person& person = world_.persons[id];
  const Moment at = NextMoment(person);
  Notice notice{Kind::kAmend, Reason::kResidentCodeChange, ChangedOn(person, at, 3), at};
  if (kind < 40) {
    if (kind < 4) notice.reason = Reason::kResidentCodeExOfficio;
    notice.former_code = std::exchange(person.code, world_.next_code++);
    person.code_changed = true;
  } else {
    if (person.number == kNoIndex) return;
    notice.reason =
        kind < 92 ? Reason::kIndividualNumberChange : Reason::kIndividualNumberExOfficio;
    notice.former_number = std::exchange(person.number, world_.next_number++);
  }
  recorder_.Emit(id, notice);
}

void Life::Correct(std::uint32_t household, std::uint32_t id) {
  const Person before = world_.persons[id];
  if (!CorrectName(id)) return CorrectAddress(household);
  if (!world_.random.Chance(6000) || round_ == last_round_) return;
  world_.households[household].busy_until = static_cast<std::uint16_t>(round_ + 1);
  ScheduleCancel(id, before, Kind::kAmend);
}

// False if the draw has nothing to correct in this person.
bool Life::CorrectName(std::uint32_t id) {
  Person& person = world_.persons[id];
  const std::uint32_t kind = world_.random.Below(100);
  if (person.foreign) {
    if (kind >= 30) return false;
    if (person.has_alias) {
      person.has_alias = false;
    } else {
      GiveAlias(world_, person);
    }
    Amend(id, Reason::kExOfficioAmendment, 0);
    return true;
  }
  if (kind < 35 && person.glyph == Glyph::kNone) {  // 文字の同定
    const SurnameRef form = OtherForm(world_, person.surname);
    if (form == person.surname) return false;
    if (person.birth_surname == person.surname) person.birth_surname = form;
    person.surname = form;
    Amend(id, Reason::kMinorAmendment, 0);
    return true;
  }
  if (kind < 50 && person.birth_surname != person.surname) {  // 旧氏の記載, 削除
    person.has_former_name = !person.has_former_name;
    Amend(id, Reason::kExOfficioAmendment, 0);
    return true;
  }
  if (kind < 60 && !world_.data.given_names[person.given].variant.empty()) {  // 誤記
    person.given_as_variant = !person.given_as_variant;
    Amend(id, Reason::kExOfficioAmendment, 0);
    return true;
  }
  if (kind < 64 && person.birth_form != BirthForm::kExact) {  // 生年月日の訂正
    person.birth_form = BirthForm::kExact;
    Amend(id, Reason::kExOfficioAmendment, 10);
    return true;
  }
  return false;
}

// 建物名の変更 or 地番の訂正, for everyone at the address.
void Life::CorrectAddress(std::uint32_t id) {
  Household& household = world_.households[id];
  household.busy_until = static_cast<std::uint16_t>(round_);
  AddressRef address = world_.persons[household.members[0]].address;
  const bool building = address.building != 0xffff;
  const std::size_t names = world_.data.building_heads.size() * world_.data.building_tails.size();
  if (building) {
    address.building = static_cast<std::uint16_t>((address.building + 1) % names);
  } else {
    address.number = static_cast<std::uint16_t>(address.number % 30 + 1);
  }
  Moment at = HouseholdMoment(household);
  const Day changed_on = DayOf(at);
  for (std::size_t i = 0; i < household.size; ++i) {
    world_.persons[household.members[i]].address = address;
    const Reason reason = building ? Reason::kMinorAmendment : Reason::kExOfficioAmendment;
    recorder_.Emit(household.members[i], {Kind::kAmend, reason, changed_on, at++});
  }
}

// --- helpers ---

void Life::Amend(std::uint32_t id, Reason reason, int lag_days_max) {
  const Person& person = world_.persons[id];
  const Moment at = NextMoment(person);
  recorder_.Emit(id, {Kind::kAmend, reason, ChangedOn(person, at, lag_days_max), at});
}

void Life::MaybeCancel(std::uint32_t id, const std::vector<Person>& before,
                       generate::Kind cancelled, std::uint32_t per_million) {
  if (round_ == last_round_ || !world_.random.Chance(per_million)) return;
  Household& household = world_.households[id];
  household.busy_until = static_cast<std::uint16_t>(round_ + 1);
  for (std::size_t i = 0; i < household.size; ++i) {
    ScheduleCancel(household.members[i], before[i], cancelled);
  }
}

Moment Life::NextMoment(const Person& person) {
  const Moment at = period_->AnyMoment(world_.random);
  if (at > person.last_notified) return at;
  return person.last_notified + 60 + world_.random.Below(1800);
}

Moment Life::HouseholdMoment(const Household& household) {
  Moment at = period_->AnyMoment(world_.random);
  for (std::size_t i = 0; i < household.size; ++i) {
    at = std::max(at, world_.persons[household.members[i]].last_notified + 60);
  }
  return at;
}

Day Life::ChangedOn(const Person& person, Moment notified_at, int lag_days_max) {
  const Day notified = DayOf(notified_at);
  const Day drawn = notified - world_.random.Between(0, lag_days_max);
  return std::max(drawn, std::min(person.last_changed, notified));
}

int Life::Age(const Person& person) const { return (period_->first() - person.birth) * 4 / 1461; }

std::uint8_t Life::OtherMunicipality(std::uint8_t municipality) {
  while (true) {
    const auto other =
        static_cast<std::uint8_t>(world_.data.municipality_weights.Draw(world_.random));
    if (other != municipality) return other;
  }
}

std::vector<Person> Life::Members(std::uint32_t id) const {
  const Household& household = world_.households[id];
  std::vector<Person> members;
  for (std::size_t i = 0; i < household.size; ++i) {
    members.push_back(world_.persons[household.members[i]]);
  }
  return members;
}

}  // namespace daicho::generate
