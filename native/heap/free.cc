// Taking blocks back, on the owner's thread and on others.
#include "heap/double_free.h"
#include "heap/heap.h"
#include "heap/poison.h"

namespace offheap::heap {

namespace {

constexpr Failure kImpossibleSize{.reason = Refusal::kOutOfRange};

}  // namespace

Result<LiveBlock> Heap::find(std::byte* address) const {
  const Lookup found = look_up(this, address);
  if (!found.live()) return found.failure();
  return LiveBlock{address, found.usable()};
}

inline void Heap::cells_freed(Span* span, bool was_full) {
  if (was_full) [[unlikely]]
    buckets_[span->size_class].push_front(span);
  if (span->used == 0) [[unlikely]]
    retire(span);
}

inline void Heap::take_back_cell(Span* span, std::uint32_t cell) {
  poison::lay(span->start + std::size_t{cell} * span->cell_bytes, span->cell_bytes);
  const bool was_full = span->free.empty();
  // look_up() has just found the cell used.
  (void)span->free.put(cell);
  --span->used;
  cells_freed(span, was_full);
}

inline Result<Done> Heap::take_back(const Lookup& found, std::size_t size) {
  if (!found.live()) [[unlikely]]
    return found.failure();
  if (size > found.usable()) [[unlikely]]
    return kImpossibleSize;
  if (found.span != nullptr && found.span->kind == SpanKind::kBucket) [[likely]] {
    take_back_cell(found.span, found.cell);
  } else if (found.span != nullptr) {
    give_pages(found.span);
  } else {
    take_back_huge(found.huge);
  }
  return Done{};
}

Result<Done> Heap::take_back(std::byte* address, std::size_t size) { return take_back(look_up(this, address), size); }

Result<Done> Heap::free(std::byte* address, std::size_t size) {
  if (!owner_.is_this_thread()) [[unlikely]]
    return free_remote(address, size);
  return free_as_owner(address, size);
}

Result<Done> Heap::free_as_owner(std::byte* address, std::size_t size) {
  const auto taken = take_back(look_up(this, address), size);
  if (!taken.ok()) [[unlikely]]
    return taken;
  counters_.freed(size);
  after_change();
  return Done{};
}

void Heap::free_shelved(std::byte* address, std::size_t size) {
  --shelved_;
  (void)take_back(address, size).ok();
  after_change();
}

// An empty span stays if it is the only one of its bucket with room, so that one block allocated and freed in a loop
// does not make and unmake a span each time. The owner's clock lets it go when the bucket has been still for a while.
void Heap::retire(Span* span) {
  Bucket& bucket = buckets_[span->size_class];
  if (!closed_ && bucket.spans == span && span->next == nullptr) {
    bucket.retained = span;
    bucket.empty_since = dynamic_->time();
    return;
  }
  bucket.remove(span);
  if (bucket.retained == span) bucket.retained = nullptr;
  give_pages(span);
}

void Heap::give_pages(Span* span) {
  Region* const region = region_of(span);
  if (span->kind == SpanKind::kBucket) {
    // Pages that hold only cells nobody ever had still read zero.
    const std::uint32_t touched = pages_for(std::size_t{span->fresh_from} * span->cell_bytes);
    region->dirty.set({span->pages.first, touched});
  }
  const Region* const empty = dynamic_->give(span);
  if (closed_ && empty != nullptr && may_release(region)) {
    dynamic_->release_empty(region);
    return;
  }
  tick();
}

void Heap::take_back_huge(HugeBlock* block) {
  (block->previous != nullptr ? block->previous->next : huge_blocks_) = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
  HugeBlock::release(block);
}

Result<Done> Heap::free_remote(std::byte* address, std::size_t size) {
  const Lookup found = look_up(this, address);
  if (!found.live()) return found.failure();
  if (size > found.usable()) return kImpossibleSize;
  if (found.huge != nullptr) {
    if (found.huge->freed_remotely.exchange(true, std::memory_order_acq_rel)) return Failure{.reason = Refusal::kFreed};
    counters_.freed_remotely(size);
    // From here on the owner may release the block at any time.
    pending_huge_.push(found.huge);
    return Done{};
  }
  Region* const region = region_of(found.span);
  region->remote_frees_in_flight.fetch_add(1, std::memory_order_acq_rel);
  const bool first = found.span->remote.set(found.cell);
  if (first) {
    counters_.freed_remotely(size);
    pending_spans_.push(found.span);
  }
  region->remote_frees_in_flight.fetch_sub(1, std::memory_order_acq_rel);
  if (!first) return Failure{.reason = Refusal::kFreed};
  return Done{};
}

void Heap::collect() {
  if (!pending_spans_.empty()) {
    collecting_ = true;
    pending_spans_.drain([this](Span* span) { collect_span(span); });
    collecting_ = false;
    if (closed_) release_free_pages();
  }
  if (!pending_huge_.empty()) pending_huge_.drain([this](HugeBlock* block) { take_back_huge(block); });
}

void Heap::collect_span(Span* span) {
  if (span->kind == SpanKind::kDynamic) {
    if (span->remote.take(0) != 0) give_pages(span);
    return;
  }
  // A span may be listed once more than it has cells to give; its record may even serve something else by now.
  if (span->kind != SpanKind::kBucket) return;
  const bool was_full = span->free.empty();
  std::uint32_t freed = 0;
  for (std::uint32_t word = 0; word < FreeList::kWords; ++word) {
    const std::uint64_t cells = span->remote.take(word);
    if (cells == 0) continue;
    const std::uint64_t free_already = span->free.put_word(word, cells);
    freed += static_cast<std::uint32_t>(std::popcount(cells & ~free_already));
  }
  if (freed == 0) return;
  span->used -= freed;
  cells_freed(span, was_full);
}

}  // namespace offheap::heap
