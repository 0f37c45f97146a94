// How a shared heap ends: when nobody holds a handle and no block lives, on whatever thread that comes about. Run under
// ThreadSanitizer and AddressSanitizer too. Every order of the steps is in shared_heap_end_model_test.cc.
#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "test/shared_heaps.h"

namespace offheap::test {

namespace {

#if defined(OFFHEAP_CHECK_INVARIANTS)
constexpr int kEnds = 500;
#elif defined(NDEBUG)
constexpr int kEnds = 4'000;
#else
constexpr int kEnds = 2'000;
#endif

constexpr std::array<std::size_t, 3> kOneOfEachKind{100, 100 * kKiB, 20 * kMiB};

// The kernel has been asked for what any heap needs once and keeps.
void warm_up() {
  const OwnShared heap;
  const Attached part(*heap);
  for (const std::size_t size : kOneOfEachKind) drop_shared(hold_shared(*part, size));
}

}  // namespace

TEST("a heap without blocks ends with its last handle, and gives everything back") {
  warm_up();
  Ground ground;
  OwnShared heap;
  {
    const Member first(*heap);
    const Member second(*heap);
    const Attached self(*heap);
    for (const std::size_t size : kOneOfEachKind) drop_shared(hold_shared(*self, size));
    // What was given back already; the rest has to come.
    (void)heap->statistics();
  }
  ground.remember(*heap);
  SharedHeap* const second_handle = SharedHeap::find(heap->id());
  heap.release();
  CHECK(!ground.is_gone());
  second_handle->release();
  CHECK(ground.is_gone());
}

TEST("a heap nobody ever attached to ends with its last handle") {
  warm_up();
  Ground ground;
  OwnShared heap;
  ground.remember(*heap);
  CHECK_EQ(ground.remembered(), 1U);
  heap.release();
  ground.check_gone();
}

TEST("a heap without handles remains until its last block is freed, on a thread that never had to do with it") {
  warm_up();
  for (const std::size_t size : kOneOfEachKind) {
    for (const bool freed_by_maker : {false, true}) {
      Ground ground;
      OwnShared heap;
      Worker maker;
      Worker freer;
      std::array<SharedHeld, 3> blocks;
      maker.run([&] {
        const Attached part(*heap);
        for (SharedHeld& held : blocks) held = hold_shared(*part, size);
      });
      ground.remember(*heap);
      heap.release();
      for (const SharedHeld& held : blocks) {
        CHECK(!ground.is_gone());
        CHECK(SharedHeap::is_known(held.address));
        (freed_by_maker ? maker : freer).run([&] { drop_shared(held); });
      }
      ground.check_gone();
    }
  }
}

TEST("blocks of several parts keep a heap without handles alive until the last of all") {
  warm_up();
  Ground ground;
  OwnShared heap;
  std::vector<SharedHeld> blocks;
  {
    std::array<std::unique_ptr<Member>, 3> members;
    for (auto& member : members) {
      member = std::make_unique<Member>(*heap);
      for (const std::size_t size : kOneOfEachKind) blocks.push_back(member->hold(size));
    }
  }
  ground.remember(*heap);
  CHECK_EQ(ground.remembered(), 1U + 3U + 3U + 3U);
  heap.release();
  for (std::size_t index = 0; index < blocks.size(); ++index) {
    CHECK(!ground.is_gone());
    for (std::size_t later = index; later < blocks.size(); ++later) CHECK(blocks[later].intact());
    drop_shared(blocks[index]);
  }
  ground.check_gone();
}

TEST("the pages of a heap without handles go back as its blocks are freed, not only at the end") {
  warm_up();
  OwnShared heap;
  std::array<SharedHeld, 2> blocks;
  std::array<std::vector<SharedHeld>, 2> others;
  for (std::size_t index = 0; index < 2; ++index) {
    Member member(*heap);
    const Member wall(*heap);
    blocks[index] = member.hold(100);
    for (int count = 0; count < 30; ++count) others[index].push_back(member.hold(100 * kKiB));
    others[index].push_back(member.hold(20 * kMiB));
  }
  heap.release();
  const auto decommits = kernel_calls(os::Call::kDecommit) + kernel_calls(os::Call::kRelease);
  Heap& part = *blocks[0].part;
  for (const auto& some : others) {
    for (const SharedHeld& held : some) drop_shared(held);
  }
  CHECK(!SharedHeap::is_known(others[0].back().address));
  CHECK(kernel_calls(os::Call::kDecommit) + kernel_calls(os::Call::kRelease) > decommits);
  CHECK_EQ(part.bytes_in_use(), 100U * (blocks[1].part == &part ? 2 : 1));
  for (const SharedHeld& held : blocks) drop_shared(held);
}

TEST("what was on its way when the last handle went is finished by whoever began it") {
  warm_up();
  for (const bool finish : {true, false}) {
    Ground ground;
    OwnShared heap({.limit = 100 * kKiB});
    SharedHeld held;
    Worker maker;
    maker.run([&] {
      const Attached part(*heap);
      held = hold_shared(*part, 1000);
    });
    const auto move = heap->begin_move(*held.part, held.address, 1000, layout(2000));
    CHECK(move.ok());
    ground.remember(*heap);
    SharedHeap* const still = &*heap;
    heap.release();
    if (finish) {
      still->finish_move(*held.part, move.value(), Fill::kZero);
      CHECK(has_pattern(move.value().to.address, 1000, held.seed));
    } else {
      still->abandon_move(*held.part, move.value());
      CHECK(held.intact());
    }
    const std::size_t size = finish ? 2000 : 1000;
    std::byte* const address = finish ? move.value().to.address : held.address;
    // Whoever holds a block may ask for what he may ask of any closed heap.
    CHECK_EQ(still->begin_move(*held.part, address, size, layout(3000)).error().reason, Refusal::kClosed);
    CHECK(still->resize_in_place(*held.part, address, size, layout(900), Fill::kZero, Heap::Shrink::kAlways).value());
    CHECK(still->part_of(address) == held.part);
    CHECK(!ground.is_gone());
    SharedHeap::free(*held.part, address, 900);
    ground.check_gone();
  }
}

TEST("the last handle is not let go while a thread is counted as freeing in one of the parts, and then the heap ends") {
  // That thread is taken apart by hand, since no test can stop it there: its block is back, and it has not left yet.
  warm_up();
  for (const std::size_t counted_in : {0U, 1U}) {
    Ground ground;
    OwnShared heap;
    std::vector<Heap*> parts;
    {
      Member first(*heap);
      const Member second(*heap);
      parts = parts_of(*heap);
      SharedHeap::free(first.part(), first.hold(100).address, 100);
    }
    ground.remember(*heap);
    std::atomic<std::uint32_t>& visitors = parts[counted_in]->part().visitors;
    visitors.fetch_add(1);
    std::atomic<bool> at_it{false};
    std::atomic<bool> released{false};
    Threads releaser;
    releaser.start([&] {
      at_it = true;
      heap.release();
      released = true;
    });
    while (!at_it) std::this_thread::yield();
    for (int turn = 0; turn < 1000; ++turn) std::this_thread::yield();
    CHECK(!released);
    CHECK(!ground.is_gone());
    visitors.fetch_sub(1);
    releaser.join();
    ground.check_gone();
  }
}

TEST("a block freed while the last handle is being let go does not end the heap before that is done") {
  warm_up();
  Ground ground;
  OwnShared heap;
  std::vector<Heap*> parts;
  SharedHeld last;
  {
    Member first(*heap);
    const Member second(*heap);
    parts = parts_of(*heap);
    last = first.hold(100);
  }
  ground.remember(*heap);
  SharedHeap* const still = &*heap;
  // As above, in the part that is looked at last.
  std::atomic<std::uint32_t>& visitors = parts[1]->part().visitors;
  visitors.fetch_add(1);
  std::atomic<bool> at_it{false};
  Threads releaser;
  releaser.start([&] {
    at_it = true;
    heap.release();
  });
  while (!at_it) std::this_thread::yield();
  for (int turn = 0; turn < 1000; ++turn) std::this_thread::yield();
  drop_shared(last);
  CHECK(!ground.is_gone());
  CHECK_EQ(still->blocks_in_use(), 0U);
  visitors.fetch_sub(1);
  releaser.join();
  ground.check_gone();
}

TEST("in a heap without handles blocks are freed by one thread while others resize theirs and ask about them") {
  warm_up();
  for (int round = 0; round < 10; ++round) {
    Ground ground;
    OwnShared heap;
    std::array<SharedHeld, 2> resized;
    std::vector<SharedHeld> freed;
    {
      Member member(*heap);
      for (SharedHeld& held : resized) {
        held = member.hold(2 * kMiB);
        for (int count = 0; count < 100; ++count) freed.push_back(member.hold(count % 2 == 0 ? 40 * kKiB : 200));
      }
    }
    ground.remember(*heap);
    SharedHeap* const still = &*heap;
    heap.release();
    on_meeting_threads(resized.size() + 1, [&](std::size_t self, const auto& meet) {
      meet();
      if (self == resized.size()) {
        for (const SharedHeld& held : freed) drop_shared(held);
        return;
      }
      SharedHeld& held = resized[self];
      while (held.size > kMiB) {
        const std::size_t size = held.size - 4 * kKiB;
        const auto done = still->resize_in_place(*held.part, held.address, held.size, layout(size), Fill::kAnything,
                                                 Heap::Shrink::kAlways);
        CHECK(done.value());
        held.size = size;
        CHECK(held.intact());
        CHECK(still->part_of(held.address) == held.part);
      }
    });
    Heap& part = *resized[0].part;
    CHECK(part.check_invariants());
    CHECK_EQ(part.bytes_in_use(), 2 * kMiB);
    for (const SharedHeld& held : resized) drop_shared(held);
    ground.check_gone();
  }
}

TEST("one heap's end touches no other heap") {
  warm_up();
  const OwnShared stays;
  const Attached part(*stays);
  const SharedHeld kept = hold_shared(*part, 5000);
  std::vector<SharedHeld> left;
  for (int index = 0; index < 50; ++index) {
    OwnShared heap;
    Worker maker;
    maker.run([&] {
      const Attached other(*heap);
      left.push_back(hold_shared(*other, 100));
    });
    if (index % 2 == 0) {
      drop_shared(left.back());
      left.pop_back();
    }
  }
  CHECK(kept.intact());
  check_at_rest(*stays, 5000, 1);
  for (const SharedHeld& held : left) drop_shared(held);
  CHECK(kept.intact());
  drop_shared(kept);
  check_nothing_in_use(*stays);
}

TEST("many threads free the last blocks of a heap while another lets its last handle go: it ends, once") {
  warm_up();
  constexpr std::size_t kFreers = 3;
  constexpr std::size_t kBlocks = 2;  // for each
  std::array<std::array<SharedHeld, kBlocks>, kFreers> blocks;
  SharedHeap* heap = nullptr;
  std::unique_ptr<Ground> ground;
  // The threads are the same throughout, or making them would be most of what happens.
  on_meeting_threads(kFreers + 1, [&](std::size_t self, const auto& meet) {
    Random random(self + 1);
    for (int round = 0; round < kEnds; ++round) {
      if (self == kFreers) {
        ground = std::make_unique<Ground>();
        heap = SharedHeap::create({}).value();
      }
      meet();
      if (self < kFreers) {
        // Parts with several threads' blocks, and with one's own that was left.
        const Attached part(*heap);
        for (SharedHeld& held : blocks[(self + static_cast<std::size_t>(round)) % kFreers]) {
          held = hold_shared(*part, round % 50 == 0 ? 17 * kMiB : random.one_in(10) ? 40 * kKiB : 64);
        }
      }
      meet();
      if (self == kFreers) ground->remember(*heap);
      meet();
      if (self == kFreers) {
        heap->release();
      } else {
        for (const SharedHeld& held : blocks[self]) SharedHeap::free(*held.part, held.address, held.size);
      }
      meet();
      if (self == kFreers) ground->check_gone();
    }
  });
}

TEST("several threads let their handles go and free their blocks at once: the heap ends, once") {
  warm_up();
  constexpr std::size_t kThreads = 3;
  SharedHeap* heap = nullptr;
  std::uint64_t id = 0;
  std::unique_ptr<Ground> ground;
  std::array<SharedHeld, kThreads> blocks;
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    for (int round = 0; round < kEnds / 2; ++round) {
      if (self == 0) {
        ground = std::make_unique<Ground>();
        heap = SharedHeap::create({.limit = kMiB}).value();
        id = heap->id();
      }
      meet();
      SharedHeap* const own = self == 0 ? heap : SharedHeap::find(id);
      CHECK(own == heap);
      {
        Attached part(*own);
        blocks[self] = hold_shared(*part, 100 + self);
        meet();
        if (self == 0) ground->remember(*own);
        meet();
        // A neighbour's block while the neighbour frees another's and leaves.
        drop_shared(blocks[(self + 1) % kThreads]);
      }
      own->release();
      meet();
      if (self == 0) {
        CHECK(SharedHeap::find(id) == nullptr);
        ground->check_gone();
      }
    }
  });
}

TEST("heaps end while others are made, found and asked on other threads") {
  warm_up();
  on_threads(4, [](std::size_t self) {
    Random random(self + 1);
    for (int round = 0; round < kEnds / 4; ++round) {
      OwnShared heap;
      SharedHeap* const again = SharedHeap::find(heap->id());
      CHECK(again == &*heap);
      SharedHeld held;
      {
        const Attached part(*heap);
        held = hold_shared(*part, random.log_uniform(13));
      }
      if (random.one_in(2)) {
        again->release();
        heap.release();
        drop_shared(held);
      } else {
        drop_shared(held);
        check_at_rest(*again, 0, 0);
        again->release();
      }
    }
  });
}

TEST("a heap ends with its last block while others trim it, let pages decay and count") {
  warm_up();
  constexpr std::size_t kFreers = 2;
  constexpr std::size_t kBlocks = 12;
  SharedHeap* heap = nullptr;
  std::uint64_t id = 0;
  std::unique_ptr<Ground> ground;
  std::array<std::vector<SharedHeld>, kFreers> blocks;
  on_meeting_threads(kFreers + 2, [&](std::size_t self, const auto& meet) {
    Random random(self + 1);
    for (int round = 0; round < kEnds / 4; ++round) {
      if (self == kFreers) {
        ground = std::make_unique<Ground>();
        heap = SharedHeap::create({}).value();
        id = heap->id();
        const Attached part(*heap);
        for (auto& some : blocks) {
          some.clear();
          for (std::size_t index = 0; index < kBlocks; ++index) {
            some.push_back(hold_shared(*part, random.one_in(4) ? 40 * kKiB : 64));
          }
        }
      }
      meet();
      if (self < kFreers) {
        for (const SharedHeld& held : blocks[self]) drop_shared(held);
      } else if (self == kFreers) {
        for (int look = 0; look < 3; ++look) (void)heap->trim();
        ground->remember(*heap);
        heap->release();
      } else if (SharedHeap* const found = SharedHeap::find(id); found != nullptr) {
        for (int look = 0; look < 3; ++look) {
          const std::uint64_t now = os::monotonic_milliseconds() + 60'000 * static_cast<std::uint64_t>(look);
          found->for_each_part([&](Heap& part) { (void)part.decay(now); });
          CHECK(found->statistics().requested <= kFreers * kBlocks * 40 * kKiB);
        }
        found->release();
      }
      meet();
      if (self == kFreers) CHECK(ground->is_gone());
    }
  });
}

}  // namespace offheap::test
