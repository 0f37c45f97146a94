#include <optional>

#include "binding/calls.h"
#include "binding/environment.h"

namespace offheap::binding {

namespace {

std::optional<std::uint32_t> small_integer(napi_env env, napi_value value) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number < 4294967296.0)) {
    return std::nullopt;
  }
  const auto integer = static_cast<std::uint32_t>(number);
  return static_cast<double>(integer) == number ? std::optional(integer) : std::nullopt;
}

napi_value refuse_arguments(Napi::Env env) {
  Napi::TypeError::New(env, "wrong arguments").ThrowAsJavaScriptException();
  return nullptr;
}

Napi::Value alloc(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto number = small_integer(env, info[0]);
  double wanted = 0;
  std::size_t size = 0;
  if (!number || napi_get_value_double(env, info[1], &wanted) != napi_ok || !is_positive_integer(wanted, &size)) {
    return {env, refuse_arguments(env)};
  }
  const Terms terms = Terms::of(*number);
  OpenHeap* const open = Environment::of(env).at(terms.slot);
  const auto layout = heap::Layout::of(size, std::size_t{1} << terms.align_shift);
  if (open == nullptr || !layout) return {env, refuse_arguments(env)};
  const Made made = allocate(env, *open, *layout, terms.fill);
  raise(env, made);
  return {env, made.buffer};
}

// The buffer under a view, without asking any property of it.
Napi::Value buffer_under(Napi::Env env, Napi::Value value) {
  napi_value buffer = nullptr;
  if (value.IsTypedArray()) {
    napi_get_typedarray_info(env, value, nullptr, nullptr, nullptr, &buffer, nullptr);
  } else if (value.IsDataView()) {
    napi_get_dataview_info(env, value, nullptr, nullptr, &buffer, nullptr);
  } else {
    return value;
  }
  return {env, buffer};
}

Napi::Value free(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto slot = small_integer(env, info[0]);
  OpenHeap* const open = slot ? Environment::of(env).at(*slot) : nullptr;
  if (open == nullptr) return {env, refuse_arguments(env)};
  const Napi::Value buffer = buffer_under(env, info[1]);
  if (buffer.IsEmpty() || !buffer.IsArrayBuffer()) return Napi::Boolean::New(env, false);
  const auto freed = array_buffers::free(env, *open, buffer);
  if (freed == array_buffers::Freed::kLocked) {
    Environment::of(env).raise(env, Environment::Complaint::kLocked);
    return {};
  }
  return Napi::Boolean::New(env, freed == array_buffers::Freed::kYes);
}

}  // namespace

void define_calls(Napi::Env env, Napi::Object exports, Environment&) {
  exports.Set("alloc", Napi::Function::New<alloc>(env, "alloc"));
  exports.Set("free", Napi::Function::New<free>(env, "free"));
}

}  // namespace offheap::binding
