#include "binding/lease.h"

#include <mutex>

#include "os/lock.h"

namespace offheap::binding {

namespace {

constinit os::Lock making;
constinit std::atomic<heap::SharedHeap*> made{nullptr};

}  // namespace

heap::Result<Done> Lease::prepare() {
  const std::scoped_lock lock(making);
  if (made.load(std::memory_order_relaxed) != nullptr) return Done{};
  static constexpr std::array<std::uint32_t, 1> kOneSize{kBytes};
  const auto created = heap::SharedHeap::create({.size_classes = kOneSize}, heap::SharedHeap::Listed::kNo);
  if (!created.ok()) return created.error();
  made.store(created.value(), std::memory_order_release);
  return Done{};
}

heap::SharedHeap& Lease::records() { return *made.load(std::memory_order_acquire); }

}  // namespace offheap::binding
