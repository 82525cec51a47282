// What the simulation remembers of a person: indices into the tables of data.h, small enough for
// millions. The renderer (notice.h) turns it into a record.
#pragma once

#include <array>
#include <cstdint>

#include "consumers/generate/calendar.h"

namespace daicho::generate {

inline constexpr std::uint32_t kNoIndex = 0xffffffff;

struct SurnameRef {  // 氏, and which of its written forms
  std::uint16_t surname = 0;
  std::uint8_t form = 0;
  friend bool operator==(const SurnameRef&, const SurnameRef&) = default;
};

struct AddressRef {
  std::uint16_t town = 0;
  std::uint16_t block = 0;   // 番 or 番地
  std::uint16_t number = 0;  // 号 or 枝番; 0: none
  std::uint16_t building = 0xffff;
  std::uint16_t room = 0;
  std::uint8_t chome = 0;
  std::uint8_t municipality = 0;
};

enum class BirthForm : std::uint8_t { kExact, kNoDay, kNoMonth, kUnknown, kNotInCalendar };

enum class Glyph : std::uint8_t { kNone, kSurname };

struct Person {
  std::uint32_t code = 0;           // counter behind the 住民票コード
  std::uint32_t number = kNoIndex;  // counter behind the 個人番号; kNoIndex until one is assigned
  std::uint32_t household = 0;
  Day birth = 0;
  Day last_changed = 0;
  Moment last_notified = 0;
  std::uint16_t updates = 0;  // the 更新順番号 of the latest notice
  std::uint16_t given = 0;
  SurnameRef surname;
  SurnameRef birth_surname;
  AddressRef address;
  // Of foreign residents: rows of the foreign names; alias_surname only with has_alias.
  std::uint16_t foreign_family = 0;
  std::uint16_t foreign_given = 0;
  std::uint16_t foreign_middle = 0xffff;
  SurnameRef alias_surname;

  BirthForm birth_form : 3 = BirthForm::kExact;
  Glyph glyph : 2 = Glyph::kNone;
  bool female : 1 = false;
  bool resident : 1 = false;
  bool dead : 1 = false;
  bool foreign : 1 = false;
  bool name_in_latin : 1 = false;
  bool has_alias : 1 = false;
  bool has_former_name : 1 = false;
  bool married : 1 = false;
  bool kana_certified : 1 = false;
  bool given_as_variant : 1 = false;  // the given name's other written form
  // What the manifest's examples look for.
  bool moved_between : 1 = false;
  bool code_changed : 1 = false;
};

inline constexpr int kHouseholdMembersMax = 8;

struct Household {
  std::array<std::uint32_t, kHouseholdMembersMax> members{};  // the first one is the head
  std::uint8_t size = 0;
  std::uint16_t busy_until = 0;  // the last round in which nothing more may happen to it
};

}  // namespace daicho::generate
