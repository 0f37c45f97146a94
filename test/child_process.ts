import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { runtimeName } from "./runtime_features.js";

/** The folder of the package: compiled tests lie one below it. */
export const PACKAGE_ROOT = join(__dirname, "..");

/** What a child process did. */
export interface ChildResult {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a script in a process of its own, in the package's folder, as CommonJS or as a module. */
export function runScript(type: "commonjs" | "module", script: string, flags: readonly string[] = []): ChildResult {
  // Deno knows Node's flags when it is started from here, but for the one that says what a script is.
  if (runtimeName === "deno" && type === "module") return run(process.execPath, ["eval", "--ext=mjs", script]);
  return run(process.execPath, [...flags, `--input-type=${type}`, "--eval", script]);
}

/**
 * As `runScript` with CommonJS, for scripts that terminate many workers. Node for Windows ends now and then by an assertion
 * of libuv's then, against a call that does no harm elsewhere (libuv issue 3622). Such a run says nothing of ours, and is
 * done again.
 */
export function runScriptWithManyWorkers(script: string): ChildResult {
  for (let attempt = 1; ; attempt++) {
    const result = runScript("commonjs", script);
    const asserted = process.platform === "win32" && /UV_HANDLE_CLOSING.*async\.c/.test(result.stderr);
    if (!asserted || attempt === 5) return result;
  }
}

/**
 * As `runScript` with CommonJS, on Linux, with at most `bytes` of address space beyond what the runtime has taken when
 * the script starts. The script limits itself: some runtimes take tens of GiB to start, and keep less.
 */
export function runScriptWithAddressSpace(bytes: number, script: string): ChildResult {
  const limit = `{
    const [, kibibytes] = /VmSize:\\s+(\\d+)/.exec(require("node:fs").readFileSync("/proc/self/status", "utf8"));
    const limit = kibibytes * 1024 + ${bytes};
    require("node:child_process").execFileSync("prlimit", ["--pid=" + process.pid, "--as=" + limit]);
  }`;
  return runScript("commonjs", `${limit}\n${script}`);
}

function run(command: string, values: readonly string[]): ChildResult {
  const { status, signal, stdout, stderr, error } = spawnSync(command, values, { cwd: PACKAGE_ROOT, encoding: "utf8" });
  if (error !== undefined) throw error;
  return { status, signal, stdout, stderr };
}
