#include "os/late_touches_windows.h"

#include <algorithm>
#include <array>
#include <atomic>

#include "os/windows.h"

namespace offheap::os {

namespace {

// One bit for each page of the 128 TiB a process has, in leaves of 64 MiB that are made when first needed and never
// taken away: 2 KiB each. The handler, which may run in the middle of anything, reads them and takes no lock.
constexpr unsigned kPageShift = 12;
constexpr unsigned kLeafShift = 26;
constexpr std::uintptr_t kLeafBytes = std::uintptr_t{1} << kLeafShift;
constexpr std::size_t kLeaves = std::size_t{1} << (47 - kLeafShift);
using Word = std::uint64_t;
constexpr std::size_t kWordBits = 64;

struct Leaf {
  std::array<std::atomic<Word>, (kLeafBytes >> kPageShift) / kWordBits> words;
};

constinit std::array<std::atomic<Leaf*>, kLeaves> leaves{};

[[nodiscard]] Leaf* find_leaf(std::uintptr_t address) {
  const std::uintptr_t index = address >> kLeafShift;
  return index < kLeaves ? leaves[index].load(std::memory_order_acquire) : nullptr;
}

// Null when the system refuses the memory for it.
[[nodiscard]] Leaf* make_leaf(std::uintptr_t address) {
  if (address >> kLeafShift >= kLeaves) {
    ::SetLastError(ERROR_INVALID_ADDRESS);
    return nullptr;
  }
  // Zero, as all that is fresh from the system.
  auto* const made =
      static_cast<Leaf*>(::VirtualAlloc(nullptr, sizeof(Leaf), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
  if (made == nullptr) return nullptr;
  Leaf* there = nullptr;
  if (leaves[address >> kLeafShift].compare_exchange_strong(there, made, std::memory_order_acq_rel)) return made;
  ::VirtualFree(made, 0, MEM_RELEASE);
  return there;
}

// Calls `act` with each word of the leaf that has pages of [address, end), both within it, and with their bits.
template <typename Act>
void for_each_word(Leaf& leaf, std::uintptr_t address, std::uintptr_t end, Act act) {
  std::size_t page = (address % kLeafBytes) >> kPageShift;
  const std::size_t last = ((end - 1) % kLeafBytes) >> kPageShift;
  while (page <= last) {
    const std::size_t first_bit = page % kWordBits;
    const std::size_t count = std::min(kWordBits - first_bit, last - page + 1);
    const Word bits = count == kWordBits ? ~Word{0} : ((Word{1} << count) - 1) << first_bit;
    act(leaf.words[page / kWordBits], bits);
    page += count;
  }
}

[[nodiscard]] bool is_expected(std::uintptr_t address) {
  const Leaf* const leaf = find_leaf(address);
  if (leaf == nullptr) return false;
  const std::size_t page = (address % kLeafBytes) >> kPageShift;
  return (leaf->words[page / kWordBits].load(std::memory_order_acquire) >> (page % kWordBits) & 1) != 0;
}

// Whether the page can be touched again, now or because this commits it.
[[nodiscard]] bool make_accessible(std::uintptr_t address) {
  auto* const touched = reinterpret_cast<void*>(address);
  // State and bit are two looks, and meanwhile the heap may take the page into use, after which it is expected no more,
  // or give it back. A page that is ours is one or the other when both are looked at often enough.
  constexpr int kLooks = 100;
  for (int look = 0; look < kLooks; ++look) {
    const bool expected = is_expected(address);
    MEMORY_BASIC_INFORMATION information{};
    if (::VirtualQuery(touched, &information, sizeof information) == 0) return false;
    // Another thread may have answered the same, or the heap uses the page again.
    if (information.State == MEM_COMMIT) return information.Protect == PAGE_READWRITE;
    if (information.State != MEM_RESERVE) return false;
    if (expected) return ::VirtualAlloc(touched, 1, MEM_COMMIT, PAGE_READWRITE) != nullptr;
  }
  return false;
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
  if (find_leaf(address) == nullptr) return EXCEPTION_CONTINUE_SEARCH;
  // Whoever touched the page may be between a call and the question why it failed.
  const DWORD last_error = ::GetLastError();
  const bool accessible = make_accessible(address);
  ::SetLastError(last_error);
  return accessible ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

// Before the handlers that are there: one that takes an access violation for the end of the process must not see what
// is none. Ours passes on, after a load, what is nowhere near its own. Never removed; neither is the library.
[[nodiscard]] bool install_handler() {
  static constinit std::atomic<void*> handler{nullptr};
  if (handler.load(std::memory_order_acquire) != nullptr) return true;
  void* const added = ::AddVectoredExceptionHandler(1, answer);
  if (added == nullptr) return false;
  void* before = nullptr;
  if (!handler.compare_exchange_strong(before, added)) ::RemoveVectoredExceptionHandler(added);
  return true;
}

}  // namespace

std::uint32_t late_touches::expect(const std::byte* start, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(start);
  const std::uintptr_t end = first + bytes;
  if (!install_handler()) return ERROR_NOT_ENOUGH_MEMORY;  // the only reason there is; it sets no number
  for (std::uintptr_t at = first; at < end; at = (at | (kLeafBytes - 1)) + 1) {
    if (find_leaf(at) == nullptr && make_leaf(at) == nullptr) return ::GetLastError();
  }
  for (std::uintptr_t at = first; at < end; at = (at | (kLeafBytes - 1)) + 1) {
    for_each_word(*find_leaf(at), at, std::min(end, (at | (kLeafBytes - 1)) + 1),
                  [](std::atomic<Word>& word, Word bits) { word.fetch_or(bits, std::memory_order_acq_rel); });
  }
  return 0;
}

void late_touches::forget(const std::byte* start, std::size_t bytes) {
  const auto first = reinterpret_cast<std::uintptr_t>(start);
  const std::uintptr_t end = first + bytes;
  for (std::uintptr_t at = first; at < end; at = (at | (kLeafBytes - 1)) + 1) {
    Leaf* const leaf = find_leaf(at);
    if (leaf == nullptr) continue;
    for_each_word(*leaf, at, std::min(end, (at | (kLeafBytes - 1)) + 1), [](std::atomic<Word>& word, Word bits) {
      // Read first: most were never expected.
      if ((word.load(std::memory_order_relaxed) & bits) != 0) word.fetch_and(~bits, std::memory_order_acq_rel);
    });
  }
}

}  // namespace offheap::os
