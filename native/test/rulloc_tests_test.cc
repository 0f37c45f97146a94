// What Rulloc's tests check, one by one, on our structures. The names are the lines of that list.
#include <array>
#include <vector>

#include "heap/bucket.h"
#include "heap/region.h"
#include "test/heaps.h"
#include "test/monitor.h"

namespace offheap::test {

using heap::bytes_of;
using heap::kDataPages;
using heap::kPageBytes;

namespace {

constexpr SpanView used(std::uint32_t pages) { return {SpanKind::kDynamic, pages, 0}; }
constexpr SpanView free_run(std::uint32_t pages) { return {SpanKind::kFree, pages, 0}; }

using Spans = std::vector<SpanView>;

void check_nothing_left(Heap& heap) {
  CHECK_EQ(heap.bytes_in_use(), 0U);
  CHECK_EQ(heap.blocks_in_use(), 0U);
  (void)heap.trim();
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.reserved, statistics.metadata);
  CHECK(heap.check_invariants());
}

// Reallocates with contents checked, then filled anew.
void resize(Heap& heap, Held& held, std::size_t size, std::size_t align = heap::kDefaultAlign) {
  const auto made = heap.reallocate(held.address, held.size, layout(size, align), Fill::kAnything);
  CHECK(made.ok());
  CHECK(heap::is_aligned(made.value().address, align));
  CHECK(has_pattern(made.value().address, std::min(held.size, size), held.seed));
  held = {made.value().address, size, made.value().usable, held.seed + 1};
  fill_pattern(held.address, size, held.seed);
  CHECK(heap.check_invariants());
}

}  // namespace

TEST("Rulloc 1: the first allocation of one byte takes one region, and its rest is one free run") {
  OwnHeap heap;
  const Held held = hold(*heap, 1);
  const heap::BucketShape shape = heap::BucketShape::of(16);
  CHECK_EQ(heap->statistics().regions, 1U);
  CHECK(spans_of(*heap) == (Spans{{SpanKind::kBucket, shape.pages, 1}, free_run(kDataPages - shape.pages)}));
  drop(*heap, held);
  check_nothing_left(*heap);
}

TEST(
    "Rulloc 1: a second allocation splits the free run; exactly what is left leaves none; more takes a second region") {
  OwnHeap heap;
  const Held first = hold(*heap, bytes_of(100));
  CHECK(spans_of(*heap) == (Spans{used(100), free_run(kDataPages - 100)}));
  const Held second = hold(*heap, bytes_of(4000));
  CHECK(spans_of(*heap) == (Spans{used(100), used(4000), free_run(kDataPages - 4100)}));
  std::vector<Held> rest;
  for (std::uint32_t left = kDataPages - 4100; left > 0;) {
    const std::uint32_t pages = std::min(left, 4096U);
    rest.push_back(hold(*heap, bytes_of(pages)));
    left -= pages;
  }
  CHECK_EQ(heap->statistics().free_bytes, 0U);
  CHECK_EQ(heap->statistics().largest_free_run, 0U);
  CHECK_EQ(heap->statistics().regions, 1U);
  const Held beyond = hold(*heap, bytes_of(9));
  CHECK_EQ(heap->statistics().regions, 2U);
  for (const Held& held : rest) drop(*heap, held);
  drop(*heap, first);
  drop(*heap, second);
  drop(*heap, beyond);
  check_nothing_left(*heap);
}

TEST("Rulloc 1: freeing first, third, then second merges all into one; contents never change meanwhile") {
  OwnHeap heap;
  const Held first = hold(*heap, bytes_of(10));
  const Held second = hold(*heap, bytes_of(20));
  const Held third = hold(*heap, bytes_of(30));
  drop(*heap, first);
  CHECK(second.intact() && third.intact());
  CHECK(spans_of(*heap) == (Spans{free_run(10), used(20), used(30), free_run(kDataPages - 60)}));
  drop(*heap, third);
  CHECK(second.intact());
  CHECK(spans_of(*heap) == (Spans{free_run(10), used(20), free_run(kDataPages - 30)}));
  drop(*heap, second);
  CHECK(spans_of(*heap) == Spans{free_run(kDataPages)});
  check_nothing_left(*heap);
}

TEST("Rulloc 2: strict alignments, 16 bytes to many pages, mixed sizes: divisible, intact, everything returned") {
  OwnHeap heap;
  Random random(2);
  std::vector<Held> blocks;
  for (std::size_t align = 16; align <= 8 * kMiB; align *= 2) {
    for (int repeat = 0; repeat < 6; ++repeat) blocks.push_back(hold(*heap, random.log_uniform(17), align));
  }
  for (const Held& held : blocks) CHECK(held.intact());
  while (!blocks.empty()) {
    std::swap(blocks[random.below(blocks.size())], blocks.back());
    drop(*heap, blocks.back());
    blocks.pop_back();
  }
  check_nothing_left(*heap);
}

TEST("Rulloc 3: shrink with nothing to do keeps block and neighbours") {
  OwnHeap heap;
  Held held = hold(*heap, bytes_of(20));
  const Held next = hold(*heap, bytes_of(20));
  const Spans before = spans_of(*heap);
  std::byte* const address = held.address;
  resize(*heap, held, bytes_of(20) - 100);
  CHECK(held.address == address);
  CHECK(spans_of(*heap) == before);
  CHECK(next.intact());
}

TEST("Rulloc 3: shrink splits, and merges what it gives up with the next free block") {
  OwnHeap heap;
  Held held = hold(*heap, bytes_of(40));
  Held next = hold(*heap, bytes_of(20));
  const Held wall = hold(*heap, bytes_of(20));
  resize(*heap, held, bytes_of(30));
  CHECK(spans_of(*heap) == (Spans{used(30), free_run(10), used(20), used(20), free_run(kDataPages - 80)}));
  drop(*heap, next);
  resize(*heap, held, bytes_of(25));
  CHECK(spans_of(*heap) == (Spans{used(25), free_run(35), used(20), free_run(kDataPages - 80)}));
  CHECK(wall.intact());
}

TEST("Rulloc 3: shrink with the alignment raised and lowered") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{2000}, 100 * kKiB, 3 * kMiB}) {
    Held held = hold(*heap, size);
    resize(*heap, held, size - 10, 512);
    resize(*heap, held, size - 20, 8);
    resize(*heap, held, size / 2, 64 * kKiB);
    resize(*heap, held, size / 3, 16);
    drop(*heap, held);
  }
  check_nothing_left(*heap);
}

TEST("Rulloc 4: grow by eating the next block, the free runs right after each") {
  OwnHeap heap;
  Held held = hold(*heap, bytes_of(20));
  const Held next = hold(*heap, bytes_of(30));
  const Held wall = hold(*heap, bytes_of(10));
  drop(*heap, next);
  resize(*heap, held, bytes_of(35));
  CHECK(spans_of(*heap) == (Spans{used(35), free_run(15), used(10), free_run(kDataPages - 60)}));
  resize(*heap, held, bytes_of(50));
  CHECK(spans_of(*heap) == (Spans{used(50), used(10), free_run(kDataPages - 60)}));
  CHECK(wall.intact());
}

TEST("Rulloc 4: grow by eating the previous block, contents moved correctly") {
  OwnHeap heap;
  const Held previous = hold(*heap, bytes_of(30));
  Held held = hold(*heap, bytes_of(20));
  const Held wall = hold(*heap, bytes_of(10));
  drop(*heap, previous);
  resize(*heap, held, bytes_of(45));
  CHECK(spans_of(*heap) == (Spans{free_run(5), used(45), used(10), free_run(kDataPages - 60)}));
  resize(*heap, held, bytes_of(50));
  CHECK(spans_of(*heap) == (Spans{used(50), used(10), free_run(kDataPages - 60)}));
  CHECK(wall.intact());
}

TEST("Rulloc 4: grow by eating both neighbours") {
  OwnHeap heap;
  const Held previous = hold(*heap, bytes_of(30));
  Held held = hold(*heap, bytes_of(20));
  const Held next = hold(*heap, bytes_of(15));
  const Held wall = hold(*heap, bytes_of(10));
  drop(*heap, previous);
  drop(*heap, next);
  resize(*heap, held, bytes_of(60));
  CHECK(spans_of(*heap) == (Spans{free_run(5), used(60), used(10), free_run(kDataPages - 75)}));
  CHECK(wall.intact());
}

TEST("Rulloc 5: the smallest block for every alignment and size is what it needs and no more") {
  OwnHeap heap;
  for (std::size_t align = 1; align <= 64 * kKiB; align *= 2) {
    for (std::size_t size = 0; size <= 4096; size += size < 300 ? 1 : 61) {
      const Held held = hold(*heap, size, align);
      // Rounded up to the alignment, then at most an eighth (or 15 bytes) of slack, or the rest of a page.
      const std::size_t needed = heap::round_up(std::max<std::size_t>(size, 1), align);
      CHECK(held.usable >= size);
      CHECK(held.usable <= std::max({std::size_t{16}, needed + 15, needed + needed / 7, kPageBytes}));
      drop(*heap, held);
    }
  }
  check_nothing_left(*heap);
}

TEST("Rulloc 6: region length at the corners: exact fit, one page more, one byte less than a page more") {
  OwnHeap heap;
  std::vector<Held> blocks;
  for (int index = 0; index < 3; ++index) blocks.push_back(hold(*heap, 16 * kMiB));
  const std::uint32_t left = kDataPages - 3 * 4096;
  // Exact fit.
  Held last = hold(*heap, bytes_of(left));
  CHECK_EQ(heap->statistics().regions, 1U);
  CHECK_EQ(heap->statistics().free_bytes, 0U);
  drop(*heap, last);
  // One byte less than a page more than one page less: the same pages.
  last = hold(*heap, bytes_of(left - 1) + 1);
  CHECK_EQ(heap->statistics().regions, 1U);
  CHECK_EQ(heap->statistics().free_bytes, 0U);
  drop(*heap, last);
  // One byte more than what is left: a second region.
  last = hold(*heap, bytes_of(left) + 1);
  CHECK_EQ(heap->statistics().regions, 2U);
  CHECK_EQ(heap->statistics().reserved % kPageBytes, 0U);
  drop(*heap, last);
  for (const Held& held : blocks) drop(*heap, held);
  check_nothing_left(*heap);
}

TEST("Rulloc 7: list operations: every list of a heap links both ways after any order of frees") {
  // free_list_test.cc, free_runs_test.cc, idle_runs_test.cc and bucket_test.cc test each list alone.
  Random random(7);
  OwnHeap heap;
  std::vector<Held> blocks;
  for (int operation = 0; operation < 3000; ++operation) {
    if (blocks.size() < 200 && random.one_in(2)) {
      blocks.push_back(hold(*heap, random.log_uniform(19)));
    } else if (!blocks.empty()) {
      std::swap(blocks[random.below(blocks.size())], blocks.back());
      drop(*heap, blocks.back());
      blocks.pop_back();
    }
    if (operation % 10 == 0) CHECK(heap->check_invariants());
  }
}

TEST("Rulloc 8: three bucket sizes have a span each, and freed, none is left") {
  constexpr std::array<std::uint32_t, 3> kSizes{128, 1024, 8192};
  OwnHeap heap({.size_classes = kSizes});
  std::array<Held, 3> blocks;
  std::array<const heap::Span*, 3> spans{};
  for (std::size_t index = 0; index < 3; ++index) {
    blocks[index] = hold(*heap, kSizes[index]);
    spans[index] = heap->regions()->span_at(blocks[index].address);
    CHECK_EQ(spans[index]->cell_bytes, kSizes[index]);
    CHECK_EQ(spans[index]->used, 1U);
  }
  CHECK(spans[0] != spans[1] && spans[1] != spans[2]);
  for (const Held& held : blocks) drop(*heap, held);
  check_nothing_left(*heap);
}

TEST("Rulloc 8: larger than all buckets goes to the dynamic bucket") {
  constexpr std::array<std::uint32_t, 3> kSizes{128, 1024, 8192};
  OwnHeap heap({.size_classes = kSizes});
  const Held held = hold(*heap, 8193);
  CHECK(spans_of(*heap) == (Spans{used(3), free_run(kDataPages - 3)}));
  drop(*heap, held);
  check_nothing_left(*heap);
}

TEST("Rulloc 8: realloc moves a block up the buckets and keeps its contents") {
  constexpr std::array<std::uint32_t, 3> kSizes{128, 1024, 8192};
  OwnHeap heap({.size_classes = kSizes});
  Held held = hold(*heap, 100);
  for (const std::size_t size : {128U, 129U, 1024U, 1025U, 8192U, 8193U, 100'000U, 20'000'000U}) {
    resize(*heap, held, size);
    const std::size_t expected = size <= 128    ? 128
                                 : size <= 1024 ? 1024
                                 : size <= 8192 ? 8192
                                                : heap::round_up(size, kPageBytes);
    CHECK_EQ(held.usable, expected);
  }
  drop(*heap, held);
  check_nothing_left(*heap);
}

TEST("Rulloc 9: eight threads: all allocate, barrier, all check, all free") {
  constexpr std::size_t kThreads = 8;
  Barrier barrier(kThreads);
  on_threads(kThreads, [&](std::size_t self) {
    OwnHeap heap;
    const auto made = heap->allocate(layout(1024), Fill::kAnything);
    fill_pattern(made.value().address, 1024, self);
    barrier.arrive_and_wait();
    const bool intact = has_pattern(made.value().address, 1024, self);
    barrier.arrive_and_wait();
    CHECK(intact);
    CHECK(heap->free(made.value().address, 1024).ok());
    check_nothing_left(*heap);
  });
}

TEST("Rulloc 9: eight threads, six sizes, a thousand times each, every byte written and checked; no region is left") {
  constexpr std::size_t kThreads = 8;
#ifdef OFFHEAP_CHECK_INVARIANTS
  constexpr int kTimes = 20;
#else
  constexpr int kTimes = 1000;
#endif
  constexpr std::array<std::size_t, 6> kSizes{16, 128, 1000, 4096, 40'000, 100'000};
  Barrier barrier(kThreads);
  on_threads(kThreads, [&](std::size_t self) {
    OwnHeap heap;
    barrier.arrive_and_wait();
    for (int time = 0; time < kTimes; ++time) {
      std::array<std::byte*, kSizes.size()> blocks{};
      for (std::size_t index = 0; index < kSizes.size(); ++index) {
        blocks[index] = heap->allocate(layout(kSizes[index]), Fill::kAnything).value().address;
        fill_pattern(blocks[index], kSizes[index], self * 100 + index);
      }
      for (std::size_t index = 0; index < kSizes.size(); ++index) {
        CHECK(has_pattern(blocks[index], kSizes[index], self * 100 + index));
        CHECK(heap->free(blocks[index], kSizes[index]).ok());
      }
    }
    check_nothing_left(*heap);
  });
}

TEST("Rulloc 10: standalone: sizes 1, 1024, 4096 and a growing vector") {
  OwnHeap heap;
  for (const std::size_t size : {1U, 1024U, 4096U}) drop(*heap, hold(*heap, size));
  Held vector = hold(*heap, 8);
  for (std::size_t size = 16; size <= 4 * kMiB; size *= 2) resize(*heap, vector, size);
  drop(*heap, vector);
  check_nothing_left(*heap);
}

TEST("Rulloc 10: global: small, a vector, freed on a second thread, one megabyte") {
  OwnHeap heap;
  const Held box = hold(*heap, 4);
  Held vector = hold(*heap, 12);
  resize(*heap, vector, 100);
  const Held megabyte = hold(*heap, kMiB);
  on_threads(1, [&](std::size_t) {
    CHECK(box.intact() && vector.intact() && megabyte.intact());
    CHECK(heap->free(box.address, box.size).ok());
    CHECK(heap->free(megabyte.address, megabyte.size).ok());
  });
  drop(*heap, vector);
  check_nothing_left(*heap);
}

TEST("Rulloc 10: buckets of 8, 16 and 24 put their blocks in different spans") {
  constexpr std::array<std::uint32_t, 3> kSizes{8, 16, 24};
  OwnHeap heap({.size_classes = kSizes});
  const Held one = hold(*heap, 8);
  const Held two = hold(*heap, 16);
  const Held three = hold(*heap, 24);
  CHECK_EQ(one.usable, 8U);
  CHECK_EQ(two.usable, 16U);
  CHECK_EQ(three.usable, 24U);
  heap::Region* const region = heap->regions();
  CHECK(region->span_at(one.address) != region->span_at(two.address));
  CHECK(region->span_at(two.address) != region->span_at(three.address));
  CHECK(hold(*heap, 8).address == one.address + 8);
  CHECK(hold(*heap, 20).address == three.address + 24);
}

TEST("Rulloc 10: aligned to 16, 32 and 1024 leaves remainder 0") {
  OwnHeap heap;
  for (const std::size_t align : {16U, 32U, 1024U}) {
    for (int repeat = 0; repeat < 100; ++repeat) {
      const Held held = hold(*heap, 1 + static_cast<std::size_t>(repeat) * 17, align);
      CHECK_EQ(reinterpret_cast<std::uintptr_t>(held.address) % align, 0U);
    }
  }
}

}  // namespace offheap::test
