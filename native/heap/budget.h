// The limit of a heap that several threads allocate from: one number that all of them see.
#ifndef OFFHEAP_HEAP_BUDGET_H_
#define OFFHEAP_HEAP_BUDGET_H_

#include <atomic>
#include <cstddef>

#include "heap/limit.h"

namespace offheap::heap {

// Any thread. Always true: in_use() is at most limit(); a heap without a limit keeps no account here, which would cost
// every allocation a cache line that all threads fight for.
class Budget {
 public:
  explicit Budget(std::size_t limit) : limit_(limit) {}

  [[nodiscard]] bool is_limited() const { return limit_.bytes() != Limit::kNone; }
  [[nodiscard]] std::size_t limit() const { return limit_.bytes(); }
  [[nodiscard]] std::size_t in_use() const { return in_use_.load(std::memory_order_relaxed); }

  // False, and nothing changed, if that would be more than the limit. What was taken is given back with give().
  [[nodiscard]] bool take(std::size_t bytes) {
    std::size_t in_use = 0;
    return take(bytes, in_use);
  }
  // Says what was in use when it refuses.
  [[nodiscard]] bool take(std::size_t bytes, std::size_t& in_use) {
    if (!is_limited()) return true;
    in_use = in_use_.load(std::memory_order_relaxed);
    do {
      if (!limit_.allows(in_use, bytes)) return false;
    } while (!in_use_.compare_exchange_weak(in_use, in_use + bytes, std::memory_order_relaxed));
    return true;
  }

  void give(std::size_t bytes) {
    if (is_limited()) in_use_.fetch_sub(bytes, std::memory_order_relaxed);
  }

 private:
  const Limit limit_;
  std::atomic<std::size_t> in_use_{0};
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_BUDGET_H_
