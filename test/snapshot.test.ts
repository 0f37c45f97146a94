import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import type { HeapSnapshot } from "../dist/snapshot.js";
import { currentAddon, describeForAddon, describeForBothBindings } from "./bindings.js";

describeForBothBindings("snapshot", () => {
  it("names the heap, its pages and every live block", () => {
    const heap = new Heap({ name: "drawn" });
    const blocks = [heap.alloc(10), heap.alloc(2000), heap.alloc(300_000)];
    heap.alloc(0);
    const snapshot = heap.snapshot();
    const { pageSize, regionSize } = currentAddon();
    expect(snapshot).to.include({ name: "drawn", pageSize, regionSize });
    expect(new Set(snapshot.blocks)).to.have.property("size", 3);
    for (const block of blocks) {
      expect(snapshot.blocks).to.deep.include({
        address: heap.addressOf(block),
        requested: block.byteLength,
        usable: heap.usableSize(block),
      });
    }
  });

  it("is frozen, and does not change with the heap", () => {
    const heap = new Heap();
    const block = heap.alloc(10);
    const snapshot = heap.snapshot();
    heap.free(block);
    expect(snapshot.blocks.length).to.equal(1);
    const objects: unknown[] = [snapshot, ...snapshot.regions, ...snapshot.blocks, ...snapshot.buckets];
    objects.push(snapshot.regions, snapshot.blocks, snapshot.buckets, snapshot.regions[0]?.spans);
    for (const object of objects) expect(Object.isFrozen(object)).to.equal(true);
  });

  it("lists everything in order", () => {
    const heap = new Heap();
    const live = [5000, 10, 64, 200_000, 10, 700].map((size) => heap.alloc(size));
    const { regions, buckets, blocks } = heap.snapshot();
    for (const list of [regions, blocks, ...regions.map((region) => region.spans)]) expectAscending(list);
    const sizes = buckets.map((bucket) => bucket.blockBytes);
    expect(sizes).to.deep.equal([...sizes].sort((a, b) => a - b));
    expect(blocks.length).to.equal(live.length);
  });
});

describeForAddon("the regions of a snapshot", () => {
  let snapshot: HeapSnapshot;
  let heap: Heap;
  /** Kept, or they would be collected. */
  let blocks: ArrayBuffer[];
  beforeEach(() => {
    heap = new Heap({ buckets: [16, 64, 256, 1024] });
    blocks = Array.from({ length: 500 }, (_, index) => heap.alloc(1 + ((index * 7919) % 3000)));
    blocks.push(heap.alloc(400_000), heap.alloc(50_000_000));
    for (const block of blocks.filter((_, index) => index % 3 === 0)) heap.free(block);
    snapshot = heap.snapshot();
  });

  it("are tiled exactly by their metadata and spans", () => {
    expect(snapshot.regions.length).to.equal(heap.stats().regions);
    for (const region of snapshot.regions) {
      let end = region.address + BigInt(region.metadataBytes);
      for (const span of region.spans) {
        expect(span.address).to.equal(end);
        expect(span.bytes % snapshot.pageSize).to.equal(0);
        expect(span.committed).to.be.at.most(span.bytes);
        end += BigInt(span.bytes);
      }
      expect(end).to.equal(region.address + BigInt(region.bytes));
    }
  });

  it("have no two free spans side by side", () => {
    for (const { spans } of snapshot.regions) {
      for (const [index, span] of spans.entries()) {
        if (span.kind === "free") expect(spans[index + 1]?.kind).to.not.equal("free");
      }
    }
  });

  it("mark exactly the live blocks as used", () => {
    const marked: bigint[] = [];
    for (const span of snapshot.regions.flatMap((region) => region.spans)) {
      let used = 0;
      for (let block = 0; block < span.blocks; block++) {
        if ((((span.usedBits[block >> 3] ?? 0) >> (block & 7)) & 1) === 0) continue;
        marked.push(span.address + BigInt(block * span.blockBytes));
        used++;
      }
      expect(used).to.equal(span.used);
    }
    expect(marked).to.deep.equal(snapshot.blocks.map((block) => block.address));
    expect(snapshot.blocks.length).to.equal(heap.blocksInUse);
    expect(snapshot.blocks.reduce((sum, block) => sum + block.requested, 0)).to.equal(heap.bytesInUse);
  });

  it("add up to the buckets", () => {
    const spans = snapshot.regions.flatMap((region) => region.spans).filter((span) => span.kind === "bucket");
    for (const bucket of snapshot.buckets) {
      const own = spans.filter((span) => span.blockBytes === bucket.blockBytes);
      expect(own.length).to.equal(bucket.spans);
      expect(own.reduce((sum, span) => sum + span.blocks, 0)).to.equal(bucket.blocks);
      expect(own.reduce((sum, span) => sum + span.used, 0)).to.equal(bucket.used);
    }
    expect(snapshot.buckets.reduce((sum, bucket) => sum + bucket.spans, 0)).to.equal(spans.length);
  });
});

function expectAscending(list: readonly { readonly address: bigint }[]): void {
  for (const [index, item] of list.entries()) {
    const next = list[index + 1];
    if (next !== undefined) expect(item.address < next.address).to.equal(true);
  }
}
