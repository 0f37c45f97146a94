// A shared heap as one environment has it open.
#ifndef OFFHEAP_BINDING_OPEN_HEAP_H_
#define OFFHEAP_BINDING_OPEN_HEAP_H_

#include <cstddef>
#include <cstdint>

#include "binding/lease.h"
#include "heap/shared_heap.h"

namespace offheap::binding {

class Environment;

// What the implementation of array_buffers.h keeps for each heap and environment.
struct BufferState;

// Holds one handle on its heap, and this thread's part of it from the first allocation on. Used on the thread of its
// environment. Counts its users: the JavaScript objects that stand for the heap here.
// Always true: an environment has at most one OpenHeap of a heap; when the environment has ended the part is detached.
class OpenHeap {
 public:
  // With one use, which is the caller's; takes over the handle.
  [[nodiscard]] static OpenHeap* open(Environment& environment, heap::SharedHeap* heap);
  OpenHeap(const OpenHeap&) = delete;
  OpenHeap& operator=(const OpenHeap&) = delete;

  void use() { ++uses_; }
  // May delete this.
  void end_use();

  [[nodiscard]] heap::SharedHeap& heap() { return *heap_; }
  // This thread's part, attached if it is not yet.
  [[nodiscard]] heap::Result<heap::Heap*> part() {
    if (part_ != nullptr) [[likely]]
      return part_;
    return attach();
  }
  [[nodiscard]] heap::Heap* attached_part() const { return part_; }
  [[nodiscard]] BufferState* buffers() const { return buffers_; }
  // Where the environment finds it, see Environment::at().
  [[nodiscard]] std::uint32_t slot() const { return slot_; }

  // The environment ends. Blocks may outlive it.
  void leave_thread();

 private:
  OpenHeap(Environment& environment, heap::SharedHeap* heap, std::uint32_t slot);
  ~OpenHeap();
  [[nodiscard]] heap::Result<heap::Heap*> attach();

  Environment* environment_;  // null when it has ended
  heap::SharedHeap* const heap_;
  heap::Heap* part_ = nullptr;
  BufferState* const buffers_;
  std::uint32_t uses_ = 1;
  const std::uint32_t slot_;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_OPEN_HEAP_H_
