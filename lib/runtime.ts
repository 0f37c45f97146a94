import { addon } from "./addon.js";

/** What offheap found where it runs. */
export interface Runtime {
  /**
   * How blocks become ArrayBuffers. `"v8"`: freed at once on any thread, and can be moved to workers. `"napi"`: works in
   * any runtime; a block cannot be moved to a worker.
   */
  readonly buffers: "v8" | "napi";
  /** The kernel's page, in bytes. */
  readonly pageSize: number;
  /** What the kernel aligns reservations to, in bytes. */
  readonly allocationGranularity: number;
  /** Length of a region, in bytes, and so the largest alignment. */
  readonly regionSize: number;
  /** The version of offheap. */
  readonly version: string;
}

const { version } = require("../package.json") as { readonly version: string };

/**
 * What offheap found where it runs.
 *
 * @example
 * ```ts
 * const page = heap.alloc(runtime.pageSize, { align: runtime.pageSize });
 * ```
 */
export const runtime: Runtime = Object.freeze({
  buffers: addon().buffers,
  pageSize: addon().pageSize,
  allocationGranularity: addon().allocationGranularity,
  regionSize: addon().regionSize,
  version,
});
