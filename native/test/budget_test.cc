#include "heap/budget.h"

#include <array>
#include <atomic>
#include <vector>

#include "test/heaps.h"
#include "test/monitor.h"

namespace offheap::test {

using heap::Budget;
using heap::Limit;

namespace {

constexpr std::size_t kThreads = 4;

#ifdef NDEBUG
constexpr int kRounds = 200'000;
#else
constexpr int kRounds = 30'000;
#endif

}  // namespace

TEST("a budget is taken to the byte and not passed by one, and what is given back can be taken again") {
  Budget budget(1000);
  CHECK(budget.is_limited());
  CHECK_EQ(budget.limit(), 1000U);
  CHECK(budget.take(600));
  CHECK(!budget.take(401));
  CHECK_EQ(budget.in_use(), 600U);
  CHECK(budget.take(400));
  CHECK(!budget.take(1));
  CHECK(!budget.take(~std::size_t{0}));
  CHECK(budget.take(0));
  CHECK_EQ(budget.in_use(), 1000U);
  budget.give(1);
  CHECK(!budget.take(2));
  CHECK(budget.take(1));
  budget.give(1000);
  CHECK_EQ(budget.in_use(), 0U);
}

TEST("of a budget of zero nothing can be taken but nothing") {
  Budget budget(0);
  CHECK(budget.is_limited());
  CHECK(budget.take(0));
  CHECK(!budget.take(1));
  CHECK(!budget.take(~std::size_t{0}));
  CHECK_EQ(budget.in_use(), 0U);
}

TEST("without a limit everything can be taken, and no account is kept") {
  Budget budget(Limit::kNone);
  CHECK(!budget.is_limited());
  CHECK_EQ(budget.limit(), Limit::kNone);
  for (int round = 0; round < 10; ++round) CHECK(budget.take(~std::size_t{0}));
  CHECK_EQ(budget.in_use(), 0U);
  budget.give(123);
  CHECK_EQ(budget.in_use(), 0U);
}

TEST("the largest limit that is one is kept account of without wrapping") {
  Budget budget(Limit::kNone - 1);
  CHECK(budget.is_limited());
  CHECK(budget.take(Limit::kNone - 2));
  CHECK(!budget.take(2));
  CHECK(budget.take(1));
  CHECK_EQ(budget.in_use(), Limit::kNone - 1);
}

TEST("of many threads that take the last bytes, exactly as many succeed as there are") {
  for (int round = 0; round < 20; ++round) {
    Budget budget(100'000);
    std::array<std::size_t, kThreads> taken{};
    Barrier start(kThreads);
    on_threads(kThreads, [&](std::size_t self) {
      start.arrive_and_wait();
      while (budget.take(1)) ++taken[self];
    });
    std::size_t sum = 0;
    for (const std::size_t one : taken) sum += one;
    CHECK_EQ(sum, 100'000U);
    CHECK_EQ(budget.in_use(), 100'000U);
  }
}

TEST("many threads that take and give never hold more than the limit together, and at rest the sum is right") {
  constexpr std::size_t kLimit = 10'000;
  Budget budget(kLimit);
  // Less than what the budget has taken, or as much.
  std::atomic<std::size_t> held{0};
  std::array<std::size_t, kThreads> left{};
  on_threads(kThreads, [&](std::size_t self) {
    Random random(self + 1);
    std::vector<std::size_t> own;
    for (int round = 0; round < kRounds; ++round) {
      CHECK(budget.in_use() <= kLimit);
      if (own.empty() || random.one_in(2)) {
        const std::size_t bytes = random.below(3000);
        if (!budget.take(bytes)) continue;
        own.push_back(bytes);
        CHECK(held.fetch_add(bytes) + bytes <= kLimit);
      } else {
        held.fetch_sub(own.back());
        budget.give(own.back());
        own.pop_back();
      }
    }
    for (const std::size_t bytes : own) left[self] += bytes;
  });
  std::size_t sum = 0;
  for (const std::size_t one : left) sum += one;
  CHECK_EQ(budget.in_use(), sum);
  CHECK_EQ(held.load(), sum);
}

}  // namespace offheap::test
