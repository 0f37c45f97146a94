/** Finds the compiled addon, loads it and introduces our errors to it. */

import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { isMainThread } from "node:worker_threads";
import { createError } from "./errors.js";
import type { NativeAddon } from "./native.js";

/** Loads the addon that fits this runtime from a package's folder. The package carries no types. */
const nodeGypBuild = require("node-gyp-build") as (packageRoot: string) => unknown;

/** The folder of the package: compiled files lie one below it, in dist/. */
const PACKAGE_ROOT = resolve(__dirname, "..");

/**
 * Loads the addon for this thread: a local build if there is one, else the prebuilt binary for this platform.
 *
 * @throws {Error} When none is found or the one found does not load. The message names the places that were searched
 *   and the commands that mend it; `cause` is the loader's own error.
 */
export function loadAddon(root = PACKAGE_ROOT): NativeAddon {
  let native: NativeAddon;
  try {
    native = nodeGypBuild(root) as NativeAddon;
  } catch (cause) {
    throw new Error(explainFailure(root, cause), { cause });
  }
  native.initialize({ createError, isMainThread });
  return native;
}

function explainFailure(root: string, cause: unknown): string {
  const runtime = `${process.platform}-${process.arch}, Node ${process.versions.node}, module ABI ${process.versions.modules}`;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return [
    `offheap could not load its native addon for ${runtime}.`,
    "",
    "Looked for:",
    ...searchedPlaces(root).map((place) => `  ${place}`),
    "",
    "The loader said:",
    ...reason.split("\n").map((line) => `  ${line}`),
    "",
    "To mend it:",
    ...remedies(root),
  ].join("\n");
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

/** The folders the loader looks into, in its order, each with what is there. */
function searchedPlaces(root: string): string[] {
  return [
    join(root, "build", "Release"),
    join(root, "build", "Debug"),
    join(root, "prebuilds", `${process.platform}-${process.arch}`),
  ].map((folder) => `${folder} (${addonsIn(folder)})`);
}

function addonsIn(folder: string): string {
  if (!existsSync(folder)) return "no such folder";
  const files = readdirSync(folder).filter((file) => file.endsWith(".node"));
  return files.length === 0 ? "no .node file" : files.join(", ");
}
