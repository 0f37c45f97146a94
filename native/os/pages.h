// Pages from the kernel: the only door through which offheap gets memory, and the only code that makes a system call
// for it. pages_posix.cc and pages_windows.cc fill it; the build picks one.
//
//   reserve ──> address space, no memory behind it; touching it faults
//   commit  ──> readable and writable; pages that were never committed, or decommitted since, read as zero
//   decommit ─> memory back to the kernel, address space kept; touching it faults
//   discard ──> the same, but touching it harms nobody
//   release ──> address space back too; always a whole reservation
//
// Every function may be called from any thread. Addresses and lengths are multiples of page_size() except where said
// otherwise. Every refusal comes back as an Error with the system's own number; nothing is retried or swallowed here.
#ifndef OFFHEAP_OS_PAGES_H_
#define OFFHEAP_OS_PAGES_H_

#include <cstddef>
#include <cstdint>

#include "os/calls.h"
#include "os/result.h"

namespace offheap::os {

// What the kernel answered: `number` is errno, or GetLastError() on Windows.
struct Error {
  int number = 0;
  Call call = Call::kReserve;
};

template <typename Value>
using Result = offheap::Result<Value, Error>;

// The system's name of the function behind a call: "mmap", "VirtualAlloc".
[[nodiscard]] const char* function_name(Call call);
// The system's words for error.number, written into `text` and cut to fit.
void describe(const Error& error, char* text, std::size_t capacity);

// The unit of commit and decommit, in bytes: 4, 16 or 64 KiB. Asked once, then kept.
[[nodiscard]] std::size_t page_size();
// What the kernel aligns reservations to, in bytes: page_size() on POSIX, 64 KiB on Windows.
[[nodiscard]] std::size_t allocation_granularity();

// Address space of `bytes`, at a multiple of `align` (a power of two, at least the allocation granularity).
[[nodiscard]] Result<std::byte*> reserve(std::size_t bytes, std::size_t align);

// Makes [start, start + bytes) of a reservation readable and writable. Committing committed pages again keeps them.
[[nodiscard]] Result<Done> commit(std::byte* start, std::size_t bytes);

// Gives the memory of [start, start + bytes) back and makes it inaccessible. On POSIX a refusal (ENOMEM when the
// process has too many mappings to split one more) leaves the pages as they were.
[[nodiscard]] Result<Done> decommit(std::byte* start, std::size_t bytes);

// Gives the memory of committed pages back for now, like decommit(); but they stay accessible: a late touch, by native
// code that still holds the address, gets memory again and harms nobody. What they read then is not known: zero, or
// what came late. Linux splits no mapping for it (a process may have 65,530).
//
// Where kDiscardedNeedCommit, they are committed again before they are used: a touch by the system on the process's
// behalf (ReadFile) fails until then, and each other first touch of a page costs an exception.
#ifdef _WIN32
inline constexpr bool kDiscardedNeedCommit = true;
#else
inline constexpr bool kDiscardedNeedCommit = false;
#endif
[[nodiscard]] Result<Done> discard(std::byte* start, std::size_t bytes);

// Ends a reservation: `start` and `bytes` exactly as reserve() gave them.
[[nodiscard]] Result<Done> release(std::byte* start, std::size_t bytes);

enum class Access : std::uint8_t { kNone, kRead, kReadWrite };
// Changes what committed pages allow.
[[nodiscard]] Result<Done> protect(std::byte* start, std::size_t bytes, Access access);

enum class Advice : std::uint8_t {
  kDiscard,    // contents no longer needed: pages stay accessible, their memory goes back now
  kHugePages,  // back this range with huge pages where the kernel can
};
// Advice about committed pages. kHugePages is refused where the system has no such thing.
[[nodiscard]] Result<Done> advise(std::byte* start, std::size_t bytes, Advice advice);

// Moves the contents of [from, from + bytes) to [to, to + bytes) by moving the pages themselves; both ranges are
// committed, page-aligned and apart. Afterwards `from` is still reserved and its contents are gone. An error means
// nothing moved: the caller copies, to pages that are committed still but may read zero now. Linux 5.7 and later;
// refused elsewhere.
[[nodiscard]] Result<Done> move(std::byte* from, std::byte* to, std::size_t bytes);

#if defined(OFFHEAP_FAULT_INJECTION) && !defined(_WIN32)
namespace internal {
// From here on this file behaves as on a kernel whose pages are `bytes` long, on a kernel with smaller ones: the only
// way to run with pages of 16 and 64 KiB on most machines. Reservations are aligned to it, and addresses and lengths
// that are no multiples of it are refused with EINVAL. Exists in test builds alone, is for the first lines of main(),
// and says false to what is no page size or smaller than the kernel's.
[[nodiscard]] bool pretend_page_size(std::size_t bytes);
}  // namespace internal
#endif

}  // namespace offheap::os

#endif  // OFFHEAP_OS_PAGES_H_
