import type { NativeAddon, NativeBlock, NativeBucket, NativeHeap, NativeRegion, NativeSpan } from "./native.js";

/** A run of pages of a region: free, or owned by a bucket, or one large block. */
export type SpanSnapshot = NativeSpan;
/** One range reserved from the kernel. */
export type RegionSnapshot = NativeRegion;
/** All spans of one size class. */
export type BucketSnapshot = NativeBucket;
/** One live block. */
export type BlockSnapshot = NativeBlock;

/** A heap at one moment, in enough detail to draw it. Plain, frozen data: nothing in it changes with the heap. */
export interface HeapSnapshot {
  /** The name of the heap. */
  readonly name: string;
  /** The kernel's page, in bytes. */
  readonly pageSize: number;
  /** Length of a region, in bytes. A block larger than that has a longer one for itself. */
  readonly regionSize: number;
  /** In the order of their addresses, and so are the spans of each. */
  readonly regions: readonly RegionSnapshot[];
  /** In the order of their block sizes. */
  readonly buckets: readonly BucketSnapshot[];
  /** In the order of their addresses. */
  readonly blocks: readonly BlockSnapshot[];
}

/** Reads and freezes a snapshot. */
export function takeSnapshot(heap: NativeHeap, name: string, addon: NativeAddon): HeapSnapshot {
  const { regions, buckets, blocks } = heap.snapshot();
  return freezeDeep({
    name,
    pageSize: addon.pageSize,
    regionSize: addon.regionSize,
    regions: inOrder(regions, byAddress).map((region) => ({ ...region, spans: inOrder(region.spans, byAddress) })),
    buckets: inOrder(buckets, (a, b) => a.blockBytes - b.blockBytes),
    blocks: inOrder(blocks, byAddress),
  });
}

function inOrder<Item>(items: readonly Item[], compare: (a: Item, b: Item) => number): Item[] {
  return [...items].sort(compare);
}

function byAddress(a: { readonly address: bigint }, b: { readonly address: bigint }): number {
  if (a.address === b.address) return 0;
  return a.address < b.address ? -1 : 1;
}

/** Typed arrays cannot be frozen; the bit maps are copies that belong to the snapshot alone. */
function freezeDeep<Value extends object>(value: Value): Value {
  if (ArrayBuffer.isView(value)) return value;
  for (const member of Object.values(value)) {
    if (typeof member === "object" && member !== null) freezeDeep(member as object);
  }
  return Object.freeze(value);
}
