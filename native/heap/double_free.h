// Where a wrong address is refused: one freed before, one inside a block, one of another heap, one that was never ours.
#ifndef OFFHEAP_HEAP_DOUBLE_FREE_H_
#define OFFHEAP_HEAP_DOUBLE_FREE_H_

#include <cstddef>
#include <cstdint>

#include "heap/huge_block.h"
#include "heap/region.h"
#include "heap/region_map.h"
#include "heap/span.h"
#include "heap/types.h"

namespace offheap::heap {

// What lies at an address. A live block has either `span` and `cell` (0 for a dynamic block) or `huge`.
struct Lookup {
  enum class Verdict : std::uint8_t { kLive, kFreed, kForeign };

  Verdict verdict = Verdict::kForeign;
  Span* span = nullptr;
  std::uint32_t cell = 0;
  HugeBlock* huge = nullptr;

  [[nodiscard]] bool live() const { return verdict == Verdict::kLive; }
  // Bytes the live block can hold.
  [[nodiscard]] std::size_t usable() const {
    if (huge != nullptr) return huge->usable;
    return span->kind == SpanKind::kBucket ? span->cell_bytes : bytes_of(span->pages.count);
  }
  // Why a block that is not live is refused.
  [[nodiscard]] Failure failure() const {
    return {.reason = verdict == Verdict::kFreed ? Refusal::kFreed : Refusal::kForeign};
  }
};

// Looks up any address at all, without touching it. Any thread may ask about a block that is live; only the owner of
// `heap` about others.
[[nodiscard]] Lookup look_up(const Heap* heap, const std::byte* address);

namespace internal {

// What look_up() says of addresses that are no live cell.
[[nodiscard]] Lookup look_up_other(ReservationHead* head, const std::byte* address);

}  // namespace internal

[[gnu::always_inline]] inline Lookup look_up(const Heap* heap, const std::byte* address) {
  ReservationHead* const head = region_map::find(address);
  if (head == nullptr || head->heap != heap) [[unlikely]]
    return {};
  if (head->kind == ReservationKind::kRegion) [[likely]] {
    Span* const span = reinterpret_cast<Region*>(head)->span_at(address);
    if (span != nullptr && span->kind == SpanKind::kBucket) [[likely]] {
      const auto offset = static_cast<std::size_t>(address - span->start);
      const std::uint32_t cell = span->cell_at(offset);
      const bool starts_a_cell = cell < span->cells && std::size_t{cell} * span->cell_bytes == offset;
      if (!starts_a_cell) [[unlikely]]
        return {};
      const bool freed = span->free.is_free(cell) || span->was_freed_remotely(cell);
      return {freed ? Lookup::Verdict::kFreed : Lookup::Verdict::kLive, span, cell, nullptr};
    }
  }
  return internal::look_up_other(head, address);
}

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_DOUBLE_FREE_H_
