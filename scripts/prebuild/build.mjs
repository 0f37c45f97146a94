// @ts-check
/** Compiles the addon for one target, away from the checkout's own build, and keeps it in the cache. */
import { createHash } from "node:crypto";
import { cpSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { cached } from "../runtimes/cache.mjs";
import { command } from "../runtimes/command.mjs";
import { download } from "../runtimes/download.mjs";
import { compileForWindows, WINDOWS_COMPILER } from "./mingw.mjs";
import { compileForLinux, toolPrefix } from "./node_gyp.mjs";

/** What an addon is made of. */
const SOURCES = [
  "package.json",
  "binding.gyp",
  ...["offheap.gypi", "binding", "heap", "os"].map((name) => join("native", name)),
];

/** What else decides what comes out: the tools that npm installed. */
const TOOLS = ["node-addon-api", "node-api-headers", "node-gyp"];

/** @typedef {import("./targets.mjs").Target} Target */

/**
 * @param {string} root The checkout.
 * @param {Target} target
 * @param {{ anew?: boolean }} [options] Anew: compiled although it is in the cache.
 * @returns {Promise<string>} The folder with the compiled file in it, and nothing else.
 */
export async function build(root, target, { anew = false } = {}) {
  const { platform, arch, variant, node } = target;
  const key = (await sumOf(root, target)).slice(0, 16);
  const name = join(anew ? "addons-again" : "addons", `${key}-${platform}-${arch}-${variant}-${node.version}`);
  /** @param {string} folder */
  const fill = async (folder) => {
    console.log(
      `compiling ${platform}-${arch}, ${variant} variant${variant === "v8" ? ` for Node ${node.version}` : ""}`,
    );
    const copy = realpathSync(mkdtempSync(join(tmpdir(), "offheap-build-")));
    try {
      for (const source of SOURCES) cpSync(join(root, source), join(copy, source), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
      if (platform === "win32") await compileForWindows(copy, folder, join(copy, "build"));
      else await compileForLinux(copy, folder, { variant, arch, headers: await download(node) });
    } finally {
      rmSync(copy, { recursive: true });
    }
  };
  return cached(name, fill, { anew });
}

/** The program that makes the target. @param {Target} target */
function compilerOf({ platform, arch }) {
  return platform === "win32" ? WINDOWS_COMPILER : `${toolPrefix(arch)}g++`;
}

/**
 * A sum of all that decides what the compiled file is.
 *
 * @param {string} root
 * @param {Target} target
 */
async function sumOf(root, target) {
  const hash = createHash("sha256");
  const scripts = join(root, "scripts", "prebuild");
  for (const source of [...SOURCES.map((name) => join(root, name)), scripts]) {
    for (const file of filesIn(source)) hash.update(relative(root, file)).update(readFileSync(file));
  }
  for (const tool of TOOLS) hash.update(readFileSync(join(root, "node_modules", tool, "package.json")));
  hash.update(await command(compilerOf(target), ["--version"]));
  return hash.digest("hex");
}

/** @param {string} path @returns {string[]} */
function filesIn(path) {
  try {
    return readdirSync(path)
      .sort()
      .flatMap((name) => filesIn(join(path, name)));
  } catch {
    return [path];
  }
}
