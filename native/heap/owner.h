// Which thread owns a heap.
#ifndef OFFHEAP_HEAP_OWNER_H_
#define OFFHEAP_HEAP_OWNER_H_

#include <atomic>

namespace offheap::heap {

// Remembers one thread: at first the one that made it. The address of a thread-local variable names a thread, costs no
// system call, and is not used again while the thread lives; whoever owns something leaves it before the thread ends.
// Any thread may ask whether it is the one: only that thread itself can make the answer change.
class Owner {
 public:
  Owner() : thread_(this_thread()) {}
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;

  [[nodiscard]] bool is_this_thread() const { return thread_.load(std::memory_order_relaxed) == this_thread(); }
  [[nodiscard]] bool is_nobody() const { return thread_.load(std::memory_order_relaxed) == nullptr; }

  void set_this_thread() { thread_.store(this_thread(), std::memory_order_relaxed); }
  void set_nobody() { thread_.store(nullptr, std::memory_order_relaxed); }

 private:
  [[nodiscard]] static const void* this_thread() {
    static thread_local char marker;
    return &marker;
  }

  std::atomic<const void*> thread_;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_OWNER_H_
