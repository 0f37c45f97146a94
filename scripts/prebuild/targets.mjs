// @ts-check
/** What is published: which variant of the addon for which system, processor and version of Node. */
import { RUNTIMES } from "../runtimes/table.mjs";

/**
 * @typedef {object} Target
 * @property {"linux" | "win32"} platform
 * @property {"x64" | "arm64"} arch
 * @property {"v8" | "napi"} variant
 * @property {import("../runtimes/table.mjs").Runtime} node Whose headers it is compiled with. The Node-API variant is
 *   one file for all; the headers of the first Node in the table, the oldest, have all it needs.
 */

const NODES = RUNTIMES.filter(({ title }) => title === "node");
const [OLDEST] = NODES;
if (OLDEST === undefined) throw new Error("There is no Node among the runtimes");

/** What `--only` knows a target by. @param {Target} target */
export function nameOf({ platform, arch, variant, node }) {
  return `${platform}-${arch}-${variant === "napi" ? "napi" : `v8-${node.version}`}`;
}

/**
 * What a runtime loads on a system.
 *
 * @param {import("../runtimes/table.mjs").Runtime} runtime
 * @param {string} platform
 * @param {string} arch
 */
export function targetFor(runtime, platform, arch) {
  const target = TARGETS.find(
    ({ variant, node, ...on }) =>
      on.platform === platform &&
      on.arch === arch &&
      variant === runtime.variant &&
      (variant === "napi" || node.version === runtime.version),
  );
  if (target !== undefined) return target;
  throw new Error(
    `Nothing is published for ${runtime.title} ${runtime.version}, ${runtime.variant}, on ${platform}-${arch}`,
  );
}

/** @type {readonly Target[]} */
export const TARGETS = [
  ...linux("x64", OLDEST),
  ...linux("arm64", OLDEST),
  // V8's own symbols have other names in Windows' node.exe than mingw would look for: its V8 variant comes from MSVC.
  { platform: "win32", arch: "x64", variant: "napi", node: OLDEST },
];

/** @param {"x64" | "arm64"} arch @param {Target["node"]} oldest @returns {Target[]} */
function linux(arch, oldest) {
  return [
    { platform: "linux", arch, variant: "napi", node: oldest },
    ...NODES.filter(({ variant }) => variant === "v8").map(
      (node) => /** @type {const} */ ({ platform: "linux", arch, variant: "v8", node }),
    ),
  ];
}
