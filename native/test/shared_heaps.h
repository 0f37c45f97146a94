// Helpers for tests that use a shared heap: a handle and a part that end themselves, blocks that know their part, and
// what is left of a heap that has ended.
#ifndef OFFHEAP_TEST_SHARED_HEAPS_H_
#define OFFHEAP_TEST_SHARED_HEAPS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "heap/huge_block.h"
#include "heap/region.h"
#include "heap/region_map.h"
#include "heap/shared_heap.h"
#include "test/heaps.h"
#include "test/monitor.h"

namespace offheap::test {

using heap::Failure;
using heap::PartGuard;
using heap::SharedHeap;

// Owns one handle.
class OwnShared {
 public:
  explicit OwnShared(const Options& options = {}, SharedHeap::Listed listed = SharedHeap::Listed::kYes) {
    const auto made = SharedHeap::create(options, listed);
    CHECK(made.ok());
    heap_ = made.value();
  }
  ~OwnShared() { release(); }
  OwnShared(const OwnShared&) = delete;
  OwnShared& operator=(const OwnShared&) = delete;

  // Before the end of the scope.
  void release() {
    if (SharedHeap* const heap = std::exchange(heap_, nullptr); heap != nullptr) heap->release();
  }

  [[nodiscard]] SharedHeap* operator->() const { return heap_; }
  [[nodiscard]] SharedHeap& operator*() const { return *heap_; }

 private:
  SharedHeap* heap_ = nullptr;
};

// This thread's part of a heap, for as long as this lives.
class Attached {
 public:
  explicit Attached(SharedHeap& heap) {
    const auto attached = heap.attach();
    CHECK(attached.ok());
    part_ = attached.value();
  }
  ~Attached() { detach(); }
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;

  // Before the end of the scope.
  void detach() {
    if (Heap* const part = std::exchange(part_, nullptr); part != nullptr) part->shared()->detach(part);
  }

  [[nodiscard]] Heap* operator->() const { return part_; }
  [[nodiscard]] Heap& operator*() const { return *part_; }
  [[nodiscard]] Heap* get() const { return part_; }

 private:
  Heap* part_ = nullptr;
};

// A block and where it came from. The contents of long ones are not looked at: it would take longer than all the rest.
struct SharedHeld {
  Heap* part = nullptr;
  std::byte* address = nullptr;
  std::size_t size = 0;
  std::uint64_t seed = 0;

  [[nodiscard]] std::size_t looked_at() const { return size < 64 * kKiB ? size : 4 * kKiB; }
  void fill() const { fill_pattern(address, looked_at(), seed); }
  [[nodiscard]] bool intact() const { return has_pattern(address, looked_at(), seed); }
};

// Allocates from the calling thread's part, and fills.
[[nodiscard]] inline SharedHeld hold_shared(Heap& part, std::size_t size, std::size_t align = heap::kDefaultAlign) {
  static std::atomic<std::uint64_t> seeds{0};
  const auto made = part.shared()->allocate(part, layout(size, align), Fill::kAnything);
  CHECK(made.ok());
  CHECK(heap::is_aligned(made.value().address, align));
  CHECK(made.value().usable >= size);
  const SharedHeld held{&part, made.value().address, size, seeds.fetch_add(1'000'003) + 1};
  held.fill();
  return held;
}

// Checks the contents and frees, on any thread.
inline void drop_shared(const SharedHeld& held) {
  CHECK(held.intact());
  SharedHeap::free(*held.part, held.address, held.size);
}

[[nodiscard]] inline std::vector<Heap*> parts_of(SharedHeap& heap) {
  std::vector<Heap*> parts;
  heap.for_each_part([&](Heap& part) { parts.push_back(&part); });
  return parts;
}

// What must be true of a heap on which nobody works now. Any thread.
inline void check_at_rest(SharedHeap& heap, std::size_t bytes, std::size_t blocks) {
  CHECK_EQ(heap.bytes_in_use(), bytes);
  CHECK_EQ(heap.blocks_in_use(), blocks);
  CHECK_EQ(heap.budget().in_use(), heap.budget().is_limited() ? bytes : 0U);
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.requested, bytes);
  CHECK_EQ(statistics.blocks, blocks);
  CHECK_EQ(statistics.allocations, statistics.frees + blocks);
  CHECK(statistics.usable >= bytes);
  CHECK(statistics.peak >= bytes);
  CHECK(statistics.committed >= statistics.usable + statistics.metadata);
  CHECK(statistics.reserved >= statistics.committed);
  heap.for_each_part([](Heap& part) { CHECK(part.check_invariants()); });
}

// Nothing is in use, and every page goes back that holds no record of the heap itself.
inline void check_nothing_in_use(SharedHeap& heap) {
  check_at_rest(heap, 0, 0);
  (void)heap.trim();
  const Statistics statistics = heap.statistics();
  CHECK_EQ(statistics.usable, 0U);
  CHECK_EQ(statistics.regions, 0U);
  CHECK_EQ(statistics.committed, statistics.metadata);
  CHECK_EQ(statistics.reserved, statistics.committed);
}

// A thread that does what it is told, one thing at a time, so that a test can say in which order several threads act.
class Worker {
 public:
  Worker() : thread_([this] { work(); }) {}
  ~Worker() {
    {
      const std::scoped_lock lock(monitor_);
      ended_ = true;
      monitor_.notify_all();
    }
    thread_.join();
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Returns when it is done; throws what it throws.
  void run(const std::function<void()>& task) {
    const std::scoped_lock lock(monitor_);
    task_ = &task;
    monitor_.notify_all();
    monitor_.wait([this] { return task_ == nullptr; });
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
  }

 private:
  void work() {
    const std::scoped_lock lock(monitor_);
    while (true) {
      monitor_.wait([this] { return ended_ || task_ != nullptr; });
      if (ended_) return;
      try {
        (*task_)();
      } catch (...) {
        thrown_ = std::current_exception();
      }
      task_ = nullptr;
      monitor_.notify_all();
    }
  }

  Monitor monitor_;
  const std::function<void()>* task_ = nullptr;
  bool ended_ = false;
  std::exception_ptr thrown_;
  std::thread thread_;
};

// A worker with a part of a heap.
class Member {
 public:
  explicit Member(SharedHeap& heap) {
    worker_.run([&] { part_.emplace(heap); });
  }
  ~Member() {
    worker_.run([this] { part_.reset(); });
  }
  Member(const Member&) = delete;
  Member& operator=(const Member&) = delete;

  void run(const std::function<void()>& task) { worker_.run(task); }
  [[nodiscard]] Heap& part() const { return **part_; }
  [[nodiscard]] SharedHeld hold(std::size_t size) {
    SharedHeld held;
    worker_.run([&] { held = hold_shared(part(), size); });
    return held;
  }
  void drop(const SharedHeld& held) {
    worker_.run([&] { drop_shared(held); });
  }

 private:
  Worker worker_;
  std::optional<Attached> part_;
};

// Tells threads that work until they are told to stop, also when a check is broken.
class SetAtEnd {
 public:
  explicit SetAtEnd(std::atomic<bool>& flag) : flag_(flag) {}
  ~SetAtEnd() { flag_ = true; }
  SetAtEnd(const SetAtEnd&) = delete;
  SetAtEnd& operator=(const SetAtEnd&) = delete;

 private:
  std::atomic<bool>& flag_;
};

// Runs body(self, meet) on `count` threads; meet() returns when all have called it. A thread whose check is broken
// keeps the others waiting no longer.
inline void on_meeting_threads(std::size_t count,
                               const std::function<void(std::size_t, const std::function<void()>&)>& body) {
  Barrier everybody(count);
  on_threads(count, [&](std::size_t self) {
    try {
      body(self, [&] { everybody.arrive_and_wait(); });
    } catch (...) {
      everybody.arrive_and_drop();
      throw;
    }
  });
}

// Items on their way from any thread to any other.
template <typename Item>
class Queue {
 public:
  void put(Item item) {
    const std::scoped_lock lock(mutex_);
    items_.push_back(std::move(item));
  }
  [[nodiscard]] std::optional<Item> take() {
    const std::scoped_lock lock(mutex_);
    if (items_.empty()) return std::nullopt;
    Item item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

 private:
  std::mutex mutex_;
  std::deque<Item> items_;
};

// Watches the reservations that are made and given back while it lives, by all threads together.
class Ground {
 public:
  // Remembers where the parts of `heap` have their blocks, to see later that nothing is left there.
  void remember(SharedHeap& heap) {
    heap.for_each_part([this](Heap& part) {
      ++made_;
      for (heap::Region* region = part.regions(); region != nullptr; region = region->next) {
        ++made_;
        starts_.push_back(region->start());
      }
      for (heap::HugeBlock* huge = part.huge_blocks(); huge != nullptr; huge = huge->next) {
        ++made_;
        starts_.push_back(reinterpret_cast<std::byte*>(huge));
      }
    });
    ++made_;  // the shared heap itself
  }

  [[nodiscard]] std::size_t remembered() const { return made_; }

  [[nodiscard]] bool is_gone() const {
    for (const std::byte* start : starts_) {
      if (SharedHeap::is_known(start)) return false;
    }
    return given_back() >= made_;
  }

  // Everything remembered has been given back to the kernel, once.
  void check_gone() const {
    for (const std::byte* start : starts_) CHECK(!SharedHeap::is_known(start));
    // A reservation takes one call, unless the place guessed for it was taken; then ends of it are released too.
    if (kernel_calls(os::Call::kReserve) - reserves_ == made_) {
      CHECK_EQ(given_back(), made_);
    } else {
      CHECK(given_back() >= made_);
    }
  }

  [[nodiscard]] std::uint64_t given_back() const { return kernel_calls(os::Call::kRelease) - releases_; }

 private:
  std::uint64_t reserves_ = kernel_calls(os::Call::kReserve);
  std::uint64_t releases_ = kernel_calls(os::Call::kRelease);
  std::uint64_t made_ = 0;
  std::vector<const std::byte*> starts_;
};

}  // namespace offheap::test

#endif  // OFFHEAP_TEST_SHARED_HEAPS_H_
