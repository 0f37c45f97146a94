import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForBothBindings } from "./bindings.js";
import { hold } from "./garbage.js";
import { expectOffheapError, expectUnchanged } from "./promises.js";

describeForBothBindings("the limit of a heap", () => {
  it("can be reached to the byte and not passed", () => {
    const heap = new Heap({ limit: 1000 });
    const block = heap.alloc(600);
    hold(heap.alloc(400));
    expect(heap.bytesInUse).to.equal(1000);
    expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.alloc(1));
    heap.free(block);
    expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.alloc(601));
    hold(heap.alloc(600));
    expect(heap.bytesInUse).to.equal(1000);
  });

  it("refuses with the limit, what is in use and what was asked for", () => {
    const heap = new Heap({ limit: 1000 });
    hold(heap.alloc(950));
    const error = expectOffheapError("ERR_OFFHEAP_LIMIT", () => heap.alloc(100));
    expect(error).to.include({ limit: 1000, inUse: 950, asked: 100 });
  });

  it("bounds reallocation by what it adds", () => {
    const heap = new Heap({ limit: 1000 });
    let block = heap.alloc(800);
    block = heap.realloc(block, 1000);
    expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.realloc(block, 1001));
    block = heap.realloc(block, 10);
    expect(heap.bytesInUse).to.equal(10);
    expect(block.byteLength).to.equal(10);
  });

  it("counts the bytes asked for, not those of the size class", () => {
    const heap = new Heap({ limit: 100 });
    for (let block = 0; block < 100; block++) hold(heap.alloc(1));
    expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.alloc(1));
  });

  it("of 0 lets only empty blocks through", () => {
    const heap = new Heap({ limit: 0 });
    expectUnchanged(heap, "ERR_OFFHEAP_LIMIT", () => heap.alloc(1));
    expect(heap.alloc(0).byteLength).to.equal(0);
  });
});
