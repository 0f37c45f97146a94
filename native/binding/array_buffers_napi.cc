// External ArrayBuffers of Node-API. The finalizer runs on the environment's thread at a later turn of the event loop,
// after a detach as well as after a collection, and never during a long synchronous stretch. So a block that is freed
// goes back in the call that frees it, and the finalizer only deletes the lease.
#include "binding/array_buffers.h"
#include "binding/environment.h"

namespace offheap::binding::array_buffers {

namespace {

void finalize(napi_env, void*, void* hint) {
  auto* const lease = static_cast<Lease*>(hint);
  if (lease->stands()) lease->heap->reclaim(lease);
  delete lease;
}

// The same for a buffer made in a worker. What has left keeps its lease, and with it its heap, for good: nobody will
// tell us when its last reader is done.
void finalize_in_worker(napi_env env, void* data, void* hint) {
  auto* const buffer = static_cast<DepartureWatch::Buffer*>(hint);
  buffer->watch->remove(env, buffer);
  if (!buffer->lease->stands() || !buffer->has_left) finalize(env, data, buffer->lease);
  delete buffer;
}

// If the runtime refuses, it may have called the finalizer, or may yet: only one answer says that it has not seen it.
bool was_not_seen(napi_status status) { return status == napi_no_external_buffers_allowed; }

napi_status create_in_worker(Napi::Env env, Lease* lease, napi_value* value) {
  DepartureWatch& watch = Environment::of(env).departure_watch();
  auto* const buffer = new DepartureWatch::Buffer{.lease = lease, .watch = &watch};
  const napi_status status =
      napi_create_external_arraybuffer(env, lease->address, lease->size, finalize_in_worker, buffer, value);
  if (status == napi_ok) watch.add(env, buffer, *value);
  if (was_not_seen(status)) delete buffer;
  return status;
}

}  // namespace

const char* name() { return "napi"; }

napi_value create(Napi::Env env, Lease* lease) {
  napi_value buffer = nullptr;
  const napi_status status =
      Environment::of(env).buffers_may_outlive_it()
          ? create_in_worker(env, lease, &buffer)
          : napi_create_external_arraybuffer(env, lease->address, lease->size, finalize, lease, &buffer);
  if (status == napi_ok) return buffer;
  if (was_not_seen(status)) delete lease;
  return nullptr;
}

void raise_refusal(Napi::Env env) {
  if (!env.IsExceptionPending()) Environment::of(env).raise(env, Environment::Complaint::kNoExternalBuffers);
}

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

Memory memory_of(Napi::Env env, Napi::Value value) {
  Memory memory;
  void* address = nullptr;
  if (!value.IsArrayBuffer() || napi_get_arraybuffer_info(env, value, &address, &memory.bytes) != napi_ok)
    return memory;
  memory.address = static_cast<std::byte*>(address);
  if (memory.bytes == 0) napi_is_detached_arraybuffer(env, value, &memory.detached);
  return memory;
}

}  // namespace offheap::binding::array_buffers
