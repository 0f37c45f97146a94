// @ts-check
/**
 * Compiles the addon in an installed package, for this machine and the Node that runs this file:
 *
 *   node node_modules/offheap/native/compile.mjs
 *
 *   --buffers=v8|napi   one of the two builds; both when it is not there
 *
 * npm brings node-gyp into a temporary folder. What was compiled there, and loads, goes to build/Release in the package,
 * where the loader looks first. Ends with code 1 when something is missing or fails, and then the package is as it was;
 * with 2 when it was called in a wrong way.
 */
import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const windows = process.platform === "win32";

/** @type {string[]} */
const temporaryFolders = [];
process.on("exit", () => {
  for (const folder of temporaryFolders) rmSync(folder, { recursive: true, force: true });
});
// By itself the signal would end this process without the above. The program that runs at the time gets it as well.
process.on("SIGINT", () => process.exit(130));

const flags = [...wantedBuilds(), ...placeOfHeaders()];
const missing = whatIsMissing();
if (missing.length > 0) fail(["The addon cannot be compiled here. Missing:", ...missing].join("\n  "));

const folder = temporaryFolder(tmpdir());
console.log(`Compiling offheap's addon for Node ${process.versions.node} in ${folder}`);
copySources(folder);
// One line for a shell: npm is a script, which Windows starts in no other way.
run("npm install --ignore-scripts --no-audit --no-fund --no-package-lock", [], { shell: true });
run(process.execPath, [join("node_modules", "node-gyp", "bin", "node-gyp.js"), "rebuild", "--jobs=max", ...flags]);
publish(join(folder, "build", "Release"));

function wantedBuilds() {
  try {
    const { buffers } = parseArgs({ options: { buffers: { type: "string" } } }).values;
    if (buffers === undefined) return [];
    if (buffers === "v8" || buffers === "napi") return [`--buffers=${buffers}`];
    throw new Error(`--buffers is "v8" or "napi". Received "${buffers}"`);
  } catch (error) {
    return fail(/** @type {Error} */ (error).message, 2);
  }
}

/** Many installations of Node have its headers beside them. Without them node-gyp fetches them. */
function placeOfHeaders() {
  const beside = join(dirname(process.execPath), "..");
  const there = existsSync(join(beside, "include", "node", "node_api.h")) ? beside : undefined;
  const nodedir = process.env.npm_config_nodedir || there;
  return nodedir === undefined ? [] : [`--nodedir=${nodedir}`];
}

/** On Windows node-gyp itself looks for Visual Studio and Python, and says what it did not find. */
function whatIsMissing() {
  const { npm_config_python, NODE_GYP_FORCE_PYTHON, PYTHON, CXX, MAKE } = process.env;
  const pythons = [NODE_GYP_FORCE_PYTHON, npm_config_python, PYTHON, "python3", "python"];
  const isPython3 = ["-c", "import sys; sys.exit(sys.version_info < (3,))"];
  const needs = /** @type {const} */ ([
    [isNode(), "Node itself: this is another runtime. The addon that Node compiles loads in it too"],
    [!isMusl(), "glibc: this Linux has musl, where the addon does not load"],
    [runs("npm --version"), "npm"],
    [
      windows || runs(`${CXX || "g++"} --version`),
      "a C++20 compiler: g++ 12, clang 14 or later (CXX names another than g++)",
    ],
    [windows || runs(`${MAKE || "make"} --version`), "make"],
    [windows || pythons.some((python) => python && works(python, isPython3)), "Python 3"],
  ]);
  return needs.filter(([there]) => !there).map(([, what]) => what);
}

function isNode() {
  return process.versions.bun === undefined && process.versions.deno === undefined;
}

function isMusl() {
  if (process.platform !== "linux" || !isNode() || process.report === undefined) return false;
  const { header } = /** @type {{ header: Record<string, unknown> }} */ (process.report.getReport());
  return header.glibcVersionRuntime === undefined;
}

/** @param {string} line For a shell. */
function runs(line) {
  return spawnSync(line, { shell: true, stdio: "ignore" }).status === 0;
}

/** @param {string} program @param {readonly string[]} values */
function works(program, values) {
  return spawnSync(program, values, { stdio: "ignore" }).status === 0;
}

/** @param {string} parent */
function temporaryFolder(parent) {
  const made = mkdtempSync(join(parent, "offheap-compile-"));
  temporaryFolders.push(made);
  return made;
}

/** @param {string} target */
function copySources(target) {
  mkdirSync(join(target, "native"));
  for (const source of ["offheap.gypi", "binding", "heap", "os"]) {
    copy(join(root, "native", source), join(target, "native", source));
  }
  writeFileSync(join(target, "binding.gyp"), '{"includes": ["native/offheap.gypi"]}\n');
  const { devDependencies } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const dependencies = Object.fromEntries(["node-gyp", "node-addon-api"].map((name) => [name, devDependencies[name]]));
  writeFileSync(join(target, "package.json"), JSON.stringify({ private: true, dependencies }));
}

/**
 * A file, or a folder with all that is in it. Not cpSync(): of a package that may only be read it makes folders from which
 * nothing can be removed again.
 *
 * @param {string} from @param {string} to
 */
function copy(from, to) {
  if (!statSync(from).isDirectory()) return copyFileSync(from, to);
  mkdirSync(to, { recursive: true });
  for (const name of readdirSync(from)) copy(join(from, name), join(to, name));
}

/** @param {string} program @param {readonly string[]} values @param {{ shell?: boolean }} [options] */
function run(program, values, options) {
  const line = [program, ...values].join(" ");
  console.log(`> ${line}`);
  const { status, signal, error } = spawnSync(program, values, { cwd: folder, stdio: "inherit", ...options });
  if (status !== 0) fail(`The addon could not be compiled: ${line} ended with ${error?.message ?? signal ?? status}`);
}

/**
 * Puts the files in their place, each as a whole; none when one of them does not load.
 *
 * @param {string} compiled
 */
function publish(compiled) {
  const files = readdirSync(compiled).filter((file) => file.endsWith(".node"));
  for (const file of files) {
    const load = ["-e", "require(process.argv[1])", join(compiled, file)];
    const { status, signal, stderr } = spawnSync(process.execPath, load, { encoding: "utf8" });
    if (status !== 0) fail(`${file} was compiled, but does not load: ended with ${signal ?? status}\n${stderr}`);
  }
  const built = join(root, "build", "Release");
  try {
    mkdirSync(built, { recursive: true });
    // A file that is copied is not whole for a while; one that is renamed always is.
    const beside = temporaryFolder(built);
    for (const file of files) copyFileSync(join(compiled, file), join(beside, file));
    for (const file of files) renameSync(join(beside, file), join(built, file));
  } catch (error) {
    fail(`The compiled files could not be put in their place: ${/** @type {Error} */ (error).message}`);
  }
  for (const file of files) console.log(join(built, file));
}

/** @param {string} message @returns {never} */
function fail(message, code = 1) {
  console.error(message);
  process.exit(code);
}
