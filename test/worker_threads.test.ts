import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { heap, runtime } from "../dist/index.js";
import { runScript } from "./child_process.js";
import { collectUntil } from "./garbage.js";
import { losesGarbageOfWorkers, terminateEndsBusyWorkers } from "./runtime_features.js";
import { OFFHEAP, runWorker } from "./workers.js";

describe("a worker thread", () => {
  it("has the same default heap, and all that the main thread can do", () => {
    // In a process of its own, where nothing else is in use.
    const result = runScript(
      "commonjs",
      `const { Worker } = require("node:worker_threads");
       const { heap } = require("offheap");
       const block = heap.alloc(100);
       const worker = new Worker(${JSON.stringify(`
         const { parentPort } = require("node:worker_threads");
         const { heap } = require(${OFFHEAP});
         const before = heap.bytesInUse;
         const block = heap.alloc(64);
         new Uint8Array(block).fill(7);
         const larger = heap.realloc(block, 100_000);
         const grown = [before, heap.bytesInUse, new Uint8Array(larger)[63], larger.byteLength];
         heap.free(larger);
         let code;
         try { heap.free(larger); } catch (error) { code = error.code; }
         parentPort.postMessage([...grown, heap.bytesInUse, code]);`)}, { eval: true });
       worker.on("message", (posted) => console.log(...posted, heap.bytesInUse, heap.owns(block)));`,
    );
    expect(result).to.deep.equal({
      status: 0,
      signal: null,
      stdout: "100 100100 7 100000 100 ERR_OFFHEAP_FREED 100 true\n",
      stderr: "",
    });
  });

  it("that ends with live blocks, of its default heap and of others, does not disturb this thread", async () => {
    const mine = new Heap();
    const blocks = Array.from({ length: 100 }, (_, index) => new Uint8Array(mine.alloc(1000)).fill(index));
    for (let round = 0; round < 5; round++) {
      await runWorker(`
        globalThis.kept = [];
        const own = new Heap({ buckets: [64, 4096] });
        for (let index = 0; index < 500; index++) kept.push(defaultHeap.alloc(1 + index * 50), own.alloc(1 + index * 10));
        own.close();
      `);
    }
    for (const [index, block] of blocks.entries()) expect(block.every((byte) => byte === index)).to.equal(true);
    for (const block of blocks) mine.free(block);
    expect(mine.bytesInUse).to.equal(0);
  });

  it("can be terminated in the middle of its work, again and again", () => {
    // Where workers go on for a while, few rounds bring as many of them together as a machine can bear.
    const rounds = terminateEndsBusyWorkers ? 60 : 8;
    const work = `
      const { heap } = require(${OFFHEAP});
      const live = [];
      require("node:worker_threads").parentPort.postMessage("ready");
      for (;;) {
        live.push(heap.alloc(1 + live.length * 7));
        live.push(heap.realloc(live.pop(), 1 + live.length * 5));
        try { heap.alloc(-1); } catch {}
        try { heap.free(new ArrayBuffer(8)); } catch {}
        if (live.length > 500) for (const block of live.splice(0, 400)) heap.free(block);
      }`;
    const result = runScript(
      "commonjs",
      `const { Worker } = require("node:worker_threads");
       const { heap } = require("offheap");
       const blocks = Array.from({ length: 100 }, (_, index) => new Uint8Array(heap.alloc(1000)).fill(index));
       (async () => {
         for (let round = 0; round < ${rounds}; round++) {
           const worker = new Worker(${JSON.stringify(work)}, { eval: true });
           await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
           await worker.terminate();
         }
         for (const [index, block] of blocks.entries()) {
           if (!block.every((byte) => byte === index)) throw new Error("a worker wrote here");
           heap.free(block);
         }
         console.log(heap.bytesInUse);
       })();`,
    );
    expect(result).to.include({ status: 0, signal: null, stderr: "" });
    // What a worker had dropped when it was ended may be lost with Node-API.
    if (losesGarbageOfWorkers(runtime.buffers)) expect(result.stdout).to.match(/^\d+\n$/);
    else expect(result.stdout).to.match(terminateEndsBusyWorkers ? /^0\n$/ : /^[1-9]\d*\n$/);
  });

  it("can have many beside it", async () => {
    const script = `
      for (let round = 0; round < 2000; round++) {
        const blocks = [];
        for (let index = 0; index < 10; index++) blocks.push(new Uint8Array(defaultHeap.alloc(1 + index * 997)).fill(index));
        for (const [index, block] of blocks.entries()) {
          if (block[0] !== index || block.at(-1) !== index) throw new Error("somebody else wrote here");
          defaultHeap.free(block);
        }
      }
      parentPort.postMessage("done");`;
    const posted = await Promise.all(Array.from({ length: 4 }, () => runWorker(script)));
    expect(posted).to.deep.equal([["done"], ["done"], ["done"], ["done"]]);
  });

  it("gets a copy of a block that is posted to it, and the block stays", async () => {
    const block = heap.alloc(100);
    new Uint8Array(block).fill(3);
    const worker = new Worker(
      `const { parentPort } = require("node:worker_threads");
       parentPort.once("message", (copy) => {
         const sum = new Uint8Array(copy).reduce((a, b) => a + b);
         parentPort.postMessage(sum);
       });`,
      { eval: true },
    );
    worker.postMessage(block);
    expect(await new Promise((resolve) => worker.once("message", resolve))).to.equal(300);
    await worker.terminate();
    expect(heap.owns(block)).to.equal(true);
    heap.free(block);
  });

  it("leaves this thread's garbage to this thread", async () => {
    const mine = new Heap();
    for (let index = 0; index < 100; index++) mine.alloc(100);
    await runWorker("for (let index = 0; index < 1000; index++) defaultHeap.alloc(100);");
    await collectUntil(() => mine.bytesInUse === 0);
    expect(mine.stats()).to.include({ reclaimed: 100, reclaimedBytes: 10_000 });
  });
});
