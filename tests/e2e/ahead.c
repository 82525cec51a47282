/* A clock that runs ahead by DAICHO_AHEAD_SECONDS, for a process that preloads it (LD_PRELOAD). Only what the system
   calls the time of day: waiting is by the monotonic clock. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  const int failed = (int)syscall(SYS_clock_gettime, clock, now);
  const char *ahead = clock == CLOCK_REALTIME ? getenv("DAICHO_AHEAD_SECONDS") : NULL;
  if (!failed && ahead != NULL) now->tv_sec += atoll(ahead);
  return failed;
}
