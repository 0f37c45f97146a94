#include "binding/calls.h"

#include "binding/environment.h"

namespace offheap::binding {

using heap::Fill;
using heap::Layout;
using heap::SharedHeap;

namespace {

Made refused(const heap::Failure& failure) { return {Made::Outcome::kRefused, nullptr, failure}; }

template <typename Create>
Made allocate_with(OpenHeap& open, Layout layout, Fill fill, Create create) {
  const auto part = open.part();
  if (!part.ok()) return refused(open.heap().refused(part.error()));
  const auto block = open.heap().allocate(*part.value(), layout, fill);
  if (!block.ok()) return refused(block.error());
  const array_buffers::Buffer buffer = create(block.value().address);
  if (buffer.value != nullptr) return {Made::Outcome::kDone, buffer.value, {}};
  SharedHeap::free(*part.value(), block.value().address, layout.size());
  if (buffer.failure.asked > 0) return refused(buffer.failure);
  return {Made::Outcome::kNoBuffer, nullptr, {}};
}

}  // namespace

Made allocate(Napi::Env env, OpenHeap& open, Layout layout, Fill fill) {
  if (const napi_value again = array_buffers::recycle(env, open, layout, fill); again != nullptr) {
    return {Made::Outcome::kDone, again, {}};
  }
  return allocate_with(open, layout, fill, [&](std::byte* address) {
    const array_buffers::Buffer buffer = array_buffers::create(env, open, address, layout);
    if (buffer.value != nullptr) array_buffers::enter(open, buffer.lease);
    return buffer;
  });
}

Made allocate_shared(Napi::Env env, OpenHeap& open, Layout layout) {
  return allocate_with(open, layout, Fill::kZero,
                       [&](std::byte* address) { return array_buffers::create_shared(env, open, address, layout); });
}

void raise(Napi::Env env, const Made& made) {
  switch (made.outcome) {
    case Made::Outcome::kDone:
      break;
    case Made::Outcome::kRefused:
      Environment::of(env).raise(env, made.failure);
      break;
    case Made::Outcome::kLocked:
      Environment::of(env).raise(env, Environment::Complaint::kLocked);
      break;
    case Made::Outcome::kNoBuffer:
      array_buffers::raise_refusal(env);
      break;
  }
}

}  // namespace offheap::binding
