// @ts-check
/** Compiles one variant of the addon against the headers of one Node, away from the checkout's own build. */
import { createHash } from "node:crypto";
import { copyFileSync, cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { cached } from "./cache.mjs";
import { command } from "./command.mjs";

/** What an addon is made of. */
const SOURCES = ["package.json", "binding.gyp", "native/binding", "native/heap", "native/os"];

/**
 * @param {string} root The checkout.
 * @param {"v8" | "napi"} variant
 * @param {string} nodeVersion
 * @param {string} nodeFolder Where that Node's include/ is.
 * @returns {Promise<string>} The folder with the compiled file in it, and nothing else.
 */
export async function build(root, variant, nodeVersion, nodeFolder) {
  const key = (await sumOf(root)).slice(0, 16);
  return cached(join("addons", `${key}-${variant}-${nodeVersion}-${process.arch}`), async (folder) => {
    console.log(`compiling the ${variant} variant for Node ${nodeVersion}`);
    const copy = mkdtempSync(join(tmpdir(), "offheap-build-"));
    try {
      for (const source of SOURCES) cpSync(join(root, source), join(copy, source), { recursive: true });
      symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
      const nodeGyp = join("node_modules", "node-gyp", "bin", "node-gyp.js");
      await command(process.execPath, [nodeGyp, "rebuild", "--jobs=max", "--", `-Dbuffers=${variant}`], {
        cwd: copy,
        env: { ...withoutNpm(process.env), npm_config_nodedir: nodeFolder },
      });
      const built = join(copy, "build", "Release");
      for (const file of readdirSync(built)) {
        if (file.endsWith(".node")) copyFileSync(join(built, file), join(folder, file));
      }
    } finally {
      rmSync(copy, { recursive: true });
    }
  });
}

/**
 * A sum of all that decides what the compiled file is.
 *
 * @param {string} root
 */
async function sumOf(root) {
  const hash = createHash("sha256");
  for (const source of SOURCES) {
    for (const file of filesIn(join(root, source))) hash.update(relative(root, file)).update(readFileSync(file));
  }
  hash.update(readFileSync(join(root, "node_modules", "node-addon-api", "package.json")));
  hash.update(await command(process.env.CXX ?? "c++", ["--version"]));
  hash.update(`${process.env.CXXFLAGS} ${process.env.LDFLAGS}`);
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

/** npm hands its settings to node-gyp; the headers are to be the ones we name. @param {NodeJS.ProcessEnv} env */
function withoutNpm(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^npm_config_/i.test(name)));
}
