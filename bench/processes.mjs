// @ts-check
/**
 * Every contender has a process of its own: its garbage is paid for by nobody else, its finalizers run in nobody else's
 * time, and what it does to the assumptions of V8's compiler slows nobody else down. The contenders take turns, so that
 * what a round holds was measured within a second or two.
 */
import { fork, spawnSync } from "node:child_process";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What a job is told. It goes to a process as JSON.
 *
 * @typedef {object} Told
 * @property {import("./contenders.mjs").Buffers | undefined} [buffers] the variant of the addon that the process is to
 *   load, when it is to load any
 */

/**
 * @template Sample
 * @typedef {object} Running
 * @property {() => Promise<Sample>} sample
 * @property {() => void} stop
 */

const program = fileURLToPath(new URL("process.mjs", import.meta.url));

/**
 * Whether a process that is told to load a variant of the addon does so.
 *
 * @param {import("./contenders.mjs").Buffers} buffers
 */
export function canLoad(buffers) {
  const loaded = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", 'console.log((await import("offheap")).runtime.buffers)'],
    { cwd: dirname(program), env: { ...process.env, OFFHEAP_BUFFERS: buffers }, encoding: "utf8" },
  );
  return loaded.stdout.trim() === buffers;
}

/**
 * Rounds in which each contender takes a sample, all of them in the process it started with.
 *
 * @template Sample
 * @template {Told} Input
 * @param {string} module URL of the module that has the job: it exports `prepare(input)`, which makes everything ready
 *   and returns a function that takes one sample each time it is called
 * @param {readonly Input[]} inputs one for each contender
 * @param {number} rounds
 * @returns {Promise<Sample[][]>} for each contender its samples, by round
 */
export async function sampleInTurns(module, inputs, rounds) {
  /** @type {Running<Sample>[]} */
  const running = [];
  try {
    for (const input of inputs) running.push(await start(module, input));
    return await takeTurns(
      running.map(({ sample }) => sample),
      rounds,
    );
  } finally {
    for (const { stop } of running) stop();
  }
}

/**
 * The same with a new process for every sample: for jobs that leave something behind, or are measured by it.
 *
 * @template Sample
 * @template {Told} Input
 * @param {string} module
 * @param {readonly Input[]} inputs
 * @param {number} rounds
 * @returns {Promise<Sample[][]>}
 */
export async function sampleAfresh(module, inputs, rounds) {
  const turns = inputs.map((input) => async () => {
    /** @type {Running<Sample>} */
    const running = await start(module, input);
    try {
      return await running.sample();
    } finally {
      running.stop();
    }
  });
  return takeTurns(turns, rounds);
}

/**
 * The first contender begins the first round, the last one the next, and so on.
 *
 * @template Sample
 * @param {readonly (() => Promise<Sample>)[]} turns
 * @param {number} rounds
 * @returns {Promise<Sample[][]>}
 */
async function takeTurns(turns, rounds) {
  /** @type {Sample[][]} */
  const samples = turns.map(() => []);
  for (let round = 0; round < rounds; round++) {
    const order = [...turns.entries()];
    if (round % 2 === 1) order.reverse();
    for (const [index, turn] of order) samples[index]?.push(await turn());
  }
  return samples;
}

/**
 * Starts a process and waits until its job is prepared.
 *
 * @template Sample
 * @template {Told} Input
 * @param {string} module
 * @param {Input} input
 * @returns {Promise<Running<Sample>>}
 */
async function start(module, input) {
  const env = { ...process.env, ...(input.buffers && { OFFHEAP_BUFFERS: input.buffers }) };
  const child = fork(program, [module, JSON.stringify(input)], { env, execArgv: [] });
  /** @returns {Promise<any>} */
  const answer = () =>
    new Promise((resolve, reject) => {
      /**
       * @param {number | null} code
       * @param {string | null} signal
       */
      const ended = (code, signal) => {
        reject(new Error(`A contender's process ended with ${signal ?? `code ${code}`}: ${child.spawnargs.join(" ")}`));
      };
      child.once("exit", ended);
      child.once("message", (message) => {
        child.off("exit", ended);
        resolve(message);
      });
    });
  await answer();
  return {
    sample() {
      child.send("sample");
      return answer();
    },
    stop() {
      child.kill("SIGKILL");
    },
  };
}
