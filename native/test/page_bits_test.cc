#include "heap/page_bits.h"

#include <bitset>
#include <memory>

#include "test/heaps.h"

namespace offheap::test {

using heap::kDataPages;
using heap::PageBits;
using heap::PageRange;

namespace {

using Model = std::bitset<kDataPages>;

std::uint32_t scan(const Model& model, std::uint32_t from, std::uint32_t end, bool wanted) {
  while (from < end && model[from] != wanted) ++from;
  return from;
}

// Ends of ranges lie at the edges of words more often than chance would put them there.
PageRange random_range(Random& random) {
  const auto edge = [&random] {
    const std::size_t page = random.below(kDataPages + 1);
    return random.one_in(3) ? page / 64 * 64 : page;
  };
  const auto left = static_cast<std::uint32_t>(edge());
  const auto right = static_cast<std::uint32_t>(
      random.one_in(3) ? std::min<std::size_t>(left + random.below(130), kDataPages) : edge());
  return left < right ? PageRange{left, right - left} : PageRange{right, left - right};
}

}  // namespace

TEST("page bits answer like a plain set of pages after random changes") {
  auto bits = std::make_unique<PageBits>();
  auto model = std::make_unique<Model>();
  Random random(3);
  for (int operation = 0; operation < 4000; ++operation) {
    const PageRange changed = random_range(random);
    const bool set = random.one_in(2);
    set ? bits->set(changed) : bits->clear(changed);
    for (std::uint32_t page = changed.first; page < changed.end(); ++page) (*model)[page] = set;

    const PageRange asked = random_range(random);
    std::uint32_t count = 0;
    for (std::uint32_t page = asked.first; page < asked.end(); ++page) count += (*model)[page] ? 1 : 0;
    CHECK_EQ(bits->count(asked), count);
    CHECK_EQ(bits->all(asked), count == asked.count);
    CHECK_EQ(bits->none(asked), count == 0);
    const std::uint32_t first = scan(*model, asked.first, asked.end(), true);
    CHECK_EQ(bits->first_set(asked.first, asked.end()), first);
    CHECK_EQ(bits->first_clear(asked.first, asked.end()), scan(*model, asked.first, asked.end(), false));
    const PageRange run = bits->next_set_run(asked.first, asked.end());
    CHECK_EQ(run.first, first);
    CHECK_EQ(run.end(), scan(*model, first, asked.end(), false));
    if (asked.count > 0) CHECK_EQ(bits->test(asked.first), (*model)[asked.first]);
  }
}

TEST("an empty range is all and none, and the whole of a region fits") {
  PageBits bits;
  CHECK(bits.all({5, 0}) && bits.none({5, 0}));
  bits.set({0, kDataPages});
  CHECK(bits.all({0, kDataPages}));
  CHECK_EQ(bits.count({0, kDataPages}), kDataPages);
  bits.clear({kDataPages - 1, 1});
  CHECK_EQ(bits.first_clear(0, kDataPages), kDataPages - 1);
  CHECK_EQ(bits.next_set_run(kDataPages - 1, kDataPages).count, 0U);
}

}  // namespace offheap::test
