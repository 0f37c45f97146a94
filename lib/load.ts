/** Finds the compiled addon, loads it and introduces our errors to it. */

import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import { addonFiles, describeRuntime, VARIANT_VARIABLE, variantsToTry } from "./addon_files.js";
import { createError } from "./errors.js";
import type { NativeAddon } from "./native.js";

/** A file that is not there, or is and did not load. */
interface Failure {
  readonly file: string;
  /** What the runtime's loader threw; nothing when there is no file. */
  readonly error?: unknown;
}

/** The folder of the package: compiled files lie one below it, in dist/. */
const PACKAGE_ROOT = resolve(__dirname, "..");

/**
 * Loads the addon for this thread. On Node itself the V8 variant for its ABI comes first, then the Node-API variant,
 * and of each a local build before the prebuilt file; other runtimes have the Node-API variant only. A file that does
 * not load is passed over, unless it is the last. The environment variable `OFFHEAP_BUFFERS` allows one variant only.
 *
 * @throws {Error} When none loads, or the environment variable has a wrong value. The message names each place, what is
 *   there, what the runtime's loader said and the commands that mend it; `cause` is the loader's own error, of several
 *   an AggregateError.
 */
export function loadAddon(root = PACKAGE_ROOT): NativeAddon {
  const asked = process.env[VARIANT_VARIABLE];
  const files = variantsToTry(asked).flatMap((variant) => addonFiles(root, variant));
  const failures: Failure[] = [];
  for (const file of files) {
    const outcome = load(file);
    if ("native" in outcome) {
      outcome.native.initialize({ createError, buffersStay: isMainThread || process.versions.deno !== undefined });
      return outcome.native;
    }
    failures.push(outcome);
  }
  throw new Error(explain(root, failures, asked), { cause: causeOf(failures) });
}

function load(file: string): { readonly native: NativeAddon } | Failure {
  if (!existsSync(file)) return { file };
  try {
    return { native: require(file) as NativeAddon };
  } catch (error) {
    return { file, error };
  }
}

function causeOf(failures: readonly Failure[]): unknown {
  const errors = failures.filter(({ error }) => error !== undefined).map(({ error }) => error);
  return errors.length > 1 ? new AggregateError(errors, "Several files were found, and none of them loads") : errors[0];
}

function explain(root: string, failures: readonly Failure[], asked: string | undefined): string {
  const onlyOne = [
    `The environment variable ${VARIANT_VARIABLE} is set to "${asked}", so nothing else was tried. Unset it to try all.`,
    "",
  ];
  return [
    `offheap could not load its native addon for ${describeRuntime()}.`,
    "",
    "Looked for, in this order:",
    ...failures.flatMap(({ file, error }) => [
      `  ${file}`,
      ...(error === undefined ? whatIsThere(dirname(file)) : messageOf(error)).split("\n").map((line) => `    ${line}`),
    ]),
    "",
    ...(asked ? onlyOne : []),
    "To mend it:",
    ...remedies(root),
  ].join("\n");
}

function messageOf(error: unknown): string {
  return `does not load: ${error instanceof Error ? error.message : String(error)}`;
}

/** What the folder has in place of the file that was looked for. */
function whatIsThere(folder: string): string {
  if (!existsSync(folder)) return "no such folder";
  const others = readdirSync(folder).filter((file) => file.endsWith(".node"));
  return others.length === 0 ? "no such file" : `no such file; in its folder: ${others.join(", ")}`;
}

function remedies(root: string): string[] {
  const compile = "It takes a C++20 compiler, make and Python 3.";
  if (existsSync(join(root, "binding.gyp"))) {
    return [
      `  Compile the addon in this checkout. ${compile}`,
      `    cd ${JSON.stringify(root)} && npm run build:native`,
    ];
  }
  return [
    "  If node_modules was copied from another machine or platform, install again on this one:",
    "    rm -rf node_modules && npm install",
    `  If there is no prebuilt addon for this platform, compile one in a checkout of offheap. ${compile}`,
    "    cd <checkout> && npm install && npm run prebuilds",
    `    cp -r <checkout>/prebuilds ${JSON.stringify(root)}`,
  ];
}
