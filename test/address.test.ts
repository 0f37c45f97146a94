import { expect } from "chai";
import { heap } from "../dist/index.js";
import { expectRefusal } from "./promises.js";

describe("the address of a block", () => {
  it("is that of its first byte, for every view of it", () => {
    const block = heap.alloc(100);
    const address = heap.addressOf(block);
    expect(address % 8n).to.equal(0n);
    expect(heap.addressOf(new Uint8Array(block, 50))).to.equal(address);
    heap.free(block);
  });

  it("of a SharedArrayBuffer, or a view of one, is refused as foreign", () => {
    for (const shared of [
      new SharedArrayBuffer(8),
      new SharedArrayBuffer(0),
      new Uint8Array(new SharedArrayBuffer(8)),
    ]) {
      expectRefusal("ERR_OFFHEAP_FOREIGN", () => heap.addressOf(shared));
    }
  });
});
