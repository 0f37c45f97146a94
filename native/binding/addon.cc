// The addon as a module: lib/native.ts calls it NativeAddon.
#include <napi.h>

#include "binding/array_buffers.h"
#include "binding/environment.h"
#include "binding/heap_object.h"
#include "heap/size_classes.h"
#include "os/pages.h"

namespace offheap::binding {

namespace {

void initialize(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    Napi::TypeError::New(env, "hooks must be an object").ThrowAsJavaScriptException();
    return;
  }
  const auto hooks = info[0].As<Napi::Object>();
  const Napi::Value factory = hooks.Get("createError");
  if (env.IsExceptionPending()) return;
  const Napi::Value main_thread = hooks.Get("isMainThread");
  if (env.IsExceptionPending()) return;
  if (!factory.IsFunction() || !(main_thread.IsBoolean() || main_thread.IsUndefined())) {
    Napi::TypeError::New(env, "createError must be a function and isMainThread a boolean").ThrowAsJavaScriptException();
    return;
  }
  Environment::of(env).set_error_factory(factory.As<Napi::Function>());
  if (main_thread.ToBoolean().Value()) Environment::of(env).set_main_thread();
}

Napi::Object make_addon(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  exports.Set("Heap", HeapObject::define(env));
  exports.Set("buffers", array_buffers::name());
  exports.Set("pageSize", static_cast<double>(os::page_size()));
  exports.Set("allocationGranularity", static_cast<double>(os::allocation_granularity()));
  exports.Set("regionSize", static_cast<double>(heap::kRegionBytes));
  exports.Set("maxBucketSize", static_cast<double>(heap::kMaxClassBytes));
  exports.Set("maxBuckets", static_cast<double>(heap::kMaxClasses));
  exports.Set("decayMilliseconds", static_cast<double>(heap::kDecayMilliseconds));
  exports.Set("initialize", Napi::Function::New(env, initialize, "initialize"));
  return exports;
}

}  // namespace

NODE_API_MODULE(NODE_GYP_MODULE_NAME, make_addon)

}  // namespace offheap::binding
