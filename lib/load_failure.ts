/** What is said when no file of the addon loads: where it was looked for, what is there, and what mends it. */

import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { describeRuntime, VARIANT_VARIABLE } from "./addon_files.js";

/** A file that is not there, or is and did not load. */
export interface Failure {
  readonly file: string;
  /** What the runtime's loader threw; nothing when there is no file. */
  readonly error?: unknown;
}

/** The whole message. `asked` is what the environment variable says. */
export function explain(root: string, failures: readonly Failure[], asked: string | undefined): string {
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
  const others = namesIn(folder).filter((file) => file.endsWith(".node"));
  return others.length === 0 ? "no such file" : `no such file; in its folder: ${others.join(", ")}`;
}

/** The lines that say what to do, with commands for the shell. A checkout has other commands than a package. */
export function remedies(root: string, musl = isMusl()): readonly string[] {
  if (musl)
    return ["  This is Linux with musl, and the addon needs glibc: here it loads neither prebuilt nor compiled."];
  const needs = "It takes a C++20 compiler, make and Python 3.";
  if (existsSync(join(root, "binding.gyp"))) {
    return [`  Compile the addon in this checkout. ${needs}`, `    cd ${quoted(root)} && npm run build:native`];
  }
  const platforms = prebuiltPlatforms(root);
  return [
    `  Compile the addon for this machine. ${needs}`,
    `    node ${quoted(join(root, "native", "compile.mjs"))}`,
    "  If node_modules was copied from another machine or platform, remove it and install again on this one:",
    "    npm install",
    `  Prebuilt in this package: ${platforms.length === 0 ? "nothing" : platforms.join(", ")}.`,
  ];
}

function prebuiltPlatforms(root: string): readonly string[] {
  const folder = join(root, "prebuilds");
  return namesIn(folder).filter((name) => namesIn(join(folder, name)).length > 0);
}

/** What is in a folder; nothing where it cannot be read, since there is another error to tell of. */
function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

/** As one word for the shell. */
function quoted(path: string): string {
  return process.platform === "win32" ? `"${path}"` : `'${path.replaceAll("'", "'\\''")}'`;
}

/** Whether this is Linux with another C library than glibc, whose version the runtime would know. */
function isMusl(): boolean {
  if (process.platform !== "linux" || process.report === undefined) return false;
  try {
    const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header !== undefined && header.glibcVersionRuntime === undefined;
  } catch {
    return false; // Deno asks for leave to tell.
  }
}
