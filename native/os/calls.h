// The kinds of kernel call offheap makes for memory, how often each was made, and, in a test build, which of them is
// made to fail. One list for all three, so that a new kind of call cannot be forgotten by the counters or the tests.
#ifndef OFFHEAP_OS_CALLS_H_
#define OFFHEAP_OS_CALLS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace offheap::os {

enum class Call : std::uint8_t { kReserve, kCommit, kDecommit, kRelease, kProtect, kAdvise, kMove };
inline constexpr std::size_t kCallKinds = 7;

// Calls made by this process so far, indexed by Call. Any thread may read; each count is exact, the set is not a
// snapshot of one moment.
[[nodiscard]] std::array<std::uint64_t, kCallKinds> call_counts();

namespace internal {
// Called by pages_*.cc before every kernel call, refused or not.
void count(Call call);
}  // namespace internal

#ifdef OFFHEAP_FAULT_INJECTION
// Makes kernel calls fail on purpose: the only way to walk every error path. Exists in test builds alone; the
// addon is compiled without it. Not for use from several threads at once.
namespace faults {

inline constexpr std::uint32_t kForever = ~std::uint32_t{0};

// The nth call of this kind from now (1 is the next one) fails, and the `times - 1` after it.
void fail(Call call, std::uint32_t nth, std::uint32_t times = 1);
// The nth kernel call of any kind from now fails.
void fail_any(std::uint32_t nth, std::uint32_t times = 1);
// Nothing fails any more.
void clear();
// Calls refused since the last clear().
[[nodiscard]] std::uint32_t refused();

}  // namespace faults

namespace internal {
[[nodiscard]] bool should_fail(Call call);
}  // namespace internal
#endif

}  // namespace offheap::os

#endif  // OFFHEAP_OS_CALLS_H_
