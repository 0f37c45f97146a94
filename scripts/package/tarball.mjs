// @ts-check
/** Packs the checkout as it is, and unpacks that. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { command } from "../runtimes/command.mjs";

/**
 * @typedef {object} Tarball
 * @property {string} file
 * @property {string} unpacked The folder with its contents.
 * @property {readonly string[]} files Of the contents, relative to that folder, with slashes.
 */

/** The commands that have to be run first: what they make is packed as it is. @param {string} root */
export function whatComesFirst(root) {
  const prebuilds = filesIn(join(root, "prebuilds")).some((file) => file.endsWith(".node"));
  return [
    ...(existsSync(join(root, "dist", "index.js")) ? [] : ["npm run build:lib"]),
    ...(prebuilds ? [] : ["npm run prebuild"]),
  ];
}

/**
 * @param {string} root The checkout.
 * @param {string} folder An empty one.
 * @returns {Promise<Tarball>}
 */
export async function pack(root, folder) {
  const flags = ["--silent", "--ignore-scripts", "--pack-destination", folder];
  const file = join(folder, (await command("npm", ["pack", ...flags], { cwd: root })).trim());
  const unpacked = join(folder, "unpacked");
  mkdirSync(unpacked);
  await command("tar", ["-xzf", file, "-C", unpacked, "--strip-components=1"]);
  return { file, unpacked, files: filesIn(unpacked) };
}

/** All files below a folder, relative to it. @param {string} folder @returns {string[]} */
export function filesIn(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).replaceAll(sep, "/"))
    .sort();
}
