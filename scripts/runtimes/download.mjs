// @ts-check
/** Brings a runtime from the npm registry. */
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cached } from "./cache.mjs";
import { command } from "./command.mjs";

/**
 * @param {import("./table.mjs").Runtime} runtime
 * @param {string} [platform] What it runs on: this machine, when it is not told.
 * @returns {Promise<string>} The folder its package was unpacked in. A Node for Linux has its headers in it.
 */
export async function download({ packages, version, binary }, platform = `${process.platform}-${process.arch}`) {
  const { name, integrity } = packages[platform] ?? {};
  if (name === undefined || integrity === undefined) {
    throw new Error(`There is no runtime for ${platform} in scripts/runtimes/table.mjs`);
  }
  return cached(`${name.replace("/", "-")}-${version}`, async (folder) => {
    console.log(`fetching ${name} ${version}`);
    // npm compares the sum of what it gets with the registry's; here it is compared with ours.
    const fetched = await command("npm", ["pack", "--silent", `${name}@${version}`], { cwd: folder });
    const tarball = join(folder, fetched.trim());
    const [algorithm = ""] = integrity.split("-");
    const sum = `${algorithm}-${createHash(algorithm).update(readFileSync(tarball)).digest("base64")}`;
    if (sum !== integrity) throw new Error(`${name} ${version} is ${sum}, not ${integrity}`);
    await command("tar", ["-xzf", tarball, "--strip-components=1"], { cwd: folder });
    rmSync(tarball);
    chmodSync(join(folder, binary), 0o755);
  });
}
