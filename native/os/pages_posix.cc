// Linux and, where it agrees with Linux, macOS: the mmap family.
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "os/lock.h"
#include "os/pages.h"

namespace offheap::os {

namespace {

// MAP_NORESERVE: address space must not count against overcommit before it is used.
constexpr int kReserveFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

[[nodiscard]] std::size_t kernel_page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

[[nodiscard]] bool is_aligned(const std::byte* start, std::size_t align) {
  return (reinterpret_cast<std::uintptr_t>(start) & (align - 1)) == 0;
}

#ifdef OFFHEAP_FAULT_INJECTION

// What internal::pretend_page_size() was told; 0 is the kernel's own.
constinit std::size_t pretended_page_bytes = 0;

[[nodiscard]] bool is_whole_pages(const std::byte* start, std::size_t bytes) {
  return is_aligned(start, page_size()) && bytes % page_size() == 0;
}

[[nodiscard]] bool refused_by_test(Call call, const std::byte* start, std::size_t bytes) {
  internal::count(call);
  if (internal::should_fail(call)) {
    errno = ENOMEM;
    return true;
  }
  // A kernel rounds some lengths up by itself. pages.h asks for whole pages, so that no other system has to.
  if (!is_whole_pages(start, bytes)) {
    errno = EINVAL;
    return true;
  }
  return false;
}

// mmap as a kernel of the pretended page size answers it: at a multiple of that.
[[nodiscard]] void* map_pages(void* hint, std::size_t bytes) {
  void* const mapped = ::mmap(hint, bytes, PROT_NONE, kReserveFlags, -1, 0);
  if (mapped == MAP_FAILED || is_aligned(static_cast<std::byte*>(mapped), page_size())) return mapped;
  ::munmap(mapped, bytes);
  const std::size_t surplus = page_size() - kernel_page_size();
  void* const padded = ::mmap(nullptr, bytes + surplus, PROT_NONE, kReserveFlags, -1, 0);
  if (padded == MAP_FAILED) return padded;
  auto* const first = static_cast<std::byte*>(padded);
  const std::size_t before = -reinterpret_cast<std::uintptr_t>(first) & (page_size() - 1);
  if (before > 0) ::munmap(first, before);
  if (before < surplus) ::munmap(first + before + bytes, surplus - before);
  return first + before;
}

#else

[[nodiscard]] bool refused_by_test(Call call, const std::byte* /*start*/, std::size_t /*bytes*/) {
  internal::count(call);
  return false;
}

[[nodiscard]] void* map_pages(void* hint, std::size_t bytes) {
  return ::mmap(hint, bytes, PROT_NONE, kReserveFlags, -1, 0);
}

#endif

[[nodiscard]] Error last_error(Call call) { return {errno, call}; }

[[nodiscard]] Result<std::byte*> map(void* hint, std::size_t bytes) {
  if (refused_by_test(Call::kReserve, static_cast<std::byte*>(hint), bytes)) return last_error(Call::kReserve);
  void* start = map_pages(hint, bytes);
  if (start == MAP_FAILED) return last_error(Call::kReserve);
  return static_cast<std::byte*>(start);
}

[[nodiscard]] Result<Done> unmap(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kRelease, start, bytes)) return last_error(Call::kRelease);
  if (::munmap(start, bytes) != 0) return last_error(Call::kRelease);
  return Done{};
}

// Ends of padded reservations whose unmapping was refused: address space without memory behind it. They are tried
// again before the next reservation, so that nothing is lost for good.
class RefusedTrims {
 public:
  void keep(std::byte* start, std::size_t bytes) {
    const std::scoped_lock lock(mutex_);
    if (count_ < kept_.size()) kept_[count_++] = {start, bytes};
  }

  void retry() {
    // Read without the lock: a missed entry is found by the next reservation.
    if (count_ == 0) return;
    const std::scoped_lock lock(mutex_);
    while (count_ > 0 && unmap(kept_[count_ - 1].start, kept_[count_ - 1].bytes).ok()) --count_;
  }

 private:
  struct Range {
    std::byte* start;
    std::size_t bytes;
  };

  Lock mutex_;
  // Unmapping the end of a mapping splits nothing and is not refused in practice; a few places are plenty.
  std::array<Range, 64> kept_{};
  std::atomic<std::size_t> count_{0};
};

constinit RefusedTrims refused_trims;

void trim_end(std::byte* start, std::size_t bytes) {
  if (bytes > 0 && !unmap(start, bytes).ok()) refused_trims.keep(start, bytes);
}

// Where the next aligned reservation is likely to fit: just below the last one, since the kernel hands out addresses
// from the top down. A wrong guess costs one more call; a right one makes an aligned reservation a single call.
constinit std::atomic<std::uintptr_t> next_hint{0};

}  // namespace

const char* function_name(Call call) {
  switch (call) {
    case Call::kReserve:
    case Call::kDecommit:
      return "mmap";
    case Call::kCommit:
    case Call::kProtect:
      return "mprotect";
    case Call::kRelease:
      return "munmap";
    case Call::kAdvise:
      return "madvise";
    case Call::kMove:
      return "mremap";
  }
  return "?";
}

void describe(const Error& error, char* text, std::size_t capacity) {
  // Known numbers have constant words in every C library there is.
  std::snprintf(text, capacity, "%s", std::strerror(error.number));  // NOLINT(concurrency-mt-unsafe)
}

std::size_t page_size() {
#ifdef OFFHEAP_FAULT_INJECTION
  if (pretended_page_bytes != 0) return pretended_page_bytes;
#endif
  return kernel_page_size();
}

#ifdef OFFHEAP_FAULT_INJECTION
bool internal::pretend_page_size(std::size_t bytes) {
  constexpr std::size_t kKiB = 1024;
  if (bytes != 4 * kKiB && bytes != 16 * kKiB && bytes != 64 * kKiB) return false;
  if (bytes < kernel_page_size()) return false;
  pretended_page_bytes = bytes;
  return true;
}
#endif

std::size_t allocation_granularity() { return page_size(); }

Result<std::byte*> reserve(std::size_t bytes, std::size_t align) {
  refused_trims.retry();
  // Loads and stores of the hint are not one step: two threads may guess the same address, and one then guesses wrong.
  const std::uintptr_t above = next_hint.load(std::memory_order_relaxed);
  if (above > bytes) {
    const std::uintptr_t guess = (above - bytes) & ~(align - 1);
    const auto mapped = map(reinterpret_cast<void*>(guess), bytes);
    if (!mapped.ok()) return mapped;
    if (is_aligned(mapped.value(), align)) {
      next_hint.store(reinterpret_cast<std::uintptr_t>(mapped.value()), std::memory_order_relaxed);
      return mapped;
    }
    trim_end(mapped.value(), bytes);
  }
  // Ask for enough to contain an aligned range, then give back both ends.
  const std::size_t padded = bytes + align - page_size();
  if (padded < bytes) return Error{ENOMEM, Call::kReserve};
  const auto mapped = map(nullptr, padded);
  if (!mapped.ok()) return mapped;
  const auto first = reinterpret_cast<std::uintptr_t>(mapped.value());
  const std::uintptr_t aligned = (first + align - 1) & ~(align - 1);
  auto* const start = reinterpret_cast<std::byte*>(aligned);
  const std::size_t before = aligned - first;
  const std::size_t after = padded - before - bytes;
  trim_end(mapped.value(), before);
  trim_end(start + bytes, after);
  next_hint.store(aligned, std::memory_order_relaxed);
  return start;
}

Result<Done> commit(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kCommit, start, bytes)) return last_error(Call::kCommit);
  if (::mprotect(start, bytes, PROT_READ | PROT_WRITE) != 0) return last_error(Call::kCommit);
  return Done{};
}

Result<Done> decommit(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kDecommit, start, bytes)) return last_error(Call::kDecommit);
  // Mapping afresh over the range gives memory, page tables and commit charge back and takes access away in one call.
  // A late write by I/O that was in flight then gets EFAULT in place of a page somebody else may own.
  if (::mmap(start, bytes, PROT_NONE, kReserveFlags | MAP_FIXED, -1, 0) == MAP_FAILED)
    return last_error(Call::kDecommit);
  return Done{};
}

Result<Done> discard(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kDecommit, start, bytes)) return last_error(Call::kDecommit);
#ifdef __linux__
  if (::madvise(start, bytes, MADV_DONTNEED) != 0) return last_error(Call::kDecommit);
#else
  // Elsewhere MADV_DONTNEED is a hint that may do nothing.
  if (::mmap(start, bytes, PROT_READ | PROT_WRITE, kReserveFlags | MAP_FIXED, -1, 0) == MAP_FAILED)
    return last_error(Call::kDecommit);
#endif
  return Done{};
}

Result<Done> release(std::byte* start, std::size_t bytes) {
  const auto done = unmap(start, bytes);
  // The last reservation is gone: the next one may have its place, so that a loop does not walk through all addresses.
  auto last = reinterpret_cast<std::uintptr_t>(start);
  if (done.ok()) (void)next_hint.compare_exchange_strong(last, last + bytes, std::memory_order_relaxed);
  return done;
}

Result<Done> protect(std::byte* start, std::size_t bytes, Access access) {
  if (refused_by_test(Call::kProtect, start, bytes)) return last_error(Call::kProtect);
  const int protection = access == Access::kNone   ? PROT_NONE
                         : access == Access::kRead ? PROT_READ
                                                   : PROT_READ | PROT_WRITE;
  if (::mprotect(start, bytes, protection) != 0) return last_error(Call::kProtect);
  return Done{};
}

Result<Done> advise(std::byte* start, std::size_t bytes, Advice advice) {
  if (refused_by_test(Call::kAdvise, start, bytes)) return last_error(Call::kAdvise);
  int advised = MADV_DONTNEED;
  if (advice == Advice::kHugePages) {
#ifdef MADV_HUGEPAGE
    advised = MADV_HUGEPAGE;
#else
    return Error{ENOTSUP, Call::kAdvise};
#endif
  }
  if (::madvise(start, bytes, advised) != 0) return last_error(Call::kAdvise);
  return Done{};
}

Result<Done> move([[maybe_unused]] std::byte* from, [[maybe_unused]] std::byte* to,
                  [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__)
#ifndef MREMAP_DONTUNMAP
  constexpr int MREMAP_DONTUNMAP = 4;  // since Linux 5.7, glibc 2.32; older kernels answer EINVAL
#endif
  const bool refused = refused_by_test(Call::kMove, from, bytes);
  const Error refusal = last_error(Call::kMove);
#ifdef OFFHEAP_FAULT_INJECTION
  if (!is_whole_pages(to, bytes)) return Error{EINVAL, Call::kMove};
  if (refused) ::munmap(to, bytes);  // the worst a kernel does
#endif
  // DONTUNMAP: without it the old range becomes a hole that any thread's mmap may fall into before we release it.
  constexpr int kFlags = MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP;
  if (!refused && ::mremap(from, bytes, bytes, kFlags, to) != MAP_FAILED) return Done{};
  const Error error = refused ? refusal : last_error(Call::kMove);
  // Kernels before 6.17 unmap the target first and then refuse a source of several mappings, which a block is that was
  // moved before and has grown since. Fill the hole again; if there is none this changes nothing.
  void* const filled = ::mmap(to, bytes, PROT_READ | PROT_WRITE, kReserveFlags | MAP_FIXED_NOREPLACE, -1, 0);
  if (filled != MAP_FAILED && filled != to) ::munmap(filled, bytes);  // before Linux 4.17 the address is a hint
  return error;
#else
  return Error{ENOTSUP, Call::kMove};
#endif
}

}  // namespace offheap::os
