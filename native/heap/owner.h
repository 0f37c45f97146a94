// Which thread owns a heap.
#ifndef OFFHEAP_HEAP_OWNER_H_
#define OFFHEAP_HEAP_OWNER_H_

namespace offheap::heap {

// Remembers the thread that made it. The address of a thread-local variable names a thread, costs no system call, and
// is not used again while the thread lives. Any thread may ask.
class Owner {
 public:
  Owner() : thread_(this_thread()) {}

  [[nodiscard]] bool is_this_thread() const { return thread_ == this_thread(); }

 private:
  [[nodiscard]] static const void* this_thread() {
    static thread_local char marker;
    return &marker;
  }

  const void* const thread_;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_OWNER_H_
