#include "binding/default_heap.h"

#include <mutex>

#include "os/lock.h"

namespace offheap::binding {

namespace {

constinit os::Lock making;
constinit heap::SharedHeap* made = nullptr;

}  // namespace

heap::Result<heap::SharedHeap*> default_heap() {
  const std::scoped_lock lock(making);
  if (made == nullptr) {
    const auto created = heap::SharedHeap::create({.keep_addresses = true});
    if (!created.ok()) return created;
    made = created.value();
  }
  return heap::SharedHeap::find(made->id());
}

bool is_default(const heap::SharedHeap& heap) {
  const std::scoped_lock lock(making);
  return made == &heap;
}

}  // namespace offheap::binding
