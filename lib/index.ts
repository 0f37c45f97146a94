/**
 * Native memory for Node.js: blocks that the garbage collector does not own, freed on the spot and dead the moment they
 * are.
 */
export type { AllocOptions, HeapOptions, Strategy } from "./arguments.js";
export type { BlockOrView } from "./buffers.js";
export { heap } from "./default_heap.js";
export { OffheapError, type OffheapErrorCode, type OffheapErrorDetails } from "./errors.js";
export { Heap } from "./heap.js";
export type { HeapHandle } from "./heap_handle.js";
export { Layout } from "./layout.js";
export { type RenderOptions, renderSnapshot } from "./render_snapshot.js";
export { type Runtime, runtime } from "./runtime.js";
export { Scope } from "./scope.js";
export type { BlockSnapshot, BucketSnapshot, HeapSnapshot, RegionSnapshot, SpanSnapshot } from "./snapshot.js";
export type { Fragmentation, HeapStats, SystemCalls } from "./stats.js";
export type { TypedArrayConstructor } from "./typed_arrays.js";
