// @ts-check
/**
 * Installs the tarball as somebody does who has one runtime and nothing else, no compiler and no node-gyp either, and
 * runs the README's first example there.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { download } from "../runtimes/download.mjs";
import { RUNTIMES } from "../runtimes/table.mjs";
import { check } from "./checks.mjs";
import { firstExample } from "./readme_example.mjs";

/** @typedef {import("../runtimes/table.mjs").Runtime} Runtime */

const PLATFORM = `${process.platform}-${process.arch}`;

/** Prints which build runs, and the files of addons that are in the process. */
const PROBE = `const { runtime } = require("offheap");
const maps = require("node:fs").readFileSync("/proc/self/maps", "utf8");
const files = [...new Set(maps.match(/\\/.*\\.node$/gm))];
console.log(JSON.stringify({ buffers: runtime.buffers, module: process.versions.modules, files }));
`;

/** @param {string} root The checkout. @param {import("./tarball.mjs").Tarball} tarball @param {string} folder An empty one. */
export async function checkInstallations(root, tarball, folder) {
  const example = firstExample(root);
  for (const runtime of RUNTIMES) {
    // A Node is there twice, once for each build; here it is to find the better one by itself.
    if (runtime.title === "node" && runtime.variant !== "v8") continue;
    if (runtime.packages[PLATFORM] === undefined) continue;
    await checkInstallation(runtime, tarball, example, join(folder, runtime.name));
  }
}

/**
 * @param {Runtime} runtime
 * @param {import("./tarball.mjs").Tarball} tarball
 * @param {import("./readme_example.mjs").Example} example
 * @param {string} folder
 */
async function checkInstallation(runtime, { file }, { imported, required, printed }, folder) {
  const { title, version, binary } = runtime;
  const program = join(await download(runtime), binary);
  const project = join(folder, "project");
  const environment = aloneWith(program, folder);
  /** @param {string} script @param {string} code */
  const run = async (script, code) => {
    writeFileSync(join(project, script), code);
    return command(program, [...flagsOf(runtime), script], { cwd: project, env: environment });
  };
  const who = `${title} ${version}`;

  const installed = await check(`${who}: installs, and compiles nothing`, async () => {
    if (title !== "bun") return install(title === "node" ? program : process.execPath, file, project, environment);
    makeProject(project);
    await command(program, ["add", file], { cwd: project, env: environment });
    compiledNothing(project);
  });
  if (!installed) return;
  for (const [how, script, code] of /** @type {const} */ ([
    ["import", "example.mjs", imported],
    ["require", "example.cjs", required],
  ])) {
    await check(`${who}: prints what the README says, with ${how}`, async () => {
      const lines = await run(script, code);
      if (lines.trimEnd() !== printed.join("\n")) throw new Error(`it printed\n${lines}`);
    });
  }
  await check(`${who}: loads the build for it from prebuilds/`, async () => {
    const { buffers, module, files } = JSON.parse(await run("probe.cjs", PROBE));
    const name = runtime.variant === "v8" ? `offheap.abi${module}.node` : "offheap.napi.node";
    const expected = join(project, "node_modules", "offheap", "prebuilds", PLATFORM, name);
    if (!existsSync(expected)) throw new Error(`there is no ${name}: npm run prebuild`);
    if (buffers !== runtime.variant || files.join() !== expected) throw new Error(`${buffers}, ${files.join()}`);
    return `${buffers}, ${name}`;
  });
}

/**
 * Installs with npm: without scripts; and then anew with scripts, to see that there are none.
 *
 * @param {string} node What npm runs in.
 * @param {string} tarball
 * @param {string} project Is made.
 * @param {NodeJS.ProcessEnv} environment
 */
export async function install(node, tarball, project, environment) {
  const npm = process.env.npm_execpath;
  if (npm === undefined || basename(npm) !== "npm-cli.js") throw new Error("start this with npm run test:package");
  for (const flags of [["--ignore-scripts"], []]) {
    makeProject(project);
    const values = ["install", ...flags, "--offline", "--no-audit", "--no-fund", "--no-update-notifier", tarball];
    await command(node, [npm, ...values], { cwd: project, env: environment });
    compiledNothing(project);
  }
}

/** @param {string} project */
function makeProject(project) {
  rmSync(project, { recursive: true, force: true });
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), "{}");
}

/** @param {string} project */
function compiledNothing(project) {
  const installed = join(project, "node_modules", "offheap");
  if (!existsSync(join(installed, "dist"))) throw new Error("it was not installed");
  if (existsSync(join(installed, "build"))) throw new Error("something was compiled");
}

/**
 * An environment in which no program is found but the runtime.
 *
 * @param {string} program
 * @param {string} folder Is made, with what belongs to it.
 */
function aloneWith(program, folder) {
  const [programs, home] = [join(folder, "programs"), join(folder, "home")];
  for (const path of [folder, programs, home]) mkdirSync(path);
  symlinkSync(program, join(programs, basename(program)));
  return { PATH: programs, HOME: home };
}

/** What comes before a script. What only tests need does not. @param {Runtime} runtime */
function flagsOf({ flags }) {
  return flags.filter((flag) => !flag.includes("expose-gc"));
}
