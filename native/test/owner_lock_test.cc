// The lock of heap/owner_lock.h with real threads. That it excludes in every order of steps is shown in
// owner_lock_model_test.cc.
#include "heap/owner_lock.h"

#include <array>
#include <atomic>
#include <functional>
#include <thread>

#include "test/fences.h"
#include "test/heaps.h"
#include "test/monitor.h"

namespace offheap::test {

using heap::OwnerLock;

namespace {

#ifdef NDEBUG
constexpr int kOtherRounds = 20'000;
#else
constexpr int kOtherRounds = 5'000;
#endif
constexpr int kOthers = 3;

// What the lock guards: two numbers that are equal whenever nobody is inside. Not atomic, on purpose.
struct Guarded {
  std::uint64_t first = 0;
  std::uint64_t second = 0;

  void change() {
    CHECK_EQ(first, second);
    ++first;
    ++second;
  }
};

class AsOwner {
 public:
  explicit AsOwner(OwnerLock& lock) : lock_(lock) { lock_.lock_as_owner(); }
  ~AsOwner() { lock_.unlock_as_owner(); }
  AsOwner(const AsOwner&) = delete;
  AsOwner& operator=(const AsOwner&) = delete;

 private:
  OwnerLock& lock_;
};

class AsOther {
 public:
  explicit AsOther(OwnerLock& lock) : lock_(lock) { lock_.lock_as_other(); }
  ~AsOther() { lock_.unlock_as_other(); }
  AsOther(const AsOther&) = delete;
  AsOther& operator=(const AsOther&) = delete;

 private:
  OwnerLock& lock_;
};

// With the kernel's fences and without.
void both_ways(const std::function<void()>& check) {
  os::prepare_fences();
  check();
  const NoKernelFences none;
  check();
}

void wait_for(const std::atomic<bool>& flag) {
  while (!flag) std::this_thread::yield();
}

// Gives a thread that should not get on every chance to do so.
void let_others_run() {
  for (int turn = 0; turn < 300; ++turn) std::this_thread::yield();
}

}  // namespace

TEST("the owner and the others work one at a time") {
  both_ways([] {
    OwnerLock lock;
    Guarded guarded;
    std::uint64_t by_owner = 0;
    std::atomic<int> others_at_work{kOthers};
    Barrier start(kOthers + 1);
    Threads threads;
    threads.start([&] {
      start.arrive_and_wait();
      while (others_at_work > 0) {
        const AsOwner inside(lock);
        guarded.change();
        ++by_owner;
      }
    });
    for (int other = 0; other < kOthers; ++other) {
      threads.start([&] {
        start.arrive_and_wait();
        for (int round = 0; round < kOtherRounds; ++round) {
          const AsOther inside(lock);
          guarded.change();
        }
        --others_at_work;
      });
    }
    threads.join();
    CHECK_EQ(guarded.first, by_owner + std::uint64_t{kOthers} * kOtherRounds);
    CHECK_EQ(guarded.second, guarded.first);
  });
}

TEST("the others work one at a time where nobody is the owner") {
  both_ways([] {
    OwnerLock lock;
    Guarded guarded;
    Barrier start(kOthers);
    on_threads(kOthers, [&](std::size_t) {
      start.arrive_and_wait();
      for (int round = 0; round < kOtherRounds; ++round) {
        const AsOther inside(lock);
        guarded.change();
      }
    });
    CHECK_EQ(guarded.first, std::uint64_t{kOthers} * kOtherRounds);
    CHECK_EQ(guarded.second, guarded.first);
  });
}

TEST("an owner alone gets in and out as often as it likes") {
  both_ways([] {
    OwnerLock lock;
    Guarded guarded;
    for (int round = 0; round < 1000; ++round) {
      const AsOwner inside(lock);
      guarded.change();
    }
    CHECK_EQ(guarded.first, 1000U);
  });
}

TEST("the owner waits while another works, and gets on afterwards") {
  both_ways([] {
    for (int round = 0; round < 20; ++round) {
      OwnerLock lock;
      Guarded guarded;
      std::atomic<bool> at_the_door{false};
      std::atomic<bool> inside{false};
      Threads owner;
      {
        const AsOther working(lock);
        owner.start([&] {
          at_the_door = true;
          const AsOwner entered(lock);
          inside = true;
          guarded.change();
        });
        wait_for(at_the_door);
        let_others_run();
        CHECK(!inside);
        guarded.change();
      }
      owner.join();
      CHECK(inside);
      CHECK_EQ(guarded.first, 2U);
    }
  });
}

TEST("another waits while the owner works, and gets on afterwards") {
  both_ways([] {
    for (int round = 0; round < 20; ++round) {
      OwnerLock lock;
      Guarded guarded;
      std::atomic<bool> at_the_door{false};
      std::atomic<bool> inside{false};
      Threads other;
      {
        const AsOwner working(lock);
        other.start([&] {
          at_the_door = true;
          const AsOther entered(lock);
          inside = true;
          guarded.change();
        });
        wait_for(at_the_door);
        let_others_run();
        CHECK(!inside);
        guarded.change();
      }
      other.join();
      CHECK(inside);
      CHECK_EQ(guarded.first, 2U);
    }
  });
}

TEST("the owner gets on however many others were in front of it") {
  both_ways([] {
    OwnerLock lock;
    Guarded guarded;
    std::atomic<bool> owner_is_through{false};
    Threads threads;
    for (int other = 0; other < kOthers; ++other) {
      threads.start([&] {
        while (!owner_is_through) {
          const AsOther inside(lock);
          guarded.change();
        }
      });
    }
    threads.start([&] {
      for (int round = 0; round < 200; ++round) {
        const AsOwner inside(lock);
        guarded.change();
      }
      owner_is_through = true;
    });
    threads.join();
    CHECK_EQ(guarded.first, guarded.second);
    CHECK(guarded.first >= 200);
  });
}

TEST("a new owner sees all that the old one did, while others go on working") {
  both_ways([] {
    constexpr int kOwners = 4;
    constexpr int kOtherThreads = 2;
    OwnerLock lock;
    Guarded guarded;
    // Which owner's turn it is. It orders nothing else: that is what the lock is for.
    std::atomic<int> turn{0};
    std::atomic<std::uint64_t> by_others{0};
    std::array<std::uint64_t, kOwners> by_owner{};
    Barrier start(kOwners + kOtherThreads);
    Threads threads;
    for (int self = 0; self < kOwners; ++self) {
      threads.start([&, self] {
        start.arrive_and_wait();
        while (turn.load(std::memory_order_relaxed) != self) std::this_thread::yield();
        // As a heap changes hands: whoever stands in for the owner is done before the new one begins.
        {
          const AsOther taking_over(lock);
          guarded.change();
        }
        const std::uint64_t until = by_others.load(std::memory_order_relaxed) + kOtherRounds / 4;
        while (by_others.load(std::memory_order_relaxed) < until) {
          const AsOwner inside(lock);
          guarded.change();
          ++by_owner[static_cast<std::size_t>(self)];
        }
        turn.store(self + 1, std::memory_order_relaxed);
      });
    }
    for (int other = 0; other < kOtherThreads; ++other) {
      threads.start([&] {
        start.arrive_and_wait();
        while (turn.load(std::memory_order_relaxed) != kOwners) {
          const AsOther inside(lock);
          guarded.change();
          by_others.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    threads.join();
    std::uint64_t changes = by_others + kOwners;
    for (const std::uint64_t one : by_owner) changes += one;
    CHECK_EQ(guarded.first, changes);
    CHECK_EQ(guarded.second, guarded.first);
  });
}

}  // namespace offheap::test
