// What the addon remembers for one JavaScript environment: the main thread, or one worker.
#ifndef OFFHEAP_BINDING_ENVIRONMENT_H_
#define OFFHEAP_BINDING_ENVIRONMENT_H_

#include <napi.h>

#include <cstdint>
#include <vector>

#include "binding/departure_watch.h"
#include "binding/open_heap.h"
#include "heap/types.h"

namespace offheap::binding {

// Owned by its environment and used on its thread only. At its end no part of any heap belongs to the thread any more.
class Environment {
 public:
  // Remembers `ArrayBuffer.prototype.transfer` as it is now. Somebody's code may have replaced it: what it does is
  // checked, not believed.
  explicit Environment(Napi::Env env);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  [[nodiscard]] static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  [[nodiscard]] Napi::Env env() const { return env_; }

  // The heaps this environment has open, each under a small number that JavaScript passes instead of an object, which
  // would have to be unwrapped. Null for a number that is none, or none any more.
  [[nodiscard]] OpenHeap* at(std::size_t slot) const { return slot < slots_.size() ? slots_[slot] : nullptr; }
  [[nodiscard]] OpenHeap* find(const heap::SharedHeap* heap) const;
  [[nodiscard]] std::uint32_t free_slot();
  void set_slot(std::uint32_t slot, OpenHeap* open) { slots_[slot] = open; }

  // This thread's part of Lease::records(), attached at the first call.
  [[nodiscard]] heap::Result<heap::Heap*> lease_part();

  // The factory that turns a failure into an error: `(failure) => Error`.
  void set_error_factory(Napi::Function factory) { create_error_ = Napi::Persistent(factory); }

  // Nobody can hold a buffer of this environment when it ends, or the runtime itself sees to it.
  void set_buffers_stay() { buffers_stay_ = true; }
  // Whether a buffer may leave this environment (by transfer() and then postMessage()) and be in use when it ends.
  [[nodiscard]] bool buffers_may_outlive_it() const { return !buffers_stay_ && has_transfer_; }

  [[nodiscard]] DepartureWatch& departure_watch() { return departure_watch_; }

  // Whether napi_detach_arraybuffer() ends the process when the user locked the buffer; transfer() refuses instead.
  [[nodiscard]] bool detach_may_abort() const { return has_detach_keys_; }
  // Empty if there is none.
  [[nodiscard]] Napi::Function transfer() const { return transfer_.IsEmpty() ? Napi::Function() : transfer_.Value(); }

  // Makes what `failure` says the pending exception.
  void raise(Napi::Env env, const heap::Failure& failure) const;
  enum class Complaint { kLocked, kNoExternalBuffers, kNoSharing };
  void raise(Napi::Env env, Complaint complaint) const;

 private:
  void raise(Napi::Env env, napi_value failure) const;

  const Napi::Env env_;
  std::vector<OpenHeap*> slots_;
  heap::Heap* lease_part_ = nullptr;
  Napi::FunctionReference create_error_;
  Napi::FunctionReference transfer_;
  DepartureWatch departure_watch_;
  bool has_transfer_ = false;
  bool has_detach_keys_ = false;
  bool buffers_stay_ = false;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_ENVIRONMENT_H_
