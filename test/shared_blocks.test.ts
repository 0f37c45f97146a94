/** `allocShared`: SharedArrayBuffers over pages of a heap. */
import { expect } from "chai";
import { addon } from "../dist/addon.js";
import { Heap } from "../dist/heap.js";
import { runtime } from "../dist/index.js";
import { collectUntil } from "./garbage.js";
import { as, expectOffheapError, expectRefusal, expectUnchanged } from "./promises.js";
import { nextMessage, startWorker } from "./workers.js";

const canShare = addon().canShare;

describe("allocShared", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap({ limit: 10_000_000 });
  });

  it("refuses wrong arguments as alloc does", () => {
    expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.allocShared(as("8")));
    expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.allocShared(-1));
    expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.allocShared(8, { align: 3 }));
    expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.allocShared(8, as(null)));
    expectRefusal("ERR_INVALID_THIS", () => Reflect.apply(heap.allocShared, {}, [8]));
  });

  it("of no bytes is an empty buffer that counts nowhere", () => {
    const empty = heap.allocShared(0);
    expect(empty).to.be.instanceOf(SharedArrayBuffer);
    expect([empty.byteLength, heap.blocksInUse]).to.deep.equal([0, 0]);
  });

  if (!canShare) {
    it("says that this runtime cannot", () => {
      expect(runtime.buffers).to.equal("napi");
      const error = expectUnchanged(heap, "ERR_OFFHEAP_UNSUPPORTED", () => heap.allocShared(64));
      expect(error.message).to.match(/SharedArrayBuffer/);
    });
    return;
  }

  it("makes a zeroed SharedArrayBuffer that the heap owns and counts", () => {
    const dirty = heap.allocUnsafe(1000);
    new Uint8Array(dirty).fill(7);
    heap.free(dirty);
    const shared = heap.allocShared(1000, { align: 4096 });
    expect(Object.prototype.toString.call(shared)).to.equal("[object SharedArrayBuffer]");
    expect([shared.byteLength, heap.bytesInUse, heap.blocksInUse, heap.owns(shared)]).to.deep.equal([
      1000,
      1000,
      1,
      true,
    ]);
    expect(new Uint8Array(shared).some(Boolean)).to.equal(false);
    expect(heap.addressOf(shared) % 4096n).to.equal(0n);
    expect(heap.owns(new Uint8Array(shared, 8, 8))).to.equal(true);
    expect(heap.snapshot().blocks).to.deep.equal([
      { address: heap.addressOf(shared), requested: 1000, usable: heap.stats().usable },
    ]);
  });

  it("is refused by another heap, and cannot be freed by hand", () => {
    const other = new Heap();
    const shared = heap.allocShared(64);
    expect(other.owns(shared)).to.equal(false);
    expectOffheapError("ERR_OFFHEAP_FOREIGN", () => other.addressOf(shared));
    expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.free(as(shared)));
    expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => heap.free(as(new Uint8Array(shared))));
    expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.realloc(as(shared), 8));
    expect([shared.byteLength, heap.owns(shared), heap.owns(new SharedArrayBuffer(64))]).to.deep.equal([
      64,
      true,
      false,
    ]);
  });

  it("obeys the limit and the end of the heap", () => {
    const shared = heap.allocShared(9_999_999);
    const error = expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.allocShared(2));
    expect(error).to.include({ limit: 10_000_000, inUse: 9_999_999, asked: 2 });
    heap.close();
    expectOffheapError("ERR_OFFHEAP_CLOSED", () => heap.allocShared(1));
    expectOffheapError("ERR_OFFHEAP_CLOSED", () => heap.allocShared(0));
    expect(shared.byteLength).to.equal(9_999_999);
  });

  it("is the same memory in every worker, and Atomics work on it", async () => {
    const shared = heap.allocShared(8);
    const counters = new Int32Array(shared);
    const workers = Array.from({ length: 3 }, () =>
      startWorker(
        `const counters = new Int32Array(workerData);
         for (let count = 0; count < 10_000; count++) Atomics.add(counters, 0, 1);
         Atomics.add(counters, 1, 1);
         Atomics.notify(counters, 1);
         parentPort.postMessage("done");`,
        shared,
      ),
    );
    await Promise.all(workers.map((worker) => nextMessage(worker)));
    expect([...counters]).to.deep.equal([30_000, 3]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    expect([heap.bytesInUse, heap.owns(shared)]).to.deep.equal([8, true]);
  });

  it("lives until the last reference in any thread is gone", async () => {
    const script = `
      let kept;
      parentPort.on("message", (message) => {
        if (message === "end") return parentPort.close();
        if (message === "read") return parentPort.postMessage(new Uint8Array(kept)[99]);
        kept = message;
        parentPort.postMessage("kept");
      });`;
    const worker = startWorker(script);
    (() => {
      const shared = heap.allocShared(100);
      new Uint8Array(shared)[99] = 42;
      worker.postMessage(shared);
    })();
    await nextMessage(worker);
    for (let turn = 0; turn < 5; turn++) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(heap.bytesInUse).to.equal(100);
    worker.postMessage("read");
    expect(await nextMessage(worker)).to.equal(42);
    worker.postMessage("end");
    await new Promise((resolve) => worker.once("exit", resolve));
    await collectUntil(() => heap.bytesInUse === 0);
    expect(heap.stats()).to.include({ reclaimed: 1, reclaimedBytes: 100, blocks: 0 });
  });

  it("comes back although something still waits on it asynchronously", async () => {
    const { waitAsync } = Atomics as unknown as {
      waitAsync?: (cells: Int32Array, index: number, value: number) => unknown;
    };
    (() => waitAsync?.(new Int32Array(heap.allocShared(1000)), 0, 0))();
    await collectUntil(() => heap.bytesInUse === 0);
    expect(heap.stats()).to.include({ usable: 0, blocks: 0 });
  });

  it("comes back when it is collected, as often as it is made", async () => {
    for (let count = 0; count < 500; count++) heap.allocShared(1 + count * 10);
    await collectUntil(() => heap.bytesInUse === 0);
    expect(heap.stats()).to.include({ reclaimed: 500, usable: 0 });
  });
});
