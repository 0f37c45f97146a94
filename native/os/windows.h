// The system's header with what native/os needs of it and little else, and what only a Windows has. For
// pages_windows.cc, its tests, and the few places where both systems share a file.
#ifndef OFFHEAP_OS_WINDOWS_H_
#define OFFHEAP_OS_WINDOWS_H_

#ifdef _WIN32

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <windows.h>

namespace offheap::os {

// Whether this is Wine, which answers some calls as if it had done what it has not.
[[nodiscard]] inline bool on_wine() {
  const HMODULE library = ::GetModuleHandleW(L"ntdll.dll");
  return library != nullptr && ::GetProcAddress(library, "wine_get_version") != nullptr;
}

#ifdef OFFHEAP_FAULT_INJECTION
// As on a Windows older than VirtualAlloc2. For tests; not for use from several threads at once.
namespace internal {
extern bool without_virtual_alloc2;
}  // namespace internal
#endif

}  // namespace offheap::os

#endif

#endif  // OFFHEAP_OS_WINDOWS_H_
