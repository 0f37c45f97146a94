#include "binding/heap_object.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "binding/array_buffers.h"
#include "binding/default_heap.h"
#include "binding/environment.h"
#include "binding/snapshot.h"
#include "os/clock.h"

namespace offheap::binding {

namespace {

using heap::Fill;
using heap::Heap;
using heap::Layout;
using heap::PartGuard;
using heap::SharedHeap;

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
  std::size_t integer = 0;
  if (is_positive_integer(number, &integer)) return integer;
  raise_range_error(env, complaint);
  return std::nullopt;
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

// A new heap as `options` want it, with one handle; null, with an exception pending, if there is none.
SharedHeap* create_heap(const Napi::Object& options) {
  const auto limit = read_limit(options);
  if (!limit) return nullptr;
  const auto sizes = read_size_classes(options);
  if (!sizes) return nullptr;
  heap::Options native{.limit = *limit, .keep_addresses = true};
  if (!sizes->empty()) native.size_classes = *sizes;
  const auto created = SharedHeap::create(native);
  if (created.ok()) return created.value();
  Environment::of(options.Env()).raise(options.Env(), created.error());
  return nullptr;
}

// The heap with this number, or the default heap for 0, with one more handle; null, with an exception pending, if there
// is no such heap any more.
SharedHeap* find_heap(Napi::Env env, const Napi::Value& number) {
  double id = 0;
  std::size_t integer = 0;
  napi_get_value_double(env, number, &id);
  if (id == 0) {
    const auto found = default_heap();
    if (found.ok()) return found.value();
    Environment::of(env).raise(env, found.error());
    return nullptr;
  }
  SharedHeap* const found = is_positive_integer(id, &integer) ? SharedHeap::find(integer) : nullptr;
  if (found == nullptr) Environment::of(env).raise(env, heap::Failure{.reason = heap::Refusal::kClosed});
  return found;
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
                         InstanceMethod<&HeapObject::slot>("slot"),
                         InstanceMethod<&HeapObject::id>("id"),
                         InstanceMethod<&HeapObject::is_default>("isDefault"),
                         InstanceMethod<&HeapObject::limit>("limit"),
                         InstanceMethod<&HeapObject::alloc_shared>("allocShared"),
                         InstanceMethod<&HeapObject::refuse>("refuse"),
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
                         InstanceMethod<&HeapObject::closed>("closed"),
                     });
}

HeapObject::HeapObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HeapObject>(info) {
  const Napi::Env env = info.Env();
  const bool by_number = info[0].IsNumber();
  if (!by_number && !info[0].IsObject()) {
    raise_type_error(env, "options must be an object, or the number of a heap");
    return;
  }
  SharedHeap* const heap = by_number ? find_heap(env, info[0]) : create_heap(info[0].As<Napi::Object>());
  if (heap != nullptr) open_ = OpenHeap::open(Environment::of(env), heap);
}

HeapObject::~HeapObject() {
  if (open_ != nullptr) open_->end_use();
}

bool HeapObject::was_made(Napi::Env env) const {
  // An object whose construction failed halfway does not come into anybody's hands, unless the environment was being
  // ended at that moment.
  if (open_ == nullptr) raise_type_error(env, "The heap was not made");
  return open_ != nullptr;
}

Lease* HeapObject::lease_of(Napi::Env env, Napi::Value value) {
  if (!was_made(env)) return nullptr;
  if (!value.IsArrayBuffer()) {
    raise_type_error(env, "buffer must be an ArrayBuffer");
    return nullptr;
  }
  Lease* const lease = array_buffers::lease_of(env, *open_, value);
  if (lease == nullptr) {
    const bool detached = array_buffers::memory_of(env, value).detached;
    Environment::of(env).raise(env,
                               heap::Failure{.reason = detached ? heap::Refusal::kFreed : heap::Refusal::kForeign});
  }
  return lease;
}

// A user's wrong block, for which free() only said no.
void HeapObject::refuse(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return;
  const bool detached = array_buffers::memory_of(info.Env(), info[0]).detached;
  Environment::of(info.Env())
      .raise(info.Env(), heap::Failure{.reason = detached ? heap::Refusal::kFreed : heap::Refusal::kForeign});
}

Napi::Value HeapObject::slot(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), open_->slot());
}

Napi::Value HeapObject::id(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(open_->heap().id()));
}

Napi::Value HeapObject::is_default(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Boolean::New(info.Env(), binding::is_default(open_->heap()));
}

Napi::Value HeapObject::limit(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  const heap::Budget& budget = open_->heap().budget();
  const double limit =
      budget.is_limited() ? static_cast<double>(budget.limit()) : std::numeric_limits<double>::infinity();
  return Napi::Number::New(info.Env(), limit);
}

Napi::Value HeapObject::alloc_shared(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!was_made(env)) return {};
  const auto size = positive_integer(env, info[0], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto align = positive_integer(env, info[1], "align must be a power of two");
  if (!align) return {};
  const auto layout = layout_of(env, *size, *align);
  if (!layout) return {};
  if (!array_buffers::can_share()) {
    Environment::of(env).raise(env, Environment::Complaint::kNoSharing);
    return {};
  }
  const Made made = allocate_shared(env, *open_, *layout);
  raise(env, made);
  return {env, made.buffer};
}

Napi::Value HeapObject::realloc(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Lease* const lease = lease_of(env, info[0]);
  if (lease == nullptr) return {};
  const auto size = positive_integer(env, info[1], "size must be a whole number of bytes, 1 or more");
  if (!size) return {};
  const auto layout = layout_of(env, *size, lease->align());
  if (!layout) return {};
  const Made made = array_buffers::is_at_work_on(info[0]) ? copy(env, info[0], lease, *layout)
                    : *size > lease->size()               ? grow(env, info[0], lease, *layout)
                                                          : shrink(env, info[0], lease, *layout);
  // Only now that everything is done or undone: making an error may run anybody's code.
  raise(env, made);
  return {env, made.buffer};
}

// The new buffer exists, over the same block, before the old one is detached, and everything done to the block until
// then can be undone: a refusal at any step leaves the old buffer, its block and the counts as they were.
Made HeapObject::grow(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  SharedHeap& heap = open_->heap();
  std::byte* const address = lease->address();
  Heap& part = SharedHeap::part_holding(address);
  const auto before = *Layout::of(lease->size(), lease->align());
  const auto in_place = heap.resize_in_place(part, address, before.size(), layout, Fill::kZero);
  if (!in_place.ok()) return {Made::Outcome::kRefused, nullptr, in_place.error()};
  if (!in_place.value()) {
    const auto begun = heap.begin_move(part, address, before.size(), layout);
    if (!begun.ok()) return {Made::Outcome::kRefused, nullptr, begun.error()};
    return move(env, buffer, lease, layout, begun.value());
  }
  const Made made = replace(env, buffer, lease, address, layout);
  if (made.outcome != Made::Outcome::kDone) {
    (void)heap.resize_in_place(part, address, layout.size(), before, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return made;
}

Made HeapObject::shrink(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  SharedHeap& heap = open_->heap();
  if (heap.closed()) return {Made::Outcome::kRefused, nullptr, {.reason = heap::Refusal::kClosed}};
  std::byte* const address = lease->address();
  const std::size_t size = lease->size();
  Heap& part = SharedHeap::part_holding(address);
  const bool would_waste = [&] {
    const PartGuard guard(part);
    return part.would_waste(address, layout);
  }();
  if (would_waste) {
    // No memory for a smaller block is no reason to fail: then the block stays where it is.
    const auto begun = heap.begin_move(part, address, size, layout);
    if (begun.ok()) return move(env, buffer, lease, layout, begun.value());
  }
  const Made made = replace(env, buffer, lease, address, layout);
  if (made.outcome == Made::Outcome::kDone) {
    (void)heap.resize_in_place(part, address, size, layout, Fill::kAnything, Heap::Shrink::kAlways).ok();
  }
  return made;
}

Made HeapObject::move(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout, const Heap::Move& move) {
  Heap& part = SharedHeap::part_holding(move.from);
  const Made moved = replace(env, buffer, lease, move.to.address, layout);
  if (moved.outcome == Made::Outcome::kDone) {
    open_->heap().finish_move(part, move, Fill::kZero);
  } else {
    open_->heap().abandon_move(part, move);
  }
  return moved;
}

// While somebody is at work on the old block nobody else may get any of it: it stays a block until they are done.
Made HeapObject::copy(Napi::Env env, Napi::Value buffer, Lease* lease, Layout layout) {
  const std::byte* const from = lease->address();
  const std::size_t size = lease->size();
  const Made made = allocate(env, *open_, layout, Fill::kZero);
  if (made.outcome != Made::Outcome::kDone) return made;
  const Napi::Value replacement(env, made.buffer);
  std::memcpy(array_buffers::memory_of(env, replacement).address, from, std::min(size, layout.size()));
  if (array_buffers::free(env, *open_, buffer) == array_buffers::Freed::kYes) return made;
  (void)array_buffers::free(env, *open_, replacement);
  return {Made::Outcome::kLocked, nullptr, {}};
}

// A buffer over [address, address + layout.size()) takes the place of `buffer`, whose lease ends; or everything is as
// it was. While the runtime is at work neither lease stands, so whatever it runs meanwhile cannot touch the block.
Made HeapObject::replace(Napi::Env env, Napi::Value buffer, Lease* lease, std::byte* address, Layout layout) {
  const array_buffers::Buffer replacement = array_buffers::create(env, *open_, address, layout);
  if (replacement.failure.asked > 0) return {Made::Outcome::kRefused, nullptr, replacement.failure};
  if (replacement.value == nullptr) return {Made::Outcome::kNoBuffer, nullptr, {}};
  array_buffers::leave(*open_, lease);
  if (array_buffers::detach(env, buffer) == array_buffers::Detached::kLocked) {
    array_buffers::enter(*open_, lease);
    // Nobody has seen this one; if it cannot be detached either, it ends as garbage that owns nothing.
    (void)array_buffers::detach(env, {env, replacement.value});
    return {Made::Outcome::kLocked, nullptr, {}};
  }
  array_buffers::enter(*open_, replacement.lease);
  return {Made::Outcome::kDone, replacement.value, {}};
}

Heap* HeapObject::part_of(const array_buffers::Memory& memory) {
  return memory.bytes > 0 ? open_->heap().part_of(memory.address) : nullptr;
}

Napi::Value HeapObject::owns(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!was_made(env)) return {};
  const bool owned = info[0].IsArrayBuffer() ? array_buffers::lease_of(env, *open_, info[0]) != nullptr
                                             : part_of(array_buffers::memory_of(env, info[0])) != nullptr;
  return Napi::Boolean::New(env, owned);
}

Napi::Value HeapObject::usable_size(const Napi::CallbackInfo& info) {
  const Lease* const lease = lease_of(info.Env(), info[0]);
  if (lease == nullptr) return {};
  Heap& part = SharedHeap::part_holding(lease->address());
  const auto found = [&] {
    const PartGuard guard(part);
    return part.find(lease->address());
  }();
  if (!found.ok()) {
    Environment::of(info.Env()).raise(info.Env(), found.error());
    return {};
  }
  return Napi::Number::New(info.Env(), static_cast<double>(found.value().usable));
}

Napi::Value HeapObject::address_of(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!was_made(env)) return {};
  const std::byte* address = nullptr;
  if (info[0].IsArrayBuffer()) {
    const Lease* const lease = lease_of(env, info[0]);
    if (lease == nullptr) return {};
    address = lease->address();
  } else {
    const array_buffers::Memory memory = array_buffers::memory_of(env, info[0]);
    if (part_of(memory) == nullptr) {
      Environment::of(env).raise(env, heap::Failure{.reason = heap::Refusal::kForeign});
      return {};
    }
    address = memory.address;
  }
  return Napi::BigInt::New(env, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(address)));
}

Napi::Value HeapObject::bytes_in_use(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(open_->heap().bytes_in_use()));
}

Napi::Value HeapObject::blocks_in_use(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Number::New(info.Env(), static_cast<double>(open_->heap().blocks_in_use()));
}

Napi::Value HeapObject::stats(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return {info.Env(), make_statistics(info.Env(), open_->heap())};
}

Napi::Value HeapObject::snapshot(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return {info.Env(), make_snapshot(info.Env(), open_->heap())};
}

Napi::Value HeapObject::trim(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  const std::size_t bytes = open_->heap().trim();
  // The records of buffers are nobody's memory in particular.
  Lease::records().trim();
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

Napi::Value HeapObject::decay(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  const std::uint64_t now = os::monotonic_milliseconds();
  auto left = open_->heap().decay(now);
  // The records are those of all heaps, and every heap's timer comes by here. Whoever really looks at them goes on
  // while it finds something; the others must not, or each of many heaps that are gone would be kept alive by its
  // timer.
  SharedHeap& records = Lease::records();
  if (!records.has_just_decayed(now) && records.decay(now) == SharedHeap::Left::kIdlePages) {
    left = SharedHeap::Left::kIdlePages;
  }
  return Napi::String::New(info.Env(), left == SharedHeap::Left::kIdlePages ? "idle pages"
                                       : left == SharedHeap::Left::kBlocks  ? "blocks"
                                                                            : "nothing");
}

void HeapObject::close(const Napi::CallbackInfo& info) {
  if (was_made(info.Env())) open_->heap().close();
}

Napi::Value HeapObject::closed(const Napi::CallbackInfo& info) {
  if (!was_made(info.Env())) return {};
  return Napi::Boolean::New(info.Env(), open_->heap().closed());
}

}  // namespace offheap::binding
