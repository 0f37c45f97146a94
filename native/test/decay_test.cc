// Giving pages back: after a second of idleness, at once on trim, never in the middle of a burst.
#include <array>
#include <vector>

#include "heap/heap.h"
#include "heap/poison.h"
#include "heap/region.h"
#include "os/clock.h"
#include "test/heaps.h"

namespace offheap::test {

namespace poison = heap::poison;

using heap::kDecayMilliseconds;

namespace {

// What a heap keeps when it has no region.
void check_nothing_left(const Heap& heap) {
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.spans, 0U);
  CHECK_EQ(statistics.usable, 0U);
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK_EQ(statistics.reserved, statistics.committed);
  CHECK_EQ(statistics.free_bytes, 0U);
}

}  // namespace

TEST("free pages stay until their time, and go back when it has come") {
  OwnHeap heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 10'000;
  CHECK(!heap->decay(now));
  const Held wall = hold(*heap, heap::bytes_of(9));
  const Held held = hold(*heap, 10 * kMiB);
  drop(*heap, held);
  const std::size_t committed = heap->statistics().committed;
  CHECK(heap->decay(now));
  CHECK(heap->decay(now + kDecayMilliseconds - 1));
  CHECK_EQ(heap->statistics().committed, committed);
  CHECK(!heap->decay(now + kDecayMilliseconds));
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata + bytes_of_touched_pages(std::array{wall}));
  CHECK_EQ(statistics.regions, 1U);
  CHECK(wall.intact());
  CHECK(heap->check_invariants());
}

TEST("decay keeps one empty region as address space, and trim gives that back too") {
  OwnHeap heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 10'000;
  (void)heap->decay(now);
  std::vector<Held> blocks;
  for (int index = 0; index < 9; ++index) blocks.push_back(hold(*heap, 16 * kMiB));
  CHECK_EQ(heap->statistics().regions, 3U);
  for (const Held& held : blocks) drop(*heap, held);
  (void)heap->decay(now);
  CHECK(!heap->decay(now + kDecayMilliseconds));
  Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.regions, 1U);
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK(heap->trim() > 0);
  check_nothing_left(*heap);
  CHECK(heap->check_invariants());
}

TEST("a heap at work gives back only long runs that have been free for ten seconds") {
  OwnHeap heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 10'000;
  (void)heap->decay(now);
  const Held shorter = hold(*heap, heap::bytes_of(heap::kBusyDecayPages - 1));
  const Held wall = hold(*heap, heap::bytes_of(200));
  const Held longer = hold(*heap, heap::bytes_of(heap::kBusyDecayPages));
  const Held last = hold(*heap, heap::bytes_of(200));
  drop(*heap, shorter);
  drop(*heap, longer);
  const auto at_work = [&](std::uint64_t time) {
    drop(*heap, hold(*heap, heap::bytes_of(10)));  // the pages of the heap have moved since the last call
    CHECK(heap->decay(time));
  };
  const heap::Region* const region = heap->regions();
  // The kernel's pages that lie within the block: it takes no part of one.
  const auto whole_pages = [&](const Held& held) {
    const auto offset = static_cast<std::size_t>(held.address - heap->regions()->address_of(0));
    const std::size_t from = heap::round_up(offset, os::page_size());
    const std::size_t end = (offset + held.usable) / os::page_size() * os::page_size();
    CHECK(from < end);
    return heap::PageRange{heap::pages_for(from), heap::pages_for(end - from)};
  };
  const auto committed = [&](const Held& held) { return region->committed.all(whole_pages(held)); };
  const auto given_back = [&](const Held& held) { return region->committed.none(whole_pages(held)); };
  at_work(now);
  at_work(now + heap::kBusyDecayMilliseconds - 1);
  CHECK(committed(shorter) && committed(longer));
  at_work(now + heap::kBusyDecayMilliseconds);
  CHECK(committed(shorter) && given_back(longer));
  at_work(now + 3 * heap::kBusyDecayMilliseconds);
  CHECK(committed(shorter));
  // Quiet from here on.
  (void)heap->decay(now + 3 * heap::kBusyDecayMilliseconds + kDecayMilliseconds);
  CHECK(!heap->decay(now + 3 * heap::kBusyDecayMilliseconds + 2 * kDecayMilliseconds));
  CHECK(given_back(shorter) && given_back(longer));
  CHECK(wall.intact() && last.intact());
}

TEST("what is left of a run that was cut is as old as the run") {
  OwnHeap heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 10'000;
  (void)heap->decay(now);
  const Held held = hold(*heap, heap::bytes_of(100));
  const Held wall = hold(*heap, heap::bytes_of(9));
  drop(*heap, held);
  (void)heap->trim();
  const Held again = hold(*heap, heap::bytes_of(100));
  drop(*heap, again);
  CHECK(heap->decay(now + kDecayMilliseconds - 1));
  const Held front = hold(*heap, heap::bytes_of(40));
  CHECK(front.address == held.address);
  (void)heap->decay(now + kDecayMilliseconds - 1);  // the heap was in use until now
  CHECK(!heap->decay(now + kDecayMilliseconds));
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata + bytes_of_touched_pages(std::array{front, wall}));
}

TEST("an empty span of a bucket is kept for a second and then goes back") {
  OwnHeap heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 10'000;
  (void)heap->decay(now);
  drop(*heap, hold(*heap, 100));
  CHECK(heap->decay(now + kDecayMilliseconds - 1));
  CHECK_EQ(spans_of(*heap).size(), 2U);
  (void)heap->decay(now + kDecayMilliseconds);
  CHECK_EQ(spans_of(*heap).size(), 1U);
  CHECK(!heap->decay(now + 2 * kDecayMilliseconds));
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata);
}

TEST("trim gives everything back at once and says how much") {
  OwnHeap heap;
  const std::size_t before = heap->statistics().committed;
  std::vector<Held> blocks;
  for (const std::size_t size : {std::size_t{50}, std::size_t{5000}, kMiB, 5 * kMiB}) {
    blocks.push_back(hold(*heap, size));
  }
  for (const Held& held : blocks) drop(*heap, held);
  const std::size_t committed = heap->statistics().committed;
  CHECK_EQ(heap->trim(), committed - before);
  CHECK_EQ(heap->statistics().committed, before);
  check_nothing_left(*heap);
  CHECK_EQ(heap->trim(), 0U);
}

TEST("trim leaves live blocks alone and takes every page between them") {
  OwnHeap heap;
  std::vector<Held> kept;
  std::vector<Held> freed;
  for (int index = 0; index < 50; ++index) {
    kept.push_back(hold(*heap, 40 * kKiB));
    freed.push_back(hold(*heap, 100 * kKiB));
  }
  for (const Held& held : freed) drop(*heap, held);
  CHECK(heap->trim() >= bytes_of_whole_pages(freed));
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata + bytes_of_touched_pages(kept));
  CHECK_EQ(statistics.usable, 40 * kKiB * 50);
  for (const Held& held : kept) drop(*heap, held);
  (void)heap->trim();
  check_nothing_left(*heap);
}

TEST("a page used again in part after it was given back counts as a whole, and goes back as a whole") {
  OwnHeap heap;
  const Held wall = hold(*heap, 64 * kKiB);
  drop(*heap, hold(*heap, 3 * kMiB));
  (void)heap->trim();
  const std::size_t committed = heap->statistics().committed;
  for (const std::size_t pages : {9, 10, 11, 35}) {
    const Held held = hold(*heap, heap::bytes_of(static_cast<std::uint32_t>(pages)));
    const std::size_t used = heap->statistics().committed - committed;
    CHECK_EQ(used, bytes_of_touched_pages(std::array{held}));
    drop(*heap, held);
    (void)heap->trim();
    CHECK_EQ(heap->statistics().committed, committed);
  }
  CHECK(wall.intact());
}

TEST("what was trimmed can be had again, and reads zero") {
  OwnHeap heap;
  const Held wall = hold(*heap, 40 * kKiB);
  for (int round = 0; round < 5; ++round) {
    const Held held = hold(*heap, 3 * kMiB, 8, Fill::kZero);
    drop(*heap, held);
    CHECK(heap->trim() > 0);
  }
  CHECK(wall.intact());
}

TEST("an idle heap that is trimmed twice makes no kernel call the second time") {
  OwnHeap heap;
  const Held wall = hold(*heap, 100);
  drop(*heap, hold(*heap, 3 * kMiB));
  (void)heap->trim();
  const auto calls = kernel_calls();
  CHECK_EQ(heap->trim(), 0U);
  CHECK(!heap->decay(os::monotonic_milliseconds() + 100'000));
  CHECK_EQ(kernel_calls(), calls);
  CHECK(wall.intact());
}

TEST("after warm-up a million mixed blocks of 64 bytes to 256 KiB make at most ten kernel calls") {
#ifdef OFFHEAP_CHECK_INVARIANTS
  constexpr int kOperations = 2'000;
#else
  constexpr int kOperations = 1'000'000;
#endif
  OwnHeap heap;
  Random random(4);
  std::vector<Held> blocks(500);
  const auto replace_one = [&] {
    Held& held = blocks[random.below(blocks.size())];
    if (held.address != nullptr) CHECK(heap->free(held.address, held.size).ok());
    held.size = 64 + random.log_uniform(18) % (256 * kKiB - 64);
    held.address = heap->allocate(layout(held.size), Fill::kAnything).value().address;
  };
  for (int operation = 0; operation < 3 * 500 + kOperations / 5; ++operation) replace_one();
  const auto calls = kernel_calls();
  for (int operation = 0; operation < kOperations; ++operation) replace_one();
  CHECK(kernel_calls() - calls <= 10);
}

TEST("a late write to a block that was freed and given back does not show in a zeroed block") {
  for (const std::size_t size : {std::size_t{100} * kKiB, std::size_t{4} * kKiB}) {
    OwnHeap heap;
    const Held old = hold(*heap, kMiB);
    const Held neighbour = hold(*heap, 64 * kKiB);
    CHECK(heap->free(old.address, kMiB).ok());
    heap->trim();
    // This commits more than it takes: the old block's pages are accessible again, and I/O that was in flight lands.
    const Held first = hold(*heap, 40 * kKiB);
    CHECK(first.address == old.address);
    std::byte* const late = old.address + 100 * kKiB;
    if (size < 40 * kKiB) {
      const auto small = heap->allocate(layout(size), Fill::kZero);  // the first cell of a span on those pages
      CHECK(small.ok());
      CHECK(small.value().address < late);
    }
    poison::lift(late, 1);
    *late = std::byte{0xee};
    std::vector<Block> blocks;
    for (int count = 0; count < 40; ++count) {
      const auto block = heap->allocate(layout(size), Fill::kZero);
      CHECK(block.ok());
      CHECK(is_zero(block.value().address, size));
      blocks.push_back(block.value());
    }
    drop(*heap, neighbour);
  }
}

}  // namespace offheap::test
