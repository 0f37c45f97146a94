// What happens to address space the kernel refuses to take back.
#include "heap/release_retry.h"

#include <array>
#include <cstring>
#include <vector>

#include "heap/region.h"
#include "heap/reservation.h"
#include "test/heaps.h"

namespace offheap::test {

namespace release_retry = heap::release_retry;
using heap::kRegionBytes;
using os::Call;

namespace {

// Refuses every release while it lives, and gives back what was kept when it dies.
class ReleasesRefused {
 public:
  ReleasesRefused() {
    (void)release_retry::retry();
    CHECK_EQ(release_retry::counts().ranges, 0U);
    os::faults::fail(Call::kRelease, 1, os::faults::kForever);
  }
  ~ReleasesRefused() {
    os::faults::clear();
    (void)release_retry::retry();
  }
  ReleasesRefused(const ReleasesRefused&) = delete;
  ReleasesRefused& operator=(const ReleasesRefused&) = delete;
};

// A heap whose one region is empty again and full of old contents.
void soil_region(Heap& heap) {
  const Held held = hold(heap, 10 * kMiB);
  const Held small = hold(heap, 100);
  drop(heap, held);
  drop(heap, small);
}

}  // namespace

TEST("a refused release is kept and counted, and its memory goes back all the same") {
  OwnHeap heap;
  soil_region(*heap);
  const auto before = release_retry::counts();
  const ReleasesRefused refused;
  const auto decommits = kernel_calls(Call::kDecommit);
  (void)heap->trim();
  const auto after = release_retry::counts();
  CHECK(after.refused > before.refused);
  CHECK_EQ(after.ranges, 1U);
  CHECK_EQ(after.bytes, kRegionBytes);
  CHECK_EQ(kernel_calls(Call::kDecommit) - decommits, 1U);
  CHECK_EQ(heap->statistics().regions, 0U);
  CHECK(heap->check_invariants());
}

TEST("a refused release is retried by trim, and then nothing is kept") {
  OwnHeap heap;
  soil_region(*heap);
  {
    const ReleasesRefused refused;
    (void)heap->trim();
    CHECK_EQ(release_retry::counts().ranges, 1U);
    // Refused again: still there.
    (void)heap->trim();
    CHECK_EQ(release_retry::counts().ranges, 1U);
    os::faults::clear();
    OwnHeap other;
    (void)other->trim();
    CHECK_EQ(release_retry::counts().ranges, 0U);
    CHECK_EQ(release_retry::counts().bytes, 0U);
  }
}

TEST("a region whose release was refused is reused first, without a new reservation") {
  OwnHeap heap;
  soil_region(*heap);
  const ReleasesRefused refused;
  std::byte* const start = heap->regions()->start();
  (void)heap->trim();
  const auto reserves = kernel_calls(Call::kReserve);
  const Held held = hold(*heap, 100, 8, Fill::kZero);
  CHECK(heap->regions()->start() == start);
  CHECK_EQ(kernel_calls(Call::kReserve), reserves);
  CHECK_EQ(release_retry::counts().ranges, 0U);
  drop(*heap, held);
}

TEST("a huge block whose release was refused is reused by one of the same length") {
  OwnHeap heap;
  const ReleasesRefused refused;
  const Held held = hold(*heap, 20 * kMiB);
  drop(*heap, held);
  CHECK_EQ(release_retry::counts().ranges, 1U);
  const Held larger = hold(*heap, 70 * kMiB);
  CHECK_EQ(release_retry::counts().ranges, 1U);
  const Held again = hold(*heap, 30 * kMiB, 8, Fill::kZero);
  CHECK(again.address == held.address);
  CHECK_EQ(release_retry::counts().ranges, 0U);
  drop(*heap, again);
  drop(*heap, larger);
}

TEST("a reused region does not show what it held, also when its pages could not be decommitted") {
  for (const bool decommit_too : {false, true}) {
    OwnHeap heap;
    // Metadata for many spans, and contents in every page.
    std::vector<Held> blocks;
    for (int index = 0; index < 400; ++index) blocks.push_back(hold(*heap, 40 * kKiB));
    for (const Held& held : blocks) drop(*heap, held);
    const ReleasesRefused refused;
    if (decommit_too) {
      os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
      os::faults::fail(Call::kAdvise, 1, os::faults::kForever);
    }
    (void)heap->trim();
    CHECK_EQ(heap->statistics().regions, 0U);
    CHECK_EQ(release_retry::counts().ranges, 1U);
    const Held zeroed = hold(*heap, 10 * kMiB, 8, Fill::kZero);
    for (int index = 0; index < 300; ++index)
      blocks[static_cast<std::size_t>(index)] = hold(*heap, 30'000, 8, Fill::kZero);
    CHECK(heap->check_invariants());
    Held grown = hold(*heap, 100 * kKiB);
    const auto made = heap->reallocate(grown.address, grown.size, layout(kMiB), Fill::kZero);
    CHECK(has_pattern(made.value().address, 100 * kKiB, grown.seed));
    CHECK(is_zero(made.value().address + 100 * kKiB, kMiB - 100 * kKiB));
    CHECK(zeroed.intact());
  }
}

TEST("a reused huge block does not show what it held, also when its pages could not be decommitted") {
  for (const bool decommit_too : {false, true}) {
    OwnHeap heap;
    const Held held = hold(*heap, 40 * kMiB);
    const ReleasesRefused refused;
    if (decommit_too) {
      os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
      os::faults::fail(Call::kAdvise, 1, os::faults::kForever);
    }
    drop(*heap, held);
    Held again = hold(*heap, 20 * kMiB, 8, Fill::kZero);
    CHECK(again.address == held.address);
    CHECK(heap->resize_in_place(again.address, again.size, layout(40 * kMiB), Fill::kZero).value());
    CHECK(has_pattern(again.address, 20 * kMiB, again.seed));
    CHECK(is_zero(again.address + 20 * kMiB, 20 * kMiB));
    again.size = 40 * kMiB;
    CHECK(heap->free(again.address, again.size).ok());
  }
}

TEST("the span records of a region that is reused start from nothing, also when they could not be decommitted") {
  const ReleasesRefused refused;
  os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
  os::faults::fail(Call::kAdvise, 1, os::faults::kForever);
  constexpr std::size_t kBlocks = 600;  // more than the first step of metadata has records for
  {
    OwnHeap heap;
    std::vector<Held> blocks;
    for (std::size_t index = 0; index < kBlocks; ++index) blocks.push_back(hold(*heap, 40 * kKiB));
    for (std::size_t index = 0; index < kBlocks; index += 2) drop(*heap, blocks[index]);
    CHECK(heap->regions()->committed_metadata > 128 * kKiB);
  }
  CHECK(release_retry::counts().ranges >= 2);
  OwnHeap heap;
  std::vector<Held> blocks;
  for (std::size_t index = 0; index < kBlocks; ++index) {
    blocks.push_back(hold(*heap, 40 * kKiB));
    if (index % 100 == 99) CHECK(heap->check_invariants());
  }
  for (const Held& held : blocks) drop(*heap, held);
  CHECK(heap->check_invariants());
  CHECK_EQ(heap->statistics().regions, 1U);
}

TEST("a destroyed heap whose releases are all refused is given back later") {
  const auto before = release_retry::counts();
  {
    const ReleasesRefused refused;
    {
      OwnHeap heap;
      (void)hold(*heap, 100);
      (void)hold(*heap, 20 * kMiB);
    }
    const auto kept = release_retry::counts();
    CHECK_EQ(kept.ranges, 3U);  // the region, the huge block, the heap itself
    CHECK(kept.bytes > 2 * kRegionBytes);
    CHECK_EQ(kept.refused, before.refused + 3);
  }
  CHECK_EQ(release_retry::counts().ranges, 0U);
}

TEST("a refused decommit keeps the pages, is counted, and is tried again by the next trim") {
  OwnHeap heap;
  const Held wall = hold(*heap, 40 * kKiB);
  drop(*heap, hold(*heap, 5 * kMiB));
  const std::size_t committed = heap->statistics().committed;
  os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
  CHECK_EQ(heap->trim(), 0U);
  CHECK_EQ(heap->statistics().committed, committed);
  CHECK_EQ(heap->statistics().decommits_refused, 1U);
  CHECK(heap->check_invariants());
  CHECK(heap->decay(0));  // somebody should call again
  os::faults::clear();
  CHECK(heap->trim() >= 5 * kMiB);
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata + bytes_of_touched_pages(std::array{wall}));
  CHECK_EQ(statistics.decommits_refused, 1U);
  CHECK(wall.intact());
}

TEST("pages whose decommit was refused are reused and read zero when zero is asked for") {
  for (const bool discard_too : {false, true}) {
    OwnHeap heap;
    const Held wall = hold(*heap, 40 * kKiB);
    const Held held = hold(*heap, 5 * kMiB);
    drop(*heap, held);
    os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
    if (discard_too) os::faults::fail(Call::kAdvise, 1, os::faults::kForever);
    (void)heap->trim();
    const Held again = hold(*heap, 5 * kMiB, 8, Fill::kZero);
    CHECK(again.address == held.address);
    drop(*heap, again);
    os::faults::clear();
    CHECK(wall.intact());
  }
}

TEST("parked addresses stay accessible, are used again first, and are released when asked for") {
  release_retry::release_parked();
  std::byte* region_block = nullptr;
  std::byte* huge_block = nullptr;
  {
    OwnHeap heap({.keep_addresses = true});
    region_block = heap->allocate(layout(100), Fill::kZero).value().address;
    huge_block = heap->allocate(layout(100 * kMiB), Fill::kZero).value().address;
    fill_pattern(huge_block, 100 * kMiB, 1);
    CHECK(heap->free(region_block, 100).ok());
    CHECK(heap->free(huge_block, 100 * kMiB).ok());
    heap->trim();
    CHECK_EQ(heap->statistics().regions, 0U);
    CHECK_EQ(release_retry::counts().parked_ranges, 2U);
    CHECK_EQ(release_retry::counts().parked_bytes, 64 * kMiB + 128 * kMiB);
    // Somebody who still works on the freed blocks.
    region_block[3] = std::byte{9};
    huge_block[50 * kMiB] = std::byte{9};
    CHECK_EQ(std::to_integer<int>(huge_block[0]), 0);
    // The same addresses again, and what came late does not show.
    CHECK(heap->allocate(layout(100 * kMiB), Fill::kZero).value().address == huge_block);
    CHECK(is_zero(huge_block, 100 * kMiB));
    const auto small = heap->allocate(layout(100), Fill::kZero);
    CHECK(small.value().address == region_block);
    CHECK(is_zero(region_block, 100));
    CHECK_EQ(release_retry::counts().parked_ranges, 0U);
  }
  // The heap is gone; its addresses are still there.
  region_block[3] = std::byte{9};
  CHECK_EQ(release_retry::counts().parked_bytes, 64 * kMiB + 128 * kMiB);
  CHECK_EQ(release_retry::release_parked(), 64 * kMiB + 128 * kMiB);
  CHECK_EQ(release_retry::counts().parked_ranges, 0U);
}

TEST("what was a huge block is never a region: late writes to its contents would be writes to the region's records") {
  release_retry::release_parked();
  {
    OwnHeap heap({.keep_addresses = true});
    const std::size_t size = 60 * kMiB;
    const Held wall = hold(*heap, 100);
    const std::size_t regions = heap->statistics().regions;
    std::byte* const old = heap->allocate(layout(size), Fill::kAnything).value().address;
    CHECK(heap->free(old, size).ok());
    CHECK_EQ(release_retry::counts().parked_bytes, 64 * kMiB);
    std::vector<Held> blocks;
    while (heap->statistics().regions == regions) blocks.push_back(hold(*heap, 4 * kMiB));
    // The addresses are parked still: the new region has others.
    CHECK_EQ(release_retry::counts().parked_bytes, 64 * kMiB);
    std::memset(old, 0xff, kMiB);
    CHECK(heap->check_invariants());
    // Another huge block has them.
    const auto again = heap->allocate(layout(size), Fill::kZero);
    CHECK(again.value().address == old);
    CHECK(is_zero(old, size));
    CHECK_EQ(release_retry::counts().parked_bytes, 0U);
    CHECK(heap->free(old, size).ok());
    for (const Held& held : blocks) drop(*heap, held);
    drop(*heap, wall);
  }
  (void)release_retry::release_parked();
}

TEST("when the kernel has no addresses left, the parked ones are released and it is asked again") {
  OwnHeap heap({.keep_addresses = true});
  CHECK(heap->free(heap->allocate(layout(100 * kMiB), Fill::kZero).value().address, 100 * kMiB).ok());
  CHECK_EQ(release_retry::counts().parked_bytes, 128 * kMiB);
  os::faults::fail(os::Call::kReserve, 1);
  // Another length, so that the parked range itself does not serve.
  CHECK(heap->allocate(layout(200 * kMiB), Fill::kZero).ok());
  os::faults::clear();
  CHECK_EQ(release_retry::counts().parked_bytes, 0U);
}

}  // namespace offheap::test
