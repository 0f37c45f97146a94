import { markAsUntransferable } from "node:worker_threads";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { BAD_BLOCKS } from "./bad_blocks.js";
import { describeForAddon, describeForBothBindings, describeForFalseBinding } from "./bindings.js";
import { as, countsOf, expectOffheapError, expectUnchanged } from "./promises.js";
import { heedsTheMark, nodeMajor, transferOf } from "./runtime_features.js";

describeForBothBindings("free", () => {
  let heap: Heap;
  let other: Heap;
  beforeEach(() => {
    heap = new Heap();
    other = new Heap();
  });

  it("detaches every view before it returns", () => {
    const block = heap.alloc(64);
    const views = [new Uint8Array(block), new Float64Array(block, 8, 2), Buffer.from(block, 1, 5)];
    const dataView = new DataView(block, 4);
    heap.free(block);
    expect(block.byteLength).to.equal(0);
    expect(views.map((view) => view.length)).to.deep.equal([0, 0, 0]);
    expect(views.map((view) => view[0])).to.deep.equal([undefined, undefined, undefined]);
    expect(() => dataView.getInt8(0)).to.throw(TypeError);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
  });

  it("takes any view on the block, wherever the view starts", () => {
    heap.free(heap.allocBuffer(64));
    heap.free(heap.allocBuffer(64).subarray(10, 20));
    heap.free(heap.allocBuffer(64).subarray(64));
    heap.free(new DataView(heap.alloc(64), 32));
    heap.free(heap.allocArray(BigInt64Array, 8).subarray(3));
    expect([heap.bytesInUse, heap.blocksInUse, heap.stats().frees]).to.deep.equal([0, 0, 5]);
  });

  it("returns undefined", () => {
    expect(heap.free(heap.alloc(1))).to.equal(undefined);
  });

  for (const { title, code, make } of BAD_BLOCKS) {
    it(`refuses ${title} with ${code}`, () => {
      const witness = heap.alloc(32);
      const block = make(heap, other);
      expectUnchanged(heap, code, () => heap.free(as(block)));
      expect(heap.owns(witness)).to.equal(true);
    });
  }

  it("refuses another heap's block and leaves it to its own", () => {
    const block = other.alloc(64);
    expectUnchanged(other, "ERR_OFFHEAP_FOREIGN", () => heap.free(block));
    expect(block.byteLength).to.equal(64);
    other.free(block);
  });

  it("is not fooled by a view whose buffer property lies", () => {
    const mine = heap.alloc(64);
    const view = new Uint8Array(8);
    Object.defineProperty(view, "buffer", { value: mine });
    expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => heap.free(view));
    expect(mine.byteLength).to.equal(64);

    const honest = new Uint8Array(heap.alloc(64));
    Object.defineProperty(honest, "buffer", { value: mine });
    Object.setPrototypeOf(honest, null);
    heap.free(honest);
    expect(mine.byteLength).to.equal(64);
    expect(heap.bytesInUse).to.equal(64);
  });

  it("is not fooled by a prototype that was tampered with", () => {
    const prototype = Object.getPrototypeOf(Uint8Array.prototype) as object;
    const original = Object.getOwnPropertyDescriptor(prototype, "buffer") as PropertyDescriptor;
    const mine = heap.alloc(64);
    const plain = new Uint8Array(8);
    Object.defineProperty(prototype, "buffer", { get: () => mine, configurable: true });
    try {
      expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => heap.free(plain));
    } finally {
      Object.defineProperty(prototype, "buffer", original);
    }
    expect(mine.byteLength).to.equal(64);
  });

  it("refuses a buffer made by structuredClone with transfer, and the original if it was really moved", () => {
    // Over Node-API it is refused: by Node with a DataCloneError, or by us where Node 20 would copy in silence. Over V8's
    // own backing stores the block moves, and the new buffer holds it.
    const block = heap.alloc(64);
    new Uint8Array(block)[0] = 7;
    let moved: ArrayBuffer | undefined;
    try {
      moved = structuredClone(block, { transfer: [block] });
    } catch (error) {
      if (nodeMajor > 20) expect(error).to.have.property("name", "DataCloneError");
      else expect(error).to.have.property("code", "ERR_OFFHEAP_UNSUPPORTED");
    }
    if (moved !== undefined) expect(new Uint8Array(moved)[0]).to.equal(7);
    if (block.byteLength > 0) {
      if (moved !== undefined) expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => heap.free(moved));
      heap.free(block);
      expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
    } else {
      expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.free(block));
    }
  });

  it("is allowed on a closed heap", () => {
    const block = heap.alloc(64);
    heap.close();
    heap.free(block);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
    expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.free(block));
  });
});

describeForAddon("free of a block that was moved with transfer()", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  if (transferOf !== undefined) {
    it("takes the buffer that transfer() made, not the one it was made from", () => {
      const block = heap.alloc(64);
      const moved = transferOf?.(block) as ArrayBuffer;
      expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => heap.free(block));
      heap.free(moved);
      expect(moved.byteLength).to.equal(0);
      expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
    });

    it("refuses the copy that transfer() to another length made", () => {
      const block = heap.alloc(64);
      const copy = transferOf?.(block, 32) as ArrayBuffer;
      expectOffheapError("ERR_OFFHEAP_FOREIGN", () => heap.free(copy));
      expectOffheapError("ERR_OFFHEAP_FREED", () => heap.free(block));
    });
  }
});

describeForAddon("a block that was marked as untransferable", () => {
  it(heedsTheMark ? "is refused as locked, and stays alive" : "is freed all the same: the runtime pays no heed", () => {
    const heap = new Heap();
    const block = heap.alloc(64);
    markAsUntransferable(block);
    if (heedsTheMark) {
      expectUnchanged(heap, "ERR_OFFHEAP_LOCKED", () => heap.free(block));
      expectUnchanged(heap, "ERR_OFFHEAP_LOCKED", () => heap.realloc(block, 128));
      expect(block.byteLength).to.equal(64);
      expect(heap.owns(block)).to.equal(true);
    } else {
      heap.free(block);
      expect(block.byteLength).to.equal(0);
      expect(heap.bytesInUse).to.equal(0);
    }
  });
});

describeForFalseBinding("free of a locked block", (binding) => {
  it("is refused, and changes nothing", () => {
    const heap = new Heap();
    const block = heap.alloc(64);
    binding().locked.add(block);
    expectUnchanged(heap, "ERR_OFFHEAP_LOCKED", () => heap.free(block));
    expectUnchanged(heap, "ERR_OFFHEAP_LOCKED", () => heap.realloc(block, 128));
    expect(countsOf(heap)).to.include({ bytesInUse: 64, blocksInUse: 1 });
  });
});

describeForAddon("free of a buffer that the runtime holds", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  it("refuses a buffer that asm.js was linked with, or takes it back", () => {
    const block = heap.alloc(65_536);
    const link = new Function(
      "stdlib",
      "foreign",
      "heap",
      `"use asm"; var u = new stdlib.Uint8Array(heap); function f(i) { i = i | 0; return u[i >> 0] | 0; } return { f: f };`,
    );
    link(globalThis, {}, block);
    // V8 takes such a buffer for its own. Without asm.js, as the module is no more than JavaScript, it can be freed.
    for (const action of [() => heap.free(block), () => heap.realloc(block, 100)]) {
      try {
        action();
        return;
      } catch (error) {
        expect(error).to.have.property("code", "ERR_OFFHEAP_LOCKED");
        expect([block.byteLength, heap.bytesInUse]).to.deep.equal([65_536, 65_536]);
      }
    }
  });
});
