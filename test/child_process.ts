import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** The folder of the package: compiled tests lie one below it. */
export const PACKAGE_ROOT = join(__dirname, "..");

/** What a child process did. */
export interface ChildResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script in a Node of its own, in the package's folder, as CommonJS or as a module. */
export function runScript(type: "commonjs" | "module", script: string, flags: readonly string[] = []): ChildResult {
  return run(process.execPath, [...flags, `--input-type=${type}`, "--eval", script]);
}

/** As `runScript` with CommonJS, with at most `bytes` of address space beyond what Node itself has. */
export function runScriptWithAddressSpace(bytes: number, script: string): ChildResult {
  const kibibytes = Math.ceil(bytes / 1024);
  return run("bash", ["-c", `ulimit -v ${kibibytes} && exec "$0" "$@"`, process.execPath, "--eval", script]);
}

function run(command: string, values: readonly string[]): ChildResult {
  const { status, signal, stdout, stderr, error } = spawnSync(command, values, { cwd: PACKAGE_ROOT, encoding: "utf8" });
  if (error !== undefined) throw error;
  return { status, signal, stdout, stderr };
}
