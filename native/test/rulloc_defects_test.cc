// What Rulloc gets wrong, D1 to D8, on our structures: each with the sizes that broke it, and with whole pages, where
// our blocks have neighbours.
#include <algorithm>
#include <array>
#include <vector>

#include "heap/region.h"
#include "heap/release_retry.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

Held filled(Heap& heap, std::size_t size, std::byte value) {
  const auto made = heap.allocate(layout(size), Fill::kAnything);
  CHECK(made.ok());
  std::fill_n(made.value().address, size, value);
  return {made.value().address, size, made.value().usable, 0};
}

bool is_filled(const Held& held, std::byte value) {
  return std::all_of(held.address, held.address + held.size, [value](std::byte byte) { return byte == value; });
}

}  // namespace

TEST("D1: a block that grows does not take the next block while that is live") {
  for (const std::size_t unit : {std::size_t{1}, heap::kPageBytes}) {
    OwnHeap heap;
    Held first = hold(*heap, 16 * unit);
    const Held second = filled(*heap, 64 * unit, std::byte{0xAB});
    const auto grown = heap->reallocate(first.address, first.size, layout(64 * unit), Fill::kAnything);
    CHECK(grown.ok());
    CHECK(has_pattern(grown.value().address, 16 * unit, first.seed));
    std::fill_n(grown.value().address, 64 * unit, std::byte{0x11});
    CHECK(is_filled(second, std::byte{0xAB}));
    CHECK(heap->check_invariants());
  }
}

TEST("D2: a block that grows does not take the previous block while that is live") {
  for (const std::size_t unit : {std::size_t{1}, heap::kPageBytes}) {
    OwnHeap heap;
    const Held first = filled(*heap, 64 * unit, std::byte{0x01});
    const Held second = hold(*heap, 64 * unit);
    const Held third = filled(*heap, 64 * unit, std::byte{0x03});
    const auto grown = heap->reallocate(second.address, second.size, layout(128 * unit), Fill::kAnything);
    CHECK(grown.ok());
    CHECK(has_pattern(grown.value().address, 64 * unit, second.seed));
    std::fill_n(grown.value().address, 128 * unit, std::byte{0x22});
    CHECK(is_filled(first, std::byte{0x01}) && is_filled(third, std::byte{0x03}));
    CHECK(heap->check_invariants());
  }
}

TEST("D3: a block that shrinks does not put its live neighbour on the free list, also when the one after is free") {
  for (const std::size_t unit : {std::size_t{1}, heap::kPageBytes}) {
    OwnHeap heap;
    const Held first = hold(*heap, 64 * unit);
    const Held second = filled(*heap, 64 * unit, std::byte{0x02});
    const Held third = hold(*heap, 64 * unit);
    drop(*heap, third);
    const auto shrunk = heap->reallocate(first.address, first.size, layout(60 * unit), Fill::kAnything);
    CHECK(shrunk.ok());
    CHECK(shrunk.value().address == first.address);
    CHECK(has_pattern(first.address, 60 * unit, first.seed));
    CHECK(heap->find(second.address).ok());
    for (int index = 0; index < 100; ++index) {
      const Held other = hold(*heap, 64 * unit);
      CHECK(other.address != second.address);
    }
    CHECK(is_filled(second, std::byte{0x02}));
    CHECK(heap->check_invariants());
  }
}

TEST("D4: a realloc grows when it is asked to grow and shrinks when it is asked to shrink") {
  OwnHeap heap;
  const Held large = hold(*heap, 8192);
  const auto shrunk = heap->reallocate(large.address, 8192, layout(32), Fill::kAnything);
  CHECK(shrunk.ok());
  CHECK_EQ(shrunk.value().usable, 32U);
  CHECK(has_pattern(shrunk.value().address, 32, large.seed));
  const Held small = hold(*heap, 16);
  const auto grown = heap->reallocate(small.address, 16, layout(kMiB), Fill::kZero);
  CHECK(grown.ok());
  CHECK(grown.value().usable >= kMiB);
  CHECK(has_pattern(grown.value().address, 16, small.seed));
  CHECK(is_zero(grown.value().address + 16, kMiB - 16));
  CHECK_EQ(heap->bytes_in_use(), 32 + kMiB);
  CHECK(heap->check_invariants());
}

TEST("D5: sizes near the maximum are an error and no panic") {
  constexpr std::size_t kMost = ~std::size_t{0};
  for (const std::size_t size : {kMost, kMost - 1, kMost - 7, kMost - 4095, kMost / 2, heap::kMaxBlockBytes + 1}) {
    for (std::size_t align = 1; align <= heap::kMaxAlign; align *= 2) CHECK(!Layout::of(size, align));
  }
  OwnHeap heap;
  const Held held = hold(*heap, 100);
  for (std::size_t size = heap::kMaxBlockBytes; size > (std::size_t{1} << 47); size = size / 2 + 1) {
    for (const std::size_t align : {std::size_t{1}, heap::kPageBytes, heap::kMaxAlign}) {
      const auto made = heap->allocate(layout(size, align), Fill::kZero);
      if (made.ok()) {  // a kernel with a larger address space than that
        CHECK(heap->free(made.value().address, size).ok());
        continue;
      }
      CHECK_EQ(made.error().reason, Refusal::kOutOfMemory);
      CHECK_EQ(heap->reallocate(held.address, 100, layout(size, align), Fill::kZero).error().reason,
               Refusal::kOutOfMemory);
    }
  }
  CHECK(held.intact());
  CHECK_EQ(heap->bytes_in_use(), 100U);
}

TEST("D6: a double free is refused, at once and later, on one thread and on two") {
  for (const std::size_t size : {std::size_t{64}, 40 * kKiB, 20 * kMiB}) {
    OwnHeap heap;
    const Held one = hold(*heap, size);
    const Held two = hold(*heap, size);
    drop(*heap, one);
    CHECK(!heap->free(one.address, size).ok());
    on_threads(1, [&](std::size_t) {
      CHECK(heap->free(two.address, size).ok());
      CHECK(!heap->free(two.address, size).ok());
    });
    CHECK(!heap->free(two.address, size).ok());
    heap->collect();
    CHECK(!heap->free(two.address, size).ok());
    CHECK_EQ(heap->bytes_in_use(), 0U);
    CHECK(heap->check_invariants());
  }
}

TEST("D6: a refused release does not lose the region") {
  (void)heap::release_retry::retry();
  OwnHeap heap;
  drop(*heap, hold(*heap, 100));
  std::byte* const start = heap->regions()->start();
  os::faults::fail(os::Call::kRelease, 1, os::faults::kForever);
  (void)heap->trim();
  CHECK_EQ(heap::release_retry::counts().ranges, 1U);
  os::faults::clear();
  const Held held = hold(*heap, 100);
  CHECK(heap->regions()->start() == start);
  CHECK_EQ(heap::release_retry::counts().ranges, 0U);
  drop(*heap, held);
  (void)heap->trim();
  CHECK_EQ(heap->statistics().regions, 0U);
}

TEST("D7: the bucket is chosen by size and alignment") {
  OwnHeap heap;
  for (std::size_t align = 1; align <= heap::kPageBytes; align *= 2) {
    for (std::size_t size = 1; size <= 40 * kKiB; size = size * 3 / 2 + 1) {
      // Twice: the first cell of a span is aligned to anything.
      const Held one = hold(*heap, size, align);
      const Held two = hold(*heap, size, align);
      CHECK(heap::is_aligned(one.address, align) && heap::is_aligned(two.address, align));
      const heap::Span* const span = heap->regions()->span_at(two.address);
      if (span->kind == SpanKind::kBucket) CHECK_EQ(span->cell_bytes % align, 0U);
      drop(*heap, one);
      drop(*heap, two);
    }
  }
}

TEST("D8: one block in a loop makes no kernel call, whatever its size up to 16 MiB") {
  for (const std::size_t size : {std::size_t{64}, std::size_t{5000}, 64 * kKiB, kMiB, 16 * kMiB}) {
    OwnHeap heap;
    CHECK(heap->free(heap->allocate(layout(size), Fill::kAnything).value().address, size).ok());
    const auto calls = kernel_calls();
    for (int round = 0; round < 2000; ++round) {
      CHECK(heap->free(heap->allocate(layout(size), Fill::kAnything).value().address, size).ok());
    }
    CHECK_EQ(kernel_calls(), calls);
  }
}

TEST("D8: ten thousand live blocks replaced at random make at most ten kernel calls") {
#ifdef OFFHEAP_CHECK_INVARIANTS
  constexpr std::size_t kBlocks = 200;
  constexpr int kOperations = 2'000;
#else
  constexpr std::size_t kBlocks = 10'000;
  constexpr int kOperations = 1'000'000;
#endif
  OwnHeap heap;
  Random random(8);
  std::vector<std::byte*> blocks(kBlocks);
  for (std::byte*& block : blocks) block = heap->allocate(layout(64), Fill::kAnything).value().address;
  const auto calls = kernel_calls();
  for (int operation = 0; operation < kOperations; ++operation) {
    std::byte*& block = blocks[random.below(blocks.size())];
    CHECK(heap->free(block, 64).ok());
    block = heap->allocate(layout(64), Fill::kAnything).value().address;
  }
  CHECK(kernel_calls() - calls <= 10);
}

}  // namespace offheap::test
