import { join } from "node:path";
import { expect } from "chai";
import { runtime } from "../dist/index.js";
import { PACKAGE_ROOT, runScript } from "./child_process.js";
import { nodeMajor, transferOf } from "./runtime_features.js";

const ADDON = JSON.stringify(join(PACKAGE_ROOT, "dist", "addon.js"));
const OFFHEAP = JSON.stringify(join(PACKAGE_ROOT, "dist", "index.js"));

/** Where the runtime's own detach may end the process, free() goes by transfer(). */
const callsTransfer = runtime.buffers === "napi" && nodeMajor >= 24;

/** Runs a script that must print "survived" and nothing else, in a process of its own. */
function expectSurvival(script: string): void {
  const result = runScript("commonjs", script, ["--expose-gc"]);
  expect(result).to.deep.equal({ status: 0, signal: null, stdout: "survived\n", stderr: "" });
}

/** Ends `workers` workers that run `script`, each some milliseconds after it started; then `after` in the main thread. */
function endWorkersOf(script: string, workers: number, after = ""): string {
  return `
    const { Worker } = require("node:worker_threads");
    const script = ${JSON.stringify(`const { Heap } = require(${OFFHEAP}); ${script}`)};
    (async () => {
      for (let count = 0; count < ${workers}; count++) {
        const worker = new Worker(script, { eval: true });
        let received;
        worker.on("message", (message) => { received = message; });
        await new Promise((resolve) => worker.once("message", resolve));
        await new Promise((resolve) => setTimeout(resolve, count % 10));
        await worker.terminate();
        ${after}
      }
      console.log("survived");
    })();`;
}

describe("what other code does in the middle of a call", () => {
  for (const property of ["kind", "address", "requested", "regions", "0"]) {
    it(`a setter for ${JSON.stringify(property)} on a prototype is not called by snapshot() and stats()`, () => {
      expectSurvival(`
        const { Heap } = require(${OFFHEAP});
        const native = require(${ADDON}).addon();
        const heap = new Heap();
        const blocks = [1, 100, 50_000, 20_000_000].map((size) => heap.alloc(size));
        let called = 0;
        for (const prototype of [Object.prototype, Array.prototype]) {
          Object.defineProperty(prototype, ${JSON.stringify(property)}, {
            configurable: true,
            set() { called++; for (const block of blocks.splice(0)) heap.free(block); heap.trim(); throw new Error("set"); },
          });
        }
        const raw = new native.Heap({ limit: Infinity, buckets: undefined });
        const block = native.alloc(raw.slot() * 64 + 3, 100);
        const snapshot = raw.snapshot();
        const stats = raw.stats();
        delete Object.prototype[${JSON.stringify(property)}];
        delete Array.prototype[${JSON.stringify(property)}];
        if (called !== 0) throw new Error("called");
        if (snapshot.blocks[0].requested !== 100 || snapshot.regions[0].spans[0].kind !== "bucket") throw new Error("lost");
        if (stats.requested !== 100 || heap.bytesInUse !== 20_050_101) throw new Error("counts");
        native.free(raw.slot(), block);
        console.log("survived");
      `);
    });
  }

  it("a worker that is terminated in snapshot(), stats() or the making of a heap takes nobody with it", () => {
    expectSurvival(
      endWorkersOf(
        `const heap = new Heap();
         for (let count = 0; count < 500; count++) heap.alloc(count * 100);
         require("node:worker_threads").parentPort.postMessage(1);
         for (;;) { heap.snapshot(); heap.stats(); new Heap({ buckets: [16, 64, 1024] }).close(); }`,
        12,
      ),
    );
  });

  it("a buffer that left a worker stays readable when the worker is terminated while it allocates", () => {
    // V8's own buffers move as they are. With Node-API transfer() comes first, or, without it (Node 20), it is a copy.
    const isCopy = runtime.buffers === "napi" && transferOf === undefined;
    const send = runtime.buffers === "v8" || isCopy ? "block" : "block.transfer()";
    expectSurvival(
      endWorkersOf(
        `const heap = new Heap();
         const block = heap.alloc(20 << 20);
         new Uint8Array(block).fill(7);
         const sent = ${send};
         require("node:worker_threads").parentPort.postMessage(sent, ${isCopy ? "[]" : "[sent]"});
         for (;;) heap.free(heap.alloc(64));`,
        12,
        `const bytes = new Uint8Array(received);
         if (bytes.length !== 20 << 20 || bytes[0] !== 7 || bytes[bytes.length - 1] !== 7) throw new Error("changed");`,
      ),
    );
  });

  it("a transfer() that somebody replaced cannot make two blocks of one", () => {
    expectSurvival(`
      const real = ArrayBuffer.prototype.transfer;
      let before;
      ArrayBuffer.prototype.transfer = function (...values) {
        const hook = before;
        before = undefined;
        hook?.(this);
        return real.apply(this, values);
      };
      const { Heap } = require(${OFFHEAP});
      const heap = new Heap();
      const block = heap.alloc(64);
      let nested;
      let victim;
      before = (buffer) => {
        try { heap.free(buffer); } catch (error) { nested = error.code; }
        victim = heap.alloc(64);
        new Uint8Array(victim).fill(7);
      };
      heap.free(block);
      const other = heap.allocUnsafe(64);
      new Uint8Array(other).fill(9);
      // Where the runtime's own detach is safe, transfer() is not called at all.
      const called = ${callsTransfer};
      if (called ? nested !== "ERR_OFFHEAP_FOREIGN" || new Uint8Array(victim)[0] !== 7 : victim !== undefined) throw nested;
      if (heap.blocksInUse !== (called ? 2 : 1)) throw new Error("counts");
      console.log("survived");
    `);
  });

  it("without transfer() a block is freed or stays, but does not end the process", () => {
    expectSurvival(`
      delete ArrayBuffer.prototype.transfer;
      const { Heap } = require(${OFFHEAP});
      const heap = new Heap();
      const block = heap.alloc(64);
      let code;
      try { heap.free(block); } catch (error) { code = error.code; }
      if (code !== ${callsTransfer ? '"ERR_OFFHEAP_LOCKED"' : "undefined"}) throw code;
      if (heap.bytesInUse !== ${callsTransfer ? 64 : 0}) throw new Error("counts");
      console.log("survived");
    `);
  });

  it("a hook on errors that uses the heap finds it as it was, and leaves it so", () => {
    expectSurvival(`
      const { Heap } = require(${OFFHEAP});
      const heap = new Heap({ limit: 250_000 });
      let block = heap.alloc(100_000);
      let inside;
      Error.prepareStackTrace = () => {
        if (inside === undefined) {
          inside = heap.bytesInUse;
          block = heap.realloc(block, 200_000);
        }
        return "";
      };
      try { heap.realloc(block, 300_000); } catch (error) { if (error.code !== "ERR_OFFHEAP_LIMIT") throw error; }
      if (inside !== 100_000 || heap.bytesInUse !== 200_000 || block.byteLength !== 200_000) throw new Error("counts");
      heap.free(block);
      if (heap.bytesInUse !== 0) throw new Error("left");
      console.log("survived");
    `);
  });
});
