// Random operations on several heaps at once, each beside a plain list of what must be true of it: which blocks live,
// what they contain, how many bytes are in use. Run it longer with OPERATIONS=n, again with SEED=n.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "test/heaps.h"

namespace offheap::test {

namespace {

#if defined(OFFHEAP_CHECK_INVARIANTS)
constexpr std::uint64_t kDefaultOperations = 100'000;
#elif defined(NDEBUG)
constexpr std::uint64_t kDefaultOperations = 2'000'000;
#else
constexpr std::uint64_t kDefaultOperations = 200'000;
#endif

constexpr std::array<std::uint32_t, 3> kThreeClasses{8, 16, 24};
constexpr std::array<std::uint32_t, 5> kOddClasses{40, 1000, 5'000, 100'000, 1U << 20};

// Blocks longer than this are checked at both ends and at a few places between, or the test would only read memory.
constexpr std::size_t kWholeCheck = 4096;

class Model {
 public:
  Model(std::string name, const Options& options, std::size_t most_blocks, std::size_t most_bytes)
      : name_(std::move(name)),
        heap_(options),
        limit_(options.limit),
        most_blocks_(most_blocks),
        most_bytes_(most_bytes) {}

  void step(Random& random) {
    const std::size_t dice = random.below(1000);
    const bool full = blocks_.size() >= most_blocks_ || bytes_ >= most_bytes_;
    if (blocks_.empty() || (dice < 480 && !full)) {
      allocate(random);
    } else if (dice < 800 || full) {
      free(random);
    } else if (dice < 900) {
      reallocate(random);
    } else if (dice < 940) {
      resize_in_place(random);
    } else if (dice < 970) {
      move_in_two_halves(random);
    } else if (dice < 985) {
      refuse_nonsense(random);
    } else if (dice < 995) {
      (void)heap_->decay(time_ += random.below(1500));
    } else if (dice < 997) {
      heap_->collect();
    } else if (dice < 998) {
      (void)heap_->trim();
    } else {
      check_all();
    }
    CHECK_EQ(heap_->bytes_in_use(), bytes_);
    CHECK_EQ(heap_->blocks_in_use(), blocks_.size());
  }

  void check_all() {
    CHECK(heap_->check_invariants());
    for (const Held& held : blocks_) {
      check_contents(held);
      const auto found = heap_->find(held.address);
      CHECK(found.ok());
      CHECK(found.value().usable >= held.size);
    }
    check_apart();
    const Statistics statistics = heap_->statistics();
    CHECK_EQ(statistics.requested, bytes_);
    CHECK_EQ(statistics.blocks, blocks_.size());
    CHECK_EQ(statistics.peak, peak_);
    CHECK_EQ(statistics.allocations, allocations_);
    CHECK_EQ(statistics.frees, allocations_ - blocks_.size());
    CHECK(statistics.usable >= bytes_);
    CHECK(statistics.committed >= statistics.usable + statistics.metadata);
    CHECK(statistics.reserved >= statistics.committed);
  }

  void free_all() {
    for (const Held& held : blocks_) {
      check_contents(held);
      CHECK(heap_->free(held.address, held.size).ok());
    }
    blocks_.clear();
    bytes_ = 0;
    (void)heap_->trim();
    check_all();
    const Statistics statistics = heap_->statistics();
    CHECK_EQ(statistics.regions, 0U);
    CHECK_EQ(statistics.usable, 0U);
    CHECK_EQ(statistics.committed, statistics.metadata);
    CHECK_EQ(statistics.reserved, statistics.committed);
  }

 private:
  static std::size_t random_size(Random& random) {
    // Up to 40 MiB, the large ones seldom: they cost milliseconds, and small ones are where the states are.
    switch (random.below(2000)) {
      case 0:
        return random.log_uniform(25) + random.below(8 * kMiB);
      case 1:
      case 2:
        return random.log_uniform(24);
      default:
        return random.one_in(40) ? random.log_uniform(20) : random.log_uniform(13) - 1;
    }
  }

  static std::size_t random_align(Random& random) {
    if (random.one_in(2000)) return std::size_t{1} << random.below(27);
    return random.one_in(8) ? std::size_t{1} << random.below(15) : 8;
  }

  static Fill random_fill(Random& random) { return random.one_in(2) ? Fill::kZero : Fill::kAnything; }

  std::size_t random_block(Random& random) { return random.below(blocks_.size()); }

  void write(Held& held, Random& random) {
    held.seed = random.next();
    write_from(held, 0);
  }

  // What the block reads as at offsets from `from` on; long blocks only near the places that are looked at.
  static void write_from(const Held& held, std::size_t from) {
    for_each_checked(held.size, [&](std::size_t first, std::size_t end) {
      if (end > from) fill_part(held, std::max(first, from), end);
    });
  }

  static void fill_part(const Held& held, std::size_t first, std::size_t end) {
    for (std::size_t offset = first; offset < end; ++offset) held.address[offset] = byte_at(held.seed, offset);
  }

  static std::byte byte_at(std::uint64_t seed, std::size_t offset) {
    return static_cast<std::byte>(((seed ^ offset) * 0x9E3779B97F4A7C15ULL) >> 56);
  }

  // The same places for a block of any size: its first bytes and a piece at the start of each of some pages. A place
  // inside both an old and a new size is thus looked at under either. The last bytes are checked by write_tail.
  template <typename Visit>
  static void for_each_checked(std::size_t size, Visit visit) {
    visit(0, std::min(size, kWholeCheck));
    for (std::size_t start = 2 * kWholeCheck; start < size; start *= 2) visit(start, std::min(size, start + 64));
    for (std::size_t start = kMiB; start < size; start += kMiB) visit(start, std::min(size, start + 64));
  }

  static void check_contents(const Held& held) { check_part(held.address, held.seed, held.size); }

  // The first `size` bytes hold what was written under `seed`.
  static void check_part(const std::byte* address, std::uint64_t seed, std::size_t size) {
    for_each_checked(size, [&](std::size_t first, std::size_t end) {
      for (std::size_t offset = first; offset < end; ++offset) {
        if (address[offset] != byte_at(seed, offset)) {
          fail(__FILE__, __LINE__, "byte " + std::to_string(offset) + " of " + std::to_string(size) + " has changed");
        }
      }
    });
  }

  // Every byte: it is what zeroing promises.
  static void check_zero(const std::byte* address, std::size_t from, std::size_t end) {
    if (end > from) CHECK(is_zero(address + from, end - from));
  }

  bool limit_allows(std::size_t asked, std::size_t given_back) const {
    return limit_ == heap::Limit::kNone || asked <= given_back || bytes_ - given_back + asked <= limit_;
  }

  void came_into_use(std::size_t before, std::size_t after) {
    bytes_ += after - before;
    peak_ = std::max(peak_, bytes_);
  }

  void allocate(Random& random) {
    const std::size_t size = random_size(random);
    const std::size_t align = random_align(random);
    const Fill fill = random_fill(random);
    const auto made = heap_->allocate(layout(size, align), fill);
    if (!limit_allows(size, 0)) {
      CHECK(!made.ok());
      CHECK_EQ(made.error().reason, Refusal::kLimit);
      CHECK_EQ(made.error().in_use, bytes_);
      return;
    }
    CHECK(made.ok());
    const Block block = made.value();
    CHECK(heap::is_aligned(block.address, align));
    CHECK(block.usable >= size);
    if (fill == Fill::kZero) check_zero(block.address, 0, size);
    if (block.zeroed) check_zero(block.address, 0, block.usable);
    Held held{block.address, size, block.usable, 0};
    write(held, random);
    blocks_.push_back(held);
    ++allocations_;
    came_into_use(0, size);
  }

  void free(Random& random) {
    const std::size_t index = random_block(random);
    const Held held = blocks_[index];
    check_contents(held);
    CHECK(heap_->free(held.address, held.size).ok());
    CHECK(!heap_->free(held.address, held.size).ok());
    blocks_[index] = blocks_.back();
    blocks_.pop_back();
    bytes_ -= held.size;
  }

  std::size_t random_new_size(const Held& held, Random& random) {
    switch (random.below(4)) {
      case 0:
        return random.below(held.size + 1);
      case 1:
        return held.size + random.below(64);
      case 2:
        return held.size + random.below(held.size + 1);
      default:
        return random_size(random);
    }
  }

  // The block is at `address` now, `size` bytes long, with the old contents in front.
  void resized(Held& held, std::byte* address, std::size_t size, Fill fill, Random& random) {
    check_part(address, held.seed, std::min(held.size, size));
    if (fill == Fill::kZero) check_zero(address, held.size, size);
    const auto found = heap_->find(address);
    CHECK(found.ok());
    CHECK(found.value().usable >= size);
    came_into_use(held.size, size);
    held.address = address;
    held.size = size;
    held.usable = found.value().usable;
    write(held, random);
  }

  void reallocate(Random& random) {
    Held& held = blocks_[random_block(random)];
    const std::size_t size = random_new_size(held, random);
    const std::size_t align = random_align(random);
    const Fill fill = random_fill(random);
    const auto made = heap_->reallocate(held.address, held.size, layout(size, align), fill);
    if (!limit_allows(size, held.size)) {
      CHECK(!made.ok());
      CHECK_EQ(made.error().reason, Refusal::kLimit);
      return;
    }
    CHECK(made.ok());
    CHECK(heap::is_aligned(made.value().address, align));
    CHECK(made.value().usable >= size);
    resized(held, made.value().address, size, fill, random);
  }

  void resize_in_place(Random& random) {
    Held& held = blocks_[random_block(random)];
    const std::size_t size = random_new_size(held, random);
    const Fill fill = random_fill(random);
    const auto shrink = random.one_in(2) ? Heap::Shrink::kAlways : Heap::Shrink::kUnlessWasteful;
    const auto done = heap_->resize_in_place(held.address, held.size, layout(size), fill, shrink);
    if (!limit_allows(size, held.size)) {
      CHECK(!done.ok());
      return;
    }
    CHECK(done.ok());
    if (shrink == Heap::Shrink::kAlways && size <= held.size) CHECK(done.value());
    if (done.value()) resized(held, held.address, size, fill, random);
  }

  void move_in_two_halves(Random& random) {
    Held& held = blocks_[random_block(random)];
    const std::size_t size = random_new_size(held, random);
    const auto begun = heap_->begin_move(held.address, held.size, layout(size));
    if (!limit_allows(size, held.size)) {
      CHECK(!begun.ok());
      return;
    }
    CHECK(begun.ok());
    check_contents(held);
    if (random.one_in(2)) {
      heap_->abandon_move(begun.value());
      check_contents(held);
      return;
    }
    const Fill fill = random_fill(random);
    heap_->finish_move(begun.value(), fill);
    resized(held, begun.value().to.address, size, fill, random);
  }

  void refuse_nonsense(Random& random) {
    const Held& held = blocks_[random_block(random)];
    if (held.usable > 1) CHECK(!heap_->free(held.address + 1 + random.below(held.usable - 1), held.size).ok());
    const auto found = heap_->find(held.address);
    CHECK(found.ok());
    CHECK_EQ(heap_->free(held.address, found.value().usable + 1).error().reason, Refusal::kOutOfRange);
    CHECK_EQ(heap_->free(nullptr, 0).error().reason, Refusal::kForeign);
  }

  void check_apart() {
    std::vector<Held> sorted = blocks_;
    std::ranges::sort(sorted, {}, &Held::address);
    for (std::size_t index = 1; index < sorted.size(); ++index) {
      const Held& left = sorted[index - 1];
      const auto found = heap_->find(left.address);
      CHECK(left.address + found.value().usable <= sorted[index].address);
    }
  }

  std::string name_;
  OwnHeap heap_;
  std::size_t limit_;
  std::size_t most_blocks_;
  std::size_t most_bytes_;
  std::vector<Held> blocks_;
  std::size_t bytes_ = 0;
  std::size_t peak_ = 0;
  std::uint64_t allocations_ = 0;
  std::uint64_t time_ = 1'000'000'000;
};

void run_models(std::uint64_t operations, std::uint64_t seed) {
  Random random(seed);
  Model models[] = {
      Model("default", {}, 2'000, 200 * kMiB),
      Model("few blocks", {}, 12, 100 * kMiB),
      Model("three classes", {.size_classes = kThreeClasses}, 300, 50 * kMiB),
      Model("odd classes, limit", {.limit = 3 * kMiB, .size_classes = kOddClasses}, 500, 50 * kMiB),
      Model("limit", {.limit = 40 * kMiB}, 1'000, 100 * kMiB),
  };
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    if (operation % 1024 == 0) {
      note("OPERATIONS=" + std::to_string(operations) + " SEED=" + std::to_string(seed) + ", after operation " +
           std::to_string(operation));
    }
    models[random.below(std::size(models))].step(random);
  }
  for (Model& model : models) {
    model.check_all();
    model.free_all();
  }
}

}  // namespace

TEST("random operations keep every heap equal to its shadow model") {
  const CommandLine& asked = command_line();
  const std::uint64_t operations = asked.operations != 0 ? asked.operations : kDefaultOperations;
  run_models(operations, asked.seed != 0 ? asked.seed : 20'240'229);
}

}  // namespace offheap::test
