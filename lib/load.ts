/** Finds the compiled addon, loads it and introduces our errors to it. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import { addonFiles, VARIANT_VARIABLE, variantsToTry } from "./addon_files.js";
import { createError } from "./errors.js";
import { explain, type Failure } from "./load_failure.js";
import type { NativeAddon } from "./native.js";

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
