// Address to reservation, for any address at all: also one that was never ours. Each 64 MiB of addresses that a
// reservation covers has one entry, and reservations cover whole entries, so an entry is never shared with memory
// that is not ours.
//
//   address   47 ......... 37 | 36 ......... 26 | 25 ......... 0
//              2,048 leaves     2,048 entries     inside the region
#ifndef OFFHEAP_HEAP_REGION_MAP_H_
#define OFFHEAP_HEAP_REGION_MAP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/reservation.h"
#include "heap/types.h"

// One for the process. enter() and remove() take a lock; find() does not and may be called from any thread.
// A reservation found for the address of a live block stays in the map at least as long as that block lives.
namespace offheap::heap::region_map {

namespace internal {

inline constexpr unsigned kAddressBits = 48;
inline constexpr unsigned kEntryBits = 11;
inline constexpr unsigned kLeafBits = kAddressBits - kRegionShift - kEntryBits;

struct Leaf {
  std::array<std::atomic<ReservationHead*>, std::size_t{1} << kEntryBits> entries;
};

// Leaves are made once and never taken away: a few KiB for 128 GiB of addresses.
extern std::array<std::atomic<Leaf*>, std::size_t{1} << kLeafBits> leaves;

}  // namespace internal

// The reservation that covers `address`, or null.
[[nodiscard]] inline ReservationHead* find(const void* address) {
  const std::uint64_t slot = reinterpret_cast<std::uintptr_t>(address) >> kRegionShift;
  const std::uint64_t leaf_index = slot >> internal::kEntryBits;
  if (leaf_index >= internal::leaves.size()) return nullptr;
  const internal::Leaf* leaf = internal::leaves[leaf_index].load(std::memory_order_acquire);
  if (leaf == nullptr) return nullptr;
  constexpr std::uint64_t kEntryMask = (std::uint64_t{1} << internal::kEntryBits) - 1;
  return leaf->entries[slot & kEntryMask].load(std::memory_order_acquire);
}

// Enters every 64 MiB that `head` covers. Fails only when the kernel has no page for a new leaf; then nothing was
// entered.
[[nodiscard]] os::Result<Done> enter(ReservationHead* head);
void remove(ReservationHead* head);

}  // namespace offheap::heap::region_map

#endif  // OFFHEAP_HEAP_REGION_MAP_H_
