// @ts-check
/** Does a pair of calls cost more when many blocks are alive? */
import { sampleInTurns } from "./processes.mjs";
import { compare } from "./statistics.mjs";
import { drawRows } from "./table.mjs";

/** @typedef {import("./pairs.mjs").Input} Input */

const job = new URL("pairs.mjs", import.meta.url).href;

const few = 10;

/** @type {import("./run.mjs").Question} */
export const crowd = {
  title: "Crowd: a pair of calls with 1,000,000 blocks alive, over the same with 10",
  explanation: [
    "Time of one pair of calls, 64 B; 1 is best: the crowd costs nothing. V8's own ArrayBuffers show how much of it is the",
    "garbage collector, which has a million objects to look after either way.",
  ],

  async ask({ quick, buffers }) {
    const many = quick ? 10_000 : 1_000_000;
    const { rounds, ...settings } = quick
      ? { rounds: 2, turnMilliseconds: 2, warmupMilliseconds: 6 }
      : { rounds: 9, turnMilliseconds: 100, warmupMilliseconds: 300 };
    const [oursIs, peerIs] = [`${many.toLocaleString("en-US")} live`, `${few} live`];

    /**
     * @param {string} what
     * @param {Pick<Input, "contender" | "buffers">} contender
     * @param {number} [goal]
     */
    const askAbout = async (what, contender, goal) => {
      /** @type {Input[]} */
      const inputs = [many, few].map((live) => ({ ...contender, size: 64, written: false, live, ...settings }));
      /** @type {import("./pairs.mjs").Sample[][]} */
      const [ours = [], peer = []] = await sampleInTurns(job, inputs, rounds);
      return compare(
        { question: "crowd", what, measure: "time", unit: "ns", better: "less", oursIs, peerIs, goal },
        ours.map(({ elapsed }) => elapsed),
        peer.map(({ elapsed }) => elapsed),
      );
    };
    return [
      await askAbout("offheap alloc", { contender: "alloc", buffers }, 1.2),
      await askAbout("new ArrayBuffer", { contender: "new ArrayBuffer" }),
    ];
  },

  draw: (rows) => drawRows(rows, { ours: rows[0]?.oursIs ?? "", peer: rows[0]?.peerIs ?? "" }),
};
