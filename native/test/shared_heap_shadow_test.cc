// Random operations by several threads on shared heaps, each thread beside a plain list of the blocks in its hands,
// which it also passes on to others. Now and then all stop, and what the heaps say of themselves is compared with the
// lists. Run it longer with OPERATIONS=n, again with SEED=n: each thread then does the same, though not in the same
// order as the others.
#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "os/clock.h"
#include "test/shared_heaps.h"

namespace offheap::test {

namespace {

#if defined(OFFHEAP_CHECK_INVARIANTS)
constexpr std::uint64_t kDefaultOperations = 30'000;
#elif defined(NDEBUG)
constexpr std::uint64_t kDefaultOperations = 600'000;
#else
constexpr std::uint64_t kDefaultOperations = 120'000;
#endif

constexpr std::size_t kThreads = 4;
constexpr std::uint64_t kOperationsBetweenStops = 2'000;  // of each thread
constexpr std::array<std::uint32_t, 5> kOddClasses{40, 1000, 5'000, 100'000, 1U << 20};

// One heap, and the blocks of it that are in each thread's hands or on their way there.
struct Shadow {
  Shadow(const Options& options, std::size_t most_blocks, std::size_t most_bytes)
      : heap(options), limit(options.limit), most_blocks(most_blocks), most_bytes(most_bytes) {}

  OwnShared heap;
  const std::size_t limit;
  const std::size_t most_blocks;  // for each thread
  const std::size_t most_bytes;   // for each thread
  std::array<std::vector<SharedHeld>, kThreads> held;
  std::array<Queue<SharedHeld>, kThreads> arriving;

  // Nobody works now.
  void check_at_stop() {
    std::vector<SharedHeld> all;
    for (std::size_t self = 0; self < kThreads; ++self) {
      while (const auto arrived = arriving[self].take()) held[self].push_back(*arrived);
      all.insert(all.end(), held[self].begin(), held[self].end());
    }
    std::size_t bytes = 0;
    for (const SharedHeld& one : all) {
      CHECK(one.intact());
      CHECK(heap->part_of(one.address) == one.part);
      bytes += one.size;
    }
    check_at_rest(*heap, bytes, all.size());
    std::ranges::sort(all, {}, &SharedHeld::address);
    for (std::size_t index = 1; index < all.size(); ++index) {
      CHECK(all[index - 1].address + std::max<std::size_t>(all[index - 1].size, 1) <= all[index].address);
    }
    const Statistics statistics = heap->statistics();
    CHECK(statistics.peak <= limit);
    CHECK(statistics.peak >= highest_seen);
    highest_seen = statistics.peak;
    CHECK(parts_of(*heap).size() <= kThreads);
  }

  std::size_t highest_seen = 0;
};

// What one thread does to one heap.
class Hand {
 public:
  Hand(Shadow& shadow, std::size_t self, std::uint64_t& time) : shadow_(shadow), self_(self), time_(time) {}

  void step(Random& random) {
    const std::size_t dice = random.below(1000);
    const bool full = held().size() >= shadow_.most_blocks || bytes_ >= shadow_.most_bytes;
    if (held().empty() || (dice < 430 && !full)) {
      allocate(random);
    } else if (dice < 650 || full) {
      free(random);
    } else if (dice < 740) {
      pass_on(random);
    } else if (dice < 820) {
      receive();
    } else if (dice < 880) {
      resize_in_place(random);
    } else if (dice < 940) {
      move(random);
    } else if (dice < 970) {
      ask(random);
    } else if (dice < 985) {
      part_.reset();
    } else {
      look_closely(random);
    }
  }

  void leave() { part_.reset(); }

  // What is in hand may have changed at a stop.
  void count_again() {
    bytes_ = 0;
    for (const SharedHeld& one : held()) bytes_ += one.size;
  }

  void free_all() {
    receive();
    for (const SharedHeld& one : held()) drop_shared(one);
    held().clear();
    bytes_ = 0;
  }

 private:
  static std::size_t random_size(Random& random) {
    if (random.one_in(3000)) return random.log_uniform(25);
    return random.one_in(40) ? random.log_uniform(20) : random.log_uniform(12) - 1;
  }

  static std::size_t random_align(Random& random) {
    return random.one_in(8) ? std::size_t{1} << random.below(15) : heap::kDefaultAlign;
  }

  [[nodiscard]] std::vector<SharedHeld>& held() const { return shadow_.held[self_]; }
  [[nodiscard]] SharedHeap& heap() const { return *shadow_.heap; }
  [[nodiscard]] SharedHeld& any(Random& random) { return held()[random.below(held().size())]; }

  void forget(SharedHeld& one) {
    bytes_ -= one.size;
    one = held().back();
    held().pop_back();
  }

  void check_refusal(const Failure& failure) const {
    CHECK_EQ(failure.reason, Refusal::kLimit);
    CHECK_EQ(failure.limit, shadow_.limit);
  }

  void allocate(Random& random) {
    if (!part_) part_.emplace(heap());
    const std::size_t size = random_size(random);
    const std::size_t align = random_align(random);
    const Fill fill = random.one_in(2) ? Fill::kZero : Fill::kAnything;
    const auto made = heap().allocate(**part_, layout(size, align), fill);
    if (!made.ok()) return check_refusal(made.error());
    const SharedHeld one{part_->get(), made.value().address, size, random.next()};
    CHECK(heap::is_aligned(one.address, align));
    CHECK(made.value().usable >= size);
    if (fill == Fill::kZero || made.value().zeroed) CHECK(is_zero(one.address, std::min(size, kMiB)));
    one.fill();
    held().push_back(one);
    bytes_ += size;
  }

  void free(Random& random) {
    SharedHeld& one = any(random);
    drop_shared(one);
    forget(one);
  }

  void pass_on(Random& random) {
    SharedHeld& one = any(random);
    shadow_.arriving[random.below(kThreads)].put(one);
    forget(one);
  }

  void receive() {
    while (const auto arrived = shadow_.arriving[self_].take()) {
      CHECK(arrived->intact());
      held().push_back(*arrived);
      bytes_ += arrived->size;
    }
  }

  [[nodiscard]] static std::size_t random_new_size(const SharedHeld& one, Random& random) {
    switch (random.below(3)) {
      case 0:
        return random.below(one.size + 1);
      case 1:
        return one.size + random.below(one.size + 64);
      default:
        return random_size(random);
    }
  }

  void resized(SharedHeld& one, std::byte* address, std::size_t size, Fill fill, Random& random) {
    CHECK(has_pattern(address, std::min(one.looked_at(), size), one.seed));
    if (fill == Fill::kZero && size > one.size) {
      CHECK(is_zero(address + one.size, std::min(size - one.size, kMiB)));
    }
    bytes_ += size - one.size;
    one = {one.part, address, size, random.next()};
    one.fill();
  }

  void resize_in_place(Random& random) {
    SharedHeld& one = any(random);
    const std::size_t size = random_new_size(one, random);
    const Fill fill = random.one_in(2) ? Fill::kZero : Fill::kAnything;
    const auto shrink = random.one_in(2) ? Heap::Shrink::kAlways : Heap::Shrink::kUnlessWasteful;
    const auto done = heap().resize_in_place(*one.part, one.address, one.size, layout(size), fill, shrink);
    if (!done.ok()) {
      CHECK(size > one.size);
      return check_refusal(done.error());
    }
    if (shrink == Heap::Shrink::kAlways && size <= one.size) CHECK(done.value());
    if (done.value()) resized(one, one.address, size, fill, random);
  }

  void move(Random& random) {
    SharedHeld& one = any(random);
    const std::size_t size = random_new_size(one, random);
    const auto begun = heap().begin_move(*one.part, one.address, one.size, layout(size));
    if (!begun.ok()) {
      CHECK(size > one.size);
      return check_refusal(begun.error());
    }
    if (random.one_in(3)) {
      heap().abandon_move(*one.part, begun.value());
      CHECK(one.intact());
      return;
    }
    const Fill fill = random.one_in(2) ? Fill::kZero : Fill::kAnything;
    heap().finish_move(*one.part, begun.value(), fill);
    resized(one, begun.value().to.address, size, fill, random);
  }

  void ask(Random& random) {
    const SharedHeld& one = any(random);
    CHECK(heap().part_of(one.address) == one.part);
    CHECK(&SharedHeap::part_holding(one.address) == one.part);
    if (one.size > 1) CHECK(heap().part_of(one.address + 1 + random.below(one.size - 1)) == nullptr);
    CHECK(heap().bytes_in_use() + heap().blocks_in_use() > 0);
    CHECK(heap().budget().in_use() <= shadow_.limit);
  }

  void look_closely(Random& random) {
    switch (random.below(20)) {
      case 0:
        (void)heap().trim();
        break;
      case 1:
      case 2:
        (void)heap().decay(time_ += random.below(1500));
        break;
      case 3:
        heap().for_each_part([](Heap& part) { CHECK(part.check_invariants()); });
        break;
      default: {
        const SharedHeap::Totals totals = heap().statistics();
        CHECK(totals.usable >= totals.requested);
        CHECK(totals.peak <= shadow_.limit);
        CHECK_EQ(totals.reclaimed, 0U);
        break;
      }
    }
  }

  Shadow& shadow_;
  const std::size_t self_;
  std::uint64_t& time_;
  std::optional<Attached> part_;
  std::size_t bytes_ = 0;
};

void run(std::uint64_t operations, std::uint64_t seed) {
  note("OPERATIONS=" + std::to_string(operations) + " SEED=" + std::to_string(seed));
  std::array<std::unique_ptr<Shadow>, 4> shadows{
      std::make_unique<Shadow>(Options{}, 200, 40 * kMiB),
      std::make_unique<Shadow>(Options{}, 6, 40 * kMiB),
      std::make_unique<Shadow>(Options{.limit = 3 * kMiB, .size_classes = kOddClasses}, 100, 40 * kMiB),
      std::make_unique<Shadow>(Options{.limit = 60 * kMiB, .keep_addresses = true}, 100, 40 * kMiB),
  };
  const std::uint64_t stops = std::max<std::uint64_t>(1, operations / kThreads / kOperationsBetweenStops);
  const std::uint64_t steps = std::max<std::uint64_t>(1, operations / kThreads / stops);
  on_meeting_threads(kThreads, [&](std::size_t self, const auto& meet) {
    Random random(seed * kThreads + self + 1);
    std::uint64_t time = os::monotonic_milliseconds();
    std::vector<std::unique_ptr<Hand>> hands;
    for (const auto& shadow : shadows) hands.push_back(std::make_unique<Hand>(*shadow, self, time));
    for (std::uint64_t stop = 0; stop < stops; ++stop) {
      for (std::uint64_t step = 0; step < steps; ++step) hands[random.below(hands.size())]->step(random);
      meet();
      if (self == 0) {
        for (const auto& shadow : shadows) shadow->check_at_stop();
      }
      meet();
      for (const auto& hand : hands) hand->count_again();
    }
    // Two of the heaps are let go first and freed then, both by everybody at once.
    for (const auto& hand : hands) hand->leave();
    meet();
    if (self == 0) {
      shadows[1]->heap.release();
      shadows[3]->heap.release();
    }
    for (const auto& hand : hands) hand->free_all();
  });
  check_nothing_in_use(*shadows[0]->heap);
  check_nothing_in_use(*shadows[2]->heap);
}

}  // namespace

TEST("random operations by several threads keep every shared heap equal to its shadow") {
  const CommandLine& asked = command_line();
  run(asked.operations != 0 ? asked.operations : kDefaultOperations, asked.seed != 0 ? asked.seed : 20'240'229);
}

}  // namespace offheap::test
