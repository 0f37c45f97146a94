// @ts-check
/** A heap of one's own: three blocks, a vector that grows, and nothing left at the end. */
import assert from "node:assert/strict";
import { Heap, OffheapError } from "offheap";

const heap = new Heap({ name: "standalone" });
console.log(`A new heap holds ${heap.bytesInUse} bytes in ${heap.blocksInUse} blocks.\n`);

console.log("Three blocks, each filled with a byte of its own:");
const blocks = [1, 1024, 4096].map((size, i) => {
  const block = new Uint8Array(heap.alloc(size));
  assert(block.every((byte) => byte === 0));
  block.fill(0xa0 + i);
  console.log(`  ${String(size).padStart(4)} bytes at ${hexadecimal(heap.addressOf(block))}`);
  return block;
});
console.log(`The heap holds ${heap.bytesInUse} bytes in ${heap.blocksInUse} blocks.`);
assert.equal(heap.bytesInUse, 1 + 1024 + 4096);
assert.equal(heap.blocksInUse, 3);

console.log("\nA vector of numbers beside them, which doubles its block when it is full:");
let vector = new Float64Array(heap.alloc(4 * Float64Array.BYTES_PER_ELEMENT));
let length = 0;
for (let number = 0; number < 100_000; number++) {
  if (length === vector.length) {
    const bytes = 2 * vector.byteLength;
    vector = new Float64Array(heap.realloc(vector, bytes));
    console.log(`  ${String(vector.length).padStart(6)} numbers fit, at ${hexadecimal(heap.addressOf(vector))}`);
  }
  vector[length++] = number;
}
for (let number = 0; number < length; number++) assert.equal(vector[number], number);
console.log(`All ${length} numbers are as they were written, through every growth.`);

blocks.forEach((block, i) => {
  assert(block.every((byte) => byte === 0xa0 + i));
});
console.log("The three blocks are untouched.\n");

for (const block of [...blocks, vector]) {
  heap.free(block);
  assert.equal(block.length, 0);
}
console.log(
  `Freed: every view has length 0, and the heap holds ${heap.bytesInUse} bytes in ${heap.blocksInUse} blocks.`,
);
assert.equal(heap.bytesInUse, 0);
assert.equal(heap.blocksInUse, 0);

assert.throws(
  () => heap.free(vector),
  (error) => {
    assert(error instanceof OffheapError && error.code === "ERR_OFFHEAP_FREED");
    console.log(`To free one of them again is refused: ${error.message}`);
    return true;
  },
);

heap.close();
assert.throws(() => heap.alloc(1), { code: "ERR_OFFHEAP_CLOSED" });
console.log("The heap is closed and hands out nothing more.");

/** @param {bigint} address */
function hexadecimal(address) {
  return `0x${address.toString(16).padStart(12, "0")}`;
}
