import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForBothBindings } from "./bindings.js";
import { expectUnchanged } from "./promises.js";

describeForBothBindings("a closed heap", () => {
  let heap: Heap;
  let block: ArrayBuffer;
  beforeEach(() => {
    heap = new Heap({ name: "short", limit: 500 });
    block = heap.alloc(100);
    new Uint8Array(block).fill(5);
    heap.close();
  });

  it("hands out no more blocks", () => {
    const ways = [
      () => heap.alloc(8),
      () => heap.allocUnsafe(8),
      () => heap.allocBuffer(8),
      () => heap.allocArray(Uint8Array, 8),
      () => heap.realloc(block, 8),
      () => heap.scope(() => undefined),
    ];
    for (const way of ways) {
      const error = expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", way);
      expect(error.message).to.contain("closed");
    }
  });

  it("still checks arguments first", () => {
    expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.alloc(-1));
    expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.realloc(block, -1));
    expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.scope(undefined as unknown as () => void));
  });

  it("keeps live blocks until they are freed, and can be asked about them", () => {
    expect(new Uint8Array(block).every((byte) => byte === 5)).to.equal(true);
    expect([heap.owns(block), heap.usableSize(block) >= 100, heap.addressOf(block) > 0n]).to.deep.equal([
      true,
      true,
      true,
    ]);
    expect([heap.bytesInUse, heap.blocksInUse, heap.stats().blocks]).to.deep.equal([100, 1, 1]);
    expect([heap.name, heap.limit, heap.closed]).to.deep.equal(["short", 500, true]);
    expect(heap.snapshot().blocks.length).to.equal(1);
    expect(heap.trim()).to.be.at.least(0);
    heap.free(block);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
    expect(heap.trim()).to.be.at.least(0);
  });

  it("may be closed again", () => {
    heap.close();
    heap[Symbol.dispose]();
    expect(heap.closed).to.equal(true);
  });

  it("is what `using` leaves behind", () => {
    let kept: Heap | undefined;
    {
      using disposed = new Heap();
      disposed.alloc(8);
      kept = disposed;
    }
    expect(kept.closed).to.equal(true);
  });

  it("does not disturb another heap", () => {
    const other = new Heap();
    other.free(other.alloc(100));
    expect(other.stats()).to.include({ allocations: 1, frees: 1 });
  });
});
