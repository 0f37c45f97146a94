#include "heap/region_map.h"

#include "heap/region.h"
#include "test/heaps.h"

namespace offheap::test {

namespace region_map = heap::region_map;
using heap::kRegionBytes;

TEST("every address of a region leads to it, and no address beside it does") {
  OwnHeap heap;
  (void)hold(*heap, 1);
  heap::Region* const region = heap->regions();
  std::byte* const start = region->start();
  for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, kRegionBytes / 2, kRegionBytes - 1}) {
    CHECK(region_map::find(start + offset) == &region->head);
  }
  CHECK(region_map::find(start - 1) != &region->head);
  CHECK(region_map::find(start + kRegionBytes) != &region->head);
}

TEST("every 64 MiB of a huge block lead to it, and to nothing when it is gone") {
  OwnHeap heap;
  const auto block = heap->allocate(layout(200 * kMiB), Fill::kAnything);
  std::byte* const address = block.value().address;
  const heap::ReservationHead* const head = &heap->huge_blocks()->head;
  for (std::size_t offset = 0; offset < 200 * kMiB; offset += kMiB) CHECK(region_map::find(address + offset) == head);
  CHECK(heap->free(address, 200 * kMiB).ok());
  for (std::size_t offset = 0; offset < 200 * kMiB; offset += kMiB)
    CHECK(region_map::find(address + offset) == nullptr);
}

TEST("any address at all may be looked up, and leads to nothing that does not cover it") {
  const auto check = [](std::uintptr_t address) {
    const auto* const head = region_map::find(reinterpret_cast<const void*>(address));
    if (head == nullptr) return;
    // Windows gives low addresses too, and some tests leave a heap behind.
    const auto start = reinterpret_cast<std::uintptr_t>(head);
    CHECK(start <= address && address < start + head->bytes);
  };
  int on_stack = 0;
  CHECK(region_map::find(&on_stack) == nullptr);
  CHECK(region_map::find(nullptr) == nullptr);
  for (unsigned shift = 0; shift < 64; ++shift) {
    const std::uintptr_t address = std::uintptr_t{1} << shift;
    check(address - 1);
    check(address);
    check(~address);
  }
}

}  // namespace offheap::test
