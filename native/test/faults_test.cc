// Every kernel call of a fixed scenario is refused once, and then for good from there on. Each refusal either comes up
// as an error that names the call, with the heap as it was before, or is absorbed where the headers say so; and when
// the kernel is willing again everything goes on, and at the end nothing is lost.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "heap/region.h"
#include "heap/release_retry.h"
#include "os/clock.h"
#include "test/heaps.h"

#ifdef __linux__
#include <fstream>
#endif

namespace offheap::test {

using heap::Failure;
using heap::kDecayMilliseconds;
using os::Call;

namespace {

constexpr std::array<const char*, os::kCallKinds> kNames{"reserve", "commit", "decommit", "release",
                                                         "protect", "advise", "move"};

// Contents of the first and last page: enough to see a page that was lost, moved or mixed up.
constexpr std::size_t kEnd = 4096;

class Scenario {
 public:
  // Refuses call number `nth` and the `times - 1` after it. `kind` beyond the last means calls of any kind.
  Scenario(std::size_t kind, std::uint32_t nth, std::uint32_t times) : kind_(kind) {
    if (kind < os::kCallKinds) {
      os::faults::fail(static_cast<Call>(kind), nth, times);
    } else {
      os::faults::fail_any(nth, times);
    }
  }

  // Says whether anything was refused.
  [[nodiscard]] bool run() {
    create();
    for (int index = 0; index < 3; ++index) allocate(64);
    allocate(5000);
    allocate(100 * kKiB, 8, Fill::kZero);
    allocate(kMiB, 2 * kMiB);
    for (int index = 0; index < kManySpans; ++index) allocate(33 * kKiB);
    for (int index = 0; index < kManySpans; index += 2) free_one(6);
    allocate(16 * kMiB, 8, Fill::kZero);
    allocate(20 * kMiB, 8, Fill::kZero);
    allocate(kMiB, 64 * kMiB);
    resize_everything();
    decay();
    allocate(300 * kKiB, 8, Fill::kZero);
    trim();
    allocate(300 * kKiB, 8, Fill::kZero);
    allocate(70 * kMiB);
    while (blocks_.size() > 4) free_one(blocks_.size() - 1);
    trim();
    decay();
    allocate(40 * kKiB);
    close();
    while (!blocks_.empty()) free_one(0);
    trim();
    check();
    CHECK_EQ(heap_->bytes_in_use(), 0U);
    Heap::destroy(heap_);
    make_willing();
    return refused_;
  }

 private:
  void make_willing() {
    refused_ = refused_ || os::faults::refused() > 0;
    os::faults::clear();
  }

#ifdef OFFHEAP_CHECK_INVARIANTS
  static constexpr int kManySpans = 60;
#else
  static constexpr int kManySpans = 280;  // enough for a second step of metadata
#endif

  void expect_refusal(const Failure& failure, std::size_t asked) const {
    CHECK(os::faults::refused() > 0);
    CHECK_EQ(failure.reason, Refusal::kOutOfMemory);
    CHECK_EQ(failure.asked, asked);
    CHECK(failure.os.number != 0);
    if (kind_ < os::kCallKinds) CHECK_EQ(failure.os.call, static_cast<Call>(kind_));
    // What is absorbed never comes up.
    CHECK(failure.os.call == Call::kReserve || failure.os.call == Call::kCommit);
  }

  // Runs `attempt`; if it is refused checks that nothing has changed, makes the kernel willing, and runs it again.
  template <typename Attempt>
  auto insist(std::size_t asked, Attempt attempt) {
    const Statistics before = heap_->statistics();
    auto result = attempt();
    if (!result.ok()) {
      expect_refusal(result.error(), asked);
      const Statistics after = heap_->statistics();
      CHECK_EQ(after.requested, before.requested);
      CHECK_EQ(after.blocks, before.blocks);
      CHECK_EQ(after.usable, before.usable);
      CHECK_EQ(after.regions, before.regions);
      CHECK_EQ(after.spans, before.spans);
      CHECK_EQ(after.free_bytes, before.free_bytes);
      CHECK_EQ(after.largest_free_run, before.largest_free_run);
      CHECK_EQ(after.allocations, before.allocations);
      CHECK_EQ(after.frees, before.frees);
      CHECK_EQ(after.peak, before.peak);
      CHECK_EQ(after.failures, before.failures + 1);
      CHECK_EQ(after.committed - after.metadata, before.committed - before.metadata);
      CHECK_EQ(after.reserved, before.reserved);
      check();
      make_willing();
      result = attempt();
    }
    CHECK(result.ok());
    return result.value();
  }

  void create() {
    auto made = Heap::create({});
    if (!made.ok()) {
      CHECK_EQ(made.error().reason, Refusal::kOutOfMemory);
      CHECK(made.error().os.number != 0);
      make_willing();
      made = Heap::create({});
    }
    CHECK(made.ok());
    heap_ = made.value();
    now_ = os::monotonic_milliseconds() + 10'000;
    (void)heap_->decay(now_);
  }

  static void write_ends(const Held& held) {
    fill_pattern(held.address, std::min(held.size, kEnd), held.seed);
    if (held.size > 2 * kEnd) fill_pattern(held.address + held.size - kEnd, kEnd, held.seed + 1);
  }
  static void check_ends(const Held& held) {
    CHECK(has_pattern(held.address, std::min(held.size, kEnd), held.seed));
    if (held.size > 2 * kEnd) CHECK(has_pattern(held.address + held.size - kEnd, kEnd, held.seed + 1));
  }

  // The ends of long ranges: whole ones are read in other tests.
  static void check_zero(const std::byte* start, std::size_t bytes) {
    constexpr std::size_t kLookedAt = 64 * kKiB;
    CHECK(is_zero(start, std::min(bytes, kLookedAt)));
    if (bytes > kLookedAt) CHECK(is_zero(start + bytes - kLookedAt, kLookedAt));
  }

  void check() const {
    CHECK(heap_->check_invariants());
    std::size_t bytes = 0;
    for (const Held& held : blocks_) {
      bytes += held.size;
      check_ends(held);
      CHECK(heap_->find(held.address).ok());
    }
    CHECK_EQ(heap_->bytes_in_use(), bytes);
    CHECK_EQ(heap_->blocks_in_use(), blocks_.size());
  }

  void allocate(std::size_t size, std::size_t align = 8, Fill fill = Fill::kAnything) {
    const Block block = insist(size, [&] { return heap_->allocate(layout(size, align), fill); });
    CHECK(heap::is_aligned(block.address, align));
    if (fill == Fill::kZero) check_zero(block.address, size);
    seed_ += 1000;
    blocks_.push_back({block.address, size, block.usable, seed_});
    write_ends(blocks_.back());
  }

  void free_one(std::size_t index) {
    const Held held = blocks_[index];
    check_ends(held);
    CHECK(heap_->free(held.address, held.size).ok());
    blocks_.erase(blocks_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  // To another size, by whatever way; a shrink is never refused.
  void resize(Held& held, std::size_t size, std::size_t align = 8) {
    check_ends(held);
    const auto attempt = [&] { return heap_->reallocate(held.address, held.size, layout(size, align), Fill::kZero); };
    if (size <= held.size && align <= 8) CHECK(heap::is_aligned(held.address, 8));
    const Block block = insist(size, attempt);
    const std::size_t kept = std::min(size, held.size);
    CHECK(has_pattern(block.address, std::min(kept, kEnd), held.seed));
    if (held.size > 2 * kEnd && size >= held.size) {
      CHECK(has_pattern(block.address + held.size - kEnd, kEnd, held.seed + 1));
    }
    check_zero(block.address + kept, size - kept);
    held = {block.address, size, block.usable, held.seed};
    write_ends(held);
  }

  void resize_everything() {
    Held& cell = blocks_[0];
    resize(cell, 300);
    resize(cell, 50 * kKiB);  // out of the buckets
    resize(cell, 40);         // and back
    Held& run = blocks_[4];
    for (const std::size_t size : {120 * kKiB, 3 * kMiB, 9 * kMiB, 60 * kKiB, 200 * kKiB, 5000 * kKiB})
      resize(run, size);
    resize(run, 18 * kMiB);   // into a reservation of its own
    resize(run, 40 * kMiB);   // in place
    resize(run, 30 * kMiB);   // in place
    resize(run, 100 * kMiB);  // moved by pages
    resize(run, 2 * kMiB);    // back into a region
    resize(blocks_[5], kMiB, 32 * kMiB);
    // A move in two halves, given up.
    Held& last = blocks_.back();
    const auto begun = insist(50 * kMiB, [&] { return heap_->begin_move(last.address, last.size, layout(50 * kMiB)); });
    heap_->abandon_move(begun);
    check();
    // Grown into the run before it.
    const std::size_t first = blocks_.size();
    allocate(400 * kKiB);
    allocate(400 * kKiB);
    allocate(400 * kKiB);
    free_one(first);
    resize(blocks_[first], 700 * kKiB);
    check();
  }

  void decay() {
    now_ += 60'000;
    for (int call = 0; call < 3; ++call) (void)heap_->decay(now_ += kDecayMilliseconds);
    check();
  }

  void trim() {
    (void)heap_->trim();
    check();
  }

  void close() {
    heap_->close();
    check();
    CHECK_EQ(heap_->allocate(layout(1), Fill::kAnything).error().reason, Refusal::kClosed);
  }

  std::size_t kind_;
  bool refused_ = false;
  Heap* heap_ = nullptr;
  std::vector<Held> blocks_;
  std::uint64_t seed_ = 0;
  std::uint64_t now_ = 0;
};

// What the kernel would show of us: mappings that are there for keeps.
[[nodiscard]] std::size_t reserved_mappings() {
  std::size_t count = 0;
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    const bool has_name = line.find('/') != std::string::npos || line.find('[') != std::string::npos;
    if (!has_name && line.find(" ---p ") != std::string::npos) ++count;
  }
#endif
  return count;
}

void give_back_all() {
  os::faults::clear();
  (void)heap::release_retry::retry();
  // Ends of padded reservations are tried again by the next reservation.
  const std::size_t bytes = os::allocation_granularity();
  const auto reserved = os::reserve(bytes, bytes);
  CHECK(reserved.ok());
  CHECK(os::release(reserved.value(), bytes).ok());
}

// Runs the scenario with the 1st, the 2nd, ... call of a kind refused, until it has fewer calls than that. Returns how
// many there were.
std::uint32_t refuse_each(std::size_t kind, std::uint32_t times) {
  give_back_all();
  CHECK(!Scenario(kind, ~std::uint32_t{0}, 1).run());
  give_back_all();
  const std::size_t mappings = reserved_mappings();
  for (std::uint32_t nth = 1;; ++nth) {
    note("refused: " + std::string(kind < os::kCallKinds ? kNames[kind] : "any call") + " number " +
         std::to_string(nth) + (times == 1 ? "" : " and all after it"));
    CHECK_EQ(heap::release_retry::counts().ranges, 0U);
    const bool was_refused = Scenario(kind, nth, times).run();
    give_back_all();
    CHECK_EQ(heap::release_retry::counts().ranges, 0U);
    CHECK_EQ(heap::release_retry::counts().bytes, 0U);
    CHECK(reserved_mappings() <= mappings);
    if (!was_refused) return nth - 1;
  }
}

void refuse_each_once_and_for_good(Call kind, std::uint32_t least) {
  CHECK(refuse_each(static_cast<std::size_t>(kind), 1) >= least);
  CHECK(refuse_each(static_cast<std::size_t>(kind), os::faults::kForever) >= least);
}

}  // namespace

TEST("a refused reservation comes up as an error and leaves the heap as it was, at every reservation") {
  refuse_each_once_and_for_good(Call::kReserve, 7);
}

TEST("a refused commit comes up as an error and leaves the heap as it was, at every commit") {
  refuse_each_once_and_for_good(Call::kCommit, 20);
}

TEST("a refused decommit is absorbed and nothing is lost, at every decommit") {
  refuse_each_once_and_for_good(Call::kDecommit, 3);
}

TEST("a refused release is absorbed and nothing is lost, at every release") {
  refuse_each_once_and_for_good(Call::kRelease, 5);
}

TEST("a refused move of pages is a copy, at every move") {
#ifndef __linux__
  skip("only Linux moves pages");
#endif
  refuse_each_once_and_for_good(Call::kMove, 1);
}

TEST("a refused call of any kind at any moment, and all calls after it, leave nothing lost") {
  CHECK(refuse_each(os::kCallKinds, 1) >= 40);
  CHECK(refuse_each(os::kCallKinds, os::faults::kForever) >= 40);
}

TEST("a refused advice after a refused decommit is absorbed, and the pages read zero all the same") {
  OwnHeap heap;
  for (int round = 0; round < 3; ++round) {
    const Held held = hold(*heap, 3 * kMiB, 8, Fill::kZero);
    drop(*heap, held);
    os::faults::fail(Call::kDecommit, 1, os::faults::kForever);
    os::faults::fail(Call::kAdvise, 1, os::faults::kForever);
    const Held wall = hold(*heap, 40 * kKiB);
    (void)heap->trim();
    CHECK(heap->check_invariants());
    os::faults::clear();
    drop(*heap, wall);
  }
}

TEST("a shrink is never refused: where the kernel has no memory for a smaller block the old one stays") {
  OwnHeap heap;
  for (const std::size_t size : {std::size_t{30'000}, 100 * kKiB, 20 * kMiB}) {
    const Held held = hold(*heap, size);
    os::faults::fail_any(1, os::faults::kForever);
    const auto made = heap->reallocate(held.address, size, layout(20), Fill::kZero);
    const auto failures = heap->statistics().failures;
    os::faults::clear();
    CHECK(made.ok());
    CHECK_EQ(failures, 0U);
    CHECK(has_pattern(made.value().address, 16, held.seed));
    CHECK_EQ(heap->bytes_in_use(), 20U);
    CHECK(heap->free(made.value().address, 20).ok());
  }
}

}  // namespace offheap::test
