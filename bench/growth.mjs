// @ts-check
/** What does it cost to let a buffer grow? */
import { loadOffheap } from "./contenders.mjs";
import { write } from "./pairs.mjs";
import { sampleAfresh } from "./processes.mjs";
import { peakMebibytes } from "./resident.mjs";
import { compare } from "./statistics.mjs";
import { drawRows } from "./table.mjs";

/** @typedef {import("./contenders.mjs").Buffers} Buffers */
/** @typedef {{ contender: "realloc" | "copy", buffers?: Buffers | undefined, most: number }} Input */
/** @typedef {{ growing: number, altogether: number, peak: number }} Sample milliseconds, and MiB */

const least = 1 << 20;

/** Called on views that are no Buffers as well. */
const { copy: copyBytes } = Buffer.prototype;

/** @type {readonly { measure: string, unit: string, of: (sample: Sample) => number, goal?: number }[]} */
const measures = [
  { measure: "growing", unit: "ms", of: ({ growing }) => growing, goal: 0.1 },
  { measure: "with writing", unit: "ms", of: ({ altogether }) => altogether },
  { measure: "peak RSS", unit: "MiB", of: ({ peak }) => peak },
];

/** @type {import("./run.mjs").Question} */
export const growth = {
  title: "Growth: one buffer from 1 MiB to 1 GiB by doubling, all of it written before it grows again",
  explanation: [
    "heap.realloc over Buffer.alloc and copy; below 1 offheap is better. Growing: the calls that make it larger, without",
    "the writing in between. With writing: everything.",
  ],

  async ask({ quick, buffers }) {
    const [rounds, most] = quick ? [1, 16 << 20] : [5, 1 << 30];
    /** @type {Input[]} */
    const inputs = [
      { contender: "realloc", buffers, most },
      { contender: "copy", most },
    ];
    /** @type {Sample[][]} */
    const [ours = [], theirs = []] = await sampleAfresh(import.meta.url, inputs, rounds);
    return measures.map(({ measure, unit, of, goal }) =>
      compare(
        {
          question: "growth",
          what: `1 MiB to ${most / 2 ** 20} MiB`,
          measure,
          unit,
          better: "less",
          oursIs: "heap.realloc",
          peerIs: "Buffer.alloc and copy",
          goal,
        },
        ours.map(of),
        theirs.map(of),
      ),
    );
  },

  draw: (rows) => drawRows(rows, { ours: "offheap", peer: "Buffer" }),
};

/**
 * @param {Input} input
 * @returns {Promise<() => Promise<Sample>>}
 */
export async function prepare({ contender, buffers, most }) {
  const grow = contender === "realloc" ? await reallocate(buffers) : copy;
  return async () => {
    const start = performance.now();
    let growing = 0;
    /** @type {Uint8Array} */
    let bytes = new Uint8Array(0);
    for (let size = least; size <= most; size *= 2) {
      const before = performance.now();
      const filled = bytes.length;
      bytes = grow(bytes, size);
      growing += performance.now() - before;
      write(bytes.subarray(filled), 1);
    }
    const altogether = performance.now() - start;
    const wrong = bytes.length !== most || bytes[0] !== 1 || bytes[most - 1] !== 1 || bytes[most / 2] !== 1;
    if (wrong) throw new Error("The buffer did not keep what was written");
    return { growing, altogether, peak: peakMebibytes() };
  };
}

/**
 * @param {Buffers | undefined} buffers
 * @returns {Promise<(bytes: Uint8Array, size: number) => Uint8Array>}
 */
async function reallocate(buffers) {
  const { heap } = await loadOffheap(buffers);
  return (bytes, size) => new Uint8Array(bytes.length === 0 ? heap.alloc(size) : heap.realloc(bytes, size));
}

/**
 * @param {Uint8Array} bytes
 * @param {number} size
 */
function copy(bytes, size) {
  const grown = Buffer.alloc(size);
  copyBytes.call(bytes, grown);
  return grown;
}
