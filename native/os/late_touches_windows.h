// Keeps discarded pages accessible, which Windows by itself does not: a page is decommitted or it costs commit charge.
#ifndef OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_
#define OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_

#include <cstddef>
#include <cstdint>

// A touch of a decommitted page raises an exception in the thread that touches it. A handler of the process's commits
// the page, if it is one of those expected here, and the touch is done again: the same as a page fault elsewhere. The
// exceptions of all other addresses it passes on: gaps stay gaps, and pages that were never used stay so.
//
// A touch by the system on the process's behalf (ReadFile into such a page) raises nothing: that call fails.
//
// Ranges are whole pages. Any thread, for ranges that are its own.
namespace offheap::os::late_touches {

// From now on touches of these pages are answered. Returns 0, or the system's number for why they are not, and then
// nothing has changed.
[[nodiscard]] std::uint32_t expect(const std::byte* start, std::size_t bytes);

// Touches of these pages are not expected any more: they are committed, or about to be somebody else's.
void forget(const std::byte* start, std::size_t bytes);

}  // namespace offheap::os::late_touches

#endif  // OFFHEAP_OS_LATE_TOUCHES_WINDOWS_H_
