#include "heap/shared_heap.h"

#include <algorithm>
#include <mutex>
#include <new>
#include <thread>

#include "heap/double_free.h"
#include "heap/release_retry.h"

namespace offheap::heap {

namespace {

// The sum over all parts is looked at for a new peak when a part has more in use than ever before, by 1/64 of that, or
// when what it has in use changed by this much. Looking each time would have every thread read what all others write.
constexpr std::size_t kPeakStepBytes = std::size_t{64} << 10;
constexpr std::size_t kPeakStepShare = 64;

// From this size on a block's pages are worth the system call that takes another thread's lock, see free_as_visitor().
constexpr std::size_t kAtOnceBytes = std::size_t{256} << 10;

// Timers of several threads may ask the same heap to decay.
constexpr std::uint64_t kLeastDecayInterval = kDecayMilliseconds / 2;

// Heaps with handles, and the ends of those without.
constinit os::Lock lives;
constinit SharedHeap* first_alive = nullptr;
constinit std::uint64_t last_id = 0;

std::size_t own_bytes() { return round_up(sizeof(SharedHeap), os::allocation_granularity()); }

void raise_to(std::atomic<std::size_t>& value, std::size_t candidate) {
  std::size_t seen = value.load(std::memory_order_relaxed);
  while (seen < candidate && !value.compare_exchange_weak(seen, candidate, std::memory_order_relaxed)) {
  }
}

}  // namespace

SharedHeap::SharedHeap(const Options& options, std::uint64_t id, Listed listed)
    : id_(id), listed_(listed), part_options_(options), budget_(options.limit) {
  SizeClasses classes;
  classes.set(options.size_classes);
  std::ranges::copy(classes.sizes(), size_classes_.begin());
  part_options_.size_classes = std::span(size_classes_).first(classes.sizes().size());
  // The limit is the sum's.
  part_options_.limit = Limit::kNone;
  part_options_.shared = this;
}

Result<SharedHeap*> SharedHeap::create(const Options& options, Listed listed) {
  if (!SizeClasses::valid(options.size_classes)) return Failure{.reason = Refusal::kOutOfRange};
  os::prepare_fences();
  const auto out_of_memory = [](os::Error error) {
    return Failure{.reason = Refusal::kOutOfMemory, .asked = own_bytes(), .os = error};
  };
  const auto reserved = os::reserve(own_bytes(), os::allocation_granularity());
  if (!reserved.ok()) return out_of_memory(reserved.error());
  const auto committed = os::commit(reserved.value(), own_bytes());
  if (!committed.ok()) {
    give_back_address_space(reserved.value(), own_bytes());
    return out_of_memory(committed.error());
  }
  const std::scoped_lock lock(lives);
  auto* const heap = new (reserved.value()) SharedHeap(options, ++last_id, listed);
  if (listed == Listed::kNo) return heap;
  heap->next_ = first_alive;
  if (first_alive != nullptr) first_alive->previous_ = heap;
  first_alive = heap;
  return heap;
}

SharedHeap* SharedHeap::find(std::uint64_t id) {
  const std::scoped_lock lock(lives);
  for (SharedHeap* heap = first_alive; heap != nullptr; heap = heap->next_) {
    if (heap->id_ != id) continue;
    ++heap->handles_;
    return heap;
  }
  return nullptr;
}

// --- Parts.

Heap* SharedHeap::adopt_part() {
  for (Heap* part = parts_.load(std::memory_order_relaxed); part != nullptr; part = part->part().next) {
    if (!part->owner().is_nobody()) continue;
    // Whoever stands in for the owner now is done before the new one begins.
    const PartGuard guard(*part);
    part->owner().set_this_thread();
    return part;
  }
  return nullptr;
}

Result<Heap*> SharedHeap::attach() {
  const std::scoped_lock lock(attaching_);
  if (closed()) return Failure{.reason = Refusal::kClosed};
  if (Heap* const adopted = adopt_part(); adopted != nullptr) return adopted;
  const auto created = Heap::create(part_options_);
  if (!created.ok()) return created.error();
  Heap* const part = created.value();
  part->part().next = parts_.load(std::memory_order_relaxed);
  parts_.store(part, std::memory_order_release);
  return part;
}

void SharedHeap::detach(Heap* part) {
  const std::scoped_lock lock(attaching_);
  const PartGuard guard(*part);
  settle(*part);
  // Nobody may come for it for long.
  part->trim();
  part->part().empty_shelf = nullptr;
  part->part().shelf = nullptr;
  part->owner().set_nobody();
}

Heap* SharedHeap::part_of(const std::byte* address) const {
  Heap* const part = part_around(address);
  if (part == nullptr) return nullptr;
  const PartGuard guard(*part);
  return look_up(part, address).live() ? part : nullptr;
}

void SharedHeap::settle(Heap& part) {
  if (part.part().empty_shelf != nullptr) part.part().empty_shelf(part.part().shelf);
  part.collect();
}

// --- Blocks.

Failure SharedHeap::refused(Failure failure) {
  refusals_.fetch_add(1, std::memory_order_relaxed);
  return failure;
}

Failure SharedHeap::over_limit(std::size_t asked, std::size_t in_use) {
  return refused({.reason = Refusal::kLimit, .asked = asked, .in_use = in_use, .limit = budget_.limit()});
}

// `before`: what the part had in use before the call that may have made it more.
inline void SharedHeap::note_growth(Heap& part, std::size_t before) {
  HeapPart& state = part.part();
  // Frees do not look: how far the part has fallen since shows here.
  if (before + kPeakStepBytes < state.look_above) [[unlikely]]
    state.look_above = before + kPeakStepBytes;
  if (part.bytes_in_use() > state.look_above) [[unlikely]]
    look_for_peak(part);
}

void SharedHeap::look_for_peak(Heap& part) {
  HeapPart& state = part.part();
  const std::size_t in_use = part.bytes_in_use();
  state.most_seen = std::max(state.most_seen, in_use);
  state.look_above = std::min(in_use + kPeakStepBytes, state.most_seen + state.most_seen / kPeakStepShare);
  raise_to(peak_, least_bytes_in_use());
}

// What was in use at some moment of the call, or less. The sum of the parts one by one would count a block twice that
// is freed in one and allocated in the next meanwhile.
std::size_t SharedHeap::least_bytes_in_use() const {
  std::size_t allocated = 0;
  std::size_t freed = 0;
  for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
    allocated += part->bytes_allocated();
  }
  for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
    freed += part->bytes_freed();
  }
  return allocated - std::min(allocated, freed);
}

Result<Block> SharedHeap::allocate(Heap& part, Layout layout, Fill fill) {
  if (closed()) return refused({.reason = Refusal::kClosed, .asked = layout.size()});
  std::size_t in_use = 0;
  if (!budget_.take(layout.size(), in_use)) return over_limit(layout.size(), in_use);
  const auto allocated = [&] {
    const PartGuard guard(part);
    const std::size_t before = part.bytes_in_use();
    const auto block = part.allocate(layout, fill);
    note_growth(part, before);
    return block;
  }();
  if (!allocated.ok()) budget_.give(layout.size());
  return allocated;
}

void SharedHeap::count(std::size_t size, Cause cause) {
  budget_.give(size);
  if (cause == Cause::kFreed) return;
  reclaimed_.fetch_add(1, std::memory_order_relaxed);
  reclaimed_bytes_.fetch_add(size, std::memory_order_relaxed);
}

void SharedHeap::expect_late(std::size_t size) {
  expected_.fetch_add(1, std::memory_order_relaxed);
  expected_bytes_.fetch_add(size, std::memory_order_relaxed);
}

void SharedHeap::free(Heap& part, std::byte* address, std::size_t size, Cause cause) {
  if (!part.owner().is_this_thread()) {
    free_as_visitor(part, address, size, cause);
    return;
  }
  // The owner of a part holds a handle, so the heap stays.
  const bool taken = [&] {
    const PartGuard guard(part);
    return part.free_as_owner(address, size).ok();
  }();
  if (taken) part.shared()->count(size, cause);
}

// A free by a thread that may have nothing to do with the heap but this one block. Once the block is back the heap may
// end at any moment, so the visitor is announced until it has let go; see abandon().
void SharedHeap::free_as_visitor(Heap& part, std::byte* address, std::size_t size, Cause cause) {
  SharedHeap* const heap = part.shared();
  part.part().visitors.fetch_add(1, std::memory_order_seq_cst);
  if (!heap->abandoned_.load(std::memory_order_seq_cst)) {
    bool taken = false;
    if (size >= kAtOnceBytes) {
      const PartGuard guard(part);
      part.collect();
      taken = part.free_as_owner(address, size).ok();
    } else {
      taken = part.free_remote(address, size).ok();
    }
    if (taken) heap->count(size, cause);
    part.part().visitors.fetch_sub(1, std::memory_order_release);
    return;
  }
  part.part().visitors.fetch_sub(1, std::memory_order_release);
  const std::scoped_lock lock(lives);
  {
    // Whoever holds another block may be resizing it.
    const PartGuard guard(part);
    (void)part.free_as_owner(address, size).ok();
  }
  heap->destroy_if_empty();
}

void SharedHeap::unshelve(Heap& part, std::size_t size) {
  const std::size_t before = part.bytes_in_use();
  part.unshelve(size);
  note_growth(part, before);
}

Result<bool> SharedHeap::resize_in_place(Heap& part, std::byte* address, std::size_t size, Layout layout, Fill fill,
                                         Heap::Shrink shrink) {
  const std::size_t growth = layout.size() > size ? layout.size() - size : 0;
  if (closed() && growth > 0) return refused({.reason = Refusal::kClosed, .asked = layout.size()});
  std::size_t in_use = 0;
  if (!budget_.take(growth, in_use)) return over_limit(growth, in_use);
  const auto resized = [&] {
    const PartGuard guard(part);
    const std::size_t before = part.bytes_in_use();
    const auto result = part.resize_in_place(address, size, layout, fill, shrink);
    note_growth(part, before);
    return result;
  }();
  const bool done = resized.ok() && resized.value();
  if (!done) budget_.give(growth);
  if (done && layout.size() < size) budget_.give(size - layout.size());
  return resized;
}

Result<Heap::Move> SharedHeap::begin_move(Heap& part, std::byte* address, std::size_t size, Layout layout) {
  const std::size_t growth = layout.size() > size ? layout.size() - size : 0;
  if (closed()) return refused({.reason = Refusal::kClosed, .asked = layout.size()});
  std::size_t in_use = 0;
  if (!budget_.take(growth, in_use)) return over_limit(growth, in_use);
  const PartGuard guard(part);
  const auto begun = part.begin_move(address, size, layout);
  if (!begun.ok()) budget_.give(growth);
  return begun;
}

void SharedHeap::finish_move(Heap& part, const Heap::Move& move, Fill fill) {
  {
    const PartGuard guard(part);
    const std::size_t before = part.bytes_in_use();
    part.finish_move(move, fill);
    note_growth(part, before);
  }
  if (move.to_size < move.from_size) budget_.give(move.from_size - move.to_size);
}

void SharedHeap::abandon_move(Heap& part, const Heap::Move& move) {
  {
    const PartGuard guard(part);
    part.abandon_move(move);
  }
  if (move.to_size > move.from_size) budget_.give(move.to_size - move.from_size);
}

// --- Numbers.

std::size_t SharedHeap::bytes_in_use() const {
  std::size_t bytes = 0;
  for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
    bytes += part->bytes_in_use();
  }
  return bytes;
}

std::size_t SharedHeap::blocks_in_use() const {
  std::size_t blocks = 0;
  for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
    blocks += part->blocks_in_use();
  }
  return blocks;
}

SharedHeap::Totals SharedHeap::statistics() {
  Totals sum;
  std::size_t largest_peak = 0;
  for_each_part([&](Heap& part) {
    const Statistics one = part.statistics();
    sum += one;
    largest_peak = std::max(largest_peak, one.peak);
  });
  sum.committed += own_bytes();
  sum.reserved += own_bytes();
  sum.metadata += own_bytes();
  sum.failures += refusals_.load(std::memory_order_relaxed);
  raise_to(peak_, std::max(largest_peak, least_bytes_in_use()));
  sum.peak = peak_.load(std::memory_order_relaxed);
  const auto without = [](const auto& all, const auto& some) {
    const std::uint64_t least = some.load(std::memory_order_relaxed);
    return std::max(all.load(std::memory_order_relaxed), least) - least;
  };
  sum.reclaimed = without(reclaimed_, expected_);
  sum.reclaimed_bytes = without(reclaimed_bytes_, expected_bytes_);
  return sum;
}

// --- Pages.

std::size_t SharedHeap::trim() {
  std::size_t bytes = 0;
  for_each_part([&](Heap& part) { bytes += part.trim(); });
  return bytes;
}

bool SharedHeap::has_just_decayed(std::uint64_t now) const {
  return now < decayed_at_.load(std::memory_order_relaxed) + kLeastDecayInterval;
}

SharedHeap::Left SharedHeap::decay(std::uint64_t now) {
  std::uint64_t last = decayed_at_.load(std::memory_order_relaxed);
  // Another thread's timer has just done it, or has looked at the clock later than this one.
  if (now < last + kLeastDecayInterval) return Left::kIdlePages;
  if (!decayed_at_.compare_exchange_strong(last, now, std::memory_order_relaxed)) return Left::kIdlePages;
  bool more = false;
  for_each_part([&](Heap& part) { more = part.decay(now) || more; });
  return more ? Left::kIdlePages : blocks_in_use() > 0 ? Left::kBlocks : Left::kNothing;
}

void SharedHeap::close() {
  {
    // So that attach() adds no part that the walk does not see.
    const std::scoped_lock lock(attaching_);
    closed_.store(true, std::memory_order_relaxed);
  }
  for_each_part([](Heap& part) { part.close(); });
}

// --- The end.

void SharedHeap::release() {
  {
    const std::scoped_lock lock(lives);
    if (--handles_ > 0) return;
    if (listed_ == Listed::kYes) {
      (previous_ != nullptr ? previous_->next_ : first_alive) = next_;
      if (next_ != nullptr) next_->previous_ = previous_;
    }
  }
  abandon();
}

// Blocks may be live, and freed by any thread at any moment; but nobody allocates, attaches or asks any more. From
// the flag on every free takes the lock; when the visitors that did not see the flag are gone, whoever finds the heap
// without blocks under the lock is the last to know it.
void SharedHeap::abandon() {
  // A visitor raises its count before it looks at the flag, and we the other way round: one sees the other.
  abandoned_.store(true, std::memory_order_seq_cst);
  for (Heap* part = parts_.load(std::memory_order_acquire); part != nullptr; part = part->part().next) {
    while (part->part().visitors.load(std::memory_order_seq_cst) != 0) std::this_thread::yield();
  }
  const std::scoped_lock lock(lives);
  close();
  may_be_destroyed_ = true;
  destroy_if_empty();
}

void SharedHeap::destroy_if_empty() {
  if (may_be_destroyed_ && blocks_in_use() == 0) destroy();
}

void SharedHeap::destroy() {
  Heap* part = parts_.load(std::memory_order_relaxed);
  while (part != nullptr) {
    Heap* const next = part->part().next;
    Heap::destroy(part);
    part = next;
  }
  give_back_address_space(reinterpret_cast<std::byte*>(this), own_bytes());
}

}  // namespace offheap::heap
