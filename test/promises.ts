/** What the tests assert again and again. */
import { AssertionError } from "node:assert";
import { expect } from "chai";
import { OffheapError, type OffheapErrorCode } from "../dist/errors.js";
import type { Heap } from "../dist/heap.js";

/** An error as Node makes them. */
export interface CodedError extends Error {
  readonly code: string;
}

/** Runs `action`, which must throw, and returns what it threw. */
export function caught(action: () => unknown): CodedError {
  let result: unknown;
  try {
    result = action();
  } catch (error) {
    return error as CodedError;
  }
  throw new AssertionError({ message: `nothing was thrown, but ${String(result)} returned` });
}

/** `action` throws the TypeError, RangeError or OffheapError that has this code. Returns it. */
export function expectRefusal(code: string, action: () => unknown): CodedError {
  const error = caught(action);
  expect(error, error.stack).to.have.property("code", code);
  expect(error.constructor, error.stack).to.equal(classOf(code));
  expect(error.message).to.not.equal("");
  return error;
}

/** `action` throws an OffheapError that has this code. Returns it. */
export function expectOffheapError(code: OffheapErrorCode, action: () => unknown): OffheapError {
  const error = expectRefusal(code, action);
  expect(error).to.be.instanceOf(OffheapError);
  return error as OffheapError;
}

/** `action` throws the error with this code, and the heap is afterwards exactly what it was. Returns the error. */
export function expectUnchanged(heap: Heap, code: string, action: () => unknown): CodedError {
  const before = countsOf(heap);
  const error = expectRefusal(code, action);
  expect(countsOf(heap)).to.deep.equal(before);
  return error;
}

/** Everything that says how many blocks a heap has, and how large. */
export function countsOf(heap: Heap): Record<string, unknown> {
  const { blocks, requested, usable, allocations, frees, reclaimed, reclaimedBytes } = heap.stats();
  return {
    bytesInUse: heap.bytesInUse,
    blocksInUse: heap.blocksInUse,
    blocks,
    requested,
    usable,
    allocations,
    frees,
    reclaimed,
    reclaimedBytes,
  };
}

/** The bytes under a buffer or view. */
export function bytesOf(buffer: ArrayBuffer): Uint8Array {
  return new Uint8Array(buffer);
}

/** The values of every kind that is no number. */
export const NOT_NUMBERS: readonly unknown[] = [
  undefined,
  null,
  "8",
  "",
  8n,
  true,
  {},
  [8],
  () => 8,
  Symbol("8"),
  new Date(0),
];

/** Passes a value where the types would not let it through. */
export function as<Type>(value: unknown): Type {
  return value as Type;
}

function classOf(code: string): unknown {
  if (code.startsWith("ERR_OFFHEAP_")) return OffheapError;
  return code === "ERR_OUT_OF_RANGE" ? RangeError : TypeError;
}
