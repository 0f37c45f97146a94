/**
 * The one typed declaration of the native addon. Everything in lib/ reaches C++ through these types, and nothing in
 * lib/ asks the addon for anything that is not written here.
 *
 * The addon checks every argument again by itself: a wrong type or a wrong receiver is a TypeError, never a crash.
 * It reports its own failures by calling the factory given to `initialize` and throwing what the factory returns, so
 * that error classes live in TypeScript only.
 */

/** What the addon knows when it refuses a call. `code` decides which of the other fields are there. */
export type NativeFailure =
  | {
      readonly code: "ERR_OFFHEAP_OUT_OF_MEMORY";
      /** Bytes the call asked for. */
      readonly bytes: number;
      /** The operating-system call that was refused, for example "mmap". */
      readonly call: string;
      /** The number the operating system gave: errno, or GetLastError() on Windows. */
      readonly osError: number;
      /** The system's own words for `osError`. */
      readonly osMessage: string;
    }
  | {
      readonly code: "ERR_OFFHEAP_LIMIT";
      readonly limit: number;
      readonly inUse: number;
      readonly asked: number;
    }
  | { readonly code: "ERR_OFFHEAP_FREED" }
  | { readonly code: "ERR_OFFHEAP_FOREIGN" }
  | { readonly code: "ERR_OFFHEAP_LOCKED" }
  | { readonly code: "ERR_OFFHEAP_CLOSED" }
  /** The runtime cannot make buffers, or shared ones, over memory of ours. */
  | { readonly code: "ERR_OFFHEAP_UNSUPPORTED"; readonly what: "buffers" | "shared buffers" };

/** Counts and bytes of one heap, over all threads, read in one call. Every number is exact when no thread is at work. */
export interface NativeStats {
  readonly requested: number;
  readonly usable: number;
  readonly committed: number;
  readonly reserved: number;
  readonly metadata: number;
  readonly peak: number;
  readonly blocks: number;
  readonly allocations: number;
  readonly frees: number;
  readonly failures: number;
  readonly reclaimed: number;
  readonly reclaimedBytes: number;
  readonly regions: number;
  readonly spans: number;
  readonly freeBytes: number;
  readonly largestFreeRun: number;
  readonly releasesRefused: number;
  readonly decommitsRefused: number;
  /** System calls for memory made by offheap in this process, by kind. */
  readonly systemCalls: {
    readonly reserve: number;
    readonly commit: number;
    readonly decommit: number;
    readonly release: number;
    readonly protect: number;
    readonly advise: number;
    readonly move: number;
  };
}

export interface NativeSpan {
  readonly kind: "free" | "bucket" | "dynamic" | "huge";
  readonly address: bigint;
  /** Length of the span in bytes. */
  readonly bytes: number;
  /** Of those, backed by memory. */
  readonly committed: number;
  /** Bytes of one block; for a dynamic or huge span the usable bytes of its one block; 0 for a free span. */
  readonly blockBytes: number;
  /** Blocks that fit, and of those the ones handed out. 0 and 0 for a free span. */
  readonly blocks: number;
  readonly used: number;
  /** Bit i % 8 of byte i / 8 is 1 when block i is handed out. Empty for a free span. */
  readonly usedBits: Uint8Array;
}

export interface NativeRegion {
  readonly address: bigint;
  /** Address space of the region, in bytes, its metadata included. */
  readonly bytes: number;
  readonly committed: number;
  /** Bytes at the start of the region that hold metadata and never a block. */
  readonly metadataBytes: number;
  readonly spans: readonly NativeSpan[];
}

export interface NativeBucket {
  readonly blockBytes: number;
  readonly spans: number;
  readonly blocks: number;
  readonly used: number;
}

export interface NativeBlock {
  readonly address: bigint;
  /** Bytes the caller asked for. */
  readonly requested: number;
  readonly usable: number;
}

export interface NativeSnapshot {
  readonly regions: readonly NativeRegion[];
  readonly buckets: readonly NativeBucket[];
  readonly blocks: readonly NativeBlock[];
}

/** A heap as this thread has it open. Blocks are allocated and freed by functions of the addon, by the heap's slot. */
export interface NativeHeap {
  /** What `alloc` and `free` of the addon know the heap by, in this thread, while this object lives. */
  slot(): number;
  /** What any thread of the process can open the heap by; no other heap ever has the same. */
  id(): number;
  isDefault(): boolean;
  /** Bytes in use that may not be exceeded; Infinity for none. */
  limit(): number;
  /** `size` is 1 or more, `align` a power of two up to the region size. Zeroed. */
  allocShared(size: number, align: number): SharedArrayBuffer;
  /** Throws the error for a buffer that `free` of the addon did not take: it is freed, or foreign. */
  refuse(buffer: ArrayBufferLike): never;
  /** `size` is 1 or more. The old buffer is detached; the alignment of the block is kept. */
  realloc(buffer: ArrayBuffer, size: number): ArrayBuffer;
  /** False, never an error, for anything that is not a live block of this heap. */
  owns(buffer: ArrayBuffer | SharedArrayBuffer | Uint8Array): boolean;
  usableSize(buffer: ArrayBuffer): number;
  addressOf(buffer: ArrayBuffer | SharedArrayBuffer | Uint8Array): bigint;
  bytesInUse(): number;
  blocksInUse(): number;
  stats(): NativeStats;
  snapshot(): NativeSnapshot;
  /** Returns free pages to the kernel now. Bytes returned. */
  trim(): number;
  /**
   * Decommits the free pages that have been idle long enough. Says what a later call may find: pages that wait for their
   * time; blocks, which may come back without a call of this thread; or nothing.
   */
  decay(): "nothing" | "blocks" | "idle pages";
  /** No block is handed out any more, in any thread; live blocks stay until they are freed. May be called twice. */
  close(): void;
  closed(): boolean;
}

export interface NativeHeapOptions {
  /** Bytes in use that may not be exceeded; Infinity for none. */
  readonly limit: number;
  /** Size classes in bytes, strictly ascending; undefined for the built-in ones. */
  readonly buckets: readonly number[] | undefined;
}

export interface NativeAddon {
  /** Makes a heap, or opens the one with the number given; 0 is the default heap of the process. */
  readonly Heap: new (
    options: NativeHeapOptions | number,
  ) => NativeHeap;
  /**
   * `terms` says which heap and how: `slot * 64 + (zeroed ? 0 : 32) + log2(align)`, see `allocTerms`. `size` is 1 or
   * more. One number, so that the call that is made most has two arguments to check.
   */
  alloc(terms: number, size: number): ArrayBuffer;
  /**
   * Detaches the buffer, or the one under the view, and takes its block back. False, and nothing happened, for anything
   * but a live block of the heap.
   */
  free(slot: number, block: unknown): boolean;
  /** Whether the buffer lies in the pages of any heap of this copy of the library. */
  isBlock(buffer: unknown): boolean;
  /** Whether `allocShared` can work. */
  readonly canShare: boolean;
  /** The same in all threads of this process, and another in every other copy of the library. */
  readonly libraryKey: string;
  /** Which implementation of the ArrayBuffer seam was compiled in. */
  readonly buffers: "v8" | "napi";
  /** The kernel's page, in bytes. */
  readonly pageSize: number;
  /** What reservations are aligned to by the kernel, in bytes: the page on Linux, 64 KiB on Windows. */
  readonly allocationGranularity: number;
  /** Length of a region, in bytes, and so the largest alignment. */
  readonly regionSize: number;
  /** Largest size class a heap may be given, in bytes. */
  readonly maxBucketSize: number;
  /** Most size classes a heap may be given. */
  readonly maxBuckets: number;
  /** Milliseconds a free page stays committed before `decay()` gives it back. */
  readonly decayMilliseconds: number;
  /**
   * Must be called once in each thread, before the first heap is made. `buffersStay` says that buffers made here need no
   * care when the thread ends: it is the main thread, or the runtime ends a buffer only when its last reader in any
   * thread is done. Node, with Node-API, ends those of a worker with the worker. Absent means that they need it.
   */
  initialize(hooks: { readonly createError: (failure: NativeFailure) => Error; readonly buffersStay?: boolean }): void;
}

/** The first argument of `alloc`. */
export function allocTerms(slot: number, align: number, zeroed: boolean): number {
  return slot * 64 + (zeroed ? 0 : 32) + Math.log2(align);
}
