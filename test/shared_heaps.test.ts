/** One heap in many threads. */
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { type HeapHandle, heap, runtime } from "../dist/index.js";
import { PACKAGE_ROOT, runScript, runScriptWithManyWorkers } from "./child_process.js";
import { collectUntil } from "./garbage.js";
import { as, expectOffheapError, expectRefusal } from "./promises.js";
import { losesGarbageOfWorkers, terminateEndsBusyWorkers } from "./runtime_features.js";
import { nextMessage, OFFHEAP, runWorker, startWorker } from "./workers.js";

/** How many workers come and go. A run over many runtimes may ask for fewer. */
const WORKERS = Number(process.env.OFFHEAP_TEST_WORKERS ?? 1000);

describe("Heap.open", () => {
  it("opens the same heap in another thread: one memory, one limit, one account", async () => {
    const mine = new Heap({ name: "frames", limit: 1000, buckets: [64, 512] });
    const block = mine.alloc(400);
    const posted = await runWorker(
      `const theirs = Heap.open(workerData);
       const before = [theirs.name, theirs.limit, theirs.closed, theirs.bytesInUse, theirs.blocksInUse];
       const block = theirs.alloc(500);
       let refusal;
       try { theirs.alloc(101); } catch (error) { refusal = [error.code, error.limit, error.inUse, error.asked]; }
       const during = [theirs.bytesInUse, theirs.snapshot().buckets.map(({ blockBytes }) => blockBytes)];
       theirs.free(block);
       parentPort.postMessage([before, refusal, during, theirs.bytesInUse]);`,
      mine.handle,
    );
    expect(posted).to.deep.equal([
      [["frames", 1000, false, 400, 1], ["ERR_OFFHEAP_LIMIT", 1000, 900, 101], [900, [64, 512]], 400],
    ]);
    expect(mine.stats()).to.include({ requested: 400, blocks: 1, allocations: 2, frees: 1, failures: 1, peak: 900 });
    mine.free(block);
    expect(mine.bytesInUse).to.equal(0);
  });

  it("in the same thread gives another Heap over the same heap", () => {
    const mine = new Heap({ name: "twice" });
    const again = Heap.open(structuredClone(mine.handle));
    const block = mine.alloc(100);
    expect([again.owns(block), again.bytesInUse, again.name]).to.deep.equal([true, 100, "twice"]);
    again.free(block);
    again.close();
    expect([mine.closed, mine.bytesInUse]).to.deep.equal([true, 0]);
    expectOffheapError("ERR_OFFHEAP_CLOSED", () => mine.alloc(1));
  });

  it("of the default heap gives one that cannot be closed either", () => {
    const again = Heap.open(heap.handle);
    expectOffheapError("ERR_OFFHEAP_UNSUPPORTED", () => again.close());
    expect([again.name, heap.closed]).to.deep.equal(["default", false]);
  });

  it("refuses what is no handle", () => {
    const { name, key } = new Heap().handle;
    const wrong: readonly unknown[] = [
      undefined,
      null,
      8,
      "handle",
      [],
      {},
      { name },
      { key },
      { name: 8, key },
      { name, key: 8 },
      { name, key: "" },
      { name, key: `${key}x` },
      { name, key: `${key}/1` },
      { name, key: key.replace(/\d+$/, "-1") },
      { name, key: key.replace(/\d+$/, "0") },
    ];
    for (const handle of wrong) {
      const error = expectRefusal("ERR_INVALID_ARG_TYPE", () => Heap.open(as(handle)));
      expect(error.message).to.match(/"handle".*heap\.handle/);
    }
  });

  it("refuses a handle of another process, and of another copy of the library", () => {
    const { name, key } = new Heap().handle;
    for (const other of [key.replace(/^\d+/, "1"), key.replace(/0x/, "1x"), key.replace(/^[^/]*/, "x")]) {
      const error = expectOffheapError("ERR_OFFHEAP_FOREIGN", () => Heap.open({ name, key: other }));
      expect(error.message).to.match(/another process/);
    }
  });

  it("refuses the handle of a heap that is gone", async () => {
    let handle = as<HeapHandle>(undefined);
    (() => {
      handle = new Heap({ name: "gone" }).handle;
    })();
    await collectUntil(() => {
      try {
        Heap.open(handle);
        return false;
      } catch (error) {
        return (error as { code?: string }).code === "ERR_OFFHEAP_CLOSED";
      }
    });
    const { name, key } = heap.handle;
    const never = { name, key: key.replace(/\d+$/, "9007199254740991") };
    expect(expectOffheapError("ERR_OFFHEAP_CLOSED", () => Heap.open(never)).message).to.match(
      /"default" open any more/,
    );
  });

  it("opens a closed heap, whose blocks can be freed and which hands out no more", () => {
    const mine = new Heap();
    const block = mine.alloc(64);
    mine.close();
    const again = Heap.open(mine.handle);
    expectOffheapError("ERR_OFFHEAP_CLOSED", () => again.alloc(1));
    again.free(block);
    expect(again.bytesInUse).to.equal(0);
  });

  it("is refused on the wrong receiver for the handle", () => {
    expectRefusal("ERR_INVALID_THIS", () => Reflect.get(Heap.prototype, "handle", {}));
  });
});

describe("a heap in many threads", () => {
  it("keeps contents apart and counts exact while several threads allocate and free at once", async () => {
    const mine = new Heap();
    const script = `
      const mine = Heap.open(workerData.handle);
      const seed = workerData.seed;
      let state = seed;
      const random = (below) => { state = (Math.imul(state, 1103515245) + 12345) >>> 0; return (state >>> 8) % below; };
      const live = [];
      for (let step = 0; step < 20_000; step++) {
        if (live.length < 100 || random(2) === 0) {
          const bytes = new Uint8Array(mine.alloc(1 + random(step % 50 === 0 ? 200_000 : 2000)));
          if (bytes[0] !== 0 || bytes[bytes.length - 1] !== 0) throw new Error("not zeroed");
          bytes.fill(seed);
          live.push(bytes);
        } else {
          const [bytes] = live.splice(random(live.length), 1);
          if (bytes[0] !== seed || bytes[bytes.length - 1] !== seed) throw new Error("somebody else wrote here");
          mine.free(bytes);
        }
        if (live.length > 200) for (const bytes of live.splice(0, 150)) mine.free(bytes);
        if (step % 1000 === 0) { mine.stats(); mine.trim(); }
      }
      for (const bytes of live) mine.free(bytes);
      parentPort.postMessage("done");`;
    const runs = [1, 2, 3, 4].map((seed) => runWorker(script, { handle: mine.handle, seed }));
    for (let round = 0; round < 200; round++) {
      const { requested, usable, blocks, allocations, frees } = mine.stats();
      expect(usable).to.be.at.least(requested);
      expect(allocations - frees).to.equal(blocks);
      mine.snapshot();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await Promise.all(runs)).to.deep.equal([["done"], ["done"], ["done"], ["done"]]);
    const stats = mine.stats();
    expect(stats).to.include({ requested: 0, usable: 0, blocks: 0, reclaimed: 0 });
    expect(stats.allocations).to.equal(stats.frees);
    expect([mine.bytesInUse, mine.blocksInUse]).to.deep.equal([0, 0]);
  });

  it("closed in one thread is closed in all", async () => {
    const mine = new Heap();
    const worker = startWorker(
      `const mine = Heap.open(workerData);
       const block = mine.alloc(64);
       parentPort.postMessage("ready");
       parentPort.once("message", () => {
         let code;
         try { mine.alloc(1); } catch (error) { code = error.code; }
         mine.free(block);
         parentPort.postMessage([mine.closed, code, mine.bytesInUse]);
       });`,
      mine.handle,
    );
    await nextMessage(worker);
    expect(mine.bytesInUse).to.equal(64);
    mine.close();
    worker.postMessage("go");
    expect(await nextMessage(worker)).to.deep.equal([true, "ERR_OFFHEAP_CLOSED", 0]);
    await worker.terminate();
  });

  it("hands the addresses of threads that have ended to the next, and their pages to the kernel", async () => {
    const mine = new Heap();
    const script = `
      const mine = Heap.open(workerData);
      const blocks = Array.from({ length: 100 }, () => new Uint8Array(mine.allocUnsafe(100_000)).fill(1));
      for (const block of blocks) mine.free(block);
      const { reserved, committed } = mine.stats();
      parentPort.postMessage([reserved, committed > 10_000_000]);`;
    const first = await runWorker(script, mine.handle);
    for (let round = 0; round < 5; round++) {
      expect(await runWorker(script, mine.handle)).to.deep.equal(first);
      expect(mine.stats().committed).to.be.lessThan(1_000_000);
    }
    expect((first[0] as unknown[])[1]).to.equal(true);
  });

  const when = terminateEndsBusyWorkers ? "in the middle of allocating" : "when they had allocated";
  it(`is left with nothing in use by ${WORKERS} workers, many of them ended ${when}`, function () {
    this.timeout(600_000);
    const script = `
      const { heap } = require(${OFFHEAP});
      const { parentPort, workerData } = require("node:worker_threads");
      globalThis.live = [];
      for (let index = 0; index < 50; index++) live.push(heap.alloc(1000 + index * 100));
      parentPort.postMessage("ready");
      if (${terminateEndsBusyWorkers} && workerData % 2 === 0) for (;;) {
        live.push(heap.alloc(1 + live.length * 7));
        if (live.length > 300) {
          // No garbage: it would be lost where buffers are finalized late.
          globalThis.freeing = live.splice(0, 200);
          for (const block of freeing) heap.free(block);
        }
      }`;
    const result = runScriptWithManyWorkers(
      `const { Worker } = require("node:worker_threads");
       const { heap } = require("offheap");
       const mine = Array.from({ length: 50 }, (_, index) => new Uint8Array(heap.alloc(1000)).fill(index));
       const run = async (index) => {
         const worker = new Worker(${JSON.stringify(script)}, { eval: true, workerData: index });
         const ended = new Promise((resolve) => worker.on("exit", resolve));
         await new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject));
         if (index % 2 === 0) await worker.terminate();
         await ended;
       };
       (async () => {
         let early = 0;
         for (let index = 0; index < ${WORKERS}; index += 4) {
           await Promise.all([run(index), run(index + 1), run(index + 2), run(index + 3)]);
           if (index === ${WORKERS / 5}) early = process.memoryUsage.rss();
         }
         for (const [index, block] of mine.entries()) {
           if (!block.every((byte) => byte === index)) throw new Error("a worker wrote here");
           heap.free(block);
         }
         const { blocks, usable, allocations, frees } = heap.stats();
         const growth = process.memoryUsage.rss() - early;
         console.log(JSON.stringify({ bytes: heap.bytesInUse, usable, blocks, lost: allocations - frees, growth }));
       })();`,
    );
    const { stdout, ...end } = result;
    expect(end).to.deep.equal({ status: 0, signal: null, stderr: "" });
    const { growth, ...left } = JSON.parse(stdout) as { blocks: number; lost: number; growth: number };
    // What is lost with a worker, and Node's own record of it, adds up.
    expect(growth).to.be.lessThan((losesGarbageOfWorkers(runtime.buffers) ? 160 : 64) << 20);
    if (losesGarbageOfWorkers(runtime.buffers)) {
      // The one whose making was interrupted, in each worker that was ended so.
      expect(left.blocks).to.be.at.most(WORKERS / 2);
      expect(left.lost).to.equal(left.blocks);
    } else {
      expect(left).to.deep.equal({ bytes: 0, usable: 0, blocks: 0, lost: 0 });
    }
  });

  it("does not know the blocks of another copy of the package in the same process", function () {
    this.timeout(60_000);
    const copy = mkdtempSync(join(tmpdir(), "offheap-copy-"));
    try {
      for (const name of ["package.json", "dist", "build/Release", "prebuilds"]) {
        if (!existsSync(join(PACKAGE_ROOT, name))) continue;
        spawnSync("mkdir", ["-p", join(copy, name, "..")]);
        cpSync(join(PACKAGE_ROOT, name), join(copy, name), {
          recursive: true,
          filter: (path) => !path.includes("obj.target"),
        });
      }
      symlinkSync(join(PACKAGE_ROOT, "node_modules"), join(copy, "node_modules"));
      const result = runScript(
        "commonjs",
        `const one = require(${OFFHEAP});
         const two = require(${JSON.stringify(join(copy, "dist", "index.js"))});
         const { Worker } = require("node:worker_threads");
         const code = (action) => { try { action(); return "done"; } catch (error) { return error.code; } };
         const first = one.heap.alloc(100);
         const second = two.heap.alloc(200);
         console.log(one === two, one.heap.bytesInUse, two.heap.bytesInUse, one.heap.owns(second), two.heap.owns(first));
         console.log(code(() => one.heap.free(second)), code(() => two.heap.free(first)), code(() => two.Heap.open(one.heap.handle)));
         const script = "const one = require(" + ${JSON.stringify(OFFHEAP)} + "); one.heap.free(one.heap.alloc(10)); globalThis.kept = one.heap.alloc(10);";
         new Worker(script, { eval: true }).on("exit", () => {
           one.heap.free(first);
           two.heap.free(second);
           console.log(one.heap.bytesInUse, two.heap.bytesInUse, one.runtime.buffers === two.runtime.buffers);
         });`,
      );
      expect(result).to.deep.equal({
        status: 0,
        signal: null,
        stdout: "false 100 200 false false\nERR_OFFHEAP_FOREIGN ERR_OFFHEAP_FOREIGN ERR_OFFHEAP_FOREIGN\n0 0 true\n",
        stderr: "",
      });
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  if (runtime.buffers === "v8") {
    it("frees what another thread allocated, while that one goes on allocating", async () => {
      const mine = new Heap();
      const worker = startWorker(
        `const mine = Heap.open(workerData);
         for (let batch = 0; batch < 100; batch++) {
           const blocks = Array.from({ length: 50 }, (_, index) => mine.alloc(1 + index * 100));
           for (const [index, block] of blocks.entries()) new Uint8Array(block).fill(index);
           parentPort.postMessage(blocks, blocks);
         }
         parentPort.postMessage(undefined);`,
        mine.handle,
      );
      await new Promise<void>((resolve, reject) => {
        worker.on("error", reject);
        worker.on("message", (blocks: ArrayBuffer[] | undefined) => {
          if (blocks === undefined) return resolve();
          for (const [index, block] of blocks.entries()) {
            const bytes = new Uint8Array(block);
            if (bytes[0] !== index || bytes.at(-1) !== index) reject(new Error("changed on its way"));
            mine.free(bytes);
          }
        });
      });
      await worker.terminate();
      const { blocks, usable, allocations, frees, reclaimed } = mine.stats();
      expect([blocks, usable, allocations, frees, reclaimed]).to.deep.equal([0, 0, 5000, 5000, 0]);
    });

    it("takes a block back when whoever works on it is done, not before", async () => {
      const mine = new Heap();
      const { promisify } = await import("node:util");
      const { pbkdf2, createHash } = await import("node:crypto");
      const salt = mine.alloc(64);
      new Uint8Array(salt).fill(1);
      const work = promisify(pbkdf2)("password", new Uint8Array(salt), 50_000, 32, "sha256");
      mine.free(salt);
      const other = new Uint8Array(mine.alloc(64)).fill(2);
      const expected = await promisify(pbkdf2)("password", new Uint8Array(64).fill(1), 50_000, 32, "sha256");
      expect((await work).equals(expected)).to.equal(true);
      expect(createHash("sha256").update(other).digest().length).to.equal(32);
      mine.free(other);
      await collectUntil(() => mine.bytesInUse === 0);
      expect(mine.stats().reclaimed).to.equal(0);
    });

    it("survives a long synchronous loop that drops every block", () => {
      const result = runScript(
        "commonjs",
        `const { heap } = require("offheap");
         for (let count = 0; count < 100_000; count++) new Uint8Array(heap.allocUnsafe(65_536)).fill(1);
         const { reclaimed } = heap.stats();
         console.log(process.resourceUsage().maxRSS < 2 << 20, reclaimed > 80_000);`,
      );
      expect(result).to.deep.equal({ status: 0, signal: null, stdout: "true true\n", stderr: "" });
    });
  }
});
