// 64 MiB of addresses taken with one call and cut into spans. Here a region is made, its pages are committed and
// decommitted, and it is given back; which span serves what is decided above, in bucket.h and dynamic_bucket.h.
#ifndef OFFHEAP_HEAP_REGION_H_
#define OFFHEAP_HEAP_REGION_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "heap/page_bits.h"
#include "heap/reservation.h"
#include "heap/span.h"
#include "heap/types.h"

namespace offheap::heap {

// Lies at the start of its own reservation, followed by its pool of span records. Belongs to the owner thread of its
// heap; other threads read `head`, span_of_page and the spans of live blocks, and count themselves in
// remote_frees_in_flight while they do, so that the owner does not unmap the ground under them.
//
// Always true: the spans with pages tile [0, kDataPages) in address order; span_of_page names the span of its first
// and its last page, and for bucket spans of every page between (other entries are leftovers, which span_at sees
// through); a committed page that is not dirty reads zero; a page that is not committed is not touched; `committed`
// and `given_back` hold whole pages of the kernel's, which may be 4 or 16 of these pages.
struct Region {
  ReservationHead head{};
  Region* next = nullptr;
  Region* previous = nullptr;
  std::atomic<std::uint32_t> remote_frees_in_flight{0};

  std::uint32_t committed_pages = 0;
  std::uint32_t committed_metadata = 0;  // bytes
  std::uint32_t spans_made = 0;          // records of the pool in use or in unused_spans
  std::uint32_t spans_unused = 0;
  bool metadata_is_zero = true;  // beyond committed_metadata, once committed
  Span* unused_spans = nullptr;  // linked by `next`

  PageBits committed{};
  PageBits dirty{};  // may read other than zero
  // Not committed but accessible: discarded after use. Whoever still holds their address may have written to them
  // since, so they are dirty when they are committed again.
  PageBits given_back{};
  std::array<std::uint16_t, kDataPages> span_of_page{};

  // A new region of `heap`, entered in the region map, that is one free run. With it comes the one span that covers
  // it, which is in no list yet.
  [[nodiscard]] static os::Result<Region*> make(Heap* heap);
  // Takes the region out of the map and gives its addresses back. None of its blocks is live.
  static void release(Region* region);

  [[nodiscard]] std::byte* start() { return reinterpret_cast<std::byte*>(this); }
  [[nodiscard]] std::byte* address_of(std::uint32_t page) { return start() + kRegionMetadataBytes + bytes_of(page); }
  [[nodiscard]] std::byte* address_of(const Span& span) { return address_of(span.pages.first); }

  // The span that holds the byte at `address`, which lies in this region; null in the metadata and in spans that are
  // not in use. Free spans and the inside of dynamic blocks may answer null too.
  [[nodiscard]] Span* span_at(const std::byte* address);
  // The span that starts at `page` or ends just before it, for the neighbours of a span; `page` is in range.
  [[nodiscard]] Span* span_starting_at(std::uint32_t page) { return span_record(span_of_page[page]); }
  [[nodiscard]] Span* span_ending_before(std::uint32_t page) { return span_record(span_of_page[page - 1]); }

  // Makes sure the pool has `count` unused records, committing metadata as needed.
  [[nodiscard]] os::Result<Done> provide_spans(std::uint32_t count);
  // A record from the pool, with the pages given; provide_spans() came before.
  [[nodiscard]] Span* take_span(PageRange pages, SpanKind kind);
  // Back to the pool.
  void drop_span(Span* span);
  // Writes span_of_page for the first and last page of the span.
  void mark_ends(const Span& span);
  // Writes span_of_page for every page of the span.
  void mark_all(const Span& span);

  // Makes the pages accessible. Commits a larger step than asked where the pages after were never used, so that a
  // growing heap makes few calls.
  [[nodiscard]] os::Result<Done> commit(PageRange pages);
  struct Decommitted {
    std::uint32_t pages = 0;
    std::uint32_t refusals = 0;
  };
  // Gives the memory of the committed pages among `pages` back, as far as the kernel agrees.
  Decommitted decommit(PageRange pages);
  // Whether there is a whole page of the kernel's among `pages` that is committed.
  [[nodiscard]] bool can_decommit(PageRange pages) const;
  // Whether `committed` and `given_back` hold whole pages of the kernel's, as they always do.
  [[nodiscard]] bool holds_whole_os_pages() const;
  // Clears what may not be zero in [start, start + bytes), which is committed.
  void zero(std::byte* start, std::size_t bytes);

 private:
  // Pages that are committed, or need not be, come into use.
  void mark_committed(PageRange pages);
  // The first page in [from, end) that has to be committed before it is used, or `end`.
  [[nodiscard]] std::uint32_t first_to_commit(std::uint32_t from, std::uint32_t end) const;
  [[nodiscard]] Span* span_pool();
  [[nodiscard]] Span* span_record(std::uint16_t index) { return span_pool() + index; }
  [[nodiscard]] std::uint16_t index_of(const Span* span) { return static_cast<std::uint16_t>(span - span_pool()); }
};

inline Span* Region::span_pool() { return reinterpret_cast<Span*>(start() + round_up(sizeof(Region), alignof(Span))); }

static_assert(kDataPages <= 1U << 16, "span_of_page holds 16 bits");

[[nodiscard]] inline Region* region_of(Span* span) {
  return reinterpret_cast<Region*>(reinterpret_cast<std::uintptr_t>(span) & ~(kRegionBytes - 1));
}

[[nodiscard]] inline std::byte* start_of(Span* span) { return region_of(span)->address_of(*span); }

inline Span* Region::span_at(const std::byte* address) {
  const auto offset = static_cast<std::size_t>(address - start());
  if (offset < kRegionMetadataBytes) return nullptr;
  const auto page = static_cast<std::uint32_t>((offset - kRegionMetadataBytes) >> kPageShift);
  Span* const span = span_record(span_of_page[page]);
  // Entries inside a run may be left over from an earlier span; then the record they name does not cover the page.
  return span->contains_page(page) ? span : nullptr;
}

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_REGION_H_
