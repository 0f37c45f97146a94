// Making a heap, and handing out blocks.
#include "heap/heap.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "heap/poison.h"
#include "os/clock.h"

namespace offheap::heap {

namespace {

Failure out_of_memory(os::Error error, std::size_t asked) {
  return {.reason = Refusal::kOutOfMemory, .asked = asked, .os = error};
}

[[nodiscard]] std::uint32_t align_pages_of(Layout layout) {
  return static_cast<std::uint32_t>(std::max(layout.align(), kPageBytes) / kPageBytes);
}

// The first cell that lies beyond every page of `pages` that may not read zero.
std::uint32_t first_fresh_cell(const Region& region, const Span& span) {
  std::uint32_t dirty_end = span.pages.first;
  for (PageRange run = region.dirty.next_set_run(dirty_end, span.pages.end()); run.count > 0;
       run = region.dirty.next_set_run(run.end(), span.pages.end())) {
    dirty_end = run.end();
  }
  const std::size_t dirty_bytes = bytes_of(dirty_end - span.pages.first);
  return static_cast<std::uint32_t>(
      std::min<std::size_t>(span.cells, (dirty_bytes + span.cell_bytes - 1) / span.cell_bytes));
}

constexpr std::size_t kDynamicBucketOffset = round_up(sizeof(Heap), alignof(DynamicBucket));
constexpr std::size_t kHeapBytes = kDynamicBucketOffset + sizeof(DynamicBucket);

}  // namespace

std::size_t Heap::own_bytes() { return round_up(kHeapBytes, os::allocation_granularity()); }

Heap::Heap(const Options& options, DynamicBucket* dynamic)
    : shared_(options.shared), keep_addresses_(options.keep_addresses), limit_(options.limit), dynamic_(dynamic) {
  dynamic_->keep_addresses(options.keep_addresses);
  classes_.set(options.size_classes);
  const auto sizes = classes_.sizes();
  for (std::size_t index = 0; index < sizes.size(); ++index) {
    buckets_[index].cell_bytes = sizes[index];
    buckets_[index].shape = BucketShape::of(sizes[index]);
    buckets_[index].reciprocal = Span::reciprocal_of(sizes[index]);
  }
}

Result<Heap*> Heap::create(const Options& options) {
  if (!SizeClasses::valid(options.size_classes)) return Failure{.reason = Refusal::kOutOfRange};
  const std::size_t bytes = own_bytes();
  const auto reserved = os::reserve(bytes, os::allocation_granularity());
  if (!reserved.ok()) return out_of_memory(reserved.error(), bytes);
  const auto committed = os::commit(reserved.value(), bytes);
  if (!committed.ok()) {
    give_back_address_space(reserved.value(), bytes);
    return out_of_memory(committed.error(), bytes);
  }
  // Pages from the kernel read zero, which is a dynamic bucket without regions; building one would touch them all.
  auto* const dynamic = reinterpret_cast<DynamicBucket*>(reserved.value() + kDynamicBucketOffset);
  auto* const heap = new (reserved.value()) Heap(options, dynamic);
  dynamic->set_time(os::monotonic_milliseconds());
  return heap;
}

void Heap::destroy(Heap* heap) {
  heap->collect();
  while (heap->huge_blocks_ != nullptr) heap->take_back_huge(heap->huge_blocks_);
  heap->dynamic_->release_all();
  give_back_address_space(reinterpret_cast<std::byte*>(heap), own_bytes());
}

Result<Done> Heap::check_request(std::size_t asked, std::size_t given_back) const {
  if (closed_) return Failure{.reason = Refusal::kClosed, .asked = asked};
  const std::size_t in_use = counters_.bytes_in_use();
  if (!limit_.allows(in_use, asked, given_back)) {
    return Failure{.reason = Refusal::kLimit, .asked = asked - given_back, .in_use = in_use, .limit = limit_.bytes()};
  }
  return Done{};
}

Failure Heap::refused(Failure failure) {
  counters_.failures.add(1);
  return failure;
}

inline Block Heap::place_cell(Bucket& bucket, Span* span, Layout layout, Fill fill) {
  const std::uint32_t cell = span->free.take();
  ++span->used;
  if (span->free.empty()) [[unlikely]]
    bucket.remove(span);
  // Cells are taken lowest first, so the first one never handed out is the next one or far away.
  const bool fresh = cell >= span->fresh_from;
  if (fresh) span->fresh_from = cell + 1;
  std::byte* const address = span->start + std::size_t{cell} * span->cell_bytes;
  poison::lift(address, span->cell_bytes);
  if (fill == Fill::kZero && !fresh) std::memset(address, 0, layout.size());
  return {address, span->cell_bytes, fresh};
}

// The fast path, where a warm heap ends: no lock, no search, no system call.
Result<Block> Heap::allocate(Layout layout, Fill fill) {
  const std::uint8_t size_class = classes_.find(layout);
  const bool permitted = !closed_ && limit_.allows(counters_.bytes_in_use(), layout.size());
  if (size_class != SizeClasses::kNone && permitted) [[likely]] {
    Bucket& bucket = buckets_[size_class];
    if (Span* const span = bucket.spans; span != nullptr) [[likely]] {
      const Block block = place_cell(bucket, span, layout, fill);
      counters_.allocated(layout.size());
      after_change();
      return block;
    }
  }
  return allocate_slowly(layout, fill);
}

Result<Block> Heap::allocate_slowly(Layout layout, Fill fill) {
  const auto allowed = check_request(layout.size(), 0);
  if (!allowed.ok()) return refused(allowed.error());
  const auto placed = place(layout, fill);
  if (!placed.ok()) return refused(placed.error());
  counters_.allocated(layout.size());
  after_change();
  return placed;
}

Result<Block> Heap::place_in_bucket(std::uint8_t size_class, Layout layout, Fill fill) {
  Bucket& bucket = buckets_[size_class];
  Span* span = bucket.spans;
  if (span == nullptr) {
    const auto taken = take_span_for(size_class);
    if (!taken.ok()) return Failure{.reason = Refusal::kOutOfMemory, .asked = layout.size(), .os = taken.error().os};
    span = taken.value();
  }
  return place_cell(bucket, span, layout, fill);
}

Result<Block> Heap::place(Layout layout, Fill fill) {
  const std::uint8_t size_class = classes_.find(layout);
  if (size_class != SizeClasses::kNone) return place_in_bucket(size_class, layout, fill);
  if (layout.size() <= kMaxDynamicBytes && layout.align() <= kMaxDynamicAlign) return place_dynamic(layout, fill);
  return place_huge(layout, fill);
}

Result<Span*> Heap::take_span_for(std::uint8_t size_class) {
  Bucket& bucket = buckets_[size_class];
  // Other threads' frees may have what is wanted.
  collect();
  if (bucket.spans != nullptr) return bucket.spans;
  tick();
  const auto taken = dynamic_->take(this, bucket.shape.pages, 1, SpanKind::kBucket);
  if (!taken.ok()) return out_of_memory(taken.error(), bucket.cell_bytes);
  Span* const span = taken.value();
  Region* const region = region_of(span);
  region->mark_all(*span);
  bucket.adopt(span, size_class, region->address_of(*span));
  span->fresh_from = first_fresh_cell(*region, *span);
  poison::lay(region->address_of(*span), bytes_of(span->pages.count));
  return span;
}

Result<Block> Heap::place_dynamic(Layout layout, Fill fill) {
  collect();
  tick();
  const std::uint32_t pages = std::max(1U, pages_for(layout.size()));
  const auto taken = dynamic_->take(this, pages, align_pages_of(layout), SpanKind::kDynamic);
  if (!taken.ok()) return out_of_memory(taken.error(), layout.size());
  Span* const span = taken.value();
  Region* const region = region_of(span);
  std::byte* const address = region->address_of(*span);
  poison::lift(address, bytes_of(pages));
  const bool fresh = region->dirty.none(span->pages);
  if (fill == Fill::kZero && !fresh) region->zero(address, layout.size());
  region->dirty.set(span->pages);
  return Block{address, bytes_of(pages), fresh};
}

Result<Block> Heap::place_huge(Layout layout, Fill fill) {
  collect();
  const auto made = HugeBlock::make(this, layout);
  if (!made.ok()) return out_of_memory(made.error(), layout.size());
  HugeBlock* const huge = made.value();
  huge->head.keep_addresses = keep_addresses_;
  huge->next = huge_blocks_;
  if (huge_blocks_ != nullptr) huge_blocks_->previous = huge;
  huge_blocks_ = huge;
  if (fill == Fill::kZero && !huge->pristine) std::memset(huge->start(), 0, layout.size());
  return Block{huge->start(), huge->usable, huge->pristine};
}

void Heap::after_change() const {
#ifdef OFFHEAP_CHECK_INVARIANTS
  if (!check_invariants()) __builtin_trap();
#endif
}

}  // namespace offheap::heap
