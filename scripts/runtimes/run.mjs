// @ts-check
/**
 * `npm run test:runtimes`: the compiled tests on every runtime in table.mjs, with each variant of the addon that is for
 * it. Ends with code 1 when a test failed or a runtime crashed, 2 when it was called in a wrong way.
 *
 *   --list             names the runtimes
 *   --only NAME,NAME   runs those; the beginning of a name stands for all that begin so
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { CACHE } from "./cache.mjs";
import { download } from "./download.mjs";
import { makeStage } from "./stage.mjs";
import { RUNTIMES } from "./table.mjs";

/** @typedef {import("./table.mjs").Runtime} Runtime */

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const logs = join(CACHE, "logs");

/** The suite takes less than half a minute; what takes this long hangs. */
const MOST_MILLISECONDS = 10 * 60_000;
/** Each keeps about one core busy, and needs some hundred MiB. */
const MOST_AT_ONCE = 4;
/** `npm test` has a thousand workers come and go; here that would be most of the time. */
const TEST_WORKERS = process.env.OFFHEAP_TEST_WORKERS ?? "200";

const { values } = parseArgs({ options: { list: { type: "boolean" }, only: { type: "string" } } });
if (values.list) {
  for (const { name, title, version, variant } of RUNTIMES)
    console.log(`${name.padEnd(14)}${title} ${version} ${variant}`);
} else {
  const chosen = choose(values.only);
  if (chosen.length > 0) process.exitCode = (await testAll(chosen)) ? 0 : 1;
}

/** @param {string | undefined} only */
function choose(only) {
  if (only === undefined) return RUNTIMES;
  const beginnings = only.split(",").map((name) => name.trim());
  for (const beginning of beginnings) {
    if (beginning !== "" && RUNTIMES.some(({ name }) => name.startsWith(beginning))) continue;
    console.error(`There is no runtime "${beginning}". --list names them`);
    process.exitCode = 2;
    return [];
  }
  return RUNTIMES.filter(({ name }) => beginnings.some((beginning) => name.startsWith(beginning)));
}

/** @param {readonly Runtime[]} runtimes */
async function testAll(runtimes) {
  const addons = new Set();
  for (const runtime of runtimes) {
    await download(runtime);
    // The Node-API variant is one file for all; the headers of the first Node in the table, the oldest, have all it needs.
    const headers = RUNTIMES.find(({ title }) => runtime.variant === "napi" && title === "node") ?? runtime;
    addons.add(await build(root, runtime.variant, headers.version, await download(headers)));
  }
  const stage = makeStage(root, [...addons]);
  mkdirSync(logs, { recursive: true });

  const waiting = [...runtimes];
  let good = true;
  const work = async () => {
    for (let runtime = waiting.shift(); runtime !== undefined; runtime = waiting.shift()) {
      good = (await test(runtime, stage)) && good;
    }
  };
  await Promise.all(Array.from({ length: Math.min(MOST_AT_ONCE, availableParallelism()) }, work));
  return good;
}

/**
 * @param {Runtime} runtime
 * @param {string} stage
 * @returns {Promise<boolean>} Whether all is well.
 */
async function test(runtime, stage) {
  const { name, title, version, variant, binary, flags } = runtime;
  const file = join(logs, `${name}.log`);
  const log = openSync(file, "w");
  const child = spawn(join(await download(runtime), binary), [...flags, join("scripts", "runtimes", "suite.mjs")], {
    cwd: stage,
    env: { ...process.env, OFFHEAP_BUFFERS: variant, OFFHEAP_TEST_WORKERS: TEST_WORKERS, NO_COLOR: "1" },
    stdio: ["ignore", log, log],
    timeout: MOST_MILLISECONDS,
    killSignal: "SIGKILL",
  });
  const [code, signal] = await once(child, "close");
  closeSync(log);

  const text = readFileSync(file, "utf8");
  const lines = text.trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  const finished = /^\d+ passed, \d+ failed$/.test(last);
  const good = finished && last.endsWith(" 0 failed") && code === 0;
  const crash = `ended with ${signal ?? code}`;
  const outcome = !finished
    ? `${crash} in the middle, 1 failed`
    : code !== 0 && last.endsWith(" 0 failed")
      ? `${crash} after the last test, 1 failed`
      : last;
  // One call, so that the lines of two runtimes do not mix.
  console.log(
    [
      ...lines.filter((line) => line.startsWith("not run: ")).map((line) => `${title} ${version} ${variant} ${line}`),
      ...(good ? [] : [...(text.match(/^FAILED: .*(?:\n.+)*/gm) ?? []), ...(finished ? [] : lines.slice(-30))]),
      ...(good ? [] : [`All it wrote is in ${file}`]),
      `${title} ${version} ${variant}: ${outcome}`,
    ].join("\n"),
  );
  return good;
}
