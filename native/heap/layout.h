// Size and alignment of a request, and arithmetic on them that cannot wrap: every sum that would not fit is nullopt.
#ifndef OFFHEAP_HEAP_LAYOUT_H_
#define OFFHEAP_HEAP_LAYOUT_H_

#include <cstddef>
#include <optional>

#include "heap/types.h"

namespace offheap::heap {

// Every element type of JavaScript is at home at this alignment.
inline constexpr std::size_t kDefaultAlign = 8;

[[nodiscard]] constexpr std::optional<std::size_t> checked_add(std::size_t left, std::size_t right) {
  const std::size_t sum = left + right;
  if (sum < left) return std::nullopt;
  return sum;
}

[[nodiscard]] constexpr std::optional<std::size_t> checked_round_up(std::size_t bytes, std::size_t unit) {
  const auto padded = checked_add(bytes, unit - 1);
  if (!padded) return std::nullopt;
  return *padded & ~(unit - 1);
}

// A valid request. Always true: align is a power of two from 1 to kMaxAlign, and size <= kMaxBlockBytes.
class Layout {
 public:
  [[nodiscard]] static constexpr std::optional<Layout> of(std::size_t size, std::size_t align = kDefaultAlign) {
    // Not std::has_single_bit, which counts bits: a call on machines that may lack the instruction.
    const bool is_power_of_two = align != 0 && (align & (align - 1)) == 0;
    if (size > kMaxBlockBytes || !is_power_of_two || align > kMaxAlign) return std::nullopt;
    return Layout(size, align);
  }

  [[nodiscard]] constexpr std::size_t size() const { return size_; }
  [[nodiscard]] constexpr std::size_t align() const { return align_; }

  constexpr bool operator==(const Layout&) const = default;

 private:
  constexpr Layout(std::size_t size, std::size_t align) : size_(size), align_(align) {}

  std::size_t size_;
  std::size_t align_;
};

static_assert(!Layout::of(1, 0) && !Layout::of(1, 3) && !Layout::of(1, kMaxAlign * 2));
static_assert(!Layout::of(~std::size_t{0}, 8) && Layout::of(0, 1));
static_assert(!checked_round_up(~std::size_t{0} - 2, 8) && checked_round_up(9, 8) == std::size_t{16});

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_LAYOUT_H_
