// The system's own word on what native/os did. Windows only: VirtualQuery tells the state and the protection of a page,
// QueryWorkingSetEx whether memory is behind it.
#ifdef _WIN32
#include "os/windows.h"
// After windows.h, without which it does not compile.
#include <psapi.h>

#include <array>
#include <atomic>
#include <string>
#include <thread>

#include "os/pages.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

[[nodiscard]] MEMORY_BASIC_INFORMATION query(const std::byte* address) {
  MEMORY_BASIC_INFORMATION information{};
  CHECK(::VirtualQuery(address, &information, sizeof information) != 0);
  return information;
}

[[nodiscard]] bool is_free(const std::byte* address) { return query(address).State == MEM_FREE; }
[[nodiscard]] bool is_reserved(const std::byte* address) { return query(address).State == MEM_RESERVE; }
[[nodiscard]] bool is_committed(const std::byte* address) { return query(address).State == MEM_COMMIT; }

// Asks the system to read from and to write to an address, which it refuses where the process itself would die.
class Pipe {
 public:
  Pipe() { CHECK(::CreatePipe(&reader_, &writer_, nullptr, 0) != 0); }
  ~Pipe() {
    ::CloseHandle(reader_);
    ::CloseHandle(writer_);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] bool can_read(const std::byte* address) {
    if (!put(address)) return false;
    char taken = 0;
    CHECK(take(&taken));
    return true;
  }
  [[nodiscard]] bool can_write(std::byte* address) {
    const char given = 0;
    CHECK(put(&given));
    if (take(address)) return true;
    char taken = 0;
    CHECK(take(&taken));
    return false;
  }

 private:
  [[nodiscard]] bool put(const void* from) {
    DWORD count = 0;
    return ::WriteFile(writer_, from, 1, &count, nullptr) != 0 && count == 1;
  }
  [[nodiscard]] bool take(void* to) {
    DWORD count = 0;
    return ::ReadFile(reader_, to, 1, &count, nullptr) != 0 && count == 1;
  }

  HANDLE reader_ = nullptr;
  HANDLE writer_ = nullptr;
};

[[nodiscard]] bool is_resident(std::byte* address) {
  PSAPI_WORKING_SET_EX_INFORMATION information{};
  information.VirtualAddress = address;
  CHECK(::QueryWorkingSetEx(::GetCurrentProcess(), &information, sizeof information) != 0);
  return information.VirtualAttributes.Valid != 0;
}

// Bytes this process has committed, of all its memory.
[[nodiscard]] std::size_t committed_by_process() {
  PROCESS_MEMORY_COUNTERS_EX counters{};
  CHECK(::GetProcessMemoryInfo(::GetCurrentProcess(), reinterpret_cast<PROCESS_MEMORY_COUNTERS*>(&counters),
                               sizeof counters) != 0);
  return counters.PrivateUsage;
}

// While it lives, aligned reservations are made as on a system without VirtualAlloc2.
class NoVirtualAlloc2 {
 public:
  NoVirtualAlloc2() { os::internal::without_virtual_alloc2 = true; }
  ~NoVirtualAlloc2() { os::internal::without_virtual_alloc2 = false; }
  NoVirtualAlloc2(const NoVirtualAlloc2&) = delete;
  NoVirtualAlloc2& operator=(const NoVirtualAlloc2&) = delete;
};

// While it lives, touches that offheap does not answer are answered here, after everybody else was asked.
class PassedOn {
 public:
  PassedOn() : handler_(::AddVectoredExceptionHandler(0, answer)) { CHECK(handler_ != nullptr); }
  ~PassedOn() { ::RemoveVectoredExceptionHandler(handler_); }
  PassedOn(const PassedOn&) = delete;
  PassedOn& operator=(const PassedOn&) = delete;

  // Whether a touch of this address comes here.
  [[nodiscard]] bool touch(std::byte* address) const {
    came_ = false;
    *const_cast<volatile std::byte*>(address) = std::byte{1};
    return came_;
  }

 private:
  static LONG CALLBACK answer(EXCEPTION_POINTERS* exception) {
    const EXCEPTION_RECORD& record = *exception->ExceptionRecord;
    if (record.ExceptionCode != EXCEPTION_ACCESS_VIOLATION) return EXCEPTION_CONTINUE_SEARCH;
    came_ = true;
    // So that the touch can be done again.
    auto* const touched = reinterpret_cast<void*>(record.ExceptionInformation[1]);
    return ::VirtualAlloc(touched, 1, MEM_COMMIT, PAGE_READWRITE) != nullptr ? EXCEPTION_CONTINUE_EXECUTION
                                                                             : EXCEPTION_CONTINUE_SEARCH;
  }

  inline static volatile bool came_ = false;
  void* handler_;
};

void check_aligned_reservations() {
  for (std::size_t align = 64 * kKiB; align <= 1024 * kMiB; align *= 4) {
    std::byte* const start = os::reserve(kMiB, align).value();
    CHECK(heap::is_aligned(start, align));
    const MEMORY_BASIC_INFORMATION information = query(start);
    CHECK_EQ(information.State, DWORD{MEM_RESERVE});
    CHECK(information.BaseAddress == start && information.AllocationBase == start);
    CHECK_EQ(information.RegionSize, kMiB);
    CHECK(os::release(start, kMiB).ok());
    CHECK(is_free(start));
  }
}

}  // namespace

TEST("Windows: reservations start at multiples of 64 KiB, pages are 4 KiB") {
  CHECK_EQ(os::allocation_granularity(), 64 * kKiB);
  CHECK_EQ(os::page_size(), 4 * kKiB);
}

TEST("Windows: reserved memory is inaccessible, committed memory is not, decommitted memory is again") {
  Pipe pipe;
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(64 * kKiB, 64 * kKiB).value();
  CHECK(is_reserved(start) && is_reserved(start + 64 * kKiB - 1));
  CHECK(!pipe.can_read(start));
  CHECK(os::commit(start, 2 * page).ok());
  CHECK(is_committed(start) && is_committed(start + 2 * page - 1));
  CHECK_EQ(query(start).Protect, DWORD{PAGE_READWRITE});
  CHECK(pipe.can_read(start) && pipe.can_write(start));
  CHECK(is_reserved(start + 2 * page));
  CHECK(!pipe.can_read(start + 2 * page));
  CHECK(os::decommit(start, page).ok());
  CHECK(is_reserved(start) && !pipe.can_read(start));
  CHECK(is_committed(start + page) && pipe.can_read(start + page));
  CHECK(os::discard(start + page, page).ok());
  CHECK(is_reserved(start + page) && !pipe.can_read(start + page));
  CHECK(os::release(start, 64 * kKiB).ok());
}

TEST("Windows: released memory is gone, also when it was committed, and its place can be had again") {
  std::byte* const start = os::reserve(4 * kMiB, 4 * kMiB).value();
  CHECK(os::commit(start, kMiB).ok());
  CHECK(os::commit(start + 2 * kMiB, kMiB).ok());
  CHECK(os::release(start, 4 * kMiB).ok());
  CHECK(is_free(start) && is_free(start + 2 * kMiB) && is_free(start + 4 * kMiB - 1));
  void* const again = ::VirtualAlloc(start, 4 * kMiB, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(again == start);
  CHECK(::VirtualFree(again, 0, MEM_RELEASE) != 0);
}

TEST("Windows: an aligned reservation is all of its allocation, and nothing beyond what was asked for") {
  check_aligned_reservations();
}

TEST("Windows: an aligned reservation is the same on a system without VirtualAlloc2") {
  const NoVirtualAlloc2 older;
  check_aligned_reservations();
}

TEST("Windows: an aligned reservation is one call with VirtualAlloc2") {
  const auto reserves = kernel_calls(os::Call::kReserve);
  const auto all = kernel_calls();
  std::byte* const start = os::reserve(64 * kMiB, 64 * kMiB).value();
  CHECK_EQ(kernel_calls(os::Call::kReserve) - reserves, 1U);
  CHECK_EQ(kernel_calls() - all, 1U);
  CHECK(os::release(start, 64 * kMiB).ok());
}

TEST("Windows: probing for an aligned reservation leaves nothing behind, whichever of its calls is refused") {
  const NoVirtualAlloc2 older;
  for (std::uint32_t nth = 1; nth <= 4; ++nth) {
    const auto reserves = kernel_calls(os::Call::kReserve);
    const auto releases = kernel_calls(os::Call::kRelease);
    os::faults::fail(os::Call::kReserve, nth);
    const auto made = os::reserve(kMiB, 64 * kMiB);
    os::faults::clear();
    // The first call probes: without it nothing can be found. A place that was taken meanwhile is looked for again.
    CHECK_EQ(made.ok(), nth != 1);
    const auto taken = kernel_calls(os::Call::kReserve) - reserves;
    const auto given_back = kernel_calls(os::Call::kRelease) - releases;
    CHECK_EQ(taken - (nth <= taken ? 1 : 0) - given_back, made.ok() ? 1U : 0U);
    if (made.ok()) CHECK(os::release(made.value(), kMiB).ok());
  }
}

TEST("Windows: probing finds an aligned reservation while other threads take places") {
  const NoVirtualAlloc2 older;
  on_threads(4, [](std::size_t) {
    for (int round = 0; round < 200; ++round) {
      const auto made = os::reserve(kMiB, 16 * kMiB);
      CHECK(made.ok());
      CHECK(heap::is_aligned(made.value(), 16 * kMiB));
      CHECK(os::release(made.value(), kMiB).ok());
    }
  });
}

TEST("Windows: a part of a reservation is not released, and neither is what is not the start of one") {
  std::byte* const start = os::reserve(kMiB, 64 * kKiB).value();
  CHECK(os::commit(start, kMiB).ok());
  const auto refused = os::release(start + 64 * kKiB, 64 * kKiB);
  CHECK(!refused.ok());
  CHECK_EQ(refused.error().call, os::Call::kRelease);
  CHECK_EQ(refused.error().number, int{ERROR_INVALID_ADDRESS});
  CHECK(is_committed(start) && is_committed(start + 64 * kKiB));
  CHECK(os::release(start, kMiB).ok());
}

TEST("Windows: what is not reserved is not committed") {
  std::byte* const start = os::reserve(64 * kKiB, 64 * kKiB).value();
  CHECK(os::release(start, 64 * kKiB).ok());
  const auto refused = os::commit(start, os::page_size());
  CHECK(!refused.ok());
  CHECK_EQ(refused.error().call, os::Call::kCommit);
  CHECK_EQ(refused.error().number, int{ERROR_INVALID_ADDRESS});
}

TEST("Windows: protection is what was asked for") {
  Pipe pipe;
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(2 * page, 64 * kKiB).value();
  CHECK(os::commit(start, 2 * page).ok());
  CHECK(os::protect(start, page, os::Access::kRead).ok());
  CHECK_EQ(query(start).Protect, DWORD{PAGE_READONLY});
  CHECK(pipe.can_read(start) && !pipe.can_write(start));
  CHECK_EQ(query(start + page).Protect, DWORD{PAGE_READWRITE});
  CHECK(os::protect(start, page, os::Access::kNone).ok());
  CHECK_EQ(query(start).Protect, DWORD{PAGE_NOACCESS});
  CHECK(!pipe.can_read(start) && pipe.can_read(start + page));
  CHECK(os::protect(start, page, os::Access::kReadWrite).ok());
  CHECK_EQ(query(start).Protect, DWORD{PAGE_READWRITE});
  CHECK(os::release(start, 2 * page).ok());
}

TEST("Windows: committed memory counts as the process's, touched or not, until it is decommitted") {
  constexpr std::size_t kBytes = 256 * kMiB;
  // The process has other threads, which take and give some; not this much.
  constexpr std::size_t kSlack = 16 * kMiB;
  std::byte* const start = os::reserve(kBytes, 64 * kKiB).value();
  const std::size_t before = committed_by_process();
  CHECK(os::commit(start, kBytes).ok());
  const std::size_t committed = committed_by_process();
  if (committed < before + kBytes - kSlack && os::on_wine()) {
    // It counts what is touched.
    CHECK(os::release(start, kBytes).ok());
    skip("Wine does not count what is committed");
  }
  CHECK(committed >= before + kBytes - kSlack);
  CHECK(os::decommit(start, kBytes).ok());
  CHECK(committed_by_process() <= before + kSlack);
  CHECK(os::release(start, kBytes).ok());
}

TEST("Windows: committed memory takes none until it is touched, and none after it is decommitted") {
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(64 * kKiB, 64 * kKiB).value();
  CHECK(os::commit(start, 4 * page).ok());
  CHECK(!is_resident(start));
  fill_pattern(start, 4 * page, 1);
  CHECK(is_resident(start) && is_resident(start + 3 * page));
  CHECK(os::decommit(start + page, page).ok());
  CHECK(is_resident(start));
  CHECK(!is_resident(start + page));
  CHECK(is_resident(start + 2 * page));
  CHECK(os::release(start, 64 * kKiB).ok());
}

TEST("Windows: a discarded page gives its memory back, and whoever touches it late gets a fresh one") {
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(64 * kMiB, 64 * kMiB).value();
  CHECK(os::commit(start, 8 * page).ok());
  fill_pattern(start, 8 * page, 1);
  CHECK(os::discard(start + page, 4 * page).ok());
  CHECK(is_reserved(start + page) && is_reserved(start + 5 * page - 1));
  CHECK(!is_resident(start + page));
  CHECK_EQ(std::to_integer<int>(*const_cast<volatile std::byte*>(start + 2 * page)), 0);
  CHECK(is_committed(start + 2 * page) && is_reserved(start + page) && is_reserved(start + 3 * page));
  start[4 * page - 1] = std::byte{9};
  CHECK_EQ(std::to_integer<int>(start[4 * page - 1]), 9);
  // From several threads at once.
  on_threads(4, [&](std::size_t thread) { start[4 * page + thread] = std::byte{7}; });
  for (std::size_t thread = 0; thread < 4; ++thread) CHECK_EQ(std::to_integer<int>(start[4 * page + thread]), 7);
  CHECK(has_pattern(start, page, 1));
  CHECK_EQ(pattern_ends(start, page, 1), page);
  CHECK(os::release(start, 64 * kMiB).ok());
}

TEST("Windows: a touch of what was never discarded, or is committed or released since, is passed on") {
  const std::size_t page = os::page_size();
  std::byte* const discarded = os::reserve(64 * kMiB, 64 * kMiB).value();
  std::byte* const reserved = os::reserve(64 * kMiB, 64 * kMiB).value();
  CHECK(os::commit(discarded, 3 * page).ok());
  CHECK(os::discard(discarded, 2 * page).ok());
  const PassedOn last;
  CHECK(!last.touch(discarded));
  CHECK(last.touch(discarded + 3 * page));
  CHECK(last.touch(reserved));
  // In use again, and then given up for good.
  CHECK(os::commit(discarded, 3 * page).ok());
  CHECK(os::decommit(discarded, 3 * page).ok());
  CHECK(last.touch(discarded + page));
  CHECK(os::commit(discarded, page).ok());
  CHECK(os::discard(discarded, page).ok());
  CHECK(os::release(discarded, 64 * kMiB).ok());
  void* const others = ::VirtualAlloc(discarded, 64 * kMiB, MEM_RESERVE, PAGE_NOACCESS);
  CHECK(others == discarded);
  CHECK(last.touch(discarded));
  CHECK(::VirtualFree(others, 0, MEM_RELEASE) != 0);
  CHECK(os::release(reserved, 64 * kMiB).ok());
}

TEST("Windows: what is not used stays inaccessible beside what was discarded, and its touch is passed on") {
  OwnHeap heap;
  const Held wall = hold(*heap, 64 * kKiB);
  drop(*heap, hold(*heap, kMiB));
  CHECK(heap->trim() > 0);
  heap::Region* const region = heap->regions();
  // A late touch is answered, and makes nothing else accessible.
  wall.address[kMiB / 2] = std::byte{1};
  const PassedOn last;
  CHECK(last.touch(region->start() + region->committed_metadata));
  CHECK(last.touch(region->start() + heap::kRegionMetadataBytes - 1));
  CHECK(last.touch(region->address_of(heap::kDataPages - 1)));
}

TEST(
    "Windows: discarding and touching by several threads, in addresses that go from one to the other, disturbs "
    "nobody") {
  for (const bool older : {false, true}) {
    os::internal::without_virtual_alloc2 = older;
    on_threads(4, [](std::size_t) {
      const std::size_t page = os::page_size();
      for (int round = 0; round < 400; ++round) {
        const auto made = os::reserve(64 * kMiB, 64 * kMiB);
        CHECK(made.ok());
        std::byte* const start = made.value();
        CHECK(os::commit(start, 4 * page).ok());
        start[page] = std::byte{1};
        CHECK(os::discard(start, 4 * page).ok());
        start[page] = std::byte{2};
        CHECK_EQ(std::to_integer<int>(start[page]), 2);
        CHECK(os::release(start, 64 * kMiB).ok());
      }
    });
    os::internal::without_virtual_alloc2 = false;
  }
}

TEST("Windows: pages may come into use and go while other threads touch them late") {
  const std::size_t page = os::page_size();
  constexpr std::size_t kPages = 4;
  std::byte* const start = os::reserve(64 * kMiB, 64 * kMiB).value();
  CHECK(os::commit(start, kPages * page).ok());
  CHECK(os::discard(start, kPages * page).ok());
  std::atomic<bool> ended{false};
  Threads late;
  for (int thread = 0; thread < 3; ++thread) {
    late.start([&] {
      for (std::size_t at = 0; !ended; at = (at + 1) % kPages) {
        *const_cast<volatile std::byte*>(start + at * page) = std::byte{1};
      }
    });
  }
  for (int round = 0; round < 10'000; ++round) {
    CHECK(os::commit(start, kPages * page).ok());
    CHECK(os::discard(start, kPages * page).ok());
  }
  ended = true;
  late.join();
  CHECK(os::release(start, 64 * kMiB).ok());
}

TEST("Windows: huge pages cannot be advised, and pages do not move: both say so and change nothing") {
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(64 * kKiB, 64 * kKiB).value();
  CHECK(os::commit(start, 8 * page).ok());
  fill_pattern(start, 8 * page, 1);
  CHECK_EQ(os::advise(start, 2 * page, os::Advice::kHugePages).error().number, int{ERROR_NOT_SUPPORTED});
  CHECK_EQ(os::move(start, start + 4 * page, 4 * page).error().number, int{ERROR_NOT_SUPPORTED});
  CHECK(has_pattern(start, 8 * page, 1));
  CHECK(os::release(start, 64 * kKiB).ok());
}

TEST("Windows: the metadata of a region, the gap after it and its pages share no access") {
  OwnHeap heap;
  const Held held = hold(*heap, 64);
  heap::Region* const region = heap->regions();
  CHECK(query(region->start()).AllocationBase == region->start());
  CHECK(is_committed(region->start()));
  CHECK(is_committed(region->start() + region->committed_metadata - 1));
  CHECK(is_reserved(region->start() + region->committed_metadata));
  CHECK(is_reserved(region->start() + heap::kRegionMetadataBytes - 1));
  CHECK(region->start() + heap::kRegionMetadataBytes == held.address);
  CHECK(is_committed(held.address));
  CHECK(is_reserved(region->address_of(region->committed_pages)));
}

TEST("Windows: a huge block ends where its pages end, and is gone when it is freed") {
  Pipe pipe;
  OwnHeap heap;
  const auto block = heap->allocate(layout(20 * kMiB), Fill::kAnything);
  std::byte* const address = block.value().address;
  CHECK(is_committed(address) && is_committed(address + block.value().usable - 1));
  CHECK(!pipe.can_read(address + block.value().usable));
  CHECK(!pipe.can_read(address - 1));
  CHECK(heap->free(address, 20 * kMiB).ok());
  CHECK(is_free(address));
}

TEST("Windows: what a heap took from the system is all given back when it ends") {
  std::array<std::byte*, 3> addresses{};
  {
    OwnHeap heap;
    for (std::size_t index = 0; index < addresses.size(); ++index) {
      addresses[index] = hold(*heap, std::size_t{100} << (index * 8)).address;
    }
    for (std::byte* const address : addresses) CHECK(is_committed(address));
  }
  for (std::byte* const address : addresses) CHECK(is_free(address));
}

}  // namespace offheap::test
#endif
