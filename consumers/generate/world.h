// The whole simulated prefecture, and the makers of its people and addresses. Everything random
// comes from World::random, in one order: that order is what makes two runs equal. (Hence at most
// one draw per expression: compilers may evaluate operands in any order.)
#pragma once

#include <cstdint>
#include <vector>

#include "consumers/generate/data.h"
#include "consumers/generate/person.h"
#include "consumers/generate/random.h"

namespace daicho::generate {

struct World {
  World(std::uint64_t seed, Data tables);

  std::uint32_t NewHousehold();
  // Adds a person to a household. Requires: the household is not full.
  std::uint32_t AddMember(std::uint32_t household, const Person& person);
  void RemoveMember(std::uint32_t household, std::uint32_t person);

  Data data;  // towns change their names during a run
  Random random;
  Permutation codes;    // 住民票コード without check digit
  Permutation numbers;  // 個人番号 without check digit
  std::uint32_t next_code = 0;
  std::uint32_t next_number = 0;
  std::vector<Person> persons;
  std::vector<Household> households;
};

// An address anywhere in a municipality; `apartment_per_million` of them in a building with rooms.
AddressRef MakeAddress(World& world, std::uint8_t municipality,
                       std::uint32_t apartment_per_million);

// A given name in fashion when the person was born.
std::uint16_t MakeGivenName(World& world, bool female, Day birth);
SurnameRef MakeSurname(World& world);
// Draws another of the surname's written forms; the same if it has only one.
SurnameRef OtherForm(World& world, SurnameRef surname);
void GiveAlias(World& world, Person& person);

enum class Arrival { kSettled, kMoving };  // movers are younger, and more often from abroad

// One household of at most `members_max` people as of `today`, at a fresh address. Nobody is
// resident yet and nobody has a notice; everybody has a code and a number.
std::uint32_t MakeHousehold(World& world, std::uint8_t municipality, Day today, Arrival arrival,
                            int members_max);

// A child of the mother's nation, surname and address; it has a code and a number.
Person MakeChild(World& world, std::uint32_t mother, Day birth);

}  // namespace daicho::generate
