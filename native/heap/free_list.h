// The free cells of one span, as two levels of bits kept apart from the cells:
//
//   summary   0b...0110              bit w: word w has a free cell
//   words     [0] 0  [1] 1<<5  [2] 1<<63 | 1<<2 ...       bit b of word w: cell 64 w + b is free
//
// Links through the free blocks themselves would save these 128 bytes a span, but JavaScript can start an fs.read into
// a block and free the block while the kernel is still writing: the late write would land on a link, and the next
// allocation would follow it out of the heap. Here nothing a freed block contains is ever read. The same bits refuse a
// second free, and taking the lowest cell first keeps blocks together, so that whole pages fall free.
#ifndef OFFHEAP_HEAP_FREE_LIST_H_
#define OFFHEAP_HEAP_FREE_LIST_H_

#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "heap/types.h"

namespace offheap::heap {

// Owned by a span; changed only by the heap's owner thread. is_free() may be asked by any thread about a cell that is
// live: that cell's bit does not change meanwhile, though its neighbours' do, hence the relaxed atomics (plain moves
// on every machine we build for).
// Always true: bit w of summary_ is set if and only if words_[w] is not 0; no bit at or beyond the cell count is set.
class FreeList {
 public:
  static constexpr std::uint32_t kWords = kMaxCells / 64;

  // Cells 0 to cells - 1 are free, and no others.
  void fill(std::uint32_t cells) {
    assert(cells > 0 && cells <= kMaxCells);
    summary_ = 0;
    for (std::uint32_t word = 0; word < kWords; ++word) {
      const std::uint32_t first = word * 64;
      const std::uint64_t bits = cells >= first + 64 ? ~std::uint64_t{0}
                                 : cells > first     ? (std::uint64_t{1} << (cells - first)) - 1
                                                     : 0;
      store(word, bits);
      if (bits != 0) summary_ |= 1U << word;
    }
  }

  [[nodiscard]] bool empty() const { return summary_ == 0; }

  // The lowest free cell, free no longer. The list is not empty().
  [[nodiscard]] std::uint32_t take() {
    assert(!empty());
    const auto word = static_cast<std::uint32_t>(std::countr_zero(summary_));
    const std::uint64_t bits = load(word);
    const std::uint64_t rest = bits & (bits - 1);
    store(word, rest);
    if (rest == 0) summary_ &= summary_ - 1;
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
  }

  // False, and nothing changes, if the cell was free already.
  [[nodiscard]] bool put(std::uint32_t cell) {
    const std::uint32_t word = cell / 64;
    const std::uint64_t bit = std::uint64_t{1} << (cell % 64);
    const std::uint64_t bits = load(word);
    if ((bits & bit) != 0) return false;
    store(word, bits | bit);
    summary_ |= 1U << word;
    return true;
  }

  // Puts up to 64 cells at once. Returns the bits that were free already, which are left alone.
  [[nodiscard]] std::uint64_t put_word(std::uint32_t word, std::uint64_t bits) {
    const std::uint64_t before = load(word);
    store(word, before | bits);
    if ((before | bits) != 0) summary_ |= 1U << word;
    return before & bits;
  }

  [[nodiscard]] bool is_free(std::uint32_t cell) const { return (load(cell / 64) >> (cell % 64) & 1) != 0; }

  [[nodiscard]] std::uint32_t count() const {
    std::uint32_t free = 0;
    for (std::uint32_t word = 0; word < kWords; ++word) free += static_cast<std::uint32_t>(std::popcount(load(word)));
    return free;
  }

  [[nodiscard]] bool check_invariants(std::uint32_t cells) const {
    for (std::uint32_t word = 0; word < kWords; ++word) {
      const std::uint64_t bits = load(word);
      if (((summary_ >> word & 1) != 0) != (bits != 0)) return false;
      const std::uint32_t first = word * 64;
      const bool reaches_past_end = cells <= first ? bits != 0 : cells < first + 64 && (bits >> (cells - first)) != 0;
      if (reaches_past_end) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] std::uint64_t load(std::uint32_t word) const { return words_[word].load(std::memory_order_relaxed); }
  void store(std::uint32_t word, std::uint64_t bits) { words_[word].store(bits, std::memory_order_relaxed); }

  std::uint32_t summary_ = 0;
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_FREE_LIST_H_
