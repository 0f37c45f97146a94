#include "heap/region.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "heap/poison.h"
#include "heap/region_map.h"

namespace offheap::heap {

namespace {

// Commit at least this much at once, doubling with the region, up to the larger: about ten calls for a whole region.
constexpr std::uint32_t kMinCommitPages = pages_for(std::size_t{256} << 10);
constexpr std::uint32_t kMaxCommitPages = pages_for(std::size_t{16} << 20);

// Span records are committed this many bytes at first, then as many as there are. A multiple of every page size.
constexpr std::size_t kMetadataStep = std::size_t{64} << 10;

constexpr std::size_t kSpanPoolOffset = round_up(sizeof(Region), alignof(Span));

// Where metadata ends when there is a span record for every page, and one to spare.
constexpr std::size_t kMetadataEnd =
    round_up(kSpanPoolOffset + sizeof(Span) * (std::size_t{kDataPages} + 1), kMetadataStep);

// The heap's pages in one of the kernel's.
[[nodiscard]] std::uint32_t pages_per_os_page() { return pages_for(os::page_size()); }

// The pages of those of the kernel's that hold some of `pages`: what the kernel commits for them.
[[nodiscard]] PageRange os_pages_around(PageRange pages) {
  const std::uint32_t unit = pages_per_os_page();
  const std::uint32_t from = pages.first / unit * unit;
  return {from, (pages.end() + unit - 1) / unit * unit - from};
}

// The pages of those of the kernel's that hold nothing but some of `pages`, which may be none: what the kernel takes
// back of them.
[[nodiscard]] PageRange os_pages_within(PageRange pages) {
  const std::uint32_t unit = pages_per_os_page();
  const std::uint32_t from = (pages.first + unit - 1) / unit * unit;
  const std::uint32_t end = pages.end() / unit * unit;
  return {from, end > from ? end - from : 0};
}

}  // namespace

static_assert(kMetadataEnd < kRegionMetadataBytes, "no access between the last span record and the first block");
static_assert(kRegionMetadataBytes % kMetadataStep == 0 && bytes_of(kDataPages) % kMetadataStep == 0,
              "the pages of a region are whole pages of the kernel's, whatever their size");

os::Result<Region*> Region::make(Heap* heap) {
  const auto range = take_address_space(kRegionBytes, ReservationKind::kRegion);
  if (!range.ok()) return range.error();
  std::byte* const start = range.value().start;
  // The header and the first span records.
  constexpr std::size_t kFirstStep = round_up(kSpanPoolOffset, kMetadataStep) + kMetadataStep;
  const auto committed = os::commit(start, kFirstStep);
  if (!committed.ok()) {
    give_back_address_space(start, kRegionBytes);
    return committed.error();
  }
  if (!range.value().pristine) std::memset(start, 0, kFirstStep);
  // Not `Region{}`: that would touch every page of the arrays, which the kernel has zeroed already.
  auto* const region = reinterpret_cast<Region*>(start);
  new (&region->head) ReservationHead{heap, kRegionBytes, ReservationKind::kRegion};
  region->committed_metadata = static_cast<std::uint32_t>(kFirstStep);
  region->metadata_is_zero = range.value().pristine;
  if (!range.value().pristine) region->dirty.set({0, kDataPages});
  const auto entered = region_map::enter(&region->head);
  if (!entered.ok()) {
    give_back_address_space(start, kRegionBytes);
    return entered.error();
  }
  region->mark_ends(*region->take_span({0, kDataPages}, SpanKind::kFree));
  return region;
}

void Region::release(Region* region) {
  region_map::remove(&region->head);
  // Whoever gets these addresses next starts without poison. Pages that are not committed have none.
  for (PageRange run = region->committed.next_set_run(0, kDataPages); run.count > 0;
       run = region->committed.next_set_run(run.end(), kDataPages)) {
    poison::lift(region->address_of(run.first), bytes_of(run.count));
  }
  const bool keep = region->head.keep_addresses;
  (keep ? park_address_space : give_back_address_space)(region->start(), kRegionBytes, ReservationKind::kRegion);
}

os::Result<Done> Region::provide_spans(std::uint32_t count) {
  // take_span() makes records at the end of the pool too; those it can make without a commit count as provided.
  const std::size_t needed = kSpanPoolOffset + sizeof(Span) * (std::size_t{spans_made} + count);
  if (spans_unused >= count || needed <= committed_metadata) return Done{};
  const std::size_t step = std::min<std::size_t>(committed_metadata, kMetadataEnd - committed_metadata);
  const auto more = os::commit(start() + committed_metadata, step);
  if (!more.ok()) return more;
  // Address space that was refused by the kernel before may come back with old records in it.
  if (!metadata_is_zero) std::memset(start() + committed_metadata, 0, step);
  committed_metadata += static_cast<std::uint32_t>(step);
  return Done{};
}

Span* Region::take_span(PageRange pages, SpanKind kind) {
  Span* span = unused_spans;
  if (span != nullptr) {
    unused_spans = span->next;
    --spans_unused;
  } else {
    span = span_pool() + spans_made;
    ++spans_made;
  }
  span->pages = pages;
  span->kind = kind;
  span->next = nullptr;
  span->previous = nullptr;
  return span;
}

void Region::drop_span(Span* span) {
  span->kind = SpanKind::kUnused;
  span->pages = {};
  span->next = unused_spans;
  unused_spans = span;
  ++spans_unused;
}

void Region::mark_ends(const Span& span) {
  const std::uint16_t index = index_of(&span);
  span_of_page[span.pages.first] = index;
  span_of_page[span.pages.end() - 1] = index;
}

void Region::mark_all(const Span& span) {
  std::fill_n(span_of_page.begin() + span.pages.first, span.pages.count, index_of(&span));
}

std::uint32_t Region::first_to_commit(std::uint32_t from, std::uint32_t end) const {
  std::uint32_t page = committed.first_clear(from, end);
  if (os::kDiscardedNeedCommit) return page;
  while (page < end && given_back.test(page)) page = committed.first_clear(given_back.first_clear(page, end), end);
  return page;
}

os::Result<Done> Region::commit(PageRange pages) {
  if (committed.all(pages)) return Done{};
  const std::uint32_t first = first_to_commit(pages.first, pages.end());
  if (first < pages.end()) {
    const std::uint32_t step = std::clamp(committed_pages, kMinCommitPages, kMaxCommitPages);
    const std::uint32_t wanted = std::min(kDataPages, std::max(pages.end(), first + step));
    // Not beyond the next accessible page, unless it is one of those asked for.
    const std::uint32_t ahead = std::min(pages.end(), wanted);
    const std::uint32_t end =
        std::max(pages.end(), std::min(committed.first_set(ahead, wanted), given_back.first_set(ahead, wanted)));
    PageRange range = os_pages_around({first, end - first});
    auto answer = os::commit(address_of(range.first), bytes_of(range.count));
    if (!answer.ok() && end > pages.end()) {
      // A kernel that has no room for the larger step may have some for what was asked.
      range = os_pages_around({first, pages.end() - first});
      answer = os::commit(address_of(range.first), bytes_of(range.count));
    }
    if (!answer.ok()) return answer;
    mark_committed(range);
  }
  // Pages beside these come into use with them where they share a page of the kernel's that was given back: it takes
  // that page back as a whole or not at all. They are free, or it would not have been given back.
  mark_committed(os_pages_around(pages));
  return Done{};
}

void Region::mark_committed(PageRange pages) {
  committed_pages += pages.count - committed.count(pages);
  committed.set(pages);
  for (PageRange run = given_back.next_set_run(pages.first, pages.end()); run.count > 0;
       run = given_back.next_set_run(run.end(), pages.end())) {
    dirty.set(run);
  }
  given_back.clear(pages);
}

Region::Decommitted Region::decommit(PageRange pages) {
  Decommitted done;
  for (PageRange run = committed.next_set_run(pages.first, pages.end()); run.count > 0;
       run = committed.next_set_run(run.end(), pages.end())) {
    const PageRange whole = os_pages_within(run);
    if (whole.count == 0) continue;
    std::byte* const address = address_of(whole.first);
    poison::lift(address, bytes_of(whole.count));
    if (os::discard(address, bytes_of(whole.count)).ok()) {
      committed.clear(whole);
      dirty.clear(whole);
      given_back.set(whole);
      committed_pages -= whole.count;
      done.pages += whole.count;
      continue;
    }
    ++done.refusals;
  }
  return done;
}

bool Region::can_decommit(PageRange pages) const {
  for (PageRange run = committed.next_set_run(pages.first, pages.end()); run.count > 0;
       run = committed.next_set_run(run.end(), pages.end())) {
    if (os_pages_within(run).count > 0) return true;
  }
  return false;
}

bool Region::holds_whole_os_pages() const {
  for (const PageBits* pages : {&committed, &given_back}) {
    for (PageRange run = pages->next_set_run(0, kDataPages); run.count > 0;
         run = pages->next_set_run(run.end(), kDataPages)) {
      if (os_pages_around(run) != run) return false;
    }
  }
  return true;
}

void Region::zero(std::byte* from, std::size_t bytes) {
  const auto offset = static_cast<std::size_t>(from - address_of(0));
  const std::size_t end = offset + bytes;
  const std::uint32_t end_page = pages_for(end);
  for (PageRange run = dirty.next_set_run(static_cast<std::uint32_t>(offset >> kPageShift), end_page); run.count > 0;
       run = dirty.next_set_run(run.end(), end_page)) {
    const std::size_t first = std::max(offset, bytes_of(run.first));
    const std::size_t last = std::min(end, bytes_of(run.end()));
    std::memset(address_of(0) + first, 0, last - first);
  }
}

}  // namespace offheap::heap
