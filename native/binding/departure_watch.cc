#include "binding/departure_watch.h"

namespace offheap::binding {

namespace {

// What a sentinel's finalizer is told: whose it is, and which.
struct Sentinel {
  DepartureWatch* watch;
  std::uint64_t number;
};

// Sentinels are buffers over this byte. Nobody ever sees one.
std::byte sentinel_byte{};

}  // namespace

void DepartureWatch::add(napi_env env, Buffer* buffer, napi_value value) {
  buffer->listed = true;
  buffer->next = first_;
  if (first_ != nullptr) first_->previous = buffer;
  first_ = buffer;
  napi_create_reference(env, value, 0, &buffer->reference);
  renew_sentinel(env);
}

void DepartureWatch::remove(napi_env env, Buffer* buffer) {
  if (!buffer->listed) return;
  (buffer->previous != nullptr ? buffer->previous->next : first_) = buffer->next;
  if (buffer->next != nullptr) buffer->next->previous = buffer->previous;
  if (buffer->reference != nullptr) napi_delete_reference(env, buffer->reference);
}

void DepartureWatch::renew_sentinel(napi_env env) {
  auto* const sentinel = new Sentinel{this, newest_ + 1};
  napi_value value = nullptr;
  const napi_status status =
      napi_create_external_arraybuffer(env, &sentinel_byte, sizeof sentinel_byte, on_sentinel_end, sentinel, &value);
  if (status != napi_ok) {
    // The runtime cannot call JavaScript any more, since the worker is ending: then the newest buffer cannot leave
    // either. Or it is out of memory and goes on: then nobody will look after this buffer, and its block is kept for
    // good rather than given back while somebody may read it.
    bool out_of_memory = false;
    napi_is_exception_pending(env, &out_of_memory);
    first_->has_left = out_of_memory;
    delete sentinel;
    return;
  }
  // Only now: while there is no newer one, the one before looks after the buffers that came before it.
  ++newest_;
  if (sentinel_ != nullptr) napi_delete_reference(env, sentinel_);
  sentinel_ = nullptr;
  napi_create_reference(env, value, 1, &sentinel_);
}

void DepartureWatch::on_sentinel_end(napi_env env, void*, void* hint) {
  auto* const sentinel = static_cast<Sentinel*>(hint);
  // Older ones are collected as garbage; the newest is referenced and ends with the environment.
  if (sentinel->number == sentinel->watch->newest_) sentinel->watch->look(env);
  delete sentinel;
}

void DepartureWatch::look(napi_env env) {
  const Napi::HandleScope scope(env);
  for (Buffer* buffer = first_; buffer != nullptr; buffer = buffer->next) {
    napi_value value = nullptr;
    bool has_memory = false;
    if (buffer->reference != nullptr && napi_get_reference_value(env, buffer->reference, &value) == napi_ok &&
        value != nullptr) {
      bool detached = true;
      has_memory = napi_is_detached_arraybuffer(env, value, &detached) == napi_ok && !detached;
    }
    if (!has_memory) buffer->has_left = true;
  }
}

}  // namespace offheap::binding
