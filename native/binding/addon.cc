// The addon as a module: lib/native.ts calls it NativeAddon.
#include <napi.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "binding/array_buffers.h"
#include "binding/calls.h"
#include "binding/environment.h"
#include "binding/heap_object.h"
#include "heap/size_classes.h"
#include "os/pages.h"

#ifdef _WIN32
#include "os/windows.h"
#endif

namespace offheap::binding {

namespace {

// The same in every thread of this process that has loaded this copy of the library, and another in every other copy.
std::string library_key() {
  static const char here = 0;
  char words[32];
  std::snprintf(words, sizeof words, "0x%llx",
                static_cast<unsigned long long>(reinterpret_cast<std::uintptr_t>(&here)));
  return words;
}

// A buffer may outlive the worker that alone had loaded the library, and what is called at its end is here. On Linux
// the linker has seen to it, and macOS does not unload what has thread-local variables.
void keep_loaded() {
#ifdef _WIN32
  static const char here = 0;
  HMODULE self = nullptr;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<LPCWSTR>(&here), &self);
#endif
}

// Whether an ArrayBuffer lies in the pages of any heap of this process.
Napi::Value is_block(const Napi::CallbackInfo& info) {
  const array_buffers::Memory memory = array_buffers::memory_of(info.Env(), info[0]);
  return Napi::Boolean::New(info.Env(), memory.bytes > 0 && heap::SharedHeap::is_known(memory.address));
}

void initialize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    Napi::TypeError::New(env, "hooks must be an object").ThrowAsJavaScriptException();
    return;
  }
  const auto hooks = info[0].As<Napi::Object>();
  const Napi::Value factory = hooks.Get("createError");
  if (env.IsExceptionPending()) return;
  const Napi::Value buffers_stay = hooks.Get("buffersStay");
  if (env.IsExceptionPending()) return;
  if (!factory.IsFunction() || !(buffers_stay.IsBoolean() || buffers_stay.IsUndefined())) {
    Napi::TypeError::New(env, "createError must be a function and buffersStay a boolean").ThrowAsJavaScriptException();
    return;
  }
  Environment::of(env).set_error_factory(factory.As<Napi::Function>());
  if (buffers_stay.ToBoolean().Value()) Environment::of(env).set_buffers_stay();
}

Napi::Object make_addon(Napi::Env env, Napi::Object exports) {
  if (!array_buffers::fits(env)) return exports;
  keep_loaded();
  if (const auto prepared = Lease::prepare(); !prepared.ok()) {
    Napi::Error::New(env, "The operating system has no memory for offheap's own records").ThrowAsJavaScriptException();
    return exports;
  }
  auto* const environment = new Environment(env);
  env.SetInstanceData(environment);
  define_calls(env, exports, *environment);
  exports.Set("Heap", HeapObject::define(env));
  exports.Set("canShare", array_buffers::can_share());
  exports.Set("libraryKey", library_key());
  exports.Set("buffers", array_buffers::name());
  exports.Set("pageSize", static_cast<double>(os::page_size()));
  exports.Set("allocationGranularity", static_cast<double>(os::allocation_granularity()));
  exports.Set("regionSize", static_cast<double>(heap::kRegionBytes));
  exports.Set("maxBucketSize", static_cast<double>(heap::kMaxClassBytes));
  exports.Set("maxBuckets", static_cast<double>(heap::kMaxClasses));
  exports.Set("decayMilliseconds", static_cast<double>(heap::kDecayMilliseconds));
  exports.Set("isBlock", Napi::Function::New(env, is_block, "isBlock"));
  exports.Set("initialize", Napi::Function::New(env, initialize, "initialize"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, make_addon)

}  // namespace offheap::binding
