// Everything is copied out of the heap before the first JavaScript object is made: making one may run a collection, and
// the heap must not be walked while anything else has a say.
#include "binding/snapshot.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

#include "binding/lease.h"
#include "binding/plain_object.h"
#include "heap/release_retry.h"

namespace offheap::binding {

namespace {

using heap::SpanKind;

// Compared by address.
constexpr const char* kBucketKind = "bucket";

struct SpanCopy {
  const char* kind = "free";
  const std::byte* address = nullptr;
  std::size_t bytes = 0;
  std::size_t committed = 0;
  std::size_t block_bytes = 0;
  std::uint32_t blocks = 0;
  std::uint32_t used = 0;
  std::array<std::uint8_t, heap::kMaxCells / 8> used_bits{};  // 1 for the blocks handed out
};

struct RegionCopy {
  const void* address = nullptr;
  std::size_t bytes = 0;
  std::size_t committed = 0;
  std::size_t metadata_bytes = 0;
  std::vector<SpanCopy> spans;
};

struct BucketCopy {
  std::uint32_t block_bytes = 0;
  std::uint64_t spans = 0;
  std::uint64_t blocks = 0;
  std::uint64_t used = 0;
};

struct BlockCopy {
  const std::byte* address = nullptr;
  std::size_t requested = 0;
  std::size_t usable = 0;
};

// The blocks of all heaps with what was asked for in each, by address: the leases that stood a moment ago.
std::vector<BlockCopy> copy_leases() {
  std::vector<BlockCopy> leases;
  Lease::for_each_standing([&](const Lease& lease) { leases.push_back({lease.address(), lease.size(), 0}); });
  std::ranges::sort(leases, {}, &BlockCopy::address);
  return leases;
}

// Copies one part. A block is drawn as used if a lease stands on it: other threads may free theirs meanwhile, and what
// is drawn and what is listed must be the same.
class PartCopier {
 public:
  PartCopier(const std::vector<BlockCopy>& leases, std::vector<BlockCopy>& blocks) : leases_(leases), blocks_(blocks) {}

  [[nodiscard]] SpanCopy copy(heap::Region& region, const heap::Span& span) {
    SpanCopy copy;
    copy.address = region.address_of(span);
    copy.bytes = heap::bytes_of(span.pages.count);
    copy.committed = heap::bytes_of(region.committed.count(span.pages));
    if (span.kind == SpanKind::kBucket) {
      copy.kind = kBucketKind;
      copy.block_bytes = span.cell_bytes;
      copy.blocks = span.cells;
      mark_used(copy, [&](std::uint32_t cell) { return !span.free.is_free(cell); });
    } else if (span.kind == SpanKind::kDynamic) {
      copy.kind = "dynamic";
      copy.block_bytes = copy.bytes;
      copy.blocks = 1;
      mark_used(copy, [](std::uint32_t) { return true; });
    }
    return copy;
  }

  [[nodiscard]] SpanCopy copy(heap::HugeBlock& huge) {
    SpanCopy copy{"huge", huge.start(), huge.usable, huge.usable, huge.usable, 1, 0, {}};
    mark_used(copy, [](std::uint32_t) { return true; });
    return copy;
  }

 private:
  template <typename IsUsed>
  void mark_used(SpanCopy& copy, IsUsed is_used) {
    auto lease = std::ranges::lower_bound(leases_, copy.address, {}, &BlockCopy::address);
    for (; lease != leases_.end() && lease->address < copy.address + copy.bytes; ++lease) {
      const auto offset = static_cast<std::size_t>(lease->address - copy.address);
      const std::size_t cell = offset / copy.block_bytes;
      // The span may be a newer one than the lease.
      if (cell >= copy.blocks || offset % copy.block_bytes != 0 || lease->requested > copy.block_bytes) continue;
      if (!is_used(static_cast<std::uint32_t>(cell))) continue;
      ++copy.used;
      copy.used_bits[cell / 8] |= static_cast<std::uint8_t>(1U << (cell % 8));
      blocks_.push_back({lease->address, lease->requested, copy.block_bytes});
    }
  }

  const std::vector<BlockCopy>& leases_;
  std::vector<BlockCopy>& blocks_;
};

struct HeapCopy {
  std::vector<RegionCopy> regions;
  std::vector<BucketCopy> buckets;
  std::vector<BlockCopy> blocks;
};

void copy_regions(const heap::Heap& part, PartCopier copier, std::vector<RegionCopy>& regions) {
  for (heap::Region* region = part.regions(); region != nullptr; region = region->next) {
    const std::size_t committed = heap::bytes_of(region->committed_pages) + region->committed_metadata;
    regions.push_back({region->start(), heap::kRegionBytes, committed, heap::kRegionMetadataBytes, {}});
    for (std::uint32_t page = 0; page < heap::kDataPages;) {
      const heap::Span* const span = region->span_starting_at(page);
      regions.back().spans.push_back(copier.copy(*region, *span));
      page = span->pages.end();
    }
  }
  for (heap::HugeBlock* huge = part.huge_blocks(); huge != nullptr; huge = huge->next) {
    regions.push_back({huge, huge->head.bytes, huge->committed_bytes(), huge->offset, {copier.copy(*huge)}});
  }
}

std::vector<BucketCopy> sum_buckets(std::span<const std::uint32_t> sizes, const std::vector<RegionCopy>& regions) {
  std::vector<BucketCopy> buckets;
  for (const std::uint32_t size : sizes) buckets.push_back({.block_bytes = size});
  for (const RegionCopy& region : regions) {
    for (const SpanCopy& span : region.spans) {
      if (span.kind != kBucketKind) continue;
      BucketCopy& bucket = *std::ranges::lower_bound(buckets, span.block_bytes, {}, &BucketCopy::block_bytes);
      ++bucket.spans;
      bucket.blocks += span.blocks;
      bucket.used += span.used;
    }
  }
  return buckets;
}

HeapCopy copy_heap(heap::SharedHeap& shared) {
  HeapCopy copy;
  const std::vector<BlockCopy> leases = copy_leases();
  shared.for_each_part([&](heap::Heap& part) { copy_regions(part, PartCopier(leases, copy.blocks), copy.regions); });
  copy.buckets = sum_buckets(shared.size_classes(), copy.regions);
  std::ranges::sort(copy.regions, {}, &RegionCopy::address);
  std::ranges::sort(copy.blocks, {}, &BlockCopy::address);
  return copy;
}

napi_value make_bits(Napi::Env env, const SpanCopy& span) {
  const std::size_t bytes = (span.blocks + 7) / 8;
  void* data = nullptr;
  napi_value buffer = nullptr;
  napi_value bits = nullptr;
  if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok) return nullptr;
  if (bytes > 0) std::memcpy(data, span.used_bits.data(), bytes);
  return napi_create_typedarray(env, napi_uint8_array, bytes, buffer, 0, &bits) == napi_ok ? bits : nullptr;
}

napi_value make_span(Napi::Env env, const SpanCopy& span) {
  return PlainObject(env)
      .with("kind", span.kind)
      .with_address("address", span.address)
      .with_number("bytes", span.bytes)
      .with_number("committed", span.committed)
      .with_number("blockBytes", span.block_bytes)
      .with_number("blocks", span.blocks)
      .with_number("used", span.used)
      .with("usedBits", make_bits(env, span))
      .make();
}

napi_value make_region(Napi::Env env, const RegionCopy& region) {
  return PlainObject(env)
      .with_address("address", region.address)
      .with_number("bytes", region.bytes)
      .with_number("committed", region.committed)
      .with_number("metadataBytes", region.metadata_bytes)
      .with("spans", make_array(env, region.spans.size(),
                                [&](std::size_t index) { return make_span(env, region.spans[index]); }))
      .make();
}

napi_value make_bucket(Napi::Env env, const BucketCopy& bucket) {
  return PlainObject(env)
      .with_number("blockBytes", bucket.block_bytes)
      .with_number("spans", bucket.spans)
      .with_number("blocks", bucket.blocks)
      .with_number("used", bucket.used)
      .make();
}

napi_value make_block(Napi::Env env, const BlockCopy& block) {
  return PlainObject(env)
      .with_address("address", block.address)
      .with_number("requested", block.requested)
      .with_number("usable", block.usable)
      .make();
}

}  // namespace

napi_value make_snapshot(Napi::Env env, heap::SharedHeap& heap) {
  const HeapCopy copy = copy_heap(heap);
  const auto& [regions, buckets, blocks] = copy;
  return PlainObject(env)
      .with("regions", make_array(env, regions.size(),
                                  [&, &all = regions](std::size_t index) { return make_region(env, all[index]); }))
      .with("buckets", make_array(env, buckets.size(),
                                  [&, &all = buckets](std::size_t index) { return make_bucket(env, all[index]); }))
      .with("blocks", make_array(env, blocks.size(),
                                 [&, &all = blocks](std::size_t index) { return make_block(env, all[index]); }))
      .make();
}

napi_value make_statistics(Napi::Env env, heap::SharedHeap& heap) {
  const heap::SharedHeap::Totals statistics = heap.statistics();
  const auto calls = os::call_counts();
  const auto count = [&](os::Call call) { return calls[static_cast<std::size_t>(call)]; };
  const napi_value system_calls = PlainObject(env)
                                      .with_number("reserve", count(os::Call::kReserve))
                                      .with_number("commit", count(os::Call::kCommit))
                                      .with_number("decommit", count(os::Call::kDecommit))
                                      .with_number("release", count(os::Call::kRelease))
                                      .with_number("protect", count(os::Call::kProtect))
                                      .with_number("advise", count(os::Call::kAdvise))
                                      .with_number("move", count(os::Call::kMove))
                                      .make();
  return PlainObject(env)
      .with_number("requested", statistics.requested)
      .with_number("usable", statistics.usable)
      .with_number("committed", statistics.committed)
      .with_number("reserved", statistics.reserved)
      .with_number("metadata", statistics.metadata)
      .with_number("peak", statistics.peak)
      .with_number("blocks", statistics.blocks)
      .with_number("allocations", statistics.allocations)
      .with_number("frees", statistics.frees)
      .with_number("failures", statistics.failures)
      .with_number("reclaimed", statistics.reclaimed)
      .with_number("reclaimedBytes", statistics.reclaimed_bytes)
      .with_number("regions", statistics.regions)
      .with_number("spans", statistics.spans)
      .with_number("freeBytes", statistics.free_bytes)
      .with_number("largestFreeRun", statistics.largest_free_run)
      .with_number("releasesRefused", heap::release_retry::counts().refused)
      .with_number("decommitsRefused", statistics.decommits_refused)
      .with("systemCalls", system_calls)
      .make();
}

}  // namespace offheap::binding
