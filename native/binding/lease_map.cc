#include "binding/lease_map.h"

#include <array>
#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "os/lock.h"

namespace offheap::binding::lease_map {

namespace {

// Several, so that threads seldom wait for each other.
struct Shard {
  os::Lock lock;
  std::unordered_map<const void*, Lease*> leases;
};

constexpr unsigned kShardBits = 5;

// Never destroyed: buffers may end after static destructors have run.
Shard& shard_of(const void* address) {
  static auto* const shards = new std::array<Shard, std::size_t{1} << kShardBits>;
  return (*shards)[(reinterpret_cast<std::uintptr_t>(address) * 0x9E37'79B9'7F4A'7C15U) >> (64 - kShardBits)];
}

}  // namespace

void enter(Lease* lease) {
  Shard& shard = shard_of(lease->address());
  const std::scoped_lock lock(shard.lock);
  shard.leases[lease->address()] = lease;
  lease->set_stands(true);
}

bool leave(Lease* lease) {
  Shard& shard = shard_of(lease->address());
  const std::scoped_lock lock(shard.lock);
  if (!lease->stands()) return false;
  lease->set_stands(false);
  shard.leases.erase(lease->address());
  return true;
}

Lease* find(const void* address, std::size_t bytes) {
  Shard& shard = shard_of(address);
  const std::scoped_lock lock(shard.lock);
  const auto found = shard.leases.find(address);
  return found != shard.leases.end() && found->second->size() == bytes ? found->second : nullptr;
}

}  // namespace offheap::binding::lease_map
