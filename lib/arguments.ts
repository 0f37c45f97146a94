/**
 * Checks of what callers pass. Each returns the value it checked, so that a getter or a proxy is asked only once, and
 * throws Node's own errors.
 */
import { constants } from "node:buffer";
import { invalidArgumentType, outOfRange, unsupported } from "./errors.js";
import type { NativeAddon } from "./native.js";

/** The largest buffer this runtime can hold, in bytes. */
export const LARGEST_SIZE = Math.min(constants.MAX_LENGTH, Number.MAX_SAFE_INTEGER);

/** Captured: a program that replaces it does not change what a size is. */
const { floor } = Math;

/** What blocks are aligned to when the caller does not say: enough for every typed array, in bytes. */
export const DEFAULT_ALIGN = 8;

/** How a block should be placed. A `Layout` will do as well. */
export interface AllocOptions {
  /** The address is a multiple of this many bytes: a power of two up to `runtime.regionSize`. Default 8. */
  readonly align?: number | undefined;
}

/** The algorithm behind a heap. */
export type Strategy = "buckets" | "first-fit" | "next-fit" | "best-fit" | "worst-fit" | "buddy" | "slab";

const STRATEGIES: readonly string[] = [
  "buckets",
  "first-fit",
  "next-fit",
  "best-fit",
  "worst-fit",
  "buddy",
  "slab",
] satisfies Strategy[];

/** What a heap is made of. */
export interface HeapOptions {
  /** For people: appears in snapshots. Default `"heap"`. */
  readonly name?: string | undefined;
  /** Bytes in use that may not be exceeded. Default `Infinity`. */
  readonly limit?: number | undefined;
  /** Size classes in bytes, strictly ascending. Default: built-in ones with at most 12.5 % internal waste. */
  readonly buckets?: readonly number[] | undefined;
  /** The algorithm behind the heap. Default `"buckets"`, the only one so far. */
  readonly strategy?: Strategy | undefined;
  /** Fixed size in bytes, for the strategies that need one. `"buckets"` grows as needed and takes none. */
  readonly capacity?: number | undefined;
}

/** Heap options after the checks: every field is there and was read once. */
export interface CheckedHeapOptions {
  readonly name: string;
  readonly limit: number;
  readonly buckets: readonly number[] | undefined;
}

/** True for a number of bytes that a block can have; 0 is one. */
export function isSize(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value <= LARGEST_SIZE && floor(value) === value;
}

/** @throws {TypeError|RangeError} Unless `value` is an integer from 0 to `largest`. */
export function checkSize(value: unknown, name = "size", largest = LARGEST_SIZE): number {
  return checkInteger(value, name, 0, largest);
}

/** @throws {TypeError|RangeError} Unless `value` is an integer from `smallest` to `largest`. */
export function checkInteger(value: unknown, name: string, smallest: number, largest: number): number {
  if (typeof value !== "number") throw invalidArgumentType(name, "of type number", value);
  if (!(Number.isInteger(value) && value >= smallest && value <= largest)) {
    throw outOfRange(name, `an integer >= ${smallest} && <= ${largest}`, value);
  }
  return value === 0 ? 0 : value; // -0 is an integer as well; nothing behind this needs to know.
}

/** @throws {TypeError|RangeError} Unless `value` is a power of two up to `largest`. */
export function checkAlign(value: unknown, largest: number, name = "align"): number {
  if (typeof value !== "number") throw invalidArgumentType(name, "of type number", value);
  if (!(isPowerOfTwo(value) && value <= largest)) {
    throw outOfRange(name, `a power of two >= 1 && <= ${largest}`, value);
  }
  return value;
}

function isPowerOfTwo(value: number): boolean {
  return value >= 1 && value === 2 ** Math.round(Math.log2(value));
}

/** The alignment that `options` ask for. @throws {TypeError|RangeError} When they are no options or ask nonsense. */
export function alignOf(options: unknown, largest: number): number {
  const align: unknown = checkOptions<AllocOptions>(options).align;
  return align === undefined ? DEFAULT_ALIGN : checkAlign(align, largest, "options.align");
}

/** @throws {TypeError} Unless `options` is an object that can have options: not null, no array, no function. */
export function checkOptions<Options extends object>(options: unknown): { readonly [Key in keyof Options]?: unknown } {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw invalidArgumentType("options", "of type object", options);
  }
  return options;
}

/** @throws {TypeError} Unless `value` is a function. */
export function checkFunction(value: unknown, name: string): void {
  if (typeof value !== "function") throw invalidArgumentType(name, "of type function", value);
}

/**
 * Reads the options of a heap, once each.
 *
 * @throws {TypeError|RangeError} For a value of the wrong type, or one that cannot be.
 * @throws {OffheapError} `ERR_OFFHEAP_UNSUPPORTED` for what the design knows and this version does not.
 */
export function checkHeapOptions(options: unknown, addon: NativeAddon): CheckedHeapOptions {
  if (options === undefined) return { name: "heap", limit: Number.POSITIVE_INFINITY, buckets: undefined };
  const { name, limit, buckets, strategy, capacity } = checkOptions<HeapOptions>(options);
  const checked: CheckedHeapOptions = {
    name: name === undefined ? "heap" : checkName(name),
    limit: limit === undefined ? Number.POSITIVE_INFINITY : checkLimit(limit),
    buckets: buckets === undefined ? undefined : checkBuckets(buckets, addon),
  };
  checkStrategy(strategy);
  checkCapacity(capacity);
  return checked;
}

function checkName(name: unknown): string {
  if (typeof name !== "string") throw invalidArgumentType("options.name", "of type string", name);
  return name;
}

function checkLimit(limit: unknown): number {
  if (limit === Number.POSITIVE_INFINITY) return limit;
  if (typeof limit !== "number") throw invalidArgumentType("options.limit", "of type number", limit);
  if (!(Number.isSafeInteger(limit) && limit >= 0)) {
    throw outOfRange("options.limit", `an integer >= 0 && <= ${Number.MAX_SAFE_INTEGER}, or Infinity`, limit);
  }
  return limit === 0 ? 0 : limit;
}

function checkBuckets(buckets: unknown, { maxBucketSize, maxBuckets }: NativeAddon): readonly number[] {
  if (!Array.isArray(buckets)) throw invalidArgumentType("options.buckets", "an instance of Array", buckets);
  const length = checkInteger(buckets.length, "options.buckets.length", 1, maxBuckets);
  const sizes: number[] = [];
  let previous = 0;
  for (let index = 0; index < length; index++) {
    const name = `options.buckets[${index}]`;
    const size = checkInteger(buckets[index], name, 1, maxBucketSize);
    if (size <= previous) throw outOfRange(name, `greater than the bucket before it, ${previous}`, size);
    sizes.push(size);
    previous = size;
  }
  return sizes;
}

function checkStrategy(strategy: unknown): void {
  if (strategy === undefined || strategy === "buckets") return;
  if (typeof strategy !== "string") throw invalidArgumentType("options.strategy", "of type string", strategy);
  if (!STRATEGIES.includes(strategy)) {
    throw outOfRange("options.strategy", `one of ${STRATEGIES.map((known) => `"${known}"`).join(", ")}`, strategy);
  }
  throw unsupported(`The strategy "${strategy}" is not supported by this version. Leave it out, or ask for "buckets"`);
}

function checkCapacity(capacity: unknown): void {
  if (capacity === undefined) return;
  const bytes = checkInteger(capacity, "options.capacity", 1, Number.MAX_SAFE_INTEGER);
  throw unsupported(
    `A capacity of ${bytes} bytes is not supported: a heap of buckets grows as needed. Leave capacity out, and bound ` +
      "the heap with limit",
  );
}
