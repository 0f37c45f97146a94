#include "heap/huge_block.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "heap/poison.h"
#include "heap/region_map.h"

namespace offheap::heap {

namespace {

[[nodiscard]] std::size_t header_bytes() { return round_up(sizeof(HugeBlock), os::page_size()); }

// The header, and a page without access between it and the block at least.
[[nodiscard]] std::size_t least_offset() { return std::max(HugeBlock::kLeastOffset, header_bytes() + os::page_size()); }

}  // namespace

os::Result<HugeBlock*> HugeBlock::make(Heap* heap, Layout layout) {
  // Neither sum wraps: a layout holds at most 2^53 bytes and aligns to at most 2^26.
  const std::size_t offset = std::max(least_offset(), layout.align());
  const std::size_t usable = round_up(std::max<std::size_t>(layout.size(), 1), std::max(os::page_size(), kPageBytes));
  const std::size_t reserved = round_up(offset + usable, kRegionBytes);
  const auto range = take_address_space(reserved, ReservationKind::kHuge);
  if (!range.ok()) return range.error();
  std::byte* const start = range.value().start;
  // What was used before reads as anything that came late. Giving it back once more is one call; zeroing it would be a
  // touch of every page.
  const bool pristine = range.value().pristine || os::discard(start + offset, usable).ok();
  auto ready = os::commit(start, header_bytes());
  if (ready.ok()) ready = os::commit(start + offset, usable);
  if (!ready.ok()) {
    give_back_address_space(start, reserved, ReservationKind::kHuge);
    return ready.error();
  }
  auto* const block = new (start) HugeBlock;
  block->head = {heap, reserved, ReservationKind::kHuge};
  block->offset = offset;
  block->usable = usable;
  block->pristine = pristine;
  const auto entered = region_map::enter(&block->head);
  if (!entered.ok()) {
    give_back_address_space(start, reserved, ReservationKind::kHuge);
    return entered.error();
  }
  return block;
}

void HugeBlock::release(HugeBlock* block) {
  const std::size_t bytes = block->head.bytes;
  region_map::remove(&block->head);
  const bool keep = block->head.keep_addresses;
  (keep ? park_address_space : give_back_address_space)(reinterpret_cast<std::byte*>(block), bytes,
                                                        ReservationKind::kHuge);
}

bool HugeBlock::resize(std::size_t size) {
  const std::size_t wanted = round_up(size, std::max(os::page_size(), kPageBytes));
  if (wanted > head.bytes - offset) return false;
  if (wanted > usable) {
    if (!os::commit(start() + usable, wanted - usable).ok()) return false;
  } else if (wanted < usable) {
    if (!os::discard(start() + wanted, usable - wanted).ok()) return false;
    // A late touch may leave something in them for the next time they are used.
    pristine = false;
  }
  usable = wanted;
  while (parts > 1 && part_ends[parts - 2] >= usable) --parts;
  if (parts > 0) part_ends[parts - 1] = std::min(part_ends[parts - 1], usable);
  return true;
}

void HugeBlock::take_contents(HugeBlock& from, std::size_t bytes) {
  // Kernels before 6.17 refuse to move several mappings at once, so parts are moved one by one. A block that has been
  // moved more often than there is room to remember is copied, which makes it whole again.
  const std::size_t whole_pages = round_up(bytes, os::page_size());
  const bool may_move = from.parts < part_ends.size();
  bool moved = false;
  std::size_t begin = 0;
  for (std::uint32_t part = 0; begin < whole_pages; ++part) {
    const std::size_t end = part < from.parts ? std::min(from.part_ends[part], whole_pages) : whole_pages;
    if (may_move && os::move(from.start() + begin, start() + begin, end - begin).ok()) {
      moved = true;
    } else {
      std::memcpy(start() + begin, from.start() + begin, std::min(end, bytes) - begin);
    }
    if (may_move) part_ends[part] = end;
    parts = part + 1;
    begin = end;
  }
  if (!moved) parts = 0;
}

std::size_t HugeBlock::committed_bytes() const { return header_bytes() + usable; }

}  // namespace offheap::heap
