#include "binding/leases.h"

namespace offheap::binding {

LeasedHeap::~LeasedHeap() { heap::Heap::destroy(heap_); }

Lease* LeasedHeap::find(const void* address) const {
  const auto found = leases_.find(address);
  return found == leases_.end() ? nullptr : found->second;
}

void LeasedHeap::enter(Lease* lease) { leases_[lease->address] = lease; }

void LeasedHeap::give_back(Lease* lease) {
  const std::size_t size = lease->size;
  std::byte* const address = lease->address;
  end(lease);
  // The address was in leases_, so the heap knows it as a live block of at least this size.
  (void)heap_->free(address, size).ok();
}

void LeasedHeap::end(Lease* lease) {
  const auto found = leases_.find(lease->address);
  if (found != leases_.end() && found->second == lease) leases_.erase(found);
  lease->heap = nullptr;
}

void LeasedHeap::reclaim(Lease* lease) {
  ++reclaimed_blocks_;
  reclaimed_bytes_ += lease->size;
  give_back(lease);
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
