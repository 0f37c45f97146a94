// Backing stores of V8 over our blocks. V8 holds a backing store by std::shared_ptr, and so does everybody whom it
// lends the memory to: the message that moves a buffer to another thread, every thread that has a SharedArrayBuffer, a
// job that hashes it in the background. We make the reference count ourselves, in the room of the lease, and so we are
// told the moment the last reference is gone, on whatever thread that happens: in the middle of a detach, on V8's
// sweeper, or after our environment has ended. And the backing store is still whole then, so it can be used again.
#if defined(V8_ENABLE_SANDBOX) || defined(V8_COMPRESS_POINTERS)
#error "The V8 variant of offheap needs a V8 without sandbox and pointer cage. Use: node-gyp rebuild --buffers=napi"
#endif

#include <v8.h>

#include <cstring>
#include <memory>
#include <new>
#include <string>

#include "binding/array_buffers.h"
#include "binding/environment.h"
#include "binding/shelf_v8.h"

namespace offheap::binding {

struct BufferState {
  Shelf shelf;
};

namespace {

using heap::SharedHeap;

// What the room of a lease holds.
struct Room {
  // The reference count of the shared_ptr.
  alignas(8) std::array<std::byte, Lease::kRoomBytes - sizeof(void*)> count;
  v8::BackingStore* store;
};
static_assert(sizeof(Room) == Lease::kRoomBytes);

v8::BackingStore*& store_of(Lease* lease) { return reinterpret_cast<Room*>(lease->room())->store; }

// The block that is being freed on this thread, and the part it came from: its lease ends because the user said so.
// Plain data, so that it may be looked at however late a thread ends.
struct BeingFreed {
  const std::byte* block;
  heap::Heap* part;
};
thread_local constinit BeingFreed being_freed{nullptr, nullptr};

void on_last_reference(Lease* lease);

// Puts the reference count into the lease, and tells us when it is done with.
template <typename Type>
class CountInLease {
 public:
  using value_type = Type;

  explicit CountInLease(Lease* lease) : lease_(lease) {}
  template <typename Other>
  CountInLease(const CountInLease<Other>& other) : lease_(other.lease()) {}

  [[nodiscard]] Type* allocate(std::size_t) {
    static_assert(sizeof(Type) <= sizeof(Room::count) && alignof(Type) <= alignof(Room));
    return reinterpret_cast<Type*>(reinterpret_cast<Room*>(lease_->room())->count.data());
  }
  void deallocate(Type*, std::size_t) { on_last_reference(lease_); }

  [[nodiscard]] Lease* lease() const { return lease_; }
  template <typename Other>
  bool operator==(const CountInLease<Other>& other) const {
    return lease_ == other.lease();
  }

 private:
  Lease* lease_;
};

// In the place of the function that would destroy the backing store: by its type a shared_ptr is known to be ours,
// whoever made it, since it is not the same type in another copy of this library. Empty, so that the reference count of
// every standard library has room in the lease, in which it therefore lies.
struct Ours {
  [[nodiscard]] Lease* lease() const {
    return reinterpret_cast<Lease*>(reinterpret_cast<std::uintptr_t>(this) & ~std::uintptr_t{Lease::kBytes - 1});
  }
  void operator()(v8::BackingStore*) const {}
};

// The same for shared buffers: the block goes back with the last reference, also if Atomics.waitAsync() holds on to the
// count, and with it to the lease, for as long as its isolate lives.
struct OursAndShared : Ours {
  void operator()(v8::BackingStore*) const {
    std::byte* const address = lease()->address();
    const std::size_t size = lease()->size();
    lease()->set_stands(false);
    SharedHeap::free(SharedHeap::part_holding(address), address, size, SharedHeap::Cause::kReclaimed);
  }
};

template <typename End>
std::shared_ptr<v8::BackingStore> refer_to(Lease* lease, End end) {
  return {store_of(lease), end, CountInLease<std::byte>(lease)};
}

void delete_store(Lease* lease) {
  delete store_of(lease);
  store_of(lease) = nullptr;
}

bool shelve(heap::Heap& part, Lease* lease, std::size_t size) {
  SharedHeap& heap = *part.shared();
  {
    const heap::PartGuard guard(part);
    auto* const shelf = static_cast<Shelf*>(part.part().shelf);
    if (shelf == nullptr || heap.closed() || !shelf->put(lease, size)) return false;
    part.shelve(size);
  }
  heap.budget().give(size);
  return true;
}

void on_last_reference(Lease* lease) {
  if (!lease->stands()) {
    delete_store(lease);
    Lease::drop(lease);
    return;
  }
  std::byte* const address = lease->address();
  const std::size_t size = lease->size();
  const bool asked = being_freed.block == address;
  heap::Heap& part = asked ? *being_freed.part : SharedHeap::part_holding(address);
  if (asked) being_freed.block = nullptr;
  lease->set_stands(false);
  if (asked && part.owner().is_this_thread() && shelve(part, lease, size)) return;
  delete_store(lease);
  Lease::drop(lease);
  SharedHeap::free(part, address, size, asked ? SharedHeap::Cause::kFreed : SharedHeap::Cause::kReclaimed);
}

// Called by whoever holds the part's lock.
void empty_shelf(void* shelf) {
  static_cast<Shelf*>(shelf)->empty([](Lease* lease) {
    std::byte* const address = lease->address();
    const std::size_t size = lease->size();
    delete_store(lease);
    Lease::drop(lease);
    SharedHeap::part_holding(address).free_shelved(address, size);
  });
}

// The block is given back with the lease, not by the backing store.
void keep_block(void*, std::size_t, void*) {}

v8::Local<v8::Value> local(napi_value value) {
  // What node-addon-api hands us is V8's own handle; Node's js_native_api_v8.h relies on the same.
  static_assert(sizeof(v8::Local<v8::Value>) == sizeof(napi_value));
  v8::Local<v8::Value> handle;
  std::memcpy(static_cast<void*>(&handle), &value, sizeof value);
  return handle;
}

napi_value as_napi(v8::Local<v8::Value> handle) {
  napi_value value = nullptr;
  std::memcpy(&value, static_cast<void*>(&handle), sizeof value);
  return value;
}

heap::Result<Lease*> make_lease(Napi::Env env, std::byte* address, heap::Layout layout) {
  const auto part = Environment::of(env).lease_part();
  if (!part.ok()) return part.error();
  return Lease::make(*part.value(), address, layout);
}

}  // namespace

namespace array_buffers {

const char* name() { return "v8"; }

// Node looks at the ABI of addons that register with it by version, which those on Node-API do not.
bool fits(Napi::Env env) {
  const Napi::Value process = env.Global().Get("process");
  const Napi::Value versions = process.IsObject() ? process.As<Napi::Object>().Get("versions") : Napi::Value();
  const auto version = [&](const char* key) {
    const Napi::Value value = versions.IsObject() ? versions.As<Napi::Object>().Get(key) : Napi::Value();
    return value.IsString() ? value.As<Napi::String>().Utf8Value() : std::string();
  };
  const std::string wanted = std::to_string(OFFHEAP_MODULE_VERSION);
  const bool is_node = version("bun").empty() && version("deno").empty() && version("electron").empty();
  if (is_node && version("modules") == wanted) return true;
  const std::string words = "offheap.abi" + wanted + ".node runs in Node with module ABI " + wanted +
                            " only. This runtime's is " + version("modules") + (is_node ? "" : ", and it is not Node");
  Napi::Error::New(env, words).ThrowAsJavaScriptException();
  return false;
}

BufferState* make_state() { return new BufferState; }
void delete_state(BufferState* state) { delete state; }

void connect(BufferState* state, heap::Heap& part) {
  // The part is in the list already: others may come to empty the shelf.
  const heap::PartGuard guard(part);
  part.part().shelf = &state->shelf;
  part.part().empty_shelf = empty_shelf;
}

Buffer create(Napi::Env env, OpenHeap&, std::byte* address, heap::Layout layout) {
  const auto made = make_lease(env, address, layout);
  if (!made.ok()) return {.failure = made.error()};
  Lease* const lease = made.value();
  store_of(lease) = v8::ArrayBuffer::NewBackingStore(address, layout.size(), keep_block, nullptr).release();
  return {as_napi(v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), refer_to(lease, Ours{}))), lease, {}};
}

void raise_refusal(Napi::Env) {}

bool can_share() { return true; }

Buffer create_shared(Napi::Env env, OpenHeap&, std::byte* address, heap::Layout layout) {
  const auto made = make_lease(env, address, layout);
  if (!made.ok()) return {.failure = made.error()};
  Lease* const lease = made.value();
  store_of(lease) = v8::SharedArrayBuffer::NewBackingStore(address, layout.size(), keep_block, nullptr).release();
  lease->set_stands(true);
  return {as_napi(v8::SharedArrayBuffer::New(v8::Isolate::GetCurrent(), refer_to(lease, OursAndShared{}))), lease, {}};
}

napi_value recycle(Napi::Env, OpenHeap& open, heap::Layout layout, heap::Fill fill) {
  heap::Heap* const part = open.attached_part();
  const std::size_t size = layout.size();
  if (part == nullptr || size > Shelf::kMostBlockBytes || !open.heap().budget().take(size)) return nullptr;
  Lease* lease = nullptr;
  {
    const heap::PartGuard guard(*part);
    lease = open.buffers()->shelf.take(layout);
    if (lease != nullptr) open.heap().unshelve(*part, size);
  }
  if (lease == nullptr) {
    open.heap().budget().give(size);
    return nullptr;
  }
  if (fill == heap::Fill::kZero) std::memset(lease->address(), 0, size);
  lease->reset(lease->address(), layout);
  lease->set_stands(true);
  return as_napi(v8::ArrayBuffer::New(v8::Isolate::GetCurrent(), refer_to(lease, Ours{})));
}

Lease* lease_of(Napi::Env env, OpenHeap& open, Napi::Value buffer) {
  const Memory memory = memory_of(env, buffer);
  if (memory.bytes == 0 || !open.heap().holds(memory.address)) return nullptr;
  // What lies in our pages is ours, unless somebody made a buffer over the address of a block, past us.
  const std::shared_ptr<v8::BackingStore> store = local(buffer).As<v8::ArrayBuffer>()->GetBackingStore();
  const Ours* const ours = std::get_deleter<Ours>(store);
  return ours != nullptr && ours->lease()->stands() ? ours->lease() : nullptr;
}

void enter(OpenHeap&, Lease* lease) { lease->set_stands(true); }
void leave(OpenHeap&, Lease* lease) { lease->set_stands(false); }

bool is_at_work_on(Napi::Value buffer) {
  // One reference is the buffer's, one is ours.
  return local(buffer).As<v8::ArrayBuffer>()->GetBackingStore().use_count() > 2;
}

Detached detach(Napi::Env, Napi::Value buffer) {
  const auto array_buffer = local(buffer).As<v8::ArrayBuffer>();
  // V8 ends the process if asked to detach a buffer that cannot be at all, as one that asm.js has linked.
  if (!array_buffer->IsDetachable()) return Detached::kLocked;
#if V8_MAJOR_VERSION >= 13
  // From Node 24 on V8 throws a TypeError for a buffer that was marked as untransferable.
  const v8::TryCatch refusal(v8::Isolate::GetCurrent());
#endif
  const auto detached = array_buffer->Detach(v8::Local<v8::Value>());
  return detached.IsJust() && detached.FromJust() ? Detached::kYes : Detached::kLocked;
}

// Does not look for the lease, which would cost a reference: it ends by itself. Nor for the block: a buffer that has
// bytes in a heap's pages is over a live block, but for one that somebody made past us, which is then detached in vain.
Freed free(Napi::Env env, OpenHeap& open, Napi::Value buffer) {
  const auto array_buffer = local(buffer).As<v8::ArrayBuffer>();
  const std::size_t size = array_buffer->ByteLength();
  if (size == 0) return Freed::kNoBlock;
  const auto* const address = static_cast<const std::byte*>(array_buffer->Data());
  heap::Heap* const part = open.heap().part_around(address);
  if (part == nullptr) return Freed::kNoBlock;
  being_freed = {address, part};
  const Detached detached = detach(env, buffer);
  const bool is_back = being_freed.block == nullptr;
  being_freed.block = nullptr;
  if (detached == Detached::kLocked) return Freed::kLocked;
  // Somebody is still at work on the memory; the block comes back when they are done, on whatever thread.
  if (!is_back) open.heap().expect_late(size);
  return Freed::kYes;
}

Memory memory_of(Napi::Env, Napi::Value napi_value) {
  const v8::Local<v8::Value> value = local(napi_value);
  if (value->IsArrayBuffer()) {
    const auto buffer = value.As<v8::ArrayBuffer>();
    const std::size_t bytes = buffer->ByteLength();
    return {static_cast<std::byte*>(buffer->Data()), bytes, bytes == 0 && buffer->WasDetached()};
  }
  if (value->IsSharedArrayBuffer()) {
    const auto buffer = value.As<v8::SharedArrayBuffer>();
    return {static_cast<std::byte*>(buffer->Data()), buffer->ByteLength(), false};
  }
  return {};
}

}  // namespace array_buffers

}  // namespace offheap::binding
