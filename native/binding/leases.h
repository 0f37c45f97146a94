// Which ArrayBuffer holds which block. The heap keeps no byte per block, so what JavaScript was given is written down
// here: how much it asked for, and that it has not given it back.
#ifndef OFFHEAP_BINDING_LEASES_H_
#define OFFHEAP_BINDING_LEASES_H_

#include <cstddef>
#include <cstdint>
#include <unordered_map>

#include "heap/heap.h"

namespace offheap::binding {

class LeasedHeap;

// One ArrayBuffer over one block. Made with the buffer, deleted by the buffer's finalizer, which the runtime runs some
// time after the buffer was detached or collected, or, in some runtimes, while it is detached. By then the block may
// long be somebody else's, so the lease says whether it still stands. A lease that does not stand may be deleted at
// any call into the runtime: it is not touched after one.
struct Lease {
  LeasedHeap* heap = nullptr;  // null while the lease does not stand
  std::byte* address = nullptr;
  std::size_t size = 0;   // bytes asked for, the byteLength of the buffer
  std::size_t align = 0;  // bytes

  [[nodiscard]] bool stands() const { return heap != nullptr; }
};

// A native heap together with the leases on its blocks. Used on the thread of the environment that made it. Lives
// until JavaScript's Heap object is gone and the last lease with it: blocks outlive the object they came from.
// Always true: leases_ has exactly the leases that stand, each under its address; heap().blocks_in_use() equals their
// number and heap().bytes_in_use() the sum of their sizes, between calls.
class LeasedHeap {
 public:
  explicit LeasedHeap(heap::Heap* heap) : heap_(heap) {}
  LeasedHeap(const LeasedHeap&) = delete;
  LeasedHeap& operator=(const LeasedHeap&) = delete;

  [[nodiscard]] heap::Heap& heap() { return *heap_; }

  // The lease on the block that starts at `address`, or null.
  [[nodiscard]] Lease* find(const void* address) const;
  // From now on the lease stands; no other stands on its block.
  void enter(Lease* lease);
  // From now on it does not; the block stays used.
  void leave(Lease* lease);
  // Gives a block without a standing lease back to the heap.
  void give_back(std::byte* address, std::size_t size);
  // Ends the lease of a buffer that was garbage collected and gives its block back; counted apart. May delete this
  // heap.
  void reclaim(Lease* lease);

  // JavaScript's Heap object is gone: nothing is handed out any more. May delete this heap.
  void abandon();

  [[nodiscard]] std::uint64_t reclaimed_blocks() const { return reclaimed_blocks_; }
  [[nodiscard]] std::uint64_t reclaimed_bytes() const { return reclaimed_bytes_; }

  template <typename Visit>
  void for_each(Visit visit) const {
    for (const auto& [address, lease] : leases_) visit(*lease);
  }

 private:
  ~LeasedHeap();
  void delete_if_done();

  heap::Heap* const heap_;
  std::unordered_map<const void*, Lease*> leases_;
  bool abandoned_ = false;
  std::uint64_t reclaimed_blocks_ = 0;
  std::uint64_t reclaimed_bytes_ = 0;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_LEASES_H_
