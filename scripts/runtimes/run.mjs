// @ts-check
/**
 * `npm run test:runtimes`: the compiled tests on every runtime in table.mjs, with each variant of the addon that is for
 * it. Ends with code 1 when a test failed or a runtime crashed, 2 when it was called in a wrong way.
 *
 *   --list             names the runtimes
 *   --only NAME,NAME   runs those; the beginning of a name stands for all that begin so
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "../prebuild/build.mjs";
import { targetFor } from "../prebuild/targets.mjs";
import { CACHE } from "./cache.mjs";
import { download } from "./download.mjs";
import { inLanes } from "./lanes.mjs";
import { chosen } from "./only.mjs";
import { runSuite } from "./run_suite.mjs";
import { makeStage } from "./stage.mjs";
import { RUNTIMES } from "./table.mjs";

/** @typedef {import("./table.mjs").Runtime} Runtime */

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const { values } = parseArgs({ options: { list: { type: "boolean" }, only: { type: "string" } } });
if (values.list) {
  for (const { name, title, version, variant } of RUNTIMES)
    console.log(`${name.padEnd(14)}${title} ${version} ${variant}`);
} else {
  process.exitCode = (await testAll(chosen(values.only, RUNTIMES, ({ name }) => name))) ? 0 : 1;
}

/** @param {readonly Runtime[]} runtimes */
async function testAll(runtimes) {
  const addons = new Set();
  for (const runtime of runtimes) {
    await download(runtime);
    addons.add(await build(root, targetFor(runtime, process.platform, process.arch)));
  }
  const stage = makeStage(root, [...addons]);

  const passed = await inLanes(runtimes.map((runtime) => () => test(runtime, stage)));
  return passed.every((good) => good);
}

/** @param {Runtime} runtime @param {string} stage */
async function test(runtime, stage) {
  const { name, title, version, variant, binary, flags } = runtime;
  return runSuite({
    title: `${title} ${version} ${variant}`,
    command: [join(await download(runtime), binary), ...flags],
    stage,
    log: join(CACHE, "logs", `${name}.log`),
    env: { OFFHEAP_BUFFERS: variant },
  });
}
