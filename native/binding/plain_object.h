// JavaScript objects made without running anybody's code: properties are defined, not set, so that a setter on
// Object.prototype or Array.prototype is never called. An environment that is being ended makes any of these calls
// fail; then the object comes out empty, and nobody is left to look at it.
#ifndef OFFHEAP_BINDING_PLAIN_OBJECT_H_
#define OFFHEAP_BINDING_PLAIN_OBJECT_H_

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace offheap::binding {

// Collects properties, then makes the object. Used within one call, on the environment's thread.
class PlainObject {
 public:
  explicit PlainObject(Napi::Env env) : env_(env) {}

  // `name` outlives the call.
  PlainObject& with(const char* name, napi_value value) {
    if (value != nullptr) {
      properties_.push_back({name, nullptr, nullptr, nullptr, nullptr, value, napi_default_jsproperty, nullptr});
    }
    return *this;
  }
  PlainObject& with(const char* name, const char* text) {
    napi_value value = nullptr;
    napi_create_string_utf8(env_, text, NAPI_AUTO_LENGTH, &value);
    return with(name, value);
  }
  PlainObject& with_number(const char* name, std::uint64_t number) {
    napi_value value = nullptr;
    napi_create_double(env_, static_cast<double>(number), &value);
    return with(name, value);
  }
  PlainObject& with_address(const char* name, const void* address) {
    napi_value value = nullptr;
    napi_create_bigint_uint64(env_, reinterpret_cast<std::uintptr_t>(address), &value);
    return with(name, value);
  }

  // Null if the environment is being ended.
  [[nodiscard]] napi_value make() const {
    napi_value object = nullptr;
    if (napi_create_object(env_, &object) != napi_ok) return nullptr;
    return napi_define_properties(env_, object, properties_.size(), properties_.data()) == napi_ok ? object : nullptr;
  }

 private:
  Napi::Env env_;
  std::vector<napi_property_descriptor> properties_;
};

// An array whose elements come from make(index). Null if the environment is being ended.
template <typename Make>
[[nodiscard]] napi_value make_array(Napi::Env env, std::size_t length, Make make) {
  napi_value array = nullptr;
  if (napi_create_array_with_length(env, length, &array) != napi_ok) return nullptr;
  for (std::size_t index = 0; index < length; ++index) {
    const Napi::HandleScope scope(env);
    const napi_value element = make(index);
    if (element == nullptr) return nullptr;
    const std::string name = std::to_string(index);
    const napi_property_descriptor property{
        name.c_str(), nullptr, nullptr, nullptr, nullptr, element, napi_default_jsproperty, nullptr};
    if (napi_define_properties(env, array, 1, &property) != napi_ok) return nullptr;
  }
  return array;
}

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_PLAIN_OBJECT_H_
