// Residents of other prefectures, made up for the stand-in for 機構 to hold.
#pragma once

#include <cstdint>
#include <vector>

#include "events/consistency.pb.h"
#include "events/event.h"

namespace daicho {

// `count` persons of other prefectures' capitals; the same for the same seed.
std::vector<v1::HeldCopy> MakeOthers(std::uint64_t count, std::uint64_t seed);

}  // namespace daicho
