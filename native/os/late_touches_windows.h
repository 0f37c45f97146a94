// Keeps discarded pages accessible, which Windows by itself does not: a page is decommitted or it costs commit charge.
#ifndef OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_
#define OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_

#include <cstddef>

// A touch of a decommitted page raises an exception in the thread that touches it. A handler of the process's commits
// the page, and the touch is done again: the same as a page fault elsewhere. It takes the exceptions of addresses that
// are reserved, not committed, and within 64 MiB, aligned, of something that was expected here; all others it passes
// on.
//
// A touch by the system on the process's behalf (ReadFile into such a page) raises nothing: that call fails.
namespace offheap::os::late_touches {

// From now on touches of [start, start + bytes) are answered. False, and nothing has changed, where the system refuses
// the handler. Any thread.
[[nodiscard]] bool expect(const std::byte* start, std::size_t bytes);

// What lies wholly within [start, start + bytes) is not expected any more: others may reserve there. Any thread.
void forget(const std::byte* start, std::size_t bytes);

}  // namespace offheap::os::late_touches

#endif  // OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_
