#include "os/late_touches_windows.h"

#include <array>
#include <atomic>
#include <cstdint>

#include "os/pages.h"
#include "os/windows.h"

namespace offheap::os {

namespace {

// One bit for each 64 MiB of the 128 TiB a process has: what the heap reserves comes in such pieces. Constant data, so
// that the handler, which may run in the middle of anything, takes no lock and no memory.
constexpr unsigned kSlotShift = 26;
constexpr std::size_t kSlots = std::size_t{1} << (47 - kSlotShift);
using Word = std::uint64_t;
constexpr std::size_t kSlotsInWord = 64;
constinit std::array<std::atomic<Word>, kSlots / kSlotsInWord> expected{};

[[nodiscard]] std::size_t slot_of(std::uintptr_t address) { return address >> kSlotShift; }
[[nodiscard]] Word bit_of(std::size_t slot) { return Word{1} << (slot % kSlotsInWord); }

[[nodiscard]] bool is_expected(std::uintptr_t address) {
  const std::size_t slot = slot_of(address);
  return slot < kSlots && (expected[slot / kSlotsInWord].load(std::memory_order_acquire) & bit_of(slot)) != 0;
}

[[nodiscard]] bool commit_page(std::uintptr_t address) {
  auto* const touched = reinterpret_cast<void*>(address);
  MEMORY_BASIC_INFORMATION information{};
  if (::VirtualQuery(touched, &information, sizeof information) == 0) return false;
  // Another thread's touch of the same page may have been answered meanwhile.
  if (information.State == MEM_COMMIT) return information.Protect == PAGE_READWRITE;
  if (information.State != MEM_RESERVE) return false;
  return ::VirtualAlloc(touched, 1, MEM_COMMIT, PAGE_READWRITE) != nullptr;
}

LONG CALLBACK answer(EXCEPTION_POINTERS* exception) {
  const EXCEPTION_RECORD& record = *exception->ExceptionRecord;
  constexpr ULONG_PTR kRead = 0;
  constexpr ULONG_PTR kWrite = 1;
  if (record.ExceptionCode != EXCEPTION_ACCESS_VIOLATION || record.NumberParameters < 2)
    return EXCEPTION_CONTINUE_SEARCH;
  const ULONG_PTR kind = record.ExceptionInformation[0];
  if (kind != kRead && kind != kWrite) return EXCEPTION_CONTINUE_SEARCH;
  const std::uintptr_t address = record.ExceptionInformation[1];
  return is_expected(address) && commit_page(address) ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

}  // namespace

bool late_touches::expect(const std::byte* start, std::size_t bytes) {
  // After the handlers of others: most exceptions are theirs. Never removed; neither is the library.
  static const bool answered = ::AddVectoredExceptionHandler(0, answer) != nullptr;
  if (!answered || bytes == 0) return answered;
  const auto first = reinterpret_cast<std::uintptr_t>(start);
  for (std::size_t slot = slot_of(first); slot <= slot_of(first + bytes - 1) && slot < kSlots; ++slot) {
    expected[slot / kSlotsInWord].fetch_or(bit_of(slot), std::memory_order_acq_rel);
  }
  return true;
}

void late_touches::forget(const std::byte* start, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(start);
  constexpr std::uintptr_t kWithin = (std::uintptr_t{1} << kSlotShift) - 1;
  for (std::size_t slot = slot_of(first + kWithin); slot < slot_of(first + bytes) && slot < kSlots; ++slot) {
    std::atomic<Word>& word = expected[slot / kSlotsInWord];
    // Read first: most were never expected.
    if ((word.load(std::memory_order_relaxed) & bit_of(slot)) != 0) word.fetch_and(~bit_of(slot));
  }
}

}  // namespace offheap::os
