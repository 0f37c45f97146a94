// A lock that needs no constructor and no destructor, so that it may be used before and after everything else: what
// std::mutex is on Linux and is not on Windows.
#ifndef OFFHEAP_OS_LOCK_H_
#define OFFHEAP_OS_LOCK_H_

#include <atomic>
#include <type_traits>

namespace offheap::os {

#ifdef _WIN32

// A slim reader/writer lock of the system's, taken by writers only. Not std::atomic's wait(): where libstdc++ has no
// futex, as here, it misses a notification that comes between its look at the value and its sleep, and sleeps for good.
class Lock {
 public:
  void lock();
  void unlock();

 private:
  void* system_lock_ = nullptr;  // an SRWLOCK, which windows.h defines as a struct of one pointer
};

#else

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

#endif

static_assert(std::is_trivially_destructible_v<Lock>);

}  // namespace offheap::os

#endif  // OFFHEAP_OS_LOCK_H_
