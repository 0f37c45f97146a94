// Which buffers have left a worker when it ends.
#ifndef OFFHEAP_BINDING_DEPARTURE_WATCH_H_
#define OFFHEAP_BINDING_DEPARTURE_WATCH_H_

#include <napi.h>

#include "binding/lease.h"

namespace offheap::binding {

// When a worker ends, Node detaches its external ArrayBuffers and runs their finalizers. But the memory of such a
// buffer may long be in another buffer, by ArrayBuffer.prototype.transfer(), and with that, by postMessage(), in
// another thread that is reading it: giving the block back then is a read of freed memory (reproduced on Node 22, 24
// and 26).
//
// So we look, just before Node ends the buffers, which of them still have their memory. Node ends them newest first
// and has no call for "just before", hence the sentinel: one more external buffer, made anew after every buffer of
// ours and kept alive, whose finalizer is therefore the first to run. It costs about as much as the buffer itself, in
// workers only.
//
// Owned by its environment, used on its thread only. Always true: the list holds the buffers that were made here and
// not finalized yet; no buffer of ours is newer than the sentinel, between calls.
class DepartureWatch {
 public:
  struct Buffer {
    Lease* lease = nullptr;
    DepartureWatch* watch = nullptr;
    napi_ref reference = nullptr;  // weak
    bool has_left = false;
    bool listed = false;
    Buffer* next = nullptr;
    Buffer* previous = nullptr;
  };

  DepartureWatch() = default;
  DepartureWatch(const DepartureWatch&) = delete;
  DepartureWatch& operator=(const DepartureWatch&) = delete;

  // From the making of the buffer to its finalizer.
  void add(napi_env env, Buffer* buffer, napi_value value);
  void remove(napi_env env, Buffer* buffer);

 private:
  static void on_sentinel_end(napi_env env, void* data, void* hint);
  void renew_sentinel(napi_env env);
  void look(napi_env env);

  Buffer* first_ = nullptr;
  napi_ref sentinel_ = nullptr;  // strong
  std::uint64_t newest_ = 0;     // number of the sentinel that is referenced
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_DEPARTURE_WATCH_H_
