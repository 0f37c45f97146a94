// What a heap knows of itself at every moment: bytes and blocks handed out and given back.
#ifndef OFFHEAP_HEAP_COUNTERS_H_
#define OFFHEAP_HEAP_COUNTERS_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace offheap::heap {

// A number that one thread changes and any thread reads. Adding costs what it costs on a plain integer: the owner needs
// no locked instruction, and readers never see half a value.
class OwnerCounter {
 public:
  void add(std::uint64_t amount) { value_.store(get() + amount, std::memory_order_release); }
  void raise_to(std::uint64_t candidate) {
    if (candidate > get()) value_.store(candidate, std::memory_order_relaxed);
  }
  // For the owner.
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }
  // For any thread: what the owner did before is seen too.
  [[nodiscard]] std::uint64_t read() const { return value_.load(std::memory_order_acquire); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Bytes are requested bytes throughout. What is in use is exact on the owner thread at every moment, also while other
// threads free; on another thread it is what was true at some moment of the call.
struct Counters {
  OwnerCounter bytes_allocated;
  OwnerCounter bytes_freed;
  OwnerCounter blocks_allocated;
  OwnerCounter blocks_freed;
  OwnerCounter peak_bytes;
  OwnerCounter failures;
  // Frees by other threads count when they happen, not when they are collected.
  std::atomic<std::uint64_t> remote_bytes_freed{0};
  std::atomic<std::uint64_t> remote_blocks_freed{0};

  // For the owner.
  [[nodiscard]] std::size_t bytes_in_use() const {
    const std::uint64_t freed = bytes_freed.get() + remote_bytes_freed.load(std::memory_order_acquire);
    return bytes_allocated.get() - freed;
  }
  [[nodiscard]] std::size_t blocks_in_use() const {
    const std::uint64_t freed = blocks_freed.get() + remote_blocks_freed.load(std::memory_order_acquire);
    return blocks_allocated.get() - freed;
  }

  // The same on any thread.
  [[nodiscard]] std::size_t read_bytes_in_use() const {
    return read_difference(bytes_allocated, bytes_freed, remote_bytes_freed);
  }
  [[nodiscard]] std::size_t read_blocks_in_use() const {
    return read_difference(blocks_allocated, blocks_freed, remote_blocks_freed);
  }

  void allocated(std::size_t bytes) {
    bytes_allocated.add(bytes);
    blocks_allocated.add(1);
    peak_bytes.raise_to(bytes_in_use());
  }
  void freed(std::size_t bytes) {
    bytes_freed.add(bytes);
    blocks_freed.add(1);
  }
  void freed_remotely(std::size_t bytes) {
    remote_bytes_freed.fetch_add(bytes, std::memory_order_acq_rel);
    remote_blocks_freed.fetch_add(1, std::memory_order_acq_rel);
  }
  void resized(std::size_t from, std::size_t to) {
    bytes_freed.add(from);
    bytes_allocated.add(to);
    peak_bytes.raise_to(bytes_in_use());
  }

 private:
  // The sum of frees only grows: if it is the same before and after, it was the same when `allocated` was read.
  [[nodiscard]] static std::size_t read_difference(const OwnerCounter& allocated, const OwnerCounter& freed,
                                                   const std::atomic<std::uint64_t>& freed_remotely) {
    std::uint64_t before = freed.read() + freed_remotely.load(std::memory_order_acquire);
    while (true) {
      const std::uint64_t total = allocated.read();
      const std::uint64_t after = freed.read() + freed_remotely.load(std::memory_order_acquire);
      if (after == before) return total - after;
      before = after;
    }
  }
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_COUNTERS_H_
