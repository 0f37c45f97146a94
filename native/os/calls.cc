#include "os/calls.h"

#include <atomic>

namespace offheap::os {

namespace {

constinit std::array<std::atomic<std::uint64_t>, kCallKinds> counters{};

}  // namespace

std::array<std::uint64_t, kCallKinds> call_counts() {
  std::array<std::uint64_t, kCallKinds> counts{};
  for (std::size_t kind = 0; kind < kCallKinds; ++kind) counts[kind] = counters[kind].load(std::memory_order_relaxed);
  return counts;
}

void internal::count(Call call) { counters[static_cast<std::size_t>(call)].fetch_add(1, std::memory_order_relaxed); }

#ifdef OFFHEAP_FAULT_INJECTION

namespace {

struct Fault {
  std::uint32_t calls_before = 0;  // calls that still succeed
  std::uint32_t times = 0;         // refusals left after those; 0 is disarmed
};

std::array<Fault, kCallKinds> faults_by_kind{};
Fault fault_on_any{};
std::uint32_t refusals = 0;

bool trips(Fault& fault) {
  if (fault.times == 0) return false;
  if (fault.calls_before > 0) {
    --fault.calls_before;
    return false;
  }
  if (fault.times != faults::kForever) --fault.times;
  return true;
}

}  // namespace

void faults::fail(Call call, std::uint32_t nth, std::uint32_t times) {
  faults_by_kind[static_cast<std::size_t>(call)] = {nth - 1, times};
}

void faults::fail_any(std::uint32_t nth, std::uint32_t times) { fault_on_any = {nth - 1, times}; }

void faults::clear() {
  faults_by_kind = {};
  fault_on_any = {};
  refusals = 0;
}

std::uint32_t faults::refused() { return refusals; }

bool internal::should_fail(Call call) {
  // Both are asked, so that arming one does not stop the other from counting.
  const bool by_kind = trips(faults_by_kind[static_cast<std::size_t>(call)]);
  const bool by_any = trips(fault_on_any);
  if (by_kind || by_any) ++refusals;
  return by_kind || by_any;
}

#endif

}  // namespace offheap::os
