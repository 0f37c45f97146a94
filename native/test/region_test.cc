#include "heap/region.h"

#include <algorithm>
#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::bytes_of;
using heap::kDataPages;
using heap::kPageBytes;
using heap::Region;
using heap::Span;
using os::Call;
namespace faults = os::faults;

namespace {

// A region without a heap around it.
class OwnRegion {
 public:
  OwnRegion() {
    const auto made = Region::make(nullptr);
    CHECK(made.ok());
    region_ = made.value();
  }
  ~OwnRegion() { Region::release(region_); }
  OwnRegion(const OwnRegion&) = delete;
  OwnRegion& operator=(const OwnRegion&) = delete;
  [[nodiscard]] Region* operator->() const { return region_; }
  [[nodiscard]] Region& operator*() const { return *region_; }

 private:
  Region* region_ = nullptr;
};

// The kernel's pages that hold these: what is committed for them.
[[nodiscard]] heap::PageRange whole_pages(heap::PageRange pages) {
  const std::size_t from = bytes_of(pages.first) / os::page_size() * os::page_size();
  const std::size_t end = heap::round_up(bytes_of(pages.end()), os::page_size());
  return {heap::pages_for(from), heap::pages_for(end - from)};
}

// Every pattern of lengths that adds up to a region.
void tile(Region& region, Random& random, std::uint32_t most) {
  Span* rest = region.span_starting_at(0);
  while (rest->pages.count > most) {
    CHECK(region.provide_spans(1).ok());
    const auto pages = static_cast<std::uint32_t>(1 + random.below(most));
    Span* const tail =
        region.take_span({rest->pages.first + pages, rest->pages.count - pages}, heap::SpanKind::kDynamic);
    rest->pages.count = pages;
    region.mark_ends(*rest);
    region.mark_ends(*tail);
    rest = tail;
  }
}

}  // namespace

TEST("a new region is one aligned run of free pages, none of them committed") {
  const OwnRegion region;
  CHECK(heap::is_aligned(region->start(), heap::kRegionBytes));
  CHECK_EQ(region->committed_pages, 0U);
  CHECK(region->committed.none({0, kDataPages}));
  CHECK(region->dirty.none({0, kDataPages}));
  const Span* const run = region->span_starting_at(0);
  CHECK(run == region->span_ending_before(kDataPages));
  CHECK(run->pages == (heap::PageRange{0, kDataPages}));
  CHECK(run->kind == heap::SpanKind::kFree);
}

TEST("a region's length is its metadata and its pages, each a multiple of 2 MiB") {
  CHECK_EQ(heap::kRegionMetadataBytes + bytes_of(kDataPages), heap::kRegionBytes);
  CHECK_EQ(heap::kRegionMetadataBytes % (2 * kMiB), 0U);
  CHECK_EQ(kDataPages, 14'848U);
}

TEST("a region has a span record for every page") {
  const OwnRegion region;
  Random random(1);
  tile(*region, random, 1);
  std::uint32_t spans = 0;
  for (std::uint32_t page = 0; page < kDataPages; ++page, ++spans) {
    const Span* const span = region->span_starting_at(page);
    CHECK(span->pages == (heap::PageRange{page, 1}));
    CHECK(region->span_at(region->address_of(page)) == span);
    CHECK(region->span_at(region->address_of(page) + kPageBytes - 1) == span);
  }
  CHECK_EQ(spans, kDataPages);
  CHECK(region->committed_metadata < heap::kRegionMetadataBytes);  // the rest is without access
  CHECK(reinterpret_cast<std::byte*>(region->span_starting_at(kDataPages - 1) + 1) <=
        region->start() + region->committed_metadata);
  CHECK(region->provide_spans(1).ok());
}

TEST("an address leads to its span or to none, never to another, however often the pages were cut anew") {
  const OwnRegion region;
  Random random(2);
  for (int round = 0; round < 5; ++round) {
    tile(*region, random, 40);
    for (std::uint32_t page = 0; page < kDataPages;) {
      Span* const span = region->span_starting_at(page);
      if (random.one_in(2)) region->mark_all(*span);
      CHECK(region->span_at(region->address_of(page)) == span);
      for (std::uint32_t inside = page; inside < span->pages.end(); ++inside) {
        Span* const found = region->span_at(region->address_of(inside));
        CHECK(found == span || found == nullptr);
      }
      page = span->pages.end();
    }
    // Merge everything again, with the leftovers of this round in place.
    Span* const whole = region->span_starting_at(0);
    for (std::uint32_t page = whole->pages.end(); page < kDataPages;) {
      Span* const span = region->span_starting_at(page);
      page = span->pages.end();
      region->drop_span(span);
    }
    whole->pages.count = kDataPages;
    region->mark_ends(*whole);
  }
  CHECK(region->span_at(region->start()) == nullptr);
  CHECK(region->span_at(region->start() + heap::kRegionMetadataBytes - 1) == nullptr);
}

TEST("a region commits in steps that double, and never asks for a page twice") {
  const OwnRegion region;
  const auto calls = kernel_calls(os::Call::kCommit);
  for (std::uint32_t page = 0; page < kDataPages; ++page) {
    CHECK(region->commit({page, 1}).ok());
    CHECK(region->committed.test(page));
    region->address_of(page)[0] = std::byte{1};
  }
  CHECK_EQ(region->committed_pages, kDataPages);
  CHECK(kernel_calls(os::Call::kCommit) - calls <= 14);
}

TEST("a step that the kernel refuses to commit is tried again as what was asked") {
  OwnRegion region;
  faults::fail(Call::kCommit, 1);
  CHECK(region->commit({10, 5}).ok());
  CHECK_EQ(faults::refused(), 1U);
  faults::clear();
  CHECK_EQ(region->committed_pages, whole_pages({10, 5}).count);
  CHECK(region->committed.all(whole_pages({10, 5})));
  faults::fail(Call::kCommit, 1, 2);
  CHECK_EQ(region->commit({20, 5}).error().call, Call::kCommit);
  faults::clear();
  CHECK_EQ(region->committed_pages, whole_pages({10, 5}).count);
}

TEST("decommitting a range touches only its committed pages and forgets that they were dirty") {
  const OwnRegion region;
  CHECK(region->commit({0, 64}).ok());
  const std::uint32_t committed = region->committed_pages;
  region->dirty.set({0, 64});
  const auto done = region->decommit({16, 16});
  CHECK_EQ(done.pages, 16U);
  CHECK_EQ(done.refusals, 0U);
  CHECK_EQ(region->committed_pages, committed - 16);
  CHECK(region->committed.none({16, 16}) && region->dirty.none({16, 16}));
  CHECK(region->committed.all({0, 16}) && region->dirty.all({32, 32}));
  // What stayed accessible comes back by the kernel's pages, with no call where none is needed, and is not believed to
  // read zero: somebody who still had the address may have written to it.
  region->address_of(16)[7] = std::byte{1};
  const auto calls = kernel_calls();
  CHECK(region->commit({16, 1}).ok());
  CHECK_EQ(kernel_calls() - calls, os::kDiscardedNeedCommit ? 1U : 0U);
  const heap::PageRange back = whole_pages({16, 1});
  CHECK_EQ(region->committed_pages, committed - 16 + back.count);
  CHECK(region->dirty.all(back) && region->committed.all(back));
  CHECK(region->committed.none({back.end(), 32 - back.end()}));
}

TEST("pages that share one of the kernel's come into use together and are given back together, in any order") {
  OwnRegion region;
  Random random(3);
  const std::uint32_t unit = heap::pages_for(os::page_size());
  constexpr std::uint32_t kPages = 256;
  std::vector<bool> used(kPages);
  for (int round = 0; round < 20'000; ++round) {
    const auto first = static_cast<std::uint32_t>(random.below(kPages));
    const auto count = static_cast<std::uint32_t>(1 + random.below(std::min(40U, kPages - first)));
    const auto end = used.begin() + first + count;
    if (random.one_in(2)) {
      CHECK(region->commit({first, count}).ok());
      std::fill(used.begin() + first, end, true);
      for (std::uint32_t page = first; page < first + count; ++page) CHECK(region->committed.test(page));
    } else if (std::find(used.begin() + first, end, true) == end) {
      const std::uint32_t before = region->committed_pages;
      const auto done = region->decommit({first, count});
      CHECK_EQ(done.pages % unit, 0U);
      CHECK_EQ(region->committed_pages, before - done.pages);
      CHECK(!region->can_decommit({first, count}));
    } else {
      std::fill(used.begin() + first, end, false);
    }
    CHECK_EQ(region->committed_pages, region->committed.count({0, kDataPages}));
    CHECK(region->holds_whole_os_pages());
  }
  // Nobody uses any, so all of them go back, whatever was used before.
  (void)region->decommit({0, kDataPages});
  CHECK_EQ(region->committed_pages, 0U);
}

TEST("zeroing a range clears the dirty pages in it and no byte beside it") {
  const OwnRegion region;
  CHECK(region->commit({0, 32}).ok());
  std::byte* const start = region->address_of(0);
  fill_pattern(start, 32 * kPageBytes, 5);
  region->dirty.set({0, 8});
  region->dirty.set({16, 16});
  region->zero(start + 100, 30 * kPageBytes);
  CHECK(has_pattern(start, 96, 5));
  CHECK(is_zero(start + 100, 8 * kPageBytes - 100));
  CHECK(!is_zero(start + 8 * kPageBytes, 8 * kPageBytes));  // said to be clean: not touched
  CHECK(is_zero(start + 16 * kPageBytes, 14 * kPageBytes + 100));
  CHECK(!is_zero(start + 30 * kPageBytes + 100, 8));
}

}  // namespace offheap::test
