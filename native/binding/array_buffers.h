// The seam between blocks and ArrayBuffers. One implementation is compiled in:
//
//   array_buffers_napi.cc   any runtime with Node-API: external ArrayBuffers
//
// It alone knows how the runtime learns that a buffer ends. Everything here runs on the thread of the environment.
#ifndef OFFHEAP_BINDING_ARRAY_BUFFERS_H_
#define OFFHEAP_BINDING_ARRAY_BUFFERS_H_

#include <napi.h>

#include <cstddef>

#include "binding/leases.h"

namespace offheap::binding::array_buffers {

// What `runtime.buffers` says: which implementation this is.
[[nodiscard]] const char* name();

// A buffer over the block of `lease`, which does not stand yet. The buffer owns the lease from now on, whatever becomes
// of the buffer; if it is collected while the lease stands, the block is given back. Null if the runtime refuses: then
// the lease is not to be touched any more, and the caller takes the block back and raises raise_refusal().
[[nodiscard]] napi_value create(Napi::Env env, Lease* lease);
void raise_refusal(Napi::Env env);

enum class Detached { kYes, kLocked };
// Makes every view of `buffer` empty, at once. kLocked: the user forbade it, and nothing has changed. May run anything:
// JavaScript that somebody put in the way, and in some runtimes the finalizer of the buffer. Callers see to it that its
// lease does not stand meanwhile.
[[nodiscard]] Detached detach(Napi::Env env, Napi::Value buffer);

// The memory behind `value`: no bytes for a buffer that is detached, or for anything that is no ArrayBuffer.
struct Memory {
  std::byte* address = nullptr;
  std::size_t bytes = 0;
  bool detached = false;
};
[[nodiscard]] Memory memory_of(Napi::Env env, Napi::Value value);

}  // namespace offheap::binding::array_buffers

#endif  // OFFHEAP_BINDING_ARRAY_BUFFERS_H_
