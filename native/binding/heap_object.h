// JavaScript's side of a heap: the class lib/native.ts calls NativeHeap.
#ifndef OFFHEAP_BINDING_HEAP_OBJECT_H_
#define OFFHEAP_BINDING_HEAP_OBJECT_H_

#include <napi.h>

#include "binding/calls.h"
#include "binding/open_heap.h"

namespace offheap::binding {

// Stands for one heap in one environment, of which it is a user. alloc and free are not here but in calls.h. Every
// method checks its arguments again, whatever
// TypeScript has checked: wrong ones are a TypeError or RangeError. A wrong receiver is refused by the runtime before
// a method here is reached.
class HeapObject : public Napi::ObjectWrap<HeapObject> {
 public:
  [[nodiscard]] static Napi::Function define(Napi::Env env);

  explicit HeapObject(const Napi::CallbackInfo& info);
  ~HeapObject() override;

 private:
  Napi::Value slot(const Napi::CallbackInfo& info);
  Napi::Value id(const Napi::CallbackInfo& info);
  Napi::Value is_default(const Napi::CallbackInfo& info);
  Napi::Value limit(const Napi::CallbackInfo& info);
  Napi::Value alloc_shared(const Napi::CallbackInfo& info);
  void refuse(const Napi::CallbackInfo& info);
  Napi::Value realloc(const Napi::CallbackInfo& info);
  Napi::Value owns(const Napi::CallbackInfo& info);
  Napi::Value usable_size(const Napi::CallbackInfo& info);
  Napi::Value address_of(const Napi::CallbackInfo& info);
  Napi::Value bytes_in_use(const Napi::CallbackInfo& info);
  Napi::Value blocks_in_use(const Napi::CallbackInfo& info);
  Napi::Value stats(const Napi::CallbackInfo& info);
  Napi::Value snapshot(const Napi::CallbackInfo& info);
  Napi::Value trim(const Napi::CallbackInfo& info);
  Napi::Value decay(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);
  Napi::Value closed(const Napi::CallbackInfo& info);

  // False, with an exception pending, if the constructor did not get to the end.
  [[nodiscard]] bool was_made(Napi::Env env) const;
  // The lease on the block `value` is a buffer over; null, with an exception pending, if there is none.
  [[nodiscard]] Lease* lease_of(Napi::Env env, Napi::Value value);
  // The part whose live block `value` is a buffer over, shared or not; null if it is none of this heap.
  [[nodiscard]] heap::Heap* part_of(const array_buffers::Memory& memory);

  [[nodiscard]] Made grow(Napi::Env env, Napi::Value buffer, Lease* lease, heap::Layout layout);
  [[nodiscard]] Made shrink(Napi::Env env, Napi::Value buffer, Lease* lease, heap::Layout layout);
  [[nodiscard]] Made move(Napi::Env env, Napi::Value buffer, Lease* lease, heap::Layout layout,
                          const heap::Heap::Move& move);
  [[nodiscard]] Made copy(Napi::Env env, Napi::Value buffer, Lease* lease, heap::Layout layout);
  [[nodiscard]] Made replace(Napi::Env env, Napi::Value buffer, Lease* lease, std::byte* address, heap::Layout layout);

  OpenHeap* open_ = nullptr;  // null if the constructor threw
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_HEAP_OBJECT_H_
