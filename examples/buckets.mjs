// @ts-check
/** Size classes of one's own choice, and the heap drawn as text. */
import assert from "node:assert/strict";
import { Heap, renderSnapshot } from "offheap";

const classes = [8, 16, 24];
const heap = new Heap({ name: "buckets", buckets: classes });
/**
 * Whoever does not keep a block gives it to the garbage collector.
 *
 * @type {ArrayBuffer[]}
 */
const kept = [];

console.log(`A heap with buckets for ${classes.join(", ")} bytes. One block for each:\n`);
const spans = classes.map((size) => {
  const block = heap.alloc(size);
  kept.push(block);
  const address = heap.addressOf(block);
  const span = spanAt(address);
  assert.equal(span.kind, "bucket");
  assert.equal(span.blockBytes, size);
  console.log(
    `  ${String(size).padStart(2)} bytes at ${hexadecimal(address)}, in the span at ${hexadecimal(span.address)}`,
  );
  return span.address;
});
assert.equal(new Set(spans).size, classes.length);
console.log("\nThree spans: each bucket has pages of its own, which hold blocks of one size only.");

console.log(
  "\nA size that is no class goes to the next larger one; a size above all classes gets a span for itself:\n",
);
for (const size of [5, 20, 100_000]) {
  const block = heap.alloc(size);
  kept.push(block);
  const { kind } = spanAt(heap.addressOf(block));
  assert.equal(kind, size > 24 ? "dynamic" : "bucket");
  console.log(`  ${String(size).padStart(6)} bytes: a ${kind} span, ${heap.usableSize(block)} bytes usable`);
}

console.log(
  "\nA hundred blocks more for each bucket, and every third of them freed again. Then the heap looks like this:\n",
);
const more = classes.flatMap((size) => Array.from({ length: 100 }, () => heap.alloc(size)));
const freed = more.filter((_, i) => i % 3 === 0);
for (const block of freed) heap.free(block);

const snapshot = heap.snapshot();
console.log(renderSnapshot(snapshot, { width: 110 }));

for (const { blockBytes, used } of snapshot.buckets) {
  const live = snapshot.blocks.filter(({ usable }) => usable === blockBytes).length;
  assert.equal(used, live);
}
assert.equal(snapshot.blocks.length, heap.blocksInUse);
assert.equal(heap.blocksInUse, kept.length + more.length - freed.length);
console.log(`What is drawn as used is what is in use: ${heap.blocksInUse} blocks, ${heap.bytesInUse} bytes.`);

/** @param {bigint} address */
function spanAt(address) {
  for (const { spans } of heap.snapshot().regions) {
    const span = spans.find((each) => address >= each.address && address < each.address + BigInt(each.bytes));
    if (span) return span;
  }
  throw new Error(`No span holds the address ${hexadecimal(address)}`);
}

/** @param {bigint} address */
function hexadecimal(address) {
  return `0x${address.toString(16).padStart(12, "0")}`;
}
