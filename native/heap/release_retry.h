// Reservations the kernel refused to take back (munmap may answer ENOMEM when it would have to split a mapping and
// the process has too many). Their memory is given back page by page where the kernel allows it, they are counted,
// reused before anything is reserved anew, and offered to the kernel again on every trim. Beside them, the reservations
// that were parked for the sake of their addresses (see park_address_space() in reservation.h).
#ifndef OFFHEAP_HEAP_RELEASE_RETRY_H_
#define OFFHEAP_HEAP_RELEASE_RETRY_H_

#include <cstddef>
#include <cstdint>

#include "heap/reservation.h"

namespace offheap::heap::release_retry {

// More than anybody will see: each is 64 MiB of addresses or more, and the kernel's own bound on mappings is 65,530.
// Ranges beyond are not reused; they hold addresses and no memory.
inline constexpr std::size_t kMostRanges = 4096;

// Takes over [start, start + bytes), whose release was refused. Any thread, like all of these.
void keep(std::byte* start, std::size_t bytes, ReservationKind was);

// A kept range of exactly this length, fit for this kind, or null. Its pages are not known to be zero or committed.
[[nodiscard]] std::byte* take(std::size_t bytes, ReservationKind kind);

// Takes over a range that was not offered to the kernel, for its addresses; its memory goes back now. False, and
// nothing has changed, if there is no place in the list.
[[nodiscard]] bool park(std::byte* start, std::size_t bytes, ReservationKind was);
// Offers the parked ranges to the kernel after all. Returns the bytes of address space it accepted.
std::size_t release_parked();

// Offers every range whose release was refused to the kernel again. Returns the bytes of address space it accepted.
std::size_t retry();

struct Counts {
  std::uint64_t refused = 0;  // releases refused since the process started
  std::size_t ranges = 0;     // kept now
  std::size_t bytes = 0;      // kept now
  std::size_t parked_ranges = 0;
  std::size_t parked_bytes = 0;
};
[[nodiscard]] Counts counts();

}  // namespace offheap::heap::release_retry

#endif  // OFFHEAP_HEAP_RELEASE_RETRY_H_
