// Memory that another's library allocates now and never frees, and that a search for leaks shall not report.
#pragma once

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace daicho {

// While one stands, what this thread allocates is not searched.
#ifdef __SANITIZE_ADDRESS__
using LeaksOfOthers = __lsan::ScopedDisabler;
#else
struct LeaksOfOthers {
  LeaksOfOthers() {}
};
#endif

}  // namespace daicho
