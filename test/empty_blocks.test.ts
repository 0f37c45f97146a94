import { markAsUntransferable } from "node:worker_threads";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForBothBindings } from "./bindings.js";
import { countsOf, expectUnchanged } from "./promises.js";
import { nodeMajor } from "./runtime_features.js";

describeForBothBindings("a block of 0 bytes", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  it("is an empty ArrayBuffer of its own that counts nowhere", () => {
    const before = countsOf(heap);
    const blocks = [heap.alloc(0), heap.allocUnsafe(0), heap.alloc(-0), heap.alloc(0, { align: 64 })];
    expect(new Set(blocks).size).to.equal(4);
    for (const block of blocks) {
      expect(block).to.be.instanceOf(ArrayBuffer);
      expect(block.byteLength).to.equal(0);
    }
    expect(countsOf(heap)).to.deep.equal(before);
  });

  it("is owned, holds nothing and lies nowhere", () => {
    const block = heap.alloc(0);
    for (const holder of [block, new Uint8Array(block), new DataView(block)]) {
      expect(heap.owns(holder)).to.equal(true);
      expect(heap.usableSize(holder)).to.equal(0);
      expect(heap.addressOf(holder)).to.equal(0n);
    }
    expect(new Heap().owns(block)).to.equal(false);
  });

  it("can be freed any number of times, also on a closed heap", () => {
    const block = heap.alloc(0);
    const before = countsOf(heap);
    heap.free(block);
    heap.free(new Uint8Array(block));
    heap.close();
    heap.free(block);
    expect(countsOf(heap)).to.deep.equal(before);
  });

  it("can be reallocated, and is then no block any more", () => {
    const block = heap.alloc(0);
    const next = heap.realloc(block, 100);
    expect(next.byteLength).to.equal(100);
    expect(new Uint8Array(next).every((byte) => byte === 0)).to.equal(true);
    expect(heap.owns(block)).to.equal(false);
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.free(block));
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.realloc(block, 8));
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([100, 1]);
  });

  it("reallocated to 0 is another empty block", () => {
    const block = heap.alloc(0);
    const next = heap.realloc(block, 0);
    expect(next).to.not.equal(block);
    expect([heap.owns(block), heap.owns(next)]).to.deep.equal([false, true]);
  });

  it("keeps its alignment when it grows", () => {
    const block = heap.realloc(heap.realloc(heap.alloc(0, { align: 4096 }), 0), 100);
    expect(heap.addressOf(block) % 4096n).to.equal(0n);
  });

  it("that was moved is freed", () => {
    const block = heap.alloc(0);
    structuredClone(block, { transfer: [block] });
    expect(heap.owns(block)).to.equal(false);
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.free(block));
  });

  it("stays what it was when its reallocation is refused", () => {
    const small = new Heap({ limit: 10 });
    const block = small.alloc(0);
    const before = countsOf(small);
    expect(() => small.realloc(block, 11))
      .to.throw()
      .with.property("code", "ERR_OFFHEAP_LIMIT");
    expect(countsOf(small)).to.deep.equal(before);
    expect(small.owns(block)).to.equal(true);
  });

  it("that is untransferable is refused as locked where the runtime heeds that, and nothing is lost", () => {
    const block = heap.alloc(0);
    markAsUntransferable(block);
    let code = "";
    try {
      heap.free(heap.realloc(block, 100));
    } catch (error) {
      code = (error as { code: string }).code;
    }
    expect(code).to.equal(nodeMajor >= 21 && code !== "" ? "ERR_OFFHEAP_LOCKED" : "");
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
  });

  it("is refused by a closed heap", () => {
    heap.close();
    for (const way of [() => heap.alloc(0), () => heap.allocUnsafe(0), () => heap.allocBuffer(0)]) {
      expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", way);
    }
    expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", () => heap.allocArray(Uint8Array, 0));
  });
});
