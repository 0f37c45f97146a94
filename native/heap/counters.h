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
  void add(std::uint64_t amount) { value_.store(get() + amount, std::memory_order_relaxed); }
  void raise_to(std::uint64_t candidate) {
    if (candidate > get()) value_.store(candidate, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Bytes are requested bytes throughout. in_use() is exact on the owner thread at every moment, also while other
// threads free; on another thread it is a moment's value that never counts a free whose allocation it does not count.
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

  [[nodiscard]] std::size_t bytes_in_use() const {
    const std::uint64_t freed = bytes_freed.get() + remote_bytes_freed.load(std::memory_order_acquire);
    return bytes_allocated.get() - freed;
  }
  [[nodiscard]] std::size_t blocks_in_use() const {
    const std::uint64_t freed = blocks_freed.get() + remote_blocks_freed.load(std::memory_order_acquire);
    return blocks_allocated.get() - freed;
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
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_COUNTERS_H_
