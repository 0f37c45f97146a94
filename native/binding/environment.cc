#include "binding/environment.h"

namespace offheap::binding {

namespace {

// From this version on napi_detach_arraybuffer aborts the process when the user called markAsUntransferable() on the
// buffer, since V8 then wants a detach key; ArrayBuffer.prototype.transfer throws a TypeError instead.
constexpr std::uint32_t kFirstNodeWithDetachKeys = 23;

const char* code_of(heap::Refusal reason) {
  switch (reason) {
    case heap::Refusal::kOutOfMemory:
      return "ERR_OFFHEAP_OUT_OF_MEMORY";
    case heap::Refusal::kLimit:
      return "ERR_OFFHEAP_LIMIT";
    case heap::Refusal::kClosed:
      return "ERR_OFFHEAP_CLOSED";
    case heap::Refusal::kFreed:
      return "ERR_OFFHEAP_FREED";
    case heap::Refusal::kForeign:
    case heap::Refusal::kOutOfRange:
      return "ERR_OFFHEAP_FOREIGN";
  }
  return "ERR_OFFHEAP_FOREIGN";
}

}  // namespace

Environment::Environment(Napi::Env env) {
  const Napi::Value constructor = env.Global().Get("ArrayBuffer");
  if (!constructor.IsFunction()) return;
  const Napi::Value prototype = constructor.As<Napi::Object>().Get("prototype");
  if (!prototype.IsObject()) return;
  const Napi::Value transfer = prototype.As<Napi::Object>().Get("transfer");
  if (!transfer.IsFunction()) return;
  transfer_ = Napi::Persistent(transfer.As<Napi::Function>());
  const napi_node_version* version = nullptr;
  has_detach_keys_ = napi_get_node_version(env, &version) != napi_ok || version->major >= kFirstNodeWithDetachKeys;
}

void Environment::raise(Napi::Env env, const heap::Failure& failure) const {
  Napi::Object description = Napi::Object::New(env);
  description.Set("code", code_of(failure.reason));
  if (failure.reason == heap::Refusal::kOutOfMemory) {
    char words[256];
    os::describe(failure.os, words, sizeof words);
    description.Set("bytes", static_cast<double>(failure.asked));
    description.Set("call", os::function_name(failure.os.call));
    description.Set("osError", failure.os.number);
    description.Set("osMessage", static_cast<const char*>(words));
  } else if (failure.reason == heap::Refusal::kLimit) {
    description.Set("limit", static_cast<double>(failure.limit));
    description.Set("inUse", static_cast<double>(failure.in_use));
    description.Set("asked", static_cast<double>(failure.asked));
  }
  raise(env, description);
}

void Environment::raise(Napi::Env env, Complaint complaint) const {
  Napi::Object description = Napi::Object::New(env);
  description.Set("code", complaint == Complaint::kLocked ? "ERR_OFFHEAP_LOCKED" : "ERR_OFFHEAP_UNSUPPORTED");
  raise(env, description);
}

void Environment::raise(Napi::Env env, Napi::Object failure) const {
  if (create_error_.IsEmpty()) {
    Napi::Error::New(env, failure.Get("code").ToString().Utf8Value()).ThrowAsJavaScriptException();
    return;
  }
  const Napi::Value error = create_error_.Call({failure});
  // The factory itself may have thrown; then that is what is pending.
  if (!env.IsExceptionPending()) napi_throw(env, error);
}

}  // namespace offheap::binding
