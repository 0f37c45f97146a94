#include "heap/size_classes.h"

#include <array>
#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::kDefaultClasses;
using heap::kMaxClassBytes;
using heap::kMaxClasses;
using heap::SizeClasses;

namespace {

// The smallest class that is large enough and whose cells are aligned, by looking at every one.
std::uint8_t find_slowly(std::span<const std::uint32_t> cells, std::size_t size, std::size_t align) {
  for (std::size_t index = 0; index < cells.size(); ++index) {
    if (cells[index] >= size && SizeClasses::alignment_of(cells[index]) >= align) {
      return static_cast<std::uint8_t>(index);
    }
  }
  return SizeClasses::kNone;
}

void compare_with_slow_search(std::span<const std::uint32_t> sizes, std::size_t most) {
  SizeClasses classes;
  classes.set(sizes);
  for (std::size_t align = 1; align <= 64 * kKiB; align *= 2) {
    for (std::size_t size = 0; size <= most; size += size < 5000 || align <= 16 ? 1 : 37) {
      CHECK_EQ(classes.find(layout(size, align)), find_slowly(classes.sizes(), size, align));
    }
  }
}

}  // namespace

TEST("the default classes serve every size and alignment with the smallest cell that fits") {
  compare_with_slow_search(kDefaultClasses, 40 * kKiB);
}

TEST("classes chosen at run time serve every size and alignment with the smallest cell that fits") {
  compare_with_slow_search(std::array<std::uint32_t, 3>{8, 16, 24}, 100);
  compare_with_slow_search(std::array<std::uint32_t, 4>{100, 4096, 50'000, 1U << 20}, (1U << 20) + 100);
  compare_with_slow_search(std::array<std::uint32_t, 1>{1}, 100);
  std::vector<std::uint32_t> most(kMaxClasses);
  for (std::size_t index = 0; index < most.size(); ++index) most[index] = static_cast<std::uint32_t>(8 + 8 * index);
  compare_with_slow_search(most, 3000);
}

TEST("a default cell is at most 15 bytes larger than asked for below 120 bytes, and at most 12.5 % from there on") {
  SizeClasses classes;
  classes.set(kDefaultClasses);
  for (std::size_t size = 1; size <= heap::kMaxDefaultClassBytes; ++size) {
    const std::size_t cell = classes.sizes()[classes.find(layout(size))];
    if (size < 120) {
      CHECK(cell - size <= 15);
    } else {
      CHECK((cell - size) * 8 <= cell);
    }
  }
}

TEST("above the default classes whole pages waste at most 12.5 %") {
  for (std::size_t size = heap::kMaxDefaultClassBytes + 1; size < kMiB; size += 13) {
    const std::size_t usable = heap::bytes_of(heap::pages_for(size));
    CHECK((usable - size) * 8 <= usable);
  }
}

TEST("an alignment wastes no more than the slack of its size class") {
  // What Rulloc pays at 512 and beyond: the alignment itself. Here a size that is a power of two costs nothing.
  OwnHeap heap;
  for (std::size_t align = 8; align <= 4 * kMiB; align *= 2) {
    const auto block = heap->allocate(layout(align, align), Fill::kAnything);
    CHECK(block.ok());
    CHECK_EQ(block.value().usable, std::max<std::size_t>(align, 16));
  }
}

TEST("size classes are refused when there are none, too many, out of order, zero or too large") {
  CHECK(SizeClasses::valid(kDefaultClasses));
  CHECK(SizeClasses::valid(std::array<std::uint32_t, 1>{1}));
  CHECK(SizeClasses::valid(std::array<std::uint32_t, 1>{kMaxClassBytes}));
  CHECK(!SizeClasses::valid({}));
  CHECK(!SizeClasses::valid(std::array<std::uint32_t, 1>{0}));
  CHECK(!SizeClasses::valid(std::array<std::uint32_t, 1>{kMaxClassBytes + 1}));
  CHECK(!SizeClasses::valid(std::array<std::uint32_t, 1>{~std::uint32_t{0}}));
  CHECK(!SizeClasses::valid(std::array<std::uint32_t, 2>{32, 16}));
  CHECK(!SizeClasses::valid(std::array<std::uint32_t, 2>{16, 16}));
  CHECK(SizeClasses::valid(std::array<std::uint32_t, 2>{17, 24}));
  std::vector<std::uint32_t> sizes;
  for (std::uint32_t index = 1; index <= kMaxClasses; ++index) sizes.push_back(index * 8);
  CHECK(SizeClasses::valid(sizes));
  sizes.push_back(4096);
  CHECK(!SizeClasses::valid(sizes));
}

TEST("a class of 100 bytes has cells of 104") {
  constexpr std::array<std::uint32_t, 1> kHundred{100};
  OwnHeap heap({.size_classes = kHundred});
  const auto block = heap->allocate(layout(100), Fill::kAnything);
  CHECK_EQ(block.value().usable, 104U);
  const auto next = heap->allocate(layout(1), Fill::kAnything);
  CHECK_EQ(next.value().address - block.value().address, 104);
}

TEST("sizes that round up to the same cell are one class") {
  SizeClasses classes;
  classes.set(std::array<std::uint32_t, 4>{17, 24, 25, 100});
  CHECK_EQ(classes.sizes().size(), 3U);
  CHECK_EQ(classes.sizes()[0], 24U);
  CHECK_EQ(classes.sizes()[1], 32U);
  CHECK_EQ(classes.sizes()[2], 104U);
}

TEST("a heap with nonsense for size classes is refused and costs no kernel call") {
  constexpr std::array<std::uint32_t, 2> kDescending{64, 32};
  const auto calls = kernel_calls();
  for (const std::span<const std::uint32_t> sizes : {std::span<const std::uint32_t>{}, {kDescending}}) {
    const auto made = Heap::create({.size_classes = sizes});
    CHECK(!made.ok());
    CHECK_EQ(made.error().reason, Refusal::kOutOfRange);
  }
  CHECK_EQ(kernel_calls(), calls);
}

}  // namespace offheap::test
