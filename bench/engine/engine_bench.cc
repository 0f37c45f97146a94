// The native engine against malloc, in one program: no JavaScript, one thread. Each workload runs in turn on both, for
// several rounds; what counts is the ratio within a round, since the machine's speed drifts between rounds.
//
//   make -C bench/engine run                    a table
//   make -C bench/engine run ARGS=json          the nanoseconds of every round, for machines
//   make -C bench/engine run ARGS="json quick"  to see that it runs
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "heap/heap.h"

namespace {

using offheap::heap::Fill;
using offheap::heap::Heap;
using offheap::heap::Layout;

struct Malloc {
  static constexpr const char* kName = "malloc";
  void* allocate(std::size_t size) { return std::malloc(size); }
  void free(void* block, std::size_t) { std::free(block); }
};

class Engine {
 public:
  static constexpr const char* kName = "offheap";
  Engine() : heap_(Heap::create({}).value()) {}
  ~Engine() { Heap::destroy(heap_); }
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void* allocate(std::size_t size) { return heap_->allocate(*Layout::of(size), Fill::kAnything).value().address; }
  void free(void* block, std::size_t size) {
    if (!heap_->free(static_cast<std::byte*>(block), size).ok()) std::abort();
  }

 private:
  Heap* heap_;
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_;
  }
  std::size_t between(std::size_t low, std::size_t high) { return low + next() % (high - low + 1); }

 private:
  std::uint64_t state_;
};

struct Held {
  void* block;
  std::size_t size;
};

double nanoseconds(const std::function<void()>& work, std::size_t operations) {
  const auto start = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - start;
  return taken.count() / static_cast<double>(operations);
}

// Every block's first byte is written: an allocator that hands out cold memory pays for it.
void touch(void* block) { *static_cast<volatile char*>(block) = 1; }

template <typename Allocator>
double pair(std::size_t size, std::size_t live, std::size_t pairs) {
  Allocator allocator;
  std::vector<Held> held(live);
  for (Held& each : held) {
    each = {allocator.allocate(size), size};
    touch(each.block);
  }
  const double result = nanoseconds(
      [&] {
        for (std::size_t index = 0; index < pairs; ++index) {
          void* const block = allocator.allocate(size);
          touch(block);
          allocator.free(block, size);
        }
      },
      pairs);
  for (const Held& each : held) allocator.free(each.block, each.size);
  return result;
}

template <typename Allocator>
double replacement(std::size_t low, std::size_t high, std::size_t live, std::size_t operations) {
  Allocator allocator;
  Random random(12345);
  std::vector<Held> held(live);
  for (Held& each : held) {
    each.size = random.between(low, high);
    each.block = allocator.allocate(each.size);
    touch(each.block);
  }
  const double result = nanoseconds(
      [&] {
        for (std::size_t index = 0; index < operations; ++index) {
          Held& each = held[random.next() % live];
          allocator.free(each.block, each.size);
          each.size = random.between(low, high);
          each.block = allocator.allocate(each.size);
          touch(each.block);
        }
      },
      operations);
  for (const Held& each : held) allocator.free(each.block, each.size);
  return result;
}

struct Workload {
  std::string name;
  std::size_t operations;
  std::function<double(std::size_t operations)> ours;
  std::function<double(std::size_t operations)> theirs;
};

constexpr std::size_t kOperations = 3'000'000;

Workload pairs_of(std::string name, std::size_t size, std::size_t live) {
  return {std::move(name), kOperations, [=](std::size_t operations) { return pair<Engine>(size, live, operations); },
          [=](std::size_t operations) { return pair<Malloc>(size, live, operations); }};
}

Workload replacements_of(std::string name, std::size_t low, std::size_t high, std::size_t live,
                         std::size_t most = kOperations) {
  return {std::move(name), most,
          [=](std::size_t operations) { return replacement<Engine>(low, high, live, operations); },
          [=](std::size_t operations) { return replacement<Malloc>(low, high, live, operations); }};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void print_rounds(const char* name, const std::vector<double>& rounds) {
  std::printf("\"%s\":[", name);
  for (std::size_t round = 0; round < rounds.size(); ++round) std::printf(round == 0 ? "%.3f" : ",%.3f", rounds[round]);
  std::printf("]");
}

}  // namespace

int main(int argc, char** argv) {
  const std::span arguments(argv, static_cast<std::size_t>(argc));
  const auto asked_for = [&](std::string_view word) { return std::ranges::find(arguments, word) != arguments.end(); };
  const bool json = asked_for("json");
  const bool quick = asked_for("quick");
  const std::size_t rounds = quick ? 1 : 7;
  const std::vector<Workload> workloads{
      pairs_of("64 B pair, 10 live", 64, 10),
      pairs_of("64 B pair, 1,000,000 live", 64, 1'000'000),
      pairs_of("64 KiB pair, 10 live", 65536, 10),
      pairs_of("4 MiB pair, 4 live", 4U << 20, 4),
      replacements_of("random 16 to 1,024 B, 10,000 live", 16, 1024, 10'000),
      replacements_of("random 16 to 4,096 B, 100,000 live", 16, 4096, 100'000),
      replacements_of("random 16 to 512 B, 200,000 live", 16, 512, 200'000),
      replacements_of("random 1 to 512 KiB, 1,000 live", 1024, 524288, 1'000, 1'000'000),
  };
  if (!json)
    std::printf("%-36s %10s %10s %7s  %s\n", "ns per free + alloc", "offheap", "malloc", "ratio", "least to most");
  for (const Workload& workload : workloads) {
    const std::size_t operations = quick ? workload.operations / 100 : workload.operations;
    std::vector<double> ours(rounds);
    std::vector<double> theirs(rounds);
    std::vector<double> ratios(rounds);
    for (std::size_t round = 0; round < rounds; ++round) {
      // Neither is always the first.
      if (round % 2 == 0) ours[round] = workload.ours(operations);
      theirs[round] = workload.theirs(operations);
      if (round % 2 == 1) ours[round] = workload.ours(operations);
      ratios[round] = ours[round] / theirs[round];
    }
    if (json) {
      std::printf("{\"workload\":\"%s\",", workload.name.c_str());
      print_rounds("offheap", ours);
      std::printf(",");
      print_rounds("malloc", theirs);
      std::printf("}\n");
      continue;
    }
    const auto [least, most] = std::ranges::minmax(ratios);
    std::printf("%-36s %10.1f %10.1f %7.2f  %.2f to %.2f\n", workload.name.c_str(), median(ours), median(theirs),
                median(ratios), least, most);
  }
}
