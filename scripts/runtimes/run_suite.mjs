// @ts-check
/** Runs the compiled tests in a process of their own, and says how that ended. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** `npm test` has a thousand workers come and go; here that would be most of the time. */
const TEST_WORKERS = process.env.OFFHEAP_TEST_WORKERS ?? "200";

/**
 * @typedef {object} Run
 * @property {string} title
 * @property {readonly string[]} command The runtime and its flags, to which the script is added.
 * @property {string} stage The folder with package and tests (see stage.mjs).
 * @property {string} log Where all that it writes goes.
 * @property {NodeJS.ProcessEnv} env Added to this process's.
 * @property {number} [mostMinutes] What takes this long hangs. On Node itself the suite takes half a minute.
 */

/** @param {Run} run @returns {Promise<boolean>} Whether all is well. */
export async function runSuite({ title, command, stage, log: file, env, mostMinutes = 10 }) {
  mkdirSync(dirname(file), { recursive: true });
  const log = openSync(file, "w");
  const [program = "", ...values] = command;
  const child = spawn(program, [...values, join("scripts", "runtimes", "suite.mjs")], {
    cwd: stage,
    env: { ...process.env, OFFHEAP_TEST_WORKERS: TEST_WORKERS, NO_COLOR: "1", ...env },
    stdio: ["ignore", log, log],
    timeout: mostMinutes * 60_000,
    killSignal: "SIGKILL",
  });
  const [code, signal] = await once(child, "close");
  closeSync(log);

  const text = readFileSync(file, "utf8").replace(/\r$/gm, "");
  const lines = text.trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  const finished = /^\d+ passed, \d+ failed$/.test(last);
  const good = finished && last.endsWith(" 0 failed") && code === 0;
  const crash = `ended with ${signal ?? code}`;
  const outcome = !finished
    ? `${crash} in the middle, 1 failed`
    : code !== 0 && last.endsWith(" 0 failed")
      ? `${crash} after the last test, 1 failed`
      : last;
  // One call, so that the lines of two runs do not mix.
  console.log(
    [
      ...lines.filter((line) => line.startsWith("not run: ")).map((line) => `${title} ${line}`),
      ...(good ? [] : [...(text.match(/^FAILED: .*(?:\n.+)*/gm) ?? []), ...(finished ? [] : lines.slice(-30))]),
      ...(good ? [] : [`All it wrote is in ${file}`]),
      `${title}: ${outcome}`,
    ].join("\n"),
  );
  return good;
}
