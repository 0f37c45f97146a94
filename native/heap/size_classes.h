// Which bucket serves a request. A size class is the cell size of one bucket; a request goes to the smallest class
// that holds its size and whose cells are aligned as asked, whatever the classes are.
//
// The built-in classes step by 16 bytes up to 128 and by an eighth of a power of two above:
//
//   16 32 48 64 80 96 112 128 | 144 160 176 192 208 224 240 256 | 288 320 ... 512 | ... | 18432 ... 32768
//
// so that at most 12.5 % of a request of 120 bytes or more is lost to rounding, and at most 15 bytes below. Requests
// above the largest class go to the dynamic bucket in whole pages, again at most 12.5 %.
#ifndef OFFHEAP_HEAP_SIZE_CLASSES_H_
#define OFFHEAP_HEAP_SIZE_CLASSES_H_

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "heap/layout.h"
#include "heap/types.h"

namespace offheap::heap {

// Cells start at multiples of this from their span's start; class sizes are rounded up to it.
inline constexpr std::size_t kCellGrain = 8;
inline constexpr std::size_t kMaxClassBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxClasses = 255;
inline constexpr std::size_t kMaxDefaultClassBytes = std::size_t{32} << 10;

namespace internal {

inline constexpr std::uint32_t kStepsPerDoubling = 8;

consteval std::size_t default_class_count() {
  std::size_t count = 8;  // 16 to 128
  for (std::size_t top = 128; top < kMaxDefaultClassBytes; top *= 2) count += kStepsPerDoubling;
  return count;
}

consteval auto make_default_classes() {
  std::array<std::uint32_t, default_class_count()> classes{};
  std::size_t index = 0;
  for (std::uint32_t bytes = 16; bytes <= 128; bytes += 16) classes[index++] = bytes;
  for (std::uint32_t top = 128; top < kMaxDefaultClassBytes; top *= 2) {
    for (std::uint32_t step = 1; step <= kStepsPerDoubling; ++step) {
      classes[index++] = top + step * (top / kStepsPerDoubling);
    }
  }
  return classes;
}

}  // namespace internal

inline constexpr auto kDefaultClasses = internal::make_default_classes();

static_assert(kDefaultClasses.back() == kMaxDefaultClassBytes);
static_assert([] {
  // (cell - size) / cell <= 1/8 for the worst size of every class from 128 up, which is one more than the class below.
  for (std::size_t index = 8; index < kDefaultClasses.size(); ++index) {
    const std::uint32_t worst = kDefaultClasses[index - 1] + 1;
    if ((kDefaultClasses[index] - worst) * 8 > kDefaultClasses[index]) return false;
  }
  return true;
}());

// The classes of one heap and the table that finds them. Plain data, written once, read by any thread.
// Always true: sizes() is strictly ascending, each a multiple of kCellGrain, the largest at most kMaxClassBytes.
class SizeClasses {
 public:
  static constexpr std::uint8_t kNone = 255;

  // True if `sizes` can be size classes: 1 to kMaxClasses of them, strictly ascending, none 0 and none above
  // kMaxClassBytes.
  [[nodiscard]] static bool valid(std::span<const std::uint32_t> sizes);

  // `sizes` is valid(). Those that round up to the same cell size are one class.
  void set(std::span<const std::uint32_t> sizes);

  // The class that serves `layout`, or kNone.
  [[nodiscard]] std::uint8_t find(Layout layout) const {
    if (layout.align() > kCellGrain) return find_aligned(layout);
    if (layout.size() <= kTableBytes) return class_of_grain_[(layout.size() + kCellGrain - 1) / kCellGrain];
    return find_large(layout.size());
  }

  [[nodiscard]] std::span<const std::uint32_t> sizes() const { return {sizes_.data(), count_}; }

  // What every cell of a class is aligned to: the largest power of two in its size, up to a page.
  [[nodiscard]] static constexpr std::size_t alignment_of(std::size_t cell_bytes) {
    const std::size_t lowest_bit = cell_bytes & (~cell_bytes + 1);
    return lowest_bit < kPageBytes ? lowest_bit : kPageBytes;
  }

 private:
  // Sizes up to here are found by one table look-up.
  static constexpr std::size_t kTableBytes = kMaxDefaultClassBytes;

  [[nodiscard]] std::uint8_t find_aligned(Layout layout) const;
  [[nodiscard]] std::uint8_t find_large(std::size_t size) const;

  std::uint32_t count_ = 0;
  std::array<std::uint32_t, kMaxClasses> sizes_{};
  std::array<std::uint8_t, kTableBytes / kCellGrain + 1> class_of_grain_{};
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_SIZE_CLASSES_H_
