// External ArrayBuffers of Node-API. In Node the finalizer runs on the environment's thread at a later turn of the
// event loop, after a detach as well as after a collection, and never during a long synchronous stretch; Bun runs it
// inside the detach, and Deno on any thread at any time. So a block that is freed goes back in the call that frees it,
// and the finalizer only drops the lease.
#include "binding/array_buffers.h"
#include "binding/departure_watch.h"
#include "binding/environment.h"
#include "binding/lease_map.h"

#ifdef _WIN32
#include "os/windows.h"
#elif !defined(__linux__)
#include <dlfcn.h>
#endif

#ifdef __linux__
// Null where the runtime has no such function. Weak, and not looked up with dlsym(), which older systems have in
// another library.
extern "C" [[gnu::weak]] napi_status node_api_create_external_sharedarraybuffer(
    napi_env env, void* data, std::size_t bytes, void (*finalize)(void* data, void* hint), void* hint,
    napi_value* result);
#endif

namespace offheap::binding {

namespace array_buffers {

namespace {

void end(Lease* lease, heap::SharedHeap::Cause cause) {
  std::byte* const address = lease->address();
  const std::size_t size = lease->size();
  Lease::drop(lease);
  heap::SharedHeap::free(heap::SharedHeap::part_holding(address), address, size, cause);
}

// In Node on the environment's thread, in other runtimes on any.
void finalize(napi_env, void*, void* hint) {
  auto* const lease = static_cast<Lease*>(hint);
  if (lease_map::leave(lease)) {
    end(lease, heap::SharedHeap::Cause::kReclaimed);
  } else {
    Lease::drop(lease);
  }
}

// The same for a buffer made in a worker. What has left keeps its lease, and with it its heap, for good: nobody will
// tell us when its last reader is done.
void finalize_in_worker(napi_env env, void* data, void* hint) {
  auto* const buffer = static_cast<DepartureWatch::Buffer*>(hint);
  buffer->watch->remove(env, buffer);
  if (!buffer->lease->stands() || !buffer->has_left) finalize(env, data, buffer->lease);
  delete buffer;
}

// A SharedArrayBuffer ends on any thread, without an environment.
void finalize_shared(void*, void* hint) {
  auto* const lease = static_cast<Lease*>(hint);
  lease->set_stands(false);
  end(lease, heap::SharedHeap::Cause::kReclaimed);
}

// If the runtime refuses, it may have called the finalizer, or may yet: only one answer says that it has not seen it.
bool was_not_seen(napi_status status) { return status == napi_no_external_buffers_allowed; }

napi_status create_in_worker(Napi::Env env, Lease* lease, napi_value* value) {
  DepartureWatch& watch = Environment::of(env).departure_watch();
  auto* const buffer = new DepartureWatch::Buffer{.lease = lease, .watch = &watch};
  const napi_status status =
      napi_create_external_arraybuffer(env, lease->address(), lease->size(), finalize_in_worker, buffer, value);
  if (status == napi_ok) watch.add(env, buffer, *value);
  if (was_not_seen(status)) delete buffer;
  return status;
}

heap::Result<Lease*> make_lease(Napi::Env env, std::byte* address, heap::Layout layout) {
  const auto part = Environment::of(env).lease_part();
  if (!part.ok()) return part.error();
  return Lease::make(*part.value(), address, layout);
}

using CreateShared = napi_status (*)(napi_env, void* data, std::size_t bytes, void (*finalize)(void* data, void* hint),
                                     void* hint, napi_value* result);

// Node 22.23, 24.16, 26.1 and later have it; a library that needs it to load would not load in any other.
CreateShared find_create_shared() {
#ifdef __linux__
  return node_api_create_external_sharedarraybuffer;
#else
  constexpr const char* kName = "node_api_create_external_sharedarraybuffer";
#ifdef _WIN32
  return reinterpret_cast<CreateShared>(reinterpret_cast<void*>(GetProcAddress(GetModuleHandleW(nullptr), kName)));
#else
  return reinterpret_cast<CreateShared>(dlsym(RTLD_DEFAULT, kName));
#endif
#endif
}

CreateShared create_shared_function() {
  static const CreateShared function = find_create_shared();
  return function;
}

}  // namespace

const char* name() { return "napi"; }
bool fits(Napi::Env) { return true; }

// Nothing is kept back: the runtime has its own record of each buffer, which cannot be used again.
BufferState* make_state() { return nullptr; }
void delete_state(BufferState*) {}
void connect(BufferState*, heap::Heap&) {}

Buffer create(Napi::Env env, OpenHeap&, std::byte* address, heap::Layout layout) {
  const auto made = make_lease(env, address, layout);
  if (!made.ok()) return {.failure = made.error()};
  Lease* const lease = made.value();
  napi_value value = nullptr;
  const napi_status status =
      Environment::of(env).buffers_may_outlive_it()
          ? create_in_worker(env, lease, &value)
          : napi_create_external_arraybuffer(env, address, layout.size(), finalize, lease, &value);
  if (status == napi_ok) return {value, lease, {}};
  if (was_not_seen(status)) Lease::drop(lease);
  return {};
}

void raise_refusal(Napi::Env env) {
  if (!env.IsExceptionPending()) Environment::of(env).raise(env, Environment::Complaint::kNoExternalBuffers);
}

bool can_share() { return create_shared_function() != nullptr; }

Buffer create_shared(Napi::Env env, OpenHeap&, std::byte* address, heap::Layout layout) {
  const auto made = make_lease(env, address, layout);
  if (!made.ok()) return {.failure = made.error()};
  Lease* const lease = made.value();
  lease->set_stands(true);
  napi_value value = nullptr;
  const napi_status status = create_shared_function()(env, address, layout.size(), finalize_shared, lease, &value);
  if (status == napi_ok) return {value, lease, {}};
  lease->set_stands(false);
  Lease::drop(lease);
  return {};
}

napi_value recycle(Napi::Env, OpenHeap&, heap::Layout, heap::Fill) { return nullptr; }

Lease* lease_of(Napi::Env env, OpenHeap& open, Napi::Value buffer) {
  const Memory memory = memory_of(env, buffer);
  if (memory.bytes == 0 || !open.heap().holds(memory.address)) return nullptr;
  // Same start, same length: the block itself, in the hands of whoever holds its buffer now.
  return lease_map::find(memory.address, memory.bytes);
}

void enter(OpenHeap&, Lease* lease) { lease_map::enter(lease); }
void leave(OpenHeap&, Lease* lease) { (void)lease_map::leave(lease); }

bool is_at_work_on(Napi::Value) { return false; }

Detached detach(Napi::Env env, Napi::Value buffer) {
  if (!Environment::of(env).detach_may_abort()) {
    return napi_detach_arraybuffer(env, buffer) == napi_ok ? Detached::kYes : Detached::kLocked;
  }
  const Napi::Function transfer = Environment::of(env).transfer();
  if (transfer.IsEmpty()) return Detached::kLocked;
  napi_value zero = nullptr;
  napi_create_uint32(env, 0, &zero);
  if (napi_call_function(env, buffer, transfer, 1, &zero, nullptr) != napi_ok) {
    napi_value ignored = nullptr;
    napi_get_and_clear_last_exception(env, &ignored);
  }
  // Asked rather than believed: a block is never taken back while a view of it may be alive.
  bool detached = false;
  napi_is_detached_arraybuffer(env, buffer, &detached);
  return detached ? Detached::kYes : Detached::kLocked;
}

// The lease does not stand while the runtime is at work, which may run its finalizer: it is not touched afterwards.
Freed free(Napi::Env env, OpenHeap& open, Napi::Value buffer) {
  Lease* const lease = lease_of(env, open, buffer);
  if (lease == nullptr) return Freed::kNoBlock;
  std::byte* const address = lease->address();
  const std::size_t size = lease->size();
  leave(open, lease);
  if (detach(env, buffer) == Detached::kLocked) {
    enter(open, lease);
    return Freed::kLocked;
  }
  heap::SharedHeap::free(heap::SharedHeap::part_holding(address), address, size);
  return Freed::kYes;
}

Memory memory_of(Napi::Env env, Napi::Value value) {
  Memory memory;
  void* address = nullptr;
  // There is no call for the memory of a SharedArrayBuffer in version 8 of Node-API, but there is for a view on one.
  if (value.IsTypedArray()) {
    napi_get_typedarray_info(env, value, nullptr, &memory.bytes, &address, nullptr, nullptr);
    memory.address = static_cast<std::byte*>(address);
    return memory;
  }
  if (!value.IsArrayBuffer() || napi_get_arraybuffer_info(env, value, &address, &memory.bytes) != napi_ok)
    return memory;
  memory.address = static_cast<std::byte*>(address);
  if (memory.bytes == 0) napi_is_detached_arraybuffer(env, value, &memory.detached);
  return memory;
}

}  // namespace array_buffers

}  // namespace offheap::binding
