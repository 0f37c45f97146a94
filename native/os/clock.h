// The clock that idle pages are aged by.
#ifndef OFFHEAP_OS_CLOCK_H_
#define OFFHEAP_OS_CLOCK_H_

#include <cstdint>

namespace offheap::os {

// Milliseconds since some fixed moment; never goes back. A few milliseconds coarse, and cheap: no system call on Linux.
[[nodiscard]] std::uint64_t monotonic_milliseconds();

}  // namespace offheap::os

#endif  // OFFHEAP_OS_CLOCK_H_
