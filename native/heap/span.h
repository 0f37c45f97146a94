// A run of pages with one purpose: the cells of a bucket, one block of the dynamic bucket, or nothing at all.
#ifndef OFFHEAP_HEAP_SPAN_H_
#define OFFHEAP_HEAP_SPAN_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/free_list.h"
#include "heap/page_bits.h"
#include "heap/remote_frees.h"
#include "heap/types.h"

namespace offheap::heap {

enum class SpanKind : std::uint8_t {
  kUnused,   // a record without pages, waiting in its region's pool
  kFree,     // in the index of free runs
  kBucket,   // cells of one size class
  kDynamic,  // one block
};

// Lives in the metadata of its region, which is found by masking the span's own address. All fields belong to the
// heap's owner thread, except `remote`, `pending` and `next_pending` (see remote_frees.h) and the ones a remote free
// reads, which do not change while one of the span's blocks is live: kind, pages, cell_bytes, reciprocal, cells.
//
// Always true of a bucket span: used + free.count() == cells; cells at or beyond `fresh_from` have never been handed
// out since the pages came from the kernel, and read zero; fresh_from is above every used cell.
//
// The order is that of use: taking a cell or giving one back touches the first cache line and one word of the bits.
struct alignas(64) Span {
  PageRange pages{};
  SpanKind kind = SpanKind::kUnused;
  std::uint8_t size_class = 0;
  std::atomic<bool> pending{false};
  std::uint32_t cell_bytes = 0;
  std::uint32_t cells = 0;
  std::uint32_t used = 0;
  std::uint32_t fresh_from = 0;
  std::byte* start = nullptr;    // bucket span: address of the first cell
  std::uint64_t reciprocal = 0;  // see cell_at
  // Bucket span: its neighbours in the list of spans with free cells. Free span: those of the same length.
  Span* next = nullptr;
  FreeList free{};

  Span* previous = nullptr;
  // Free span: its neighbours in order of age.
  Span* newer = nullptr;
  Span* older = nullptr;
  std::uint64_t freed_at = 0;  // ms, os::monotonic_milliseconds()

  Span* next_pending = nullptr;
  RemoteFrees remote{};

  // Division by multiplication: offset / cell_bytes == (offset * reciprocal) >> 42 with reciprocal = ceil(2^42 /
  // cell_bytes), exact while offset * cell_bytes < 2^42 (Granlund and Montgomery, PLDI 1994, theorem 4.2). Spans of a
  // bucket are at most 2^22 bytes long and cells at most 2^20.
  static constexpr unsigned kReciprocalShift = 42;
  static constexpr std::size_t kMaxBucketSpanBytes = std::size_t{1} << 22;

  [[nodiscard]] static constexpr std::uint64_t reciprocal_of(std::uint32_t cell_bytes) {
    return ((std::uint64_t{1} << kReciprocalShift) + cell_bytes - 1) / cell_bytes;
  }

  // The cell that contains the byte at `offset` from the span's start; may be `cells` or more in the tail.
  [[nodiscard]] std::uint32_t cell_at(std::size_t offset) const {
    return static_cast<std::uint32_t>((offset * reciprocal) >> kReciprocalShift);
  }

  // Whether another thread freed the cell and the owner has not collected it yet.
  [[nodiscard]] bool was_freed_remotely(std::uint32_t cell) const {
    return pending.load(std::memory_order_relaxed) && remote.test(cell);
  }

  [[nodiscard]] bool contains_page(std::uint32_t page) const { return page - pages.first < pages.count; }
};

// A span of 64-byte blocks is 64 KiB long: its record adds 0.6 %.
static_assert(sizeof(Span) == 384);
static_assert(offsetof(Span, free) == 56, "the summary of the free list ends the first cache line");

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_SPAN_H_
