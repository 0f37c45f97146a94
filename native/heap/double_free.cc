#include "heap/double_free.h"

namespace offheap::heap {

namespace {

using Verdict = Lookup::Verdict;

// The run that covers `page`, whatever it is: a walk, for addresses that are refused anyway.
SpanKind kind_at(Region* region, std::uint32_t page) {
  std::uint32_t first = 0;
  while (true) {
    const Span* const span = region->span_starting_at(first);
    if (span->contains_page(page)) return span->kind;
    first = span->pages.end();
  }
}

Lookup look_up_run(Region* region, const std::byte* address) {
  Span* const span = region->span_at(address);
  if (span != nullptr && span->kind == SpanKind::kDynamic) {
    if (region->address_of(*span) != address) return {};
    return {span->was_freed_remotely(0) ? Verdict::kFreed : Verdict::kLive, span, 0, nullptr};
  }
  const auto offset = static_cast<std::size_t>(address - region->start());
  if (offset < kRegionMetadataBytes) return {};
  const auto page = static_cast<std::uint32_t>((offset - kRegionMetadataBytes) >> kPageShift);
  return {.verdict = kind_at(region, page) == SpanKind::kFree ? Verdict::kFreed : Verdict::kForeign};
}

}  // namespace

Lookup internal::look_up_other(ReservationHead* head, const std::byte* address) {
  if (head->kind == ReservationKind::kRegion) return look_up_run(reinterpret_cast<Region*>(head), address);
  auto* const huge = reinterpret_cast<HugeBlock*>(head);
  if (huge->start() != address) return {};
  const bool freed = huge->freed_remotely.load(std::memory_order_acquire);
  return {freed ? Verdict::kFreed : Verdict::kLive, nullptr, 0, huge};
}

}  // namespace offheap::heap
