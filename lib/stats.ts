import type { NativeHeap } from "./native.js";

/** System calls for memory that offheap has made in this process, by kind. */
export interface SystemCalls {
  /** Address space taken from the kernel. */
  readonly reserve: number;
  /** Pages backed by memory. */
  readonly commit: number;
  /** Pages whose memory went back while the address space stayed. */
  readonly decommit: number;
  /** Address space given back. */
  readonly release: number;
  /** Access rights changed. */
  readonly protect: number;
  /** Hints on how pages will be used. */
  readonly advise: number;
  /** Pages moved to another address instead of being copied. */
  readonly move: number;
}

/** What cannot be used, and why. */
export interface Fragmentation {
  /** Bytes inside blocks beyond what was asked for: `usable - requested`. */
  readonly internal: number;
  /** Share of the free bytes that lie outside the largest free run, from 0 to 1: `1 - largestFreeRun / freeBytes`. */
  readonly external: number;
  /** Bytes of the regions that no block occupies. */
  readonly freeBytes: number;
  /** Longest run of free bytes with no block in between. */
  readonly largestFreeRun: number;
}

/** Counts and bytes of one heap at one moment. Plain, frozen data. */
export interface HeapStats {
  /** Bytes asked for in live blocks: the same as `heap.bytesInUse`. */
  readonly requested: number;
  /** Bytes those blocks can hold. */
  readonly usable: number;
  /** Bytes backed by memory. */
  readonly committed: number;
  /** Bytes of address space. */
  readonly reserved: number;
  /** Bytes spent on the heap's own records. */
  readonly metadata: number;
  /** The largest `requested` there ever was. */
  readonly peak: number;
  /** Live blocks: the same as `heap.blocksInUse`. */
  readonly blocks: number;
  /** Blocks handed out since the heap was made. */
  readonly allocations: number;
  /** Blocks that came back, in whatever way: `allocations - frees` is `blocks`. */
  readonly frees: number;
  /** Allocations that were refused, by the limit or by the kernel. */
  readonly failures: number;
  /** Of those, blocks that came back because their buffer was garbage collected. */
  readonly reclaimed: number;
  /** Bytes asked for in those blocks. */
  readonly reclaimedBytes: number;
  readonly regions: number;
  readonly spans: number;
  /** Times the kernel refused to take address space back. Such a region is used again, and offered again by `trim`. */
  readonly releasesRefused: number;
  /** Times the kernel refused to take pages back. */
  readonly decommitsRefused: number;
  /** All system calls for memory that offheap has made in this process: the sum of `systemCalls`. */
  readonly syscalls: number;
  readonly systemCalls: SystemCalls;
  readonly fragmentation: Fragmentation;
}

/** Reads the statistics of a heap in one call to the addon, and adds what follows from them. */
export function readStats(heap: NativeHeap): HeapStats {
  const { freeBytes, largestFreeRun, systemCalls, ...counts } = heap.stats();
  return Object.freeze({
    ...counts,
    syscalls: Object.values(systemCalls).reduce((sum, calls) => sum + calls, 0),
    systemCalls: Object.freeze({ ...systemCalls }),
    fragmentation: Object.freeze({
      internal: counts.usable - counts.requested,
      external: freeBytes === 0 ? 0 : 1 - largestFreeRun / freeBytes,
      freeBytes,
      largestFreeRun,
    }),
  });
}
