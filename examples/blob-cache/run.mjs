// @ts-check
/**
 * `npm start`: the blob cache under load, on blocks of an offheap heap and then on plain Buffers, side by side.
 *
 * Server and client are processes of their own. Both runs use the same code, the same input and the same requests; only
 * the place where the bodies lie differs. Ends with code 1 when a body came back other than it was stored, a byte was
 * lost, a request failed, the limit was passed, or nothing was ever evicted.
 */
import { fork } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { backEndFlag, numberFlag, PlainError, runAsProgram } from "./program.mjs";
import { Progress } from "./progress.mjs";
import { judge, table, titleOf } from "./report.mjs";

/** @typedef {import("node:child_process").ChildProcess} ChildProcess */
/** @typedef {import("./report.mjs").Run} Run */

const stopMilliseconds = 5000;

/** Processes that must not outlive this one. @type {Set<ChildProcess>} */
const children = new Set();

runAsProgram(async () => {
  const { values } = parseArgs({
    options: {
      blocks: { type: "string", default: "offheap,buffers" },
      requests: { type: "string", default: "16000" },
      seconds: { type: "string", default: "20" },
      concurrency: { type: "string", default: "16" },
      seed: { type: "string", default: "1" },
      "limit-mib": { type: "string", default: "32" },
    },
  });
  const order = values.blocks.split(",").map((name) => backEndFlag("blocks", name));
  numberFlag("requests", values.requests, { least: 1, most: 1e9, whole: true });
  numberFlag("seconds", values.seconds, { least: 0.1, most: 86_400 });
  numberFlag("concurrency", values.concurrency, { least: 1, most: 1024, whole: true });
  numberFlag("seed", values.seed, { least: 0, most: 0xffff_ffff, whole: true });
  numberFlag("limit-mib", values["limit-mib"], { least: 8, most: 1 << 20 });

  process.once("exit", killAll);
  for (const [signal, code] of /** @type {const} */ ([
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ])) {
    process.once(signal, () => process.exit(code));
  }

  console.log(`A blob cache over HTTP under a hard limit of ${values["limit-mib"]} MiB, on ${order.map(titleOf).join(", then on ")}.
A client in another process stores and fetches pieces of the Node executable, ${values.concurrency} requests at a time,
and checks every body it gets by its SHA-256.
`);
  /** @type {Run[]} */
  const runs = [];
  for (const backEnd of order) runs.push(await measure(backEnd, values));

  for (const run of runs) {
    if (run.backEnd !== "offheap") continue;
    console.log("\nThe heap when the client had finished, before it was emptied:\n");
    console.log(run.picture.trimEnd());
  }
  console.log(`\n${table(runs)}\n`);
  const { lines, good } = judge(runs);
  for (const line of lines) console.log(line);
  if (!good) process.exitCode = 1;
});

/**
 * One run of the service on one back end, from the start of the server to its end.
 *
 * @param {import("./blocks.mjs").BackEnd} backEnd
 * @param {{ requests: string, seconds: string, concurrency: string, seed: string, "limit-mib": string }} flags
 * @returns {Promise<Run>}
 */
async function measure(backEnd, flags) {
  const server = start("server.mjs", ["--blocks", backEnd, "--limit-mib", flags["limit-mib"]]);
  const { url } = await messageOf(server, "listening");
  const progress = new Progress(backEnd);
  const client = start("client.mjs", [
    ...["--url", url, "--requests", flags.requests, "--seconds", flags.seconds],
    ...["--concurrency", flags.concurrency, "--seed", flags.seed],
  ]);
  client.on("message", (/** @type {any} */ message) => {
    if (message.type === "ready") progress.begin(message.objects, message.bytes);
    if (message.type === "progress") progress.show(message.done / message.requests);
  });
  const { outcome } = await messageOf(client, "outcome");
  progress.end(outcome);
  await stop(client);

  const loaded = await fetchJson(`${url}/stats`);
  const picture = await ask(`${url}/picture`);
  await ask(`${url}/objects`, "DELETE");
  const emptied = await settledStats(url);
  const exitCode = await stop(server);
  return { backEnd, outcome, loaded, emptied, picture, exitCode };
}

/**
 * The numbers of the emptied service. The answers that were last served may be let go of a moment later.
 *
 * @param {string} url
 * @returns {Promise<import("./report.mjs").Stats>}
 */
async function settledStats(url) {
  for (let attempt = 0; ; attempt++) {
    const stats = await fetchJson(`${url}/stats`);
    if (stats.bytesInUse === 0 || attempt === 20) return stats;
    await setTimeout(50);
  }
}

/**
 * @param {string} file
 * @param {string[]} flags
 * @returns {ChildProcess}
 */
function start(file, flags) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), flags, { execArgv: [] });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

/**
 * Lets a process end by itself, and ends it when it does not.
 *
 * @param {ChildProcess} child
 * @returns {Promise<number | null>} its exit code
 */
async function stop(child) {
  const ended = child.exitCode !== null ? Promise.resolve() : new Promise((resolve) => child.once("exit", resolve));
  if (child.connected) child.disconnect();
  const late = new AbortController();
  await Promise.race([ended, setTimeout(stopMilliseconds, undefined, { signal: late.signal }).catch(() => {})]);
  late.abort();
  if (child.exitCode === null && child.signalCode === null) {
    child.kill("SIGKILL");
    await ended;
  }
  return child.exitCode;
}

function killAll() {
  for (const child of children) child.kill("SIGKILL");
}

/**
 * @param {ChildProcess} child
 * @param {string} type
 * @returns {Promise<any>}
 */
function messageOf(child, type) {
  return new Promise((resolve, reject) => {
    child.on("message", (/** @type {any} */ message) => {
      if (message.type === type) resolve(message);
    });
    child.once("error", reject);
    child.once("exit", (code, signal) => {
      reject(new PlainError(`${child.spawnargs[1]} ended too early, with ${signal ?? `code ${code}`}`));
    });
  });
}

/**
 * @param {string} url
 * @param {string} [method]
 * @returns {Promise<string>} What came back.
 */
async function ask(url, method = "GET") {
  const [response] = await once(request(url, { method, agent: false }).end(), "response");
  const body = await text(response);
  const { statusCode } = response;
  if (statusCode < 200 || statusCode > 299) throw new Error(`${method} ${url} was answered with ${statusCode}`);
  return body;
}

/**
 * @param {string} url
 * @returns {Promise<any>}
 */
async function fetchJson(url) {
  return JSON.parse(await ask(url));
}
