// Freed blocks that a layer above keeps at hand: Heap::shelve(), unshelve() and free_shelved(), and when a shared heap
// has a shelf emptied.
#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "os/clock.h"
#include "test/shared_heaps.h"

namespace offheap::test {

namespace {

constexpr std::array<std::size_t, 4> kSizes{0, 100, 100 * kKiB, 20 * kMiB};

void check_counts(const Heap& heap, std::size_t bytes, std::size_t blocks, std::size_t allocations) {
  CHECK_EQ(heap.bytes_in_use(), bytes);
  CHECK_EQ(heap.blocks_in_use(), blocks);
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.requested, bytes);
  CHECK_EQ(statistics.blocks, blocks);
  CHECK_EQ(statistics.allocations, allocations);
  CHECK_EQ(statistics.frees, allocations - blocks);
  CHECK(heap.check_invariants());
}

// What the layer above would have. Used with the part's lock held.
class Shelf {
 public:
  explicit Shelf(Heap& part) : part_(part) {
    const PartGuard guard(part);
    part.part().shelf = this;
    part.part().empty_shelf = [](void* shelf) { static_cast<Shelf*>(shelf)->empty(); };
  }

  // If the part still has it.
  ~Shelf() {
    const PartGuard guard(part_);
    if (part_.part().shelf != this) return;
    empty();
    part_.part().empty_shelf = nullptr;
    part_.part().shelf = nullptr;
  }
  Shelf(const Shelf&) = delete;
  Shelf& operator=(const Shelf&) = delete;

  // The calling thread owns the part.
  void put(const SharedHeld& held) {
    {
      const PartGuard guard(part_);
      part_.shelve(held.size);
      blocks_.push_back(held);
    }
    part_.shared()->budget().give(held.size);
  }
  [[nodiscard]] std::optional<SharedHeld> take() {
    std::optional<SharedHeld> taken;
    {
      const PartGuard guard(part_);
      if (blocks_.empty() || !part_.shared()->budget().take(blocks_.back().size)) return std::nullopt;
      taken = blocks_.back();
      blocks_.pop_back();
      part_.unshelve(taken->size);
    }
    return taken;
  }

  [[nodiscard]] int times_emptied() const { return times_emptied_; }
  // Called by empty() before anything else.
  void on_empty(std::function<void()> call) { on_empty_ = std::move(call); }

 private:
  void empty() {
    ++times_emptied_;
    if (on_empty_) on_empty_();
    for (const SharedHeld& held : blocks_) {
      CHECK(held.intact());
      part_.free_shelved(held.address, held.size);
    }
    blocks_.clear();
  }

  Heap& part_;
  std::vector<SharedHeld> blocks_;
  int times_emptied_ = 0;
  std::function<void()> on_empty_;
};

struct Way {
  const char* name;
  // How often each shelf is emptied by it.
  int times;
  std::function<void(SharedHeap&)> look;
};

// Everything that looks at a heap closely.
const std::vector<Way>& ways() {
  static const std::vector<Way> all{
      {"statistics", 1, [](SharedHeap& heap) { CHECK_EQ(heap.statistics().usable, 0U); }},
      {"trim", 1, [](SharedHeap& heap) { CHECK(heap.trim() > 0); }},
      {"decay", 1, [](SharedHeap& heap) { (void)heap.decay(os::monotonic_milliseconds() + 100'000); }},
      {"close", 1, [](SharedHeap& heap) { heap.close(); }},
      {"for_each_part", 1,
       [](SharedHeap& heap) { heap.for_each_part([](const Heap& part) { CHECK_EQ(part.statistics().usable, 0U); }); }},
  };
  return all;
}

// Whether another thread gets the lock of `part` while `work` runs, and once it is over.
class Intruder {
 public:
  explicit Intruder(Heap& part) : part_(part) {}

  // Inside of what is to be guarded.
  void try_to_enter() {
    if (trying_) return;
    threads_.start([this] {
      trying_ = true;
      const PartGuard guard(part_);
      entered_ = true;
    });
    while (!trying_) std::this_thread::yield();
    for (int turn = 0; turn < 300; ++turn) std::this_thread::yield();
    entered_meanwhile_ = entered_.load();
  }
  // Outside.
  void check_was_kept_out() {
    CHECK(trying_);
    threads_.join();
    CHECK(!entered_meanwhile_);
    CHECK(entered_);
  }

 private:
  Heap& part_;
  std::atomic<bool> trying_{false};
  std::atomic<bool> entered_{false};
  bool entered_meanwhile_ = false;
  Threads threads_;
};

}  // namespace

TEST("a shelved block counts as freed, is nobody else's, and counts as allocated when it is taken again") {
  for (const std::size_t size : kSizes) {
    OwnHeap heap;
    const Held wall = hold(*heap, 50);
    const Held held = hold(*heap, size);
    const std::size_t usable = heap->statistics().usable;
    heap->shelve(size);
    check_counts(*heap, 50, 1, 2);
    CHECK_EQ(heap->statistics().usable, usable);
    const Held another = hold(*heap, size);
    CHECK(another.address != held.address);
    check_counts(*heap, 50 + size, 2, 3);
    drop(*heap, another);
    (void)heap->trim();
    check_counts(*heap, 50, 1, 3);
    CHECK(held.intact());
    heap->unshelve(size);
    check_counts(*heap, 50 + size, 2, 4);
    CHECK(held.intact());
    drop(*heap, held);
    drop(*heap, wall);
    check_counts(*heap, 0, 0, 4);
  }
}

TEST("a block freed from the shelf is free memory and does not count a second time") {
  for (const std::size_t size : kSizes) {
    OwnHeap heap;
    const Held held = hold(*heap, size);
    heap->shelve(size);
    heap->free_shelved(held.address, size);
    check_counts(*heap, 0, 0, 1);
    CHECK_EQ(heap->statistics().usable, 0U);
    CHECK(!heap->find(held.address).ok());
    (void)heap->trim();
    CHECK_EQ(heap->statistics().regions, 0U);
    CHECK_EQ(heap->statistics().committed, heap->statistics().metadata);
  }
}

TEST("what is on the shelf is no part of the peak, and what is taken from it is") {
  OwnHeap heap;
  (void)hold(*heap, 1000);
  heap->shelve(1000);
  const Held other = hold(*heap, 400);
  CHECK_EQ(heap->statistics().peak, 1000U);
  heap->unshelve(1000);
  CHECK_EQ(heap->statistics().peak, 1400U);
  drop(*heap, other);
}

TEST("other threads free blocks beside those on the shelf, and the counts stay right") {
  for (const std::size_t size : {std::size_t{100}, 100 * kKiB}) {
    OwnHeap heap;
    std::vector<Held> blocks;
    for (int index = 0; index < 30; ++index) blocks.push_back(hold(*heap, size));
    for (int index = 0; index < 10; ++index) heap->shelve(size);
    on_threads(1, [&](std::size_t) {
      for (std::size_t index = 10; index < 20; ++index) CHECK(heap->free(blocks[index].address, size).ok());
    });
    CHECK_EQ(heap->blocks_in_use(), 10U);
    heap->collect();
    check_counts(*heap, 10 * size, 10, 30);
    for (std::size_t index = 0; index < 5; ++index) heap->free_shelved(blocks[index].address, size);
    check_counts(*heap, 10 * size, 10, 30);
    for (int index = 5; index < 10; ++index) heap->unshelve(size);
    check_counts(*heap, 15 * size, 15, 35);
    for (std::size_t index = 0; index < 30; ++index) {
      if (index < 5 || (index >= 10 && index < 20)) continue;
      drop(*heap, blocks[index]);
    }
    check_counts(*heap, 0, 0, 35);
  }
}

TEST("a shelf is emptied before anybody looks at the heap closely, on whatever thread") {
  for (const Way& way : ways()) {
    for (const bool on_own_thread : {true, false}) {
      note(way.name);
      const OwnShared heap({.limit = 30 * kMiB});
      Member first(*heap);
      Member second(*heap);
      Shelf first_shelf(first.part());
      Shelf second_shelf(second.part());
      for (const std::size_t size : kSizes) {
        const SharedHeld held = first.hold(size);
        first.run([&] { first_shelf.put(held); });
      }
      const SharedHeld held = second.hold(200);
      second.run([&] { second_shelf.put(held); });
      CHECK_EQ(heap->bytes_in_use(), 0U);
      CHECK_EQ(heap->blocks_in_use(), 0U);
      CHECK_EQ(heap->budget().in_use(), 0U);
      CHECK(first.part().statistics().usable > 0);
      if (on_own_thread) {
        first.run([&] { way.look(*heap); });
      } else {
        way.look(*heap);
      }
      CHECK_EQ(first_shelf.times_emptied(), way.times);
      CHECK_EQ(second_shelf.times_emptied(), way.times);
      CHECK_EQ(first.part().statistics().usable, 0U);
      CHECK_EQ(second.part().statistics().usable, 0U);
      CHECK_EQ(first.part().statistics().frees, kSizes.size());
      check_nothing_in_use(*heap);
    }
  }
}

TEST("a shelf is emptied with the part's lock held") {
  for (const Way& way : ways()) {
    for (const bool on_own_thread : {true, false}) {
      note(way.name);
      const OwnShared heap;
      Member member(*heap);
      Shelf shelf(member.part());
      const SharedHeld held = member.hold(100);
      member.run([&] { shelf.put(held); });
      Intruder intruder(member.part());
      shelf.on_empty([&] { intruder.try_to_enter(); });
      if (on_own_thread) {
        member.run([&] { way.look(*heap); });
      } else {
        way.look(*heap);
      }
      intruder.check_was_kept_out();
      shelf.on_empty(nullptr);
    }
  }
}

TEST("the owner does not touch its shelf while another thread has it emptied") {
  const OwnShared heap;
  Member member(*heap);
  Shelf shelf(member.part());
  const SharedHeld held = member.hold(100);
  member.run([&] { shelf.put(held); });
  std::atomic<bool> trying{false};
  std::atomic<bool> took{false};
  bool took_meanwhile = false;
  Threads owner;
  // The member's thread owns the part, so it is told from a second one.
  shelf.on_empty([&] {
    owner.start([&] {
      member.run([&] {
        trying = true;
        CHECK(!shelf.take());
        took = true;
      });
    });
    while (!trying) std::this_thread::yield();
    for (int turn = 0; turn < 300; ++turn) std::this_thread::yield();
    took_meanwhile = took;
    shelf.on_empty(nullptr);
  });
  (void)heap->statistics();
  owner.join();
  CHECK(!took_meanwhile);
  CHECK(took);
  check_nothing_in_use(*heap);
}

TEST("a thread that leaves has its shelf emptied under the lock, and the next owner starts without one") {
  const OwnShared heap;
  std::optional<Intruder> intruder;
  Worker leaving;
  Heap* left = nullptr;
  leaving.run([&] {
    Attached part(*heap);
    left = part.get();
    Shelf shelf(*part);
    shelf.put(hold_shared(*part, 100));
    shelf.put(hold_shared(*part, 100 * kKiB));
    intruder.emplace(*part);
    shelf.on_empty([&] { intruder->try_to_enter(); });
    part.detach();
    CHECK_EQ(shelf.times_emptied(), 1);
  });
  intruder->check_was_kept_out();
  CHECK(left->part().empty_shelf == nullptr);
  CHECK(left->part().shelf == nullptr);
  CHECK_EQ(left->statistics().usable, 0U);
  check_at_rest(*heap, 0, 0);
  const Attached part(*heap);
  CHECK(part.get() == left);
  CHECK(part->part().empty_shelf == nullptr);
  check_nothing_in_use(*heap);
}

TEST("blocks on a shelf leave the limit to others, and are had again only where there is room") {
  const OwnShared heap({.limit = 1000});
  Member first(*heap);
  Member second(*heap);
  Shelf shelf(first.part());
  const SharedHeld held = first.hold(600);
  first.run([&] { shelf.put(held); });
  const SharedHeld other = second.hold(500);
  first.run([&] { CHECK(!shelf.take()); });
  second.drop(other);
  first.run([&] {
    const auto again = shelf.take();
    CHECK(again.has_value());
    CHECK(again->intact());
    CHECK(again->address == held.address);
  });
  CHECK_EQ(heap->budget().in_use(), 600U);
  check_at_rest(*heap, 600, 1);
  drop_shared(held);
  check_nothing_in_use(*heap);
}

TEST("a thread puts blocks on its shelf and takes them while others look, trim and free, and nothing is lost") {
#if defined(OFFHEAP_CHECK_INVARIANTS)
  constexpr int kRounds = 1'000;
#elif defined(NDEBUG)
  constexpr int kRounds = 20'000;
#else
  constexpr int kRounds = 4'000;
#endif
  const OwnShared heap({.limit = 4 * kMiB});
  Queue<SharedHeld> to_free;
  std::atomic<bool> ended{false};
  Threads threads;
  threads.start([&] {
    const SetAtEnd end(ended);
    const Attached part(*heap);
    Shelf shelf(*part);
    Random random(4);
    std::vector<SharedHeld> blocks;
    for (int round = 0; round < kRounds; ++round) {
      if (blocks.size() < 20) {
        auto taken = random.one_in(3) ? std::nullopt : shelf.take();
        if (!taken) taken = hold_shared(*part, random.log_uniform(12));
        CHECK(taken->intact());
        blocks.push_back(*taken);
      }
      const std::size_t index = random.below(blocks.size());
      if (random.one_in(2)) {
        shelf.put(blocks[index]);
      } else if (random.one_in(2)) {
        drop_shared(blocks[index]);
      } else {
        to_free.put(blocks[index]);
      }
      blocks[index] = blocks.back();
      blocks.pop_back();
    }
    for (const SharedHeld& held : blocks) drop_shared(held);
  });
  threads.start([&] {
    while (!ended) {
      const Statistics statistics = heap->statistics();
      CHECK(statistics.requested <= 4 * kMiB);
      CHECK(statistics.usable >= statistics.requested);
      (void)heap->trim();
      heap->for_each_part([](Heap& part) { CHECK(part.check_invariants()); });
      std::this_thread::yield();
    }
  });
  threads.start([&] {
    while (!ended) {
      while (const auto held = to_free.take()) drop_shared(*held);
      std::this_thread::yield();
    }
  });
  threads.join();
  while (const auto held = to_free.take()) drop_shared(*held);
  check_nothing_in_use(*heap);
}

}  // namespace offheap::test
