// Resizing blocks: where they stand, into the pages beside them, or by moving.
#include <algorithm>
#include <cstring>

#include "heap/double_free.h"
#include "heap/heap.h"
#include "heap/poison.h"

namespace offheap::heap {

namespace {

void zero_between(std::byte* address, std::size_t from, std::size_t end) {
  if (end > from) std::memset(address + from, 0, end - from);
}

}  // namespace

bool Heap::would_waste(const std::byte* address, Layout layout) const {
  const Lookup found = look_up(this, address);
  if (!found.live()) return false;
  if (found.huge != nullptr) return layout.size() <= kMaxDynamicBytes && layout.align() <= kMaxDynamicAlign;
  if (found.span->kind == SpanKind::kDynamic) return classes_.find(layout) != SizeClasses::kNone;
  // Not if the same bucket would serve it.
  return layout.size() < found.span->cell_bytes / 2 && classes_.find(layout) != found.span->size_class;
}

bool Heap::resize_dynamic(Span* span, std::size_t size) {
  const std::size_t pages = std::max<std::size_t>(1, round_up(size, kPageBytes) >> kPageShift);
  if (pages > kDataPages) return false;
  const auto wanted = static_cast<std::uint32_t>(pages);
  if (wanted > span->pages.count) return dynamic_->grow_into_next(span, wanted);
  // If there is no record for the tail the block keeps its pages, which is no reason to fail.
  if (wanted < span->pages.count) (void)dynamic_->shrink(span, wanted).ok();
  return true;
}

Result<bool> Heap::resize_in_place(std::byte* address, std::size_t size, Layout layout, Fill fill, Shrink shrink) {
  const Lookup found = look_up(this, address);
  if (!found.live()) return found.failure();
  if (size > found.usable()) return Failure{.reason = Refusal::kOutOfRange};
  // A block that is made smaller where it is takes nothing from a heap, not even from a closed one.
  const bool only_shrinks = shrink == Shrink::kAlways && layout.size() <= size;
  if (!only_shrinks) {
    const auto allowed = check_request(layout.size(), size);
    if (!allowed.ok()) return refused(allowed.error());
  }
  if (!is_aligned(address, layout.align())) return false;
  if (shrink == Shrink::kUnlessWasteful && would_waste(address, layout)) return false;

  if (found.huge != nullptr) {
    HugeBlock* const huge = found.huge;
    const std::size_t usable_before = huge->usable;
    // A shrink that the kernel refuses keeps its pages.
    if (!huge->resize(layout.size()) && layout.size() > huge->usable) return false;
    // Pages committed just now read zero if the reservation was new; the rest of the last old page may not.
    if (fill == Fill::kZero) {
      zero_between(address, size, huge->pristine ? std::min(layout.size(), usable_before) : layout.size());
    }
  } else if (found.span->kind == SpanKind::kBucket) {
    if (layout.size() > found.span->cell_bytes) return false;
    if (fill == Fill::kZero) zero_between(address, size, layout.size());
  } else {
    if (!resize_dynamic(found.span, layout.size())) return false;
    Region* const region = region_of(found.span);
    if (fill == Fill::kZero && layout.size() > size) region->zero(address + size, layout.size() - size);
    region->dirty.set(found.span->pages);
  }
  counters_.resized(size, layout.size());
  after_change();
  return true;
}

bool Heap::grow_into_previous(Span* span, std::size_t size, Layout layout, Fill fill) {
  const std::uint32_t pages = pages_for(layout.size());
  const auto align_pages = static_cast<std::uint32_t>(std::max(layout.align(), kPageBytes) / kPageBytes);
  if (layout.align() > kMaxDynamicAlign || layout.size() > kMaxDynamicBytes || pages <= span->pages.count) return false;
  if (!dynamic_->grow_into_previous(span, pages, align_pages, size)) return false;
  if (fill == Fill::kZero) zero_between(start_of(span), size, layout.size());
  counters_.resized(size, layout.size());
  after_change();
  return true;
}

Result<Block> Heap::reallocate(std::byte* address, std::size_t size, Layout layout, Fill fill) {
  const auto resized = resize_in_place(address, size, layout, fill);
  if (!resized.ok()) return resized.error();
  if (resized.value()) return Block{address, look_up(this, address).usable()};

  const Lookup found = look_up(this, address);
  if (found.span != nullptr && found.span->kind == SpanKind::kDynamic &&
      grow_into_previous(found.span, size, layout, fill)) {
    return Block{start_of(found.span), found.usable()};
  }

  const auto placed = place(layout, Fill::kAnything);
  if (placed.ok()) {
    const Block to = placed.value();
    ++open_moves_;
    finish_move({address, size, to, layout.size()}, fill);
    return Block{to.address, to.usable};
  }
  // Making a block smaller does not fail for want of memory.
  const auto kept = resize_in_place(address, size, layout, fill, Shrink::kAlways);
  if (kept.ok() && kept.value()) return Block{address, look_up(this, address).usable()};
  return refused(placed.error());
}

Result<Heap::Move> Heap::begin_move(std::byte* address, std::size_t size, Layout layout) {
  const Lookup found = look_up(this, address);
  if (!found.live()) return found.failure();
  if (size > found.usable()) return Failure{.reason = Refusal::kOutOfRange};
  const auto allowed = check_request(layout.size(), size);
  if (!allowed.ok()) return refused(allowed.error());
  const auto placed = place(layout, Fill::kAnything);
  if (!placed.ok()) return refused(placed.error());
  ++open_moves_;
  return Move{address, size, placed.value(), layout.size()};
}

void Heap::finish_move(const Move& move, Fill fill) {
  const std::size_t kept = std::min(move.from_size, move.to_size);
  std::size_t written = kept;  // bytes of the new block that may not read zero
  HugeBlock* const from = look_up(this, move.from).huge;
  HugeBlock* const to = look_up(this, move.to.address).huge;
  if (from != nullptr && to != nullptr) {
    to->take_contents(*from, kept);
    written = round_up(kept, os::page_size());
  } else {
    std::memcpy(move.to.address, move.from, kept);
  }
  if (fill == Fill::kZero) {
    zero_between(move.to.address, kept, move.to.zeroed ? std::min(written, move.to_size) : move.to_size);
  }
  // The block was live when the move began, and the owner's thread has done nothing else since.
  (void)take_back(move.from, move.from_size).ok();
  counters_.resized(move.from_size, move.to_size);
  --open_moves_;
  after_change();
}

void Heap::abandon_move(const Move& move) {
  --open_moves_;
  (void)take_back(move.to.address, move.to_size).ok();
  after_change();
}

}  // namespace offheap::heap
