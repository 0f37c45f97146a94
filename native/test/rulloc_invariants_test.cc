// What must be true of the whole: Rulloc's invariants, each shown after every one of a few thousand random operations.
#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <vector>

#include "heap/region.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

#ifdef OFFHEAP_CHECK_INVARIANTS
constexpr int kOperations = 300;
#else
constexpr int kOperations = 3000;
#endif

struct Walk {
  OwnHeap heap;
  std::vector<Held> blocks;
  Random random{2024};

  // Allocates, frees or resizes; says which block it was, if it still lives.
  Held* step() {
    const std::size_t dice = random.below(10);
    if (blocks.empty() || (dice < 4 && blocks.size() < 300)) {
      blocks.push_back(hold(*heap, size(), std::size_t{1} << random.below(14)));
      return &blocks.back();
    }
    const std::size_t chosen = random.below(blocks.size());
    if (dice < 7) {
      drop(*heap, blocks[chosen]);
      blocks[chosen] = blocks.back();
      blocks.pop_back();
      return nullptr;
    }
    Held& held = blocks[chosen];
    const std::size_t wanted = size();
    const auto made = heap->reallocate(held.address, held.size, layout(wanted), Fill::kAnything);
    CHECK(made.ok());
    CHECK(has_pattern(made.value().address, std::min(held.size, wanted), held.seed));
    held = {made.value().address, wanted, made.value().usable, random.next()};
    fill_pattern(held.address, held.size, held.seed);
    return &held;
  }

  std::size_t size() { return random.one_in(10) ? random.log_uniform(20) : random.log_uniform(13); }
};

// Runs `holds` after each of many operations.
void after_each(const std::function<void(Walk&, const Held*)>& holds) {
  Walk walk;
  for (int operation = 0; operation < kOperations; ++operation) {
    const Held* const touched = walk.step();
    holds(walk, touched);
  }
}

}  // namespace

TEST("invariant: a region's length is a multiple of the page and its parts tile it exactly, in address order") {
  after_each([](Walk& walk, const Held*) {
    const heap::Region* at = nullptr;
    std::uint32_t next = heap::kDataPages;
    walk.heap->for_each_span([&](const heap::Region& region, const heap::Span& span) {
      if (&region != at) {
        CHECK_EQ(next, heap::kDataPages);
        at = &region;
        next = 0;
      }
      CHECK_EQ(span.pages.first, next);
      CHECK(span.pages.count > 0);
      next = span.pages.end();
    });
    CHECK_EQ(next, heap::kDataPages);
  });
  CHECK_EQ(heap::kRegionBytes % heap::kPageBytes, 0U);
}

TEST("invariant: a block is on its free list if and only if it is free") {
  after_each([](Walk& walk, const Held*) {
    std::map<const std::byte*, bool> live;
    for (const Held& held : walk.blocks) live[held.address] = true;
    std::size_t found = 0;
    walk.heap->for_each_span([&](const heap::Region& region, const heap::Span& span) {
      const std::byte* const start = const_cast<heap::Region&>(region).address_of(span);
      if (span.kind == SpanKind::kDynamic) {
        CHECK(live.contains(start));
        ++found;
      }
      if (span.kind != SpanKind::kBucket) return;
      for (std::uint32_t cell = 0; cell < span.cells; ++cell) {
        const bool is_live = live.contains(start + std::size_t{cell} * span.cell_bytes);
        CHECK_EQ(span.free.is_free(cell), !is_live);
        found += is_live ? 1 : 0;
      }
    });
    CHECK_EQ(found, walk.blocks.size());
  });
}

TEST("invariant: no two neighbouring free runs exist after a free returns") {
  after_each([](Walk& walk, const Held*) {
    bool previous_free = false;
    walk.heap->for_each_span([&](const heap::Region&, const heap::Span& span) {
      const bool is_free = span.kind == SpanKind::kFree;
      CHECK(!(is_free && previous_free && span.pages.first != 0));
      previous_free = is_free;
    });
  });
}

TEST("invariant: a block never changes bucket") {
  std::map<const std::byte*, std::size_t> usable;
  after_each([&](Walk& walk, const Held* touched) {
    // Every block but the one just resized is held by what held it before.
    for (const Held& held : walk.blocks) {
      const std::size_t now = walk.heap->find(held.address).value().usable;
      if (&held != touched) CHECK_EQ(now, usable[held.address]);
      usable[held.address] = now;
    }
  });
}

TEST("invariant: the address is aligned as asked and the block holds at least what was asked") {
  OwnHeap heap;
  Random random(1);
  std::vector<Held> blocks;
  for (int operation = 0; operation < kOperations; ++operation) {
    const std::size_t align = std::size_t{1} << random.below(25);
    const std::size_t size = random.log_uniform(18);
    blocks.push_back(hold(*heap, size, align));
    CHECK(heap->find(blocks.back().address).value().usable >= size);
    if (blocks.size() > 100) {
      std::swap(blocks[random.below(blocks.size())], blocks.back());
      drop(*heap, blocks.back());
      blocks.pop_back();
    }
  }
}

TEST("invariant: realloc keeps the first min(old, new) bytes and never touches a neighbour") {
  // The walk checks the block itself; here all others are looked at after each step.
  after_each([](Walk& walk, const Held*) {
    for (const Held& held : walk.blocks) CHECK(held.size > 64 * kKiB || held.intact());
  });
}

TEST("invariant: the allocator writes to no byte of a live block") {
  OwnHeap heap;
  std::vector<Held> kept;
  for (const std::size_t size : {std::size_t{16}, std::size_t{100}, std::size_t{5000}, 100 * kKiB, 3 * kMiB}) {
    for (int repeat = 0; repeat < 4; ++repeat) {
      Held held = hold(*heap, size);
      // To the last byte it may use, which is more than was asked for.
      held.size = held.usable;
      fill_pattern(held.address, held.size, held.seed);
      kept.push_back(held);
      drop(*heap, hold(*heap, size));
    }
  }
  Random random(3);
  std::vector<Held> churned;
  for (int operation = 0; operation < kOperations; ++operation) {
    if (churned.size() < 50) {
      churned.push_back(hold(*heap, random.log_uniform(18)));
    } else {
      drop(*heap, churned[random.below(churned.size())]);
      std::erase_if(churned, [&](const Held& held) { return !heap->find(held.address).ok(); });
    }
    if (operation % 100 == 0) (void)heap->trim();
  }
  for (const Held& held : kept) CHECK(held.intact());
}

TEST("invariant: when all is freed, nothing is left but what the cache policy names") {
  Walk walk;
  for (int operation = 0; operation < kOperations; ++operation) (void)walk.step();
  for (const Held& held : walk.blocks) drop(*walk.heap, held);
  // Until the pages decay: committed, but in no block, and at most one span kept a bucket.
  std::map<std::uint32_t, int> spans;
  walk.heap->for_each_span([&](const heap::Region&, const heap::Span& span) {
    CHECK(span.kind == SpanKind::kFree || span.used == 0);
    if (span.kind == SpanKind::kBucket) CHECK_EQ(++spans[span.cell_bytes], 1);
  });
  CHECK_EQ(walk.heap->statistics().usable, 0U);
  (void)walk.heap->trim();
  const Statistics statistics = walk.heap->statistics();
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK_EQ(statistics.reserved, statistics.metadata);
}

}  // namespace offheap::test
