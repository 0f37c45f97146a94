#include "heap/reservation.h"

#include "heap/release_retry.h"

namespace offheap::heap {

os::Result<Range> take_address_space(std::size_t bytes) {
  if (std::byte* const kept = release_retry::take(bytes)) return Range{kept, false};
  auto reserved = os::reserve(bytes, kRegionBytes);
  if (!reserved.ok() && release_retry::release_parked() > 0) reserved = os::reserve(bytes, kRegionBytes);
  if (!reserved.ok()) return reserved.error();
  return Range{reserved.value(), true};
}

void give_back_address_space(std::byte* start, std::size_t bytes) {
  if (!os::release(start, bytes).ok()) release_retry::keep(start, bytes);
}

void park_address_space(std::byte* start, std::size_t bytes) {
  if (!release_retry::park(start, bytes)) give_back_address_space(start, bytes);
}

}  // namespace offheap::heap
