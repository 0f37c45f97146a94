// A heap as plain JavaScript objects, for pictures and for people.
#ifndef OFFHEAP_BINDING_SNAPSHOT_H_
#define OFFHEAP_BINDING_SNAPSHOT_H_

#include <napi.h>

#include "heap/shared_heap.h"

namespace offheap::binding {

// NativeSnapshot and NativeStats of lib/native.ts. Null, or with an exception pending, if the environment is being
// ended.
[[nodiscard]] napi_value make_snapshot(Napi::Env env, heap::SharedHeap& heap);
[[nodiscard]] napi_value make_statistics(Napi::Env env, heap::SharedHeap& heap);

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_SNAPSHOT_H_
