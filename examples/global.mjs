// @ts-check
/** The default heap behind Node's own Buffer allocations, from a chosen size on, and taken away again. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { heap } from "offheap";
import { install } from "offheap/global";

const megabyte = 1024 * 1024;
const minSize = 64 * 1024;

if (isMainThread) {
  console.log("Before: a Buffer is Node's own.");
  assert.deepEqual(whoOwns(megabyte), { alloc: "Node", allocUnsafe: "Node", allocUnsafeSlow: "Node" });

  const installation = install({ minSize });
  console.log(`\nInstalled: from ${minSize} bytes on, Buffers are blocks of the default heap.`);
  assert.deepEqual(whoOwns(megabyte), { alloc: "the heap", allocUnsafe: "the heap", allocUnsafeSlow: "the heap" });
  assert.deepEqual(whoOwns(minSize - 1), { alloc: "Node", allocUnsafe: "Node", allocUnsafeSlow: "Node" });

  console.log("\nOne megabyte, written, read and freed by hand:");
  const before = heap.bytesInUse;
  const buffer = Buffer.alloc(megabyte, "offheap ");
  assert.equal(buffer.toString("latin1", megabyte - 8), "offheap ");
  console.log(
    `  ${heap.bytesInUse - before} bytes more in use, ending in "${buffer.toString("latin1", megabyte - 8)}"`,
  );
  assert.equal(heap.bytesInUse - before, megabyte);
  heap.free(buffer);
  console.log(`  after free ${heap.bytesInUse - before} bytes more, and the Buffer has length ${buffer.length}`);
  assert.equal(heap.bytesInUse, before);
  assert.equal(buffer.length, 0);

  console.log("\nA worker thread has a Buffer and a default heap of its own, and installs for itself:");
  const worker = new Worker(new URL(import.meta.url));
  const [inWorker] = await once(worker, "message");
  assert.deepEqual(inWorker, { ownedBefore: false, ownedAfter: true, bytesInUse: megabyte, bytesAtEnd: 0 });
  console.log(`  before: ${inWorker.ownedBefore ? "the heap" : "Node"}, installed: the heap`);
  console.log(`  ${inWorker.bytesInUse} bytes in use in its heap, ${inWorker.bytesAtEnd} after free`);
  await once(worker, "exit");
  assert.equal(heap.bytesInUse, before);

  installation.restore();
  console.log("\nRestored: a Buffer is Node's own again.");
  assert.deepEqual(whoOwns(megabyte), { alloc: "Node", allocUnsafe: "Node", allocUnsafeSlow: "Node" });
  assert.equal(heap.bytesInUse, before);
  console.log(`\nThe default heap holds ${heap.bytesInUse} bytes.`);
  assert.equal(heap.bytesInUse, 0);
} else {
  const probe = Buffer.alloc(megabyte);
  const ownedBefore = heap.owns(probe);
  const installation = install({ minSize });
  const buffer = Buffer.alloc(megabyte);
  const ownedAfter = heap.owns(buffer);
  const { bytesInUse } = heap;
  heap.free(buffer);
  installation.restore();
  parentPort?.postMessage({ ownedBefore, ownedAfter, bytesInUse, bytesAtEnd: heap.bytesInUse });
}

/**
 * Allocates with each of the three functions, prints whose memory it is, and frees what is ours.
 *
 * @param {number} size
 */
function whoOwns(size) {
  const owners = { alloc: "", allocUnsafe: "", allocUnsafeSlow: "" };
  for (const name of /** @type {(keyof owners)[]} */ (Object.keys(owners))) {
    const buffer = Buffer[name](size);
    const ours = heap.owns(buffer);
    owners[name] = ours ? "the heap" : "Node";
    console.log(`  Buffer.${`${name}(${size})`.padEnd(24)} belongs to ${owners[name]}`);
    if (ours) heap.free(buffer);
  }
  return owners;
}
