// Which ArrayBuffer holds which block. The heap keeps no byte per block, so what JavaScript was given is written down
// here: how much it asked for, and that it has not given it back.
#ifndef OFFHEAP_BINDING_LEASE_H_
#define OFFHEAP_BINDING_LEASE_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "heap/shared_heap.h"

namespace offheap::binding {

// One buffer over one block, from the making of the buffer until the runtime says that its last reference is gone, on
// whatever thread. By then the block may long be somebody else's, so the lease says whether it still stands: whoever
// ends a standing lease gives the block back.
//
// Records are blocks themselves, in a shared heap of their own that nobody else uses (records()): one may be dropped on
// any thread, and all that stand can be found for a snapshot. Fields that other threads may look at meanwhile are
// atomic; they do not change while the lease stands.
// Always true: of all leases on a block at most one stands, and then the block is live and of this size.
class Lease {
 public:
  static constexpr std::size_t kBytes = 64;

  // Does not stand yet. `part` is the calling thread's part of records().
  [[nodiscard]] static heap::Result<Lease*> make(heap::Heap& part, std::byte* address, heap::Layout layout) {
    const auto record = records().allocate(part, *heap::Layout::of(kBytes, kBytes), heap::Fill::kAnything);
    if (!record.ok()) return record.error();
    // Not constructed: for_each_standing() may look at any record at any time, and one that does not stand never did or
    // was dropped.
    auto* const lease = reinterpret_cast<Lease*>(record.value().address);
    lease->reset(address, layout);
    return lease;
  }
  // Ends a lease that does not stand. Any thread.
  static void drop(Lease* lease) {
    auto* const record = reinterpret_cast<std::byte*>(lease);
    heap::SharedHeap::free(heap::SharedHeap::part_holding(record), record, kBytes);
  }
  // Makes a lease that does not stand one on another block.
  void reset(std::byte* address, heap::Layout layout) {
    address_.store(address, std::memory_order_relaxed);
    terms_.store(layout.size() | std::uint64_t(std::countr_zero(layout.align())) << kAlignShift,
                 std::memory_order_relaxed);
  }

  [[nodiscard]] std::byte* address() const { return address_.load(std::memory_order_relaxed); }
  // Bytes asked for, the byteLength of the buffer.
  [[nodiscard]] std::size_t size() const { return terms_.load(std::memory_order_relaxed) & kSizeMask; }
  [[nodiscard]] std::size_t align() const {
    return std::size_t{1} << (terms_.load(std::memory_order_relaxed) >> kAlignShift & kAlignMask);
  }
  [[nodiscard]] bool stands() const { return (terms_.load(std::memory_order_acquire) & kStands) != 0; }

  void set_stands(bool stands) {
    const std::uint64_t terms = terms_.load(std::memory_order_relaxed) & ~kStands;
    terms_.store(stands ? terms | kStands : terms, std::memory_order_release);
  }

  // Room for what the implementation of array_buffers.h ties to the lease.
  [[nodiscard]] std::byte* room() { return room_.data(); }
  static constexpr std::size_t kRoomBytes = 48;

  // The heap that holds all leases. Made with the first, never destroyed.
  [[nodiscard]] static heap::SharedHeap& records();
  // Says whether records() could be made; to be asked before anything else.
  [[nodiscard]] static heap::Result<Done> prepare();

  // Calls visit(lease) for the leases that stand, on all threads. Those that come and go meanwhile may be among them or
  // not; visit() makes no lease and drops none.
  template <typename Visit>
  static void for_each_standing(Visit visit);

 private:
  static constexpr std::uint64_t kSizeMask = (std::uint64_t{1} << 54) - 1;
  static constexpr unsigned kAlignShift = 54;
  static constexpr std::uint64_t kAlignMask = 63;
  static constexpr std::uint64_t kStands = std::uint64_t{1} << 63;

  alignas(8) std::array<std::byte, kRoomBytes> room_;
  std::atomic<std::byte*> address_;
  std::atomic<std::uint64_t> terms_;  // size, alignment, whether it stands
};

static_assert(sizeof(Lease) == Lease::kBytes);
static_assert(heap::kMaxBlockBytes < std::uint64_t{1} << 54);

template <typename Visit>
void Lease::for_each_standing(Visit visit) {
  records().for_each_part([&](heap::Heap& part) {
    part.for_each_span([&](const heap::Region&, const heap::Span& span) {
      if (span.kind != heap::SpanKind::kBucket) return;
      for (std::uint32_t cell = 0; cell < span.cells; ++cell) {
        if (span.free.is_free(cell)) continue;
        const auto* const lease = reinterpret_cast<const Lease*>(span.start + std::size_t{cell} * span.cell_bytes);
        if (lease->stands()) visit(*lease);
      }
    });
  });
}

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_LEASE_H_
