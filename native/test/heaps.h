// Helpers for tests that use a heap: one that destroys itself, blocks that know their contents, random numbers.
#ifndef OFFHEAP_TEST_HEAPS_H_
#define OFFHEAP_TEST_HEAPS_H_

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <set>
#include <vector>

#include "heap/heap.h"
#include "os/calls.h"
#include "test/check.h"

namespace offheap::test {

using heap::Block;
using heap::Fill;
using heap::Heap;
using heap::Layout;
using heap::Options;
using heap::Refusal;
using heap::SpanKind;
using heap::Statistics;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;

[[nodiscard]] inline Layout layout(std::size_t size, std::size_t align = heap::kDefaultAlign) {
  const auto made = Layout::of(size, align);
  CHECK(made.has_value());
  return *made;
}

// Owns a heap and destroys it.
class OwnHeap {
 public:
  explicit OwnHeap(const Options& options = {}) {
    const auto made = Heap::create(options);
    CHECK(made.ok());
    heap_ = made.value();
  }
  ~OwnHeap() { Heap::destroy(heap_); }
  OwnHeap(const OwnHeap&) = delete;
  OwnHeap& operator=(const OwnHeap&) = delete;

  [[nodiscard]] Heap* operator->() const { return heap_; }
  [[nodiscard]] Heap& operator*() const { return *heap_; }
  [[nodiscard]] Heap* get() const { return heap_; }

 private:
  Heap* heap_ = nullptr;
};

// Small and good enough to spread tests: xorshift64* (Vigna 2016).
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed != 0 ? seed : 1) {}

  [[nodiscard]] std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }
  // 0 to bound - 1.
  [[nodiscard]] std::size_t below(std::size_t bound) { return static_cast<std::size_t>((next() >> 11) % bound); }
  [[nodiscard]] bool one_in(std::size_t chances) { return below(chances) == 0; }
  // Every power of two range below 2^max_log as likely as any other.
  [[nodiscard]] std::size_t log_uniform(unsigned max_log) {
    const std::size_t base = std::size_t{1} << below(max_log);
    return base + below(base);
  }

 private:
  std::uint64_t state_;
};

// A pattern that differs at every 8 bytes and for every seed, so that bytes of one block are not those of another.
inline void fill_pattern(std::byte* start, std::size_t bytes, std::uint64_t seed, std::size_t from = 0) {
  for (std::size_t offset = from; offset < bytes; ++offset) {
    const std::uint64_t word = (seed + offset / 8) * 0x9E3779B97F4A7C15ULL;
    if (offset % 8 == 0 && bytes - offset >= 8) {
      std::memcpy(start + offset, &word, 8);
      offset += 7;
      continue;
    }
    start[offset] = static_cast<std::byte>(word >> (offset % 8 * 8));
  }
}

// The first byte that is not the pattern's, or `bytes`.
[[nodiscard]] inline std::size_t pattern_ends(const std::byte* start, std::size_t bytes, std::uint64_t seed) {
  for (std::size_t offset = 0; offset < bytes; ++offset) {
    const std::uint64_t word = (seed + offset / 8) * 0x9E3779B97F4A7C15ULL;
    if (offset % 8 == 0 && bytes - offset >= 8) {
      if (std::memcmp(start + offset, &word, 8) == 0) {
        offset += 7;
        continue;
      }
    }
    if (start[offset] != static_cast<std::byte>(word >> (offset % 8 * 8))) return offset;
  }
  return bytes;
}

[[nodiscard]] inline bool has_pattern(const std::byte* start, std::size_t bytes, std::uint64_t seed) {
  return pattern_ends(start, bytes, seed) == bytes;
}

[[nodiscard]] inline bool is_zero(const std::byte* start, std::size_t bytes) {
  return bytes == 0 || (start[0] == std::byte{0} && std::memcmp(start, start + 1, bytes - 1) == 0);
}

// A block together with what was asked for, so that tests can free it and look at its contents.
struct Held {
  std::byte* address = nullptr;
  std::size_t size = 0;
  std::size_t usable = 0;
  std::uint64_t seed = 0;

  [[nodiscard]] bool intact() const { return has_pattern(address, size, seed); }
};

// Allocates and fills.
[[nodiscard]] inline Held hold(Heap& heap, std::size_t size, std::size_t align = heap::kDefaultAlign,
                               Fill fill = Fill::kAnything) {
  static std::uint64_t seeds = 0;
  const auto made = heap.allocate(layout(size, align), fill);
  CHECK(made.ok());
  const Block block = made.value();
  CHECK(heap::is_aligned(block.address, align));
  CHECK(block.usable >= size);
  if (fill == Fill::kZero) CHECK(is_zero(block.address, size));
  seeds += 1'000'003;
  fill_pattern(block.address, size, seeds);
  return {block.address, size, block.usable, seeds};
}

// Checks the contents and frees.
inline void drop(Heap& heap, const Held& held) {
  CHECK(held.intact());
  CHECK(heap.free(held.address, held.size).ok());
}

[[nodiscard]] inline std::uint64_t kernel_calls() {
  const auto counts = os::call_counts();
  return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
}

[[nodiscard]] inline std::uint64_t kernel_calls(os::Call call) {
  return os::call_counts()[static_cast<std::size_t>(call)];
}

// What the kernel backs at least while these blocks live: bytes of its pages that one of them touches, each page once.
// With pages of 4 KiB that is what the blocks of the dynamic bucket can hold.
template <typename Blocks>
[[nodiscard]] std::size_t bytes_of_touched_pages(const Blocks& blocks) {
  const std::uintptr_t page = os::page_size();
  std::set<std::uintptr_t> pages;
  for (const auto& held : blocks) {
    const auto start = reinterpret_cast<std::uintptr_t>(held.address);
    for (std::uintptr_t at = start / page; at * page < start + held.size; ++at) pages.insert(at);
  }
  return pages.size() * page;
}

// What the kernel can take back when these blocks are freed, and no block beside them: bytes of its pages that lie
// within one of them.
template <typename Blocks>
[[nodiscard]] std::size_t bytes_of_whole_pages(const Blocks& blocks) {
  const std::uintptr_t page = os::page_size();
  std::size_t bytes = 0;
  for (const auto& held : blocks) {
    const auto start = reinterpret_cast<std::uintptr_t>(held.address);
    const std::uintptr_t first = (start + page - 1) / page;
    const std::uintptr_t end = (start + heap::round_up(held.size, heap::kPageBytes)) / page;
    if (end > first) bytes += (end - first) * page;
  }
  return bytes;
}

// A span as pictures show it.
struct SpanView {
  SpanKind kind;
  std::uint32_t pages;
  std::uint32_t used;
  bool operator==(const SpanView&) const = default;
};

[[nodiscard]] inline std::vector<SpanView> spans_of(const Heap& heap) {
  std::vector<SpanView> spans;
  heap.for_each_span([&](const heap::Region&, const heap::Span& span) {
    spans.push_back({span.kind, span.pages.count, span.kind == SpanKind::kBucket ? span.used : 0});
  });
  return spans;
}

}  // namespace offheap::test

#endif  // OFFHEAP_TEST_HEAPS_H_
