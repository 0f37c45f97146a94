// Windows: the VirtualAlloc family. Reservations start at multiples of 64 KiB, pages are 4 KiB, and a reservation is
// released whole: MEM_RELEASE takes its base and size 0.
#include <algorithm>
#include <cstdio>

#include "os/late_touches_windows.h"
#include "os/pages.h"
#include "os/windows.h"

namespace offheap::os {

#ifdef OFFHEAP_FAULT_INJECTION
bool internal::without_virtual_alloc2 = false;
#endif

namespace {

[[nodiscard]] bool refused_by_test([[maybe_unused]] Call call) {
  internal::count(call);
#ifdef OFFHEAP_FAULT_INJECTION
  if (internal::should_fail(call)) {
    ::SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return true;
  }
#endif
  return false;
}

[[nodiscard]] Error last_error(Call call) { return {static_cast<int>(::GetLastError()), call}; }

[[nodiscard]] const SYSTEM_INFO& system_info() {
  static const SYSTEM_INFO info = [] {
    SYSTEM_INFO asked;
    ::GetSystemInfo(&asked);
    return asked;
  }();
  return info;
}

// VirtualAlloc2 alone takes an alignment. It came with Windows 10 version 1803, and a program that names it directly
// does not start on older systems.
using VirtualAlloc2Function = PVOID(WINAPI*)(HANDLE process, PVOID start, SIZE_T bytes, ULONG type, ULONG protection,
                                             MEM_EXTENDED_PARAMETER* parameters, ULONG parameter_count);

[[nodiscard]] VirtualAlloc2Function find_virtual_alloc2() {
  const HMODULE library = ::GetModuleHandleW(L"kernelbase.dll");
  if (library == nullptr) return nullptr;
  return reinterpret_cast<VirtualAlloc2Function>(reinterpret_cast<void*>(::GetProcAddress(library, "VirtualAlloc2")));
}

[[nodiscard]] Result<std::byte*> reserve_at(void* where, std::size_t bytes) {
  if (refused_by_test(Call::kReserve)) return last_error(Call::kReserve);
  void* const start = ::VirtualAlloc(where, bytes, MEM_RESERVE, PAGE_NOACCESS);
  if (start == nullptr) return last_error(Call::kReserve);
  return static_cast<std::byte*>(start);
}

[[nodiscard]] Result<std::byte*> reserve_aligned(VirtualAlloc2Function virtual_alloc2, std::size_t bytes,
                                                 std::size_t align) {
  if (refused_by_test(Call::kReserve)) return last_error(Call::kReserve);
  MEM_ADDRESS_REQUIREMENTS requirements{};
  requirements.Alignment = align;
  MEM_EXTENDED_PARAMETER parameter{};
  parameter.Type = MemExtendedParameterAddressRequirements;
  parameter.Pointer = &requirements;
  void* const start = virtual_alloc2(::GetCurrentProcess(), nullptr, bytes, MEM_RESERVE, PAGE_NOACCESS, &parameter, 1);
  if (start == nullptr) return last_error(Call::kReserve);
  return static_cast<std::byte*>(start);
}

// A reservation cannot be cut, so where there is no VirtualAlloc2 an aligned one is found by taking a larger one,
// reading where it lies, giving it back and asking for the aligned part. Another thread may take the place in between:
// then try again.
[[nodiscard]] Result<std::byte*> reserve_by_probing(std::size_t bytes, std::size_t align) {
  const std::size_t padded = bytes + align;
  if (padded < bytes) return Error{ERROR_NOT_ENOUGH_MEMORY, Call::kReserve};
  constexpr int kAttempts = 16;
  Error error{ERROR_NOT_ENOUGH_MEMORY, Call::kReserve};
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const auto probe = reserve_at(nullptr, padded);
    if (!probe.ok()) return probe;
    const auto first = reinterpret_cast<std::uintptr_t>(probe.value());
    const auto released = release(probe.value(), padded);
    if (!released.ok()) return released.error();
    const std::uintptr_t aligned = (first + align - 1) & ~(align - 1);
    const auto reserved = reserve_at(reinterpret_cast<void*>(aligned), bytes);
    if (reserved.ok()) return reserved;
    error = reserved.error();
  }
  return error;
}

}  // namespace

const char* function_name(Call call) {
  switch (call) {
    case Call::kReserve:
    case Call::kCommit:
    case Call::kAdvise:
      return "VirtualAlloc";
    case Call::kDecommit:
    case Call::kRelease:
      return "VirtualFree";
    case Call::kProtect:
      return "VirtualProtect";
    case Call::kMove:
      return "none";
  }
  return "?";
}

void describe(const Error& error, char* text, std::size_t capacity) {
  const DWORD length =
      ::FormatMessageA(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS, nullptr,
                       static_cast<DWORD>(error.number), 0, text, static_cast<DWORD>(capacity), nullptr);
  if (length == 0) {
    std::snprintf(text, capacity, "Windows error %d", error.number);
    return;
  }
  // The system ends its sentences with a line break.
  for (DWORD end = length; end > 0 && (text[end - 1] == '\r' || text[end - 1] == '\n' || text[end - 1] == ' '); --end) {
    text[end - 1] = '\0';
  }
}

std::size_t page_size() { return system_info().dwPageSize; }

std::size_t allocation_granularity() { return system_info().dwAllocationGranularity; }

Result<std::byte*> reserve(std::size_t bytes, std::size_t align) {
  if (align <= allocation_granularity()) return reserve_at(nullptr, bytes);
  static const VirtualAlloc2Function virtual_alloc2 = find_virtual_alloc2();
#ifdef OFFHEAP_FAULT_INJECTION
  if (internal::without_virtual_alloc2) return reserve_by_probing(bytes, align);
#endif
  if (virtual_alloc2 == nullptr) return reserve_by_probing(bytes, align);
  return reserve_aligned(virtual_alloc2, bytes, align);
}

Result<Done> commit(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kCommit)) return last_error(Call::kCommit);
  if (::VirtualAlloc(start, bytes, MEM_COMMIT, PAGE_READWRITE) == nullptr) return last_error(Call::kCommit);
  late_touches::forget(start, bytes);
  return Done{};
}

Result<Done> decommit(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kDecommit)) return last_error(Call::kDecommit);
  if (::VirtualFree(start, bytes, MEM_DECOMMIT) == 0) return last_error(Call::kDecommit);
  return Done{};
}

Result<Done> discard(std::byte* start, std::size_t bytes) {
  // Before the pages go, so that no touch comes between; and of pages that were accessible only.
  MEMORY_BASIC_INFORMATION run{};
  for (std::byte* at = start; at < start + bytes; at = static_cast<std::byte*>(run.BaseAddress) + run.RegionSize) {
    if (::VirtualQuery(at, &run, sizeof run) == 0) return last_error(Call::kDecommit);
    if (run.State != MEM_COMMIT || run.Protect != PAGE_READWRITE) continue;
    const auto left = static_cast<std::size_t>(start + bytes - at);
    const auto length = static_cast<std::size_t>(static_cast<std::byte*>(run.BaseAddress) + run.RegionSize - at);
    const std::uint32_t refusal = late_touches::expect(at, std::min(left, length));
    if (refusal != 0) return Error{static_cast<int>(refusal), Call::kDecommit};
  }
  return decommit(start, bytes);
}

Result<Done> release(std::byte* start, std::size_t bytes) {
  if (refused_by_test(Call::kRelease)) return last_error(Call::kRelease);
  // Before the place is free, since another thread may have it the moment it is. If the system refuses, whoever keeps
  // the range gives its pages back one way or the other (release_retry.h).
  late_touches::forget(start, bytes);
  // A size is refused: a reservation ends as a whole.
  if (::VirtualFree(start, 0, MEM_RELEASE) == 0) return last_error(Call::kRelease);
  return Done{};
}

Result<Done> protect(std::byte* start, std::size_t bytes, Access access) {
  if (refused_by_test(Call::kProtect)) return last_error(Call::kProtect);
  const DWORD protection = access == Access::kNone   ? PAGE_NOACCESS
                           : access == Access::kRead ? PAGE_READONLY
                                                     : PAGE_READWRITE;
  DWORD before = 0;
  if (::VirtualProtect(start, bytes, protection, &before) == 0) return last_error(Call::kProtect);
  return Done{};
}

Result<Done> advise(std::byte* start, std::size_t bytes, Advice advice) {
  if (refused_by_test(Call::kAdvise)) return last_error(Call::kAdvise);
  // Large pages on Windows are a property of the reservation and want a privilege; they cannot be advised later.
  if (advice == Advice::kHugePages) return Error{ERROR_NOT_SUPPORTED, Call::kAdvise};
  if (::VirtualAlloc(start, bytes, MEM_RESET, PAGE_READWRITE) == nullptr) return last_error(Call::kAdvise);
  return Done{};
}

Result<Done> move(std::byte*, std::byte*, std::size_t) { return Error{ERROR_NOT_SUPPORTED, Call::kMove}; }

}  // namespace offheap::os
