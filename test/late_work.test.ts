import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE_ROOT, runScript } from "./child_process.js";
import { runtimeName } from "./runtime_features.js";

const OFFHEAP = JSON.stringify(join(PACKAGE_ROOT, "dist", "index.js"));

/** Runs a script that must print "survived" and nothing else, in a process of its own. */
function expectSurvival(script: string): void {
  const result = runScript("commonjs", `const { heap, Heap } = require(${OFFHEAP}); ${script}`, ["--expose-gc"]);
  expect(result).to.deep.equal({ status: 0, signal: null, stdout: "survived\n", stderr: "" });
}

describe("work that goes on after a block was freed", () => {
  for (const size of [1000, 65_536, 32 << 20]) {
    it(`of a Buffer method whose argument frees the block ends in peace, at ${size} bytes`, () => {
      expectSurvival(`
        for (const call of [
          (block, free) => block.utf8Slice({ valueOf: free }, 900),
          (block, free) => block.hexWrite("deadbeef".repeat(100), { valueOf: free }, 400),
          (block, free) => block.fill({ valueOf: free }),
        ]) {
          const own = new Heap();
          const block = own.allocBuffer(${size});
          const free = () => { own.free(block); own.trim(); own.close(); return 0; };
          // Refused where the runtime sees in time that the buffer is detached.
          const refused = (error) => error.code !== undefined || /detached/.test(error.message);
          try { call(block, free); } catch (error) { if (!refused(error)) throw error; }
        }
        console.log("survived");
      `);
    });
  }

  it("in another thread ends in peace, and what it writes does not show in zeroed blocks", () => {
    expectSurvival(`
      const { randomFill } = require("node:crypto");
      let pending = 6;
      const oneIsDone = () => {
        if (--pending > 0) return;
        for (const size of [64 << 20, 1 << 20, 4096]) {
          if (new Uint8Array(heap.alloc(size)).some((byte) => byte !== 0)) throw new Error("not zero");
        }
        console.log("survived");
      };
      // Deno writes its random bytes when they are all there, finds the buffer detached and says so to nobody.
      process.on("uncaughtException", (error) => {
        if (${runtimeName === "deno"} && /detached/.test(error.message)) oneIsDone();
        else throw error;
      });
      for (let count = 0; count < 6; count++) {
        const block = heap.allocBuffer(64 << 20);
        randomFill(block, oneIsDone);
        heap.free(block);
        heap.trim();
      }
    `);
  });

  it("is met by no hole in the process's mappings, however blocks were freed", function () {
    // Elsewhere there is no limit on mappings.
    if (process.platform !== "linux") this.skip();
    expectSurvival(`
      const { readFileSync } = require("node:fs");
      const mappings = () => readFileSync("/proc/self/maps", "utf8").split("\\n").length;
      const blocks = Array.from({ length: 20_000 }, () => heap.allocUnsafe(65_536));
      const before = mappings();
      for (let index = 0; index < blocks.length; index += 2) heap.free(blocks[index]);
      heap.trim();
      if (mappings() - before > 200) throw new Error("one mapping became " + (mappings() - before));
      if (heap.stats().decommitsRefused !== 0) throw new Error("refused");
      console.log("survived");
    `);
  });
});
