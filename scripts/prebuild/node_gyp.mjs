// @ts-check
/** Compiles a variant of the addon for Linux with node-gyp, for this machine's processor or another. */
import { copyFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { removeSymbols } from "./here.mjs";

/** What Debian calls the tools for a processor that is not this machine's: a prefix, and g++ after it. */
const CROSS_PREFIXES = /** @type {Record<string, string>} */ ({
  arm64: "aarch64-linux-gnu-",
  x64: "x86_64-linux-gnu-",
});

/** The beginning of the names of the tools that make programs for a processor. @param {string} arch */
export function toolPrefix(arch) {
  if (arch === process.arch) return "";
  const prefix = CROSS_PREFIXES[arch];
  if (prefix === undefined) throw new Error(`There are no tools here for ${arch}`);
  return prefix;
}

/**
 * @param {string} root Sources, and node_modules with node-gyp. Its build/ is made anew.
 * @param {string} folder Where to put the compiled file.
 * @param {{ variant: "v8" | "napi", arch: string, headers: string }} what Headers: the folder of a Node.
 */
export async function compileForLinux(root, folder, { variant, arch, headers }) {
  const prefix = toolPrefix(arch);
  const tools = { CC: `${prefix}gcc`, CXX: `${prefix}g++`, AR: `${prefix}ar` };
  // No path of this machine in the result, neither in what __FILE__ says nor anywhere else.
  const flags = [`-ffile-prefix-map=${root}=.`, `-ffile-prefix-map=${headers}=node`];
  const nodeGyp = join("node_modules", "node-gyp", "bin", "node-gyp.js");
  const values = ["rebuild", "--jobs=max", `--arch=${arch}`, `--buffers=${variant}`];
  await command(process.execPath, [nodeGyp, ...values], {
    cwd: root,
    env: { ...withoutSettings(process.env), ...tools, CXXFLAGS: flags.join(" "), npm_config_nodedir: headers },
  });
  const built = join(root, "build", "Release");
  for (const file of readdirSync(built)) {
    if (!file.endsWith(".node")) continue;
    copyFileSync(join(built, file), join(folder, file));
    removeSymbols(join(folder, file), `${prefix}strip`);
  }
}

/**
 * npm hands its settings to node-gyp; the headers are to be the ones we name. And make would take other tools and flags
 * than ours from these variables.
 *
 * @param {NodeJS.ProcessEnv} env
 */
function withoutSettings(env) {
  const ours = (/** @type {[string, unknown]} */ [name]) =>
    !/^npm_config_|^(CC|CXX|AR|LINK|LD)([._]\w+)?$|^C(PP|XX)?FLAGS|^LDFLAGS/i.test(name);
  return Object.fromEntries(Object.entries(env).filter(ours));
}
