// A block with a reservation of its own, for what is too large, or aligned too strictly, to share a region.
//
//   0               64 KiB                                                  next multiple of 64 MiB
//   ├──────┬────────┼────────────────────────────────┬───────────────────────────┤
//   │ this │ no     │ the block, committed           │ addresses it can grow into│
//   │      │ access │                                │                           │
//   └──────┴────────┴────────────────────────────────┴───────────────────────────┘
//
// With pages of 64 KiB the block starts at 128 KiB, so that there is still one without access before it.
#ifndef OFFHEAP_HEAP_HUGE_BLOCK_H_
#define OFFHEAP_HEAP_HUGE_BLOCK_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/layout.h"
#include "heap/reservation.h"
#include "heap/types.h"

namespace offheap::heap {

// Lies at the start of its own reservation. Belongs to the owner thread of its heap; other threads read `head` and
// `offset`, and use `freed_remotely`, `pending` and `next_pending` (see remote_frees.h).
// Always true: [offset, offset + usable) is committed, and offset is a multiple of 64 KiB and of the alignment.
struct HugeBlock {
  ReservationHead head{};
  HugeBlock* next = nullptr;
  HugeBlock* previous = nullptr;
  std::size_t offset = 0;
  std::size_t usable = 0;
  bool pristine = true;  // committed pages that were never handed out read zero
  // Where the parts end that earlier moves brought here, in bytes from the block's start, ascending. To the kernel each
  // part is a mapping of its own, and so is the rest.
  std::array<std::size_t, 15> part_ends{};
  std::uint32_t parts = 0;

  HugeBlock* next_pending = nullptr;
  std::atomic<bool> pending{false};
  std::atomic<bool> freed_remotely{false};

  // The block's least alignment: the largest page size there is.
  static constexpr std::size_t kLeastOffset = std::size_t{64} << 10;

  [[nodiscard]] static os::Result<HugeBlock*> make(Heap* heap, Layout layout);
  static void release(HugeBlock* block);

  // Makes the block hold `size` bytes without moving it. False, and nothing changed, if its addresses do not reach or
  // the kernel refuses.
  [[nodiscard]] bool resize(std::size_t size);

  // Takes over the first `bytes` of another block, which loses them: by moving pages where the kernel does that, else
  // by copying. At most a page after them may not read zero any more.
  void take_contents(HugeBlock& from, std::size_t bytes);

  [[nodiscard]] std::byte* start() { return reinterpret_cast<std::byte*>(this) + offset; }
  [[nodiscard]] std::size_t committed_bytes() const;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_HUGE_BLOCK_H_
