// What the dynamic bucket does, seen through a heap: pages by best fit, split when long, merged when free.
#include "heap/dynamic_bucket.h"

#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::bytes_of;
using heap::kDataPages;
using heap::kPageBytes;

namespace {

constexpr SpanView used(std::uint32_t pages) { return {SpanKind::kDynamic, pages, 0}; }
constexpr SpanView free_run(std::uint32_t pages) { return {SpanKind::kFree, pages, 0}; }

[[nodiscard]] Held hold_pages(Heap& heap, std::uint32_t pages) { return hold(heap, bytes_of(pages)); }

using Spans = std::vector<SpanView>;

}  // namespace

TEST("the first block splits the region, and its free gives the region back whole") {
  OwnHeap heap;
  const Held held = hold_pages(*heap, 10);
  CHECK(spans_of(*heap) == (Spans{used(10), free_run(kDataPages - 10)}));
  drop(*heap, held);
  CHECK(spans_of(*heap) == Spans{free_run(kDataPages)});
  CHECK(heap->check_invariants());
}

TEST("the shortest run that is long enough serves, wherever it lies") {
  OwnHeap heap;
  std::vector<Held> gaps;
  std::vector<Held> walls;
  for (const std::uint32_t pages : {40U, 20U, 30U, 12U, 50U}) {
    gaps.push_back(hold_pages(*heap, pages));
    walls.push_back(hold_pages(*heap, 9));
  }
  for (const Held& held : gaps) drop(*heap, held);
  CHECK(hold_pages(*heap, 10).address == gaps[3].address);
  CHECK(hold_pages(*heap, 13).address == gaps[1].address);
  CHECK(hold_pages(*heap, 41).address == gaps[4].address);
  CHECK(hold_pages(*heap, 40).address == gaps[0].address);
  CHECK(hold_pages(*heap, 30).address == gaps[2].address);
  CHECK(spans_of(*heap) ==
        (Spans{used(40), used(9), used(13), free_run(7), used(9), used(30), used(9), used(10), free_run(2), used(9),
               used(41), free_run(9), used(9), free_run(kDataPages - 40 - 20 - 30 - 12 - 50 - 5 * 9)}));
  CHECK(heap->check_invariants());
}

TEST("a freed block merges with the run before it, the run after it, both, or neither") {
  OwnHeap heap;
  const Held a = hold_pages(*heap, 9);
  const Held b = hold_pages(*heap, 10);
  const Held c = hold_pages(*heap, 11);
  const Held d = hold_pages(*heap, 12);
  const std::uint32_t rest = kDataPages - 9 - 10 - 11 - 12;
  drop(*heap, b);
  CHECK(spans_of(*heap) == (Spans{used(9), free_run(10), used(11), used(12), free_run(rest)}));
  drop(*heap, a);
  CHECK(spans_of(*heap) == (Spans{free_run(19), used(11), used(12), free_run(rest)}));
  drop(*heap, d);
  CHECK(spans_of(*heap) == (Spans{free_run(19), used(11), free_run(12 + rest)}));
  drop(*heap, c);
  CHECK(spans_of(*heap) == Spans{free_run(kDataPages)});
  CHECK(heap->check_invariants());
}

TEST("an aligned block is cut out of the middle of a run, and both ends stay free") {
  OwnHeap heap;
  const Held first = hold_pages(*heap, 9);
  const Held aligned = hold(*heap, bytes_of(9), 2 * kMiB);
  CHECK(spans_of(*heap) == (Spans{used(9), free_run(512 - 9), used(9), free_run(kDataPages - 512 - 9)}));
  drop(*heap, first);
  CHECK(spans_of(*heap) == (Spans{free_run(512), used(9), free_run(kDataPages - 512 - 9)}));
  drop(*heap, aligned);
  CHECK(spans_of(*heap) == Spans{free_run(kDataPages)});
}

TEST("every alignment up to 16 MiB is served by the dynamic bucket for every size") {
  OwnHeap heap;
  for (std::size_t align = kPageBytes; align <= 16 * kMiB; align *= 2) {
    for (const std::size_t size : {std::size_t{1}, 40 * kKiB, kMiB + 1, 16 * kMiB}) {
      const Held one = hold(*heap, size, align);
      const Held two = hold(*heap, size, align);
      CHECK(heap->check_invariants());
      drop(*heap, one);
      drop(*heap, two);
    }
  }
  CHECK(heap->huge_blocks() == nullptr);
}

TEST("pages fresh from the kernel are not zeroed again, pages used before are") {
  OwnHeap heap;
  const auto fresh = heap->allocate(layout(kMiB), Fill::kZero);
  CHECK(fresh.value().zeroed);
  // Nothing has touched them: the kernel has not had to give a page.
  fill_pattern(fresh.value().address, kMiB, 1);
  CHECK(heap->free(fresh.value().address, kMiB).ok());
  const auto again = heap->allocate(layout(kMiB), Fill::kZero);
  CHECK(again.value().address == fresh.value().address);
  CHECK(is_zero(again.value().address, kMiB));
  CHECK(!again.value().zeroed);
  fill_pattern(again.value().address, kMiB, 2);
  CHECK(heap->free(again.value().address, kMiB).ok());
  (void)heap->trim();
  const auto later = heap->allocate(layout(kMiB), Fill::kZero);
  CHECK(later.value().zeroed);
  CHECK(is_zero(later.value().address, kMiB));
}

TEST("the largest dynamic block and one byte more go to a region and to a reservation of their own") {
  OwnHeap heap;
  const Held largest = hold(*heap, heap::kMaxDynamicBytes);
  CHECK(heap->huge_blocks() == nullptr);
  const Held huge = hold(*heap, heap::kMaxDynamicBytes + 1);
  CHECK(heap->huge_blocks() != nullptr);
  drop(*heap, largest);
  drop(*heap, huge);
}

TEST("regions are taken one at a time as they fill, and go back as they empty") {
  OwnHeap heap;
  std::vector<Held> blocks;
  for (std::size_t index = 0; index < 12; ++index) blocks.push_back(hold(*heap, 16 * kMiB));
  CHECK_EQ(heap->statistics().regions, 4U);  // three of 16 MiB in 58
  for (const Held& held : blocks) drop(*heap, held);
  CHECK(heap->check_invariants());
  (void)heap->trim();
  CHECK_EQ(heap->statistics().regions, 0U);
}

}  // namespace offheap::test
