#include "heap/reservation.h"

#include "heap/release_retry.h"

namespace offheap::heap {

os::Result<Range> take_address_space(std::size_t bytes, ReservationKind kind) {
  if (std::byte* const kept = release_retry::take(bytes, kind)) return Range{kept, false};
  auto reserved = os::reserve(bytes, kRegionBytes);
  if (!reserved.ok() && release_retry::release_parked() > 0) reserved = os::reserve(bytes, kRegionBytes);
  if (!reserved.ok()) return reserved.error();
  return Range{reserved.value(), true};
}

void give_back_address_space(std::byte* start, std::size_t bytes, ReservationKind kind) {
  if (!os::release(start, bytes).ok()) release_retry::keep(start, bytes, kind);
}

void park_address_space(std::byte* start, std::size_t bytes, ReservationKind kind) {
  if (!release_retry::park(start, bytes, kind)) give_back_address_space(start, bytes, kind);
}

}  // namespace offheap::heap
