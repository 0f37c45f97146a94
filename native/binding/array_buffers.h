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

// A buffer over the block of `lease`. The buffer owns the lease from now on, whatever becomes of the buffer, and if it
// is collected while the lease stands, gives the block back. Null, with an exception pending and the lease deleted or
// harmless, if the runtime refuses.
[[nodiscard]] Napi::Value create(Napi::Env env, Lease* lease);

enum class Detached { kYes, kLocked };
// Makes every view of `buffer` empty, at once. kLocked: the user forbade it, and nothing has changed.
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
