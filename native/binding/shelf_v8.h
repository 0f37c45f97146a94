// Freed blocks kept at hand, each with its backing store, for the next buffer of exactly the same size. Of what it
// costs to make a buffer and free it, two of three mallocs are V8's for the backing store and its reference count, and
// the rest of our own part is the heap's: all of it is spared when the whole is used again.
#ifndef OFFHEAP_BINDING_SHELF_V8_H_
#define OFFHEAP_BINDING_SHELF_V8_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "binding/lease.h"
#include "heap/heap.h"

namespace offheap::binding {

// Belongs to one part of a heap, and is used by whoever holds the part's lock. What lies on it counts as freed, and is
// given back before anybody looks at the heap closely: statistics, snapshot, trim, decay, close.
// Always true: the leases of a slot do not stand, and are of the slot's size; bytes_ is the sum of their sizes.
class Shelf {
 public:
  // Above this, touching the block costs much more than making the buffer.
  static constexpr std::size_t kMostBlockBytes = std::size_t{64} << 10;
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;

  // A lease on a block of the size and alignment of `layout`, or null. Remembers that the size was asked for: only
  // sizes that come again are worth keeping.
  [[nodiscard]] Lease* take(heap::Layout layout) {
    Slot& slot = slot_of(layout.size());
    if (slot.size != layout.size()) [[unlikely]] {
      if (slot.first == nullptr) slot.size = layout.size();
      return nullptr;
    }
    Lease* const lease = slot.first;
    if (lease == nullptr || !heap::is_aligned(lease->address(), layout.align())) return nullptr;
    slot.first = next(lease);
    bytes_ -= layout.size();
    return lease;
  }

  // False if there is no place for it.
  [[nodiscard]] bool put(Lease* lease, std::size_t size) {
    Slot& slot = slot_of(size);
    if (slot.size != size || size > kMostBlockBytes || bytes_ + size > kMostBytes) return false;
    next(lease) = slot.first;
    slot.first = lease;
    bytes_ += size;
    return true;
  }

  // Takes everything off and calls give_back(lease) for each.
  template <typename GiveBack>
  void empty(GiveBack give_back) {
    for (Slot& slot : slots_) {
      Lease* lease = slot.first;
      slot = {};
      while (lease != nullptr) {
        Lease* const following = next(lease);
        give_back(lease);
        lease = following;
      }
    }
    bytes_ = 0;
  }

 private:
  struct Slot {
    std::size_t size = 0;
    Lease* first = nullptr;
  };

  // While a lease lies here, the room it keeps the reference count in is free.
  [[nodiscard]] static Lease*& next(Lease* lease) { return *reinterpret_cast<Lease**>(lease->room()); }

  static constexpr unsigned kSlotBits = 6;
  [[nodiscard]] Slot& slot_of(std::size_t size) {
    // Fibonacci hashing: the sizes people use are multiples of powers of two.
    return slots_[(size * 0x9E37'79B9'7F4A'7C15U) >> (64 - kSlotBits)];
  }

  std::array<Slot, std::size_t{1} << kSlotBits> slots_{};
  std::size_t bytes_ = 0;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_SHELF_V8_H_
