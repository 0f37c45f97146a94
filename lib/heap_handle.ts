/** What a heap is known by in the other threads of its process. */
import { invalidArgumentType, OffheapError } from "./errors.js";
import type { NativeAddon } from "./native.js";

/**
 * Names a heap of this process, in any of its threads: `heap.handle` makes one and `Heap.open` takes it. Plain data that
 * survives `postMessage`; what is in it is of no use to anybody else.
 */
export interface HeapHandle {
  /** The name of the heap, for people. */
  readonly name: string;
  /** The process, the copy of offheap in it, and the heap. */
  readonly key: string;
}

/** The handle of the heap with this number. */
export function makeHandle(id: number, name: string, addon: NativeAddon): HeapHandle {
  return Object.freeze({ name, key: `${libraryOf(addon)}/${id}` });
}

/**
 * What a handle names, each property read once.
 *
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when it is no handle.
 * @throws {OffheapError} `ERR_OFFHEAP_FOREIGN` when it was not made in this process by this copy of offheap.
 */
export function readHandle(handle: unknown, addon: NativeAddon): { readonly id: number; readonly name: string } {
  const { name, key } = checkHandle(handle);
  const [library, id] = key.split("/");
  if (library !== libraryOf(addon)) {
    throw new OffheapError(
      "ERR_OFFHEAP_FOREIGN",
      "The handle names a heap of another process, or of another copy of offheap in this one. Pass heap.handle of a " +
        "thread of this process that has loaded the same copy",
    );
  }
  return { id: Number(id), name };
}

function checkHandle(handle: unknown): HeapHandle {
  if (typeof handle !== "object" || handle === null)
    throw invalidArgumentType("handle", "an object that heap.handle gave", handle);
  const { name, key } = handle as { readonly name?: unknown; readonly key?: unknown };
  const isKey = typeof key === "string" && /^[^/]+\/[1-9]\d*$/.test(key);
  if (typeof name !== "string" || !isKey)
    throw invalidArgumentType("handle", "an object that heap.handle gave", handle);
  return { name, key };
}

function libraryOf(addon: NativeAddon): string {
  return `${process.pid}-${addon.libraryKey}`;
}
