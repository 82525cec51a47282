// What a program that is compiled by clang with a sanitizer does otherwise.
#pragma once

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DAICHO_ADDRESS_SANITIZER
#endif
#if __has_feature(thread_sanitizer)
#define DAICHO_THREAD_SANITIZER
#endif
#endif
#ifdef DAICHO_ADDRESS_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif

namespace daicho {

#ifdef DAICHO_ADDRESS_SANITIZER
inline constexpr bool kAddressSanitizer = true;
// While one stands, what this thread allocates is not searched for leaks: another's library never frees it.
using LeaksOfOthers = __lsan::ScopedDisabler;
#else
inline constexpr bool kAddressSanitizer = false;
struct LeaksOfOthers {
  LeaksOfOthers() {}
};
#endif
#ifdef DAICHO_THREAD_SANITIZER
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace daicho
