import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE_ROOT, runScript } from "./child_process.js";
import { notExportedCode } from "./runtime_features.js";

const NAMES = ["Heap", "Layout", "OffheapError", "Scope", "heap", "renderSnapshot", "runtime"];
const SUCCESS = { status: 0, signal: null, stdout: "done\n", stderr: "" };

describe("the package", () => {
  it("can be required", () => {
    const result = runScript(
      "commonjs",
      `const assert = require("node:assert");
       const offheap = require("offheap");
       assert.deepEqual(Object.keys(offheap).sort(), ${JSON.stringify(NAMES)});
       offheap.heap.free(offheap.heap.alloc(8));
       assert.deepEqual(Object.keys(require("offheap/global")).sort(), ["Installation", "install"]);
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });

  it("can be imported, with each name", () => {
    const result = runScript(
      "module",
      `import assert from "node:assert";
       import * as offheap from "offheap";
       import { ${NAMES.join(", ")} } from "offheap";
       import { install } from "offheap/global";
       assert.deepEqual(Object.keys(offheap).sort(), ${JSON.stringify(NAMES)});
       heap.free(heap.alloc(8));
       assert.equal(typeof install, "function");
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });

  it("is one and the same for import and require", () => {
    const result = runScript(
      "module",
      `import assert from "node:assert";
       import { createRequire } from "node:module";
       import * as imported from "offheap";
       const required = createRequire(import.meta.url)("offheap");
       for (const name of ${JSON.stringify(NAMES)}) assert.equal(imported[name], required[name], name);
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });

  it("knows its version and what it found", () => {
    const { version } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { version: string };
    const result = runScript(
      "commonjs",
      `const assert = require("node:assert");
       const { runtime } = require("offheap");
       const { buffers, pageSize, allocationGranularity, regionSize, version } = runtime;
       assert.equal(version, ${JSON.stringify(version)});
       assert(["v8", "napi"].includes(buffers));
       assert(pageSize >= 4096 && allocationGranularity >= pageSize && regionSize > allocationGranularity);
       assert(Object.isFrozen(runtime));
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });

  it("keeps its inner files to itself", () => {
    const result = runScript(
      "commonjs",
      `const assert = require("node:assert");
       assert.throws(() => require("offheap/dist/addon.js"), { code: ${JSON.stringify(notExportedCode)} });
       assert.equal(require("offheap/package.json").name, "offheap");
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });

  it("runs nothing when a user installs it, and brings no other package", () => {
    const { scripts, gypfile, ...others } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
      gypfile: boolean;
    };
    expect(others).to.not.have.any.keys("dependencies", "optionalDependencies", "peerDependencies");
    expect(scripts).to.not.have.any.keys("preinstall", "install", "postinstall");
    expect(gypfile).to.equal(false);
  });
});

describe("the default heap", () => {
  it("has a name and no limit, and cannot be closed", () => {
    const result = runScript(
      "commonjs",
      `const assert = require("node:assert");
       const { Heap, heap } = require("offheap");
       assert(heap instanceof Heap);
       assert.deepEqual([heap.name, heap.limit, heap.closed], ["default", Infinity, false]);
       const refused = { name: "OffheapError", code: "ERR_OFFHEAP_UNSUPPORTED", message: /shared/ };
       assert.throws(() => heap.close(), refused);
       assert.throws(() => Heap.prototype.close.call(heap), refused);
       assert.throws(() => heap[Symbol.dispose](), refused);
       heap.free(heap.alloc(8));
       assert.equal(heap.closed, false);
       console.log("done");`,
    );
    expect(result).to.deep.equal(SUCCESS);
  });
});

describe("a process", () => {
  for (const [title, script] of [
    ["ends by itself with live blocks", "heap.alloc(1000);"],
    ["ends by itself right after a free", "heap.free(heap.alloc(50_000_000));"],
    ["ends with process.exit with live blocks", "heap.alloc(1000); process.exit(0);"],
    [
      "ends with blocks of several heaps, closed and forgotten",
      `
      globalThis.kept = [];
      for (let index = 0; index < 50; index++) {
        const other = new Heap();
        kept.push(other.alloc(1000), other.alloc(10_000_000));
        if (index % 2) other.close();
      }
      kept.length = 50;`,
    ],
    ["ends while garbage is collected", "for (let index = 0; index < 100_000; index++) heap.alloc(100);"],
    [
      "ends from a beforeExit that allocates",
      `
      let rounds = 0;
      process.on("beforeExit", () => { if (rounds++ < 3) setImmediate(() => heap.alloc(100)); });`,
    ],
    [
      "ends with blocks freed in an exit handler",
      `
      const block = heap.alloc(100);
      process.on("exit", () => heap.free(block));`,
    ],
  ] as const) {
    it(title, () => {
      const result = runScript("commonjs", `const { Heap, heap } = require("offheap"); ${script}`, ["--expose-gc"]);
      expect(result).to.deep.equal({ ...SUCCESS, stdout: "" });
    });
  }
});
