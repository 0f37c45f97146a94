#include "heap/free_runs.h"

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::FreeRuns;
using heap::kDataPages;
using heap::Span;

namespace {

// An index that is valid when it is all zero bytes, as it is in a heap.
std::unique_ptr<FreeRuns> make_index() { return std::make_unique<FreeRuns>(); }

// Lengths at the edges of words (64 lengths) and groups (4096), and all others.
std::uint32_t random_length(Random& random) {
  const std::size_t any = 1 + random.below(kDataPages);
  switch (random.below(4)) {
    case 0:
      return static_cast<std::uint32_t>(std::clamp<std::size_t>(any / 64 * 64 + random.below(3), 1, kDataPages));
    case 1:
      return static_cast<std::uint32_t>(std::clamp<std::size_t>(any / 4096 * 4096 + random.below(3), 1, kDataPages));
    case 2:
      return static_cast<std::uint32_t>(1 + random.below(100));
    default:
      return static_cast<std::uint32_t>(any);
  }
}

}  // namespace

TEST("the best fit for every length is exact when there is one run of one length") {
  const auto index = make_index();
  Span run;
  for (const std::uint32_t length : {1U, 2U, 63U, 64U, 65U, 127U, 128U, 129U, 4095U, 4096U, 4097U, 8191U, 8192U, 8193U,
                                     12'288U, 12'289U, kDataPages - 1, kDataPages}) {
    run.pages = {0, length};
    index->insert(&run);
    CHECK_EQ(index->longest(), length);
    for (std::uint32_t asked = 1; asked <= kDataPages; ++asked) {
      CHECK(index->best_fit(asked) == (asked <= length ? &run : nullptr));
    }
    CHECK(index->best_fit(kDataPages + 1) == nullptr);
    CHECK(index->best_fit(~std::uint32_t{0}) == nullptr);
    index->remove(&run);
    CHECK_EQ(index->longest(), 0U);
    CHECK(index->best_fit(1) == nullptr);
  }
}

TEST("the free runs answer like a plain sorted map after random changes") {
  const auto index = make_index();
  std::map<std::uint32_t, std::vector<Span*>> model;  // the last one inserted is the first one found
  std::vector<Span> spans(300);
  std::vector<Span*> out;
  for (Span& span : spans) out.push_back(&span);
  std::vector<Span*> in;
  Random random(17);
  for (int operation = 0; operation < 200'000; ++operation) {
    if (!out.empty() && (in.empty() || random.one_in(2))) {
      Span* const span = out.back();
      out.pop_back();
      span->pages = {0, random_length(random)};
      index->insert(span);
      model[span->pages.count].push_back(span);
      in.push_back(span);
    } else {
      const std::size_t chosen = random.below(in.size());
      Span* const span = in[chosen];
      in[chosen] = in.back();
      in.pop_back();
      index->remove(span);
      auto& same_length = model[span->pages.count];
      std::erase(same_length, span);
      if (same_length.empty()) model.erase(span->pages.count);
      out.push_back(span);
    }
    const std::uint32_t asked = random_length(random);
    const auto expected = model.lower_bound(asked);
    CHECK(index->best_fit(asked) == (expected == model.end() ? nullptr : expected->second.back()));
    CHECK_EQ(index->longest(), model.empty() ? 0 : model.rbegin()->first);
  }
}

}  // namespace offheap::test
