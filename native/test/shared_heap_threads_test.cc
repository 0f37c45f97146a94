// A heap for many threads with many threads in it at once. Run under ThreadSanitizer too: make test MODE=tsan.
#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "test/shared_heaps.h"

namespace offheap::test {

namespace {

#if defined(OFFHEAP_CHECK_INVARIANTS)
constexpr int kRounds = 400;
#elif defined(NDEBUG)
constexpr int kRounds = 40'000;
#else
constexpr int kRounds = 5'000;
#endif

constexpr std::size_t kThreads = 4;

[[nodiscard]] std::size_t random_size(Random& random) {
  return random.one_in(500) ? 17 * kMiB : random.one_in(20) ? random.log_uniform(18) : random.log_uniform(11);
}

}  // namespace

TEST("every thread allocates from its part and frees what any other made, while all are at work") {
  const OwnShared heap;
  std::array<Queue<SharedHeld>, kThreads> queues;
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    const Attached part(*heap);
    Random random(self + 1);
    meet();
    for (int round = 0; round < kRounds; ++round) {
      const SharedHeld made = hold_shared(*part, random_size(random));
      // Its own among them.
      queues[random.below(kThreads)].put(made);
      if (const auto held = queues[self].take()) drop_shared(*held);
      if (random.one_in(1000)) (void)heap->trim();
      if (random.one_in(1000)) (void)heap->statistics();
    }
  });
  for (auto& queue : queues) {
    while (const auto held = queue.take()) drop_shared(*held);
  }
  CHECK_EQ(heap->statistics().allocations, kThreads * static_cast<std::size_t>(kRounds));
  check_nothing_in_use(*heap);
}

TEST("threads that come and go free what threads before them made, and there are never more parts than threads") {
  const OwnShared heap;
  Queue<SharedHeld> left_behind;
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    Random random(self + 1);
    meet();
    for (int stay = 0; stay < kRounds / 8; ++stay) {
      const Attached part(*heap);
      for (int count = 0; count < 5; ++count) left_behind.put(hold_shared(*part, random.log_uniform(12)));
      for (int count = 0; count < 5; ++count) {
        if (const auto held = left_behind.take()) drop_shared(*held);
      }
    }
  });
  CHECK(parts_of(*heap).size() <= kThreads);
  check_nothing_in_use(*heap);
}

TEST("a part has one owner at a time, also where many threads attach and leave at once") {
  const OwnShared heap;
  std::mutex mutex;
  std::map<const Heap*, std::unique_ptr<std::atomic<int>>> owners;
  on_meeting_threads(kThreads, [&](std::size_t, const auto& meet) {
    meet();
    for (int round = 0; round < kRounds / 5; ++round) {
      const Attached part(*heap);
      std::atomic<int>* count = nullptr;
      {
        const std::scoped_lock lock(mutex);
        auto& entry = owners[part.get()];
        if (!entry) entry = std::make_unique<std::atomic<int>>(0);
        count = entry.get();
      }
      CHECK_EQ(count->fetch_add(1), 0);
      CHECK(part->owner().is_this_thread());
      count->fetch_sub(1);
    }
  });
  CHECK(owners.size() <= kThreads);
  CHECK_EQ(parts_of(*heap).size(), owners.size());
}

TEST("threads together never pass the limit, and what a refusal says of asked, in use and limit adds up") {
  constexpr std::size_t kLimit = 100'000;
  const OwnShared heap({.limit = kLimit});
  // Never more than what is in use.
  std::atomic<std::size_t> held_bytes{0};
  std::atomic<std::uint64_t> refusals{0};
  std::array<Queue<SharedHeld>, kThreads> queues;
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    const Attached part(*heap);
    Random random(self + 1);
    meet();
    for (int round = 0; round < 5 * kRounds; ++round) {
      const std::size_t size = random.below(20'000);
      const auto made = heap->allocate(*part, layout(size), Fill::kAnything);
      if (made.ok()) {
        CHECK(held_bytes.fetch_add(size) + size <= kLimit);
        const SharedHeld held{part.get(), made.value().address, size, random.next()};
        held.fill();
        queues[random.below(kThreads)].put(held);
      } else {
        const Failure& failure = made.error();
        CHECK_EQ(failure.reason, Refusal::kLimit);
        CHECK_EQ(failure.asked, size);
        CHECK_EQ(failure.limit, kLimit);
        CHECK(failure.in_use <= kLimit);
        CHECK(failure.in_use + failure.asked > kLimit);
        ++refusals;
      }
      while (const auto held = queues[self].take()) {
        held_bytes.fetch_sub(held->size);
        drop_shared(*held);
      }
      CHECK(heap->budget().in_use() <= kLimit);
    }
  });
  for (auto& queue : queues) {
    while (const auto held = queue.take()) drop_shared(*held);
  }
  CHECK_EQ(heap->statistics().failures, refusals.load());
  check_nothing_in_use(*heap);
}

TEST("the peak is never above the truth, however blocks come and go while it is looked at") {
  constexpr std::size_t kBlock = 512 * kKiB;
  // One thread at a time has a block.
  constexpr std::size_t kLimit = kBlock;
  const OwnShared heap({.limit = kLimit});
  std::atomic<std::size_t> at_work{0};
  std::atomic<bool> ended{false};
  Threads threads;
  {
    const SetAtEnd end(ended);
    for (std::size_t self = 0; self < kThreads; ++self) {
      threads.start([&] {
        const Attached part(*heap);
        ++at_work;
        while (!ended) {
          const auto made = heap->allocate(*part, layout(kBlock), Fill::kAnything);
          std::this_thread::yield();
          if (made.ok()) SharedHeap::free(*part, made.value().address, kBlock);
        }
      });
    }
    while (at_work < kThreads) std::this_thread::yield();
    for (int round = 0; round < kRounds / 10; ++round) CHECK(heap->statistics().peak <= kLimit);
  }
  threads.join();
  check_nothing_in_use(*heap);
}

TEST("blocks are resized and moved by threads that do not own their part, while the owner works in it") {
  // A limit that is not reached, so that it is kept account of.
  const OwnShared heap({.limit = 4096 * kMiB});
  std::array<Queue<SharedHeld>, kThreads> queues;
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    const Attached part(*heap);
    Random random(self + 1);
    meet();
    const auto resize = [&](SharedHeld held) {
      const std::size_t size = random.log_uniform(15);
      const auto resized = heap->resize_in_place(*held.part, held.address, held.size, layout(size), Fill::kAnything);
      CHECK(resized.ok());
      std::byte* address = held.address;
      if (!resized.value()) {
        const auto move = heap->begin_move(*held.part, held.address, held.size, layout(size));
        CHECK(move.ok());
        if (random.one_in(4)) {
          heap->abandon_move(*held.part, move.value());
          CHECK(held.intact());
          return held;
        }
        heap->finish_move(*held.part, move.value(), Fill::kAnything);
        address = move.value().to.address;
      }
      CHECK(has_pattern(address, std::min(held.size, size), held.seed));
      CHECK(heap->part_of(address) == held.part);
      held.address = address;
      held.size = size;
      held.fill();
      return held;
    };
    for (int round = 0; round < kRounds / 2; ++round) {
      queues[random.below(kThreads)].put(hold_shared(*part, random.log_uniform(15)));
      if (const auto held = queues[self].take()) {
        const SharedHeld other = resize(*held);
        if (random.one_in(3)) {
          queues[random.below(kThreads)].put(other);
        } else {
          drop_shared(other);
        }
      }
      if (const auto held = queues[self].take()) drop_shared(*held);
    }
  });
  for (auto& queue : queues) {
    while (const auto held = queue.take()) drop_shared(*held);
  }
  check_nothing_in_use(*heap);
}

TEST("a heap is closed while others allocate: from then on every thread is refused, and frees give the pages back") {
  constexpr std::size_t kMostBlocks = 200;  // for each thread
  for (int repeat = 0; repeat < 20; ++repeat) {
    const OwnShared heap;
    std::atomic<std::size_t> at_work{0};
    std::atomic<bool> closed{false};
    std::array<std::vector<SharedHeld>, kThreads> blocks;
    Threads threads;
    for (std::size_t self = 0; self < kThreads; ++self) {
      threads.start([&, self] {
        const Attached part(*heap);
        auto& own = blocks[self];
        ++at_work;
        while (true) {
          const bool was_closed = closed;
          const std::size_t size = 100 * own.size();
          const auto made = heap->allocate(*part, layout(size), Fill::kAnything);
          if (!made.ok()) {
            CHECK_EQ(made.error().reason, Refusal::kClosed);
            break;
          }
          CHECK(!was_closed);
          own.push_back({part.get(), made.value().address, size, self});
          own.back().fill();
          if (own.size() < kMostBlocks) continue;
          drop_shared(own.back());
          own.pop_back();
        }
      });
    }
    while (at_work < kThreads) std::this_thread::yield();
    heap->close();
    closed = true;
    threads.join();
    CHECK_EQ(heap->attach().error().reason, Refusal::kClosed);
    std::size_t bytes = 0;
    std::size_t count = 0;
    for (const auto& some : blocks) {
      count += some.size();
      for (const SharedHeld& held : some) bytes += held.size;
    }
    check_at_rest(*heap, bytes, count);
    on_threads(kThreads, [&](std::size_t self) {
      for (const SharedHeld& held : blocks[(self + 1) % kThreads]) drop_shared(held);
    });
    check_at_rest(*heap, 0, 0);
    CHECK_EQ(heap->statistics().regions, 0U);
  }
}

TEST("a thread that attaches while the heap is closed is refused, or its part is closed too") {
  SharedHeap* heap = nullptr;
  Heap* attached = nullptr;
  on_meeting_threads(2, [&](std::size_t self, const auto& meet) {
    for (int round = 0; round < kRounds / 10; ++round) {
      if (self == 0) heap = SharedHeap::create({}).value();
      meet();
      if (self == 0) {
        for (int turn = 0; turn < round % 64; ++turn) (void)heap->closed();
        heap->close();
      } else {
        const auto result = heap->attach();
        attached = result.ok() ? result.value() : nullptr;
        if (!result.ok()) CHECK_EQ(result.error().reason, Refusal::kClosed);
      }
      meet();
      if (self == 1 && attached != nullptr) {
        CHECK(attached->closed());
        heap->detach(attached);
      }
      meet();
      if (self == 0) heap->release();
    }
  });
}

TEST("pages decay and are trimmed by others while threads allocate and free, and every block keeps its contents") {
  const OwnShared heap;
  std::atomic<bool> ended{false};
  std::array<Queue<SharedHeld>, 2> queues;
  Threads helpers;
  helpers.start([&] {
    std::uint64_t now = os::monotonic_milliseconds();
    while (!ended) {
      (void)heap->decay(now += 700);
      std::this_thread::yield();
    }
  });
  helpers.start([&] {
    while (!ended) {
      (void)heap->trim();
      heap->for_each_part([](Heap& part) { CHECK(part.check_invariants()); });
      std::this_thread::yield();
    }
  });
  {
    const SetAtEnd end(ended);
    on_threads(2, [&](std::size_t self) {
      const Attached part(*heap);
      Random random(self + 1);
      std::vector<SharedHeld> own;
      for (int round = 0; round < kRounds / 4; ++round) {
        own.push_back(hold_shared(*part, random.log_uniform(17)));
        if (own.size() < 16) continue;
        const std::size_t index = random.below(own.size());
        if (random.one_in(2)) {
          drop_shared(own[index]);
        } else {
          queues[1 - self].put(own[index]);
        }
        own[index] = own.back();
        own.pop_back();
        while (const auto held = queues[self].take()) drop_shared(*held);
      }
      for (const SharedHeld& held : own) drop_shared(held);
    });
  }
  helpers.join();
  for (auto& queue : queues) {
    while (const auto held = queue.take()) drop_shared(*held);
  }
  check_nothing_in_use(*heap);
}

TEST("what any thread reads while others work is between nothing and what was ever in use") {
  constexpr std::size_t kMostBlocks = 50;
  constexpr std::size_t kMostBytes = 1000;
  const OwnShared heap;
  std::atomic<bool> ended{false};
  Threads reader;
  reader.start([&] {
    while (!ended) {
      // A block may be counted in one part when it is gone, and another in the next when it has come.
      CHECK(heap->bytes_in_use() <= 2 * kThreads * kMostBlocks * kMostBytes);
      CHECK(heap->blocks_in_use() <= 2 * kThreads * kMostBlocks);
      const Statistics statistics = heap->statistics();
      CHECK(statistics.blocks <= 2 * kThreads * kMostBlocks);
      CHECK(statistics.usable >= statistics.requested);
      CHECK(statistics.committed >= statistics.usable + statistics.metadata);
      CHECK(statistics.peak <= kThreads * kMostBlocks * kMostBytes);
    }
  });
  {
    const SetAtEnd end(ended);
    on_threads(kThreads, [&](std::size_t self) {
      const Attached part(*heap);
      Random random(self + 1);
      std::vector<SharedHeld> own;
      for (int round = 0; round < kRounds; ++round) {
        if (own.size() < kMostBlocks && random.one_in(2)) {
          own.push_back(hold_shared(*part, 1 + random.below(kMostBytes)));
        } else if (!own.empty()) {
          drop_shared(own.back());
          own.pop_back();
        }
      }
      for (const SharedHeld& held : own) drop_shared(held);
    });
  }
  reader.join();
  check_nothing_in_use(*heap);
}

TEST("any address may be asked about while its part's thread splits and merges the pages around it") {
  const OwnShared heap;
  const OwnShared other_heap;
  const Attached self(*heap);
  // Keeps the region where it is.
  const SharedHeld wall = hold_shared(*self, 100);
  std::atomic<const std::byte*> start{nullptr};
  std::atomic<bool> ended{false};
  Threads owner;
  owner.start([&] {
    const Attached part(*heap);
    const SharedHeld kept = hold_shared(*part, 100);
    const SharedHeld long_run = hold_shared(*part, kMiB);
    start = long_run.address;
    Random random(9);
    std::vector<SharedHeld> own;
    while (!ended) {
      own.push_back(hold_shared(*part, 1 + random.below(100 * kKiB)));
      if (own.size() < 12) continue;
      std::swap(own[random.below(own.size())], own.back());
      drop_shared(own.back());
      own.pop_back();
    }
    for (const SharedHeld& held : own) drop_shared(held);
    drop_shared(long_run);
    drop_shared(kept);
  });
  {
    const SetAtEnd end(ended);
    while (start == nullptr) std::this_thread::yield();
    Random random(10);
    for (int round = 0; round < kRounds / 4; ++round) {
      // The long block's first byte is a block, no other is; beyond it lies what the owner works on.
      CHECK(heap->part_of(start) != nullptr);
      CHECK(heap->part_of(start + 1 + random.below(kMiB - 1)) == nullptr);
      CHECK(heap->part_of(start + kMiB + 8 * random.below(kMiB) + 1) == nullptr);
      CHECK(other_heap->part_of(start) == nullptr);
    }
  }
  owner.join();
  drop_shared(wall);
  check_nothing_in_use(*heap);
}

}  // namespace offheap::test
