// Telling another thread something and then looking what it tells, when one of the two does so all the time and the
// other seldom. Both need a full fence between the store and the load, some 20 cycles; here the busy side pays nothing,
// since the kernel puts the fence into its instruction stream when the other side asks (membarrier(2),
// FlushProcessWriteBuffers). Folly calls the pair asymmetric fences.
//
//   busy thread                          other thread
//   announce_often(mine)                 announce_seldom(theirs)
//   look at theirs                       look at mine
//
// At least one of the two sees what the other announced.
#ifndef OFFHEAP_OS_FENCES_H_
#define OFFHEAP_OS_FENCES_H_

#include <atomic>

#if defined(__SANITIZE_THREAD__)
#define OFFHEAP_FULL_FENCES
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define OFFHEAP_FULL_FENCES
#endif
#endif

namespace offheap::os {

namespace internal {
// Whether the kernel can fence other threads. Decided once, by prepare_fences().
extern std::atomic<bool> kernel_fences;
}  // namespace internal

// To be called before the first announcement. Any thread, any number of times.
void prepare_fences();

// Sets the flag; what this thread loads from here on is not older.
inline void announce_often(std::atomic<bool>& flag) {
#ifdef OFFHEAP_FULL_FENCES
  // ThreadSanitizer knows nothing of fences made by the kernel.
  flag.exchange(true, std::memory_order_seq_cst);
#else
  if (internal::kernel_fences.load(std::memory_order_relaxed)) [[likely]] {
    flag.store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
  } else {
    flag.exchange(true, std::memory_order_seq_cst);
  }
#endif
}

// The same, and every other thread of the process has passed a full fence when it returns.
void announce_seldom(std::atomic<bool>& flag);

}  // namespace offheap::os

#endif  // OFFHEAP_OS_FENCES_H_
