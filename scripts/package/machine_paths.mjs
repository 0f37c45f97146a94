// @ts-check
/** Nothing that is published tells where it was made. */
import { readFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { check, none } from "./checks.mjs";

/** @param {string} root The checkout. @param {import("./tarball.mjs").Tarball} tarball */
export async function checkMachinePaths(root, { unpacked, files }) {
  const folders = new Set([root, homedir(), tmpdir(), "/root", "/tmp"]);
  const paths = [...[...folders].map((folder) => `${folder}/`), "offheap-build-"];
  await check("has no path of this machine in an addon or in dist/", () => {
    const searched = files.filter((name) => name.endsWith(".node") || name.startsWith("dist/"));
    none(
      searched.flatMap((name) => {
        const contents = readFileSync(join(unpacked, name));
        return paths.filter((path) => contents.includes(path)).map((path) => `${name}: ${path}`);
      }),
    );
    return `searched ${searched.length} files for ${paths.join(", ")}`;
  });
}
