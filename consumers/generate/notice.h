// Renders notices as lines of a notice file (interfaces.md, "Notice file").
#pragma once

#include <cstdint>
#include <string>

#include "consumers/generate/person.h"
#include "consumers/generate/world.h"

namespace daicho::generate {

enum class Kind : std::uint8_t { kEntry, kRemoval, kAmend };

enum class Reason : std::uint8_t {
  kMoveIn,
  kBirth,
  kExOfficioEntry,
  kMoveOut,
  kDeath,
  kExOfficioRemoval,
  kAddressChange,
  kMinorAmendment,
  kExOfficioAmendment,
  kResidentCodeChange,
  kResidentCodeExOfficio,
  kIndividualNumberChange,
  kIndividualNumberExOfficio,
  kIndividualNumberEntry,
};

struct Notice {
  Kind kind;
  Reason reason;
  Day changed_on;
  Moment notified_at;
  std::uint16_t cancels = 0;               // 0: nothing
  std::uint32_t former_code = kNoIndex;    // counter of the code before the change
  std::uint32_t former_number = kNoIndex;  // counter of the number before the change
};

void AppendResidentCode(const World& world, std::uint32_t counter, std::string& out);

// Appends the line, without a newline; the update number is the person's current one.
void AppendNotice(const World& world, const Person& person, const Notice& notice, std::string& out);

}  // namespace daicho::generate
