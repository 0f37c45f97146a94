// From the address of a block to the lease that stands on it, where the runtime does not tell (Node-API).
#ifndef OFFHEAP_BINDING_LEASE_MAP_H_
#define OFFHEAP_BINDING_LEASE_MAP_H_

#include <cstddef>

#include "binding/lease.h"

// One for the process, since a buffer may be found, moved and ended in any thread. Any thread may call anything.
// Always true: exactly the leases that stand and are not of shared blocks are here, each under its address.
namespace offheap::binding::lease_map {

// From now on the lease stands.
void enter(Lease* lease);
// From now on it does not. False if it did not stand: somebody else has ended it.
[[nodiscard]] bool leave(Lease* lease);
// The lease on the block at `address`, if it is `bytes` long; else null.
[[nodiscard]] Lease* find(const void* address, std::size_t bytes);

}  // namespace offheap::binding::lease_map

#endif  // OFFHEAP_BINDING_LEASE_MAP_H_
