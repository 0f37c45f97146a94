// @ts-check
/**
 * `npm run prebuilds`: puts what node-gyp built in build/Release, without its symbols, where the loader looks for it in
 * an installed package: prebuilds/<platform>-<arch>. Takes the package's folder, this one when it is not told.
 *
 * STRIP is the program that removes the symbols; "strip" when it is not set, none on Windows, where they lie in files
 * of their own.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(process.argv[2] ?? join(dirname(fileURLToPath(import.meta.url)), ".."));
const built = join(root, "build", "Release");
const prebuilds = join(root, "prebuilds", `${process.platform}-${process.arch}`);

const files = existsSync(built) ? readdirSync(built).filter((file) => /^offheap\.(napi|abi\d+)\.node$/.test(file)) : [];
if (files.length === 0) {
  console.error(`No addon in ${built}. Compile it first: npm run build:native`);
  process.exit(1);
}

mkdirSync(prebuilds, { recursive: true });
for (const file of files) {
  const target = join(prebuilds, file);
  copyFileSync(join(built, file), target);
  removeSymbols(target);
  console.log(target);
}

/** @param {string} file */
function removeSymbols(file) {
  if (process.platform === "win32") return;
  // macOS: all but the symbols that others need; the rest of the world calls that --strip-unneeded.
  const flag = process.platform === "darwin" ? "-x" : "--strip-unneeded";
  execFileSync(process.env.STRIP ?? "strip", [flag, file], { stdio: "inherit" });
}
