// Everything is copied out of the heap before the first JavaScript object is made: making one may run a collection, and
// the heap must not be walked while anything else has a say.
#include "binding/snapshot.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "binding/plain_object.h"
#include "heap/double_free.h"
#include "heap/release_retry.h"

namespace offheap::binding {

namespace {

using heap::SpanKind;

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

SpanCopy copy_span(heap::Region& region, const heap::Span& span) {
  SpanCopy copy;
  copy.address = region.address_of(span);
  copy.bytes = heap::bytes_of(span.pages.count);
  copy.committed = heap::bytes_of(region.committed.count(span.pages));
  if (span.kind == SpanKind::kBucket) {
    copy.kind = "bucket";
    copy.block_bytes = span.cell_bytes;
    copy.blocks = span.cells;
    copy.used = span.used;
    for (std::uint32_t cell = 0; cell < span.cells; ++cell) {
      if (!span.free.is_free(cell)) copy.used_bits[cell / 8] |= static_cast<std::uint8_t>(1U << (cell % 8));
    }
  } else if (span.kind == SpanKind::kDynamic) {
    copy.kind = "dynamic";
    copy.block_bytes = copy.bytes;
    copy.blocks = 1;
    copy.used = 1;
    copy.used_bits[0] = 1;
  }
  return copy;
}

std::vector<RegionCopy> copy_regions(const heap::Heap& heap) {
  std::vector<RegionCopy> regions;
  for (heap::Region* region = heap.regions(); region != nullptr; region = region->next) {
    const std::size_t committed = heap::bytes_of(region->committed_pages) + region->committed_metadata;
    regions.push_back({region->start(), heap::kRegionBytes, committed, heap::kRegionMetadataBytes, {}});
    for (std::uint32_t page = 0; page < heap::kDataPages;) {
      const heap::Span* const span = region->span_starting_at(page);
      regions.back().spans.push_back(copy_span(*region, *span));
      page = span->pages.end();
    }
  }
  for (heap::HugeBlock* huge = heap.huge_blocks(); huge != nullptr; huge = huge->next) {
    SpanCopy span{"huge", huge->start(), huge->usable, huge->usable, huge->usable, 1, 1, {1}};
    regions.push_back({huge, huge->head.bytes, huge->committed_bytes(), huge->offset, {span}});
  }
  return regions;
}

std::vector<BucketCopy> copy_buckets(const heap::Heap& heap) {
  std::vector<BucketCopy> copies;
  for (const heap::Bucket& bucket : heap.buckets()) copies.push_back({.block_bytes = bucket.cell_bytes});
  heap.for_each_span([&](const heap::Region&, const heap::Span& span) {
    if (span.kind != SpanKind::kBucket) return;
    BucketCopy& copy = copies[span.size_class];
    ++copy.spans;
    copy.blocks += span.cells;
    copy.used += span.used;
  });
  return copies;
}

std::vector<BlockCopy> copy_blocks(LeasedHeap& leased) {
  std::vector<BlockCopy> blocks;
  leased.for_each([&](const Lease& lease) {
    blocks.push_back({lease.address, lease.size, heap::look_up(&leased.heap(), lease.address).usable()});
  });
  std::ranges::sort(blocks, {}, &BlockCopy::address);
  return blocks;
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

napi_value make_snapshot(Napi::Env env, LeasedHeap& leased) {
  const std::vector<RegionCopy> regions = copy_regions(leased.heap());
  const std::vector<BucketCopy> buckets = copy_buckets(leased.heap());
  const std::vector<BlockCopy> blocks = copy_blocks(leased);
  return PlainObject(env)
      .with("regions",
            make_array(env, regions.size(), [&](std::size_t index) { return make_region(env, regions[index]); }))
      .with("buckets",
            make_array(env, buckets.size(), [&](std::size_t index) { return make_bucket(env, buckets[index]); }))
      .with("blocks", make_array(env, blocks.size(), [&](std::size_t index) { return make_block(env, blocks[index]); }))
      .make();
}

napi_value make_statistics(Napi::Env env, LeasedHeap& leased) {
  const heap::Statistics statistics = leased.heap().statistics();
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
      .with_number("reclaimed", leased.reclaimed_blocks())
      .with_number("reclaimedBytes", leased.reclaimed_bytes())
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
