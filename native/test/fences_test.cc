#include "os/fences.h"

#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "test/fences.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

#ifdef NDEBUG
constexpr std::size_t kRounds = 15'000;
#else
constexpr std::size_t kRounds = 4'000;
#endif

// One round: what each side announces, and whether it saw the other's.
struct Round {
  alignas(64) std::atomic<bool> often{false};
  alignas(64) std::atomic<bool> seldom{false};
  alignas(64) bool often_saw = false;
  alignas(64) bool seldom_saw = false;
};

// Lines that both threads write to: what is stored after them leaves the processor late, which is the moment the fences
// are for.
struct Noise {
  struct Line {
    alignas(64) std::atomic<std::size_t> value{0};
  };
  std::array<Line, 8> lines{};

  void make(std::size_t round) {
    for (Line& line : lines) line.value.store(round, std::memory_order_relaxed);
  }
};

// Has two threads begin each round as nearly at once as can be.
class Start {
 public:
  void wait(std::size_t self, std::size_t round) {
    arrived_[self].store(round + 1, std::memory_order_release);
    // On a machine with one processor the other has to be let run.
    for (int spins = 0; arrived_[1 - self].load(std::memory_order_acquire) <= round; ++spins) {
      if (spins > 500) std::this_thread::yield();
    }
  }

 private:
  std::array<std::atomic<std::size_t>, 2> arrived_{};
};

void check_one_sees_the_other() {
  std::vector<Round> rounds(kRounds);
  Start start;
  Noise noise;
  on_threads(2, [&](std::size_t self) {
    for (std::size_t index = 0; index < kRounds; ++index) {
      Round& round = rounds[index];
      start.wait(self, index);
      noise.make(index);
      if (self == 0) {
        os::announce_often(round.often);
        round.often_saw = round.seldom.load(std::memory_order_acquire);
      } else {
        os::announce_seldom(round.seldom);
        round.seldom_saw = round.often.load(std::memory_order_acquire);
      }
    }
  });
  for (const Round& round : rounds) {
    CHECK(round.often_saw || round.seldom_saw);
    CHECK(round.often.load() && round.seldom.load());
  }
}

}  // namespace

TEST("of two threads that announce and then look, one often and one seldom, at least one sees the other") {
  os::prepare_fences();
  check_one_sees_the_other();
}

TEST("at least one sees the other also where the kernel has no fence for other threads") {
  const NoKernelFences none;
  check_one_sees_the_other();
}

TEST("fences may be prepared by any thread, any number of times, and the answer stays") {
  os::prepare_fences();
  const bool has_help = os::internal::kernel_fences.load();
  on_threads(4, [](std::size_t) {
    for (int round = 0; round < 100; ++round) os::prepare_fences();
  });
  CHECK_EQ(os::internal::kernel_fences.load(), has_help);
#ifdef __linux__
  if (!has_help) skip("this kernel, or the sandbox, has no membarrier");
#endif
}

TEST("whoever asks seldom has announced when the call returns, also alone") {
  os::prepare_fences();
  std::atomic<bool> flag{false};
  os::announce_seldom(flag);
  CHECK(flag.load());
  os::announce_seldom(flag);
  CHECK(flag.load());
  std::atomic<bool> often{false};
  os::announce_often(often);
  CHECK(often.load());
}

}  // namespace offheap::test
