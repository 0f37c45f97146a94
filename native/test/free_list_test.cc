#include "heap/free_list.h"

#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::FreeList;
using heap::kMaxCells;

TEST("a filled free list gives every cell once, lowest first, for every cell count") {
  for (std::uint32_t cells = 1; cells <= kMaxCells; ++cells) {
    FreeList list;
    list.fill(cells);
    CHECK(list.check_invariants(cells));
    CHECK_EQ(list.count(), cells);
    for (std::uint32_t expected = 0; expected < cells; ++expected) CHECK_EQ(list.take(), expected);
    CHECK(list.empty());
    CHECK_EQ(list.count(), 0U);
  }
}

TEST("a free list gives back the lowest free cell after any order of puts and takes") {
  FreeList list;
  list.fill(kMaxCells);
  std::vector<bool> is_free(kMaxCells, true);
  Random random(11);
  for (int operation = 0; operation < 100'000; ++operation) {
    const auto cell = static_cast<std::uint32_t>(random.below(kMaxCells));
    if (random.one_in(2) && !list.empty()) {
      std::uint32_t lowest = 0;
      while (!is_free[lowest]) ++lowest;
      CHECK_EQ(list.take(), lowest);
      is_free[lowest] = false;
    } else {
      CHECK_EQ(list.put(cell), !is_free[cell]);
      is_free[cell] = true;
    }
    CHECK_EQ(list.is_free(cell), is_free[cell]);
    if (operation % 997 == 0) CHECK(list.check_invariants(kMaxCells));
  }
}

TEST("a cell put twice is refused and changes nothing") {
  FreeList list;
  list.fill(100);
  for (std::uint32_t cell = 0; cell < 100; ++cell) (void)list.take();
  for (const std::uint32_t cell : {0U, 63U, 64U, 99U}) {
    CHECK(list.put(cell));
    CHECK(!list.put(cell));
  }
  CHECK_EQ(list.count(), 4U);
  CHECK(list.check_invariants(100));
}

TEST("a batch of cells says which were free already and frees the others") {
  FreeList list;
  list.fill(128);
  for (std::uint32_t cell = 0; cell < 128; ++cell) (void)list.take();
  CHECK(list.put(65));
  CHECK_EQ(list.put_word(1, 0b1110), 0b0010U);
  CHECK_EQ(list.count(), 3U);
  CHECK(list.is_free(65) && list.is_free(66) && list.is_free(67) && !list.is_free(64));
  CHECK_EQ(list.put_word(0, 0), 0U);
  CHECK(list.check_invariants(128));
  CHECK_EQ(list.take(), 65U);
}

TEST("a free list with a cell beyond its end does not pass its own check") {
  FreeList list;
  list.fill(65);
  CHECK(list.check_invariants(65));
  CHECK(!list.check_invariants(64));
  CHECK(!list.check_invariants(1));
}

}  // namespace offheap::test
