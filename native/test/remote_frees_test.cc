// Frees by threads that do not own the heap. Run under ThreadSanitizer too: make test MODE=tsan.
#include "heap/remote_frees.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "heap/region.h"
#include "test/heaps.h"
#include "test/monitor.h"

namespace offheap::test {

using heap::PendingList;
using heap::RemoteFrees;

namespace {

#if defined(OFFHEAP_CHECK_INVARIANTS)
constexpr std::size_t kRounds = 300;
#elif defined(NDEBUG)
constexpr std::size_t kRounds = 20'000;
#else
constexpr std::size_t kRounds = 4'000;
#endif

constexpr std::size_t kThreads = 8;

// Blocks on their way from one thread to another.
class Channel {
 public:
  void send(std::optional<Held> held) {
    const std::scoped_lock lock(monitor_);
    waiting_.push_back(held);
    monitor_.notify_all();
  }
  // Nothing when the sender is through.
  [[nodiscard]] std::optional<Held> receive() {
    const std::scoped_lock lock(monitor_);
    monitor_.wait([this] { return !waiting_.empty(); });
    const std::optional<Held> held = waiting_.front();
    waiting_.pop_front();
    return held;
  }

 private:
  Monitor monitor_;
  std::deque<std::optional<Held>> waiting_;
};

// Like hold(), which is for one thread.
[[nodiscard]] Held hold_seeded(Heap& heap, std::size_t size, std::uint64_t seed) {
  const auto made = heap.allocate(layout(size), Fill::kAnything);
  CHECK(made.ok());
  fill_pattern(made.value().address, size, seed);
  return {made.value().address, size, made.value().usable, seed};
}

[[nodiscard]] std::size_t random_size(Random& random) {
  return random.one_in(200) ? 17 * kMiB : random.one_in(20) ? random.log_uniform(18) : random.log_uniform(12);
}

// Contents and free; a huge block's contents would take longer than all the rest.
void drop_on_any_thread(Heap& heap, const Held& held) {
  if (held.size <= kMiB) CHECK(held.intact());
  CHECK(heap.free(held.address, held.size).ok());
}

[[nodiscard]] Held hold_random(Heap& heap, Random& random) {
  const std::size_t size = random_size(random);
  if (size <= kMiB) return hold_seeded(heap, size, random.next());
  const auto made = heap.allocate(layout(size), Fill::kAnything);
  CHECK(made.ok());
  return {made.value().address, size, made.value().usable, 0};
}

void check_all_returned(Heap& heap) {
  CHECK_EQ(heap.bytes_in_use(), 0U);
  CHECK_EQ(heap.blocks_in_use(), 0U);
  (void)heap.trim();
  CHECK(heap.check_invariants());
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.usable, 0U);
  CHECK_EQ(statistics.committed, statistics.metadata);
}

}  // namespace

TEST("a remote free is noted once, and taken once") {
  RemoteFrees frees;
  for (std::uint32_t cell = 0; cell < heap::kMaxCells; cell += 3) {
    CHECK(!frees.test(cell));
    CHECK(frees.set(cell));
    CHECK(!frees.set(cell));
    CHECK(frees.test(cell));
  }
  std::uint32_t taken = 0;
  for (std::uint32_t word = 0; word < heap::FreeList::kWords; ++word) {
    taken += static_cast<std::uint32_t>(std::popcount(frees.take(word)));
    CHECK_EQ(frees.take(word), 0U);
  }
  CHECK_EQ(taken, (heap::kMaxCells + 2) / 3);
  CHECK(frees.set(0));
}

TEST("a span is on the pending list once, and may be listed again as soon as it is collected") {
  heap::Span one;
  heap::Span two;
  PendingList<heap::Span> list;
  CHECK(list.empty());
  list.push(&one);
  list.push(&two);
  list.push(&one);
  std::vector<heap::Span*> drained;
  list.drain([&](heap::Span* span) {
    drained.push_back(span);
    if (drained.size() == 1) list.push(span);
  });
  CHECK(drained == (std::vector<heap::Span*>{&two, &one}));
  CHECK(!list.empty());
  list.drain([&](heap::Span* span) { drained.push_back(span); });
  CHECK(drained == (std::vector<heap::Span*>{&two, &one, &two}));
  CHECK(list.empty());
}

TEST("a block another thread freed is out of use at once and allocated again after collection") {
  for (const std::size_t size : {std::size_t{100}, std::size_t{5000}, 100 * kKiB, 20 * kMiB}) {
    OwnHeap heap;
    const Held held = hold_seeded(*heap, size, 1);
    on_threads(1, [&](std::size_t) { CHECK(heap->free(held.address, size).ok()); });
    CHECK_EQ(heap->bytes_in_use(), 0U);
    CHECK_EQ(heap->blocks_in_use(), 0U);
    CHECK_EQ(heap->find(held.address).error().reason, Refusal::kFreed);
    CHECK_EQ(heap->free(held.address, size).error().reason, Refusal::kFreed);
    CHECK_EQ(heap->reallocate(held.address, size, layout(10), Fill::kZero).error().reason, Refusal::kFreed);
    heap->collect();
    CHECK(heap->check_invariants());
    if (size <= heap::kMaxDynamicBytes) {
      CHECK_EQ(heap->free(held.address, size).error().reason, Refusal::kFreed);
      CHECK(hold_seeded(*heap, size, 2).address == held.address);
    } else {
      CHECK_EQ(heap->free(held.address, size).error().reason, Refusal::kForeign);
    }
  }
}

TEST("a block the owner freed is refused to another thread, and so are wrong addresses and sizes") {
  OwnHeap heap;
  const Held wall = hold_seeded(*heap, 100, 1);
  const Held held = hold_seeded(*heap, 100, 2);
  CHECK(heap->free(held.address, 100).ok());
  on_threads(1, [&](std::size_t) {
    CHECK_EQ(heap->free(held.address, 100).error().reason, Refusal::kFreed);
    CHECK_EQ(heap->free(wall.address + 1, 100).error().reason, Refusal::kForeign);
    CHECK_EQ(heap->free(nullptr, 100).error().reason, Refusal::kForeign);
    CHECK_EQ(heap->free(wall.address, wall.usable + 1).error().reason, Refusal::kOutOfRange);
  });
  CHECK_EQ(heap->bytes_in_use(), 100U);
  drop(*heap, wall);
}

TEST("memory freed by other threads is used before new memory is taken") {
  OwnHeap heap;
  constexpr std::size_t kBlocks = 5000;
  std::vector<Held> blocks(kBlocks);
  std::size_t committed = 0;
  for (int round = 0; round < 10; ++round) {
    for (Held& held : blocks) held = hold_seeded(*heap, 200, 3);
    if (round == 0) committed = heap->statistics().committed;
    on_threads(1, [&](std::size_t) {
      for (const Held& held : blocks) drop_on_any_thread(*heap, held);
    });
  }
  CHECK(heap->statistics().committed <= 2 * committed);
  check_all_returned(*heap);
}

TEST("a producer's blocks are freed by a consumer, every one of them") {
  OwnHeap heap;
  Channel channel;
  Threads consumer;
  consumer.start([&] {
    while (const auto held = channel.receive()) drop_on_any_thread(*heap, *held);
  });
  Random random(5);
  for (std::size_t round = 0; round < kRounds; ++round) {
    channel.send(hold_random(*heap, random));
    if (random.one_in(100)) heap->collect();
    if (random.one_in(1000)) (void)heap->trim();
  }
  channel.send(std::nullopt);
  consumer.join();
  check_all_returned(*heap);
}

TEST("eight threads free one owner's blocks while it goes on allocating, freeing, resizing and trimming") {
  OwnHeap heap;
  std::array<Channel, kThreads> channels;
  Threads consumers;
  for (Channel& channel : channels) {
    consumers.start([&] {
      while (const auto held = channel.receive()) drop_on_any_thread(*heap, *held);
    });
  }
  Random random(6);
  std::vector<Held> own;
  for (std::size_t round = 0; round < kRounds; ++round) {
    channels[random.below(kThreads)].send(hold_random(*heap, random));
    own.push_back(hold_seeded(*heap, random.log_uniform(14), random.next()));
    Held& held = own[random.below(own.size())];
    const std::size_t size = random.log_uniform(14);
    const auto resized = heap->reallocate(held.address, held.size, layout(size), Fill::kAnything);
    CHECK(resized.ok());
    CHECK(has_pattern(resized.value().address, std::min(size, held.size), held.seed));
    held = {resized.value().address, size, resized.value().usable, held.seed};
    fill_pattern(held.address, held.size, held.seed);
    if (own.size() > 50) {
      drop_on_any_thread(*heap, own.front());
      own.front() = own.back();
      own.pop_back();
    }
    if (random.one_in(500)) (void)heap->trim();
  }
  for (Channel& channel : channels) channel.send(std::nullopt);
  consumers.join();
  for (const Held& held : own) drop_on_any_thread(*heap, held);
  check_all_returned(*heap);
}

TEST("eight heaps, eight threads: each frees its neighbour's blocks while the neighbour collects") {
  std::array<Heap*, kThreads> heaps{};
  std::array<std::vector<Held>, kThreads> blocks;
  Barrier everybody(kThreads);
  on_threads(kThreads, [&](std::size_t self) {
    OwnHeap heap;
    heaps[self] = heap.get();
    Random random(self + 1);
    for (int round = 0; round < 5; ++round) {
      for (std::size_t index = 0; index < kRounds / 40; ++index) blocks[self].push_back(hold_random(*heap, random));
      everybody.arrive_and_wait();
      const std::size_t neighbour = (self + 1) % kThreads;
      std::size_t freed = 0;
      for (const Held& held : blocks[neighbour]) {
        drop_on_any_thread(*heaps[neighbour], held);
        if (++freed % 16 == 0) heap->collect();
        if (freed % 256 == 0) (void)heap->trim();
      }
      everybody.arrive_and_wait();
      blocks[self].clear();
      check_all_returned(*heap);
    }
    everybody.arrive_and_wait();
  });
}

TEST("of several threads that free one block at once, exactly one is told that it did") {
  OwnHeap heap;
  constexpr std::size_t kRacers = 4;
  for (const std::size_t size : {std::size_t{64}, 100 * kKiB, 17 * kMiB}) {
    const std::size_t blocks_wanted = size > kMiB ? 10 : 500;
    std::vector<Held> blocks;
    for (std::size_t index = 0; index < blocks_wanted; ++index) {
      blocks.push_back({heap->allocate(layout(size), Fill::kAnything).value().address, size, size, 0});
    }
    Barrier start(kRacers);
    std::vector<std::atomic<int>> freed(blocks_wanted);
    std::vector<std::atomic<int>> refused(blocks_wanted);
    on_threads(kRacers, [&](std::size_t) {
      start.arrive_and_wait();
      for (std::size_t index = 0; index < blocks.size(); ++index) {
        const auto done = heap->free(blocks[index].address, size);
        if (done.ok()) {
          ++freed[index];
        } else {
          CHECK_EQ(done.error().reason, Refusal::kFreed);
          ++refused[index];
        }
      }
    });
    for (std::size_t index = 0; index < blocks_wanted; ++index) {
      CHECK_EQ(freed[index].load(), 1);
      CHECK_EQ(refused[index].load(), static_cast<int>(kRacers) - 1);
    }
    check_all_returned(*heap);
  }
}

TEST("a region is not released under a thread that is still freeing in it") {
  for (std::size_t round = 0; round < kRounds / 40; ++round) {
    OwnHeap heap;
    // One block of a page run and two of a bucket: when the last bit is set the region is empty, and the owner, which
    // does nothing but trim, releases it as soon as it may.
    constexpr std::size_t kBlocks = 3;
    const std::array<Held, kBlocks> blocks{hold_seeded(*heap, 40 * kKiB, 1), hold_seeded(*heap, 64, 2),
                                           hold_seeded(*heap, 64, 3)};
    if (round % 2 == 0) heap->close();
    std::atomic<std::size_t> through{0};
    Threads threads;
    for (const Held& held : blocks) {
      threads.start([&heap, &held, &through] {
        drop_on_any_thread(*heap, held);
        ++through;
      });
    }
    while (through < kBlocks) {
      heap->collect();
      (void)heap->trim();
    }
    threads.join();
    check_all_returned(*heap);
  }
}

TEST("a region is kept while a thread is counted as freeing in it, and released when it has left") {
  OwnHeap heap;
  const Held held = hold_seeded(*heap, 64, 1);
  heap::Region* const region = heap->regions();
  region->remote_frees_in_flight.fetch_add(1);
  CHECK(heap->free(held.address, 64).ok());
  (void)heap->trim();
  CHECK_EQ(heap->statistics().regions, 1U);
  CHECK(heap->check_invariants());
  heap->close();
  CHECK_EQ(heap->statistics().regions, 1U);
  region->remote_frees_in_flight.fetch_sub(1);
  (void)heap->trim();
  CHECK_EQ(heap->statistics().regions, 0U);
}

TEST("a region is not released while a list that is being collected still names one of its spans") {
  // A span may be listed with nothing left to give: its bit is collected after a thread has set it and before the same
  // thread has listed it. Here that thread is taken apart by hand, since no test can stop it there.
  OwnHeap heap;
  const Held a = hold_seeded(*heap, 64, 1);
  const Held b = hold_seeded(*heap, 64, 2);
  const Held c = hold_seeded(*heap, 64, 3);
  const Held pages = hold_seeded(*heap, 40 * kKiB, 4);
  heap->close();
  heap::Region* const region = heap->regions();
  heap::Span* const span = region->span_at(a.address);
  // The thread that frees `a` has set its bit; another one frees `c`, and both are collected.
  region->remote_frees_in_flight.fetch_add(1);
  CHECK(span->remote.set(span->cell_at(0)));
  on_threads(1, [&](std::size_t) { CHECK(heap->free(c.address, 64).ok()); });
  heap->collect();
  // Now the thread counts and lists. A free of `b` does both, and its bit is taken away again.
  on_threads(1, [&](std::size_t) { CHECK(heap->free(b.address, 64).ok()); });
  CHECK(span->remote.take(0) != 0);
  CHECK(heap->free(b.address, 64).ok());
  region->remote_frees_in_flight.fetch_sub(1);
  // The span is listed and empty. The last block of the region comes before it in the list.
  on_threads(1, [&](std::size_t) { CHECK(heap->free(pages.address, pages.size).ok()); });
  heap->collect();
  CHECK_EQ(heap->statistics().regions, 0U);
  check_all_returned(*heap);
}

TEST("what any thread reads as in use is between nothing and what was ever in use") {
  OwnHeap heap;
  std::atomic<bool> done{false};
  Threads reader;
  reader.start([&] {
    while (!done) {
      CHECK(heap->bytes_in_use() <= 100'000);
      CHECK(heap->blocks_in_use() <= 100);
    }
  });
  Random random(8);
  std::vector<Held> blocks;
  for (std::size_t round = 0; round < 5 * kRounds; ++round) {
    if (blocks.size() < 100 && random.one_in(2)) {
      blocks.push_back(hold_seeded(*heap, 1 + random.below(1000), 1));
    } else if (!blocks.empty()) {
      drop_on_any_thread(*heap, blocks.back());
      blocks.pop_back();
    }
  }
  done = true;
  reader.join();
}

}  // namespace offheap::test
