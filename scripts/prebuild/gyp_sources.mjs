// @ts-check
/** What the addon is compiled from, as the gyp files say it, for compilers that node-gyp cannot drive. */
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/**
 * @typedef {object} Gyp A dictionary of a gyp file, or one target of it.
 * @property {string} [target_name]
 * @property {string[]} [sources] Relative to the file.
 * @property {string[]} [includes] Relative to the file.
 * @property {string[]} [defines]
 * @property {Gyp[]} [targets]
 * @property {[condition: string, then: Gyp, otherwise?: Gyp][]} [conditions]
 *
 * @typedef {object} Compilation
 * @property {string[]} sources Relative to the checkout.
 * @property {string[]} defines
 */

/**
 * Sources and definitions of the Node-API variant on one system.
 *
 * @param {string} root The checkout.
 * @param {string} system As gyp names it: "win", "linux", "mac".
 * @returns {Compilation}
 */
export function napiCompilation(root, system) {
  const file = join("native", "offheap.gypi");
  const values = { OS: system, buffers: "napi" };
  const { targets = [] } = flatten(root, file, values);
  const wanted = targets.filter(({ target_name }) => target_name === "offheap_core" || target_name === "offheap_napi");
  if (wanted.length !== 2) throw new Error(`${file} has no targets offheap_core and offheap_napi`);
  return {
    sources: wanted.flatMap(({ sources = [] }) => sources),
    defines: [...new Set(wanted.flatMap(({ defines = [] }) => defines))],
  };
}

/**
 * A file's dictionary with what it includes and what its conditions add, paths relative to the checkout.
 *
 * @param {string} root
 * @param {string} file
 * @param {Record<string, string>} values What conditions ask for.
 * @returns {Gyp}
 */
function flatten(root, file, values) {
  // gyp's files are dictionaries of Python's. Ours keep to what JSON has, but for comments.
  const dictionary = JSON.parse(readFileSync(join(root, file), "utf8").replace(/^\s*#.*$/gm, ""));
  return resolve(dictionary);

  /** @param {Gyp} gyp @returns {Gyp} */
  function resolve({ includes = [], conditions = [], targets = [], sources = [], defines = [], ...others }) {
    const parts = [
      ...includes.map((included) => flatten(root, relativeToRoot(included), values)),
      ...conditions.map(([condition, then, otherwise]) => resolve((holds(condition, values) ? then : otherwise) ?? {})),
    ];
    return {
      ...others,
      sources: [...sources.map(relativeToRoot), ...parts.flatMap((part) => part.sources ?? [])],
      defines: [...defines, ...parts.flatMap((part) => part.defines ?? [])],
      targets: [...targets.map(resolve), ...parts.flatMap((part) => part.targets ?? [])],
    };
  }

  /** @param {string} path */
  function relativeToRoot(path) {
    return normalize(join(dirname(file), path));
  }
}

/** @param {string} condition @param {Record<string, string>} values */
function holds(condition, values) {
  const [, name = "", operator, value] = /^(\w+)(==|!=)'(\w+)'$/.exec(condition) ?? [];
  if (!(name in values)) throw new Error(`The condition ${condition} of a gyp file is not understood here`);
  return (values[name] === value) === (operator === "==");
}
