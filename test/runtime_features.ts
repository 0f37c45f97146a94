/** What differs between the runtimes that tests run on. */

const transfer: unknown = Reflect.get(ArrayBuffer.prototype, "transfer");

/** Moves a buffer with `ArrayBuffer.prototype.transfer`; undefined where the runtime has none. */
export const transferOf =
  typeof transfer === "function"
    ? (buffer: ArrayBuffer, length?: number): ArrayBuffer =>
        Reflect.apply(transfer, buffer, length === undefined ? [] : [length])
    : undefined;

/** The major version of Node. */
export const nodeMajor = Number(process.versions.node.split(".")[0]);

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
