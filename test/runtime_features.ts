/** What differs between the runtimes that tests run on. */

/** Where the tests run. Bun and Deno have a version of Node as well: the one they want to be taken for. */
export const runtimeName =
  process.versions.bun !== undefined ? "bun" : process.versions.deno !== undefined ? "deno" : "node";

const transfer: unknown = Reflect.get(ArrayBuffer.prototype, "transfer");

/** Moves a buffer with `ArrayBuffer.prototype.transfer`; undefined where the runtime has none. */
export const transferOf =
  typeof transfer === "function"
    ? (buffer: ArrayBuffer, length?: number): ArrayBuffer =>
        Reflect.apply(transfer, buffer, length === undefined ? [] : [length])
    : undefined;

/** The major version of Node. */
export const nodeMajor = Number(process.versions.node.split(".")[0]);

/** Whether a buffer that was passed to markAsUntransferable() can no longer be detached. Bun takes no notice. */
export const heedsTheMark = nodeMajor >= 24 && runtimeName !== "bun";

/**
 * What a runtime says about a method of the addon on the wrong receiver. V8's own check comes first in Node; elsewhere
 * Node-API finds that the receiver is no heap, and says that with a plain Error.
 */
export const wrongReceiverError = runtimeName === "node" ? TypeError : Error;

/** The code of the error for a file of a package that the package does not export. */
export const notExportedCode = runtimeName === "bun" ? "MODULE_NOT_FOUND" : "ERR_PACKAGE_PATH_NOT_EXPORTED";

/**
 * Whether a buffer is detached at once when it is posted to a MessagePort that is closed. In Deno it stays as it is.
 */
export const closedPortTakesBuffers = runtimeName !== "deno";

/** Whether Buffer.alloc refuses a fill in the words in which Buffer.prototype.fill refuses it. */
export const allocRefusesAsFill = runtimeName !== "bun";

/** Whether the runtime's own errors have their code in the first line of their stack. */
export const showsCodeInStack = runtimeName === "node";

/** Whether the runtime's own error for a wrong receiver has the words of Node's. */
export const refusesReceiversAsNode = runtimeName !== "bun";

/** How a process ends that calls process.exit(130) on SIGINT: in Deno the signal ends it when its handlers are done. */
export const endOfInterrupted: readonly [number | null, NodeJS.Signals | null] =
  runtimeName === "deno" ? [null, "SIGINT"] : [130, null];

/** Whether external ArrayBuffers of Node-API move with a transfer list, as the runtime's own do. Node and Bun refuse. */
export const movesExternalBuffers = runtimeName === "deno";

/** Whether a transfer list with one buffer twice is refused. Deno takes it for once. */
export const refusesDuplicateTransfers = runtimeName !== "deno";

/** The name of the error for a buffer in a transfer list that was passed to markAsUntransferable(). */
export const markedTransferError = runtimeName === "deno" ? "TypeError" : "DataCloneError";

/**
 * Whether a busy worker has stopped when terminate() has settled, and Node-API was told. In Deno it goes on for some
 * seconds, and what it had in use stays in use: no finalizer and no hook of it is ever called.
 */
export const terminateEndsBusyWorkers = runtimeName !== "deno";

/**
 * Whether a buffer that is garbage, and not yet finalized, when its worker ends is lost with its block: to Node-API it
 * looks as if transfer() had moved it, and somebody may be reading it.
 */
export const losesGarbageOfWorkers = (buffers: "v8" | "napi"): boolean =>
  buffers === "napi" && runtimeName === "node" && transferOf !== undefined;

/** Whether the flag --zero-fill-buffers exists. Deno drops it. */
export const canZeroFillBuffers = runtimeName !== "deno";

/** What tests need of `WebAssembly.Memory`, which the types of Node do not declare. */
export interface WebAssemblyMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
}

const webAssembly = Reflect.get(globalThis, "WebAssembly") as {
  readonly Memory: new (descriptor: {
    readonly initial: number;
    readonly maximum?: number;
    readonly shared?: boolean;
  }) => WebAssemblyMemory;
};

/** Makes a memory of `initial` pages of 64 KiB. */
export function makeWebAssemblyMemory(
  descriptor: ConstructorParameters<typeof webAssembly.Memory>[0],
): WebAssemblyMemory {
  return new webAssembly.Memory(descriptor);
}
