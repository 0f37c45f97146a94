// The map of the heap: its nouns, how they nest, and the numbers they are built on. Start here.
//
//   Heap ─┬─ Bucket[]        one per size class ──── Span (bucket) ── cells, free list
//         ├─ DynamicBucket   page runs, best fit ─┬─ Span (dynamic) ─ one block
//         │                                       └─ Span (free)
//         ├─ HugeBlock[]     a reservation each
//         └─ Region[]        64 MiB of addresses each, 64 MiB-aligned
//
//   address ──(>> 26)──> RegionMap ──> Region ──(page number)──> Span ──(multiply, shift)──> cell
//
// A region, with the default numbers:
//
//   0                    6 MiB                                                        64 MiB
//   ├──────────┬─────────┼────────────────────────────────────────────────────────────┤
//   │ metadata │ no      │ 14,848 pages of 4 KiB: runs of pages, each run one span,   │
//   │ (grows)  │ access  │ side by side with no gap and no header                     │
//   └──────────┴─────────┴────────────────────────────────────────────────────────────┘
//
// Metadata and blocks share no page, and the rest of the 6 MiB lies between them without access: a write past the
// end of one cannot reach the other.
//
// Always true, after every operation (heap/invariants.cc checks it, debug builds after each one):
//   - the spans of a region tile its pages exactly, in address order: sum(span.pages) == kDataPages
//   - no two neighbouring spans are both free
//   - bucket span: used + free_list.count() == cells; it is in its bucket's list if and only if free_list is not empty
//   - a free span is in the index of free runs under its length, and nowhere else
//   - a block's address is a multiple of its alignment, and its span holds at least the bytes asked for
//   - committed bytes == 4 KiB x the pages marked committed, over all regions, + committed metadata + huge blocks
#ifndef OFFHEAP_HEAP_TYPES_H_
#define OFFHEAP_HEAP_TYPES_H_

#include <cstddef>
#include <cstdint>

#include "os/pages.h"
#include "os/result.h"

namespace offheap::heap {

// The heap's own page. Kernels with 16 or 64 KiB pages commit several of these at once (see Region::commit).
inline constexpr unsigned kPageShift = 12;
inline constexpr std::size_t kPageBytes = std::size_t{1} << kPageShift;

inline constexpr unsigned kRegionShift = 26;
inline constexpr std::size_t kRegionBytes = std::size_t{1} << kRegionShift;
// Room for the header and for one Span per page, the most there can be, so that splitting a run never fails for want
// of metadata. A multiple of 2 MiB keeps blocks on huge-page boundaries.
inline constexpr std::size_t kRegionMetadataBytes = std::size_t{6} << 20;
inline constexpr std::uint32_t kDataPages = (kRegionBytes - kRegionMetadataBytes) >> kPageShift;

// Blocks above this have a reservation of their own: a quarter of a region still fits several to a region.
inline constexpr std::size_t kMaxDynamicBytes = std::size_t{16} << 20;
// Alignments above this would waste most of a region; such blocks have a reservation of their own.
inline constexpr std::size_t kMaxDynamicAlign = std::size_t{16} << 20;
inline constexpr std::size_t kMaxAlign = kRegionBytes;

// Largest size that may be asked for: what JavaScript can count exactly. The kernel refuses long before; no sum of
// this and a few regions wraps.
inline constexpr std::size_t kMaxBlockBytes = std::size_t{1} << 53;

// Cells of one span: what FreeList has bits for.
inline constexpr std::uint32_t kMaxCells = 1024;

// When free pages go back to the kernel. A heap that nobody used for a while gives back all that has been free this
// long: mimalloc waits 10 ms to 1 s, jemalloc 10 s; a second is short for a person who watches RSS.
inline constexpr std::uint64_t kDecayMilliseconds = 1000;
// A heap at work gives back only long runs that have been free for long. Short ones come and go between best fits, and
// giving them back would cost a system call and the page faults that follow, each time.
inline constexpr std::uint64_t kBusyDecayMilliseconds = 10'000;
inline constexpr std::uint32_t kBusyDecayPages = 64;

class Heap;
struct Region;
struct Span;
struct HugeBlock;

// Pages that hold `bytes`.
[[nodiscard]] constexpr std::uint32_t pages_for(std::size_t bytes) {
  return static_cast<std::uint32_t>((bytes + kPageBytes - 1) >> kPageShift);
}

[[nodiscard]] constexpr std::size_t bytes_of(std::uint32_t pages) { return std::size_t{pages} << kPageShift; }

[[nodiscard]] constexpr std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) & ~(unit - 1);
}

[[nodiscard]] inline bool is_aligned(const void* address, std::size_t align) {
  return (reinterpret_cast<std::uintptr_t>(address) & (align - 1)) == 0;
}

// Why a request was refused. The heap is as it was before the request.
enum class Refusal : std::uint8_t {
  kOutOfMemory,  // the kernel said no; `os` says what
  kLimit,        // the heap's own limit
  kClosed,       // the heap hands out no more blocks
  kFreed,        // the block was freed before
  kForeign,      // the address is not the start of a block of this heap
  kOutOfRange,   // the layout cannot be served by any heap
};

struct Failure {
  Refusal reason = Refusal::kOutOfRange;
  std::size_t asked = 0;   // bytes
  std::size_t in_use = 0;  // bytes, for kLimit
  std::size_t limit = 0;   // bytes, for kLimit
  os::Error os{};          // for kOutOfMemory
};

template <typename Value>
using Result = offheap::Result<Value, Failure>;

// A block handed out. The caller owns its bytes until it gives the address back.
struct Block {
  std::byte* address = nullptr;
  std::size_t usable = 0;  // bytes that may be written, at least what was asked for
  bool zeroed = false;     // every usable byte reads zero
};

// What a new block, or the new part of a grown one, reads as.
enum class Fill : std::uint8_t { kAnything, kZero };

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_TYPES_H_
