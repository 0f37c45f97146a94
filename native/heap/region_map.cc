#include "heap/region_map.h"

#include <mutex>

#include "os/lock.h"

namespace offheap::heap::region_map {

namespace internal {

constinit std::array<std::atomic<Leaf*>, std::size_t{1} << kLeafBits> leaves{};

}  // namespace internal

namespace {

constinit os::Lock mutex;

constexpr std::uint64_t kEntryMask = (std::uint64_t{1} << internal::kEntryBits) - 1;

std::uint64_t first_slot(const ReservationHead* head) { return reinterpret_cast<std::uintptr_t>(head) >> kRegionShift; }

std::uint64_t end_slot(const ReservationHead* head) { return first_slot(head) + (head->bytes >> kRegionShift); }

std::atomic<ReservationHead*>& entry(std::uint64_t slot) {
  return internal::leaves[slot >> internal::kEntryBits].load(std::memory_order_relaxed)->entries[slot & kEntryMask];
}

// A leaf from the kernel: its pages read zero, which is a leaf with no entry.
os::Result<internal::Leaf*> make_leaf() {
  const std::size_t granularity = os::allocation_granularity();
  const std::size_t bytes = round_up(sizeof(internal::Leaf), granularity);
  const auto reserved = os::reserve(bytes, granularity);
  if (!reserved.ok()) return reserved.error();
  const auto committed = os::commit(reserved.value(), bytes);
  if (!committed.ok()) {
    give_back_address_space(reserved.value(), bytes);
    return committed.error();
  }
  return reinterpret_cast<internal::Leaf*>(reserved.value());
}

}  // namespace

os::Result<Done> enter(ReservationHead* head) {
  const std::scoped_lock lock(mutex);
  for (std::uint64_t slot = first_slot(head); slot < end_slot(head); ++slot) {
    auto& leaf = internal::leaves[slot >> internal::kEntryBits];
    if (leaf.load(std::memory_order_relaxed) != nullptr) continue;
    const auto made = make_leaf();
    if (!made.ok()) return made.error();
    leaf.store(made.value(), std::memory_order_release);
  }
  for (std::uint64_t slot = first_slot(head); slot < end_slot(head); ++slot) {
    entry(slot).store(head, std::memory_order_release);
  }
  return Done{};
}

void remove(ReservationHead* head) {
  const std::scoped_lock lock(mutex);
  for (std::uint64_t slot = first_slot(head); slot < end_slot(head); ++slot) {
    entry(slot).store(nullptr, std::memory_order_release);
  }
}

}  // namespace offheap::heap::region_map
