#include "heap/limit.h"

#include "test/heaps.h"

namespace offheap::test {

namespace {

void check_limit_error(const heap::Failure& failure, std::size_t asked, std::size_t in_use, std::size_t limit) {
  CHECK_EQ(failure.reason, Refusal::kLimit);
  CHECK_EQ(failure.asked, asked);
  CHECK_EQ(failure.in_use, in_use);
  CHECK_EQ(failure.limit, limit);
}

}  // namespace

TEST("a limit is reached to the byte and not passed by one") {
  OwnHeap heap({.limit = 1000});
  CHECK_EQ(heap->limit(), 1000U);
  const Held held = hold(*heap, 600);
  check_limit_error(heap->allocate(layout(401), Fill::kZero).error(), 401, 600, 1000);
  const Held rest = hold(*heap, 400);
  CHECK_EQ(heap->bytes_in_use(), 1000U);
  check_limit_error(heap->allocate(layout(1), Fill::kZero).error(), 1, 1000, 1000);
  CHECK(heap->allocate(layout(0), Fill::kZero).ok());
  drop(*heap, held);
  drop(*heap, rest);
  CHECK_EQ(heap->bytes_in_use(), 0U);
  CHECK_EQ(heap->statistics().failures, 2U);
}

TEST("a limit counts a block that is resized net of its old size") {
  OwnHeap heap({.limit = 1000});
  const Held held = hold(*heap, 600);
  check_limit_error(heap->reallocate(held.address, 600, layout(1001), Fill::kZero).error(), 401, 600, 1000);
  CHECK(held.intact());
  const auto grown = heap->reallocate(held.address, 600, layout(1000), Fill::kZero);
  CHECK(grown.ok());
  CHECK(has_pattern(grown.value().address, 600, held.seed));
  CHECK_EQ(heap->bytes_in_use(), 1000U);
  const auto shrunk = heap->reallocate(grown.value().address, 1000, layout(10), Fill::kZero);
  CHECK(shrunk.ok());
  CHECK_EQ(heap->bytes_in_use(), 10U);
  CHECK(heap->free(shrunk.value().address, 10).ok());
}

TEST("a limit of zero allows blocks of zero bytes alone") {
  OwnHeap heap({.limit = 0});
  check_limit_error(heap->allocate(layout(1), Fill::kZero).error(), 1, 0, 0);
  const auto block = heap->allocate(layout(0), Fill::kZero);
  CHECK(block.ok());
  CHECK_EQ(heap->blocks_in_use(), 1U);
  CHECK(heap->free(block.value().address, 0).ok());
}

TEST("a refused request takes nothing: no region, no page, no kernel call") {
  OwnHeap heap({.limit = 1 * kMiB});
  const auto calls = kernel_calls();
  for (const std::size_t size : {kMiB + 1, 20 * kMiB, heap::kMaxBlockBytes}) {
    CHECK_EQ(heap->allocate(layout(size), Fill::kZero).error().reason, Refusal::kLimit);
  }
  CHECK_EQ(kernel_calls(), calls);
  CHECK_EQ(heap->statistics().regions, 0U);
  CHECK_EQ(heap->statistics().failures, 3U);
}

TEST("what other threads free makes room under the limit at once") {
  OwnHeap heap({.limit = 100});
  const Held held = hold(*heap, 100);
  on_threads(1, [&](std::size_t) { CHECK(heap->free(held.address, 100).ok()); });
  CHECK_EQ(heap->bytes_in_use(), 0U);
  CHECK(heap->allocate(layout(100), Fill::kZero).ok());
}

}  // namespace offheap::test
