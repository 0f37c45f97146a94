// What a heap can say about itself in numbers. Walks the spans; nothing here is on a hot path.
#include <algorithm>

#include "heap/heap.h"

namespace offheap::heap {

Statistics& Statistics::operator+=(const Statistics& other) {
  requested += other.requested;
  usable += other.usable;
  committed += other.committed;
  reserved += other.reserved;
  metadata += other.metadata;
  peak += other.peak;
  blocks += other.blocks;
  allocations += other.allocations;
  frees += other.frees;
  failures += other.failures;
  regions += other.regions;
  spans += other.spans;
  free_bytes += other.free_bytes;
  largest_free_run = std::max(largest_free_run, other.largest_free_run);
  decommits_refused += other.decommits_refused;
  return *this;
}

Statistics Heap::statistics() const {
  Statistics statistics;
  statistics.requested = bytes_in_use();
  statistics.blocks = blocks_in_use();
  statistics.peak = counters_.peak_bytes.get();
  statistics.allocations = counters_.blocks_allocated.get();
  statistics.frees = statistics.allocations - statistics.blocks;
  statistics.failures = counters_.failures.get();
  statistics.regions = dynamic_->region_count();
  statistics.metadata = own_bytes() + dynamic_->metadata_bytes();
  statistics.committed = own_bytes() + dynamic_->committed_bytes();
  statistics.reserved = own_bytes() + dynamic_->region_count() * kRegionBytes;
  statistics.free_bytes = dynamic_->free_pages() << kPageShift;
  statistics.largest_free_run = bytes_of(dynamic_->longest_free_run());
  statistics.decommits_refused = dynamic_->decommits_refused();
  for_each_span([&](const Region&, const Span& span) {
    ++statistics.spans;
    if (span.kind == SpanKind::kBucket) statistics.usable += std::size_t{span.used} * span.cell_bytes;
    if (span.kind == SpanKind::kDynamic) statistics.usable += bytes_of(span.pages.count);
  });
  for (const HugeBlock* huge = huge_blocks_; huge != nullptr; huge = huge->next) {
    statistics.usable += huge->usable;
    statistics.committed += huge->committed_bytes();
    statistics.metadata += huge->committed_bytes() - huge->usable;
    statistics.reserved += huge->head.bytes;
  }
  return statistics;
}

}  // namespace offheap::heap
