// The bucket for what no size class fits: whole pages out of the heap's regions, by best fit, split when the run is
// longer than asked, merged with its neighbours the moment it falls free. The other buckets get their spans here too.
//
//   before   [ used 3 ][ free 9            ][ used 2 ]
//   take 4   [ used 3 ][ taken 4 ][ free 5 ][ used 2 ]        the shortest free run of 4 or more was the one of 9
//   give     [ used 3 ][ free 9            ][ used 2 ]        merged again, both ways
#ifndef OFFHEAP_HEAP_DYNAMIC_BUCKET_H_
#define OFFHEAP_HEAP_DYNAMIC_BUCKET_H_

#include <cstddef>
#include <cstdint>

#include "heap/free_runs.h"
#include "heap/idle_runs.h"
#include "heap/region.h"
#include "heap/types.h"

namespace offheap::heap {

// Owns the heap's regions and their free runs. Owner thread only. All zero bytes is a valid bucket with no region.
// Always true: no two neighbouring spans are both free; free_pages == sum of pages of the runs in the index.
class DynamicBucket {
 public:
  // `pages` pages starting at a multiple of `align_pages` (a power of two), committed, as a span of the kind given.
  // On failure nothing has changed.
  [[nodiscard]] os::Result<Span*> take(Heap* heap, std::uint32_t pages, std::uint32_t align_pages, SpanKind kind);

  // The span's pages are free, merged with free neighbours. `span` is not to be used any more.
  // Returns the region if nothing in it is used any more, else null.
  Region* give(Span* span);

  // Gives the last `span.pages.count - pages` pages of a dynamic span back.
  [[nodiscard]] os::Result<Done> shrink(Span* span, std::uint32_t pages);
  // Makes a dynamic span `pages` long by taking the front of the free run after it. False, and nothing changed, if
  // there is no such run, it is too short, or the kernel refuses its pages.
  [[nodiscard]] bool grow_into_next(Span* span, std::uint32_t pages);
  // Makes a dynamic span `pages` long by taking the end of the free run before it, and the whole one after it if it
  // is free. The contents, `bytes` of them, are moved to the new start. False as above, or if the new start cannot
  // be aligned to `align_pages`.
  [[nodiscard]] bool grow_into_previous(Span* span, std::uint32_t pages, std::uint32_t align_pages, std::size_t bytes);

  // Decommits runs of `least_pages` or more that fell free at or before `before` (ms), and releases regions that are
  // one such run and of which may_release() says yes, but for one that is kept as address space for the next burst
  // unless `keep_region` is false. Returns the bytes given back. What the kernel refuses is tried again by a later
  // call.
  template <typename MayRelease>
  std::size_t decommit_idle(std::uint64_t before, std::uint32_t least_pages, bool keep_region, MayRelease may_release);
  // True while some free run waits for its time.
  [[nodiscard]] bool has_idle_runs() const { return idle_.oldest() != nullptr; }

  // Releases one region none of whose pages is used. Returns the bytes that were committed in it.
  std::size_t release_empty(Region* region);
  // Releases every region, used or not.
  void release_all();

  // Whether the addresses of regions are parked at their end, see park_address_space(). Said once, before the first.
  void keep_addresses(bool keep) { keep_addresses_ = keep; }

  // What the clock showed when it was last read, in ms: the time that runs falling free are marked with.
  void set_time(std::uint64_t milliseconds) { now_ = milliseconds; }
  [[nodiscard]] std::uint64_t time() const { return now_; }

  [[nodiscard]] Region* regions() const { return regions_; }
  [[nodiscard]] std::size_t region_count() const { return region_count_; }
  [[nodiscard]] std::size_t committed_bytes() const;
  [[nodiscard]] std::size_t metadata_bytes() const;
  [[nodiscard]] std::uint64_t free_pages() const { return free_pages_; }
  [[nodiscard]] std::uint32_t longest_free_run() const { return free_runs_.longest(); }
  [[nodiscard]] std::uint64_t decommits_refused() const { return decommits_refused_; }

  [[nodiscard]] bool check_invariants() const;

 private:
  [[nodiscard]] Span* find(std::uint32_t pages, std::uint32_t align_pages) const;
  [[nodiscard]] os::Result<Span*> make_region(Heap* heap);
  // Whether nothing in the region is used.
  [[nodiscard]] static bool is_empty(Region* region) {
    const Span* const first = region->span_starting_at(0);
    return first->kind == SpanKind::kFree && first->pages.count == kDataPages;
  }
  // Decommits what is committed of a free run that has left idle_. False if the kernel refused some of it.
  [[nodiscard]] bool decommit(Span* run, std::size_t& bytes);
  void unlink(Region* region);
  void add_free(Span* span);
  void remove_free(Span* span);
  // A commit may have reached into this free run: it is to be looked at again.
  void watch(Span* span);

  Region* regions_;
  std::size_t region_count_;
  std::uint64_t free_pages_;
  std::uint64_t now_;
  std::uint64_t decommits_refused_;
  bool keep_addresses_;
  IdleRuns idle_;
  FreeRuns free_runs_;
};

template <typename MayRelease>
std::size_t DynamicBucket::decommit_idle(std::uint64_t before, std::uint32_t least_pages, bool keep_region,
                                         MayRelease may_release) {
  std::size_t bytes = 0;
  if (!keep_region) {
    // First those that an earlier call has kept, which wait in no list.
    for (Region* region = regions_; region != nullptr;) {
      Region* const next = region->next;
      if (is_empty(region) && may_release(region)) bytes += release_empty(region);
      region = next;
    }
  }
  IdleRuns postponed{};
  for (Span* run = idle_.oldest(); run != nullptr && run->freed_at <= before; run = idle_.oldest()) {
    Region* const region = region_of(run);
    idle_.remove(run);
    const bool whole_region = run->pages.count == kDataPages && (!keep_region || region_count_ > 1);
    if (whole_region && may_release(region)) {
      bytes += release_empty(region);
      continue;
    }
    const bool too_short = run->pages.count < least_pages;
    if (too_short || !decommit(run, bytes) || whole_region) postponed.append(run, now_);
  }
  while (Span* const run = postponed.oldest()) {
    postponed.remove(run);
    idle_.append(run, now_);
  }
  return bytes;
}

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_DYNAMIC_BUCKET_H_
