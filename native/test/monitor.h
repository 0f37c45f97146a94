// A lock with which to wait until something is so that others change under it, and a barrier made of it.
#ifndef OFFHEAP_TEST_MONITOR_H_
#define OFFHEAP_TEST_MONITOR_H_

#include <cstddef>
#include <mutex>

#ifdef _WIN32
#include "os/windows.h"
#else
#include <condition_variable>
#endif

namespace offheap::test {

// For std::scoped_lock. On Windows the system's own, not the standard library's: the condition variable of winpthreads,
// which is behind that with mingw, now and then never wakes a thread.
class Monitor {
 public:
#ifdef _WIN32
  void lock() { ::AcquireSRWLockExclusive(&lock_); }
  void unlock() { ::ReleaseSRWLockExclusive(&lock_); }
  void notify_all() { ::WakeAllConditionVariable(&changed_); }
#else
  void lock() { lock_.lock(); }
  void unlock() { lock_.unlock(); }
  void notify_all() { changed_.notify_all(); }
#endif

  // With the lock held, which others may have meanwhile.
  template <typename Condition>
  void wait(Condition holds) {
    while (!holds()) sleep();
  }

 private:
#ifdef _WIN32
  void sleep() { ::SleepConditionVariableSRW(&changed_, &lock_, INFINITE, 0); }

  SRWLOCK lock_ = SRWLOCK_INIT;
  CONDITION_VARIABLE changed_ = CONDITION_VARIABLE_INIT;
#else
  void sleep() {
    std::unique_lock held(lock_, std::adopt_lock);
    changed_.wait(held);
    held.release();
  }

  std::mutex lock_;
  std::condition_variable changed_;
#endif
};

// Where a number of threads wait for each other, again and again; std::barrier sleeps with std::atomic's wait(), for
// which see os/lock.h.
class Barrier {
 public:
  explicit Barrier(std::size_t threads) : threads_(threads) {}

  void arrive_and_wait() {
    const std::scoped_lock lock(monitor_);
    const std::size_t round = round_;
    ++arrived_;
    if (!begin_round()) monitor_.wait([this, round] { return round_ != round; });
  }

  // From now on the others do not wait for this thread.
  void arrive_and_drop() {
    const std::scoped_lock lock(monitor_);
    --threads_;
    (void)begin_round();
  }

 private:
  [[nodiscard]] bool begin_round() {
    if (arrived_ < threads_) return false;
    arrived_ = 0;
    ++round_;
    monitor_.notify_all();
    return true;
  }

  std::size_t threads_;
  Monitor monitor_;
  std::size_t arrived_ = 0;
  std::size_t round_ = 0;
};

}  // namespace offheap::test

#endif  // OFFHEAP_TEST_MONITOR_H_
