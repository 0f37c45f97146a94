// Giving free pages back to the kernel: when they have been idle, when asked, and when the heap is closed.
#include <limits>

#include "heap/heap.h"
#include "heap/release_retry.h"
#include "os/clock.h"

namespace offheap::heap {

namespace {

// Taking and giving pages reads the clock once in this many times: at worst that many runs wait longer.
constexpr std::uint32_t kTicksPerLook = 64;

// As the latest moment at which pages fell free: all of them.
constexpr std::uint64_t kAlways = std::numeric_limits<std::uint64_t>::max();

}  // namespace

void Heap::tick() {
  if (++ticks_ % kTicksPerLook == 0) decay_while_busy(os::monotonic_milliseconds());
}

void Heap::decay_while_busy(std::uint64_t now) {
  dynamic_->set_time(now);
  if (now < kBusyDecayMilliseconds) return;
  dynamic_->decommit_idle(now - kBusyDecayMilliseconds, kBusyDecayPages, true,
                          [this](const Region* region) { return may_release(region); });
}

bool Heap::may_release(const Region* region) const {
  // A list being drained may name spans of this region that have nothing more to give.
  if (collecting_) return false;
  // In this order: a thread leaves the count after its last touch of the list.
  return region->remote_frees_in_flight.load(std::memory_order_acquire) == 0 && pending_spans_.empty();
}

// The span a bucket keeps although it is empty, once it has been empty since `before` (ms) or earlier.
void Heap::release_retained(std::uint64_t before) {
  for (Bucket& bucket : buckets_) {
    Span* const span = bucket.retained;
    if (span == nullptr) continue;
    if (span->used != 0) {
      bucket.retained = nullptr;
      continue;
    }
    if (bucket.empty_since > before) continue;
    bucket.retained = nullptr;
    bucket.remove(span);
    give_pages(span);
  }
}

bool Heap::decay(std::uint64_t now) {
  collect();
  const bool quiet = ticks_ == ticks_at_decay_;
  ticks_at_decay_ = ticks_;
  decay_while_busy(now);
  if (quiet && now >= kDecayMilliseconds) {
    const std::uint64_t before = now - kDecayMilliseconds;
    release_retained(before);
    dynamic_->decommit_idle(before, 1, true, [this](const Region* region) { return may_release(region); });
    // Giving the retained spans back was no use of the heap.
    ticks_at_decay_ = ticks_;
  }
  after_change();
  if (dynamic_->has_idle_runs()) return true;
  for (const Bucket& bucket : buckets_) {
    if (bucket.retained != nullptr) return true;
  }
  return false;
}

std::size_t Heap::release_free_pages() {
  return dynamic_->decommit_idle(kAlways, 1, false, [this](const Region* region) { return may_release(region); });
}

std::size_t Heap::trim() {
  collect();
  release_retained(kAlways);
  const std::size_t bytes = release_free_pages();
  release_retry::retry();
  after_change();
  return bytes;
}

void Heap::close() {
  closed_ = true;
  trim();
}

}  // namespace offheap::heap
