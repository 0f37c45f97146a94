// Resizing: where a block stands, into the pages beside it, by moving pages, by copying; never at a neighbour's cost.
#include <algorithm>
#include <array>
#include <vector>

#include "heap/heap.h"
#include "test/heaps.h"

namespace offheap::test {

using heap::bytes_of;
using heap::kDataPages;

namespace {

constexpr SpanView used(std::uint32_t pages) { return {SpanKind::kDynamic, pages, 0}; }
constexpr SpanView free_run(std::uint32_t pages) { return {SpanKind::kFree, pages, 0}; }

using Spans = std::vector<SpanView>;

// Reallocates, checks contents and zeroes, and fills anew.
void resize(Heap& heap, Held& held, std::size_t size, std::size_t align = heap::kDefaultAlign,
            Fill fill = Fill::kZero) {
  const auto made = heap.reallocate(held.address, held.size, layout(size, align), fill);
  CHECK(made.ok());
  const std::size_t kept = std::min(held.size, size);
  CHECK(heap::is_aligned(made.value().address, align));
  CHECK(made.value().usable >= size);
  CHECK_EQ(made.value().usable, heap.find(made.value().address).value().usable);
  CHECK(has_pattern(made.value().address, kept, held.seed));
  if (fill == Fill::kZero) CHECK(is_zero(made.value().address + kept, size - kept));
  held.address = made.value().address;
  held.size = size;
  held.usable = made.value().usable;
  held.seed += 17;
  fill_pattern(held.address, size, held.seed);
  CHECK(heap.check_invariants());
}

void resize_once(Heap& heap, std::size_t from, std::size_t to, Fill fill) {
  Held held = hold(heap, from);
  resize(heap, held, to, heap::kDefaultAlign, fill);
  CHECK_EQ(heap.bytes_in_use(), to);
  drop(heap, held);
}

}  // namespace

TEST("a block keeps its first bytes and gains zeroes through every pair of sizes") {
  constexpr std::array<std::size_t, 17> kSizes{
      0, 1, 7, 16, 17, 100, 128, 1000, 4095, 4096, 4097, 32 * kKiB, 33 * kKiB, 100 * kKiB, kMiB, kMiB + 1, 3 * kMiB};
  OwnHeap heap;
  for (const std::size_t from : kSizes) {
    for (const std::size_t to : kSizes) {
      for (const Fill fill : {Fill::kAnything, Fill::kZero}) resize_once(*heap, from, to, fill);
    }
  }
  CHECK_EQ(heap->blocks_in_use(), 0U);
}

TEST("a huge block keeps its first bytes and gains zeroes from and to every kind of size") {
  OwnHeap heap;
  for (const std::size_t huge : {16 * kMiB, 16 * kMiB + 1, 20 * kMiB}) {
    for (const std::size_t other : {std::size_t{0}, std::size_t{100}, 40 * kKiB, 15 * kMiB, 17 * kMiB}) {
      resize_once(*heap, huge, other, Fill::kZero);
      resize_once(*heap, other, huge, Fill::kZero);
    }
  }
  CHECK_EQ(heap->blocks_in_use(), 0U);
}

TEST("what a block shrinks by and grows by again reads zero") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 200 * kKiB, 20 * kMiB}) {
    Held held = hold(*heap, size);
    resize(*heap, held, size - 60);
    resize(*heap, held, size);
    drop(*heap, held);
  }
}

TEST("a block stays where it is when it fits its cell and most of the cell is used") {
  OwnHeap heap;
  Held held = hold(*heap, 1000);
  std::byte* const address = held.address;
  for (const std::size_t size : {1024U, 513U, 512U, 700U, 1001U}) {
    resize(*heap, held, size);
    CHECK(held.address == address);
  }
  resize(*heap, held, 511);
  CHECK(held.address != address);
  CHECK_EQ(held.usable, 512U);
}

TEST("a block stays where it is when no other class would hold it better") {
  constexpr std::array<std::uint32_t, 2> kTwo{1024, 8192};
  OwnHeap heap({.size_classes = kTwo});
  Held held = hold(*heap, 1000);
  std::byte* const address = held.address;
  for (const std::size_t size : {10U, 0U, 5U, 1000U, 1U}) {
    resize(*heap, held, size);
    CHECK(held.address == address);
  }
  OwnHeap with_default;
  Held small = hold(*with_default, 16);
  std::byte* const small_address = small.address;
  for (const std::size_t size : {7U, 3U, 0U, 16U}) {
    resize(*with_default, small, size);
    CHECK(small.address == small_address);
  }
}

TEST("a shrink gives whole pages to the run after the block") {
  OwnHeap heap;
  Held held = hold(*heap, bytes_of(100));
  std::byte* const address = held.address;
  resize(*heap, held, bytes_of(60));
  CHECK(spans_of(*heap) == (Spans{used(60), free_run(kDataPages - 60)}));
  Held wall = hold(*heap, bytes_of(9));
  resize(*heap, held, bytes_of(50) - 1);
  CHECK(spans_of(*heap) == (Spans{used(50), free_run(10), used(9), free_run(kDataPages - 69)}));
  resize(*heap, held, bytes_of(45));
  CHECK(spans_of(*heap) == (Spans{used(45), free_run(15), used(9), free_run(kDataPages - 69)}));
  CHECK(held.address == address);
  CHECK(wall.intact());
}

TEST("a block grows into the free run after it, all of it or its front") {
  OwnHeap heap;
  Held held = hold(*heap, bytes_of(20));
  const Held middle = hold(*heap, bytes_of(30));
  const Held wall = hold(*heap, bytes_of(9));
  std::byte* const address = held.address;
  drop(*heap, middle);
  resize(*heap, held, bytes_of(30));
  CHECK(spans_of(*heap) == (Spans{used(30), free_run(20), used(9), free_run(kDataPages - 59)}));
  resize(*heap, held, bytes_of(50));
  CHECK(spans_of(*heap) == (Spans{used(50), used(9), free_run(kDataPages - 59)}));
  CHECK(held.address == address);
  CHECK(wall.intact());
}

TEST("a block grows into the free run before it, and its contents move to the new start") {
  OwnHeap heap;
  const Held first = hold(*heap, bytes_of(10));
  const Held before = hold(*heap, bytes_of(30));
  Held held = hold(*heap, bytes_of(20));
  const Held wall = hold(*heap, bytes_of(9));
  drop(*heap, before);
  resize(*heap, held, bytes_of(35));
  CHECK(spans_of(*heap) == (Spans{used(10), free_run(15), used(35), used(9), free_run(kDataPages - 69)}));
  resize(*heap, held, bytes_of(50));
  CHECK(spans_of(*heap) == (Spans{used(10), used(50), used(9), free_run(kDataPages - 69)}));
  CHECK(first.intact() && wall.intact());
}

TEST("a block grows into the runs before and after it together") {
  OwnHeap heap;
  const Held before = hold(*heap, bytes_of(30));
  Held held = hold(*heap, bytes_of(20));
  const Held after = hold(*heap, bytes_of(10));
  const Held wall = hold(*heap, bytes_of(9));
  drop(*heap, before);
  drop(*heap, after);
  resize(*heap, held, bytes_of(45));
  CHECK(spans_of(*heap) == (Spans{free_run(15), used(45), used(9), free_run(kDataPages - 69)}));
  resize(*heap, held, bytes_of(60));
  CHECK(spans_of(*heap) == (Spans{used(60), used(9), free_run(kDataPages - 69)}));
  CHECK(wall.intact());
}

TEST("a block that grows into the run before it keeps its alignment") {
  OwnHeap heap;
  const Held before = hold(*heap, bytes_of(100), 64 * kKiB);
  Held held = hold(*heap, bytes_of(20), 64 * kKiB);
  const Held wall = hold(*heap, bytes_of(20));
  CHECK(spans_of(*heap) == (Spans{used(100), free_run(12), used(20), used(20), free_run(kDataPages - 152)}));
  drop(*heap, before);
  resize(*heap, held, bytes_of(50), 64 * kKiB);
  // Aligned to 16 pages: 80 to 130, and 2 pages are left over at the end.
  CHECK(spans_of(*heap) == (Spans{free_run(80), used(50), free_run(2), used(20), free_run(kDataPages - 152)}));
  resize(*heap, held, bytes_of(55), 64 * kKiB);
  CHECK(spans_of(*heap) == (Spans{free_run(64), used(55), free_run(13), used(20), free_run(kDataPages - 152)}));
  CHECK(wall.intact());
}

TEST("a block moves when its neighbours are in use, and they stay as they are") {
  OwnHeap heap;
  const Held before = hold(*heap, bytes_of(20));
  Held held = hold(*heap, bytes_of(20));
  const Held after = hold(*heap, bytes_of(20));
  std::byte* const address = held.address;
  resize(*heap, held, bytes_of(21));
  CHECK(held.address != address);
  CHECK(before.intact() && after.intact());
  CHECK_EQ(heap->find(address).error().reason, Refusal::kFreed);
}

TEST("an alignment may be raised and lowered, in place where the address allows it") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 100 * kKiB, 20 * kMiB}) {
    Held held = hold(*heap, size);
    for (const std::size_t align : {16U, 64U, 4096U, 65'536U, 1U, 2U << 20, 8U, 32U << 20, 64U}) {
      resize(*heap, held, size, align);
    }
    std::byte* const address = held.address;
    resize(*heap, held, size, 1);
    CHECK(held.address == address);
    drop(*heap, held);
  }
}

TEST("a size no kernel has is refused, and the block is as it was") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 64 * kKiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    for (const std::size_t impossible : {heap::kMaxBlockBytes, heap::kMaxBlockBytes - 64 * kMiB}) {
      const auto made = heap->reallocate(held.address, size, layout(impossible), Fill::kZero);
      CHECK(!made.ok());
      CHECK_EQ(made.error().reason, Refusal::kOutOfMemory);
      CHECK_EQ(made.error().asked, impossible);
      CHECK(held.intact());
      CHECK_EQ(heap->find(held.address).value().usable, held.usable);
      CHECK_EQ(heap->bytes_in_use(), size);
    }
    drop(*heap, held);
  }
}

TEST("a size whose pages do not fit in 32 bits is not taken for a small one") {
  // 2^44 bytes are 2^32 pages.
  OwnHeap heap;
  for (const std::size_t size : {64 * kKiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    for (const std::size_t large : {std::size_t{1} << 44, (std::size_t{1} << 44) + 1, (std::size_t{1} << 44) + kMiB,
                                    std::size_t{1} << 45, (std::size_t{3} << 45) + 4096}) {
      const auto done =
          heap->resize_in_place(held.address, size, layout(large), Fill::kAnything, Heap::Shrink::kAlways);
      CHECK(done.ok() && !done.value());
      CHECK_EQ(heap->find(held.address).value().usable, held.usable);
      CHECK_EQ(heap->bytes_in_use(), size);
    }
    drop(*heap, held);
  }
}

TEST("a realloc to 0 and back works for every kind of block") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 100 * kKiB, 20 * kMiB}) {
    Held held = hold(*heap, size);
    resize(*heap, held, 0);
    CHECK_EQ(heap->bytes_in_use(), 0U);
    CHECK_EQ(heap->blocks_in_use(), 1U);
    resize(*heap, held, size);
    drop(*heap, held);
  }
  // A block that is huge for its alignment alone keeps its reservation at any size.
  Held aligned = hold(*heap, kMiB, 64 * kMiB);
  resize(*heap, aligned, 0, 64 * kMiB);
  resize(*heap, aligned, 3 * kMiB, 64 * kMiB);
  drop(*heap, aligned);
}

TEST("a move in two halves leaves both blocks until it is finished, and counts one of them") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 100 * kKiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    const auto begun = heap->begin_move(held.address, size, layout(2 * size)).value();
    CHECK(begun.to.address != held.address);
    CHECK(held.intact());
    CHECK(heap->find(begun.to.address).ok());
    CHECK_EQ(heap->bytes_in_use(), size);
    CHECK_EQ(heap->blocks_in_use(), 1U);
    heap->finish_move(begun, Fill::kZero);
    CHECK_EQ(heap->bytes_in_use(), 2 * size);
    CHECK_EQ(heap->blocks_in_use(), 1U);
    CHECK(!heap->find(held.address).ok());
    CHECK(has_pattern(begun.to.address, size, held.seed));
    CHECK(is_zero(begun.to.address + size, size));
    CHECK(heap->free(begun.to.address, 2 * size).ok());
    CHECK(heap->check_invariants());
  }
}

TEST("an abandoned move is as if nothing had happened") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 100 * kKiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    const Statistics before = heap->statistics();
    const auto begun = heap->begin_move(held.address, size, layout(3 * size)).value();
    heap->abandon_move(begun);
    CHECK(held.intact());
    CHECK(!heap->find(begun.to.address).ok());
    const Statistics after = heap->statistics();
    CHECK_EQ(after.requested, before.requested);
    CHECK_EQ(after.blocks, before.blocks);
    CHECK_EQ(after.usable, before.usable);
    CHECK_EQ(after.allocations, before.allocations);
    CHECK_EQ(after.peak, before.peak);
    drop(*heap, held);
    CHECK(heap->check_invariants());
  }
}

TEST("resize in place says no and changes nothing when the block would have to move") {
  OwnHeap heap;
  const Held cell = hold(*heap, 100);
  CHECK(!heap->resize_in_place(cell.address, 100, layout(cell.usable + 1), Fill::kZero).value());
  CHECK(!heap->resize_in_place(cell.address, 100, layout(100, 32 * kMiB), Fill::kZero).value());
  const Held pages = hold(*heap, bytes_of(20));
  const Held wall = hold(*heap, bytes_of(9));
  CHECK(!heap->resize_in_place(pages.address, pages.size, layout(pages.size + 1), Fill::kZero).value());
  CHECK_EQ(heap->bytes_in_use(), 100 + bytes_of(29));
  CHECK(cell.intact() && pages.intact() && wall.intact());
}

TEST("a shrink that must stay in place always does") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{1000}, std::size_t{30'000}, kMiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    std::size_t now = size;
    for (const std::size_t smaller : {size - 1, size / 3, std::size_t{10}, std::size_t{0}}) {
      CHECK(heap->resize_in_place(held.address, now, layout(smaller), Fill::kZero, Heap::Shrink::kAlways).value());
      CHECK(has_pattern(held.address, smaller, held.seed) || smaller < 8);
      now = smaller;
      CHECK_EQ(heap->bytes_in_use(), now);
      CHECK(heap->check_invariants());
    }
    CHECK(heap->free(held.address, now).ok());
  }
}

}  // namespace offheap::test
