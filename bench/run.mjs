// @ts-check
/**
 * `npm run bench`: asks the questions one after the other and prints a table for each. What each one measures and what
 * to distrust is in bench/README.md.
 */
import { cpus, loadavg, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { churn } from "./churn.mjs";
import { crowd } from "./crowd.mjs";
import { engine } from "./engine.mjs";
import { growth } from "./growth.mjs";
import { small } from "./small.mjs";
import { workers } from "./workers.mjs";

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {readonly string[]} explanation what is measured and which way is better
 * @property {(options: Options) => Promise<import("./statistics.mjs").Row[]>} ask
 * @property {(rows: readonly import("./statistics.mjs").Row[]) => string} draw
 */

/**
 * @typedef {object} Options
 * @property {boolean} quick see that everything runs; the figures mean nothing
 * @property {import("./contenders.mjs").Buffers} buffers the variant of the addon that is loaded
 */

/** @type {Readonly<Record<string, Question>>} */
const questions = { small, churn, growth, workers, crowd, engine };

const usage = `usage: npm run bench -- [--only <name>]... [--quick] [--json]

  --only <name>  one of ${Object.keys(questions).join(", ")}; may be given several times
  --quick        a few seconds, to see that everything runs; the figures mean nothing
  --json         one JSON object on each line, the machine first; bench/README.md says what is in them`;

/** @returns {Promise<void>} */
async function main() {
  const { json, quick, asked } = readFlags();
  const machine = await describeMachine();
  const print = json ? (/** @type {object} */ row) => console.log(JSON.stringify(row, round)) : () => {};
  print({ question: "machine", ...machine, quick });
  if (!json) console.log(heading(machine, quick));
  for (const [name, { title, explanation, ask, draw }] of asked) {
    if (!json) console.log(["", `${title} (--only ${name})`, ...explanation, ""].join("\n"));
    const measured = await ask({ quick, buffers: machine.buffers });
    const rows = quick ? measured.map((row) => ({ ...row, goal: null })) : measured;
    rows.forEach(print);
    if (!json) console.log(draw(rows));
  }
}

/**
 * Six digits: more are noise.
 *
 * @param {string} _key
 * @param {unknown} value
 */
function round(_key, value) {
  return typeof value === "number" ? Number(value.toPrecision(6)) : value;
}

function readFlags() {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: "boolean", default: false },
        quick: { type: "boolean", default: false },
        only: { type: "string", multiple: true, default: Object.keys(questions) },
      },
    });
    const unknown = values.only.find((name) => !Object.hasOwn(questions, name));
    if (unknown !== undefined) throw new TypeError(`There is no question "${unknown}"`);
    const asked = Object.entries(questions).filter(([name]) => values.only.includes(name));
    return { json: values.json, quick: values.quick, asked };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(2);
  }
}

async function describeMachine() {
  const { runtime } = await import("offheap");
  const processors = cpus();
  return {
    offheap: runtime.version,
    buffers: runtime.buffers,
    node: process.versions.node,
    v8: process.versions.v8,
    platform: process.platform,
    architecture: process.arch,
    kernel: release(),
    processor: processors[0]?.model.trim() ?? "unknown",
    processors: processors.length,
    memoryMebibytes: Math.round(totalmem() / 2 ** 20),
    load: loadavg()[0] ?? 0,
  };
}

/**
 * @param {Awaited<ReturnType<typeof describeMachine>>} machine
 * @param {boolean} quick
 */
function heading(machine, quick) {
  const { offheap, buffers, node, v8, platform, architecture, kernel, processor, processors, memoryMebibytes, load } =
    machine;
  const variant = { v8: "V8 backing stores", napi: "Node-API" }[buffers];
  const lines = [
    `offheap ${offheap}, buffers by ${variant} (runtime.buffers is "${buffers}")`,
    `Node ${node}, V8 ${v8}, ${platform} ${architecture}, kernel ${kernel}`,
    `${processor}, ${processors} processors, ${(memoryMebibytes / 1024).toFixed(1)} GiB, load ${load.toFixed(1)} at the start`,
  ];
  if (load > processors / 2)
    lines.push("", "Others work on this machine too: expect wide spreads, and trust only what is far from 1.");
  if (quick) lines.push("", "A quick run shows that everything runs. ITS FIGURES MEAN NOTHING.");
  return lines.join("\n");
}

await main();
