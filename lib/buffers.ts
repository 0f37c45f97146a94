/**
 * Tells buffers and views apart, and finds the buffer under a view, with functions captured when this file is loaded:
 * a prototype or a property that a program changes afterwards cannot pass one buffer off as another.
 */
import { types } from "node:util";
import { createError, invalidArgumentType } from "./errors.js";

/** What holds a block: its buffer, or any view on it. */
export type BlockOrView = ArrayBuffer | NodeJS.ArrayBufferView;

const { isArrayBuffer, isSharedArrayBuffer } = types;
const { apply } = Reflect;
const isView = ArrayBuffer.isView as (value: unknown) => value is NodeJS.ArrayBufferView;
const typedArrayPrototype: object = Object.getPrototypeOf(Uint8Array.prototype);
const nameOfTypedArray = getterOf<string | undefined>(typedArrayPrototype, Symbol.toStringTag);
const bufferOfTypedArray = getterOf<ArrayBufferLike>(typedArrayPrototype, "buffer");
const bufferOfDataView = getterOf<ArrayBufferLike>(DataView.prototype, "buffer");
const byteLengthOfBuffer = getterOf<number>(ArrayBuffer.prototype, "byteLength");

/** `ArrayBuffer.prototype.transfer` where the runtime has it: Node 21 and later. */
const transfer: unknown = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "transfer")?.value;
const clone = structuredClone;

/** Completes "must be" in the error for a value that holds no block. */
const BLOCK = "an instance of ArrayBuffer, Buffer, TypedArray, or DataView";
const BLOCK_OR_SHARED = "an instance of ArrayBuffer, SharedArrayBuffer, Buffer, TypedArray, or DataView";
const NOTHING: readonly never[] = [];

/**
 * The ArrayBuffer that `block` is or views.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` for anything else, a SharedArrayBuffer among it.
 * @throws {OffheapError} `ERR_OFFHEAP_FOREIGN` for a view on a SharedArrayBuffer, which is never a block.
 */
export function bufferOf(block: unknown): ArrayBuffer {
  const buffer = isView(block) ? bufferOfView(block) : block;
  if (isArrayBuffer(buffer)) return buffer;
  if (buffer !== block) throw createError({ code: "ERR_OFFHEAP_FOREIGN" });
  throw invalidArgumentType("block", BLOCK, block);
}

/**
 * The ArrayBuffer or SharedArrayBuffer that `block` is or views.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` for anything else.
 */
export function bufferOrSharedOf(block: unknown): ArrayBufferLike {
  const buffer = isView(block) ? bufferOfView(block) : block;
  if (isArrayBuffer(buffer) || isSharedArrayBuffer(buffer)) return buffer;
  throw invalidArgumentType("block", BLOCK_OR_SHARED, block);
}

/**
 * The same as `bufferOf` for what is most often passed, a live ArrayBuffer or a typed array on one, found with
 * operations that V8 compiles inline; `undefined` sends the caller to `bufferOf`, also for a buffer of no bytes.
 */
export function liveBufferOf(block: unknown): ArrayBuffer | undefined {
  try {
    const buffer = isView(block) ? apply(bufferOfTypedArray, block, NOTHING) : block;
    return apply(byteLengthOfBuffer, buffer, NOTHING) > 0 ? (buffer as ArrayBuffer) : undefined;
  } catch {
    return undefined;
  }
}

/** True when the buffer was transferred, freed or otherwise cut off from its bytes. */
export function isDetached(buffer: ArrayBuffer): boolean {
  if (apply(byteLengthOfBuffer, buffer, NOTHING) > 0) return false;
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

/**
 * Cuts a buffer of the runtime's own off from its bytes.
 *
 * @throws {TypeError} From the runtime, when the buffer was marked as untransferable.
 */
export function detach(buffer: ArrayBuffer): void {
  if (typeof transfer === "function") apply(transfer, buffer, NOTHING);
  else clone(buffer, { transfer: [buffer] });
}

function bufferOfView(view: NodeJS.ArrayBufferView): ArrayBufferLike {
  const isTypedArray = apply(nameOfTypedArray, view, NOTHING) !== undefined;
  return apply(isTypedArray ? bufferOfTypedArray : bufferOfDataView, view, NOTHING);
}

function getterOf<Value>(prototype: object, key: PropertyKey): (this: unknown) => Value {
  const getter = Object.getOwnPropertyDescriptor(prototype, key)?.get;
  if (getter === undefined) throw new Error(`This runtime has no getter for ${String(key)}`);
  return getter as (this: unknown) => Value;
}
