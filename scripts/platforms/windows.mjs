// @ts-check
/**
 * `npm run test:windows`: compiles for Windows with mingw-w64 and runs the C++ tests and the compiled mocha suite under
 * Wine, the latter in Node's own node.exe. Ends with 1 when a test failed, 2 when programs are missing.
 *
 *   --only native,node-22    runs those; the beginning of a name stands for all that begin so
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "../prebuild/build.mjs";
import { WINDOWS_COMPILER } from "../prebuild/mingw.mjs";
import { needPrograms } from "../prebuild/needed_programs.mjs";
import { targetFor } from "../prebuild/targets.mjs";
import { CACHE } from "../runtimes/cache.mjs";
import { download } from "../runtimes/download.mjs";
import { inLanes } from "../runtimes/lanes.mjs";
import { chosen } from "../runtimes/only.mjs";
import { runSuite } from "../runtimes/run_suite.mjs";
import { makeStage } from "../runtimes/stage.mjs";
import { WINDOWS_RUNTIMES } from "../runtimes/table.mjs";
import { runNativeTests } from "./native_tests.mjs";
import { prepareWine, WINE, WINE_PROGRAMS } from "./wine.mjs";

const root = join(import.meta.dirname, "..", "..");
const { values } = parseArgs({ options: { only: { type: "string" } } });
const runtimes = WINDOWS_RUNTIMES;
const names = chosen(values.only, ["native", ...runtimes.map(({ name }) => name)], (name) => name);

needPrograms({ [WINDOWS_COMPILER]: "g++-mingw-w64-x86-64-posix", ...WINE_PROGRAMS });
const wine = await prepareWine();
let good = true;

if (names.includes("native")) {
  good = runNativeTests(root, "win32-x64", { MODE: "mingw", RUNNER: WINE }, wine) && good;
}
const jobs = [];
for (const runtime of runtimes.filter(({ name }) => names.includes(name))) {
  const { name, version, variant, flags } = runtime;
  const addon = await build(root, targetFor(runtime, "win32", "x64"));
  const node = join(await download(runtime, "win32-x64"), runtime.binary);
  jobs.push(() =>
    runSuite({
      title: `node ${version} win32-x64 ${variant}`,
      command: [WINE, node, ...flags],
      stage: makeStage(root, [addon], "win32-x64"),
      log: join(CACHE, "logs", `windows-${name}.log`),
      env: { ...wine, OFFHEAP_BUFFERS: variant },
      mostMinutes: 15,
    }),
  );
}
good = (await inLanes(jobs)).every((passed) => passed) && good;
process.exitCode = good ? 0 : 1;
