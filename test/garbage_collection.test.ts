import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForAddon } from "./bindings.js";
import { runScript } from "./child_process.js";
import { collectUntil } from "./garbage.js";

describeForAddon("a block that is garbage collected", () => {
  it("goes back by itself and is counted, and bytesInUse is exact again", async () => {
    const heap = new Heap();
    const kept = heap.alloc(123);
    allocateAndForget(heap, 100, 1000);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([100_123, 101]);
    await collectUntil(() => heap.blocksInUse === 1);
    expect(heap.bytesInUse).to.equal(123);
    expect(heap.stats()).to.include({
      requested: 123,
      blocks: 1,
      allocations: 101,
      frees: 100,
      reclaimed: 100,
      reclaimedBytes: 100_000,
    });
    expect(heap.owns(kept)).to.equal(true);
    heap.free(kept);
    expect(heap.bytesInUse).to.equal(0);
  });

  it("is not collected while a view lives", async () => {
    const heap = new Heap();
    const view = new Uint8Array(heap.alloc(1000)).fill(7);
    allocateAndForget(heap, 1, 50);
    await collectUntil(() => heap.blocksInUse === 1);
    expect(view.every((byte) => byte === 7)).to.equal(true);
    expect(heap.bytesInUse).to.equal(1000);
    heap.free(view);
  });

  it("is not counted when it was freed before", async () => {
    const heap = new Heap();
    for (let block = 0; block < 100; block++) heap.free(heap.alloc(1000));
    allocateAndForget(heap, 1, 50);
    await collectUntil(() => heap.blocksInUse === 0);
    expect(heap.stats()).to.include({ allocations: 101, frees: 101, reclaimed: 1, reclaimedBytes: 50 });
  });

  it("makes room under the limit", async () => {
    const heap = new Heap({ limit: 1000 });
    allocateAndForget(heap, 10, 100);
    await collectUntil(() => heap.bytesInUse === 0);
    heap.free(heap.alloc(1000));
  });

  it("goes back to a heap that was closed, and to one that is no longer referenced", async () => {
    const closed = new Heap();
    allocateAndForget(closed, 10, 100);
    closed.close();
    await collectUntil(() => closed.blocksInUse === 0);
    expect(closed.stats()).to.include({ reclaimed: 10, requested: 0 });

    const survivor = blockOfForgottenHeap();
    await collectGarbage();
    expect(survivor.every((byte) => byte === 9)).to.equal(true);
    survivor.fill(1);
  });

  it("gives its pages back with no further call on the heap", () => {
    const result = runScript(
      "commonjs",
      `const { heap } = require("offheap");
       (() => new Uint8Array(heap.allocUnsafe(300_000_000)).fill(1))();
       (async () => {
         for (let turn = 0; turn < 10; turn++) {
           gc();
           await new Promise((resolve) => setTimeout(resolve, 10));
         }
         const resident = process.memoryUsage.rss();
         console.log(resident < 200_000_000 || resident, heap.bytesInUse);
       })();`,
      ["--expose-gc"],
    );
    expect(result).to.deep.equal({ status: 0, signal: null, stdout: "true 0\n", stderr: "" });
  });

  it("goes back while the heap is at work", async () => {
    const heap = new Heap();
    for (let round = 0; round < 100; round++) {
      allocateAndForget(heap, 1000, 10_000);
      const blocks = Array.from({ length: 1000 }, () => heap.alloc(64));
      for (const block of blocks) heap.free(block);
      if (round % 10 === 0) globalThis.gc?.();
      await new Promise((resolve) => setImmediate(resolve));
    }
    await collectUntil(() => heap.blocksInUse === 0);
    expect(heap.stats()).to.include({ allocations: 200_000, frees: 200_000, reclaimed: 100_000, requested: 0 });
  });

  it("of a large size goes back as well", async () => {
    const heap = new Heap();
    allocateAndForget(heap, 4, 20_000_000);
    await collectUntil(() => heap.bytesInUse === 0);
    expect(heap.stats()).to.include({ reclaimed: 4, reclaimedBytes: 80_000_000 });
  });
});

function allocateAndForget(heap: Heap, blocks: number, size: number): void {
  for (let block = 0; block < blocks; block++) new Uint8Array(heap.alloc(size))[0] = 1;
}

function blockOfForgottenHeap(): Uint8Array {
  return new Uint8Array(new Heap().alloc(5000)).fill(9);
}

async function collectGarbage(): Promise<void> {
  let rounds = 0;
  await collectUntil(() => ++rounds > 3);
}
