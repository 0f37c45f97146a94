import { checkInteger, LARGEST_SIZE } from "./arguments.js";
import { invalidArgumentType } from "./errors.js";

/** A typed-array class such as `Uint8Array` or `Float64Array`; `Float16Array` where the runtime has it. */
export interface TypedArrayConstructor {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): NodeJS.ArrayBufferView<ArrayBuffer>;
}

/**
 * Bytes of one element of each class the runtime has. Only the classes themselves are keys: a subclass could run code
 * in the middle of an allocation.
 */
const elementBytes: ReadonlyMap<unknown, number> = new Map(
  [
    "Int8Array",
    "Uint8Array",
    "Uint8ClampedArray",
    "Int16Array",
    "Uint16Array",
    "Int32Array",
    "Uint32Array",
    "Float16Array",
    "Float32Array",
    "Float64Array",
    "BigInt64Array",
    "BigUint64Array",
  ].flatMap((name): [unknown, number][] => {
    const type: unknown = Reflect.get(globalThis, name);
    return typeof type === "function" ? [[type, Reflect.get(type, "BYTES_PER_ELEMENT") as number]] : [];
  }),
);

/** @throws {TypeError} Unless `type` is a typed-array class of this runtime. Returns the bytes of one element. */
export function elementBytesOf(type: unknown): number {
  const bytes = elementBytes.get(type);
  if (bytes !== undefined) return bytes;
  if (type === Buffer) {
    throw invalidArgumentType("type", "a TypedArray constructor (for a Buffer call allocBuffer)", type);
  }
  throw invalidArgumentType("type", "a TypedArray constructor", type);
}

/** The bytes of `length` elements. @throws {TypeError|RangeError} Unless a buffer can hold so many. */
export function arrayBytes(length: unknown, elementBytes: number): number {
  return checkInteger(length, "length", 0, Math.floor(LARGEST_SIZE / elementBytes)) * elementBytes;
}
