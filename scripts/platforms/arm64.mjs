// @ts-check
/**
 * `npm run test:arm64`: compiles for Linux on arm64 and runs the C++ tests and the compiled mocha suite in Node's own
 * arm64 programs; on another processor under qemu. Ends with 1 when a test failed, 2 when programs are missing.
 *
 *   --only native,node-22    runs those; the beginning of a name stands for all that begin so
 */
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../prebuild/build.mjs";
import { needPrograms } from "../prebuild/needed_programs.mjs";
import { toolPrefix } from "../prebuild/node_gyp.mjs";
import { targetFor } from "../prebuild/targets.mjs";
import { CACHE } from "../runtimes/cache.mjs";
import { download } from "../runtimes/download.mjs";
import { inLanes } from "../runtimes/lanes.mjs";
import { chosen } from "../runtimes/only.mjs";
import { runSuite } from "../runtimes/run_suite.mjs";
import { makeStage } from "../runtimes/stage.mjs";
import { RUNTIMES } from "../runtimes/table.mjs";
import { runNativeTests } from "./native_tests.mjs";

const root = join(import.meta.dirname, "..", "..");
const { values } = parseArgs({ options: { only: { type: "string" } } });
// The suite is long under qemu: these two lines of Node are the ones that matter most.
const runtimes = RUNTIMES.filter(({ name }) => /^node-2[24]-/.test(name));
const names = chosen(values.only, ["native", ...runtimes.map(({ name }) => name)], (name) => name);

const emulated = process.arch !== "arm64";
const emulator = emulated ? ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"] : [];
if (emulated) {
  needPrograms({ "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64-static": "qemu-user-static" });
}
let good = true;

if (names.includes("native")) {
  const prefix = toolPrefix("arm64");
  const variables = { CXX: `${prefix}g++`, AR: `${prefix}ar`, BUILD: "build/arm64", RUNNER: emulator.join(" ") };
  good = runNativeTests(root, "linux-arm64", variables) && good;
}

const jobs = [];
for (const runtime of runtimes.filter(({ name }) => names.includes(name))) {
  const { name, version, variant, binary, flags } = runtime;
  const variants = /** @type {const} */ (["napi", "v8"]);
  /** @type {string[]} */
  const addons = [];
  for (const one of variants) addons.push(await build(root, targetFor({ ...runtime, variant: one }, "linux", "arm64")));
  const command = [...emulator, join(await download(runtime, "linux-arm64"), binary), ...flags];
  jobs.push(() =>
    runSuite({
      title: `node ${version} linux-arm64 ${variant}`,
      command,
      stage: makeStage(root, addons, "linux-arm64"),
      log: join(CACHE, "logs", `arm64-${name}.log`),
      env: { OFFHEAP_BUFFERS: variant, OFFHEAP_TEST_WORKERS: "20", ...(emulated && startsAs(command)) },
      mostMinutes: 30,
    }),
  );
}
good = (await inLanes(jobs)).every((passed) => passed) && good;
process.exitCode = good ? 0 : 1;

/**
 * See exec_path.cjs.
 *
 * @param {readonly string[]} command
 * @returns {NodeJS.ProcessEnv}
 */
function startsAs([program = "", ...arguments_]) {
  const folder = mkdtempSync(join(tmpdir(), "offheap-emulated-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  const script = join(folder, "node");
  const end = arguments_.findIndex((argument) => argument.startsWith("--"));
  const words = [program, ...(end < 0 ? arguments_ : arguments_.slice(0, end))].map((word) => `'${word}'`);
  // The shell reads no further than its exec. Behind it is the program itself: an example takes process.execPath for a
  // large file to work on.
  const runtime = arguments_[(end < 0 ? arguments_.length : end) - 1] ?? program;
  writeFileSync(
    script,
    Buffer.concat([Buffer.from(`#!/bin/sh\nexec ${words.join(" ")} "$@"\n`), readFileSync(runtime)]),
  );
  chmodSync(script, 0o755);
  return {
    OFFHEAP_TEST_EXEC_PATH: script,
    NODE_OPTIONS: `--require ${join(import.meta.dirname, "exec_path.cjs")}`,
    STRIP: `${toolPrefix("arm64")}strip`,
  };
}
