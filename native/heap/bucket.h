// One size class: the spans cut into cells of its size. Taking a cell and giving it back touch the span's record and
// nothing else; spans come from the dynamic bucket and go back to it when they are empty.
#ifndef OFFHEAP_HEAP_BUCKET_H_
#define OFFHEAP_HEAP_BUCKET_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "heap/span.h"
#include "heap/types.h"

namespace offheap::heap {

// How a span of one size class is cut.
struct BucketShape {
  std::uint32_t cells = 0;
  std::uint32_t pages = 0;

  // Spans of about 64 KiB, of 8 cells at least, so that a span is made once in a good while, and of at most kMaxCells.
  // Among a few cell counts near that, the one that leaves the smallest part of its last page unused.
  [[nodiscard]] static constexpr BucketShape of(std::uint32_t cell_bytes) {
    constexpr std::uint32_t kSpanBytes = 64U << 10;
    constexpr std::uint32_t kFewestCells = 8;
    const std::uint32_t least =
        std::clamp(kSpanBytes / cell_bytes, std::min(kFewestCells, most(cell_bytes)), most(cell_bytes));
    BucketShape best{};
    std::size_t best_waste = 0;
    for (std::uint32_t cells = least; cells <= std::min(least + least / 4, most(cell_bytes)); ++cells) {
      const std::uint32_t pages = pages_for(std::size_t{cells} * cell_bytes);
      const std::size_t waste = bytes_of(pages) - std::size_t{cells} * cell_bytes;
      // waste / pages < best_waste / best.pages
      if (best.cells == 0 || waste * best.pages < best_waste * pages) {
        best = {cells, pages};
        best_waste = waste;
      }
    }
    return best;
  }

 private:
  [[nodiscard]] static constexpr std::uint32_t most(std::uint32_t cell_bytes) {
    return std::min(kMaxCells, static_cast<std::uint32_t>(Span::kMaxBucketSpanBytes / cell_bytes));
  }
};

static_assert(BucketShape::of(16).cells == kMaxCells && BucketShape::of(16).pages == 4);
static_assert(BucketShape::of(64).pages == 16);
static_assert(BucketShape::of(1U << 20).cells == 4);

// Owner thread only. All zero bytes but for the shape is a bucket without spans.
// Always true: every span in the list has a free cell, and every span of this class that has one is in the list; at
// most one span of the list is empty, and then `empty_since` says since when.
struct Bucket {
  std::uint32_t cell_bytes = 0;
  BucketShape shape{};
  std::uint64_t reciprocal = 0;
  Span* spans = nullptr;     // those with a free cell, the one that serves next in front
  Span* retained = nullptr;  // the span that is empty, or was when last looked at
  std::uint64_t empty_since = 0;

  void push_front(Span* span) {
    span->previous = nullptr;
    span->next = spans;
    if (spans != nullptr) spans->previous = span;
    spans = span;
  }

  void remove(Span* span) {
    (span->previous != nullptr ? span->previous->next : spans) = span->next;
    if (span->next != nullptr) span->next->previous = span->previous;
    span->next = nullptr;
    span->previous = nullptr;
  }

  // Turns pages just taken into a span of this bucket, all cells free.
  void adopt(Span* span, std::uint8_t size_class, std::byte* start) {
    span->size_class = size_class;
    span->start = start;
    span->cell_bytes = cell_bytes;
    span->cells = shape.cells;
    span->used = 0;
    span->reciprocal = reciprocal;
    span->free.fill(shape.cells);
    span->remote.clear();
    push_front(span);
  }
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_BUCKET_H_
