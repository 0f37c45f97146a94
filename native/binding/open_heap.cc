#include "binding/open_heap.h"

#include "binding/array_buffers.h"
#include "binding/environment.h"

namespace offheap::binding {

OpenHeap* OpenHeap::open(Environment& environment, heap::SharedHeap* heap) {
  if (OpenHeap* const open = environment.find(heap); open != nullptr) {
    open->use();
    // The handle that came is one more than needed.
    heap->release();
    return open;
  }
  const std::uint32_t slot = environment.free_slot();
  auto* const open = new OpenHeap(environment, heap, slot);
  environment.set_slot(slot, open);
  return open;
}

OpenHeap::OpenHeap(Environment& environment, heap::SharedHeap* heap, std::uint32_t slot)
    : environment_(&environment), heap_(heap), buffers_(array_buffers::make_state()), slot_(slot) {}

OpenHeap::~OpenHeap() {
  leave_thread();
  array_buffers::delete_state(buffers_);
  heap_->release();
}

void OpenHeap::end_use() {
  if (--uses_ == 0) delete this;
}

void OpenHeap::leave_thread() {
  if (environment_ == nullptr) return;
  environment_->set_slot(slot_, nullptr);
  environment_ = nullptr;
  if (part_ != nullptr) heap_->detach(part_);
  part_ = nullptr;
}

heap::Result<heap::Heap*> OpenHeap::attach() {
  const auto attached = heap_->attach();
  if (!attached.ok()) return attached;
  part_ = attached.value();
  array_buffers::connect(buffers_, *part_);
  return part_;
}

}  // namespace offheap::binding
