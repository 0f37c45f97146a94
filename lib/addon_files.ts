/** The two variants of the addon: which of them a runtime may load, and the files they lie in. */
import { join } from "node:path";

/**
 * `"v8"` is compiled against one version of Node and loads in that alone; `"napi"` loads in every runtime with
 * Node-API.
 */
export type Variant = "v8" | "napi";

/** The environment variable that allows one variant only. */
export const VARIANT_VARIABLE = "OFFHEAP_BUFFERS";

/** Runtimes that give a version of Node and its ABI as their own, but have another V8 than Node's, or none. */
const NOT_NODE = ["bun", "deno", "electron", "nw"];

/** The runtime, as a person would name it. */
export function describeRuntime(): string {
  const { versions, platform, arch } = process;
  const other = NOT_NODE.find((name) => versions[name] !== undefined);
  const name = other === undefined ? "" : `${other} ${versions[other]} as `;
  return `${platform}-${arch}, ${name}Node ${versions.node}, module ABI ${versions.modules}`;
}

/**
 * The variants this runtime may load, the better one first. `asked` is what the environment variable says.
 *
 * @throws {Error} When `asked` is no variant, or one that this runtime cannot load.
 */
export function variantsToTry(asked: string | undefined, node = isNode()): readonly Variant[] {
  switch (asked) {
    case undefined:
    case "":
      return node ? ["v8", "napi"] : ["napi"];
    case "napi":
      return ["napi"];
    case "v8":
      // Not even tried: in a runtime that has another V8 the file may load and then end the process.
      if (node) return ["v8"];
      throw new Error(
        `The environment variable ${VARIANT_VARIABLE} asks for the variant "v8", which is for Node itself. ` +
          `This is ${describeRuntime()}. Set it to "napi", or not at all.`,
      );
    default:
      throw new Error(
        `The environment variable ${VARIANT_VARIABLE} must be "v8" or "napi", or not be set. ` +
          `Received ${JSON.stringify(asked)}.`,
      );
  }
}

/** The files a variant may lie in, for this runtime: a local build comes before what was published. */
export function addonFiles(root: string, variant: Variant): readonly string[] {
  const name = variant === "v8" ? `offheap.abi${process.versions.modules}.node` : "offheap.napi.node";
  return [join(root, "build", "Release", name), join(root, "prebuilds", `${process.platform}-${process.arch}`, name)];
}

/** Whether this is Node itself. */
function isNode(): boolean {
  const names = NOT_NODE.filter((name) => process.versions[name] !== undefined);
  return names.length === 0 && !("Bun" in globalThis) && !("Deno" in globalThis);
}
