#include "binding/leases.h"

namespace offheap::binding {

LeasedHeap::~LeasedHeap() { heap::Heap::destroy(heap_); }

Lease* LeasedHeap::find(const void* address) const {
  const auto found = leases_.find(address);
  return found == leases_.end() ? nullptr : found->second;
}

void LeasedHeap::enter(Lease* lease) {
  lease->heap = this;
  leases_[lease->address] = lease;
}

void LeasedHeap::leave(Lease* lease) {
  lease->heap = nullptr;
  leases_.erase(lease->address);
}

void LeasedHeap::give_back(std::byte* address, std::size_t size) {
  // The block was in leases_, so the heap knows it as live and of at least this size.
  (void)heap_->free(address, size).ok();
}

void LeasedHeap::reclaim(Lease* lease) {
  ++reclaimed_blocks_;
  reclaimed_bytes_ += lease->size;
  leave(lease);
  give_back(lease->address, lease->size);
  delete_if_done();
}

void LeasedHeap::abandon() {
  abandoned_ = true;
  heap_->close();
  delete_if_done();
}

void LeasedHeap::delete_if_done() {
  if (abandoned_ && leases_.empty()) delete this;
}

}  // namespace offheap::binding
