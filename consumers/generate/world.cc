#include "consumers/generate/world.h"

#include <algorithm>
#include <utility>

#include "events/result.h"

namespace daicho::generate {
namespace {

constexpr std::uint64_t kRandomStream = 1;
constexpr std::uint64_t kCodeStream = 2;
constexpr std::uint64_t kNumberStream = 3;

std::uint64_t Stream(std::uint64_t seed, std::uint64_t stream) {
  std::uint64_t state = seed ^ stream * 0xd1342543de82ef95;
  return SplitMix(state);
}

struct Shape {
  std::uint32_t weight_settled;
  std::uint32_t weight_moving;
  int age_min;
  int age_max;
  bool couple;
  int children_max;
  int grandparents_max;
  std::uint32_t apartment_per_million;
};

constexpr Shape kShapes[] = {
    {10, 46, 18, 34, false, 0, 0, 800'000}, {11, 14, 35, 64, false, 0, 0, 450'000},
    {18, 4, 65, 99, false, 0, 0, 120'000},  {3, 12, 24, 39, true, 0, 0, 600'000},
    {10, 4, 40, 64, true, 0, 0, 150'000},   {23, 3, 65, 93, true, 0, 0, 50'000},
    {15, 14, 27, 48, true, 3, 0, 200'000},  {11, 2, 46, 64, true, 2, 0, 60'000},
    {6, 3, 25, 52, false, 3, 0, 400'000},   {7, 0, 34, 58, true, 3, 2, 10'000},
    {9, 0, 45, 70, false, 0, 2, 20'000},
};

constexpr Shape kForeignShapes[] = {
    {55, 80, 19, 38, false, 0, 0, 900'000}, {12, 6, 24, 59, true, 0, 0, 700'000},
    {24, 12, 25, 49, true, 3, 0, 600'000},  {6, 2, 27, 48, false, 2, 0, 700'000},
    {3, 0, 60, 84, false, 0, 0, 300'000},
};

template <std::size_t N>
const Shape& DrawShape(World& world, const Shape (&shapes)[N], Arrival arrival) {
  const auto weight = [arrival](const Shape& shape) {
    return arrival == Arrival::kSettled ? shape.weight_settled : shape.weight_moving;
  };
  std::uint32_t total = 0;
  for (const Shape& shape : shapes) total += weight(shape);
  std::uint32_t at = world.random.Below(total);
  for (const Shape& shape : shapes) {
    if (at < weight(shape)) return shape;
    at -= weight(shape);
  }
  return shapes[0];
}

int DrawAge(World& world, int low, int high) {
  Random& random = world.random;
  if (low < 60) return random.Between(low, high);
  // The old: fewer the older, and a few beyond a hundred.
  if (high > 95 && random.Chance(4000)) return random.Between(100, 110);
  const int first = random.Between(low, high);
  return std::min(first, random.Between(low, high));
}

Day BirthAtAge(World& world, Day today, int age) {
  return today - (age * 1461 + 3) / 4 - world.random.Between(0, 364);
}

BirthForm DrawBirthForm(World& world, const Person& person) {
  const int year = CivilOf(person.birth).year;
  const std::uint32_t at = world.random.Below(1'000'000);
  if (person.foreign) return at < 1500 ? BirthForm::kNoMonth : BirthForm::kExact;
  if (year >= 1946) return BirthForm::kExact;
  if (at < 3500) return BirthForm::kNoDay;
  if (at < 5000) return BirthForm::kNoMonth;
  if (at < 5700) return BirthForm::kUnknown;
  if (at < 6300 && !IsLeap(year)) return BirthForm::kNotInCalendar;
  return BirthForm::kExact;
}

Person NewPerson(World& world, Day birth, bool female, const AddressRef& address) {
  Person person;
  person.code = world.next_code++;
  person.number = world.next_number++;
  person.birth = birth;
  person.female = female;
  person.address = address;
  return person;
}

std::uint16_t Pick(World& world, const std::vector<std::uint16_t>& from) {
  return from[world.random.Below(static_cast<std::uint32_t>(from.size()))];
}

Person MakeNative(World& world, Day birth, bool female, const AddressRef& address,
                  SurnameRef surname) {
  Person person = NewPerson(world, birth, female, address);
  person.surname = person.birth_surname = surname;
  person.given = MakeGivenName(world, female, birth);
  person.given_as_variant =
      !world.data.given_names[person.given].variant.empty() && world.random.Chance(120'000);
  person.birth_form = DrawBirthForm(world, person);
  if (world.random.Chance(250)) person.glyph = Glyph::kSurname;
  return person;
}

Person MakeForeign(World& world, const Nation& nation, Day birth, bool female,
                   const AddressRef& address, std::uint16_t family) {
  Random& random = world.random;
  Person person = NewPerson(world, birth, female, address);
  person.foreign = true;
  person.foreign_family = family;
  person.foreign_given = Pick(world, nation.given[female]);
  if (nation.middle_names && random.Chance(450'000)) {
    person.foreign_middle = Pick(world, nation.given[female]);
    if (person.foreign_middle == person.foreign_given) person.foreign_middle = 0xffff;
  }
  person.name_in_latin = !nation.characters && random.Chance(500'000);
  person.birth_form = DrawBirthForm(world, person);
  if (random.Chance(nation.alias_per_million)) GiveAlias(world, person);
  return person;
}

const Nation& DrawNation(World& world, std::uint8_t municipality) {
  const bool factories = world.data.municipalities[municipality].factories;
  return world.data.nations[world.data.nation_weights[factories].Draw(world.random)];
}

// Makes the members of one household, all with the same surname and address.
class HouseholdMaker {
 public:
  HouseholdMaker(World& world, Day today, const Shape& shape, const AddressRef& address,
                 const Nation* nation, int members_max)
      : world_(world),
        today_(today),
        shape_(shape),
        address_(address),
        nation_(nation),
        room_(std::min(members_max, kHouseholdMembersMax)),
        household_(world.NewHousehold()) {
    if (nation != nullptr) {
      family_ = Pick(world, nation->family);
    } else {
      surname_ = MakeSurname(world);
    }
  }

  std::uint32_t Make() {
    Random& random = world_.random;
    const int age = DrawAge(world_, shape_.age_min, shape_.age_max);
    const bool single_parent = !shape_.couple && shape_.children_max > 0;
    const bool head_female = single_parent
                                 ? random.Chance(850'000)
                                 : !shape_.couple && random.Chance(age < 60 ? 420'000 : 680'000);
    Add(age, head_female, shape_.couple || single_parent);
    int mother_age = age;
    if (shape_.couple) {
      mother_age = std::max(18, age + random.Between(-6, 3));
      Add(mother_age, true, true);
    }
    for (int i = 0; i < shape_.children_max; ++i) AddChild(mother_age, i);
    for (int i = 0; i < shape_.grandparents_max; ++i) AddGrandparent(age, i);
    return household_;
  }

 private:
  void Add(int age, bool female, bool married) {
    if (room_-- <= 0) return;
    const Day birth = BirthAtAge(world_, today_, age);
    Person person = nation_ != nullptr
                        ? MakeForeign(world_, *nation_, birth, female, address_, family_)
                        : MakeNative(world_, birth, female, address_, surname_);
    person.married = married;
    if (!person.foreign && married && female) {
      person.birth_surname = MakeSurname(world_);
      person.has_former_name =
          person.birth_surname != person.surname && age < 65 && world_.random.Chance(9000);
    }
    world_.AddMember(household_, person);
  }

  void AddChild(int mother_age, int index) {
    Random& random = world_.random;
    if (!random.Chance(index == 0 ? 950'000 : index == 1 ? 620'000 : 220'000)) return;
    const int age = mother_age - random.Between(23, 37);
    if (age >= 0 && age <= 32) Add(age, random.Chance(487'000), false);
  }

  void AddGrandparent(int head_age, int index) {
    Random& random = world_.random;
    const int age = head_age + random.Between(22, 33);
    if (age <= 104 && random.Chance(index == 0 ? 950'000 : 450'000)) Add(age, index == 0, true);
  }

  World& world_;
  const Day today_;
  const Shape& shape_;
  const AddressRef address_;
  const Nation* const nation_;
  int room_;
  const std::uint32_t household_;
  SurnameRef surname_;
  std::uint16_t family_ = 0;
};

}  // namespace

World::World(std::uint64_t seed, Data tables)
    : data(std::move(tables)),
      random(Stream(seed, kRandomStream)),
      codes(10, Stream(seed, kCodeStream)),
      numbers(11, Stream(seed, kNumberStream)) {}

std::uint32_t World::NewHousehold() {
  households.emplace_back();
  return static_cast<std::uint32_t>(households.size() - 1);
}

std::uint32_t World::AddMember(std::uint32_t household, const Person& person) {
  Household& home = households[household];
  CHECK(home.size < kHouseholdMembersMax);
  const auto id = static_cast<std::uint32_t>(persons.size());
  persons.push_back(person);
  persons.back().household = household;
  home.members[home.size++] = id;
  return id;
}

void World::RemoveMember(std::uint32_t household, std::uint32_t person) {
  Household& home = households[household];
  const auto end = home.members.begin() + home.size;
  const auto kept = std::remove(home.members.begin(), end, person);
  CHECK(kept == end - 1);
  --home.size;
}

AddressRef MakeAddress(World& world, std::uint8_t municipality,
                       std::uint32_t apartment_per_million) {
  Random& random = world.random;
  const Municipality& place = world.data.municipalities[municipality];
  AddressRef address;
  address.municipality = municipality;
  address.town = place.towns[place.town_weights.Draw(random)];
  const Town& town = world.data.towns[address.town];
  if (town.chome_max > 0)
    address.chome = static_cast<std::uint8_t>(random.Between(1, town.chome_max));
  const auto number = [&random](int low, int high) {
    return static_cast<std::uint16_t>(random.Between(low, high));
  };
  switch (town.numbering) {
    case Numbering::kBlocks:
      address.block = number(1, 40);
      address.number = number(1, 30);
      break;
    case Numbering::kLots:
      address.block = number(1, 2400);
      address.number = random.Chance(600'000) ? number(1, 30) : 0;
      break;
    case Numbering::kChomeLots:
      address.block = number(1, 900);
      address.number = random.Chance(600'000) ? number(1, 20) : 0;
      break;
  }
  if (random.Chance(apartment_per_million)) {
    const std::size_t names = world.data.building_heads.size() * world.data.building_tails.size();
    address.building = static_cast<std::uint16_t>(random.Below(static_cast<std::uint32_t>(names)));
    const int floor = random.Between(1, 4);
    address.room = static_cast<std::uint16_t>(floor * 100 + random.Between(1, 8));
  }
  return address;
}

std::uint16_t MakeGivenName(World& world, bool female, Day birth) {
  const int decade = (CivilOf(birth).year - kDecadeFirst) / 10;
  const GivenGroup& group =
      world.data.given[female][static_cast<std::size_t>(std::clamp(decade, 0, kDecadeCount - 1))];
  return group.names[group.weights.Draw(world.random)];
}

SurnameRef MakeSurname(World& world) {
  const std::uint32_t index = world.data.surname_weights.Draw(world.random);
  const std::uint32_t form = world.data.surnames[index].form_weights.Draw(world.random);
  return {static_cast<std::uint16_t>(index), static_cast<std::uint8_t>(form)};
}

SurnameRef OtherForm(World& world, SurnameRef surname) {
  const auto forms = static_cast<std::uint32_t>(world.data.surnames[surname.surname].forms.size());
  if (forms < 2) return surname;
  const std::uint32_t next = surname.form + 1 + world.random.Below(forms - 1);
  return {surname.surname, static_cast<std::uint8_t>(next % forms)};
}

void GiveAlias(World& world, Person& person) {
  person.has_alias = true;
  person.alias_surname = MakeSurname(world);
  person.alias_surname.form = 0;
  person.given = MakeGivenName(world, person.female, person.birth);
}

std::uint32_t MakeHousehold(World& world, std::uint8_t municipality, Day today, Arrival arrival,
                            int members_max) {
  const Municipality& place = world.data.municipalities[municipality];
  // Foreign households are smaller, hence more of them; movers come from abroad more often.
  const std::uint32_t share = place.foreign_per_million * (arrival == Arrival::kMoving ? 3 : 1);
  const bool foreign = world.random.Chance(std::min<std::uint32_t>(share * 5 / 4, 800'000));
  const Nation* nation = foreign ? &DrawNation(world, municipality) : nullptr;
  const Shape& shape =
      foreign ? DrawShape(world, kForeignShapes, arrival) : DrawShape(world, kShapes, arrival);
  const AddressRef address = MakeAddress(world, municipality, shape.apartment_per_million);
  return HouseholdMaker(world, today, shape, address, nation, members_max).Make();
}

Person MakeChild(World& world, std::uint32_t mother, Day birth) {
  const Person parent = world.persons[mother];
  const bool female = world.random.Chance(487'000);
  Person child;
  if (parent.foreign) {
    // The child's names come from the tables of the mother's nation.
    const auto nation = std::find_if(
        world.data.nations.begin(), world.data.nations.end(), [&parent](const Nation& n) {
          return std::find(n.family.begin(), n.family.end(), parent.foreign_family) !=
                 n.family.end();
        });
    CHECK(nation != world.data.nations.end());
    child = MakeForeign(world, *nation, birth, female, parent.address, parent.foreign_family);
  } else {
    child = MakeNative(world, birth, female, parent.address, parent.surname);
  }
  child.birth_form = BirthForm::kExact;
  return child;
}

}  // namespace daicho::generate
