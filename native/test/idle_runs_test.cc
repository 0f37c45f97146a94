#include "heap/idle_runs.h"

#include <array>
#include <vector>

#include "test/heaps.h"

namespace offheap::test {

using heap::IdleRuns;
using heap::Span;

namespace {

std::vector<const Span*> in_order(const IdleRuns& runs) {
  std::vector<const Span*> order;
  const Span* older = nullptr;
  for (const Span* run = runs.oldest(); run != nullptr; run = run->newer) {
    CHECK(run->older == older);
    CHECK(older == nullptr || older->freed_at <= run->freed_at);
    CHECK(runs.contains(run));
    older = run;
    order.push_back(run);
  }
  return order;
}

}  // namespace

TEST("idle runs come back in the order in which they fell free, wherever one is taken out") {
  for (std::size_t removed = 0; removed < 3; ++removed) {
    std::array<Span, 3> spans;
    IdleRuns runs{};
    for (std::size_t index = 0; index < 3; ++index) runs.append(&spans[index], 10 * index);
    runs.remove(&spans[removed]);
    CHECK(!runs.contains(&spans[removed]));
    std::vector<const Span*> expected;
    for (std::size_t index = 0; index < 3; ++index) {
      if (index != removed) expected.push_back(&spans[index]);
    }
    CHECK(in_order(runs) == expected);
    runs.remove(&spans[removed]);
    CHECK(in_order(runs) == expected);
  }
}

TEST("an idle run that stands alone is known to be there, and gone when it is removed") {
  Span span;
  IdleRuns runs{};
  CHECK(!runs.contains(&span));
  runs.append(&span, 5);
  CHECK(runs.contains(&span));
  CHECK_EQ(span.freed_at, 5U);
  runs.remove(&span);
  CHECK(!runs.contains(&span));
  CHECK(runs.oldest() == nullptr);
}

TEST("an idle run is never older than the one before it, even when the clock seems to go back") {
  std::array<Span, 2> spans;
  IdleRuns runs{};
  runs.append(spans.data(), 100);
  runs.append(&spans[1], 50);
  CHECK_EQ(spans[1].freed_at, 100U);
  CHECK(in_order(runs) == (std::vector<const Span*>{spans.data(), &spans[1]}));
}

TEST("what is cut from an idle run is as old as the run") {
  std::array<Span, 4> spans;
  IdleRuns runs{};
  runs.append(spans.data(), 1);
  runs.append(&spans[1], 9);
  runs.insert_after(spans.data(), &spans[2]);
  CHECK_EQ(spans[2].freed_at, 1U);
  runs.insert_after(&spans[1], &spans[3]);
  CHECK_EQ(spans[3].freed_at, 9U);
  CHECK(in_order(runs) == (std::vector<const Span*>{spans.data(), &spans[2], &spans[1], &spans[3]}));
  Span outside;
  Span part;
  runs.insert_after(&outside, &part);
  CHECK(!runs.contains(&part));
}

}  // namespace offheap::test
