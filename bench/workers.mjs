// @ts-check
/** Do two worker threads get twice as much done as one? */
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { sampleInTurns } from "./processes.mjs";
import { compare } from "./statistics.mjs";
import { drawRows } from "./table.mjs";

/** @typedef {import("./contenders.mjs").Buffers} Buffers */
/** @typedef {import("./contenders.mjs").ContenderName} ContenderName */

/** @typedef {{ contender: ContenderName | "arithmetic", size: number, buffers?: Buffers | undefined, milliseconds: number }} Input */
/** @typedef {{ one: number, two: number }} Sample work done in a microsecond, by one worker and by two */
/** @typedef {import("./worker.mjs").Order} Order */
/** @typedef {import("./worker.mjs").Times} Times */

/** @type {readonly { what: string, contender: Input["contender"], size: number, goal?: number }[]} */
const jobs = [
  { what: "offheap alloc, 64 B", contender: "alloc", size: 64, goal: 1.7 },
  { what: "new ArrayBuffer, 64 B", contender: "new ArrayBuffer", size: 64 },
  { what: "offheap alloc, 4 KiB", contender: "alloc", size: 4096, goal: 1.7 },
  { what: "new ArrayBuffer, 4 KiB", contender: "new ArrayBuffer", size: 4096 },
  { what: "arithmetic, no memory", contender: "arithmetic", size: 0 },
];

/** @type {import("./run.mjs").Question} */
export const workers = {
  title: "Workers: pairs from two worker threads at once, over pairs from one",
  explanation: [
    "Pairs in a microsecond, all workers together; more is better, 2 is all there is to gain. Each worker imports the",
    `default heap and makes the same number of pairs. Arithmetic shows what these ${availableParallelism()} processors can give at best.`,
  ],

  async ask({ quick, buffers }) {
    const [rounds, milliseconds] = quick ? [2, 5] : [9, 150];
    /** @type {Input[]} */
    const inputs = jobs.map(({ contender, size }) => ({
      contender,
      size,
      milliseconds,
      buffers: contender === "alloc" ? buffers : undefined,
    }));
    /** @type {Sample[][]} */
    const samples = await sampleInTurns(import.meta.url, inputs, rounds);
    return jobs.map(({ what, goal }, index) =>
      compare(
        {
          question: "workers",
          what,
          measure: "throughput",
          unit: "/us",
          better: "more",
          oursIs: "two workers",
          peerIs: "one worker",
          goal,
        },
        (samples[index] ?? []).map(({ two }) => two),
        (samples[index] ?? []).map(({ one }) => one),
      ),
    );
  },

  draw: (rows) => drawRows(rows, { ours: "two", peer: "one" }),
};

/**
 * A process with two workers, which waits for them and does nothing itself.
 *
 * @param {Input} input
 * @returns {Promise<() => Promise<Sample>>}
 */
export async function prepare(input) {
  const barrier = new Int32Array(new SharedArrayBuffer(8));
  const threads = [0, 1].map(
    () => new Worker(new URL("worker.mjs", import.meta.url), { workerData: { ...input, barrier } }),
  );
  const counts = await Promise.all(threads.map(answerOf));
  const count = Math.min(...counts.map(Number));

  /**
   * @param {number} workers
   * @returns {Promise<number>} pairs in a microsecond
   */
  const throughput = async (workers) => {
    const active = threads.slice(0, workers);
    Atomics.store(barrier, 0, workers);
    for (const thread of active) thread.postMessage(/** @satisfies {Order} */ ({ count }));
    /** @type {Times[]} */
    const times = await Promise.all(active.map(answerOf));
    const begin = Math.min(...times.map(({ begin }) => begin));
    const end = Math.max(...times.map(({ end }) => end));
    return (workers * count) / ((end - begin) / 1000);
  };

  let round = 0;
  return async () => {
    round++;
    if (round % 2 === 1) return { one: await throughput(1), two: await throughput(2) };
    const two = await throughput(2);
    return { one: await throughput(1), two };
  };
}

/**
 * @param {Worker} thread
 * @returns {Promise<any>}
 */
function answerOf(thread) {
  return new Promise((resolve, reject) => {
    thread.once("error", reject);
    thread.once("message", (message) => {
      thread.off("error", reject);
      resolve(message);
    });
  });
}
