// The lock on a heap that one thread uses all the time and others seldom: a biased lock. For the owner it is two plain
// stores and a load; another thread pays a system call of a microsecond or so (os/fences.h).
//
//   owner                                    another thread
//   1. inside := true                        a. the lock among the others
//   2. wanted? then inside := false,         b. wanted := true
//      the lock among the others,            c. every thread has passed a fence
//      inside := true, that lock back        d. wait until not inside
//   ... works ...                            ... works ...
//   3. inside := false                       e. wanted := false, the lock among the others back
//
// If the owner's load in 2 missed b, it came before the fence of c, so 1 is seen in d.
#ifndef OFFHEAP_HEAP_OWNER_LOCK_H_
#define OFFHEAP_HEAP_OWNER_LOCK_H_

#include <atomic>
#include <thread>

#include "os/fences.h"
#include "os/lock.h"

namespace offheap::heap {

// Embedded in a heap. os::prepare_fences() was called before. Not recursive.
class OwnerLock {
 public:
  OwnerLock() = default;
  OwnerLock(const OwnerLock&) = delete;
  OwnerLock& operator=(const OwnerLock&) = delete;

  // For the one thread that owns the heap.
  void lock_as_owner() {
    os::announce_often(inside_);
    if (wanted_.load(std::memory_order_seq_cst)) [[unlikely]]
      stand_back();
  }
  void unlock_as_owner() { inside_.store(false, std::memory_order_release); }

  // For every other thread, also when nobody owns the heap.
  void lock_as_other() {
    others_.lock();
    os::announce_seldom(wanted_);
    // The owner works for a microsecond, or a system call's length; it never runs JavaScript meanwhile.
    while (inside_.load(std::memory_order_seq_cst)) std::this_thread::yield();
  }
  void unlock_as_other() {
    wanted_.store(false, std::memory_order_release);
    others_.unlock();
  }

 private:
  [[gnu::cold, gnu::noinline]] void stand_back() {
    inside_.store(false, std::memory_order_release);
    // Whoever wants the heap has this lock as long; while it is held here, nobody does.
    others_.lock();
    inside_.store(true, std::memory_order_relaxed);
    others_.unlock();
  }

  std::atomic<bool> inside_{false};
  std::atomic<bool> wanted_{false};
  os::Lock others_;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_OWNER_LOCK_H_
