// A heap as a whole: what it hands out, what it refuses, what it counts.
#include "heap/heap.h"

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "heap/region.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

// One block of each kind, as wrong addresses go wrong in their own way in each.
constexpr std::array<std::size_t, 4> kOneSizeOfEachKind{50, 5000, kMiB, 20 * kMiB};

void check_refused(Heap& heap, std::byte* address, Refusal reason) {
  const Statistics before = heap.statistics();
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{50}, kMiB}) {
    CHECK_EQ(heap.free(address, size).error().reason, reason);
    CHECK_EQ(heap.reallocate(address, size, layout(100), Fill::kZero).error().reason, reason);
    CHECK_EQ(heap.resize_in_place(address, size, layout(100), Fill::kZero).error().reason, reason);
    CHECK_EQ(heap.begin_move(address, size, layout(100)).error().reason, reason);
  }
  CHECK_EQ(heap.find(address).error().reason, reason);
  CHECK_EQ(heap.statistics().requested, before.requested);
  CHECK_EQ(heap.statistics().blocks, before.blocks);
  CHECK_EQ(heap.statistics().committed, before.committed);
}

}  // namespace

TEST("a new heap has nothing but itself") {
  OwnHeap heap;
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.requested, 0U);
  CHECK_EQ(statistics.usable, 0U);
  CHECK_EQ(statistics.blocks, 0U);
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.spans, 0U);
  CHECK_EQ(statistics.peak, 0U);
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK_EQ(statistics.reserved, statistics.metadata);
  CHECK(statistics.metadata <= 256 * kKiB);
  CHECK_EQ(heap->limit(), heap::Limit::kNone);
  CHECK(!heap->closed());
  CHECK(heap->check_invariants());
}

TEST("every alignment from 1 byte to 64 MiB is kept for every size from 1 byte to 70 MiB, zeroed when asked") {
  OwnHeap heap;
  for (std::size_t align = 1; align <= 64 * kMiB; align *= 2) {
    for (std::size_t size = 1; size <= 70 * kMiB; size = size * 7 + 3) {
      const auto block = heap->allocate(layout(size, align), Fill::kZero);
      CHECK(block.ok());
      CHECK(heap::is_aligned(block.value().address, align));
      CHECK(block.value().usable >= size);
      // Both ends: that the middle is zero is tested elsewhere, and 70 MiB take their time.
      const std::size_t looked_at = std::min<std::size_t>(size, 8192);
      CHECK(is_zero(block.value().address, looked_at));
      CHECK(is_zero(block.value().address + size - looked_at, looked_at));
      fill_pattern(block.value().address, looked_at, align);
      fill_pattern(block.value().address + size - looked_at, looked_at, align);
      CHECK(heap->free(block.value().address, size).ok());
    }
  }
  CHECK_EQ(heap->bytes_in_use(), 0U);
}

TEST("a block of zero bytes is a block of its own") {
  OwnHeap heap;
  const auto one = heap->allocate(layout(0), Fill::kZero);
  const auto two = heap->allocate(layout(0), Fill::kZero);
  CHECK(one.ok() && two.ok());
  CHECK(one.value().address != two.value().address);
  CHECK_EQ(heap->blocks_in_use(), 2U);
  CHECK_EQ(heap->bytes_in_use(), 0U);
  CHECK(heap->free(one.value().address, 0).ok());
  CHECK_EQ(heap->free(one.value().address, 0).error().reason, Refusal::kFreed);
  CHECK(heap->free(two.value().address, 0).ok());
}

TEST("memory that was used before reads zero when zero is asked for, for every default class") {
  OwnHeap heap;
  for (const std::uint32_t size : heap::kDefaultClasses) {
    std::vector<Held> blocks;
    for (int index = 0; index < 20; ++index) blocks.push_back(hold(*heap, size));
    for (const Held& held : blocks) drop(*heap, held);
    for (int index = 0; index < 30; ++index) (void)hold(*heap, size, 8, Fill::kZero);
  }
}

TEST("a block that says it is zeroed is zero to its last usable byte") {
  OwnHeap heap;
  Random random(9);
  std::vector<Held> blocks;
  for (int operation = 0; operation < 20'000; ++operation) {
    if (blocks.size() > 200 || (!blocks.empty() && random.one_in(2))) {
      std::swap(blocks[random.below(blocks.size())], blocks.back());
      std::fill_n(blocks.back().address, blocks.back().usable, std::byte{0xFF});
      CHECK(heap->free(blocks.back().address, blocks.back().size).ok());
      blocks.pop_back();
      continue;
    }
    const std::size_t size = random.log_uniform(17);
    const Block block = heap->allocate(layout(size), Fill::kAnything).value();
    if (block.zeroed) CHECK(is_zero(block.address, block.usable));
    blocks.push_back({block.address, size, block.usable, 0});
    if (random.one_in(500)) (void)heap->trim();
  }
}

TEST("cells fresh from the kernel are known to be zero, and cells used before are not") {
  OwnHeap heap;
  const Block one = heap->allocate(layout(64), Fill::kZero).value();
  const Block two = heap->allocate(layout(64), Fill::kZero).value();
  CHECK(one.zeroed && two.zeroed);
  fill_pattern(one.address, 64, 1);
  CHECK(heap->free(one.address, 64).ok());
  const Block again = heap->allocate(layout(64), Fill::kAnything).value();
  CHECK(again.address == one.address);
  CHECK(!again.zeroed);
  CHECK(heap->allocate(layout(64), Fill::kZero).value().zeroed);
}

TEST("a free of an address inside a block, one past it or one before it is refused") {
  OwnHeap heap;
  for (const std::size_t size : kOneSizeOfEachKind) {
    const Held held = hold(*heap, size);
    check_refused(*heap, held.address + 1, Refusal::kForeign);
    check_refused(*heap, held.address + 8, Refusal::kForeign);
    check_refused(*heap, held.address + size / 2, Refusal::kForeign);
    check_refused(*heap, held.address + held.usable - 1, Refusal::kForeign);
    CHECK(!heap->free(held.address + held.usable, size).ok());
    CHECK(!heap->free(held.address - 1, size).ok());
    if (size > heap::kPageBytes) {
      // The start of a page inside, where an earlier block may have begun.
      for (std::size_t offset = heap::kPageBytes; offset < std::min(size, kMiB); offset += heap::kPageBytes) {
        CHECK_EQ(heap->free(held.address + offset, size).error().reason, Refusal::kForeign);
      }
    }
    drop(*heap, held);
  }
}

TEST("a page inside a block where an earlier block began is not a block") {
  OwnHeap heap;
  std::vector<Held> pages;
  for (int index = 0; index < 64; ++index) pages.push_back(hold(*heap, 40 * kKiB));
  for (const Held& held : pages) drop(*heap, held);
  const Held large = hold(*heap, 40 * kKiB * 64);
  CHECK(large.address == pages[0].address);
  for (const Held& held : pages) {
    if (held.address == large.address) continue;
    CHECK_EQ(heap->free(held.address, 40 * kKiB).error().reason, Refusal::kForeign);
  }
  drop(*heap, large);
}

TEST("a free of another heap's block is refused, and the block lives on") {
  OwnHeap one;
  OwnHeap two;
  for (const std::size_t size : kOneSizeOfEachKind) {
    const Held held = hold(*one, size);
    (void)hold(*two, size);
    check_refused(*two, held.address, Refusal::kForeign);
    drop(*one, held);
  }
}

TEST("a free of the heap's own metadata is refused") {
  OwnHeap heap;
  (void)hold(*heap, 50);
  (void)hold(*heap, 20 * kMiB);
  std::byte* const region = heap->regions()->start();
  check_refused(*heap, region, Refusal::kForeign);
  check_refused(*heap, region + 64 * kKiB, Refusal::kForeign);
  check_refused(*heap, region + heap::kRegionMetadataBytes - 8, Refusal::kForeign);
  check_refused(*heap, reinterpret_cast<std::byte*>(heap.get()), Refusal::kForeign);
  // A reservation's header, below the block in it.
  auto* const huge = const_cast<heap::HugeBlock*>(heap->huge_blocks());
  check_refused(*heap, reinterpret_cast<std::byte*>(huge), Refusal::kForeign);
}

TEST("a free of an address that was never mapped, of the stack, of malloc's memory and of null is refused") {
  OwnHeap heap;
  (void)hold(*heap, 50);
  std::byte on_stack{};
  const auto from_malloc = std::make_unique<std::byte[]>(100);
  check_refused(*heap, nullptr, Refusal::kForeign);
  check_refused(*heap, &on_stack, Refusal::kForeign);
  check_refused(*heap, from_malloc.get(), Refusal::kForeign);
  for (unsigned shift = 0; shift < 64; shift += 3) {
    check_refused(*heap, reinterpret_cast<std::byte*>(std::uintptr_t{1} << shift), Refusal::kForeign);
  }
  check_refused(*heap, reinterpret_cast<std::byte*>(~std::uintptr_t{0}), Refusal::kForeign);
}

TEST("a free of a block freed before is refused, also when its pages have gone back to the kernel") {
  OwnHeap heap;
  (void)hold(*heap, 60);
  for (const std::size_t size : kOneSizeOfEachKind) {
    const Held held = hold(*heap, size);
    drop(*heap, held);
    // A huge block's address is nobody's once it is freed.
    check_refused(*heap, held.address, size > heap::kMaxDynamicBytes ? Refusal::kForeign : Refusal::kFreed);
    (void)heap->trim();
    CHECK(!heap->free(held.address, size).ok());
  }
}

TEST("an address in free pages is freed memory, wherever it lies in them") {
  OwnHeap heap;
  const Held before = hold(*heap, 50 * kKiB);
  const Held held = hold(*heap, kMiB);
  const Held after = hold(*heap, 50 * kKiB);
  drop(*heap, held);
  for (std::size_t offset = 0; offset < kMiB; offset += 1000) {
    CHECK_EQ(heap->find(held.address + offset).error().reason, Refusal::kFreed);
  }
  drop(*heap, before);
  drop(*heap, after);
}

TEST("a size the block could not have had is refused, and the block lives on") {
  OwnHeap heap;
  for (const std::size_t size : kOneSizeOfEachKind) {
    const Held held = hold(*heap, size);
    for (const std::size_t wrong : {held.usable + 1, held.usable * 2, ~std::size_t{0}}) {
      CHECK_EQ(heap->free(held.address, wrong).error().reason, Refusal::kOutOfRange);
      CHECK_EQ(heap->reallocate(held.address, wrong, layout(10), Fill::kZero).error().reason, Refusal::kOutOfRange);
      CHECK_EQ(heap->begin_move(held.address, wrong, layout(10)).error().reason, Refusal::kOutOfRange);
    }
    CHECK_EQ(heap->bytes_in_use(), size);
    drop(*heap, held);
  }
}

TEST("a closed heap hands out nothing, and takes back what it handed out before") {
  OwnHeap heap;
  std::vector<Held> blocks;
  for (const std::size_t size : kOneSizeOfEachKind) blocks.push_back(hold(*heap, size));
  heap->close();
  CHECK(heap->closed());
  const heap::Failure failure = heap->allocate(layout(1), Fill::kZero).error();
  CHECK_EQ(failure.reason, Refusal::kClosed);
  CHECK_EQ(heap->allocate(layout(0), Fill::kZero).error().reason, Refusal::kClosed);
  for (const Held& held : blocks) {
    CHECK_EQ(heap->reallocate(held.address, held.size, layout(held.size + 1), Fill::kZero).error().reason,
             Refusal::kClosed);
    CHECK(heap->find(held.address).ok());
    drop(*heap, held);
  }
  CHECK_EQ(heap->bytes_in_use(), 0U);
  CHECK_EQ(heap->blocks_in_use(), 0U);
  heap->close();
  CHECK(heap->check_invariants());
}

TEST("the pages of a closed heap go back as its last blocks are freed") {
  for (const std::size_t size : {std::size_t{50}, std::size_t{5000}, 40 * kKiB, kMiB, 20 * kMiB}) {
    OwnHeap heap;
    const Held one = hold(*heap, size);
    const Held two = hold(*heap, size);
    heap->close();
    drop(*heap, one);
    drop(*heap, two);
    const Statistics statistics = heap->statistics();
    CHECK_EQ(statistics.regions, 0U);
    CHECK_EQ(statistics.committed, statistics.metadata);
  }
}

TEST("the pages of a closed heap go back when another thread frees its last block, and it is collected") {
  for (const std::size_t size : {std::size_t{50}, kMiB, 20 * kMiB}) {
    OwnHeap heap;
    const Held held = hold(*heap, size);
    heap->close();
    on_threads(1, [&](std::size_t) { CHECK(heap->free(held.address, held.size).ok()); });
    heap->collect();
    CHECK_EQ(heap->statistics().regions, 0U);
    CHECK_EQ(heap->statistics().usable, 0U);
  }
}

TEST("bytes and blocks in use are exact at every step, and so is the peak") {
  OwnHeap heap;
  const Held one = hold(*heap, 100);
  const Held two = hold(*heap, 5000);
  const Held three = hold(*heap, 20 * kMiB);
  CHECK_EQ(heap->bytes_in_use(), 5100 + 20 * kMiB);
  CHECK_EQ(heap->blocks_in_use(), 3U);
  drop(*heap, three);
  CHECK_EQ(heap->bytes_in_use(), 5100U);
  CHECK(!heap->free(three.address, three.size).ok());
  CHECK(!heap->allocate(layout(heap::kMaxBlockBytes), Fill::kZero).ok());
  CHECK_EQ(heap->bytes_in_use(), 5100U);
  drop(*heap, two);
  drop(*heap, one);
  CHECK_EQ(heap->bytes_in_use(), 0U);
  CHECK_EQ(heap->blocks_in_use(), 0U);
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.peak, 5100 + 20 * kMiB);
  CHECK_EQ(statistics.allocations, 3U);
  CHECK_EQ(statistics.frees, 3U);
  CHECK_EQ(statistics.failures, 1U);
}

TEST("statistics name every byte: usable, free, committed, reserved, spans") {
  OwnHeap heap;
  const Statistics empty = heap->statistics();
  (void)hold(*heap, 64);
  (void)hold(*heap, 100 * kKiB);
  const Held huge = hold(*heap, 20 * kMiB);
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.requested, 64 + 100 * kKiB + 20 * kMiB);
  CHECK_EQ(statistics.usable, 64 + 100 * kKiB + 20 * kMiB);
  CHECK_EQ(statistics.regions, 1U);
  CHECK_EQ(statistics.spans, 3U);  // 16 pages of 64-byte cells, 25 pages, the rest
  CHECK_EQ(statistics.free_bytes, (heap::kDataPages - 16 - 25) * heap::kPageBytes);
  CHECK_EQ(statistics.largest_free_run, statistics.free_bytes);
  CHECK_EQ(statistics.reserved, empty.reserved + 2 * heap::kRegionBytes);
  const heap::Region* const region = heap->regions();
  CHECK_EQ(statistics.metadata, empty.metadata + region->committed_metadata + os::page_size());
  CHECK_EQ(statistics.committed,
           statistics.metadata + std::size_t{region->committed_pages} * heap::kPageBytes + huge.usable);
}

TEST("one block of each class commits their spans, at most twice over, and touches a page or a little more for each") {
  OwnHeap heap;
  std::vector<Held> blocks;
  for (const std::uint32_t size : heap::kDefaultClasses) blocks.push_back(hold(*heap, size));
  std::size_t spans = 0;
  heap->for_each_span([&](const heap::Region&, const heap::Span& span) {
    if (span.kind == SpanKind::kBucket) spans += heap::bytes_of(span.pages.count);
  });
  const Statistics statistics = heap->statistics();
  CHECK(statistics.committed - statistics.metadata >= spans);
  CHECK(statistics.committed - statistics.metadata <= 2 * spans);
  CHECK(statistics.committed <= 9 * kMiB);
  // A page for each block beside what it fills, since most fill none.
  CHECK(bytes_of_touched_pages(blocks) <= statistics.usable + blocks.size() * os::page_size());
  for (const Held& held : blocks) drop(*heap, held);
}

TEST("impossible sizes are refused by the kernel, and the heap is as it was") {
  OwnHeap heap;
  const Held held = hold(*heap, 100);
  const Statistics before = heap->statistics();
  for (const std::size_t size : {heap::kMaxBlockBytes, heap::kMaxBlockBytes - 1, heap::kMaxBlockBytes - 64 * kMiB}) {
    const heap::Failure failure = heap->allocate(layout(size), Fill::kZero).error();
    CHECK_EQ(failure.reason, Refusal::kOutOfMemory);
    CHECK_EQ(failure.asked, size);
    CHECK_EQ(failure.os.call, os::Call::kReserve);
    CHECK(failure.os.number != 0);
  }
  CHECK_EQ(heap->statistics().committed, before.committed);
  CHECK_EQ(heap->statistics().reserved, before.reserved);
  drop(*heap, held);
}

TEST("what a heap lends is its own: two heaps never share a region") {
  OwnHeap one;
  OwnHeap two;
  for (int index = 0; index < 100; ++index) {
    const Held left = hold(*one, 100);
    const Held right = hold(*two, 100);
    CHECK(one->find(left.address).ok() && !two->find(left.address).ok());
    CHECK(two->find(right.address).ok() && !one->find(right.address).ok());
  }
}

TEST("a destroyed heap gives everything back, live blocks included") {
  std::byte* address = nullptr;
  const auto releases = kernel_calls(os::Call::kRelease);
  const auto reserves = kernel_calls(os::Call::kReserve);
  {
    OwnHeap heap;
    address = hold(*heap, 100).address;
    (void)hold(*heap, kMiB);
    (void)hold(*heap, 20 * kMiB);
  }
  // The heap, its region and the huge block; padded reservations cut two ends off each, and leaves of the map stay.
  CHECK(kernel_calls(os::Call::kRelease) - releases >= 3);
  CHECK(kernel_calls(os::Call::kReserve) - reserves >= 3);
  OwnHeap other;
  CHECK_EQ(other->find(address).error().reason, Refusal::kForeign);
}

#if defined(NDEBUG) && UINTPTR_MAX > 0xFFFFFFFF
TEST("ten million live 64-byte blocks need metadata of at most 2 %") {
  constexpr std::size_t kBlocks = 10'000'000;
  OwnHeap heap;
  std::byte* last = nullptr;
  for (std::size_t index = 0; index < kBlocks; ++index) {
    last = heap->allocate(layout(64), Fill::kAnything).value().address;
  }
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.requested, kBlocks * 64);
  CHECK(statistics.metadata * 50 <= statistics.requested);
  CHECK(heap->free(last, 64).ok());
  CHECK_EQ(heap->blocks_in_use(), kBlocks - 1);
}
#endif

}  // namespace offheap::test
