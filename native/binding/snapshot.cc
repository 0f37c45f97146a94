#include "binding/snapshot.h"

#include <algorithm>
#include <vector>

#include "heap/double_free.h"
#include "heap/release_retry.h"

namespace offheap::binding {

namespace {

using heap::SpanKind;

Napi::Number number(Napi::Env env, std::uint64_t value) { return Napi::Number::New(env, static_cast<double>(value)); }

Napi::BigInt address(Napi::Env env, const void* pointer) {
  return Napi::BigInt::New(env, static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(pointer)));
}

const char* name_of(SpanKind kind) {
  switch (kind) {
    case SpanKind::kBucket:
      return "bucket";
    case SpanKind::kDynamic:
      return "dynamic";
    case SpanKind::kFree:
    case SpanKind::kUnused:
      return "free";
  }
  return "free";
}

// One bit a block, 1 for the blocks handed out.
Napi::Uint8Array used_bits(Napi::Env env, const heap::Span& span) {
  const std::uint32_t blocks = span.kind == SpanKind::kBucket ? span.cells : span.kind == SpanKind::kDynamic ? 1 : 0;
  Napi::Uint8Array bits = Napi::Uint8Array::New(env, (blocks + 7) / 8);
  for (std::uint32_t block = 0; block < blocks; ++block) {
    const bool used = span.kind == SpanKind::kDynamic || !span.free.is_free(block);
    if (used) bits.Data()[block / 8] |= static_cast<std::uint8_t>(1U << (block % 8));
  }
  return bits;
}

Napi::Object make_span(Napi::Env env, heap::Region& region, const heap::Span& span) {
  const std::size_t bytes = heap::bytes_of(span.pages.count);
  const bool bucket = span.kind == SpanKind::kBucket;
  const bool dynamic = span.kind == SpanKind::kDynamic;
  Napi::Object object = Napi::Object::New(env);
  object.Set("kind", name_of(span.kind));
  object.Set("address", address(env, region.address_of(span)));
  object.Set("bytes", number(env, bytes));
  object.Set("committed", number(env, heap::bytes_of(region.committed.count(span.pages))));
  object.Set("blockBytes", number(env, bucket ? span.cell_bytes : dynamic ? bytes : 0));
  object.Set("blocks", number(env, bucket ? span.cells : dynamic ? 1 : 0));
  object.Set("used", number(env, bucket ? span.used : dynamic ? 1 : 0));
  object.Set("usedBits", used_bits(env, span));
  return object;
}

Napi::Object make_region(Napi::Env env, heap::Region& region) {
  Napi::Array spans = Napi::Array::New(env);
  for (std::uint32_t page = 0; page < heap::kDataPages;) {
    const Napi::HandleScope scope(env);
    const heap::Span* const span = region.span_starting_at(page);
    spans.Set(spans.Length(), make_span(env, region, *span));
    page = span->pages.end();
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("address", address(env, region.start()));
  object.Set("bytes", number(env, heap::kRegionBytes));
  object.Set("committed", number(env, heap::bytes_of(region.committed_pages) + region.committed_metadata));
  object.Set("metadataBytes", number(env, heap::kRegionMetadataBytes));
  object.Set("spans", spans);
  return object;
}

Napi::Object make_huge_region(Napi::Env env, heap::HugeBlock& huge) {
  Napi::Object span = Napi::Object::New(env);
  span.Set("kind", "huge");
  span.Set("address", address(env, huge.start()));
  span.Set("bytes", number(env, huge.usable));
  span.Set("committed", number(env, huge.usable));
  span.Set("blockBytes", number(env, huge.usable));
  span.Set("blocks", number(env, 1));
  span.Set("used", number(env, 1));
  Napi::Uint8Array bits = Napi::Uint8Array::New(env, 1);
  bits.Data()[0] = 1;
  span.Set("usedBits", bits);
  Napi::Array spans = Napi::Array::New(env);
  spans.Set(0U, span);
  Napi::Object object = Napi::Object::New(env);
  object.Set("address", address(env, &huge));
  object.Set("bytes", number(env, huge.head.bytes));
  object.Set("committed", number(env, huge.committed_bytes()));
  object.Set("metadataBytes", number(env, huge.offset));
  object.Set("spans", spans);
  return object;
}

struct BucketTotals {
  std::uint64_t spans = 0;
  std::uint64_t blocks = 0;
  std::uint64_t used = 0;
};

Napi::Array make_buckets(Napi::Env env, const heap::Heap& heap) {
  const auto buckets = heap.buckets();
  std::vector<BucketTotals> totals(buckets.size());
  heap.for_each_span([&](const heap::Region&, const heap::Span& span) {
    if (span.kind != SpanKind::kBucket) return;
    BucketTotals& total = totals[span.size_class];
    ++total.spans;
    total.blocks += span.cells;
    total.used += span.used;
  });
  Napi::Array array = Napi::Array::New(env, buckets.size());
  for (std::uint32_t index = 0; index < buckets.size(); ++index) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("blockBytes", number(env, buckets[index].cell_bytes));
    object.Set("spans", number(env, totals[index].spans));
    object.Set("blocks", number(env, totals[index].blocks));
    object.Set("used", number(env, totals[index].used));
    array.Set(index, object);
  }
  return array;
}

Napi::Array make_blocks(Napi::Env env, LeasedHeap& leased) {
  std::vector<const Lease*> leases;
  leased.for_each([&](const Lease& lease) { leases.push_back(&lease); });
  std::ranges::sort(leases, {}, &Lease::address);
  Napi::Array array = Napi::Array::New(env, leases.size());
  for (std::uint32_t index = 0; index < leases.size(); ++index) {
    const Napi::HandleScope scope(env);
    const Lease& lease = *leases[index];
    Napi::Object object = Napi::Object::New(env);
    object.Set("address", address(env, lease.address));
    object.Set("requested", number(env, lease.size));
    object.Set("usable", number(env, heap::look_up(&leased.heap(), lease.address).usable()));
    array.Set(index, object);
  }
  return array;
}

}  // namespace

Napi::Object make_snapshot(Napi::Env env, LeasedHeap& leased) {
  heap::Heap& heap = leased.heap();
  Napi::Array regions = Napi::Array::New(env);
  for (heap::Region* region = heap.regions(); region != nullptr; region = region->next) {
    regions.Set(regions.Length(), make_region(env, *region));
  }
  for (heap::HugeBlock* huge = heap.huge_blocks(); huge != nullptr; huge = huge->next) {
    regions.Set(regions.Length(), make_huge_region(env, *huge));
  }
  Napi::Object snapshot = Napi::Object::New(env);
  snapshot.Set("regions", regions);
  snapshot.Set("buckets", make_buckets(env, heap));
  snapshot.Set("blocks", make_blocks(env, leased));
  return snapshot;
}

Napi::Object make_statistics(Napi::Env env, LeasedHeap& leased) {
  const heap::Statistics statistics = leased.heap().statistics();
  const auto calls = os::call_counts();
  const auto count = [&](os::Call call) { return number(env, calls[static_cast<std::size_t>(call)]); };
  Napi::Object system_calls = Napi::Object::New(env);
  system_calls.Set("reserve", count(os::Call::kReserve));
  system_calls.Set("commit", count(os::Call::kCommit));
  system_calls.Set("decommit", count(os::Call::kDecommit));
  system_calls.Set("release", count(os::Call::kRelease));
  system_calls.Set("protect", count(os::Call::kProtect));
  system_calls.Set("advise", count(os::Call::kAdvise));
  system_calls.Set("move", count(os::Call::kMove));
  Napi::Object object = Napi::Object::New(env);
  object.Set("requested", number(env, statistics.requested));
  object.Set("usable", number(env, statistics.usable));
  object.Set("committed", number(env, statistics.committed));
  object.Set("reserved", number(env, statistics.reserved));
  object.Set("metadata", number(env, statistics.metadata));
  object.Set("peak", number(env, statistics.peak));
  object.Set("blocks", number(env, statistics.blocks));
  object.Set("allocations", number(env, statistics.allocations));
  object.Set("frees", number(env, statistics.frees));
  object.Set("failures", number(env, statistics.failures));
  object.Set("reclaimed", number(env, leased.reclaimed_blocks()));
  object.Set("reclaimedBytes", number(env, leased.reclaimed_bytes()));
  object.Set("regions", number(env, statistics.regions));
  object.Set("spans", number(env, statistics.spans));
  object.Set("freeBytes", number(env, statistics.free_bytes));
  object.Set("largestFreeRun", number(env, statistics.largest_free_run));
  object.Set("releasesRefused", number(env, heap::release_retry::counts().refused));
  object.Set("decommitsRefused", number(env, statistics.decommits_refused));
  object.Set("systemCalls", system_calls);
  return object;
}

}  // namespace offheap::binding
