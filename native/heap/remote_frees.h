// Frees by threads that do not own the heap. They touch no block and no owner's field: each sets one bit beside the
// span and, if it is the first since the last collection, puts the span on its heap's list of pending spans. The owner
// collects the whole list in one batch.
//
//   other threads                                owner
//   1. bits |= cell        (fetch_or)            a. list -> private            (exchange)
//   2. pending: false ->   (exchange)            b. per span: next = span.next_pending, pending = false
//      true? push on list  (compare-and-swap)    c. per span: bits -> 0        (exchange), cells to the free list
//
// No bit is lost: a bit set before (c) is collected; one set after (c) has its step 2 after (b), finds pending false,
// and puts the span on the list again. native/test/remote_frees_model_test.cc walks every interleaving.
// No ABA: the list is pushed one at a time and taken whole.
// The bit also refuses a second free of the same cell by any other thread. What it cannot refuse is a free by the owner
// at the very moment of one by another thread: whoever holds a block sees to it that one thread frees it.
#ifndef OFFHEAP_HEAP_REMOTE_FREES_H_
#define OFFHEAP_HEAP_REMOTE_FREES_H_

#include <array>
#include <atomic>
#include <cstdint>

#include "heap/free_list.h"

namespace offheap::heap {

// Owned by a span. set() by any thread, take() and clear() by the heap's owner thread.
class RemoteFrees {
 public:
  // False if the cell was there already: freed twice.
  [[nodiscard]] bool set(std::uint32_t cell) {
    const std::uint64_t bit = std::uint64_t{1} << (cell % 64);
    return (words_[cell / 64].fetch_or(bit, std::memory_order_acq_rel) & bit) == 0;
  }

  // The cells of one word of 64, which are forgotten here.
  [[nodiscard]] std::uint64_t take(std::uint32_t word) {
    // The load keeps collection of an almost empty set free of locked instructions.
    if (words_[word].load(std::memory_order_relaxed) == 0) return 0;
    return words_[word].exchange(0, std::memory_order_acq_rel);
  }

  // For a record that gets new cells.
  void clear() {
    for (auto& word : words_) word.store(0, std::memory_order_relaxed);
  }

  [[nodiscard]] bool test(std::uint32_t cell) const {
    return (words_[cell / 64].load(std::memory_order_acquire) >> (cell % 64) & 1) != 0;
  }

 private:
  std::array<std::atomic<std::uint64_t>, FreeList::kWords> words_{};
};

// The spans (or huge blocks) of one heap that hold remote frees. `Node` has `std::atomic<bool> pending` and
// `Node* next_pending`.
template <typename Node>
class PendingList {
 public:
  // Any thread.
  void push(Node* node) {
    if (node->pending.exchange(true, std::memory_order_acq_rel)) return;
    Node* head = head_.load(std::memory_order_relaxed);
    do {
      node->next_pending = head;
    } while (!head_.compare_exchange_weak(head, node, std::memory_order_release, std::memory_order_relaxed));
  }

  [[nodiscard]] bool empty() const { return head_.load(std::memory_order_relaxed) == nullptr; }

  // Owner only: takes the whole list and calls collect(node) for each; the node may be pushed again meanwhile.
  template <typename Collect>
  void drain(Collect collect) {
    Node* node = head_.exchange(nullptr, std::memory_order_acquire);
    while (node != nullptr) {
      Node* const next = node->next_pending;
      node->pending.exchange(false, std::memory_order_acq_rel);
      collect(node);
      node = next;
    }
  }

 private:
  std::atomic<Node*> head_{nullptr};
};

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_REMOTE_FREES_H_
