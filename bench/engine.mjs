// @ts-check
/** How fast is the native allocator by itself, without JavaScript, next to malloc? */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { compare } from "./statistics.mjs";
import { drawRows } from "./table.mjs";

const folder = fileURLToPath(new URL("engine", import.meta.url));

/** @typedef {{ workload: string, offheap: number[], malloc: number[] }} Measured nanoseconds for each round */

/** @type {import("./run.mjs").Question} */
export const engine = {
  title: "Engine: the native allocator by itself against malloc",
  explanation: [
    "Time of one free and one alloc in C++, one thread, the first byte of each block written: offheap's engine over the",
    "malloc of the C library, in one program; below 1 offheap is faster.",
  ],

  async ask({ quick }) {
    const flags = quick ? "json quick" : "json";
    const made = spawnSync("make", ["--no-print-directory", "--silent", "-C", folder, "run", `ARGS=${flags}`], {
      stdio: ["ignore", "pipe", "inherit"],
      encoding: "utf8",
    });
    if (made.error !== undefined || made.status !== 0) {
      console.error(`The engine's program could not be built or run (it takes make and a C++20 compiler): left out.`);
      return [];
    }
    return made.stdout
      .trim()
      .split("\n")
      .map((line) => {
        /** @type {Measured} */
        const { workload, offheap, malloc } = JSON.parse(line);
        return compare(
          {
            question: "engine",
            what: workload,
            measure: "time",
            unit: "ns",
            better: "less",
            oursIs: "offheap's engine",
            peerIs: "malloc",
          },
          offheap,
          malloc,
        );
      });
  },

  draw: (rows) => drawRows(rows, { ours: "offheap", peer: "malloc" }),
};
