// @ts-check
/** The C++ tests, compiled for another system or processor and run by a program that can. */
import { spawnSync } from "node:child_process";
import { availableParallelism } from "node:os";

/** They take a minute, and so does the compiler. What takes this long hangs. */
const MOST_MILLISECONDS = 15 * 60_000;

/**
 * @param {string} root The checkout.
 * @param {string} title
 * @param {Record<string, string>} variables For make.
 * @param {NodeJS.ProcessEnv} [env] Added to this process's.
 * @returns {boolean} Whether all is well.
 */
export function runNativeTests(root, title, variables, env = {}) {
  console.log(`native ${title}`);
  const settings = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const values = ["--no-print-directory", `-j${availableParallelism()}`, "-C", "native", "test", ...settings];
  const { status, error } = spawnSync("make", values, {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: "inherit",
    timeout: MOST_MILLISECONDS,
  });
  if (error !== undefined) throw error;
  return status === 0;
}
