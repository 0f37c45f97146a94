/**
 * A stand-in for the native addon, made of ordinary ArrayBuffers. It keeps the promises of lib/native.ts in the simplest
 * way there is, so the facade can be tested alone, and it can be told to do what a kernel does rarely: to refuse.
 */
import { bufferOf } from "../dist/buffers.js";
import type {
  NativeAddon,
  NativeFailure,
  NativeHeap,
  NativeHeapOptions,
  NativeSnapshot,
  NativeStats,
} from "../dist/native.js";

interface Block {
  readonly address: number;
  readonly align: number;
  readonly usable: number;
}

/** What `allocUnsafe` leaves in a block, so that a test can tell it from `alloc`. */
export const UNSAFE_BYTE = 0xaa;

export class FalseAddon implements NativeAddon {
  readonly buffers = "napi";
  readonly pageSize = 4096;
  readonly allocationGranularity = 4096;
  readonly regionSize = 4 * 1024 * 1024;
  readonly maxBucketSize = 32 * 1024;
  readonly maxBuckets = 64;
  decayMilliseconds = 1;
  readonly canShare = true;
  readonly libraryKey = "false";
  readonly Heap: NativeAddon["Heap"];
  /** The options each heap was made with, in order. */
  readonly heapOptions: NativeHeapOptions[] = [];
  /** Set to make the next allocation fail as if the kernel had refused it. */
  refuseNext = false;
  /** Buffers that refuse to be detached. */
  readonly locked = new WeakSet<ArrayBuffer>();
  /** What `decay()` answers; without it there is never more to come. */
  onDecay: () => ReturnType<NativeHeap["decay"]> = () => "nothing";
  readonly #heaps: FalseHeap[] = [];
  readonly #default = new FalseHeap(this, { limit: Number.POSITIVE_INFINITY, buckets: undefined }, 0);
  #createError: (failure: NativeFailure) => Error = () => new Error("initialize was not called");

  constructor() {
    const makeHeap = (options: NativeHeapOptions | number): NativeHeap => {
      if (typeof options === "number") return this.#open(options);
      this.heapOptions.push(options);
      const heap = new FalseHeap(this, options, this.#heaps.length + 1);
      this.#heaps.push(heap);
      return heap;
    };
    this.Heap = new Proxy(FalseHeap, {
      construct: (_target, [options]: [NativeHeapOptions | number]) => makeHeap(options),
    }) as unknown as NativeAddon["Heap"];
  }

  alloc(terms: number, size: number): ArrayBuffer {
    return this.#at(Math.floor(terms / 64)).alloc(size, 2 ** (terms % 32), terms % 64 < 32);
  }

  free(slot: number, block: unknown): boolean {
    try {
      return this.#at(slot).free(bufferOf(block));
    } catch (error) {
      if ((error as { code?: string }).code === "ERR_OFFHEAP_LOCKED") throw error;
      return false;
    }
  }

  isBlock(buffer: unknown): boolean {
    return this.#heaps.some((heap) => heap.owns(buffer as ArrayBuffer));
  }

  initialize(hooks: { readonly createError: (failure: NativeFailure) => Error }): void {
    this.#createError = hooks.createError;
  }

  failure(failure: NativeFailure): Error {
    return this.#createError(failure);
  }

  #at(slot: number): FalseHeap {
    return slot === 0 ? this.#default : (this.#heaps[slot - 1] as FalseHeap);
  }

  #open(id: number): FalseHeap {
    const heap = id === 0 ? this.#default : this.#heaps[id - 1];
    if (heap === undefined) throw this.failure({ code: "ERR_OFFHEAP_CLOSED" });
    return heap;
  }
}

class FalseHeap implements NativeHeap {
  readonly #addon: FalseAddon;
  readonly #limit: number;
  readonly #blocks = new Map<ArrayBuffer, Block>();
  readonly #freed = new WeakSet<ArrayBuffer>();
  #nextAddress = 0x10000;
  #bytes = 0;
  #peak = 0;
  #allocations = 0;
  #frees = 0;
  #failures = 0;
  #closed = false;
  readonly #slot: number;

  constructor(addon: FalseAddon, { limit }: NativeHeapOptions, slot: number) {
    this.#addon = addon;
    this.#limit = limit;
    this.#slot = slot;
  }

  slot(): number {
    return this.#slot;
  }

  id(): number {
    return this.#slot;
  }

  isDefault(): boolean {
    return this.#slot === 0;
  }

  limit(): number {
    return this.#limit;
  }

  closed(): boolean {
    return this.#closed;
  }

  allocShared(size: number): SharedArrayBuffer {
    this.#admit(size, size);
    return new SharedArrayBuffer(size);
  }

  refuse(buffer: ArrayBuffer): never {
    throw this.#refusal(buffer);
  }

  alloc(size: number, align: number, zeroed: boolean): ArrayBuffer {
    this.#admit(size, size);
    const buffer = new ArrayBuffer(size);
    if (!zeroed) new Uint8Array(buffer).fill(UNSAFE_BYTE);
    this.#add(buffer, align);
    this.#allocations++;
    return buffer;
  }

  free(buffer: ArrayBuffer): boolean {
    if (!this.#blocks.has(buffer) || buffer.byteLength === 0) return false;
    this.#remove(buffer);
    this.#frees++;
    return true;
  }

  realloc(buffer: ArrayBuffer, size: number): ArrayBuffer {
    const { align } = this.#find(buffer);
    if (this.#addon.locked.has(buffer)) throw this.#addon.failure({ code: "ERR_OFFHEAP_LOCKED" });
    this.#admit(size, size - buffer.byteLength);
    const next = new ArrayBuffer(size);
    const kept = Math.min(size, buffer.byteLength);
    new Uint8Array(next).set(new Uint8Array(buffer, 0, kept));
    this.#remove(buffer);
    this.#add(next, align);
    return next;
  }

  owns(buffer: ArrayBuffer | SharedArrayBuffer | Uint8Array): boolean {
    return buffer.byteLength > 0 && this.#blocks.has(buffer as ArrayBuffer);
  }

  usableSize(buffer: ArrayBuffer): number {
    return this.#find(buffer).usable;
  }

  addressOf(buffer: ArrayBuffer | SharedArrayBuffer | Uint8Array): bigint {
    return BigInt(this.#find(buffer as ArrayBuffer).address);
  }

  bytesInUse(): number {
    return this.#bytes;
  }

  blocksInUse(): number {
    return this.#blocks.size;
  }

  stats(): NativeStats {
    const usable = [...this.#blocks.values()].reduce((sum, block) => sum + block.usable, 0);
    return {
      requested: this.#bytes,
      usable,
      committed: usable,
      reserved: this.#addon.regionSize,
      metadata: 4096,
      peak: this.#peak,
      blocks: this.#blocks.size,
      allocations: this.#allocations,
      frees: this.#frees,
      failures: this.#failures,
      reclaimed: 0,
      reclaimedBytes: 0,
      regions: 1,
      spans: this.#blocks.size,
      freeBytes: 3000,
      largestFreeRun: 1000,
      releasesRefused: 0,
      decommitsRefused: 0,
      systemCalls: { reserve: 1, commit: 2, decommit: 3, release: 4, protect: 5, advise: 6, move: 7 },
    };
  }

  snapshot(): NativeSnapshot {
    const blocks = [...this.#blocks].map(([buffer, { address, usable }]) => ({
      address: BigInt(address),
      requested: buffer.byteLength,
      usable,
    }));
    return {
      regions: [
        {
          address: 0x10000n,
          bytes: this.#addon.regionSize,
          committed: 8192,
          metadataBytes: 4096,
          spans: blocks.map((block) => ({
            kind: "dynamic",
            address: block.address,
            bytes: block.usable,
            committed: block.usable,
            blockBytes: block.usable,
            blocks: 1,
            used: 1,
            usedBits: Uint8Array.of(1),
          })),
        },
      ],
      buckets: [],
      blocks,
    };
  }

  trim(): number {
    return 0;
  }

  decay(): ReturnType<NativeHeap["decay"]> {
    return this.#addon.onDecay();
  }

  close(): void {
    this.#closed = true;
  }

  #admit(size: number, growth: number): void {
    if (this.#closed) throw this.#addon.failure({ code: "ERR_OFFHEAP_CLOSED" });
    if (this.#bytes + growth > this.#limit) {
      this.#failures++;
      throw this.#addon.failure({
        code: "ERR_OFFHEAP_LIMIT",
        limit: this.#limit,
        inUse: this.#bytes,
        asked: growth,
      });
    }
    if (this.#addon.refuseNext || size > 2 ** 30) {
      this.#addon.refuseNext = false;
      this.#failures++;
      throw this.#addon.failure({
        code: "ERR_OFFHEAP_OUT_OF_MEMORY",
        bytes: size,
        call: "mmap",
        osError: 12,
        osMessage: "Cannot allocate memory",
      });
    }
  }

  #add(buffer: ArrayBuffer, align: number): void {
    const address = Math.ceil(this.#nextAddress / align) * align;
    this.#blocks.set(buffer, { address, align, usable: Math.ceil(buffer.byteLength / 16) * 16 });
    this.#nextAddress = address + buffer.byteLength;
    this.#bytes += buffer.byteLength;
    this.#peak = Math.max(this.#peak, this.#bytes);
  }

  #find(buffer: ArrayBuffer): Block {
    const block = this.#blocks.get(buffer);
    if (block !== undefined && buffer.byteLength > 0) return block;
    throw this.#refusal(buffer);
  }

  #refusal(buffer: ArrayBuffer): Error {
    const gone = this.#freed.has(buffer) || isDetached(buffer);
    return this.#addon.failure({ code: gone ? "ERR_OFFHEAP_FREED" : "ERR_OFFHEAP_FOREIGN" });
  }

  #remove(buffer: ArrayBuffer): void {
    if (this.#addon.locked.has(buffer)) throw this.#addon.failure({ code: "ERR_OFFHEAP_LOCKED" });
    this.#bytes -= buffer.byteLength;
    structuredClone(buffer, { transfer: [buffer] });
    this.#blocks.delete(buffer);
    this.#freed.add(buffer);
  }
}

function isDetached(buffer: ArrayBuffer): boolean {
  try {
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}
