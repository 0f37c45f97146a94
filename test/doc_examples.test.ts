/** Every example in the documentation comments of lib/ is run. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ModuleKind, ScriptTarget, transpileModule } from "typescript";
import { addon } from "../dist/addon.js";
import { PACKAGE_ROOT } from "./child_process.js";
import { expectOffheapError } from "./promises.js";

const LIB = join(PACKAGE_ROOT, "lib");

/** What an example may use without making it. */
const CONTEXT = `
  const { Heap, heap: defaultHeap, Layout, OffheapError, renderSnapshot, runtime, Scope } = require("offheap");
  const { closeSync, openSync, readSync } = require("node:fs");
  const { createHash } = require("node:crypto");
  const { describeReceived } = require("./describe.js");
  const file = openSync(__filename);
  const source = Uint8Array.of(1, 2, 3);
  let heap = defaultHeap;
  let block = heap.alloc(8);
  const chunk = heap.alloc(8);
  const worker = new (require("node:worker_threads").MessageChannel)().port1;
  worker.close();
`;

/** The blocks marked as TypeScript in the comments of a file, each with the line it starts in. */
function examplesIn(text: string): { readonly line: number; readonly code: string }[] {
  return [...text.matchAll(/^ *\* ```ts\n([\s\S]*?)^ *\* ```$/gm)].map((match) => ({
    line: text.slice(0, match.index).split("\n").length,
    code: (match[1] ?? "").replace(/^ *\* ?/gm, ""),
  }));
}

function compile(code: string): string {
  return transpileModule(code, {
    compilerOptions: { module: ModuleKind.CommonJS, target: ScriptTarget.ES2022 },
  }).outputText;
}

describe("the examples in the documentation comments", () => {
  const requireFromPackage = (name: string): unknown => {
    if (name === "offheap") return require("../dist/index.js");
    if (name === "offheap/global") return require("../dist/global.js");
    return require(name.startsWith("./") ? join("..", "dist", name) : name);
  };
  for (const name of readdirSync(LIB).filter((each) => each.endsWith(".ts"))) {
    for (const { line, code } of examplesIn(readFileSync(join(LIB, name), "utf8"))) {
      it(`lib/${name}, line ${line}`, () => {
        const body = `${CONTEXT}\ntry {\n{\n${compile(code)}\n}\n} finally { closeSync(file); }`;
        const run = new Function("require", "exports", "__filename", "console", body);
        const act = () => run(requireFromPackage, {}, __filename, { log: () => undefined });
        // Not every runtime can make shared blocks; then the example ends with what the documentation says.
        if (code.includes("allocShared") && !addon().canShare) expectOffheapError("ERR_OFFHEAP_UNSUPPORTED", act);
        else act();
      });
    }
  }
});
