// @ts-check
/** Runs a program to its end. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

/**
 * @param {string} program
 * @param {readonly string[]} values
 * @param {import("node:child_process").ExecFileOptions} [options]
 * @returns {Promise<string>} What it wrote. When it fails, the error has that in its message.
 */
export async function command(program, values, options) {
  try {
    const { stdout } = await promisify(execFile)(program, values, {
      ...options,
      maxBuffer: 64 << 20,
      encoding: "utf8",
    });
    return stdout;
  } catch (error) {
    const { code, signal, stdout = "", stderr = "" } = /** @type {Record<string, string>} */ (error);
    throw new Error(`${[program, ...values].join(" ")} ended with ${signal ?? code}\n${stdout}${stderr}`);
  }
}
