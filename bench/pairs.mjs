// @ts-check
/** The job of those who take a block and give it back, again and again: nanoseconds for one pair of calls. */
import { setImmediate } from "node:timers";
import { Bench } from "tinybench";
import { enter } from "./contenders.mjs";

/** @typedef {import("./contenders.mjs").Contender} Contender */

/**
 * @typedef {object} Input
 * @property {import("./contenders.mjs").ContenderName} contender
 * @property {import("./contenders.mjs").Buffers | undefined} [buffers]
 * @property {number} size of a block, in bytes
 * @property {boolean} written whether every byte of every block is written
 * @property {number} live blocks that live all the time beside the one that comes and goes
 * @property {number} turnMilliseconds how long one sample takes
 * @property {number} warmupMilliseconds
 */

/** @typedef {{ elapsed: number, cpu: number }} Sample nanoseconds for one pair: by the clock, and worked by all threads */

/** A program is back in its event loop after about this time, or this many pairs. */
const sliceMilliseconds = 1;
const slicePairs = 4096;

/** The typed array's own: that of Buffer checks more. */
const { fill } = Uint8Array.prototype;

/**
 * Writes every byte.
 *
 * @param {Uint8Array} bytes
 * @param {number} value
 */
export function write(bytes, value) {
  fill.call(bytes, value);
}

/** A turn of the event loop, in which finalizers run that wait for one. */
export function nextTurn() {
  return new Promise((resolve) => setImmediate(resolve));
}

/**
 * The block that came last is kept where others could see it, so that no compiler may do without it.
 *
 * @type {{ block: unknown }}
 */
export const last = { block: undefined };

/**
 * @param {Contender} contender
 * @param {number} size
 * @param {boolean} written
 * @returns {(count: number) => void} makes that many pairs
 */
export function pairsOf({ take, takeBytes, give }, size, written) {
  if (!written) {
    return (count) => {
      for (let made = 0; made < count; made++) {
        const block = take(size);
        last.block = block;
        give(block);
      }
    };
  }
  return (count) => {
    for (let made = 0; made < count; made++) {
      const bytes = takeBytes(size);
      last.block = bytes;
      write(bytes, made);
      give(bytes);
    }
  };
}

/**
 * @param {Input} input
 * @returns {Promise<() => Promise<Sample>>}
 */
export async function prepare({ contender: name, buffers, size, written, live, turnMilliseconds, warmupMilliseconds }) {
  const contender = await enter(name, buffers);
  const others = Array.from({ length: live }, () => contender.take(size));
  const pairs = pairsOf(contender, size, written);
  const count = await sliceOf(pairs, warmupMilliseconds / 2);

  // A slice and the turn after it are one iteration for the harness: what is put off to the turn is paid in it.
  const bench = new Bench({
    time: turnMilliseconds,
    iterations: 1,
    warmupTime: warmupMilliseconds / 2,
    warmupIterations: 1,
    timestampProvider: "hrtimeNow",
    throws: true,
  });
  const slice = async () => {
    pairs(count);
    await nextTurn();
  };
  const task = bench.add(name, slice, { async: true }).getTask(name);
  if (task === undefined) throw new Error("The harness has lost its task");
  await task.warmup();

  return async () => {
    task.reset();
    const before = process.cpuUsage();
    const { result } = await task.run();
    const { user, system } = process.cpuUsage(before);
    if (result.state !== "completed") throw new Error(`The harness says "${result.state}"`);
    if (others.length !== live) throw new Error("The blocks that live beside have gone");
    // The mean, not the median: whoever leaves garbage pays for its collection in a few slices out of many.
    const { mean, samplesCount } = result.latency;
    return { elapsed: (mean * 1e6) / count, cpu: ((user + system) * 1000) / (samplesCount * count) };
  };
}

/**
 * How many pairs make a slice: found while everything warms up, since the first calls are slow.
 *
 * @param {(count: number) => void} pairs
 * @param {number} milliseconds
 */
async function sliceOf(pairs, milliseconds) {
  const end = performance.now() + milliseconds;
  let count = 1;
  for (let start = performance.now(); start < end; start = performance.now()) {
    pairs(count);
    if (performance.now() - start < sliceMilliseconds / 2 && count < slicePairs) count *= 2;
    await nextTurn();
  }
  return count;
}
