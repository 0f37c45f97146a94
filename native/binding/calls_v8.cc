// As functions of V8's own: Node-API's way in and out costs several times what the calls themselves do.
#include <v8.h>

#include <cstring>

#include "binding/calls.h"
#include "binding/environment.h"

namespace offheap::binding {

namespace {

using Arguments = v8::FunctionCallbackInfo<v8::Value>;

Napi::Value as_napi(Napi::Env env, v8::Local<v8::Value> handle) {
  napi_value value = nullptr;
  static_assert(sizeof handle == sizeof value);
  std::memcpy(&value, static_cast<void*>(&handle), sizeof value);
  return {env, value};
}

v8::Local<v8::Value> as_v8(napi_value value) {
  v8::Local<v8::Value> handle;
  std::memcpy(static_cast<void*>(&handle), &value, sizeof value);
  return handle;
}

Environment& environment_of(const Arguments& info) {
  return *static_cast<Environment*>(info.Data().As<v8::External>()->Value());
}

// What the environment raised is pending in Node-API, which throws it when one of its own calls returns. This is none.
void throw_pending(Napi::Env env) {
  napi_value error = nullptr;
  if (!env.IsExceptionPending() || napi_get_and_clear_last_exception(env, &error) != napi_ok) return;
  v8::Isolate::GetCurrent()->ThrowException(as_v8(error));
}

void refuse_arguments(const Arguments& info) {
  v8::Isolate* const isolate = info.GetIsolate();
  isolate->ThrowException(v8::Exception::TypeError(v8::String::NewFromUtf8Literal(isolate, "wrong arguments")));
}

void alloc(const Arguments& info) {
  std::size_t size = 0;
  if (!info[0]->IsUint32() || !info[1]->IsNumber() || !is_positive_integer(info[1].As<v8::Number>()->Value(), &size)) {
    refuse_arguments(info);
    return;
  }
  const Terms terms = Terms::of(info[0].As<v8::Uint32>()->Value());
  Environment& environment = environment_of(info);
  OpenHeap* const open = environment.at(terms.slot);
  const auto layout = heap::Layout::of(size, std::size_t{1} << terms.align_shift);
  if (open == nullptr || !layout) {
    refuse_arguments(info);
    return;
  }
  const Made made = allocate(environment.env(), *open, *layout, terms.fill);
  if (made.outcome == Made::Outcome::kDone) [[likely]] {
    info.GetReturnValue().Set(as_v8(made.buffer));
    return;
  }
  raise(environment.env(), made);
  throw_pending(environment.env());
}

void free(const Arguments& info) {
  Environment& environment = environment_of(info);
  OpenHeap* const open = info[0]->IsUint32() ? environment.at(info[0].As<v8::Uint32>()->Value()) : nullptr;
  if (open == nullptr) {
    refuse_arguments(info);
    return;
  }
  v8::Local<v8::Value> buffer = info[1];
  if (!buffer->IsArrayBuffer()) {
    if (buffer->IsArrayBufferView()) buffer = buffer.As<v8::ArrayBufferView>()->Buffer();
    if (!buffer->IsArrayBuffer()) {
      info.GetReturnValue().Set(false);
      return;
    }
  }
  const auto freed = array_buffers::free(environment.env(), *open, as_napi(environment.env(), buffer));
  info.GetReturnValue().Set(freed == array_buffers::Freed::kYes);
  if (freed != array_buffers::Freed::kLocked) [[likely]]
    return;
  environment.raise(environment.env(), Environment::Complaint::kLocked);
  throw_pending(environment.env());
}

void define(Napi::Object exports, const char* name, v8::FunctionCallback callback, Environment& environment) {
  v8::Isolate* const isolate = v8::Isolate::GetCurrent();
  v8::Local<v8::Function> function;
  const auto made = v8::FunctionTemplate::New(isolate, callback, v8::External::New(isolate, &environment))
                        ->GetFunction(isolate->GetCurrentContext());
  if (made.ToLocal(&function)) exports.Set(name, as_napi(exports.Env(), function));
}

}  // namespace

void define_calls(Napi::Env, Napi::Object exports, Environment& environment) {
  define(exports, "alloc", alloc, environment);
  define(exports, "free", free, environment);
}

}  // namespace offheap::binding
