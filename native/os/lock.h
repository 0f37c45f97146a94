// A lock that needs no constructor and no destructor, so that it may be used before and after everything else: what
// std::mutex is on Linux and is not on Windows.
#ifndef OFFHEAP_OS_LOCK_H_
#define OFFHEAP_OS_LOCK_H_

#include <atomic>
#include <type_traits>

namespace offheap::os {

// For std::scoped_lock. Any thread; a thread that waits sleeps. For what is done seldom: there is no fairness.
class Lock {
 public:
  void lock() {
    while (taken_.exchange(true, std::memory_order_acquire)) taken_.wait(true, std::memory_order_relaxed);
  }
  void unlock() {
    taken_.store(false, std::memory_order_release);
    taken_.notify_one();
  }

 private:
  std::atomic<bool> taken_{false};
};

static_assert(std::is_trivially_destructible_v<Lock>);

}  // namespace offheap::os

#endif  // OFFHEAP_OS_LOCK_H_
