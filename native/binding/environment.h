// What the addon remembers for one JavaScript environment: the main thread, or one worker.
#ifndef OFFHEAP_BINDING_ENVIRONMENT_H_
#define OFFHEAP_BINDING_ENVIRONMENT_H_

#include <napi.h>

#include "binding/departure_watch.h"
#include "heap/types.h"

namespace offheap::binding {

// Owned by its environment and used on its thread only.
class Environment {
 public:
  // Remembers `ArrayBuffer.prototype.transfer` as it is now. Somebody's code may have replaced it: what it does is
  // checked, not believed.
  explicit Environment(Napi::Env env);

  [[nodiscard]] static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // The factory that turns a failure into an error: `(failure) => Error`.
  void set_error_factory(Napi::Function factory) { create_error_ = Napi::Persistent(factory); }

  // This environment lasts as long as the process: nobody can hold a buffer of it when it ends.
  void set_main_thread() { ends_before_process_ = false; }
  // Whether a buffer may leave this environment (by transfer() and then postMessage()) and be in use when it ends.
  [[nodiscard]] bool buffers_may_outlive_it() const { return ends_before_process_ && has_transfer_; }

  [[nodiscard]] DepartureWatch& departure_watch() { return departure_watch_; }

  // Whether napi_detach_arraybuffer() ends the process when the user locked the buffer; transfer() refuses instead.
  [[nodiscard]] bool detach_may_abort() const { return has_detach_keys_; }
  // Empty if there is none.
  [[nodiscard]] Napi::Function transfer() const { return transfer_.IsEmpty() ? Napi::Function() : transfer_.Value(); }

  // Makes what `failure` says the pending exception.
  void raise(Napi::Env env, const heap::Failure& failure) const;
  enum class Complaint { kLocked, kNoExternalBuffers };
  void raise(Napi::Env env, Complaint complaint) const;

 private:
  void raise(Napi::Env env, napi_value failure) const;

  Napi::FunctionReference create_error_;
  Napi::FunctionReference transfer_;
  DepartureWatch departure_watch_;
  bool has_transfer_ = false;
  bool has_detach_keys_ = false;
  bool ends_before_process_ = true;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_ENVIRONMENT_H_
