// What the addon remembers for one JavaScript environment: the main thread, or one worker.
#ifndef OFFHEAP_BINDING_ENVIRONMENT_H_
#define OFFHEAP_BINDING_ENVIRONMENT_H_

#include <napi.h>

#include "heap/types.h"

namespace offheap::binding {

// Owned by its environment and used on its thread only.
class Environment {
 public:
  // Remembers `ArrayBuffer.prototype.transfer` before anybody's code can replace it, where detaching needs it.
  explicit Environment(Napi::Env env);

  [[nodiscard]] static Environment& of(Napi::Env env) { return *env.GetInstanceData<Environment>(); }

  // The factory that turns a failure into an error: `(failure) => Error`.
  void set_error_factory(Napi::Function factory) { create_error_ = Napi::Persistent(factory); }

  // Empty where the runtime's own detach is safe.
  [[nodiscard]] Napi::Function transfer() const { return transfer_.IsEmpty() ? Napi::Function() : transfer_.Value(); }

  // Makes what `failure` says the pending exception.
  void raise(Napi::Env env, const heap::Failure& failure) const;
  enum class Complaint { kLocked, kNoExternalBuffers };
  void raise(Napi::Env env, Complaint complaint) const;

 private:
  void raise(Napi::Env env, Napi::Object failure) const;

  Napi::FunctionReference create_error_;
  Napi::FunctionReference transfer_;
};

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_ENVIRONMENT_H_
