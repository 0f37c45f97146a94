// A heap: buckets, limit, counters and an owner. What the layers above use; everything else in this folder is a part.
#ifndef OFFHEAP_HEAP_HEAP_H_
#define OFFHEAP_HEAP_HEAP_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "heap/bucket.h"
#include "heap/counters.h"
#include "heap/dynamic_bucket.h"
#include "heap/huge_block.h"
#include "heap/layout.h"
#include "heap/limit.h"
#include "heap/owner.h"
#include "heap/owner_lock.h"
#include "heap/remote_frees.h"
#include "heap/size_classes.h"
#include "heap/types.h"

namespace offheap::heap {

class SharedHeap;

struct Options {
  std::size_t limit = Limit::kNone;                               // bytes in use
  std::span<const std::uint32_t> size_classes = kDefaultClasses;  // SizeClasses::valid()
  // Addresses of blocks stay accessible to the end of the process, see park_address_space(). For heaps whose users may
  // free a block that a library is still working on.
  bool keep_addresses = false;
  SharedHeap* shared = nullptr;  // whose part the heap is
};

// Everything there is to say about a heap in numbers. Bytes unless the name says otherwise.
struct Statistics {
  std::size_t requested = 0;
  std::size_t usable = 0;
  std::size_t committed = 0;
  std::size_t reserved = 0;
  std::size_t metadata = 0;  // of those committed
  std::size_t peak = 0;      // most bytes requested at one time
  std::uint64_t blocks = 0;
  std::uint64_t allocations = 0;
  std::uint64_t frees = 0;
  std::uint64_t failures = 0;  // requests refused
  std::uint64_t regions = 0;
  std::uint64_t spans = 0;
  std::size_t free_bytes = 0;        // in free runs
  std::size_t largest_free_run = 0;  // bytes
  std::uint64_t decommits_refused = 0;

  // Several heaps taken as one. The longest free run is the longest of any; `peak` is a bound from above.
  Statistics& operator+=(const Statistics& other);
};

struct Lookup;

// What ties a heap to the shared heap it is part of; see shared_heap.h.
struct HeapPart {
  Heap* next = nullptr;                    // constant once the part is in the list
  std::atomic<std::uint32_t> visitors{0};  // threads in free_remote()
  std::size_t look_above = 0;              // when the shared heap looks for a new peak again, in bytes in use
  std::size_t most_seen = 0;               // bytes in use, at a look
  // The layer above empties its shelf of this part; called by whoever holds the lock.
  void (*empty_shelf)(void* shelf) = nullptr;
  void* shelf = nullptr;
};

struct LiveBlock {
  std::byte* address = nullptr;
  std::size_t usable = 0;
};

// Owns its regions and huge blocks and lies in pages of its own. The thread that created it owns it: only that thread
// may call anything but free_remote(), bytes_in_use() and blocks_in_use(), which any thread may. free() finds out on
// which thread it is. A heap that is part of a SharedHeap changes owners, and whoever holds its lock() stands in for
// the owner.
//
// Every function that can fail leaves the heap, and every block, as it was when it does. Sizes passed to free() and
// reallocate() are the sizes that were asked for: the heap keeps no byte per block, so it is told.
//
//   const auto heap = Heap::create({});
//   const auto block = heap.value()->allocate(*Layout::of(100), Fill::kZero);
//   ...
//   (void)heap.value()->free(block.value().address, 100);
//   Heap::destroy(heap.value());
class Heap {
 public:
  [[nodiscard]] static Result<Heap*> create(const Options& options);
  // Gives everything back to the kernel, live blocks included.
  static void destroy(Heap* heap);

  Heap(const Heap&) = delete;
  Heap& operator=(const Heap&) = delete;

  // A block of at least layout.size() bytes at a multiple of layout.align(). kZero: the size asked for reads zero.
  [[nodiscard]] Result<Block> allocate(Layout layout, Fill fill);

  // Takes a block back. Refused, with nothing changed: an address that is no live block of this heap, and a size the
  // block could not have had. Any thread may free a live block; an address that may be no live block, only the owner.
  [[nodiscard]] Result<Done> free(std::byte* address, std::size_t size);
  // The two ways there are: on the owner's thread, and on any other.
  [[nodiscard]] Result<Done> free_as_owner(std::byte* address, std::size_t size);
  [[nodiscard]] Result<Done> free_remote(std::byte* address, std::size_t size);

  // For a layer above that keeps freed blocks of its own choice at hand. From shelve() to unshelve() a block counts as
  // freed, but nobody else gets it; free_shelved() gives it back to the heap, and counts no second time.
  void shelve(std::size_t size) {
    ++shelved_;
    counters_.freed(size);
  }
  void unshelve(std::size_t size) {
    --shelved_;
    counters_.allocated(size);
  }
  void free_shelved(std::byte* address, std::size_t size);

  // A block of `layout` with the first min(size, layout.size()) bytes of the old one, which is gone. In place, or into
  // the pages before or after, or by moving pages, or by copying; in that order. kZero: what is added reads zero.
  // `layout.align()` may differ from the old alignment.
  [[nodiscard]] Result<Block> reallocate(std::byte* address, std::size_t size, Layout layout, Fill fill);

  // What resize_in_place() does with a block that would lose more than half of its bytes by staying, or that a bucket
  // serves better: nothing, so that the caller moves it, or shrink it where it is all the same, which cannot fail.
  enum class Shrink : std::uint8_t { kUnlessWasteful, kAlways };

  // The two halves of reallocate() for a caller that must do something between getting the new memory and losing the
  // old (the binding must detach an ArrayBuffer that may refuse). First resize_in_place(); if that says false, a move.
  // False and nothing changed if the block cannot stay where it is.
  [[nodiscard]] Result<bool> resize_in_place(std::byte* address, std::size_t size, Layout layout, Fill fill,
                                             Shrink shrink = Shrink::kUnlessWasteful);

  // Whether the live block at `address` would be moved rather than shrunk to `layout` where it is.
  [[nodiscard]] bool would_waste(const std::byte* address, Layout layout) const;

  struct Move {
    std::byte* from = nullptr;
    std::size_t from_size = 0;
    Block to{};
    std::size_t to_size = 0;
  };
  // The new block of a move; the old one is untouched and both are live. Counters still show the old one alone.
  [[nodiscard]] Result<Move> begin_move(std::byte* address, std::size_t size, Layout layout);
  // Contents to the new block, old block back; cannot fail. Or: new block back, as if nothing had happened.
  void finish_move(const Move& move, Fill fill);
  void abandon_move(const Move& move);

  // The live block that starts at `address`: kFreed if that memory is free, kForeign if it is no block of this heap.
  [[nodiscard]] Result<LiveBlock> find(std::byte* address) const;

  // Collects what other threads freed.
  void collect();
  // Gives pages back that have been free long enough at `now` (os::monotonic_milliseconds()): kDecayMilliseconds if the
  // heap's pages have not moved since the last call, else kBusyDecayMilliseconds. A heap in use does the latter by
  // itself; an idle one needs somebody to call, about once a second. True while pages wait for their time.
  bool decay(std::uint64_t now);
  // Gives every free page back now, and retries every refused release. Returns the bytes given back.
  std::size_t trim();

  // No more blocks are handed out; live ones stay, and their pages go back as they are freed.
  void close();
  [[nodiscard]] bool closed() const { return closed_; }

  [[nodiscard]] std::size_t bytes_in_use() const { return counters_.read_bytes_in_use(); }
  [[nodiscard]] std::size_t blocks_in_use() const { return counters_.read_blocks_in_use(); }
  // Ever; with those that came back.
  [[nodiscard]] std::size_t bytes_allocated() const { return counters_.bytes_allocated.read(); }
  [[nodiscard]] std::size_t bytes_freed() const {
    return counters_.bytes_freed.read() + counters_.remote_bytes_freed.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::size_t limit() const { return limit_.bytes(); }
  [[nodiscard]] Statistics statistics() const;

  [[nodiscard]] Owner& owner() { return owner_; }
  [[nodiscard]] OwnerLock& lock() { return lock_; }
  // What a shared heap keeps in each of its parts. Null and empty in a heap that is no part of one.
  [[nodiscard]] SharedHeap* shared() const { return shared_; }
  [[nodiscard]] HeapPart& part() { return part_; }

  // For pictures and tests: every span with pages, in the order of regions and addresses.
  template <typename Visit>
  void for_each_span(Visit visit) const;
  [[nodiscard]] HugeBlock* huge_blocks() const { return huge_blocks_; }
  [[nodiscard]] Region* regions() const { return dynamic_->regions(); }
  [[nodiscard]] std::span<const Bucket> buckets() const { return {buckets_.data(), classes_.sizes().size()}; }

  // Everything the headers call "always true". Says what is wrong on standard error. Costs a walk of the whole heap.
  [[nodiscard]] bool check_invariants() const;

 private:
  Heap(const Options& options, DynamicBucket* dynamic);
  // The pages this object and its dynamic bucket lie in.
  [[nodiscard]] static std::size_t own_bytes();

  // allocate() where no span has a free cell, or the request is refused, or no bucket serves it.
  [[nodiscard]] Result<Block> allocate_slowly(Layout layout, Fill fill);

  // Placing and taking back, without limit and counters.
  [[nodiscard]] Result<Block> place(Layout layout, Fill fill);
  [[nodiscard]] static Block place_cell(Bucket& bucket, Span* span, Layout layout, Fill fill);
  [[nodiscard]] Result<Block> place_in_bucket(std::uint8_t size_class, Layout layout, Fill fill);
  [[nodiscard]] Result<Span*> take_span_for(std::uint8_t size_class);
  [[nodiscard]] Result<Block> place_dynamic(Layout layout, Fill fill);
  [[nodiscard]] Result<Block> place_huge(Layout layout, Fill fill);
  [[nodiscard]] Result<Done> take_back(std::byte* address, std::size_t size);
  [[nodiscard]] Result<Done> take_back(const Lookup& found, std::size_t size);
  void take_back_cell(Span* span, std::uint32_t cell);
  void take_back_huge(HugeBlock* block);

  void collect_span(Span* span);
  // What follows when a cell of `span` has come free: list membership, and the span itself when it is empty.
  void cells_freed(Span* span, bool was_full);
  void retire(Span* span);
  void release_retained(std::uint64_t before);
  // Decommits every free run and releases every empty region. Returns the bytes given back.
  std::size_t release_free_pages();
  void give_pages(Span* span);
  [[nodiscard]] bool may_release(const Region* region) const;

  [[nodiscard]] bool resize_dynamic(Span* span, std::size_t size);
  [[nodiscard]] bool grow_into_previous(Span* span, std::size_t size, Layout layout, Fill fill);

  [[nodiscard]] Result<Done> check_request(std::size_t asked, std::size_t given_back) const;
  [[nodiscard]] Failure refused(Failure failure);
  // Called where pages are taken or given, which is seldom: reads the clock now and then and lets old pages go.
  void tick();
  void decay_while_busy(std::uint64_t now);
  void after_change() const;

  Owner owner_;
  OwnerLock lock_;
  SharedHeap* const shared_;
  const bool keep_addresses_;
  bool closed_ = false;
  bool collecting_ = false;  // inside collect(): a private list of pending spans is being walked
  Limit limit_;
  std::uint32_t ticks_ = 0;           // pages taken or given, times
  std::uint32_t ticks_at_decay_ = 0;  // as decay() last found it
  Counters counters_;
  std::uint64_t shelved_ = 0;     // blocks between shelve() and what ends it
  std::uint64_t open_moves_ = 0;  // moves between begin_move() and what ends it: each has a block that does not count
  HeapPart part_;
  PendingList<Span> pending_spans_;
  PendingList<HugeBlock> pending_huge_;
  HugeBlock* huge_blocks_ = nullptr;
  std::array<Bucket, kMaxClasses> buckets_{};
  SizeClasses classes_;
  DynamicBucket* const dynamic_;  // in the pages after this object: its index is large and mostly untouched
};

template <typename Visit>
void Heap::for_each_span(Visit visit) const {
  for (Region* region = dynamic_->regions(); region != nullptr; region = region->next) {
    for (std::uint32_t page = 0; page < kDataPages;) {
      Span* const span = region->span_starting_at(page);
      visit(*region, *span);
      page = span->pages.end();
    }
  }
}

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_HEAP_H_
