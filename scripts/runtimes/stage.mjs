// @ts-check
/**
 * A copy of the package as it would be installed with the tests: addons in prebuilds/, none in build/. Each runtime finds
 * its own there, and the checkout's build stays what it is.
 */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";

/** What of a checkout is left out: what was built in it, what is linked, what is of no use to the tests. */
const LEFT_OUT = new Set([".git", "build", join("native", "build"), "node_modules", "prebuilds"]);

/**
 * @param {string} root The checkout.
 * @param {readonly string[]} addons Folders with compiled files.
 * @param {string} [platform] What they are compiled for: this machine, when it is not told.
 * @returns {string} The folder, which is removed when this process ends.
 */
export function makeStage(root, addons, platform = `${process.platform}-${process.arch}`) {
  const stage = mkdtempSync(join(tmpdir(), "offheap-stage-"));
  process.on("exit", () => rmSync(stage, { recursive: true, force: true }));
  cpSync(root, stage, { recursive: true, filter: (path) => !LEFT_OUT.has(relative(root, path)) });
  symlinkSync(join(root, "node_modules"), join(stage, "node_modules"));
  const prebuilds = join(stage, "prebuilds", platform);
  mkdirSync(prebuilds, { recursive: true });
  for (const folder of addons) {
    for (const file of readdirSync(folder)) copyFileSync(join(folder, file), join(prebuilds, file));
  }
  return stage;
}
