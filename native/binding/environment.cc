#include "binding/environment.h"

#include "binding/plain_object.h"

namespace offheap::binding {

namespace {

// From this version on napi_detach_arraybuffer aborts the process when the user called markAsUntransferable() on the
// buffer, since V8 then wants a detach key; ArrayBuffer.prototype.transfer throws a TypeError instead.
constexpr std::uint32_t kFirstNodeWithDetachKeys = 23;

// ArrayBuffer.prototype.transfer came with V8 11.4.
constexpr std::uint32_t kFirstNodeWithTransfer = 21;

const char* code_of(heap::Refusal reason) {
  switch (reason) {
    case heap::Refusal::kOutOfMemory:
      return "ERR_OFFHEAP_OUT_OF_MEMORY";
    case heap::Refusal::kLimit:
      return "ERR_OFFHEAP_LIMIT";
    case heap::Refusal::kClosed:
      return "ERR_OFFHEAP_CLOSED";
    case heap::Refusal::kFreed:
      return "ERR_OFFHEAP_FREED";
    case heap::Refusal::kForeign:
    case heap::Refusal::kOutOfRange:
      return "ERR_OFFHEAP_FOREIGN";
  }
  return "ERR_OFFHEAP_FOREIGN";
}

}  // namespace

Environment::Environment(Napi::Env env) : env_(env) {
  // The version decides, not what somebody left of ArrayBuffer.prototype.
  const napi_node_version* version = nullptr;
  const std::uint32_t major = napi_get_node_version(env, &version) == napi_ok ? version->major : ~0U;
  has_transfer_ = major >= kFirstNodeWithTransfer;
  has_detach_keys_ = major >= kFirstNodeWithDetachKeys;
  const Napi::Value constructor = env.Global().Get("ArrayBuffer");
  if (!constructor.IsFunction()) return;
  const Napi::Value prototype = constructor.As<Napi::Object>().Get("prototype");
  if (!prototype.IsObject()) return;
  const Napi::Value transfer = prototype.As<Napi::Object>().Get("transfer");
  if (transfer.IsFunction()) transfer_ = Napi::Persistent(transfer.As<Napi::Function>());
}

Environment::~Environment() {
  for (OpenHeap* const open : slots_) {
    if (open != nullptr) open->leave_thread();
  }
  if (lease_part_ != nullptr) Lease::records().detach(lease_part_);
}

OpenHeap* Environment::find(const heap::SharedHeap* heap) const {
  for (OpenHeap* const open : slots_) {
    if (open != nullptr && &open->heap() == heap) return open;
  }
  return nullptr;
}

std::uint32_t Environment::free_slot() {
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] == nullptr) return slot;
  }
  slots_.push_back(nullptr);
  return static_cast<std::uint32_t>(slots_.size() - 1);
}

heap::Result<heap::Heap*> Environment::lease_part() {
  if (lease_part_ == nullptr) {
    const auto attached = Lease::records().attach();
    if (!attached.ok()) return attached;
    lease_part_ = attached.value();
  }
  return lease_part_;
}

void Environment::raise(Napi::Env env, const heap::Failure& failure) const {
  PlainObject description(env);
  description.with("code", code_of(failure.reason));
  if (failure.reason == heap::Refusal::kOutOfMemory) {
    char words[256];
    os::describe(failure.os, words, sizeof words);
    description.with_number("bytes", failure.asked);
    description.with("call", os::function_name(failure.os.call));
    description.with_number("osError", static_cast<std::uint64_t>(failure.os.number));
    description.with("osMessage", static_cast<const char*>(words));
  } else if (failure.reason == heap::Refusal::kLimit) {
    description.with_number("limit", failure.limit);
    description.with_number("inUse", failure.in_use);
    description.with_number("asked", failure.asked);
  }
  raise(env, description.make());
}

void Environment::raise(Napi::Env env, Complaint complaint) const {
  PlainObject description(env);
  description.with("code", complaint == Complaint::kLocked ? "ERR_OFFHEAP_LOCKED" : "ERR_OFFHEAP_UNSUPPORTED");
  if (complaint != Complaint::kLocked) {
    description.with("what", complaint == Complaint::kNoSharing ? "shared buffers" : "buffers");
  }
  raise(env, description.make());
}

void Environment::raise(Napi::Env env, napi_value failure) const {
  // No description: the environment is being ended, and nobody is left to be told.
  if (failure == nullptr) return;
  if (create_error_.IsEmpty()) {
    Napi::Error::New(env, "initialize() was not called").ThrowAsJavaScriptException();
    return;
  }
  const Napi::Value error = create_error_.Call({failure});
  // The factory itself may have thrown; then that is what is pending.
  if (!env.IsExceptionPending() && !error.IsEmpty()) napi_throw(env, error);
}

}  // namespace offheap::binding
