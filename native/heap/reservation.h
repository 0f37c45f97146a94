// Address space held from the kernel, in whole multiples of kRegionBytes at multiples of kRegionBytes: what regions
// and huge blocks are made in. Each starts with a head that says which of the two it is.
#ifndef OFFHEAP_HEAP_RESERVATION_H_
#define OFFHEAP_HEAP_RESERVATION_H_

#include <cstddef>
#include <cstdint>

#include "heap/types.h"

namespace offheap::heap {

enum class ReservationKind : std::uint8_t { kRegion, kHuge };

// First bytes of every reservation in use. Written before the reservation is entered in the region map and constant
// until it is taken out, so any thread may read it through the map.
struct ReservationHead {
  Heap* heap = nullptr;
  std::size_t bytes = 0;  // address space held, a multiple of kRegionBytes
  ReservationKind kind = ReservationKind::kRegion;
  // At its end the range is parked and not given back.
  bool keep_addresses = false;
};

// A range just taken. `pristine`: nothing in it has been touched since the kernel gave it; otherwise it comes from the
// list of refused releases, and its pages read as anything once committed.
struct Range {
  std::byte* start = nullptr;
  bool pristine = true;
};

// Address space for `bytes`, a multiple of kRegionBytes: one whose release was refused if there is one that fits, else
// from the kernel. What was a huge block is used for huge blocks only: somebody may still write where its contents
// were, and a region has its records there. Any thread.
[[nodiscard]] os::Result<Range> take_address_space(std::size_t bytes, ReservationKind kind);

// Gives address space of any length back: to the kernel, or, if it refuses, to the list of refused releases, as what it
// was. Any thread.
void give_back_address_space(std::byte* start, std::size_t bytes, ReservationKind kind = ReservationKind::kRegion);

// Gives the memory back and keeps the addresses, accessible, for the next reservation of the same length. So whoever
// still holds an address into them (a library's thread that works on a buffer which JavaScript has freed) reads or
// writes pages that are nobody's, where after a release it would end the process. Parked addresses are released when
// the kernel has no others. Any thread.
void park_address_space(std::byte* start, std::size_t bytes, ReservationKind kind);

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_RESERVATION_H_
