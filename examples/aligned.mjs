// @ts-check
/** Aligned blocks: addresses that prove it, and that no header and no padding is paid for it. */
import assert from "node:assert/strict";
import { Heap } from "offheap";

const largest = 2 * 1024 * 1024;
const neighbours = 4;

const heap = new Heap({ name: "aligned" });

console.log("Two blocks of 100 bytes for each alignment. A remainder of 0 means: aligned.\n");
console.log("  alignment   address          remainder   address          remainder");
for (let align = 16; align <= largest; align *= 2) {
  const pair = [heap.alloc(100, { align }), heap.alloc(100, { align })];
  const cells = pair.map((block) => {
    const address = heap.addressOf(block);
    const remainder = address % BigInt(align);
    assert.equal(remainder, 0n);
    return `${hexadecimal(address)}   ${String(remainder).padStart(9)}`;
  });
  console.log(`  ${bytes(align).padStart(9)}   ${cells.join("   ")}`);
  for (const block of pair) heap.free(block);
}

console.log(`
What does it cost? ${neighbours} blocks for each size from 16 bytes to 2 MiB, each aligned to its own size. If a block had
a header, or padding in front, a neighbour could not lie as close to it as its own size.
`);
console.log("       size   usable   from one block to the next");
for (let size = 16; size <= largest; size *= 2) {
  const blocks = Array.from({ length: neighbours }, () => heap.alloc(size, { align: size }));
  const addresses = blocks.map((block) => heap.addressOf(block)).sort((a, b) => (a < b ? -1 : 1));
  const distances = addresses.slice(1).map((address, i) => Number(address - /** @type {bigint} */ (addresses[i])));
  const closest = Math.min(...distances);
  for (const block of blocks) assert.equal(heap.usableSize(block), size);
  assert.equal(closest, size);
  console.log(`  ${bytes(size).padStart(9)} ${bytes(size).padStart(8)}   ${bytes(closest)}`);
  for (const block of blocks) heap.free(block);
}

assert.equal(heap.bytesInUse, 0);
heap.close();
console.log("\nEvery address was aligned, and not one byte stood between two blocks.");

/** @param {bigint} address */
function hexadecimal(address) {
  return `0x${address.toString(16).padStart(12, "0")}`;
}

/** @param {number} count */
function bytes(count) {
  if (count >= 1024 * 1024) return `${count / 1024 / 1024} MiB`;
  return count >= 1024 ? `${count / 1024} KiB` : `${count} B`;
}
