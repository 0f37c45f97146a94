// The free runs of a heap by length: exact best fit in constant time. Every length a run can have, 1 to kDataPages
// pages, has a list of its own, and three levels of bits find the next length that has one:
//
//   request 5 ──> words: lengths 5..63 ──> none? ──> groups: words 1..63 ──> none? ──> top: groups 1..3
//
// A list per length costs 116 KiB of addresses a heap, of which only the pages in use are ever touched; in exchange
// there is no search, no tree to balance, and no rounding of lengths into bins.
#ifndef OFFHEAP_HEAP_FREE_RUNS_H_
#define OFFHEAP_HEAP_FREE_RUNS_H_

#include <array>
#include <bit>
#include <cassert>
#include <cstdint>

#include "heap/span.h"
#include "heap/types.h"

namespace offheap::heap {

// Owned by a heap's dynamic bucket, used by the owner thread only. All zero bytes is a valid index with no run.
// Always true: a span is in the list of its length if and only if it is free; a length's bit is set if and only if
// its list is not empty.
class FreeRuns {
 public:
  void insert(Span* span) {
    const std::uint32_t length = span->pages.count;
    Span*& first = first_of(length);
    span->previous = nullptr;
    span->next = first;
    if (first != nullptr) first->previous = span;
    first = span;
    mark(length);
  }

  void remove(Span* span) {
    const std::uint32_t length = span->pages.count;
    if (span->next != nullptr) span->next->previous = span->previous;
    if (span->previous != nullptr) {
      span->previous->next = span->next;
    } else {
      first_of(length) = span->next;
      if (span->next == nullptr) unmark(length);
    }
    span->next = nullptr;
    span->previous = nullptr;
  }

  // The shortest run of at least `pages` pages, the last one freed among those of its length; null if there is none.
  [[nodiscard]] Span* best_fit(std::uint32_t pages) const {
    const std::uint32_t length = next_length(pages);
    return length <= kDataPages ? first_[length - 1] : nullptr;
  }

  // The longest run, in pages; 0 if there is none.
  [[nodiscard]] std::uint32_t longest() const {
    for (std::uint32_t word = kWords; word > 0; --word) {
      if (words_[word - 1] != 0) return word * 64 - static_cast<std::uint32_t>(std::countl_zero(words_[word - 1]));
    }
    return 0;
  }

  [[nodiscard]] const Span* first_with_length(std::uint32_t pages) const { return first_[pages - 1]; }

 private:
  // Bit `length - 1` stands for `length`.
  static constexpr std::uint32_t kWords = (kDataPages + 63) / 64;
  static constexpr std::uint32_t kGroups = (kWords + 63) / 64;
  static_assert(kGroups <= 64);

  [[nodiscard]] Span*& first_of(std::uint32_t length) {
    assert(length >= 1 && length <= kDataPages);
    return first_[length - 1];
  }

  void mark(std::uint32_t length) {
    const std::uint32_t bit = length - 1;
    words_[bit / 64] |= std::uint64_t{1} << (bit % 64);
    groups_[bit / 4096] |= std::uint64_t{1} << (bit / 64 % 64);
    top_ |= std::uint64_t{1} << (bit / 4096);
  }

  void unmark(std::uint32_t length) {
    const std::uint32_t bit = length - 1;
    if ((words_[bit / 64] &= ~(std::uint64_t{1} << (bit % 64))) != 0) return;
    if ((groups_[bit / 4096] &= ~(std::uint64_t{1} << (bit / 64 % 64))) != 0) return;
    top_ &= ~(std::uint64_t{1} << (bit / 4096));
  }

  // The bits of `word` above `bit`.
  [[nodiscard]] static std::uint64_t above(std::uint64_t word, std::uint32_t bit) {
    return bit == 63 ? 0 : word & (~std::uint64_t{0} << (bit + 1));
  }

  // The shortest length of at least `length` that has a run, or more than kDataPages.
  [[nodiscard]] std::uint32_t next_length(std::uint32_t length) const {
    if (length > kDataPages) return kDataPages + 1;
    const std::uint32_t bit = length - 1;
    std::uint32_t word = bit / 64;
    if (const std::uint64_t here = words_[word] >> (bit % 64); here != 0) {
      return length + static_cast<std::uint32_t>(std::countr_zero(here));
    }
    std::uint32_t group = word / 64;
    std::uint64_t words = above(groups_[group], word % 64);
    if (words == 0) {
      const std::uint64_t groups = above(top_, group);
      if (groups == 0) return kDataPages + 1;
      group = static_cast<std::uint32_t>(std::countr_zero(groups));
      words = groups_[group];
    }
    word = group * 64 + static_cast<std::uint32_t>(std::countr_zero(words));
    return word * 64 + static_cast<std::uint32_t>(std::countr_zero(words_[word])) + 1;
  }

  std::uint64_t top_;
  std::array<std::uint64_t, kGroups> groups_;
  std::array<std::uint64_t, kWords> words_;
  std::array<Span*, kDataPages> first_;
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_FREE_RUNS_H_
