// @ts-check
/**
 * Puts what node-gyp built in build/Release, without its symbols, where the loader looks for it in an installed package:
 * for systems whose files are compiled on themselves.
 *
 * STRIP is the program that removes the symbols; "strip" when it is not set, none on Windows, where they lie in files
 * of their own.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";

/** @param {string} root The folder of the package. @returns {boolean} Whether there was anything. */
export function takeLocalBuild(root) {
  const built = join(root, "build", "Release");
  const prebuilds = join(root, "prebuilds", `${process.platform}-${process.arch}`);
  const files = existsSync(built)
    ? readdirSync(built).filter((file) => /^offheap\.(napi|abi\d+)\.node$/.test(file))
    : [];
  if (files.length === 0) {
    console.error(`No addon in ${built}. Compile it first: npm run build:native`);
    return false;
  }
  mkdirSync(prebuilds, { recursive: true });
  for (const file of files) {
    const target = join(prebuilds, file);
    copyFileSync(join(built, file), target);
    removeSymbols(target, process.env.STRIP ?? "strip");
    console.log(target);
  }
  return true;
}

/** @param {string} file @param {string} program */
export function removeSymbols(file, program) {
  if (process.platform === "win32") return;
  // macOS: all but the symbols that others need; the rest of the world calls that --strip-unneeded.
  const flag = process.platform === "darwin" ? "-x" : "--strip-unneeded";
  execFileSync(program, [flag, file], { stdio: "inherit" });
}
