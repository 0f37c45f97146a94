// The seam between blocks and ArrayBuffers. One implementation is compiled in:
//
//   array_buffers_v8.cc     the one version of V8 it is compiled for: backing stores of our own
//   array_buffers_napi.cc   any runtime with Node-API: external ArrayBuffers
//
// It alone knows how the runtime learns that a buffer ends. Everything here runs on the thread of the environment.
#ifndef OFFHEAP_BINDING_ARRAY_BUFFERS_H_
#define OFFHEAP_BINDING_ARRAY_BUFFERS_H_

#include <napi.h>

#include <cstddef>

#include "binding/lease.h"
#include "binding/open_heap.h"

namespace offheap::binding {

// What became of a request that makes a buffer.
struct Made {
  enum class Outcome : std::uint8_t { kDone, kRefused, kLocked, kNoBuffer };

  Outcome outcome = Outcome::kDone;
  napi_value buffer = nullptr;  // null unless kDone
  heap::Failure failure{};      // for kRefused
};

namespace array_buffers {

// What `runtime.buffers` says: which implementation this is.
[[nodiscard]] const char* name();
// Whether this implementation can work in the runtime that loaded it; if not, an exception is pending that says why.
[[nodiscard]] bool fits(Napi::Env env);

// May be null.
[[nodiscard]] BufferState* make_state();
void delete_state(BufferState* state);
// The state is from now on asked by the heap to let go of what it keeps back.
void connect(BufferState* state, heap::Heap& part);

// A buffer over the block at `address`, with a lease that does not stand yet. The buffer owns the lease from now on,
// whatever becomes of the buffer. If there is no buffer the block is still the caller's.
struct Buffer {
  napi_value value = nullptr;  // null if the runtime refuses, or if there is a failure
  Lease* lease = nullptr;
  heap::Failure failure{};  // asked > 0: no memory for the lease
};
[[nodiscard]] Buffer create(Napi::Env env, OpenHeap& open, std::byte* address, heap::Layout layout);
// For Made::Outcome::kNoBuffer.
void raise_refusal(Napi::Env env);

// A SharedArrayBuffer over a zeroed block. Its lease stands at once, and ends with the last reference in any thread.
[[nodiscard]] bool can_share();
[[nodiscard]] Buffer create_shared(Napi::Env env, OpenHeap& open, std::byte* address, heap::Layout layout);

// A buffer over a block that was freed a short while ago, and kept at hand for this; null if there is none that fits.
[[nodiscard]] napi_value recycle(Napi::Env env, OpenHeap& open, heap::Layout layout, heap::Fill fill);

// The lease that stands on the block that `buffer`, an ArrayBuffer, is over, if it is one of this heap's; else null.
[[nodiscard]] Lease* lease_of(Napi::Env env, OpenHeap& open, Napi::Value buffer);
// From now on the lease stands; no other stands on its block.
void enter(OpenHeap& open, Lease* lease);
// From now on it does not; the block stays used.
void leave(OpenHeap& open, Lease* lease);
// Whether something in the runtime works on the memory of `buffer` and would go on after a detach.
[[nodiscard]] bool is_at_work_on(Napi::Value buffer);

enum class Detached { kYes, kLocked };
// Makes every view of `buffer` empty, at once. kLocked: the user forbade it, and nothing has changed. May run anything:
// JavaScript that somebody put in the way, and in some runtimes the finalizer of the buffer.
[[nodiscard]] Detached detach(Napi::Env env, Napi::Value buffer);
enum class Freed { kYes, kLocked, kNoBlock };
// Detaches an ArrayBuffer over a live block of this heap, and gives the block back: now, or when whoever is at work on
// it is done. kNoBlock: it is over no such block, and nothing has changed.
[[nodiscard]] Freed free(Napi::Env env, OpenHeap& open, Napi::Value buffer);

// The memory behind `value`: no bytes for a buffer that is detached, or for anything that is no ArrayBuffer. A
// SharedArrayBuffer counts as one where the implementation can make them.
struct Memory {
  std::byte* address = nullptr;
  std::size_t bytes = 0;
  bool detached = false;
};
[[nodiscard]] Memory memory_of(Napi::Env env, Napi::Value value);

}  // namespace array_buffers

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_ARRAY_BUFFERS_H_
