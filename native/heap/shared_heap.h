// A heap for many threads: a Heap for each thread that allocates, and one account over all.
//
//   SharedHeap ── Heap (thread 1) ── Heap (thread 2) ── Heap (nobody: its thread has ended) ...
//
//   allocate   from the thread's own part, which nobody else touches meanwhile
//   free       to the part the block came from: directly on the thread that owns it, by remote free on any other
//   attach     a thread that begins takes over a part whose thread has ended, with its pages, before it makes a new one
#ifndef OFFHEAP_HEAP_SHARED_HEAP_H_
#define OFFHEAP_HEAP_SHARED_HEAP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/budget.h"
#include "heap/heap.h"
#include "heap/region_map.h"
#include "heap/types.h"
#include "os/lock.h"

namespace offheap::heap {

// A part's lock, the owner's way or the others', for a block of code. Nothing that may run JavaScript, or take the lock
// of another part of the same heap, belongs inside.
class PartGuard {
 public:
  explicit PartGuard(Heap& part) : lock_(part.lock()), as_owner_(part.owner().is_this_thread()) {
    as_owner_ ? lock_.lock_as_owner() : lock_.lock_as_other();
  }
  ~PartGuard() { as_owner_ ? lock_.unlock_as_owner() : lock_.unlock_as_other(); }
  PartGuard(const PartGuard&) = delete;
  PartGuard& operator=(const PartGuard&) = delete;

 private:
  OwnerLock& lock_;
  const bool as_owner_;
};

// Owns its parts and lies in pages of its own. Lives while anybody holds a handle (create(), retain(), find()) or one
// of its blocks is live; what the last of them gives back is given back to the kernel with the rest. Any thread may
// call anything, where it holds a handle or a live block; attach() to detach() is one thread's business.
//
// Always true: each part is in the list from its making to the end of the heap; a part has one owner or none; the bytes
// in use are the sum over the parts; with a limit, the budget says the same, but for operations on their way.
class SharedHeap {
 public:
  // Whether find() finds the heap.
  enum class Listed : std::uint8_t { kYes, kNo };
  // With one handle, and no part. Options::shared is not used.
  [[nodiscard]] static Result<SharedHeap*> create(const Options& options, Listed listed = Listed::kYes);
  SharedHeap(const SharedHeap&) = delete;
  SharedHeap& operator=(const SharedHeap&) = delete;

  // Names this heap in this process for good: no other heap ever has the same.
  [[nodiscard]] std::uint64_t id() const { return id_; }
  // One more handle on the heap with this id; null if there is none any more.
  [[nodiscard]] static SharedHeap* find(std::uint64_t id);
  // One handle less. The last one closes the heap.
  void release();

  // A part for this thread, which has none of this heap yet, to allocate from.
  [[nodiscard]] Result<Heap*> attach();
  // This thread's part, without an owner from now on. Its blocks live on, its free pages go back to the kernel.
  void detach(Heap* part);

  // From the calling thread's part.
  [[nodiscard]] Result<Block> allocate(Heap& part, Layout layout, Fill fill);
  // Whether the user gave a block back, or it came back because nobody could use it any more: counted apart.
  enum class Cause : std::uint8_t { kFreed, kReclaimed };
  // Takes back a live block of `size` bytes that came from `part`, whatever thread that is of. The heap may be gone
  // afterwards, if nobody holds a handle. May take the part's lock, so not for whoever holds it.
  static void free(Heap& part, std::byte* address, std::size_t size, Cause cause = Cause::kFreed);
  // Heap::unshelve() for whoever holds the part's lock.
  void unshelve(Heap& part, std::size_t size);
  // The user gave a block of `size` bytes back, but somebody else is still at work on it: it will come back as
  // kReclaimed, and not count as such.
  void expect_late(std::size_t size);

  // See Heap; for live blocks of `part`, on any thread.
  [[nodiscard]] Result<bool> resize_in_place(Heap& part, std::byte* address, std::size_t size, Layout layout, Fill fill,
                                             Heap::Shrink shrink = Heap::Shrink::kUnlessWasteful);
  [[nodiscard]] Result<Heap::Move> begin_move(Heap& part, std::byte* address, std::size_t size, Layout layout);
  void finish_move(Heap& part, const Heap::Move& move, Fill fill);
  void abandon_move(Heap& part, const Heap::Move& move);

  // The part whose live block starts at `address`, if it is one of this heap's; else null. For an address that may be
  // anything, but whose memory nobody frees meanwhile if it is a block.
  [[nodiscard]] Heap* part_of(const std::byte* address) const;
  // The part in whose regions or huge blocks the address lies, if it is one of this heap's; else null.
  [[nodiscard]] Heap* part_around(const std::byte* address) const {
    const ReservationHead* const head = region_map::find(address);
    return head != nullptr && head->heap->shared() == this ? head->heap : nullptr;
  }
  [[nodiscard]] bool holds(const std::byte* address) const { return part_around(address) != nullptr; }
  // The same as part_of() for an address that is known to be a live block's.
  [[nodiscard]] static Heap& part_holding(const std::byte* block) { return *region_map::find(block)->heap; }
  // Whether the address lies in the regions or huge blocks of any heap.
  [[nodiscard]] static bool is_known(const std::byte* address) { return region_map::find(address) != nullptr; }

  // Cell sizes of the buckets, in bytes, ascending: those given, rounded up, each once.
  [[nodiscard]] std::span<const std::uint32_t> size_classes() const { return part_options_.size_classes; }
  [[nodiscard]] Budget& budget() { return budget_; }
  // Counts a request that was refused before any part saw it.
  Failure refused(Failure failure);

  [[nodiscard]] std::size_t bytes_in_use() const;
  [[nodiscard]] std::size_t blocks_in_use() const;
  struct Totals : Statistics {
    std::uint64_t reclaimed = 0;  // blocks
    std::uint64_t reclaimed_bytes = 0;
  };
  [[nodiscard]] Totals statistics();

  // See Heap; over all parts.
  std::size_t trim();
  // What a later decay() may find: pages that wait for their time; blocks, which other threads, or the garbage
  // collector, may give back without anybody noticing; or nothing.
  enum class Left : std::uint8_t { kNothing, kBlocks, kIdlePages };
  // For everybody to call, about once a second while pages are left.
  Left decay(std::uint64_t now);
  // Whether somebody has called decay() so lately that another call would look at nothing.
  [[nodiscard]] bool has_just_decayed(std::uint64_t now) const;
  void close();
  [[nodiscard]] bool closed() const { return closed_.load(std::memory_order_relaxed); }

  // Calls visit(part) for each part, its lock held, its shelf empty and its remote frees collected.
  template <typename Visit>
  void for_each_part(Visit visit) {
    for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
      const PartGuard guard(*part);
      settle(*part);
      visit(*part);
    }
  }

 private:
  SharedHeap(const Options& options, std::uint64_t id, Listed listed);
  static void settle(Heap& part);
  [[nodiscard]] Failure over_limit(std::size_t asked, std::size_t in_use);
  [[nodiscard]] Heap* adopt_part();
  void note_growth(Heap& part, std::size_t before);
  void look_for_peak(Heap& part);
  [[nodiscard]] std::size_t least_bytes_in_use() const;
  static void free_as_visitor(Heap& part, std::byte* address, std::size_t size, Cause cause);
  void count(std::size_t size, Cause cause);
  void abandon();
  void destroy_if_empty();
  void destroy();

  const std::uint64_t id_;
  const Listed listed_;
  std::array<std::uint32_t, kMaxClasses> size_classes_{};
  Options part_options_;
  std::atomic<Heap*> parts_{nullptr};
  std::atomic<bool> closed_{false};
  Budget budget_;
  std::atomic<std::uint64_t> refusals_{0};
  std::atomic<std::size_t> peak_{0};  // the most bytes in use that anybody saw
  // Blocks and bytes that came back as kReclaimed, and those of them that were expected to.
  std::atomic<std::uint64_t> reclaimed_{0};
  std::atomic<std::uint64_t> reclaimed_bytes_{0};
  std::atomic<std::uint64_t> expected_{0};
  std::atomic<std::uint64_t> expected_bytes_{0};
  std::atomic<std::uint64_t> decayed_at_{0};
  os::Lock attaching_;  // held while a part changes owner or is added

  // The end, under one lock for all heaps, which outlives each of them.
  std::uint32_t handles_ = 1;
  std::atomic<bool> abandoned_{false};  // no handles: every free takes the lock, to see whether it was the last
  bool may_be_destroyed_ = false;
  SharedHeap* next_ = nullptr;  // in the list of those with handles
  SharedHeap* previous_ = nullptr;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_SHARED_HEAP_H_
