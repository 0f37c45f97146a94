#include "heap/release_retry.h"

#include <array>
#include <mutex>

#include "os/lock.h"
#include "os/pages.h"

namespace offheap::heap::release_retry {

namespace {

// Ranges of address space, in no memory but its own: their pages may not be accessible, and nothing here may depend on
// another allocator. A plain value.
class RangeList {
 public:
  [[nodiscard]] bool full() const { return count_ == kMostRanges; }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

  void add(std::byte* start, std::size_t bytes, ReservationKind was) {
    ranges_[count_++] = {start, bytes, was};
    bytes_ += bytes;
  }

  // The range of exactly this length that was added last, and was a region if it is to be one, or null.
  [[nodiscard]] std::byte* take(std::size_t bytes, ReservationKind kind) {
    for (std::size_t index = count_; index > 0; --index) {
      const Range range = ranges_[index - 1];
      if (range.bytes != bytes || (kind == ReservationKind::kRegion && range.was != kind)) continue;
      remove(index - 1);
      return range.start;
    }
    return nullptr;
  }

  // Offers each to the kernel; what it refuses stays. Returns the bytes it accepted and counts what it refused.
  std::size_t release(std::uint64_t& refused) {
    const std::size_t before = bytes_;
    for (std::size_t index = count_; index > 0; --index) {
      if (os::release(ranges_[index - 1].start, ranges_[index - 1].bytes).ok()) {
        remove(index - 1);
      } else {
        ++refused;
      }
    }
    return before - bytes_;
  }

 private:
  struct Range {
    std::byte* start;
    std::size_t bytes;
    ReservationKind was;
  };

  void remove(std::size_t index) {
    bytes_ -= ranges_[index].bytes;
    ranges_[index] = ranges_[--count_];
  }

  std::array<Range, kMostRanges> ranges_{};
  std::size_t count_ = 0;
  std::size_t bytes_ = 0;
};

// Guarded by its lock, held across system calls: this is the path nobody is in a hurry on. Never destroyed: ranges may
// be given back while the process ends.
struct Ranges {
  os::Lock lock;
  RangeList refused;
  RangeList parked;
  std::uint64_t refusals = 0;
};

constinit Ranges ranges{};

}  // namespace

void keep(std::byte* start, std::size_t bytes, ReservationKind was) {
  // Whatever is refused here leaves the range merely larger in memory than it could be.
  if (!os::decommit(start, bytes).ok()) (void)os::advise(start, bytes, os::Advice::kDiscard).ok();
  const std::scoped_lock lock(ranges.lock);
  ++ranges.refusals;
  if (!ranges.refused.full()) ranges.refused.add(start, bytes, was);
}

bool park(std::byte* start, std::size_t bytes, ReservationKind was) {
  if (!os::discard(start, bytes).ok()) return false;
  const std::scoped_lock lock(ranges.lock);
  if (ranges.parked.full()) return false;
  ranges.parked.add(start, bytes, was);
  return true;
}

std::byte* take(std::size_t bytes, ReservationKind kind) {
  const std::scoped_lock lock(ranges.lock);
  std::byte* const refused = ranges.refused.take(bytes, kind);
  return refused != nullptr ? refused : ranges.parked.take(bytes, kind);
}

std::size_t retry() {
  const std::scoped_lock lock(ranges.lock);
  return ranges.refused.release(ranges.refusals);
}

std::size_t release_parked() {
  const std::scoped_lock lock(ranges.lock);
  return ranges.parked.release(ranges.refusals);
}

Counts counts() {
  const std::scoped_lock lock(ranges.lock);
  return {ranges.refusals, ranges.refused.count(), ranges.refused.bytes(), ranges.parked.count(),
          ranges.parked.bytes()};
}

}  // namespace offheap::heap::release_retry
