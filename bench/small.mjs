// @ts-check
/** What does it cost to take a block and give it back, next to what Node has to offer? */
import { canLoad, sampleInTurns } from "./processes.mjs";
import { compare } from "./statistics.mjs";
import { digits, drawRows, drawTable, spread } from "./table.mjs";

/** @typedef {import("./contenders.mjs").ContenderName} ContenderName */
/** @typedef {import("./pairs.mjs").Input} Input */
/** @typedef {import("./pairs.mjs").Sample} Sample */
/** @typedef {import("./statistics.mjs").Row} Row */

const job = new URL("pairs.mjs", import.meta.url).href;

const sizes = new Map([
  ["64 B", 64],
  ["4 KiB", 4096],
  ["64 KiB", 65_536],
  ["1 MiB", 1 << 20],
]);

/** @type {readonly ContenderName[]} */
const calls = ["alloc", "allocUnsafe"];
/** @type {readonly ContenderName[]} */
const peers = ["new ArrayBuffer", "Buffer.alloc", "Buffer.allocUnsafe", "Buffer.allocUnsafeSlow"];
const napiVariant = "Node-API variant";

/** @type {readonly { measure: string, of: (sample: Sample) => number }[]} */
const measures = [
  { measure: "time", of: ({ elapsed }) => elapsed },
  { measure: "CPU time", of: ({ cpu }) => cpu },
];

const goals = new Map([
  ["64 B untouched, alloc, new ArrayBuffer", 0.6],
  [`64 B untouched, alloc, ${napiVariant}`, 0.2],
  ["1 MiB written, alloc, Buffer.alloc", 0.3],
]);

/** @type {import("./run.mjs").Question} */
export const small = {
  title: "Small: take a block and give it back",
  explanation: [
    "Time of one pair of calls of offheap, and that over the peer's, with all that follows from it: collections,",
    "finalizers. Below 1 offheap is faster. In brackets least to most. Written: every byte of every block is. CPU time is",
    "that of all threads: V8 sweeps up after ArrayBuffers on another processor, as long as one is idle.",
  ],

  async ask({ quick, buffers }) {
    const { rounds, ...settings } = quick
      ? { rounds: 2, turnMilliseconds: 2, warmupMilliseconds: 6 }
      : { rounds: 9, turnMilliseconds: 100, warmupMilliseconds: 150 };
    const bothVariants = buffers === "v8" && canLoad("napi");
    if (buffers === "v8" && !bothVariants) console.error("The Node-API variant cannot be loaded here: left out.\n");
    /** @type {Pick<Input, "contender" | "buffers">[]} */
    const contenders = [
      ...calls.map((contender) => ({ contender, buffers })),
      ...peers.map((contender) => ({ contender })),
      ...(bothVariants ? calls : []).map((contender) => ({ contender, buffers: /** @type {const} */ ("napi") })),
    ];
    const rows = [];
    for (const [words, size] of quick ? [...sizes].slice(0, 1) : sizes) {
      for (const written of [false, true]) {
        /** @type {Input[]} */
        const inputs = contenders.map((contender) => ({ ...contender, size, written, live: 0, ...settings }));
        /** @type {Sample[][]} */
        const samples = await sampleInTurns(job, inputs, rounds);
        rows.push(...compareAll(`${words} ${written ? "written" : "untouched"}`, contenders, samples));
      }
    }
    return rows;
  },

  draw(rows) {
    const times = rows.filter(({ measure }) => measure === "time");
    const peersOfRows = [...new Set(times.map(({ peerIs }) => peerIs))];
    const lines = [...new Set(times.map(({ what }) => what))].map((what) => {
      const cells = peersOfRows.map((peerIs) => times.find((row) => row.what === what && row.peerIs === peerIs));
      const ratios = cells.map((row) => (row ? `${digits(row.ratio.median)} (${spread(row.ratio)})` : ""));
      return [what, digits(cells[0]?.ours.median ?? 0), ...ratios];
    });
    const withGoals = rows
      .filter(({ what, peerIs }) => goals.has(`${what}, ${peerIs}`))
      .map((row) => ({ ...row, what: `${row.what} over ${row.peerIs}` }));
    const goalTable = drawRows(withGoals, { ours: "offheap", peer: "peer" });
    return `${drawTable([["", "ns", ...peersOfRows], ...lines], 1)}\n\n${goalTable}`;
  },
};

/**
 * Both calls of ours against every peer, and against themselves in the other variant.
 *
 * @param {string} block
 * @param {readonly Pick<Input, "contender" | "buffers">[]} contenders the first ones are `calls`
 * @param {readonly (readonly Sample[])[]} samples
 * @returns {Row[]}
 */
function compareAll(block, contenders, samples) {
  return calls.flatMap((oursIs, index) => {
    const what = `${block}, ${oursIs}`;
    const ours = samples[index] ?? [];
    return contenders.slice(calls.length).flatMap(({ contender, buffers }, peerIndex) => {
      if (buffers !== undefined && contender !== oursIs) return [];
      const peer = samples[calls.length + peerIndex] ?? [];
      const peerIs = buffers === undefined ? contender : napiVariant;
      return measures.map(({ measure, of }) => {
        const goal = measure === "time" ? goals.get(`${what}, ${peerIs}`) : undefined;
        return compare(
          { question: "small", what, measure, unit: "ns", better: "less", oursIs, peerIs, goal },
          ours.map(of),
          peer.map(of),
        );
      });
    });
  });
}
