// Free runs in the order in which they fell free, so that pages nobody wanted for a while are found at the front.
#ifndef OFFHEAP_HEAP_IDLE_RUNS_H_
#define OFFHEAP_HEAP_IDLE_RUNS_H_

#include <cstdint>

#include "heap/span.h"

namespace offheap::heap {

// Owned by a heap's dynamic bucket, used by the owner thread only. All zero bytes is a valid list with no run.
// Always true: freed_at never decreases from oldest to newest. A run may be absent: then none of the kernel's
// pages in it is committed as a whole, or the heap is about to look at it.
class IdleRuns {
 public:
  [[nodiscard]] Span* oldest() const { return oldest_; }

  [[nodiscard]] bool contains(const Span* span) const {
    return span->older != nullptr || span->newer != nullptr || oldest_ == span;
  }

  void append(Span* span, std::uint64_t freed_at) {
    // The clock is read seldom and never goes back; the newest time may still be ahead of what a caller passes in.
    span->freed_at = newest_ != nullptr && newest_->freed_at > freed_at ? newest_->freed_at : freed_at;
    span->older = newest_;
    span->newer = nullptr;
    (newest_ != nullptr ? newest_->newer : oldest_) = span;
    newest_ = span;
  }

  void remove(Span* span) {
    if (!contains(span)) return;
    (span->older != nullptr ? span->older->newer : oldest_) = span->newer;
    (span->newer != nullptr ? span->newer->older : newest_) = span->older;
    span->older = nullptr;
    span->newer = nullptr;
  }

  // `part` was cut from `run`, which stays: as old as it, and beside it.
  void insert_after(Span* run, Span* part) {
    if (!contains(run)) return;
    part->freed_at = run->freed_at;
    part->older = run;
    part->newer = run->newer;
    (run->newer != nullptr ? run->newer->older : newest_) = part;
    run->newer = part;
  }

 private:
  Span* oldest_;
  Span* newest_;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_IDLE_RUNS_H_
