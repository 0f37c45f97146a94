// One bit per page of a region: which pages are committed, which may hold something other than zero.
#ifndef OFFHEAP_HEAP_PAGE_BITS_H_
#define OFFHEAP_HEAP_PAGE_BITS_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "heap/types.h"

namespace offheap::heap {

// A run of pages inside a region: [first, first + count).
struct PageRange {
  std::uint32_t first = 0;
  std::uint32_t count = 0;

  [[nodiscard]] constexpr std::uint32_t end() const { return first + count; }
  constexpr bool operator==(const PageRange&) const = default;
};

// Plain bits; changed by the heap's owner thread only. A value of all zero bytes is a valid set with no page in it.
class PageBits {
 public:
  void set(PageRange range) {
    for_each_word(range, [this](std::uint32_t word, std::uint64_t mask) { words_[word] |= mask; });
  }

  void clear(PageRange range) {
    for_each_word(range, [this](std::uint32_t word, std::uint64_t mask) { words_[word] &= ~mask; });
  }

  [[nodiscard]] bool test(std::uint32_t page) const { return (words_[page / 64] >> (page % 64) & 1) != 0; }

  [[nodiscard]] bool all(PageRange range) const { return first_clear(range.first, range.end()) == range.end(); }

  [[nodiscard]] bool none(PageRange range) const { return first_set(range.first, range.end()) == range.end(); }

  [[nodiscard]] std::uint32_t count(PageRange range) const {
    std::uint32_t total = 0;
    for_each_word(range, [&](std::uint32_t word, std::uint64_t mask) {
      total += static_cast<std::uint32_t>(std::popcount(words_[word] & mask));
    });
    return total;
  }

  // The first page in [from, end) that is in the set, or `end`.
  [[nodiscard]] std::uint32_t first_set(std::uint32_t from, std::uint32_t end) const { return scan(from, end, 0); }
  // The first page in [from, end) that is not in the set, or `end`.
  [[nodiscard]] std::uint32_t first_clear(std::uint32_t from, std::uint32_t end) const {
    return scan(from, end, ~std::uint64_t{0});
  }

  // The first unbroken run of pages in the set inside [from, end); its count is 0 when there is none.
  [[nodiscard]] PageRange next_set_run(std::uint32_t from, std::uint32_t end) const {
    const std::uint32_t first = first_set(from, end);
    return {first, first_clear(first, end) - first};
  }

 private:
  template <typename Visit>
  static void for_each_word(PageRange range, Visit visit) {
    std::uint32_t page = range.first;
    while (page < range.end()) {
      const std::uint32_t offset = page % 64;
      const std::uint32_t taken = std::min(64 - offset, range.end() - page);
      const std::uint64_t ones = taken == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << taken) - 1;
      visit(page / 64, ones << offset);
      page += taken;
    }
  }

  // The first page in [from, end) whose bit differs from `uniform`'s bits, or `end`.
  [[nodiscard]] std::uint32_t scan(std::uint32_t from, std::uint32_t end, std::uint64_t uniform) const {
    std::uint32_t page = from;
    while (page < end) {
      const std::uint64_t different = (words_[page / 64] ^ uniform) >> (page % 64);
      if (different != 0) return std::min(end, page + static_cast<std::uint32_t>(std::countr_zero(different)));
      page = (page / 64 + 1) * 64;
    }
    return end;
  }

  std::array<std::uint64_t, (kDataPages + 63) / 64> words_{};
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_PAGE_BITS_H_
