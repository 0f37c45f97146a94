// @ts-check
/** What does a service that replaces its buffers all the time gain: in time, memory and garbage collection? */
import { PerformanceObserver } from "node:perf_hooks";
import { setTimeout } from "node:timers/promises";
import { enter } from "./contenders.mjs";
import { nextTurn, write } from "./pairs.mjs";
import { sampleAfresh } from "./processes.mjs";
import { Random } from "./random.mjs";
import { peakMebibytes, residentMebibytes } from "./resident.mjs";
import { compare, Latencies } from "./statistics.mjs";
import { drawRows } from "./table.mjs";

/** @typedef {import("./contenders.mjs").Buffers} Buffers */
/** @typedef {import("./contenders.mjs").ContenderName} ContenderName */

/**
 * @typedef {object} Job
 * @property {number} least bytes of a block
 * @property {number} most
 * @property {number} live blocks at any moment
 * @property {number} replacements
 */

/** @typedef {Job & { contender: ContenderName, buffers?: Buffers | undefined }} Input */

/**
 * @typedef {object} Sample
 * @property {number} seconds
 * @property {number} cpu seconds, of all threads
 * @property {number} p99 microseconds
 * @property {number} peak MiB resident at most
 * @property {number} beyondIdle MiB of these beyond what was resident when everything was loaded
 * @property {number} collecting milliseconds
 */

/**
 * Replacements enough that the peer takes one to four seconds.
 *
 * @type {readonly (readonly [string, Job])[]}
 */
const jobs = [
  ["64 KiB, 500 live", { least: 65_536, most: 65_536, live: 500, replacements: 300_000 }],
  ["256 B to 512 KiB, 2,000 live", { least: 256, most: 524_288, live: 2000, replacements: 200_000 }],
  ["1 KiB, 20,000 live", { least: 1024, most: 1024, live: 20_000, replacements: 1_500_000 }],
];

/**
 * What is measured, with our goal for each job.
 *
 * @type {readonly { measure: string, unit: string, of: (sample: Sample) => number, goals: readonly number[] }[]}
 */
const measures = [
  { measure: "time", unit: "s", of: ({ seconds }) => seconds, goals: [0.4, 0.4, 0.33] },
  { measure: "CPU time", unit: "s", of: ({ cpu }) => cpu, goals: [] },
  { measure: "p99", unit: "us", of: ({ p99 }) => p99, goals: [] },
  { measure: "peak RSS", unit: "MiB", of: ({ peak }) => peak, goals: [0.3, 0.4, 0.5] },
  { measure: "beyond idle", unit: "MiB", of: ({ beyondIdle }) => beyondIdle, goals: [] },
  { measure: "collecting", unit: "ms", of: ({ collecting }) => collecting, goals: [0.05, 0.04, 0.1] },
];

const call = "allocUnsafe";
const peer = "Buffer.allocUnsafeSlow";

/** @type {import("./run.mjs").Question} */
export const churn = {
  title: "Churn: replace a random one of the live blocks, and write every byte of the new one",
  explanation: [
    `offheap (heap.${call}) over ${peer}; below 1 offheap is better. CPU time: of all threads.`,
    "P99: latency of a replacement. Peak RSS: the most that was resident of the process, and of that what is beyond the",
    "idle process. Collecting: the time that the program stood still for garbage collections.",
  ],

  async ask({ quick, buffers }) {
    const rounds = quick ? 1 : 5;
    const rows = [];
    for (const [index, [what, job]] of jobs.entries()) {
      const replacements = quick ? job.replacements / 50 : job.replacements;
      /** @type {Input[]} */
      const inputs = [
        { ...job, replacements, contender: call, buffers },
        { ...job, replacements, contender: peer },
      ];
      /** @type {Sample[][]} */
      const [ours = [], theirs = []] = await sampleAfresh(import.meta.url, inputs, rounds);
      for (const { measure, unit, of, goals } of measures) {
        rows.push(
          compare(
            { question: "churn", what, measure, unit, better: "less", oursIs: call, peerIs: peer, goal: goals[index] },
            ours.map(of),
            theirs.map(of),
          ),
        );
      }
    }
    return rows;
  },

  draw: (rows) => drawRows(rows, { ours: "offheap", peer: "Buffer" }),
};

/** A program is back in its event loop after this many replacements. */
const replacementsInTurn = 100;

/**
 * @param {Input} input
 * @returns {Promise<() => Promise<Sample>>}
 */
export async function prepare({ contender, buffers, least, most, live, replacements }) {
  const { takeBytes, give } = await enter(contender, buffers);
  const random = new Random(12_345);
  const latencies = new Latencies();
  let collecting = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) collecting += duration;
  });

  const create = () => {
    const bytes = takeBytes(random.logUniform(least, most));
    write(bytes, random.below(256));
    return bytes;
  };

  return async () => {
    observer.observe({ entryTypes: ["gc"] });
    const idle = residentMebibytes();
    const used = process.cpuUsage();
    const start = performance.now();
    /** @type {Uint8Array[]} */
    const blocks = [];
    for (let made = 0; made < live; made++) {
      blocks.push(create());
      if (made % replacementsInTurn === 0) await nextTurn();
    }
    for (let made = 0; made < replacements; made += replacementsInTurn) {
      let before = performance.now();
      for (let count = 0; count < replacementsInTurn; count++) {
        const index = random.below(live);
        give(blocks[index]);
        blocks[index] = create();
        const now = performance.now();
        latencies.record((now - before) * 1e6);
        before = now;
      }
      await nextTurn();
    }
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(used);
    const peak = peakMebibytes();
    await setTimeout(10); // Until the observer has been told of everything.
    observer.disconnect();
    if (blocks.length !== live) throw new Error("Blocks are missing");
    return {
      seconds,
      cpu: (user + system) / 1e6,
      p99: latencies.percentile(0.99) / 1000,
      peak,
      beyondIdle: peak - idle,
      collecting,
    };
  };
}
