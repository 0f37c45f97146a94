#include "binding/heap_object.h"

#include <cmath>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "binding/array_buffers.h"
#include "binding/environment.h"
#include "binding/snapshot.h"
#include "os/clock.h"

namespace offheap::binding {

namespace {

using heap::Fill;
using heap::Heap;
using heap::Layout;

void raise_range_error(Napi::Env env, const char* message) {
  Napi::RangeError::New(env, message).ThrowAsJavaScriptException();
}

void raise_type_error(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

// A whole number from 1 to 2^53; otherwise nothing, with an exception pending.
std::optional<std::size_t> positive_integer(Napi::Env env, napi_value value, const char* complaint) {
  double number = 0;
  // Null where a getter could not be called any more; then no number is found either.
  if (value == nullptr || napi_get_value_double(env, value, &number) != napi_ok) {
    raise_type_error(env, complaint);
    return std::nullopt;
  }
  constexpr double kMostExact = 9007199254740992.0;
  if (!(number >= 1 && number <= kMostExact) || number != std::floor(number)) {
    raise_range_error(env, complaint);
    return std::nullopt;
  }
  return static_cast<std::size_t>(number);
}

std::optional<std::size_t> read_limit(const Napi::Object& options) {
  const Napi::Value value = options.Get("limit");
  if (options.Env().IsExceptionPending()) return std::nullopt;
  if (!value.IsNumber()) {
    raise_type_error(options.Env(), "limit must be a number");
    return std::nullopt;
  }
  const double limit = value.As<Napi::Number>().DoubleValue();
  if (!(limit >= 0)) {
    raise_range_error(options.Env(), "limit must be 0 or more");
    return std::nullopt;
  }
  constexpr double kMostExact = 9007199254740992.0;
  return limit > kMostExact ? heap::Limit::kNone : static_cast<std::size_t>(limit);
}

// Empty for the built-in classes; nothing, with an exception pending, for what cannot be classes.
std::optional<std::vector<std::uint32_t>> read_size_classes(const Napi::Object& options) {
  const Napi::Env env = options.Env();
  std::vector<std::uint32_t> sizes;
  const Napi::Value value = options.Get("buckets");
  if (env.IsExceptionPending()) return std::nullopt;
  if (value.IsUndefined()) return sizes;
  if (!value.IsArray()) {
    raise_type_error(env, "buckets must be an array");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Array>();
  const std::uint32_t length = array.Length();
  for (std::uint32_t index = 0; index < length && index <= heap::kMaxClasses; ++index) {
    const Napi::Value element = array.Get(index);
    if (env.IsExceptionPending()) return std::nullopt;
    const auto size = positive_integer(env, element, "a bucket must be a whole number of bytes");
    if (!size) return std::nullopt;
    sizes.push_back(*size > heap::kMaxClassBytes ? 0 : static_cast<std::uint32_t>(*size));
  }
  if (!heap::SizeClasses::valid(sizes)) {
    raise_range_error(env, "buckets must ascend, from 1 byte up to maxBucketSize");
    return std::nullopt;
  }
  return sizes;
}

std::optional<Layout> layout_of(Napi::Env env, std::size_t size, std::size_t align) {
  const auto layout = Layout::of(size, align);
  if (!layout) raise_range_error(env, "size or align is out of range");
  return layout;
}

}  // namespace

Napi::Function HeapObject::define(Napi::Env env) {
  return DefineClass(env, "NativeHeap",
                     {
                         InstanceMethod<&HeapObject::alloc>("alloc"),
                         InstanceMethod<&HeapObject::free>("free"),
                         InstanceMethod<&HeapObject::realloc>("realloc"),
                         InstanceMethod<&HeapObject::owns>("owns"),
                         InstanceMethod<&HeapObject::usable_size>("usableSize"),
                         InstanceMethod<&HeapObject::address_of>("addressOf"),
                         InstanceMethod<&HeapObject::bytes_in_use>("bytesInUse"),
                         InstanceMethod<&HeapObject::blocks_in_use>("blocksInUse"),
                         InstanceMethod<&HeapObject::stats>("stats"),
                         InstanceMethod<&HeapObject::snapshot>("snapshot"),
                         InstanceMethod<&HeapObject::trim>("trim"),
                         InstanceMethod<&HeapObject::decay>("decay"),
                         InstanceMethod<&HeapObject::close>("close"),
                     });
}

HeapObject::HeapObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HeapObject>(info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    raise_type_error(env, "options must be an object");
    return;
  }
  const auto options = info[0].As<Napi::Object>();
  const auto limit = read_limit(options);
  if (!limit) return;
  const auto sizes = read_size_classes(options);
  if (!sizes) return;
  heap::Options native{.limit = *limit, .keep_addresses = true};
  if (!sizes->empty()) native.size_classes = *sizes;
  const auto created = Heap::create(native);
  if (!created.ok()) {
    Environment::of(env).raise(env, created.error());
    return;
  }
  leased_ = new LeasedHeap(created.value());
}

HeapObject::~HeapObject() {
  if (leased_ != nullptr) leased_->abandon();
}

bool HeapObject::was_made(Napi::Env env) const {
  // An object whose construction failed halfway does not come into anybody's hands, unless the environment was being
  // ended at that moment.
  if (leased_ == nullptr) raise_type_error(env, "The heap was not made");
  return leased_ != nullptr;
}

Lease* HeapObject::lease_of(Napi::Env env, Napi::Value value) {
  if (!was_made(env)) return nullptr;
  if (!value.IsArrayBuffer()) {
    raise_type_error(env, "buffer must be an ArrayBuffer");
    return nullptr;
  }
  const array_buffers::Memory memory = array_buffers::memory_of(env, value);
  if (memory.bytes > 0) {
    Lease* const lease = leased_->find(memory.address);
    // Same start, same length: the block itself, in the hands of whoever holds its buffer now.
    if (lease != nullptr && lease->size == memory.bytes) return lease;
  }
  Environment::of(env).raise(
      env, heap::Failure{.reason = memory.detached ? heap::Refusal::kFreed : heap::Refusal::kForeign});
  return nullptr;
}

Napi::Value HeapObject::alloc(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!was_made(env)) return {};
  const auto size = positive_integer(env, info[0], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto align = positive_integer(env, info[1], "align must be a power of two");
  if (!align) return {};
  const auto layout = layout_of(env, *size, *align);
  if (!layout) return {};
  bool zeroed = true;
  if (napi_get_value_bool(env, info[2], &zeroed) != napi_ok) {
    raise_type_error(env, "zeroed must be a boolean");
    return {};
  }
  const auto block = leased_->heap().allocate(*layout, zeroed ? Fill::kZero : Fill::kAnything);
  if (!block.ok()) {
    Environment::of(env).raise(env, block.error());
    return {};
  }
  std::byte* const address = block.value().address;
  auto* const lease = new Lease{nullptr, address, *size, *align};
  const napi_value buffer = array_buffers::create(env, lease);
  if (buffer == nullptr) {
    leased_->give_back(address, *size);
    array_buffers::raise_refusal(env);
    return {};
  }
  leased_->enter(lease);
  return {env, buffer};
}

void HeapObject::free(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Lease* const lease = lease_of(env, info[0]);
  if (lease == nullptr) return;
  std::byte* const address = lease->address;
  const std::size_t size = lease->size;
  leased_->leave(lease);
  if (array_buffers::detach(env, info[0]) == array_buffers::Detached::kLocked) {
    leased_->enter(lease);
    Environment::of(env).raise(env, Environment::Complaint::kLocked);
    return;
  }
  leased_->give_back(address, size);
}

Napi::Value HeapObject::realloc(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Lease* const lease = lease_of(env, info[0]);
  if (lease == nullptr) return {};
  const auto size = positive_integer(env, info[1], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto layout = layout_of(env, *size, lease->align);
  if (!layout) return {};
  const Resized resized =
      *size > lease->size ? grow(env, info[0], lease, *layout) : shrink(env, info[0], lease, *layout);
  // Only now that everything is done or undone: making an error may run anybody's code.
  switch (resized.outcome) {
    case Outcome::kDone:
      break;
    case Outcome::kRefused:
      Environment::of(env).raise(env, resized.failure);
      break;
    case Outcome::kLocked:
      Environment::of(env).raise(env, Environment::Complaint::kLocked);
      break;
    case Outcome::kNoBuffer:
      array_buffers::raise_refusal(env);
      break;
  }
  return {env, resized.buffer};
}

// The new buffer exists, over the same block, before the old one is detached, and everything done to the block until
// then can be undone: a refusal at any step leaves the old buffer, its block and the counts as they were.
HeapObject::Resized HeapObject::grow(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  Heap& heap = leased_->heap();
  std::byte* const address = lease->address;
  const auto before = *Layout::of(lease->size, lease->align);
  const auto in_place = heap.resize_in_place(address, before.size(), layout, Fill::kZero);
  if (!in_place.ok()) return {Outcome::kRefused, nullptr, in_place.error()};
  if (!in_place.value()) {
    const auto begun = heap.begin_move(address, before.size(), layout);
    if (!begun.ok()) return {Outcome::kRefused, nullptr, begun.error()};
    return move(env, buffer, lease, layout, begun.value());
  }
  const Resized resized = replace(env, buffer, lease, address, layout);
  if (resized.outcome != Outcome::kDone) {
    (void)heap.resize_in_place(address, layout.size(), before, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return resized;
}

HeapObject::Resized HeapObject::shrink(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  Heap& heap = leased_->heap();
  if (heap.closed()) return {Outcome::kRefused, nullptr, {.reason = heap::Refusal::kClosed}};
  std::byte* const address = lease->address;
  const std::size_t size = lease->size;
  if (heap.would_waste(address, layout)) {
    // No memory for a smaller block is no reason to fail: then the block stays where it is.
    const auto begun = heap.begin_move(address, size, layout);
    if (begun.ok()) return move(env, buffer, lease, layout, begun.value());
  }
  const Resized resized = replace(env, buffer, lease, address, layout);
  if (resized.outcome == Outcome::kDone) {
    (void)heap.resize_in_place(address, size, layout, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return resized;
}

HeapObject::Resized HeapObject::move(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout,
                                     const Heap::Move& move) {
  const Resized moved = replace(env, buffer, lease, move.to.address, layout);
  if (moved.outcome == Outcome::kDone) {
    leased_->heap().finish_move(move, Fill::kZero);
  } else {
    leased_->heap().abandon_move(move);
  }
  return moved;
}

// A buffer over [address, address + layout.size()) takes the place of `buffer`, whose lease ends; or everything is as
// it was. While the runtime is at work neither lease stands, so whatever it runs meanwhile cannot touch the block.
HeapObject::Resized HeapObject::replace(Napi::Env env, Napi::Value buffer, Lease* lease, std::byte* address,
                                        Layout layout) {
  auto* const successor = new Lease{nullptr, address, layout.size(), layout.align()};
  const napi_value replacement = array_buffers::create(env, successor);
  if (replacement == nullptr) return {Outcome::kNoBuffer, nullptr, {}};
  leased_->leave(lease);
  if (array_buffers::detach(env, buffer) == array_buffers::Detached::kLocked) {
    leased_->enter(lease);
    // Nobody has seen this one; if it cannot be detached either, it ends as garbage that owns nothing.
    (void)array_buffers::detach(env, {env, replacement});
    return {Outcome::kLocked, nullptr, {}};
  }
  leased_->enter(successor);
  return {Outcome::kDone, replacement, {}};
}

Napi::Value HeapObject::owns(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  const array_buffers::Memory memory = array_buffers::memory_of(info.Env(), info[0]);
  const Lease* const lease = memory.bytes > 0 ? leased_->find(memory.address) : nullptr;
  return Napi::Boolean::New(info.Env(), lease != nullptr && lease->size == memory.bytes);
}

Napi::Value HeapObject::usable_size(const Napi::CallbackInfo& info) {
  const Lease* const lease = lease_of(info.Env(), info[0]);
  if (lease == nullptr) return {};
  const auto found = leased_->heap().find(lease->address);
  if (!found.ok()) {
    Environment::of(info.Env()).raise(info.Env(), found.error());
    return {};
  }
  return Napi::Number::New(info.Env(), static_cast<double>(found.value().usable));
}

Napi::Value HeapObject::address_of(const Napi::CallbackInfo& info) {
  const Lease* const lease = lease_of(info.Env(), info[0]);
  if (lease == nullptr) return {};
  return Napi::BigInt::New(info.Env(), static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(lease->address)));
}

Napi::Value HeapObject::bytes_in_use(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().bytes_in_use()));
}

Napi::Value HeapObject::blocks_in_use(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().blocks_in_use()));
}

Napi::Value HeapObject::stats(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return {info.Env(), make_statistics(info.Env(), *leased_)};
}

Napi::Value HeapObject::snapshot(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return {info.Env(), make_snapshot(info.Env(), *leased_)};
}

Napi::Value HeapObject::trim(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().trim()));
}

Napi::Value HeapObject::decay(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Boolean::New(info.Env(), leased_->heap().decay(os::monotonic_milliseconds()));
}

void HeapObject::close(const Napi::CallbackInfo& info) {
  if (was_made(info.Env())) leased_->heap().close();
}

}  // namespace offheap::binding
