#include "os/clock.h"

#ifdef _WIN32
#include "os/windows.h"
#else
#include <ctime>
#endif

namespace offheap::os {

std::uint64_t monotonic_milliseconds() {
#ifdef _WIN32
  return ::GetTickCount64();
#else
#ifdef CLOCK_MONOTONIC_COARSE
  constexpr clockid_t kClock = CLOCK_MONOTONIC_COARSE;  // read from the vDSO page, about 5 ns
#else
  constexpr clockid_t kClock = CLOCK_MONOTONIC;
#endif
  timespec now{};
  ::clock_gettime(kClock, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
#endif
}

}  // namespace offheap::os
