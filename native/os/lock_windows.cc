#include "os/lock.h"
#include "os/windows.h"

namespace offheap::os {

namespace {

static_assert(sizeof(Lock) == sizeof(SRWLOCK) && alignof(Lock) == alignof(SRWLOCK));

[[nodiscard]] SRWLOCK* as_system_lock(void*& state) { return reinterpret_cast<SRWLOCK*>(&state); }

}  // namespace

void Lock::lock() { ::AcquireSRWLockExclusive(as_system_lock(system_lock_)); }
void Lock::unlock() { ::ReleaseSRWLockExclusive(as_system_lock(system_lock_)); }

}  // namespace offheap::os
