/** The package for `import`. Everything lives in the CommonJS files, so that `import` and `require` share it. */
export type {
  AllocOptions,
  BlockOrView,
  BlockSnapshot,
  BucketSnapshot,
  Fragmentation,
  HeapHandle,
  HeapOptions,
  HeapSnapshot,
  HeapStats,
  OffheapErrorCode,
  OffheapErrorDetails,
  RegionSnapshot,
  RenderOptions,
  Runtime,
  SpanSnapshot,
  Strategy,
  SystemCalls,
  TypedArrayConstructor,
} from "./index.js";
export { Heap, heap, Layout, OffheapError, renderSnapshot, runtime, Scope } from "./index.js";
