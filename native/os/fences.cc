#include "os/fences.h"

#ifdef __linux__
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#elif defined(_WIN32)
#include "os/windows.h"
#endif

namespace offheap::os {

constinit std::atomic<bool> internal::kernel_fences{false};

namespace {

#ifdef __linux__

bool membarrier(int command) { return syscall(SYS_membarrier, command, 0, 0) == 0; }

// Linux 4.14. A sandbox may forbid it, and qemu-user does not know it.
bool register_process() { return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED); }

void fence_all_threads() {
  // On machines with very many processors the kernel needs memory for it, and may have none just now.
  do {
    if (membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  } while (errno == ENOMEM && sched_yield() == 0);
  // The registration is lost in a process that was forked, on some kernels.
  if (register_process() && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // It worked before. Going on without it would be a data race nobody could ever find.
  __builtin_trap();
}

#elif defined(_WIN32)

// Wine has the function; in many versions it does nothing.
bool register_process() { return !on_wine(); }

void fence_all_threads() { ::FlushProcessWriteBuffers(); }

#else

bool register_process() { return false; }

void fence_all_threads() {}

#endif

}  // namespace

void prepare_fences() {
  // Once: a second answer that differs would have one side of a lock rely on what the other does not do yet.
  static const bool helped = [] {
    const bool registered = register_process();
    internal::kernel_fences.store(registered, std::memory_order_relaxed);
    return registered;
  }();
  (void)helped;
}

void announce_seldom(std::atomic<bool>& flag) {
  flag.exchange(true, std::memory_order_seq_cst);
  if (internal::kernel_fences.load(std::memory_order_relaxed)) fence_all_threads();
}

}  // namespace offheap::os
