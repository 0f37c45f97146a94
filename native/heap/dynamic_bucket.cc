#include "heap/dynamic_bucket.h"

#include <cstring>

#include "heap/poison.h"

namespace offheap::heap {

namespace {

constexpr std::uint32_t kMetadataPages = pages_for(kRegionMetadataBytes);

// The first page at or after `page` whose address is a multiple of `align_pages` pages. Regions are aligned to more
// than any alignment asked for here, so page numbers from the region's start tell.
constexpr std::uint32_t align_page_up(std::uint32_t page, std::uint32_t align_pages) {
  return ((page + kMetadataPages + align_pages - 1) & ~(align_pages - 1)) - kMetadataPages;
}

constexpr std::uint32_t align_page_down(std::uint32_t page, std::uint32_t align_pages) {
  // May wrap below the first page; then the result is larger than any page.
  return ((page + kMetadataPages) & ~(align_pages - 1)) - kMetadataPages;
}

bool fits(const Span& run, std::uint32_t pages, std::uint32_t align_pages) {
  return align_page_up(run.pages.first, align_pages) + pages <= run.pages.end();
}

}  // namespace

void DynamicBucket::add_free(Span* span) {
  span->kind = SpanKind::kFree;
  free_runs_.insert(span);
  free_pages_ += span->pages.count;
}

void DynamicBucket::remove_free(Span* span) {
  free_runs_.remove(span);
  free_pages_ -= span->pages.count;
}

void DynamicBucket::watch(Span* span) {
  if (!idle_.contains(span)) idle_.append(span, now_);
}

Span* DynamicBucket::find(std::uint32_t pages, std::uint32_t align_pages) const {
  Span* const best = free_runs_.best_fit(pages);
  if (best == nullptr || fits(*best, pages, align_pages)) return best;
  // Any run this long contains an aligned one.
  return free_runs_.best_fit(pages + align_pages - 1);
}

os::Result<Span*> DynamicBucket::make_region(Heap* heap) {
  const auto made = Region::make(heap);
  if (!made.ok()) return made.error();
  Region* const region = made.value();
  region->head.keep_addresses = keep_addresses_;
  region->next = regions_;
  if (regions_ != nullptr) regions_->previous = region;
  regions_ = region;
  ++region_count_;
  Span* const run = region->span_starting_at(0);
  add_free(run);
  return run;
}

void DynamicBucket::unlink(Region* region) {
  (region->previous != nullptr ? region->previous->next : regions_) = region->next;
  if (region->next != nullptr) region->next->previous = region->previous;
  --region_count_;
}

os::Result<Span*> DynamicBucket::take(Heap* heap, std::uint32_t pages, std::uint32_t align_pages, SpanKind kind) {
  Span* run = find(pages, align_pages);
  const bool new_region = run == nullptr;
  if (new_region) {
    const auto made = make_region(heap);
    if (!made.ok()) return made;
    run = made.value();
  }
  Region* const region = region_of(run);
  const std::uint32_t first = align_page_up(run->pages.first, align_pages);
  const PageRange before{run->pages.first, first - run->pages.first};
  const PageRange body{first, pages};
  const PageRange after{body.end(), run->pages.end() - body.end()};

  // All that can fail comes first.
  auto ready = region->provide_spans((before.count > 0 ? 1 : 0) + (after.count > 0 ? 1 : 0));
  if (ready.ok()) ready = region->commit(body);
  if (!ready.ok()) {
    if (new_region) {
      remove_free(run);
      unlink(region);
      Region::release(region);
    }
    return ready.error();
  }

  remove_free(run);
  if (after.count > 0) {
    Span* const rest = region->take_span(after, SpanKind::kFree);
    idle_.insert_after(run, rest);
    region->mark_ends(*rest);
    add_free(rest);
    watch(rest);
  }
  Span* span = run;
  if (before.count > 0) {
    run->pages = before;
    region->mark_ends(*run);
    add_free(run);
    watch(run);
    span = region->take_span(body, kind);
  } else {
    idle_.remove(run);
    run->pages = body;
  }
  span->kind = kind;
  region->mark_ends(*span);
  return span;
}

Region* DynamicBucket::give(Span* span) {
  Region* const region = region_of(span);
  poison::lay(region->address_of(*span), bytes_of(span->pages.count));
  if (span->pages.first > 0) {
    Span* const left = region->span_ending_before(span->pages.first);
    if (left->kind == SpanKind::kFree) {
      remove_free(left);
      idle_.remove(left);
      span->pages = {left->pages.first, left->pages.count + span->pages.count};
      region->drop_span(left);
    }
  }
  if (span->pages.end() < kDataPages) {
    Span* const right = region->span_starting_at(span->pages.end());
    if (right->kind == SpanKind::kFree) {
      remove_free(right);
      idle_.remove(right);
      span->pages.count += right->pages.count;
      region->drop_span(right);
    }
  }
  region->mark_ends(*span);
  add_free(span);
  idle_.append(span, now_);
  return span->pages.count == kDataPages ? region : nullptr;
}

os::Result<Done> DynamicBucket::shrink(Span* span, std::uint32_t pages) {
  Region* const region = region_of(span);
  const auto ready = region->provide_spans(1);
  if (!ready.ok()) return ready;
  const PageRange tail{span->pages.first + pages, span->pages.count - pages};
  span->pages.count = pages;
  region->mark_ends(*span);
  Span* const rest = region->take_span(tail, SpanKind::kDynamic);
  region->mark_ends(*rest);
  give(rest);
  return Done{};
}

bool DynamicBucket::grow_into_next(Span* span, std::uint32_t pages) {
  Region* const region = region_of(span);
  if (span->pages.end() == kDataPages) return false;
  Span* const next = region->span_starting_at(span->pages.end());
  const std::uint32_t more = pages - span->pages.count;
  if (next->kind != SpanKind::kFree || next->pages.count < more) return false;
  if (!region->commit({next->pages.first, more}).ok()) return false;
  remove_free(next);
  if (next->pages.count == more) {
    idle_.remove(next);
    region->drop_span(next);
  } else {
    next->pages = {next->pages.first + more, next->pages.count - more};
    region->mark_ends(*next);
    add_free(next);
    watch(next);
  }
  span->pages.count = pages;
  region->mark_ends(*span);
  poison::lift(region->address_of(*span), bytes_of(pages));
  return true;
}

bool DynamicBucket::grow_into_previous(Span* span, std::uint32_t pages, std::uint32_t align_pages, std::size_t bytes) {
  Region* const region = region_of(span);
  if (span->pages.first == 0) return false;
  Span* const previous = region->span_ending_before(span->pages.first);
  if (previous->kind != SpanKind::kFree) return false;
  Span* next = span->pages.end() < kDataPages ? region->span_starting_at(span->pages.end()) : nullptr;
  if (next != nullptr && next->kind != SpanKind::kFree) next = nullptr;
  const std::uint32_t end = next != nullptr ? next->pages.end() : span->pages.end();
  if (end < pages) return false;
  const std::uint32_t first = align_page_down(end - pages, align_pages);
  if (first > end || first < previous->pages.first) return false;

  const PageRange body{first, pages};
  const PageRange before{previous->pages.first, first - previous->pages.first};
  const PageRange after{body.end(), end - body.end()};
  if (!region->provide_spans(1).ok() || !region->commit(body).ok()) return false;

  remove_free(previous);
  idle_.remove(previous);
  if (next != nullptr) {
    remove_free(next);
    idle_.remove(next);
    region->drop_span(next);
  }
  std::byte* const from = region->address_of(*span);
  std::byte* const to = region->address_of(first);
  poison::lift(to, bytes_of(end - first));
  std::memmove(to, from, bytes);
  region->dirty.set(body);
  span->pages = body;
  region->mark_ends(*span);
  if (before.count > 0) {
    previous->pages = before;
    region->mark_ends(*previous);
    add_free(previous);
    idle_.append(previous, now_);
  } else {
    region->drop_span(previous);
  }
  if (after.count > 0) {
    Span* const rest = region->take_span(after, SpanKind::kFree);
    region->mark_ends(*rest);
    add_free(rest);
    idle_.append(rest, now_);
  }
  return true;
}

bool DynamicBucket::decommit(Span* run, std::size_t& bytes) {
  const Region::Decommitted done = region_of(run)->decommit(run->pages);
  bytes += bytes_of(done.pages);
  decommits_refused_ += done.refusals;
  return done.refusals == 0;
}

std::size_t DynamicBucket::release_empty(Region* region) {
  const std::size_t bytes = bytes_of(region->committed_pages) + region->committed_metadata;
  Span* const run = region->span_starting_at(0);
  remove_free(run);
  idle_.remove(run);
  unlink(region);
  Region::release(region);
  return bytes;
}

void DynamicBucket::release_all() {
  while (regions_ != nullptr) {
    Region* const region = regions_;
    unlink(region);
    Region::release(region);
  }
}

std::size_t DynamicBucket::committed_bytes() const {
  std::size_t bytes = 0;
  for (const Region* region = regions_; region != nullptr; region = region->next) {
    bytes += bytes_of(region->committed_pages) + region->committed_metadata;
  }
  return bytes;
}

std::size_t DynamicBucket::metadata_bytes() const {
  std::size_t bytes = 0;
  for (const Region* region = regions_; region != nullptr; region = region->next) bytes += region->committed_metadata;
  return bytes;
}

}  // namespace offheap::heap
