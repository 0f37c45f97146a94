import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { runtime } from "../dist/index.js";
import { PACKAGE_ROOT } from "./child_process.js";
import { transferOf } from "./runtime_features.js";

const OFFHEAP = JSON.stringify(join(PACKAGE_ROOT, "dist", "index.js"));

/** The buffer a worker sends, once the worker has ended. */
function bufferFromWorker(script: string): Promise<ArrayBuffer> {
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const { heap } = require(${OFFHEAP});
     const { transfer } = ArrayBuffer.prototype;
     ${script}`,
    { eval: true },
  );
  return new Promise((resolve, reject) => {
    let received: ArrayBuffer | undefined;
    worker.on("message", (buffer: ArrayBuffer) => {
      received = buffer;
    });
    worker.on("error", reject);
    worker.on("exit", () => (received === undefined ? reject(new Error("nothing was sent")) : resolve(received)));
  });
}

describe("a block that leaves a worker", () => {
  it("by transfer() and postMessage() stays readable after the worker has ended, or was copied", async () => {
    // V8's own buffers move as they are. With Node-API transfer() comes first, or, without it (Node 20), it is a copy.
    const isCopy = runtime.buffers === "napi" && transferOf === undefined;
    const send = runtime.buffers === "v8" || isCopy ? "block" : "transfer.call(block)";
    const buffer = await bufferFromWorker(`
      const others = Array.from({ length: 50 }, () => heap.alloc(65_536));
      const block = heap.alloc(65_536);
      new Uint8Array(block).fill(0xab);
      const sent = ${send};
      for (let index = 0; index < 50; index += 2) heap.free(others[index]);
      parentPort.postMessage(sent, ${isCopy ? "[]" : "[sent]"});
    `);
    await setImmediate();
    expect(buffer.byteLength).to.equal(65_536);
    expect(new Uint8Array(buffer).every((byte) => byte === 0xab)).to.equal(true);
  });

  it("does not take the blocks that stayed with it", async () => {
    const mapped = (): number => process.memoryUsage().rss;
    const script = `
      const kept = Array.from({ length: 20 }, () => new Uint8Array(heap.allocUnsafe(1 << 20)).fill(1));
      globalThis.kept = kept;
      const small = heap.alloc(8);
      const sent = transfer === undefined ? new ArrayBuffer(8) : transfer.call(small);
      parentPort.postMessage(sent, [sent]);
    `;
    const held: ArrayBuffer[] = [await bufferFromWorker(script)];
    const before = mapped();
    for (let round = 0; round < 10; round++) held.push(await bufferFromWorker(script));
    // Ten workers held 200 MiB between them; each left one page behind at most.
    expect(mapped() - before).to.be.lessThan(60 << 20);
    expect(held.every((buffer) => buffer.byteLength === 8)).to.equal(true);
  });
});
