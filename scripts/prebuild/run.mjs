// @ts-check
/**
 * `npm run prebuild`: compiles every file that is published and that this machine can compile, and puts each where the
 * loader looks for it in an installed package: prebuilds/<platform>-<arch>.
 *
 *   --list               names the files
 *   --only NAME,NAME     makes those; the beginning of a name stands for all that begin so: linux-arm64
 *   --twice              makes each a second time, and compares
 *   --here [FOLDER]      takes what node-gyp has built in build/Release, for the machine this is; in the package's
 *                        folder, this one when it is not told
 *
 * Ends with code 1 when something could not be compiled or two files differ, 2 when it was called in a wrong way or
 * programs are missing.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chosen } from "../runtimes/only.mjs";
import { build } from "./build.mjs";
import { takeLocalBuild } from "./here.mjs";
import { WINDOWS_COMPILER } from "./mingw.mjs";
import { needPrograms } from "./needed_programs.mjs";
import { nameOf, TARGETS } from "./targets.mjs";

/** @typedef {import("./targets.mjs").Target} Target */

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

const { values, positionals } = parseArgs({
  options: {
    list: { type: "boolean" },
    only: { type: "string" },
    twice: { type: "boolean" },
    here: { type: "boolean" },
  },
  allowPositionals: true,
});
if (values.list) {
  for (const target of TARGETS) console.log(nameOf(target));
} else if (values.here) {
  process.exitCode = takeLocalBuild(resolve(positionals[0] ?? root)) ? 0 : 1;
} else {
  await makeAll(chosen(values.only, TARGETS, nameOf));
}

/** @param {readonly Target[]} targets */
async function makeAll(targets) {
  needPrograms({
    ...(targets.some(({ platform }) => platform === "win32") && { [WINDOWS_COMPILER]: "g++-mingw-w64-x86-64-posix" }),
    ...(needsCross(targets, "arm64") && { "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu" }),
    ...(needsCross(targets, "x64") && { "x86_64-linux-gnu-g++": "g++-x86-64-linux-gnu" }),
  });
  for (const target of targets) {
    const folder = await build(root, target);
    const again = values.twice ? await build(root, target, { anew: true }) : undefined;
    const published = join(root, "prebuilds", `${target.platform}-${target.arch}`);
    mkdirSync(published, { recursive: true });
    for (const file of readdirSync(folder)) {
      const same = again === undefined || readFileSync(join(folder, file)).equals(readFileSync(join(again, file)));
      if (!same) {
        console.error(`${nameOf(target)}: two builds differ: ${join(folder, file)} ${join(again ?? "", file)}`);
        process.exitCode = 1;
        continue;
      }
      copyFileSync(join(folder, file), join(published, file));
      console.log(`${relative(root, join(published, file))}${again === undefined ? "" : " (twice the same)"}`);
    }
  }
}

/** @param {readonly Target[]} targets @param {string} arch */
function needsCross(targets, arch) {
  return arch !== process.arch && targets.some((target) => target.platform === "linux" && target.arch === arch);
}
