import { constants } from "node:buffer";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { BAD_BLOCKS } from "./bad_blocks.js";
import { describeForBothBindings } from "./bindings.js";
import { as, bytesOf, expectUnchanged, NOT_NUMBERS } from "./promises.js";

describeForBothBindings("realloc", () => {
  let heap: Heap;
  let other: Heap;
  beforeEach(() => {
    heap = new Heap();
    other = new Heap();
  });

  const sizes = [1, 15, 16, 17, 64, 100, 4000, 5000, 65_536, 300_000, 3_000_000, 20_000_000];
  it("keeps the bytes both sizes share, zeroes growth and detaches the old buffer, from every size to every other", () => {
    for (const from of sizes) {
      for (const to of sizes) {
        const block = heap.alloc(from);
        const before = bytesOf(block);
        for (let index = 0; index < from; index += 1 + (from >> 10)) before[index] = index % 251;
        const copy = before.slice();
        const next = heap.realloc(block, to);
        const after = bytesOf(next);
        const shared = Math.min(from, to);
        expect(next.byteLength).to.equal(to);
        expect(Buffer.compare(after.subarray(0, shared), copy.subarray(0, shared)), `${from} to ${to}`).to.equal(0);
        expect(isZero(after.subarray(shared)), `growth from ${from} to ${to}`).to.equal(true);
        expect([block.byteLength, before.length]).to.deep.equal([0, 0]);
        expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([to, 1]);
        heap.free(next);
      }
    }
    expect(heap.bytesInUse).to.equal(0);
  });

  it("zeroes growth also after the block was shrunk with its end written", () => {
    let block = heap.alloc(4000);
    bytesOf(block).fill(0xff);
    block = heap.realloc(block, 3990);
    block = heap.realloc(block, 4000);
    expect([...bytesOf(block).subarray(3988)]).to.deep.equal([255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it("to the same size returns a new buffer with the same bytes", () => {
    const block = heap.alloc(100);
    bytesOf(block).fill(7);
    const next = heap.realloc(block, 100);
    expect(next).to.not.equal(block);
    expect(block.byteLength).to.equal(0);
    expect(bytesOf(next).every((byte) => byte === 7)).to.equal(true);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([100, 1]);
  });

  it("to 0 frees the block and returns an empty one that the heap owns", () => {
    const block = heap.alloc(100);
    const empty = heap.realloc(block, 0);
    expect([block.byteLength, empty.byteLength]).to.deep.equal([0, 0]);
    expect(heap.owns(empty)).to.equal(true);
    expect([heap.bytesInUse, heap.blocksInUse, heap.stats().frees]).to.deep.equal([0, 0, 1]);
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.realloc(block, 0));
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.realloc(block, 8));
  });

  it("keeps the alignment of the block", () => {
    for (const align of [16, 512, 4096, 65_536]) {
      let block = heap.alloc(100, { align });
      for (const size of [10_000, 1_000_000, 50, 300_000]) {
        block = heap.realloc(block, size);
        expect(heap.addressOf(block) % BigInt(align), `align ${align}, size ${size}`).to.equal(0n);
      }
      heap.free(block);
    }
  });

  it("takes a view and changes the whole block", () => {
    const buffer = heap.allocBuffer(100);
    buffer.fill(3);
    const next = heap.realloc(buffer.subarray(50, 60), 200);
    expect(next.byteLength).to.equal(200);
    expect([...bytesOf(next).subarray(98, 102)]).to.deep.equal([3, 3, 0, 0]);
    expect(buffer.length).to.equal(0);
  });

  it("never touches a neighbour", () => {
    const blocks = Array.from({ length: 50 }, (_, index) => {
      const block = heap.alloc(64);
      bytesOf(block).fill(index);
      return block;
    });
    for (let index = 1; index < 50; index += 2) {
      blocks[index] = heap.realloc(as(blocks[index]), 128 + index * 100);
      bytesOf(as(blocks[index])).fill(0xee);
    }
    for (let index = 0; index < 50; index += 2) {
      expect(bytesOf(as(blocks[index])).every((byte) => byte === index)).to.equal(true);
    }
  });

  for (const { title, code, make } of BAD_BLOCKS) {
    it(`refuses ${title} with ${code}`, () => {
      const block = make(heap, other);
      for (const size of [128, 64, 0]) expectUnchanged(heap, code, () => heap.realloc(as(block), size));
    });
  }

  it("refuses an impossible size, and the block stays as it was", () => {
    const block = heap.alloc(100);
    bytesOf(block).fill(9);
    for (const size of NOT_NUMBERS) expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.realloc(block, as(size)));
    for (const size of [-1, 0.5, Number.NaN, Infinity, constants.MAX_LENGTH + 1, 2 ** 53, 2 ** 63]) {
      expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.realloc(block, size));
    }
    expect(bytesOf(block).every((byte) => byte === 9)).to.equal(true);
  });

  it("is refused on a closed heap, and the block stays as it was", () => {
    const block = heap.alloc(100);
    const empty = heap.alloc(0);
    heap.close();
    for (const size of [200, 100, 1, 0]) {
      expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", () => heap.realloc(block, size));
      expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", () => heap.realloc(empty, size));
    }
    expect(block.byteLength).to.equal(100);
    expect(heap.owns(block)).to.equal(true);
  });
});

function isZero(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, new Uint8Array(bytes.length)) === 0;
}
