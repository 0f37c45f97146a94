// What the headers of this folder call "always true", as code, as far as it can be seen from outside a call.
#include <cstdio>

#include "heap/heap.h"
#include "heap/region_map.h"

namespace offheap::heap {

namespace {

bool holds(bool condition, const char* what) {
  if (!condition) std::fprintf(stderr, "offheap: invariant broken: %s\n", what);
  return condition;
}

#define HOLDS(condition) \
  if (!holds((condition), #condition)) return false

// Whether `wanted` is in the list that starts at `first`.
bool listed(const Span* first, const Span* wanted) {
  for (const Span* span = first; span != nullptr; span = span->next) {
    if (span == wanted) return true;
  }
  return false;
}

bool check_bucket_span(const Bucket& bucket, const Span& span) {
  HOLDS(span.cell_bytes == bucket.cell_bytes && span.cells == bucket.shape.cells);
  HOLDS(span.free.check_invariants(span.cells));
  HOLDS(span.used + span.free.count() == span.cells);
  HOLDS(span.fresh_from <= span.cells);
  HOLDS(bytes_of(span.pages.count) >= std::size_t{span.cells} * span.cell_bytes);
  for (std::uint32_t cell = span.fresh_from; cell < span.cells; ++cell) HOLDS(span.free.is_free(cell));
  HOLDS(listed(bucket.spans, &span) == !span.free.empty());
  return true;
}

bool check_bucket(const Bucket& bucket) {
  std::uint32_t empty = 0;
  const Span* previous = nullptr;
  for (const Span* span = bucket.spans; span != nullptr; span = span->next) {
    HOLDS(span->kind == SpanKind::kBucket && span->cell_bytes == bucket.cell_bytes);
    HOLDS(!span->free.empty());
    HOLDS(span->previous == previous);
    if (span->used == 0) {
      ++empty;
      HOLDS(bucket.retained == span);
    }
    previous = span;
  }
  HOLDS(empty <= 1);
  return true;
}

}  // namespace

bool DynamicBucket::check_invariants() const {
  std::uint64_t free_pages = 0;
  std::size_t regions = 0;
  const Region* previous_region = nullptr;
  for (Region* region = regions_; region != nullptr; region = region->next) {
    ++regions;
    HOLDS(region->previous == previous_region);
    previous_region = region;
    HOLDS(region_map::find(region->start()) == &region->head);
    HOLDS(region->committed_pages == region->committed.count({0, kDataPages}));
    HOLDS(region->holds_whole_os_pages());
    std::uint32_t records = 0;
    bool previous_free = false;
    for (std::uint32_t page = 0; page < kDataPages;) {
      Span* const span = region->span_starting_at(page);
      ++records;
      HOLDS(span->pages.first == page && span->pages.count > 0 && span->pages.end() <= kDataPages);
      HOLDS(region->span_ending_before(span->pages.end()) == span);
      const bool is_free = span->kind == SpanKind::kFree;
      HOLDS(is_free || span->kind == SpanKind::kBucket || span->kind == SpanKind::kDynamic);
      HOLDS(!(is_free && previous_free));
      HOLDS(listed(free_runs_.first_with_length(span->pages.count), span) == is_free);
      if (is_free) {
        free_pages += span->pages.count;
        HOLDS(idle_.contains(span) || !region->can_decommit(span->pages));
      } else {
        HOLDS(region->committed.all(span->pages));
      }
      previous_free = is_free;
      page = span->pages.end();
    }
    HOLDS(records + region->spans_unused == region->spans_made);
  }
  HOLDS(regions == region_count_);
  HOLDS(free_pages == free_pages_);
  const Span* older = nullptr;
  for (const Span* run = idle_.oldest(); run != nullptr; run = run->newer) {
    HOLDS(run->kind == SpanKind::kFree && run->older == older);
    HOLDS(older == nullptr || older->freed_at <= run->freed_at);
    older = run;
  }
  return true;
}

bool Heap::check_invariants() const {
  const std::uint64_t remote_frees = counters_.remote_blocks_freed.load(std::memory_order_acquire);
  HOLDS(dynamic_->check_invariants());
  for (const Bucket& bucket : buckets()) HOLDS(check_bucket(bucket));
  bool spans_hold = true;
  std::size_t used_blocks = 0;
  std::size_t usable = 0;
  for_each_span([&](const Region&, const Span& span) {
    if (span.kind == SpanKind::kBucket) {
      spans_hold = spans_hold && check_bucket_span(buckets_[span.size_class], span);
      used_blocks += span.used;
      usable += std::size_t{span.used} * span.cell_bytes;
    } else if (span.kind == SpanKind::kDynamic) {
      ++used_blocks;
      usable += bytes_of(span.pages.count);
    }
  });
  HOLDS(spans_hold);
  for (const HugeBlock* huge = huge_blocks_; huge != nullptr; huge = huge->next) {
    HOLDS(region_map::find(huge) == &huge->head && huge->head.heap == this);
    ++used_blocks;
    usable += huge->usable;
  }
  // Blocks freed by other threads are used until they are collected, and in use until they are counted.
  if (collecting_ || !pending_spans_.empty() || !pending_huge_.empty()) return true;
  for (const Region* region = regions(); region != nullptr; region = region->next) {
    if (region->remote_frees_in_flight.load(std::memory_order_acquire) != 0) return true;
  }
  for (const HugeBlock* huge = huge_blocks_; huge != nullptr; huge = huge->next) {
    if (huge->freed_remotely.load(std::memory_order_acquire)) return true;
  }
  const std::size_t bytes = bytes_in_use();
  const std::size_t blocks = blocks_in_use();
  if (counters_.remote_blocks_freed.load(std::memory_order_acquire) != remote_frees) return true;
  HOLDS(bytes <= usable);
  HOLDS(blocks + shelved_ + open_moves_ == used_blocks);
  return true;
}

}  // namespace offheap::heap
