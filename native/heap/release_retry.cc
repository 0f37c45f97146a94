#include "heap/release_retry.h"

#include <array>
#include <mutex>

#include "os/lock.h"
#include "os/pages.h"

namespace offheap::heap::release_retry {

namespace {

struct Kept {
  std::byte* start;
  std::size_t bytes;
};

// Owns every kept range. Guarded by its mutex, held across system calls: this is the path nobody is in a hurry on.
// The list is not kept in the ranges themselves, since their pages may not be committed, nor in memory of any other
// allocator. Never destroyed: ranges may be given back while the process ends.
struct Ranges {
  os::Lock mutex;
  std::array<Kept, kMostRanges> kept;
  Counts counts;
};

constinit Ranges ranges{};

}  // namespace

void keep(std::byte* start, std::size_t bytes) {
  // Whatever is refused here leaves the range merely larger in memory than it could be.
  if (!os::decommit(start, bytes).ok()) (void)os::advise(start, bytes, os::Advice::kDiscard).ok();
  const std::scoped_lock lock(ranges.mutex);
  ++ranges.counts.refused;
  if (ranges.counts.ranges == kMostRanges) return;
  ranges.kept[ranges.counts.ranges++] = {start, bytes};
  ranges.counts.bytes += bytes;
}

std::byte* take(std::size_t bytes) {
  const std::scoped_lock lock(ranges.mutex);
  for (std::size_t index = ranges.counts.ranges; index > 0; --index) {
    const Kept found = ranges.kept[index - 1];
    if (found.bytes != bytes) continue;
    ranges.kept[index - 1] = ranges.kept[--ranges.counts.ranges];
    ranges.counts.bytes -= bytes;
    return found.start;
  }
  return nullptr;
}

std::size_t retry() {
  const std::scoped_lock lock(ranges.mutex);
  std::size_t accepted = 0;
  for (std::size_t index = ranges.counts.ranges; index > 0; --index) {
    const Kept offered = ranges.kept[index - 1];
    if (!os::release(offered.start, offered.bytes).ok()) {
      ++ranges.counts.refused;
      continue;
    }
    ranges.kept[index - 1] = ranges.kept[--ranges.counts.ranges];
    ranges.counts.bytes -= offered.bytes;
    accepted += offered.bytes;
  }
  return accepted;
}

Counts counts() {
  const std::scoped_lock lock(ranges.mutex);
  return ranges.counts;
}

}  // namespace offheap::heap::release_retry
