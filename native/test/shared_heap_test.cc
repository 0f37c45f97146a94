// A heap for many threads, one thread acting at a time: what each call promises. What happens when they act at once is
// in shared_heap_threads_test.cc, and how such a heap ends in shared_heap_end_test.cc.
#include "heap/shared_heap.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "heap/release_retry.h"
#include "os/clock.h"
#include "test/shared_heaps.h"

namespace offheap::test {

namespace {

constexpr std::size_t kPeakStep = 64 * kKiB;  // how far a part may be from the truth, see heap/shared_heap.cc

// One of a cell, of a run of pages, and of a reservation of its own.
constexpr std::array<std::size_t, 3> kOneOfEachKind{100, 100 * kKiB, 20 * kMiB};

void check_limit_error(const Failure& failure, std::size_t asked, std::size_t in_use, std::size_t limit) {
  CHECK_EQ(failure.reason, Refusal::kLimit);
  CHECK_EQ(failure.asked, asked);
  CHECK_EQ(failure.in_use, in_use);
  CHECK_EQ(failure.limit, limit);
}

// All that a refused request must leave alone.
void check_only_failures_differ(SharedHeap& heap, const Statistics& before, std::uint64_t failures) {
  const Statistics after = heap.statistics();
  CHECK_EQ(after.requested, before.requested);
  CHECK_EQ(after.usable, before.usable);
  CHECK_EQ(after.committed, before.committed);
  CHECK_EQ(after.reserved, before.reserved);
  CHECK_EQ(after.peak, before.peak);
  CHECK_EQ(after.blocks, before.blocks);
  CHECK_EQ(after.allocations, before.allocations);
  CHECK_EQ(after.frees, before.frees);
  CHECK_EQ(after.regions, before.regions);
  CHECK_EQ(after.spans, before.spans);
  CHECK_EQ(after.free_bytes, before.free_bytes);
  CHECK_EQ(after.failures, before.failures + failures);
}

// What Heap::statistics() shows of a part before anybody collects anything.
[[nodiscard]] std::size_t usable_bytes(const Heap& part) { return part.statistics().usable; }

}  // namespace

// --- Parts.

TEST("a shared heap has no part and nothing in use before a thread attaches") {
  const OwnShared heap;
  CHECK_EQ(parts_of(*heap).size(), 0U);
  check_at_rest(*heap, 0, 0);
  const Statistics statistics = heap->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK_EQ(statistics.reserved, statistics.committed);
  CHECK_EQ(statistics.peak, 0U);
  CHECK_EQ(statistics.failures, 0U);
  CHECK_EQ(heap->trim(), 0U);
  CHECK(!heap->closed());
}

TEST("blocks of every size come from the thread's own part and hold what is written") {
  const OwnShared heap;
  const Attached part(*heap);
  std::vector<SharedHeld> blocks;
  std::size_t bytes = 0;
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{100}, std::size_t{5000}, 33 * kKiB, kMiB, 16 * kMiB, 17 * kMiB}) {
    blocks.push_back(hold_shared(*part, size));
    bytes += size;
    CHECK(heap->part_of(blocks.back().address) == part.get());
    CHECK(&SharedHeap::part_holding(blocks.back().address) == part.get());
  }
  check_at_rest(*heap, bytes, blocks.size());
  const auto aligned = heap->allocate(*part, layout(10, 4096), Fill::kZero);
  CHECK(aligned.ok());
  CHECK(heap::is_aligned(aligned.value().address, 4096));
  CHECK(is_zero(aligned.value().address, 10));
  SharedHeap::free(*part, aligned.value().address, 10);
  for (const SharedHeld& held : blocks) drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("the size classes are the heap's own: what the caller does with his afterwards changes no part") {
  std::array<std::uint32_t, 2> classes{64, 1024};
  const OwnShared heap({.size_classes = classes});
  const Attached first(*heap);
  CHECK_EQ(heap->allocate(*first, layout(10), Fill::kAnything).value().usable, 64U);
  classes = {8, 16};
  CHECK_EQ(heap->allocate(*first, layout(65), Fill::kAnything).value().usable, 1024U);
  Worker other;
  other.run([&] {
    const Attached second(*heap);
    CHECK_EQ(heap->allocate(*second, layout(10), Fill::kAnything).value().usable, 64U);
    CHECK_EQ(heap->allocate(*second, layout(1000), Fill::kAnything).value().usable, 1024U);
  });
  heap->for_each_part([](Heap& part) { CHECK_EQ(part.buckets().size(), 2U); });
}

TEST("size classes that no heap can have are refused, and nothing is taken") {
  constexpr std::array<std::uint32_t, 2> kDescending{64, 32};
  const auto calls = kernel_calls();
  CHECK_EQ(SharedHeap::create({.size_classes = kDescending}).error().reason, Refusal::kOutOfRange);
  CHECK_EQ(SharedHeap::create({.size_classes = {}}).error().reason, Refusal::kOutOfRange);
  CHECK_EQ(kernel_calls(), calls);
}

TEST("a thread takes over the part of one that has left, with its live blocks and its pages") {
  const OwnShared heap;
  Heap* left = nullptr;
  SharedHeld kept;
  std::array<std::byte*, 20> freed{};
  Worker first;
  first.run([&] {
    const Attached part(*heap);
    left = part.get();
    kept = hold_shared(*part, 100);
    std::array<SharedHeld, 20> blocks;
    for (SharedHeld& held : blocks) held = hold_shared(*part, 100);
    std::ranges::transform(blocks, freed.begin(), [](const SharedHeld& held) { return held.address; });
    for (const SharedHeld& held : blocks) drop_shared(held);
  });
  CHECK(left->owner().is_nobody());
  const Statistics before = heap->statistics();
  const auto calls = kernel_calls();
  const Attached part(*heap);
  CHECK(part.get() == left);
  CHECK(part->owner().is_this_thread());
  for (std::byte* const address : freed) CHECK(hold_shared(*part, 100).address == address);
  CHECK_EQ(kernel_calls(), calls);
  CHECK_EQ(heap->statistics().committed, before.committed);
  check_at_rest(*heap, 2100, 21);
  drop_shared(kept);
  for (std::byte* const address : freed) SharedHeap::free(*part, address, 100);
  check_nothing_in_use(*heap);
}

TEST("a part changes hands when nobody works in it: who takes it over waits for who stands in for the owner") {
  const OwnShared heap;
  Heap* left = nullptr;
  on_threads(1, [&](std::size_t) {
    const Attached part(*heap);
    left = part.get();
    drop_shared(hold_shared(*part, 100));
  });
  std::atomic<bool> at_it{false};
  std::atomic<bool> attached{false};
  Threads thread;
  heap->for_each_part([&](Heap& part) {
    thread.start([&] {
      at_it = true;
      const Attached taken_over(*heap);
      attached = true;
      CHECK(taken_over.get() == left);
      drop_shared(hold_shared(*taken_over, 100));
    });
    while (!at_it) std::this_thread::yield();
    for (int turn = 0; turn < 1000; ++turn) std::this_thread::yield();
    CHECK(!attached);
    CHECK(part.owner().is_nobody());
  });
  thread.join();
  CHECK(attached);
  check_nothing_in_use(*heap);
}

TEST("a thread that leaves waits for who works in its part, and leaves no free page behind") {
  const OwnShared heap;
  std::atomic<bool> at_it{false};
  std::atomic<bool> left{false};
  std::atomic<bool> may_leave{false};
  std::atomic<Heap*> attached{nullptr};
  Threads thread;
  thread.start([&] {
    Attached part(*heap);
    drop_shared(hold_shared(*part, 100 * kKiB));
    attached = part.get();
    while (!may_leave) std::this_thread::yield();
    at_it = true;
    part.detach();
    left = true;
  });
  while (attached == nullptr) std::this_thread::yield();
  heap->for_each_part([&](Heap& part) {
    may_leave = true;
    while (!at_it) std::this_thread::yield();
    for (int turn = 0; turn < 1000; ++turn) std::this_thread::yield();
    CHECK(!left);
    CHECK(!part.owner().is_nobody());
  });
  thread.join();
  const Statistics statistics = attached.load()->statistics();
  CHECK_EQ(statistics.committed, statistics.metadata);
  check_nothing_in_use(*heap);
}

TEST("there are as many parts as threads were attached at one time, and no more") {
  const OwnShared heap;
  {
    const Member first(*heap);
    {
      const Member second(*heap);
      const Member third(*heap);
      CHECK_EQ(parts_of(*heap).size(), 3U);
      CHECK(&first.part() != &second.part());
      CHECK(&second.part() != &third.part());
      CHECK(&first.part() != &third.part());
    }
    const Member again(*heap);
    CHECK_EQ(parts_of(*heap).size(), 3U);
    const Attached self(*heap);
    CHECK_EQ(parts_of(*heap).size(), 3U);
    const Member fourth(*heap);
    CHECK_EQ(parts_of(*heap).size(), 4U);
  }
  for (const Heap* const part : parts_of(*heap)) CHECK(const_cast<Heap*>(part)->owner().is_nobody());
}

TEST("a thread may leave and come back") {
  const OwnShared heap;
  Heap* part = nullptr;
  for (int round = 0; round < 100; ++round) {
    const Attached self(*heap);
    CHECK(round == 0 || self.get() == part);
    part = self.get();
    drop_shared(hold_shared(*self, 100));
  }
  CHECK_EQ(parts_of(*heap).size(), 1U);
  check_nothing_in_use(*heap);
}

TEST("a thousand threads come and go, leave blocks behind and find the same part with the same pages") {
  const OwnShared heap;
  const auto come_and_go = [&](int rounds) {
    std::optional<SharedHeld> left_behind;
    for (int round = 0; round < rounds; ++round) {
      on_threads(1, [&](std::size_t) {
        const Attached part(*heap);
        std::array<SharedHeld, 8> blocks;
        for (std::size_t index = 0; index < blocks.size(); ++index) blocks[index] = hold_shared(*part, 700 * index + 1);
        // A block of the thread before.
        if (left_behind) drop_shared(*left_behind);
        left_behind = blocks[5];
        for (const SharedHeld& held : blocks) {
          if (held.address != left_behind->address) drop_shared(held);
        }
      });
    }
    drop_shared(*left_behind);
  };
  come_and_go(10);
  const Statistics before = heap->statistics();
  come_and_go(1000);
  const Statistics after = heap->statistics();
  CHECK_EQ(after.committed, before.committed);
  CHECK_EQ(after.reserved, before.reserved);
  CHECK_EQ(after.spans, before.spans);
  CHECK_EQ(after.allocations - before.allocations, 8000U);
  CHECK_EQ(parts_of(*heap).size(), 1U);
  check_nothing_in_use(*heap);
}

// --- Freeing.

TEST("a block freed by its part's thread, by another with a part or one without is out of use at once") {
  const OwnShared heap;
  Member owner(*heap);
  Member other(*heap);
  Worker stranger;
  for (const std::size_t size : kOneOfEachKind) {
    for (const int freer : {0, 1, 2, 3}) {
      const SharedHeld held = owner.hold(size);
      check_at_rest(*heap, size, 1);
      switch (freer) {
        case 0:
          owner.drop(held);
          break;
        case 1:
          other.drop(held);
          break;
        case 2:
          stranger.run([&] { drop_shared(held); });
          break;
        default:
          drop_shared(held);
          break;
      }
      CHECK_EQ(heap->bytes_in_use(), 0U);
      CHECK_EQ(heap->blocks_in_use(), 0U);
      CHECK(heap->part_of(held.address) == nullptr);
      other.run([&] { check_at_rest(*heap, 0, 0); });
    }
  }
  CHECK_EQ(heap->statistics().allocations, 12U);
  check_nothing_in_use(*heap);
}

TEST("a block of a part without an owner is freed by any thread, and the numbers are right at once") {
  for (const std::size_t size : kOneOfEachKind) {
    const OwnShared heap;
    Worker thread;
    std::array<SharedHeld, 3> blocks;
    thread.run([&] {
      const Attached part(*heap);
      for (SharedHeld& held : blocks) held = hold_shared(*part, size);
    });
    check_at_rest(*heap, 3 * size, 3);
    thread.run([&] { drop_shared(blocks[0]); });
    check_at_rest(*heap, 2 * size, 2);
    drop_shared(blocks[1]);
    check_at_rest(*heap, size, 1);
    const Attached self(*heap);
    drop_shared(blocks[2]);
    check_nothing_in_use(*heap);
  }
}

TEST("what was freed to a part without an owner is collected by its next owner") {
  const OwnShared heap;
  Worker thread;
  SharedHeld cell;
  SharedHeld run;
  thread.run([&] {
    const Attached part(*heap);
    cell = hold_shared(*part, 100);
    run = hold_shared(*part, 100 * kKiB);
  });
  drop_shared(cell);
  drop_shared(run);
  const Attached part(*heap);
  CHECK(usable_bytes(*part) > 100 * kKiB);
  // Pages are asked for, so what others freed is looked at first.
  const SharedHeld again = hold_shared(*part, 100 * kKiB);
  CHECK(again.address == run.address);
  CHECK_EQ(usable_bytes(*part), 100 * kKiB);
  drop_shared(again);
  check_nothing_in_use(*heap);
}

TEST("what was freed to a part without an owner is collected by trim, decay and statistics") {
  for (const std::size_t size : kOneOfEachKind) {
    for (const int way : {0, 1, 2, 3}) {
      const OwnShared heap;
      Worker thread;
      SharedHeld held;
      thread.run([&] {
        const Attached part(*heap);
        held = hold_shared(*part, size);
      });
      const Heap& part = *held.part;
      drop_shared(held);
      // Large blocks do not wait for somebody to collect them.
      CHECK_EQ(usable_bytes(part) >= size, size < 256 * kKiB);
      const std::size_t committed = part.statistics().committed;
      switch (way) {
        case 0: {
          const std::size_t given = heap->trim();
          // A huge block went back when it was collected.
          if (size < 256 * kKiB) CHECK_EQ(part.statistics().committed, committed - given);
          CHECK_EQ(part.statistics().regions, 0U);
          CHECK_EQ(part.statistics().committed, part.statistics().metadata);
          break;
        }
        case 1:
          (void)heap->decay(os::monotonic_milliseconds() + 100'000);
          break;
        case 2:
          CHECK_EQ(heap->statistics().usable, 0U);
          break;
        default:
          heap->for_each_part([](Heap&) {});
          break;
      }
      CHECK_EQ(usable_bytes(part), 0U);
      check_nothing_in_use(*heap);
    }
  }
}

TEST("a thread that frees another's blocks makes room there, and its own part grows by nothing") {
  const OwnShared heap;
  Member producer(*heap);
  Member consumer(*heap);
  const std::size_t before = consumer.part().statistics().committed;
  std::size_t committed = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<SharedHeld> blocks(1000);
    producer.run([&] {
      for (SharedHeld& held : blocks) held = hold_shared(producer.part(), 500);
    });
    if (round == 1) committed = producer.part().statistics().committed;
    consumer.run([&] {
      for (const SharedHeld& held : blocks) drop_shared(held);
    });
  }
  CHECK(producer.part().statistics().committed <= committed);
  CHECK_EQ(consumer.part().statistics().committed, before);
  check_nothing_in_use(*heap);
}

// --- Numbers.

TEST("the numbers of a heap are the sums over its parts, on any thread") {
  const OwnShared heap;
  Member first(*heap);
  Member second(*heap);
  std::vector<SharedHeld> blocks;
  std::size_t bytes = 0;
  for (std::size_t index = 0; index < 60; ++index) {
    const std::size_t size = index * index * 40;
    blocks.push_back((index % 3 == 0 ? first : second).hold(size));
    bytes += size;
  }
  second.drop(blocks[0]);
  second.drop(blocks[1]);
  first.drop(blocks[2]);
  bytes -= blocks[1].size + blocks[2].size;
  Statistics sum;
  for (const Heap* const part : parts_of(*heap)) sum += part->statistics();
  const auto check = [&] {
    check_at_rest(*heap, bytes, 57);
    const Statistics all = heap->statistics();
    CHECK_EQ(all.requested, sum.requested);
    CHECK_EQ(all.usable, sum.usable);
    CHECK_EQ(all.blocks, 57U);
    CHECK_EQ(all.allocations, 60U);
    CHECK_EQ(all.frees, 3U);
    CHECK_EQ(all.regions, 2U);
    CHECK_EQ(all.spans, sum.spans);
    CHECK_EQ(all.free_bytes, sum.free_bytes);
    CHECK_EQ(all.largest_free_run, sum.largest_free_run);
    // The record of the shared heap itself is in none of its parts.
    const std::size_t own = heap::round_up(sizeof(SharedHeap), os::allocation_granularity());
    CHECK_EQ(all.committed, sum.committed + own);
    CHECK_EQ(all.reserved, sum.reserved + own);
    CHECK_EQ(all.metadata, sum.metadata + own);
  };
  check();
  first.run(check);
  on_threads(1, [&](std::size_t) { check(); });
  for (std::size_t index = 3; index < blocks.size(); ++index) drop_shared(blocks[index]);
  check_nothing_in_use(*heap);
}

TEST("a block that came back by itself is counted apart, unless it was expected to come late") {
  const OwnShared heap;
  Member member(*heap);
  const auto check = [&](std::uint64_t blocks, std::uint64_t bytes) {
    const SharedHeap::Totals totals = heap->statistics();
    CHECK_EQ(totals.reclaimed, blocks);
    CHECK_EQ(totals.reclaimed_bytes, bytes);
  };
  const auto free = [&](std::size_t size, SharedHeap::Cause cause) {
    const SharedHeld held = member.hold(size);
    SharedHeap::free(*held.part, held.address, size, cause);
  };
  check(0, 0);
  free(100, SharedHeap::Cause::kFreed);
  check(0, 0);
  free(200, SharedHeap::Cause::kReclaimed);
  check(1, 200);
  const SharedHeld own = member.hold(30);
  member.run([&] { SharedHeap::free(*own.part, own.address, 30, SharedHeap::Cause::kReclaimed); });
  check(2, 230);
  heap->expect_late(4000);
  free(4000, SharedHeap::Cause::kReclaimed);
  check(2, 230);
  CHECK_EQ(heap->statistics().frees, 4U);
  check_nothing_in_use(*heap);
}

TEST("the peak of a heap with one part is exact, however its blocks came to be what they are") {
  const OwnShared heap;
  const Attached part(*heap);
  const auto check = [&](std::size_t peak) { CHECK_EQ(heap->statistics().peak, peak); };
  const SharedHeld first = hold_shared(*part, 1000);
  check(1000);
  drop_shared(first);
  drop_shared(hold_shared(*part, 999));
  check(1000);
  drop_shared(hold_shared(*part, 3 * kMiB));
  check(3 * kMiB);
  const SharedHeld held = hold_shared(*part, kMiB);
  on_threads(1, [&](std::size_t) { drop_shared(hold_shared(*Attached(*heap), 0)); });
  CHECK(heap->resize_in_place(*part, held.address, kMiB, layout(4 * kMiB), Fill::kAnything).value());
  CHECK(heap->resize_in_place(*part, held.address, 4 * kMiB, layout(kMiB), Fill::kAnything).value());
  check(4 * kMiB);
  const auto move = heap->begin_move(*part, held.address, kMiB, layout(5 * kMiB));
  CHECK(move.ok());
  check(4 * kMiB);
  heap->finish_move(*part, move.value(), Fill::kAnything);
  SharedHeap::free(*part, move.value().to.address, 5 * kMiB);
  check(5 * kMiB);
  check_nothing_in_use(*heap);
}

TEST("the peak over several parts is at most 64 KiB a thread below the truth, and not above it") {
  const OwnShared heap;
  std::array<std::optional<Member>, 4> members;
  for (auto& member : members) member.emplace(*heap);
  std::vector<SharedHeld> blocks;
  std::size_t bytes = 0;
  std::size_t peak = 0;
  Random random(11);
  for (int step = 0; step < 4000; ++step) {
    Member& member = *members[random.below(members.size())];
    if (blocks.empty() || random.one_in(2)) {
      blocks.push_back(member.hold(random.log_uniform(19)));
      bytes += blocks.back().size;
      peak = std::max(peak, bytes);
    } else {
      std::swap(blocks[random.below(blocks.size())], blocks.back());
      bytes -= blocks.back().size;
      member.drop(blocks.back());
      blocks.pop_back();
    }
  }
  for (const SharedHeld& held : blocks) drop_shared(held);
  const std::size_t seen = heap->statistics().peak;
  CHECK(seen <= peak);
  CHECK(seen + kPeakStep * members.size() >= peak);
  check_nothing_in_use(*heap);
}

TEST("the peak does not miss a part that has shrunk and grows again by one large block") {
  const OwnShared heap;
  Member first(*heap);
  Member second(*heap);
  first.drop(first.hold(kMiB));
  const SharedHeld held = second.hold(kMiB);
  first.drop(first.hold(kMiB));
  second.drop(held);
  CHECK(heap->statistics().peak + 2 * kPeakStep >= 2 * kMiB);
}

TEST("the peak does not miss a part that grows by resizing, in place or by a move") {
  for (const bool in_place : {true, false}) {
    const OwnShared heap;
    Member first(*heap);
    Member second(*heap);
    const SharedHeld wall = first.hold(3 * kMiB);
    const SharedHeld held = second.hold(40 * kKiB);
    second.run([&] {
      if (in_place) {
        CHECK(heap->resize_in_place(*held.part, held.address, held.size, layout(2 * kMiB), Fill::kAnything).value());
        CHECK(heap->resize_in_place(*held.part, held.address, 2 * kMiB, layout(40 * kKiB), Fill::kAnything).value());
        drop_shared(held);
      } else {
        const auto move = heap->begin_move(*held.part, held.address, held.size, layout(2 * kMiB));
        CHECK(move.ok());
        heap->finish_move(*held.part, move.value(), Fill::kAnything);
        SharedHeap::free(*held.part, move.value().to.address, 2 * kMiB);
      }
    });
    first.drop(wall);
    CHECK(heap->statistics().peak + 2 * kPeakStep >= 5 * kMiB);
    CHECK(heap->statistics().peak <= 5 * kMiB);
  }
}

TEST("the peak is at most 64 KiB a thread below the truth where every part falls and rises by less than that") {
  constexpr std::size_t kSwing = 63 * kKiB;
  const OwnShared heap;
  std::array<std::optional<Member>, 2> members;
  for (auto& member : members) member.emplace(*heap);
  std::vector<SharedHeld> blocks;
  for (auto& member : members) {
    blocks.push_back(member->hold(8 * kMiB));
    const SharedHeld swinging = member->hold(kSwing);
    blocks.push_back(member->hold(2 * kKiB));
    member->drop(swinging);
  }
  for (auto& member : members) {
    blocks.push_back(member->hold(kSwing));
    blocks.push_back(member->hold(kSwing));
  }
  const std::size_t peak = heap->bytes_in_use();
  for (const SharedHeld& held : blocks) drop_shared(held);
  const std::size_t seen = heap->statistics().peak;
  CHECK(seen <= peak);
  CHECK(seen + kPeakStep * members.size() >= peak);
}

TEST("the peak counts no block twice that goes in one part and comes in another while they are added up") {
  constexpr std::size_t kBlock = 100 * kKiB;
  const OwnShared heap({.limit = kBlock});
  Member first(*heap);
  Member second(*heap);
  Member third(*heap);
  const std::vector<Heap*> parts = parts_of(*heap);
  const auto member_of = [&](const Heap* part) -> Member& {
    return part == &first.part() ? first : part == &second.part() ? second : third;
  };
  // The parts are looked at in this order, and what is done in the middle one's turn is between the others'.
  const auto before = member_of(parts[0]).hold(kBlock);
  SharedHeld after;
  std::function<void()> between = [&] {
    SharedHeap::free(*before.part, before.address, before.size);
    after = member_of(parts[2]).hold(kBlock);
  };
  parts[1]->part().shelf = &between;
  parts[1]->part().empty_shelf = [](void* shelf) { (*static_cast<std::function<void()>*>(shelf))(); };
  const Statistics statistics = heap->statistics();
  parts[1]->part().empty_shelf = nullptr;
  CHECK_EQ(statistics.peak, kBlock);
  CHECK_EQ(heap->statistics().peak, kBlock);
  drop_shared(after);
  check_nothing_in_use(*heap);
}

// --- The limit.

TEST("a limit holds for all parts together, to the byte") {
  const OwnShared heap({.limit = 1000});
  Member first(*heap);
  Member second(*heap);
  const SharedHeld a = first.hold(600);
  second.run([&] {
    const auto calls = kernel_calls();
    const Statistics before = heap->statistics();
    check_limit_error(heap->allocate(second.part(), layout(401), Fill::kZero).error(), 401, 600, 1000);
    check_limit_error(heap->allocate(second.part(), layout(heap::kMaxBlockBytes), Fill::kZero).error(),
                      heap::kMaxBlockBytes, 600, 1000);
    CHECK_EQ(kernel_calls(), calls);
    check_only_failures_differ(*heap, before, 2);
  });
  const SharedHeld b = second.hold(400);
  check_limit_error(heap->allocate(first.part(), layout(1), Fill::kZero).error(), 1, 1000, 1000);
  check_at_rest(*heap, 1000, 2);
  const SharedHeld nothing = first.hold(0);
  // What one thread frees of another's makes room for a third.
  first.drop(b);
  check_at_rest(*heap, 600, 2);
  Member third(*heap);
  const SharedHeld c = third.hold(400);
  CHECK_EQ(heap->statistics().failures, 3U);
  for (const SharedHeld& held : {a, c, nothing}) drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("a limit of zero allows blocks of zero bytes alone") {
  const OwnShared heap({.limit = 0});
  const Attached part(*heap);
  check_limit_error(heap->allocate(*part, layout(1), Fill::kZero).error(), 1, 0, 0);
  const SharedHeld held = hold_shared(*part, 0);
  check_at_rest(*heap, 0, 1);
  drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("a request the kernel refuses gives back what it took of the limit") {
  const OwnShared heap({.limit = 30 * kMiB});
  const Attached part(*heap);
  for (const std::size_t size : kOneOfEachKind) {
    const Statistics before = heap->statistics();
    os::faults::fail_any(1, os::faults::kForever);
    const auto refused = heap->allocate(*part, layout(size), Fill::kZero);
    os::faults::clear();
    CHECK_EQ(refused.error().reason, Refusal::kOutOfMemory);
    check_only_failures_differ(*heap, before, 1);
    CHECK_EQ(heap->budget().in_use(), 0U);
  }
  const SharedHeld held = hold_shared(*part, 30 * kMiB);
  drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("a limit counts a block that is resized net of its old size, on whatever thread") {
  const OwnShared heap({.limit = 10 * kMiB});
  Member owner(*heap);
  Member other(*heap);
  for (Member* const thread : {&owner, &other}) {
    const SharedHeld wall = other.hold(4 * kMiB);
    const SharedHeld held = owner.hold(2 * kMiB);
    thread->run([&] {
      Heap& part = *held.part;
      const Statistics before = heap->statistics();
      check_limit_error(heap->resize_in_place(part, held.address, held.size, layout(6 * kMiB + 1), Fill::kZero).error(),
                        4 * kMiB + 1, 6 * kMiB, 10 * kMiB);
      check_only_failures_differ(*heap, before, 1);
      CHECK(held.intact());
      CHECK(heap->resize_in_place(part, held.address, held.size, layout(6 * kMiB), Fill::kZero).value());
      CHECK(held.intact());
      CHECK(is_zero(held.address + held.size, 4 * kMiB));
      check_at_rest(*heap, 10 * kMiB, 2);
      CHECK(heap->resize_in_place(part, held.address, 6 * kMiB, layout(5 * kMiB), Fill::kZero).value());
      check_at_rest(*heap, 9 * kMiB, 2);
      // Too small to stay: nothing changes.
      CHECK(!heap->resize_in_place(part, held.address, 5 * kMiB, layout(10), Fill::kZero).value());
      check_at_rest(*heap, 9 * kMiB, 2);
      const auto shrunk =
          heap->resize_in_place(part, held.address, 5 * kMiB, layout(10), Fill::kZero, Heap::Shrink::kAlways);
      CHECK(shrunk.value());
      check_at_rest(*heap, 4 * kMiB + 10, 2);
      SharedHeap::free(part, held.address, 10);
      drop_shared(wall);
    });
    check_nothing_in_use(*heap);
  }
}

TEST("a limit counts a move net of the old block, when it begins, is finished and is abandoned") {
  const OwnShared heap({.limit = 10'000});
  Member owner(*heap);
  Member other(*heap);
  for (Member* const thread : {&owner, &other}) {
    const SharedHeld wall = other.hold(4000);
    const SharedHeld held = owner.hold(2000);
    Heap& part = *held.part;
    thread->run([&] {
      const Statistics before = heap->statistics();
      check_limit_error(heap->begin_move(part, held.address, 2000, layout(6001)).error(), 4001, 6000, 10'000);
      check_only_failures_differ(*heap, before, 1);
      const auto larger = heap->begin_move(part, held.address, 2000, layout(6000));
      CHECK(larger.ok());
      CHECK_EQ(heap->budget().in_use(), 10'000U);
      CHECK_EQ(heap->bytes_in_use(), 6000U);
      check_limit_error(heap->allocate(part, layout(1), Fill::kZero).error(), 1, 10'000, 10'000);
      heap->abandon_move(part, larger.value());
      CHECK(held.intact());
      check_at_rest(*heap, 6000, 2);
      const auto again = heap->begin_move(part, held.address, 2000, layout(6000));
      CHECK(again.ok());
      heap->finish_move(part, again.value(), Fill::kZero);
      std::byte* const address = again.value().to.address;
      CHECK(has_pattern(address, 2000, held.seed));
      CHECK(is_zero(address + 2000, 4000));
      check_at_rest(*heap, 10'000, 2);
      const auto smaller = heap->begin_move(part, address, 6000, layout(50));
      CHECK(smaller.ok());
      CHECK_EQ(heap->budget().in_use(), 10'000U);
      heap->abandon_move(part, smaller.value());
      check_at_rest(*heap, 10'000, 2);
      const auto small = heap->begin_move(part, address, 6000, layout(50));
      CHECK(small.ok());
      heap->finish_move(part, small.value(), Fill::kZero);
      CHECK(has_pattern(small.value().to.address, 50, held.seed));
      check_at_rest(*heap, 4050, 2);
      SharedHeap::free(part, small.value().to.address, 50);
      drop_shared(wall);
    });
    check_nothing_in_use(*heap);
  }
}

TEST("a resize or a move the kernel refuses gives back what it took of the limit") {
  const OwnShared heap({.limit = 60 * kMiB});
  const Attached part(*heap);
  const SharedHeld held = hold_shared(*part, 20 * kMiB);
  os::faults::fail_any(1, os::faults::kForever);
  const auto resized = heap->resize_in_place(*part, held.address, held.size, layout(40 * kMiB), Fill::kAnything);
  const auto moved = heap->begin_move(*part, held.address, held.size, layout(40 * kMiB));
  os::faults::clear();
  CHECK(!resized.value());
  CHECK_EQ(moved.error().reason, Refusal::kOutOfMemory);
  check_at_rest(*heap, 20 * kMiB, 1);
  drop_shared(held);
  check_nothing_in_use(*heap);
}

// --- Closing.

TEST("a closed heap refuses every thread and every part, counts that, and keeps its live blocks") {
  const OwnShared heap({.limit = kMiB});
  Member first(*heap);
  Member second(*heap);
  const SharedHeld a = first.hold(100);
  const SharedHeld b = second.hold(40 * kKiB);
  heap->close();
  CHECK(heap->closed());
  for (Member* const member : {&first, &second}) {
    CHECK(member->part().closed());
    member->run([&] {
      const auto refused = heap->allocate(member->part(), layout(10), Fill::kZero);
      CHECK_EQ(refused.error().reason, Refusal::kClosed);
      CHECK_EQ(refused.error().asked, 10U);
    });
  }
  CHECK_EQ(heap->attach().error().reason, Refusal::kClosed);
  CHECK_EQ(heap->begin_move(first.part(), a.address, 100, layout(200)).error().reason, Refusal::kClosed);
  CHECK_EQ(heap->resize_in_place(second.part(), b.address, b.size, layout(41 * kKiB), Fill::kZero).error().reason,
           Refusal::kClosed);
  CHECK_EQ(heap->statistics().failures, 4U);
  check_at_rest(*heap, 100 + 40 * kKiB, 2);
  heap->close();
  drop_shared(a);
  drop_shared(b);
  check_nothing_in_use(*heap);
}

TEST("whatever is asked of a closed heap, the answer is that it is closed, not that it is full") {
  const OwnShared heap({.limit = 1000});
  const Attached part(*heap);
  const SharedHeld held = hold_shared(*part, 1000);
  heap->close();
  CHECK_EQ(heap->allocate(*part, layout(1), Fill::kZero).error().reason, Refusal::kClosed);
  CHECK_EQ(heap->resize_in_place(*part, held.address, 1000, layout(1001), Fill::kZero).error().reason,
           Refusal::kClosed);
  CHECK_EQ(heap->begin_move(*part, held.address, 1000, layout(1001)).error().reason, Refusal::kClosed);
  drop_shared(held);
}

TEST("the pages of a closed heap go back as its blocks are freed") {
  const OwnShared heap;
  Member first(*heap);
  Member second(*heap);
  std::vector<SharedHeld> blocks;
  for (int index = 0; index < 50; ++index) {
    blocks.push_back(first.hold(64 * kKiB));
    blocks.push_back(second.hold(100));
  }
  blocks.push_back(first.hold(20 * kMiB));
  heap->close();
  for (const SharedHeld& held : blocks) (held.part == &first.part() ? first : second).drop(held);
  for (const Heap* const part : parts_of(*heap)) {
    CHECK_EQ(part->statistics().regions, 0U);
    CHECK_EQ(part->statistics().committed, part->statistics().metadata);
  }
  check_nothing_in_use(*heap);
}

TEST("what a move began before the heap was closed can be finished and abandoned after") {
  for (const bool finish : {true, false}) {
    const OwnShared heap({.limit = 100 * kKiB});
    Member member(*heap);
    const SharedHeld held = member.hold(1000);
    const auto move = heap->begin_move(*held.part, held.address, 1000, layout(50 * kKiB));
    CHECK(move.ok());
    heap->close();
    if (finish) {
      heap->finish_move(*held.part, move.value(), Fill::kZero);
      CHECK(has_pattern(move.value().to.address, 1000, held.seed));
      check_at_rest(*heap, 50 * kKiB, 1);
      SharedHeap::free(*held.part, move.value().to.address, 50 * kKiB);
    } else {
      heap->abandon_move(*held.part, move.value());
      check_at_rest(*heap, 1000, 1);
      drop_shared(held);
    }
    check_nothing_in_use(*heap);
  }
}

TEST("the invariants of a part hold while a move is on its way: whoever has the lock meanwhile checks them") {
  for (const std::size_t size : kOneOfEachKind) {
    for (const bool finish : {true, false}) {
      const OwnShared heap;
      Member member(*heap);
      const SharedHeld held = member.hold(1000);
      const auto move = heap->begin_move(*held.part, held.address, 1000, layout(size));
      CHECK(move.ok());
      check_at_rest(*heap, 1000, 1);
      if (finish) {
        heap->finish_move(*held.part, move.value(), Fill::kAnything);
        check_at_rest(*heap, size, 1);
        SharedHeap::free(*held.part, move.value().to.address, size);
      } else {
        heap->abandon_move(*held.part, move.value());
        check_at_rest(*heap, 1000, 1);
        drop_shared(held);
      }
      check_nothing_in_use(*heap);
    }
  }
}

// --- Names.

TEST("an id finds its heap while anybody holds a handle, closed or not, and nothing afterwards") {
  const OwnShared other;
  OwnShared heap;
  const std::uint64_t id = heap->id();
  CHECK(id != other->id());
  SharedHeap* const found = SharedHeap::find(id);
  CHECK(found == &*heap);
  heap->close();
  SharedHeap* const again = SharedHeap::find(id);
  CHECK(again == found);
  heap.release();
  on_threads(1, [&](std::size_t) {
    SharedHeap* const third = SharedHeap::find(id);
    CHECK(third == found);
    third->release();
  });
  found->release();
  CHECK(SharedHeap::find(id) == again);
  again->release();
  again->release();
  CHECK(SharedHeap::find(id) == nullptr);
  CHECK(SharedHeap::find(0) == nullptr);
  CHECK(SharedHeap::find(~std::uint64_t{0}) == nullptr);
  SharedHeap* const still = SharedHeap::find(other->id());
  CHECK(still == &*other);
  still->release();
}

TEST("an id finds nothing once the last handle is gone, although blocks of the heap still live") {
  OwnShared heap;
  const std::uint64_t id = heap->id();
  SharedHeld held;
  on_threads(1, [&](std::size_t) { held = hold_shared(*Attached(*heap), 100); });
  heap.release();
  CHECK(SharedHeap::find(id) == nullptr);
  drop_shared(held);
  CHECK(SharedHeap::find(id) == nullptr);
}

TEST("no two heaps ever have the same id, also where they have the same address") {
  std::set<std::uint64_t> ids;
  std::set<const SharedHeap*> addresses;
  for (int round = 0; round < 300; ++round) {
    const OwnShared heap;
    const OwnShared unlisted({}, SharedHeap::Listed::kNo);
    CHECK(ids.insert(heap->id()).second);
    CHECK(ids.insert(unlisted->id()).second);
    addresses.insert(&*heap);
  }
  CHECK(addresses.size() < 300);
}

TEST("an unlisted heap is found by nobody, and ends like any other") {
  OwnShared before;
  OwnShared heap({}, SharedHeap::Listed::kNo);
  OwnShared after;
  CHECK(SharedHeap::find(heap->id()) == nullptr);
  {
    const Attached part(*heap);
    drop_shared(hold_shared(*part, 100));
  }
  Ground ground;
  ground.remember(*heap);
  heap.release();
  ground.check_gone();
  for (OwnShared* const listed : {&before, &after}) {
    SharedHeap* const found = SharedHeap::find((*listed)->id());
    CHECK(found == &**listed);
    found->release();
  }
}

TEST("heaps are found in any order of their making and ending") {
  std::vector<std::unique_ptr<OwnShared>> heaps;
  Random random(3);
  for (int step = 0; step < 500; ++step) {
    if (heaps.size() < 3 || random.one_in(2)) {
      heaps.push_back(std::make_unique<OwnShared>());
    } else {
      const std::size_t index = random.below(heaps.size());
      const std::uint64_t id = (*heaps[index])->id();
      heaps.erase(heaps.begin() + static_cast<std::ptrdiff_t>(index));
      CHECK(SharedHeap::find(id) == nullptr);
    }
    for (const auto& heap : heaps) {
      SharedHeap* const found = SharedHeap::find((*heap)->id());
      CHECK(found == &**heap);
      found->release();
    }
  }
}

// --- Addresses.

TEST("a live block's address leads to its part on any thread, and no other address does") {
  const OwnShared heap;
  const OwnShared other_heap;
  const OwnHeap plain;
  Member first(*heap);
  Member second(*heap);
  Member stranger(*other_heap);
  for (const std::size_t size : {std::size_t{100}, 5 * kKiB, 100 * kKiB, 20 * kMiB}) {
    const SharedHeld a = first.hold(size);
    const SharedHeld b = second.hold(size);
    const SharedHeld c = stranger.hold(size);
    const Held d = hold(*plain, size);
    const auto check = [&] {
      CHECK(heap->part_of(a.address) == &first.part());
      CHECK(heap->part_of(b.address) == &second.part());
      CHECK(heap->part_of(c.address) == nullptr);
      CHECK(other_heap->part_of(c.address) == &stranger.part());
      CHECK(heap->part_of(d.address) == nullptr);
      for (const std::size_t inside : {std::size_t{1}, std::size_t{8}, size / 2, size - 1}) {
        CHECK(heap->part_of(a.address + inside) == nullptr);
      }
      int on_stack = 0;
      CHECK(heap->part_of(reinterpret_cast<const std::byte*>(&on_stack)) == nullptr);
      CHECK(heap->part_of(nullptr) == nullptr);
      CHECK(heap->part_of(reinterpret_cast<const std::byte*>(&*heap)) == nullptr);
      for (const SharedHeld& held : {a, b, c}) CHECK(SharedHeap::is_known(held.address));
      CHECK(SharedHeap::is_known(d.address));
      CHECK(!SharedHeap::is_known(reinterpret_cast<const std::byte*>(&on_stack)));
    };
    check();
    first.run(check);
    stranger.run(check);
    // Freed by its owner, by another thread, and collected.
    first.drop(a);
    first.drop(b);
    CHECK(heap->part_of(a.address) == nullptr);
    CHECK(heap->part_of(b.address) == nullptr);
    (void)heap->statistics();
    CHECK(heap->part_of(b.address) == nullptr);
    drop_shared(c);
    drop(*plain, d);
  }
}

TEST("no address in the records of a region is a block's") {
  const OwnShared heap;
  const Attached part(*heap);
  const SharedHeld held = hold_shared(*part, 100);
  std::byte* const start = part->regions()->start();
  for (std::size_t offset = 0; offset < heap::kRegionMetadataBytes; offset += 4096) {
    CHECK(heap->part_of(start + offset) == nullptr);
  }
  drop_shared(held);
}

// --- Pages.

TEST("trim gives back the pages of every part, says how much, and leaves live blocks alone") {
  const OwnShared heap;
  Member first(*heap);
  Member second(*heap);
  std::vector<SharedHeld> kept;
  std::size_t whole_pages = 0;
  for (Member* const member : {&first, &second}) {
    std::vector<SharedHeld> freed;
    for (int index = 0; index < 20; ++index) {
      kept.push_back(member->hold(40 * kKiB));
      freed.push_back(member->hold(100 * kKiB));
    }
    whole_pages += bytes_of_whole_pages(freed);
    for (const SharedHeld& held : freed) drop_shared(held);
  }
  const std::size_t before = heap->statistics().committed;
  const std::size_t given = heap->trim();
  CHECK(given >= whole_pages);
  CHECK_EQ(heap->statistics().committed, before - given);
  CHECK_EQ(heap->statistics().committed, heap->statistics().metadata + bytes_of_touched_pages(kept));
  for (const SharedHeld& held : kept) drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("decay gives back what has been idle for a second, in parts with an owner and without") {
  const OwnShared heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 100'000;
  Member stays(*heap);
  {
    Member leaves(*heap);
    leaves.run([&] { (void)heap->decay(now); });
    for (Member* const member : {&stays, &leaves}) member->drop(member->hold(3 * kMiB));
  }
  const std::size_t before = heap->statistics().committed;
  // The parts have been in use since the last look.
  CHECK(heap->decay(now + 1000) == SharedHeap::Left::kIdlePages);
  CHECK_EQ(heap->statistics().committed, before);
  CHECK(heap->decay(now + 2000) == SharedHeap::Left::kNothing);
  CHECK_EQ(heap->statistics().committed, heap->statistics().metadata);
}

TEST("of several timers that ask for decay, one is enough: what comes too soon does nothing") {
  const OwnShared heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 100'000;
  const Attached part(*heap);
  CHECK(heap->decay(now) == SharedHeap::Left::kNothing);
  drop_shared(hold_shared(*part, 3 * kMiB));
  const std::size_t before = heap->statistics().committed;
  CHECK(heap->decay(now + 1000) == SharedHeap::Left::kIdlePages);
  for (const std::uint64_t too_soon : {1000U, 1001U, 1100U, 1499U}) {
    CHECK(heap->decay(now + too_soon) == SharedHeap::Left::kIdlePages);
    CHECK_EQ(heap->statistics().committed, before);
  }
  CHECK(heap->decay(now + 1500) == SharedHeap::Left::kNothing);
  CHECK_EQ(heap->statistics().committed, heap->statistics().metadata);
}

TEST("a timer whose look at the clock is older than another's does nothing") {
  const OwnShared heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 100'000;
  const Attached part(*heap);
  CHECK(heap->decay(now) == SharedHeap::Left::kNothing);
  drop_shared(hold_shared(*part, 3 * kMiB));
  const std::size_t before = heap->statistics().committed;
  CHECK(heap->decay(now + 1100) == SharedHeap::Left::kIdlePages);
  // Read a moment before, and late.
  CHECK(heap->decay(now + 1099) == SharedHeap::Left::kIdlePages);
  CHECK_EQ(heap->statistics().committed, before);
}

TEST("time does not go back in a part: runs of pages stay in the order of their age") {
  const OwnShared heap;
  const std::uint64_t now = os::monotonic_milliseconds() + 100'000;
  const Attached part(*heap);
  std::array<SharedHeld, 4> blocks;
  for (SharedHeld& held : blocks) held = hold_shared(*part, 100 * kKiB);
  // The clock is read before the lock is had, and the part's owner may have read it since.
  (void)heap->decay(now);
  drop_shared(blocks[0]);
  part->decay(now - 4);
  drop_shared(blocks[2]);
  CHECK(part->check_invariants());
  drop_shared(blocks[1]);
  drop_shared(blocks[3]);
}

// --- A kernel that refuses.

TEST("a shared heap is refused where the kernel refuses, at each of its calls, and nothing is kept") {
  for (std::uint32_t nth = 1;; ++nth) {
    const auto reserves = kernel_calls(os::Call::kReserve);
    const auto releases = kernel_calls(os::Call::kRelease);
    os::faults::fail_any(nth);
    const auto made = SharedHeap::create({});
    const bool refused = os::faults::refused() > 0;
    os::faults::clear();
    if (made.ok()) {
      CHECK(!refused);
      CHECK_EQ(nth, 3U);  // reserve and commit
      made.value()->release();
      return;
    }
    CHECK(refused);
    CHECK_EQ(made.error().reason, Refusal::kOutOfMemory);
    CHECK_EQ(made.error().asked, heap::round_up(sizeof(SharedHeap), os::allocation_granularity()));
    CHECK(made.error().os.number != 0);
    CHECK_EQ(made.error().os.call, nth == 1 ? os::Call::kReserve : os::Call::kCommit);
    CHECK_EQ(kernel_calls(os::Call::kReserve) - reserves, 1U);
    CHECK_EQ(kernel_calls(os::Call::kRelease) - releases, nth - 1);
  }
}

TEST("a part is refused where the kernel refuses, at each of its calls, and the heap goes on as before") {
  const OwnShared heap;
  const Member other(*heap);
  const SharedHeld held = const_cast<Member&>(other).hold(100);
  for (std::uint32_t nth = 1;; ++nth) {
    const Statistics before = heap->statistics();
    const auto releases = kernel_calls(os::Call::kRelease);
    os::faults::fail_any(nth);
    const auto attached = heap->attach();
    os::faults::clear();
    if (attached.ok()) {
      CHECK_EQ(nth, 3U);
      heap->detach(attached.value());
      break;
    }
    CHECK_EQ(attached.error().reason, Refusal::kOutOfMemory);
    CHECK(attached.error().os.number != 0);
    CHECK_EQ(attached.error().os.call, nth == 1 ? os::Call::kReserve : os::Call::kCommit);
    CHECK_EQ(kernel_calls(os::Call::kRelease) - releases, nth - 1);
    CHECK_EQ(parts_of(*heap).size(), 1U);
    check_only_failures_differ(*heap, before, 0);
    check_at_rest(*heap, 100, 1);
  }
  // A part without an owner takes no call at all.
  os::faults::fail_any(1, os::faults::kForever);
  const auto again = heap->attach();
  os::faults::clear();
  CHECK(again.ok());
  heap->detach(again.value());
  CHECK_EQ(parts_of(*heap).size(), 2U);
  drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("a kernel that takes nothing back keeps no thread waiting and loses nothing") {
  OwnShared heap;
  SharedHeld held;
  SharedHeld huge;
  on_threads(1, [&](std::size_t) {
    const Attached part(*heap);
    held = hold_shared(*part, 100);
    huge = hold_shared(*part, 20 * kMiB);
  });
  Ground ground;
  ground.remember(*heap);
  const auto kept = heap::release_retry::counts().ranges;
  os::faults::fail(os::Call::kRelease, 1, os::faults::kForever);
  heap.release();
  drop_shared(held);
  drop_shared(huge);
  os::faults::clear();
  CHECK_EQ(heap::release_retry::counts().ranges, kept + ground.remembered());
  CHECK(heap::release_retry::retry() > 0);
  CHECK_EQ(heap::release_retry::counts().ranges, kept);
}

}  // namespace offheap::test
