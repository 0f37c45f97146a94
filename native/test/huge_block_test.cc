#include "heap/huge_block.h"

#include "test/heaps.h"

namespace offheap::test {

using heap::kRegionBytes;

namespace {

// Where a huge block starts in its reservation: after its header and a page without access.
[[nodiscard]] std::size_t least_offset() { return os::page_size() == 64 * kKiB ? 128 * kKiB : 64 * kKiB; }

}  // namespace

TEST("a huge block lies 64 KiB, or two pages of 64 KiB, into a reservation of its own and is zero") {
  OwnHeap heap;
  const auto block = heap->allocate(layout(17 * kMiB), Fill::kZero);
  CHECK(block.value().zeroed);
  CHECK_EQ(block.value().usable, 17 * kMiB);
  CHECK_EQ(reinterpret_cast<std::uintptr_t>(block.value().address) % kRegionBytes, least_offset());
  CHECK(is_zero(block.value().address, 17 * kMiB));
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.usable, 17 * kMiB);
}

TEST("a huge block's reservation is what it needs, in steps of 64 MiB") {
  OwnHeap heap;
  const std::size_t own = heap->statistics().reserved;
  const std::size_t most = 64 * kMiB - least_offset();
  for (const std::size_t size : {20 * kMiB, most, most + 1, 200 * kMiB}) {
    const auto block = heap->allocate(layout(size), Fill::kAnything);
    const std::size_t needed = heap::round_up(size + least_offset(), kRegionBytes);
    CHECK_EQ(heap->statistics().reserved, own + needed);
    CHECK(heap->free(block.value().address, size).ok());
    CHECK_EQ(heap->statistics().reserved, own);
  }
}

TEST("alignments of 32 and 64 MiB are served for every size, 1 byte to 70 MiB") {
  OwnHeap heap;
  for (const std::size_t align : {32 * kMiB, 64 * kMiB}) {
    for (const std::size_t size : {std::size_t{1}, std::size_t{4096}, 20 * kMiB, 64 * kMiB, 70 * kMiB}) {
      const auto block = heap->allocate(layout(size, align), Fill::kZero);
      CHECK(block.ok());
      CHECK(heap::is_aligned(block.value().address, align));
      block.value().address[size - 1] = std::byte{1};
      CHECK(heap->check_invariants());
      CHECK(heap->free(block.value().address, size).ok());
    }
  }
}

TEST("a huge block grows and shrinks where it stands, and what it grows by is zero") {
  OwnHeap heap;
  Held held = hold(*heap, 20 * kMiB);
  for (const std::size_t size : {20 * kMiB + 1, 40 * kMiB, 25 * kMiB + 5, 30 * kMiB, 63 * kMiB, 17 * kMiB, 60 * kMiB}) {
    const auto done = heap->resize_in_place(held.address, held.size, layout(size), Fill::kZero);
    CHECK(done.ok() && done.value());
    const std::size_t kept = std::min(held.size, size);
    CHECK(has_pattern(held.address, kept, held.seed));
    CHECK(is_zero(held.address + kept, size - kept));
    CHECK_EQ(heap->find(held.address).value().usable, heap::round_up(size, os::page_size()));
    held.size = size;
    fill_pattern(held.address, size, held.seed);
    CHECK(heap->check_invariants());
  }
  drop(*heap, held);
}

TEST("the last page of a huge block reads zero where it grows into it again") {
  OwnHeap heap;
  const Held held = hold(*heap, 20 * kMiB);
  // Shrunk by less than a page: the bytes given up are still there and must not come back.
  const std::size_t less = 20 * kMiB - 1000;
  CHECK(heap->resize_in_place(held.address, held.size, layout(less), Fill::kZero).value());
  CHECK(heap->resize_in_place(held.address, less, layout(held.size), Fill::kZero).value());
  CHECK(has_pattern(held.address, less, held.seed));
  CHECK(is_zero(held.address + less, 1000));
}

TEST("the last page of a huge block reads zero beyond its size when the block is moved") {
  OwnHeap heap;
  const Held held = hold(*heap, 20 * kMiB);
  const std::size_t less = 20 * kMiB - 1000;
  CHECK(heap->resize_in_place(held.address, held.size, layout(less), Fill::kZero).value());
  const auto moved = heap->reallocate(held.address, less, layout(100 * kMiB), Fill::kZero);
  CHECK(moved.value().address != held.address);
  CHECK(has_pattern(moved.value().address, less, held.seed));
  CHECK(is_zero(moved.value().address + less, kMiB));
}

TEST("a huge block that grows again and again by moving keeps every byte") {
  OwnHeap heap;
  Held held = hold(*heap, 20 * kMiB);
  // Each move leaves behind a block made of pages from several places, which the next one moves on.
  for (const std::size_t size : {50 * kMiB, 70 * kMiB, 100 * kMiB, 140 * kMiB, 180 * kMiB, 250 * kMiB}) {
    const auto grown = heap->reallocate(held.address, held.size, layout(size), Fill::kZero);
    CHECK(grown.ok());
    CHECK(has_pattern(grown.value().address, held.size, held.seed));
    CHECK(is_zero(grown.value().address + held.size, size - held.size));
    held = {grown.value().address, size, grown.value().usable, held.seed};
    fill_pattern(held.address, held.size, held.seed);
  }
  drop(*heap, held);
  CHECK_EQ(heap->bytes_in_use(), 0U);
}

TEST("a block that was moved more often than its parts can be remembered keeps every byte") {
  OwnHeap heap;
  Held held = hold(*heap, 20 * kMiB);
  const auto mark = [&](int value) { held.address[held.size - 1] = static_cast<std::byte>(value); };
  mark(0);
  for (int round = 1; round <= 40; ++round) {
    // The reservation is 64 MiB longer each time, so the block moves; what it grows by is a part of its own.
    const std::size_t size = held.size + 64 * kMiB;
    const auto grown = heap->reallocate(held.address, held.size, layout(size), Fill::kZero);
    CHECK(grown.ok());
    CHECK(has_pattern(grown.value().address, 19 * kMiB, held.seed));
    // The last byte of every size it has had.
    for (int earlier = 0; earlier < round; ++earlier) {
      const std::size_t last = (20 + 64 * static_cast<std::size_t>(earlier)) * kMiB - 1;
      CHECK_EQ(std::to_integer<int>(grown.value().address[last]), earlier);
    }
    held.address = grown.value().address;
    held.size = size;
    mark(round);
  }
  CHECK(heap->free(held.address, held.size).ok());
}

TEST("a loop of huge blocks uses the same addresses again: one reserve, one release and two commits each") {
  OwnHeap heap;
  CHECK(heap->free(heap->allocate(layout(20 * kMiB), Fill::kAnything).value().address, 20 * kMiB).ok());
  const auto calls = kernel_calls();
  constexpr std::uint64_t kRounds = 5000;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const auto block = heap->allocate(layout(20 * kMiB), Fill::kAnything);
    CHECK(heap->free(block.value().address, 20 * kMiB).ok());
  }
  CHECK(kernel_calls() - calls <= 4 * kRounds + 3);
}

}  // namespace offheap::test
