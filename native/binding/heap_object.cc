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
std::optional<std::size_t> positive_integer(const Napi::Value& value, const char* complaint) {
  double number = 0;
  if (!value.IsNumber() || napi_get_value_double(value.Env(), value, &number) != napi_ok) {
    raise_type_error(value.Env(), complaint);
    return std::nullopt;
  }
  constexpr double kMostExact = 9007199254740992.0;
  if (!(number >= 1 && number <= kMostExact) || number != std::floor(number)) {
    raise_range_error(value.Env(), complaint);
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
    const auto size = positive_integer(element, "a bucket must be a whole number of bytes");
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
  heap::Options native{.limit = *limit};
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

Lease* HeapObject::lease_of(Napi::Env env, Napi::Value value) {
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
  const auto size = positive_integer(info[0], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto align = positive_integer(info[1], "align must be a power of two");
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
  auto* const lease = new Lease{leased_, block.value().address, *size, *align};
  leased_->enter(lease);
  return array_buffers::create(env, lease);
}

void HeapObject::free(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Lease* const lease = lease_of(env, info[0]);
  if (lease == nullptr) return;
  if (array_buffers::detach(env, info[0]) == array_buffers::Detached::kLocked) {
    Environment::of(env).raise(env, Environment::Complaint::kLocked);
    return;
  }
  // The lease still stands: nothing but this call ends one, apart from finalizers, which run at another turn.
  leased_->give_back(lease);
}

Napi::Value HeapObject::realloc(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Lease* const lease = lease_of(env, info[0]);
  if (lease == nullptr) return {};
  const auto size = positive_integer(info[1], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto layout = layout_of(env, *size, lease->align);
  if (!layout) return {};
  return *size > lease->size ? grow(env, info[0], lease, *layout) : shrink(env, info[0], lease, *layout);
}

// The new buffer exists, over the same block, before the old one is detached, and everything done to the block until
// then can be undone: a refusal at any step leaves the old buffer, its block and the counts as they were.
Napi::Value HeapObject::grow(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  Heap& heap = leased_->heap();
  const auto resized = heap.resize_in_place(lease->address, lease->size, layout, Fill::kZero);
  if (!resized.ok()) {
    Environment::of(env).raise(env, resized.error());
    return {};
  }
  if (!resized.value()) {
    const auto begun = heap.begin_move(lease->address, lease->size, layout);
    if (!begun.ok()) {
      Environment::of(env).raise(env, begun.error());
      return {};
    }
    return move(env, buffer, lease, layout, begun.value());
  }
  const Napi::Value resized_buffer = replace(env, buffer, lease, lease->address, layout);
  if (resized_buffer.IsEmpty()) {
    const auto before = *Layout::of(lease->size, lease->align);
    (void)heap.resize_in_place(lease->address, layout.size(), before, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return resized_buffer;
}

Napi::Value HeapObject::shrink(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  Heap& heap = leased_->heap();
  if (heap.closed()) {
    Environment::of(env).raise(env, heap::Failure{.reason = heap::Refusal::kClosed});
    return {};
  }
  if (heap.would_waste(lease->address, layout)) {
    // No memory for a smaller block is no reason to fail: then the block stays where it is.
    const auto begun = heap.begin_move(lease->address, lease->size, layout);
    if (begun.ok()) return move(env, buffer, lease, layout, begun.value());
  }
  std::byte* const address = lease->address;
  const std::size_t size = lease->size;
  const Napi::Value shrunk = replace(env, buffer, lease, address, layout);
  if (!shrunk.IsEmpty()) {
    (void)heap.resize_in_place(address, size, layout, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return shrunk;
}

Napi::Value HeapObject::move(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout, const Heap::Move& move) {
  const Napi::Value moved = replace(env, buffer, lease, move.to.address, layout);
  if (moved.IsEmpty()) {
    leased_->heap().abandon_move(move);
  } else {
    leased_->heap().finish_move(move, Fill::kZero);
  }
  return moved;
}

// A buffer over [address, address + layout.size()) takes the place of `buffer`, whose lease ends. Empty, with an
// exception pending and everything as it was, if there can be no new buffer or the old one is locked.
Napi::Value HeapObject::replace(Napi::Env env, Napi::Value buffer, Lease* lease, std::byte* address, Layout layout) {
  // It does not stand yet: should its buffer come to nothing, its finalizer must not give the block back.
  auto* const successor = new Lease{nullptr, address, layout.size(), layout.align()};
  const Napi::Value replacement = array_buffers::create(env, successor);
  if (replacement.IsEmpty()) return {};
  if (array_buffers::detach(env, buffer) == array_buffers::Detached::kLocked) {
    // A buffer made a moment ago is nobody's to lock.
    (void)array_buffers::detach(env, replacement);
    Environment::of(env).raise(env, Environment::Complaint::kLocked);
    return {};
  }
  leased_->end(lease);
  successor->heap = leased_;
  leased_->enter(successor);
  return replacement;
}

Napi::Value HeapObject::owns(const Napi::CallbackInfo& info) {
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
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().bytes_in_use()));
}

Napi::Value HeapObject::blocks_in_use(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().blocks_in_use()));
}

Napi::Value HeapObject::stats(const Napi::CallbackInfo& info) { return make_statistics(info.Env(), *leased_); }

Napi::Value HeapObject::snapshot(const Napi::CallbackInfo& info) { return make_snapshot(info.Env(), *leased_); }

Napi::Value HeapObject::trim(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(leased_->heap().trim()));
}

Napi::Value HeapObject::decay(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), leased_->heap().decay(os::monotonic_milliseconds()));
}

void HeapObject::close(const Napi::CallbackInfo&) { leased_->heap().close(); }

}  // namespace offheap::binding
