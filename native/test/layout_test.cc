#include "heap/layout.h"

#include <limits>

#include "heap/limit.h"
#include "test/check.h"

namespace offheap::test {

using heap::checked_add;
using heap::checked_round_up;
using heap::kMaxAlign;
using heap::kMaxBlockBytes;
using heap::Layout;

constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();

TEST("a layout takes every power of two up to 64 MiB as alignment, and nothing else") {
  for (std::size_t align = 0; align <= 4096; ++align) {
    const bool power = align == 1 || align == 2 || align == 4 || align == 8 || align == 16 || align == 32 ||
                       align == 64 || align == 128 || align == 256 || align == 512 || align == 1024 || align == 2048 ||
                       align == 4096;
    CHECK_EQ(Layout::of(1, align).has_value(), power);
  }
  for (unsigned shift = 0; shift < 64; ++shift) {
    CHECK_EQ(Layout::of(1, std::size_t{1} << shift).has_value(), shift <= 26);
  }
  CHECK(!Layout::of(1, kMaxAlign - 1));
  CHECK(!Layout::of(1, kMost));
}

TEST("a layout takes sizes from 0 to the largest block, and keeps them as they are") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{7}, kMaxBlockBytes - 1, kMaxBlockBytes}) {
    const auto layout = Layout::of(size, 16);
    CHECK(layout.has_value());
    CHECK_EQ(layout->size(), size);
    CHECK_EQ(layout->align(), 16U);
  }
  for (const std::size_t size : {kMaxBlockBytes + 1, std::size_t{1} << 54, std::size_t{1} << 63, kMost - 7, kMost}) {
    CHECK(!Layout::of(size, 1));
  }
}

TEST("a layout is aligned to 8 unless it is told otherwise") {
  CHECK_EQ(Layout::of(3)->align(), 8U);
  CHECK_EQ(Layout::of(3, 4096)->align(), 4096U);
}

TEST("sums of sizes that would wrap are nothing, and all others are exact") {
  CHECK_EQ(*checked_add(kMost, 0), kMost);
  CHECK_EQ(*checked_add(kMost - 5, 5), kMost);
  CHECK(!checked_add(kMost, 1));
  CHECK(!checked_add(kMost, kMost));
  CHECK_EQ(*checked_round_up(0, 64), 0U);
  CHECK_EQ(*checked_round_up(1, 64), 64U);
  CHECK_EQ(*checked_round_up(64, 64), 64U);
  CHECK_EQ(*checked_round_up(65, 64), 128U);
  CHECK_EQ(*checked_round_up(kMost - 63, 64), kMost - 63);
  CHECK(!checked_round_up(kMost - 62, 64));
  CHECK(!checked_round_up(kMost, 2));
}

TEST("a limit is checked without sums that wrap") {
  using heap::Limit;
  CHECK(Limit(kMost - 1).allows(0, kMost - 1));
  CHECK(!Limit(kMost - 1).allows(1, kMost - 1));
  CHECK(!Limit(kMost - 1).allows(kMost - 1, kMost));
  CHECK(Limit(10).allows(10, 0));
  CHECK(!Limit(10).allows(10, 1));
  // More in use than the limit, as when the block that is resized is itself beyond it: shrinking is always allowed.
  CHECK(Limit(10).allows(20, 4, 5));
  CHECK(!Limit(10).allows(20, 6, 5));
}

}  // namespace offheap::test
