// @ts-check
/** The program of a worker thread: pairs of calls, as many as it is told, begun when all that take part are there. */
import { parentPort, workerData } from "node:worker_threads";
import { enter } from "./contenders.mjs";
import { nextTurn, pairsOf } from "./pairs.mjs";

/** @typedef {{ count: number }} Order */
/** @typedef {{ begin: number, end: number }} Times nanoseconds on the clock that all threads share */

/** @typedef {import("./workers.mjs").Input & { barrier: Int32Array }} Data */

/** @type {Data} */
const { contender, size, buffers, milliseconds, barrier } = workerData;

/** As many pairs, or that many times as much arithmetic, lie between two turns of the event loop. */
const slicePairs = 1024;

const pairs = contender === "arithmetic" ? calculate : pairsOf(await enter(contender, buffers), size, false);

/** @param {number} count */
async function work(count) {
  for (let left = count; left > 0; left -= slicePairs) {
    pairs(Math.min(left, slicePairs));
    await nextTurn();
  }
}

let state = 1;

/** @param {number} count */
function calculate(count) {
  for (let step = 0; step < count * 100; step++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
  }
}

/** The last one to come lets all of them go. */
function waitForOthers() {
  const [missing, generation] = [0, 1];
  const now = Atomics.load(barrier, generation);
  if (Atomics.sub(barrier, missing, 1) > 1) {
    Atomics.wait(barrier, generation, now);
  } else {
    Atomics.add(barrier, generation, 1);
    Atomics.notify(barrier, generation);
  }
}

/** How many pairs take the time that a sample is to take, found while everything warms up. */
async function calibrate() {
  const begin = performance.now();
  let made = 0;
  for (; performance.now() - begin < milliseconds; made += slicePairs) await work(slicePairs);
  return made;
}

const clock = () => Number(process.hrtime.bigint());

parentPort?.on("message", async (/** @type {Order} */ { count }) => {
  waitForOthers();
  const begin = clock();
  await work(count);
  parentPort?.postMessage(/** @satisfies {Times} */ ({ begin, end: clock() }));
});

parentPort?.postMessage(await calibrate());
