import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForFalseBinding } from "./bindings.js";
import { runScriptWithAddressSpace } from "./child_process.js";
import { expectOffheapError, expectUnchanged } from "./promises.js";

/** Enough for the runtime, which reserves address space as it goes; not enough for what the script asks for. */
const ADDRESS_SPACE = 3 * 2 ** 30;

describe("when the kernel refuses memory", () => {
  it("alloc and realloc throw what it said, the heap is unchanged, and can be used as before", function () {
    if (process.platform !== "linux") this.skip();
    const result = runScriptWithAddressSpace(
      ADDRESS_SPACE,
      `
      const assert = require("node:assert");
      const { Heap, OffheapError } = require("offheap");
      const heap = new Heap();
      const blocks = [];
      const counts = () => {
        const { requested, usable, blocks, allocations, frees } = heap.stats();
        return { requested, usable, blocks, allocations, frees, bytes: heap.bytesInUse, inUse: heap.blocksInUse };
      };
      const small = heap.alloc(1000);
      new Uint8Array(small).fill(7);
      let before = counts();
      const refused = (action) => {
        before = counts();
        let error;
        try { action(); } catch (thrown) { error = thrown; }
        if (error === undefined) return false;
        assert(error instanceof OffheapError, error);
        assert.equal(error.code, "ERR_OFFHEAP_OUT_OF_MEMORY");
        assert(error.bytes >= 1, "bytes");
        assert.equal(typeof error.call, "string");
        assert.equal(error.osError, require("node:os").constants.errno.ENOMEM);
        assert.match(error.osMessage, /memory/i);
        assert(error.message.includes(error.call) && error.message.includes(error.osMessage));
        assert.deepEqual(counts(), before);
        return true;
      };
      assert(refused(() => heap.alloc(2 ** 31 + 2 ** 30)));
      assert(refused(() => heap.realloc(small, 2 ** 31 + 2 ** 30)));
      assert.equal(small.byteLength, 1000);
      while (!refused(() => blocks.push(heap.alloc(2 ** 26))));
      assert(blocks.length > 2, "blocks before the refusal: " + blocks.length);
      assert(new Uint8Array(small).every((byte) => byte === 7));
      assert(heap.stats().failures >= 3);
      for (const block of blocks) heap.free(block);
      heap.trim();
      const again = heap.alloc(2 ** 26);
      new Uint8Array(again).fill(1);
      heap.free(again);
      heap.free(small);
      assert.deepEqual([heap.bytesInUse, heap.blocksInUse], [0, 0]);
      console.log("survived");
      `,
    );
    expect(result).to.deep.equal({ status: 0, signal: null, stdout: "survived\n", stderr: "" });
  });
});

describeForFalseBinding("when the kernel refuses memory", (binding) => {
  it("the error carries the bytes, the call and the system's error", () => {
    const heap = new Heap();
    binding().refuseNext = true;
    const error = expectOffheapError("ERR_OFFHEAP_OUT_OF_MEMORY", () => heap.alloc(4096));
    expect(error).to.include({ bytes: 4096, call: "mmap", osError: 12, osMessage: "Cannot allocate memory" });
  });

  it("whatever was asked of the heap changes nothing", () => {
    const heap = new Heap();
    const block = heap.alloc(100);
    const empty = heap.alloc(0);
    const ways = [
      () => heap.alloc(8),
      () => heap.allocBuffer(8),
      () => heap.allocArray(Int16Array, 8),
      () => heap.realloc(block, 200),
      () => heap.realloc(empty, 200),
      () => heap.scope((scope) => scope.alloc(8)),
    ];
    for (const way of ways) {
      binding().refuseNext = true;
      expectUnchanged(heap, "ERR_OFFHEAP_OUT_OF_MEMORY", way);
    }
    expect([heap.owns(block), heap.owns(empty)]).to.deep.equal([true, true]);
  });
});
