/** Blocks that go to another thread in a transfer list. */
import { MessageChannel, markAsUntransferable, receiveMessageOnPort } from "node:worker_threads";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { runtime } from "../dist/index.js";
import { runScript } from "./child_process.js";
import { collectUntil } from "./garbage.js";
import { bytesOf, caught, expectOffheapError, expectUnchanged } from "./promises.js";
import { markedTransferError, movesExternalBuffers, nodeMajor, refusesDuplicateTransfers } from "./runtime_features.js";
import { finish, nextMessage, OFFHEAP, startWorker } from "./workers.js";

const moves = runtime.buffers === "v8" || movesExternalBuffers;

if (moves) {
  describe("a block that is moved", () => {
    it("arrives in another thread with no copy, in the same heap's accounts, and is freed there", async () => {
      const heap = new Heap();
      const worker = startWorker(
        `const heap = Heap.open(workerData);
         parentPort.once("message", (block) => {
           const bytes = new Uint8Array(block);
           const seen = [heap.owns(block), heap.addressOf(block), heap.bytesInUse, bytes.every((byte) => byte === 7)];
           heap.free(block);
           parentPort.postMessage([...seen, bytes.length, heap.bytesInUse]);
         });`,
        heap.handle,
      );
      const block = heap.alloc(100_000);
      const view = bytesOf(block).fill(7);
      const address = heap.addressOf(block);
      const inUse = heap.bytesInUse;
      worker.postMessage(block, [block]);
      expect([block.byteLength, view.length]).to.deep.equal([0, 0]);
      expect(heap.bytesInUse).to.equal(inUse);
      expectOffheapError("ERR_OFFHEAP_FREED", () => heap.free(block));
      expectOffheapError("ERR_OFFHEAP_FREED", () => heap.realloc(view, 8));
      const [seen] = await finish(worker);
      expect(seen).to.deep.equal([true, address, inUse, true, 0, inUse - 100_000]);
      expect(heap.bytesInUse).to.equal(inUse - 100_000);
    });

    it("can go there and back again, and be reallocated on its way", async () => {
      const mine = new Heap({ name: "ping" });
      const worker = startWorker(
        `const mine = Heap.open(workerData);
         parentPort.on("message", (block) => {
           if (block === null) return process.exit();
           const larger = mine.realloc(block, block.byteLength * 2);
           parentPort.postMessage(larger, [larger]);
         });`,
        mine.handle,
      );
      let block = mine.alloc(1000);
      bytesOf(block).fill(1);
      for (let round = 0; round < 10; round++) {
        worker.postMessage(block, [block]);
        block = await nextMessage<ArrayBuffer>(worker);
        expect([mine.owns(block), mine.bytesInUse, mine.blocksInUse]).to.deep.equal([true, 1000 * 2 ** (round + 1), 1]);
      }
      const bytes = bytesOf(block);
      expect([bytes.subarray(0, 1000).every((byte) => byte === 1), bytes.subarray(1000).some(Boolean)]).to.deep.equal([
        true,
        false,
      ]);
      worker.postMessage(null);
      await finish(worker);
      mine.free(block);
      expect([mine.bytesInUse, mine.stats().usable]).to.deep.equal([0, 0]);
    });

    it("by structuredClone() is the same block under a new buffer", () => {
      const heap = new Heap();
      const block = heap.alloc(64);
      bytesOf(block)[0] = 9;
      const address = heap.addressOf(block);
      const before = heap.bytesInUse;
      const moved = structuredClone(block, { transfer: [block] });
      expect([heap.owns(moved), heap.addressOf(moved), bytesOf(moved)[0], heap.bytesInUse]).to.deep.equal([
        true,
        address,
        9,
        before,
      ]);
      expectOffheapError("ERR_OFFHEAP_FREED", () => heap.free(block));
      heap.free(moved);
      expect(heap.bytesInUse).to.equal(before - 64);
    });

    it("twice is one move, and nothing is lost", () => {
      const mine = new Heap();
      const { port1, port2 } = new MessageChannel();
      const block = mine.alloc(64);
      port1.postMessage(block, [block]);
      // Node 20 moves a buffer that has no memory any more, and so nothing.
      if (nodeMajor < 21) expect(structuredClone(block, { transfer: [block] }).byteLength).to.equal(0);
      else expect(caught(() => structuredClone(block, { transfer: [block] })).name).to.equal("DataCloneError");
      const { message } = receiveMessageOnPort(port2) as { message: ArrayBuffer };
      expect([mine.bytesInUse, message.byteLength]).to.deep.equal([64, 64]);
      mine.free(message);
      port1.close();
      expect(mine.bytesInUse).to.equal(0);
    });

    it(`in one message twice is ${refusesDuplicateTransfers ? "refused" : "moved once"} by the runtime`, () => {
      const mine = new Heap();
      const block = mine.alloc(64);
      const moveTwice = () => structuredClone(block, { transfer: [block, block] });
      if (refusesDuplicateTransfers) {
        expect(caught(moveTwice).name).to.equal("DataCloneError");
        expect([block.byteLength, mine.owns(block)]).to.deep.equal([64, true]);
        mine.free(block);
      } else {
        mine.free(moveTwice());
        expect(block.byteLength).to.equal(0);
      }
      expect(mine.bytesInUse).to.equal(0);
    });

    it("to a port that nobody reads comes back when the port is closed", async () => {
      const mine = new Heap();
      const { port1, port2 } = new MessageChannel();
      for (let count = 0; count < 10; count++) {
        const block = mine.alloc(1000);
        port1.postMessage(block, [block]);
      }
      expect(mine.bytesInUse).to.equal(10_000);
      port1.close();
      port2.close();
      await collectUntil(() => mine.bytesInUse === 0);
    });

    it("cannot be moved while it is marked as untransferable, and is freed or refused as a locked one", () => {
      const mine = new Heap();
      const block = mine.alloc(64);
      markAsUntransferable(block);
      if (nodeMajor < 21) {
        expect(structuredClone(block, { transfer: [block] }).byteLength).to.equal(64);
      } else {
        expect(caught(() => structuredClone(block, { transfer: [block] })).name).to.equal(markedTransferError);
      }
      expect([block.byteLength, mine.bytesInUse]).to.deep.equal([64, 64]);
      if (nodeMajor < 24) {
        mine.free(block);
        expect(mine.bytesInUse).to.equal(0);
      } else {
        expectUnchanged(mine, "ERR_OFFHEAP_LOCKED", () => mine.free(block));
        expectUnchanged(mine, "ERR_OFFHEAP_LOCKED", () => mine.realloc(block, 100_000));
        expectUnchanged(mine, "ERR_OFFHEAP_LOCKED", () => mine.realloc(block, 8));
      }
    });

    it("of another heap than the one asked to free it is foreign there too", async () => {
      const mine = new Heap();
      const worker = startWorker(`
        parentPort.once("message", (block) => {
          try { defaultHeap.free(block); } catch (error) { parentPort.postMessage([error.code, block.byteLength]); }
        });`);
      const block = mine.alloc(64);
      worker.postMessage(block, [block]);
      expect(await finish(worker)).to.deep.equal([["ERR_OFFHEAP_FOREIGN", 64]]);
      await collectUntil(() => mine.bytesInUse === 0);
    });

    it("out of a worker outlives it, and is freed here", async () => {
      const mine = new Heap();
      const worker = startWorker(
        `const mine = Heap.open(workerData);
         const kept = Array.from({ length: 100 }, () => mine.alloc(50_000));
         globalThis.kept = kept;
         const block = mine.alloc(100_000);
         new Uint8Array(block).fill(0xab);
         parentPort.postMessage(block, [block]);`,
        mine.handle,
      );
      const [block] = (await finish(worker)) as [ArrayBuffer];
      // What the worker kept has ended with it.
      expect([mine.bytesInUse, mine.blocksInUse]).to.deep.equal([100_000, 1]);
      expect(bytesOf(block).every((byte) => byte === 0xab)).to.equal(true);
      const others = Array.from({ length: 100 }, () => bytesOf(mine.alloc(50_000)).fill(1));
      expect(bytesOf(block).every((byte) => byte === 0xab)).to.equal(true);
      for (const other of others) mine.free(other);
      mine.free(block);
      expect(mine.bytesInUse).to.equal(0);
    });

    it("out of the only thread that loaded offheap stays usable and collectable when that thread has ended", () => {
      const result = runScript(
        "commonjs",
        `const { Worker } = require("node:worker_threads");
         const script = ${JSON.stringify(`
           const { heap } = require(${OFFHEAP});
           const blocks = Array.from({ length: 20 }, (_, index) => new Uint8Array(heap.alloc(10_000)).fill(index).buffer);
           require("node:worker_threads").parentPort.postMessage(blocks, blocks);`)};
         (async () => {
           let blocks;
           const worker = new Worker(script, { eval: true });
           worker.on("message", (message) => { blocks = message; });
           await new Promise((resolve) => worker.on("exit", resolve));
           (() => {
             for (const [index, block] of blocks.entries()) {
               if (!new Uint8Array(block).every((byte) => byte === index)) throw new Error("changed");
             }
           })();
           blocks = undefined;
           for (let turn = 0; turn < 5; turn++) {
             gc();
             await new Promise((resolve) => setTimeout(resolve, 5));
           }
           const { heap } = require(${OFFHEAP});
           console.log(heap.bytesInUse, heap.stats().reclaimed);
         })();`,
        ["--expose-gc"],
      );
      expect(result).to.deep.equal({ status: 0, signal: null, stdout: "0 20\n", stderr: "" });
    });
  });
} else {
  describe("a block in a transfer list, with Node-API", () => {
    const { port1 } = new MessageChannel();
    port1.close();
    const attempts: readonly [string, (block: ArrayBuffer) => unknown][] = [
      ["postMessage(block, [block])", (block) => port1.postMessage(block, [block])],
      ["postMessage(value, [block])", (block) => port1.postMessage(8, [block])],
      [
        "postMessage(block, { transfer: [block] })",
        (block) => Reflect.apply(port1.postMessage, port1, [block, { transfer: [block] }]),
      ],
      ["structuredClone(block, { transfer: [block] })", (block) => structuredClone(block, { transfer: [block] })],
    ];
    for (const [title, attempt] of attempts) {
      it(`is refused: ${title}`, () => {
        const mine = new Heap();
        const block = mine.alloc(64);
        const error = caught(() => attempt(block));
        if (nodeMajor < 21) {
          expect(error.code).to.equal("ERR_OFFHEAP_UNSUPPORTED");
          expect(error.message).to.match(/cannot move a block.*allocShared.*V8 build/);
        } else {
          expect(error.name).to.equal("DataCloneError");
        }
        expect([block.byteLength, mine.owns(block), mine.bytesInUse]).to.deep.equal([64, true, 64]);
        mine.free(block);
      });
    }

    it("and nothing else is", () => {
      const { port1: from, port2: to } = new MessageChannel();
      const other = new ArrayBuffer(8);
      from.postMessage(other, [other]);
      const received = receiveMessageOnPort(to) as { message: ArrayBuffer };
      expect([other.byteLength, received.message.byteLength]).to.deep.equal([0, 8]);
      expect(structuredClone({ a: [1] })).to.deep.equal({ a: [1] });
      expect(caught(() => structuredClone(8, { transfer: as8() })).name).to.match(/TypeError|DataCloneError/);
      from.close();
    });
  });
}

/** No transfer list. */
function as8(): ArrayBuffer[] {
  return [8] as unknown as ArrayBuffer[];
}
