import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForAddon, describeForBothBindings, describeForFalseBinding } from "./bindings.js";
import { hold } from "./garbage.js";

describeForBothBindings("stats", () => {
  it("is plain, frozen data that does not change with the heap", () => {
    const heap = new Heap();
    const before = heap.stats();
    hold(heap.alloc(100));
    expect(before.requested).to.equal(0);
    for (const part of [before, before.systemCalls, before.fragmentation]) expect(Object.isFrozen(part)).to.equal(true);
  });

  it("fits together", () => {
    const heap = new Heap();
    const blocks = Array.from({ length: 100 }, (_, index) => heap.alloc(1 + index * 37));
    for (const block of blocks.splice(0, 50)) heap.free(block);
    const stats = heap.stats();
    expect(stats.requested).to.equal(blocks.reduce((sum, block) => sum + block.byteLength, 0));
    expect(stats.usable).to.equal(blocks.reduce((sum, block) => sum + heap.usableSize(block), 0));
    expect(stats.allocations - stats.frees).to.equal(stats.blocks);
    expect(stats.peak).to.equal(100 + (37 * 99 * 100) / 2);
    expect(stats.fragmentation.internal).to.equal(stats.usable - stats.requested);
    expect(stats.syscalls).to.equal(Object.values(stats.systemCalls).reduce((sum, calls) => sum + calls));
    for (const [key, value] of Object.entries(stats)) {
      if (typeof value === "number") expect(Number.isSafeInteger(value) && value >= 0, key).to.equal(true);
    }
  });
});

describeForFalseBinding("fragmentation", () => {
  it("is one minus the largest free run over the free bytes", () => {
    const { internal, external, freeBytes, largestFreeRun } = new Heap().stats().fragmentation;
    expect([internal, freeBytes, largestFreeRun]).to.deep.equal([0, 3000, 1000]);
    expect(external).to.be.closeTo(2 / 3, 1e-12);
    expect(new Heap().stats().syscalls).to.equal(28);
  });
});

describeForAddon("the memory of a heap", () => {
  it("is its own records before the first allocation, and covers what is in use after it", () => {
    const heap = new Heap();
    const { metadata, ...before } = heap.stats();
    expect(before).to.include({ committed: metadata, usable: 0, regions: 0, spans: 0, blocks: 0 });
    expect(metadata).to.be.at.most(2 ** 20);
    hold(heap.alloc(10_000_000));
    const { usable, committed, reserved } = heap.stats();
    expect(usable).to.be.at.least(10_000_000);
    expect(committed).to.be.at.least(usable);
    expect(reserved).to.be.at.least(committed);
  });

  it("goes back to the kernel with trim, which says how much", () => {
    const heap = new Heap();
    const blocks = Array.from({ length: 64 }, () => heap.alloc(100_000));
    for (const block of blocks) new Uint8Array(block).fill(1);
    for (const block of blocks) heap.free(block);
    const before = heap.stats().committed;
    const returned = heap.trim();
    expect(returned).to.be.at.least(64 * 100_000);
    expect(heap.stats().committed).to.equal(before - returned);
    expect(heap.trim()).to.equal(0);
    expect(new Uint8Array(heap.alloc(100_000)).every((byte) => byte === 0)).to.equal(true);
  });

  it("has at most 12.5 % internal waste above 64 bytes", () => {
    const heap = new Heap();
    for (let size = 65; size < 200_000; size = Math.ceil(size * 1.01)) {
      const block = heap.alloc(size);
      const waste = heap.usableSize(block) - size;
      expect(waste, `waste of ${size}`).to.be.at.most(Math.max(16, size * 0.143));
      heap.free(block);
    }
  });
});
