import { types } from "node:util";
import { addon } from "./addon.js";
import {
  type AllocOptions,
  alignOf,
  checkFunction,
  checkHeapOptions,
  checkSize,
  DEFAULT_ALIGN,
  type HeapOptions,
  isSize,
} from "./arguments.js";
import { type BlockOrView, bufferOf, bufferOrSharedOf, detach, isDetached, liveBufferOf } from "./buffers.js";
import { closed, createError, heapIsGone, invalidThis, OffheapError, unsupported } from "./errors.js";
import { type HeapHandle, makeHandle, readHandle } from "./heap_handle.js";
import { IdleDecay } from "./idle_decay.js";
import { allocTerms, type NativeAddon, type NativeHeap } from "./native.js";
import { runInScope, type Scope } from "./scope.js";
import { type HeapSnapshot, takeSnapshot } from "./snapshot.js";
import { type HeapStats, readStats } from "./stats.js";
import { arrayBytes, elementBytesOf, type TypedArrayConstructor } from "./typed_arrays.js";

const bufferFrom = Buffer.from;
const { isSharedArrayBuffer } = types;

/** All set below, where the private parts are in reach. */
let isHeap: (value: unknown) => value is Heap;
let openHeap: (id: number, name: string) => Heap;

/** Number 0 is the default heap's, in every thread. */
const DEFAULT_HEAP = 0;

/** The heap that all threads of the process share. Refuses to be closed. */
export function openDefaultHeap(): Heap {
  return openHeap(DEFAULT_HEAP, "default");
}

function isGone(error: unknown): boolean {
  return error instanceof OffheapError && error.code === "ERR_OFFHEAP_CLOSED";
}

/** Tells the constructor which heap to open in place of making one. Nobody else can make such a thing. */
class Opening {
  constructor(
    readonly id: number,
    readonly name: string,
  ) {}
}

/**
 * Memory that the garbage collector does not own. A heap takes pages from the kernel and hands them out as
 * ArrayBuffers, one block each. `free` takes a block back at once, and from then on its buffer and every view on it
 * have length 0: nothing can read or write the block after its free.
 *
 * - **Units.** All sizes are bytes.
 * - **Ownership.** A block belongs to the caller until it is freed. One that is garbage collected without having been
 *   freed goes back by itself and is counted in `stats().reclaimed`.
 * - **Threads.** A heap can be used in every thread of the process: `Heap.open(heap.handle)` opens it in another. Each
 *   thread allocates without waiting for the others, and may free what another allocated. A Heap object itself belongs to
 *   its thread.
 * - **Failures.** A call that throws has changed nothing. A method called on anything but a Heap throws a TypeError with
 *   code `ERR_INVALID_THIS`.
 *
 * @example
 * ```ts
 * import { Heap } from "offheap";
 *
 * const heap = new Heap({ name: "frames", limit: 256 * 1024 * 1024 });
 * const frame = heap.allocBuffer(1920 * 1080 * 4);
 * frame.fill(0xff);
 * heap.free(frame);
 * console.log(frame.length, heap.bytesInUse); // 0 0
 * heap.close();
 * ```
 */
export class Heap {
  readonly #addon: NativeAddon;
  readonly #native: NativeHeap;
  readonly #slot: number;
  /** For `alloc` of the addon, where the caller does not ask for an alignment. */
  readonly #zeroedTerms: number;
  readonly #unsafeTerms: number;
  readonly #decay: IdleDecay;
  readonly #name: string;
  readonly #limit: number;
  readonly #permanent: boolean;
  /** Largest alignment a block can have: one region, in bytes. */
  readonly #largestAlign: number;
  /** Buffers of no bytes that this heap handed out, with the alignment a reallocation has to keep. */
  readonly #empties = new WeakMap<ArrayBuffer, number>();

  static {
    isHeap = (value): value is Heap => typeof value === "object" && value !== null && #native in value;
    openHeap = (id, name) => new Heap(new Opening(id, name) as HeapOptions);
  }

  /**
   * Makes a heap. Before the first allocation it takes memory for its own records only.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` for an option of the wrong type.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` for a limit that is negative or no integer, for buckets that are none, too
   *   many, too large or not strictly ascending, for an unknown strategy, for a capacity below 1.
   * @throws {OffheapError} `ERR_OFFHEAP_UNSUPPORTED` for a strategy other than `"buckets"`, and for a capacity.
   * @example
   * ```ts
   * const small = new Heap({ name: "small", buckets: [64, 256, 4096], limit: 1_000_000 });
   * ```
   */
  constructor(options?: HeapOptions) {
    const native = addon();
    this.#addon = native;
    this.#largestAlign = native.regionSize;
    if (options instanceof Opening) {
      this.#name = options.name;
      this.#native = new native.Heap(options.id);
    } else {
      const { name, limit, buckets } = checkHeapOptions(options, native);
      this.#name = name;
      this.#native = new native.Heap({ limit, buckets });
    }
    this.#permanent = this.#native.isDefault();
    this.#limit = this.#native.limit();
    this.#slot = this.#native.slot();
    this.#zeroedTerms = allocTerms(this.#slot, DEFAULT_ALIGN, true);
    this.#unsafeTerms = allocTerms(this.#slot, DEFAULT_ALIGN, false);
    this.#decay = new IdleDecay(this.#native, native.decayMilliseconds);
  }

  /**
   * Opens the heap that `handle` names, in this thread. The heap that comes out has the same memory, limit and counts as
   * the one the handle was taken from.
   *
   * A heap lasts while any thread has it open or one of its blocks lives; keep the one the handle was taken from until
   * the other thread has opened it.
   *
   * @param handle `heap.handle` of any thread of this process, as it came out of `postMessage` or `workerData`.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `handle` is no handle.
   * @throws {OffheapError} `ERR_OFFHEAP_FOREIGN` when it comes from another process, or from another copy of offheap;
   *   `ERR_OFFHEAP_CLOSED` when nobody has the heap any more.
   * @example
   * ```ts
   * const frames = new Heap({ name: "frames" });
   * worker.postMessage(frames.handle);
   * // in the worker, with the handle that arrived:
   * const here = Heap.open(frames.handle);
   * here.free(here.alloc(1920 * 1080 * 4));
   * ```
   */
  static open(handle: HeapHandle): Heap {
    const native = addon();
    const { id, name } = readHandle(handle, native);
    try {
      return openHeap(id, name);
    } catch (error) {
      throw isGone(error) ? heapIsGone(name) : error;
    }
  }

  /** The name given to the constructor; `"heap"` when there was none. */
  get name(): string {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#name;
  }

  /** Bytes in use that may not be exceeded, as given to the constructor; `Infinity` when there was none. */
  get limit(): number {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#limit;
  }

  /**
   * What `Heap.open` opens this heap by in another thread: plain data, for `postMessage` and `workerData`.
   *
   * @example
   * ```ts
   * worker.postMessage({ frames: heap.handle });
   * ```
   */
  get handle(): HeapHandle {
    if (!isHeap(this)) throw invalidThis("Heap");
    return makeHandle(this.#native.id(), this.#name, this.#addon);
  }

  /** True after `close()`, in whatever thread that was. */
  get closed(): boolean {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#native.closed();
  }

  /**
   * The exact sum of the bytes that were asked for in the blocks that live at this moment.
   *
   * @example
   * ```ts
   * const block = heap.alloc(100);
   * heap.bytesInUse; // 100 more than before
   * ```
   */
  get bytesInUse(): number {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#native.bytesInUse();
  }

  /** How many blocks live at this moment. Blocks of 0 bytes are not counted. */
  get blocksInUse(): number {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#native.blocksInUse();
  }

  /**
   * Allocates `size` bytes of zeros.
   *
   * Size 0 is valid: an empty buffer of its own, which may be freed any number of times and counts nowhere.
   *
   * @returns An ArrayBuffer with `byteLength === size`. The caller owns it until `free`.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `size` or `align` is not a number, or `options` no object.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `size` is negative, no integer or more than a buffer can hold, or
   *   `align` no power of two up to `runtime.regionSize`.
   * @throws {OffheapError} `ERR_OFFHEAP_LIMIT`, `ERR_OFFHEAP_OUT_OF_MEMORY` or `ERR_OFFHEAP_CLOSED`.
   * @example
   * ```ts
   * const block = heap.alloc(4096, { align: 4096 });
   * new Uint8Array(block).set([1, 2, 3]);
   * heap.free(block);
   * ```
   */
  alloc(size: number, options?: AllocOptions): ArrayBuffer {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#allocate(size, options, true);
  }

  /**
   * Allocates `size` bytes and leaves in them what was there: bytes of blocks that were freed before. Faster than
   * `alloc` for those who write every byte.
   *
   * @returns An ArrayBuffer with `byteLength === size`. The caller owns it until `free`.
   * @throws As {@link alloc}.
   * @example
   * ```ts
   * const copy = new Uint8Array(heap.allocUnsafe(source.length));
   * copy.set(source);
   * ```
   */
  allocUnsafe(size: number, options?: AllocOptions): ArrayBuffer {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#allocate(size, options, false);
  }

  /**
   * Allocates a SharedArrayBuffer of `size` zeros. Posted to another thread it is the same memory there, usable with
   * `Atomics`. It cannot be freed by hand: it lives until the last reference to it, in any thread, is collected.
   *
   * @returns A SharedArrayBuffer with `byteLength === size`.
   * @throws As {@link alloc}; and {OffheapError} `ERR_OFFHEAP_UNSUPPORTED` where the runtime cannot make one.
   * @example
   * ```ts
   * const counter = new Int32Array(heap.allocShared(4));
   * worker.postMessage(counter);
   * Atomics.add(counter, 0, 1);
   * ```
   */
  allocShared(size: number, options?: AllocOptions): SharedArrayBuffer {
    if (!isHeap(this)) throw invalidThis("Heap");
    if (!isSize(size)) checkSize(size);
    const align = options === undefined ? DEFAULT_ALIGN : alignOf(options, this.#largestAlign);
    if (size === 0) {
      if (this.#native.closed()) throw closed("The heap");
      return new SharedArrayBuffer(0);
    }
    if (!this.#decay.armed) this.#decay.arm();
    return this.#native.allocShared(size, align);
  }

  /**
   * Allocates a Node Buffer of `size` zeros over a block of its own. Its `byteOffset` is 0, and it is no part of
   * Node's pool.
   *
   * @returns A Buffer with `length === size`. The caller owns it until `free`.
   * @throws As {@link alloc}.
   * @example
   * ```ts
   * const body = heap.allocBuffer(11);
   * body.write("hello world");
   * heap.free(body);
   * ```
   */
  allocBuffer(size: number, options?: AllocOptions): Buffer {
    if (!isHeap(this)) throw invalidThis("Heap");
    return bufferFrom(this.#allocate(size, options, true), 0, size);
  }

  /**
   * Allocates a typed array of `length` zeros over a block of its own.
   *
   * @param type One of the typed-array classes of the runtime itself; no subclass. For a Buffer there is `allocBuffer`.
   * @param length Elements, not bytes.
   * @returns A typed array. The caller owns it until `free`.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `type` is no such class or `length` not a number.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `length` is negative, no integer, or needs more than a buffer can hold.
   * @throws {OffheapError} As {@link alloc}.
   * @example
   * ```ts
   * const samples = heap.allocArray(Float64Array, 1000);
   * samples.fill(0.5);
   * heap.free(samples);
   * ```
   */
  allocArray<Type extends TypedArrayConstructor>(
    type: Type,
    length: number,
    options?: AllocOptions,
  ): InstanceType<Type> {
    if (!isHeap(this)) throw invalidThis("Heap");
    const size = arrayBytes(length, elementBytesOf(type));
    return new type(this.#allocate(size, options, true), 0, length) as InstanceType<Type>;
  }

  /**
   * Gives a block another size. The bytes both sizes share are kept, growth is zero, and so is the alignment the block
   * was allocated with. The old buffer is detached, also when the block stays where it is.
   *
   * To 0 bytes it frees the block and returns an empty one, of the default alignment.
   *
   * @param block A block of this heap, or any view on one: it is the whole block that changes.
   * @returns A new ArrayBuffer with `byteLength === size`, which the caller owns in place of the old one.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no ArrayBuffer or view, or `size` not a number.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `size` is negative, no integer or more than a buffer can hold.
   * @throws {OffheapError} `ERR_OFFHEAP_FREED`, `ERR_OFFHEAP_FOREIGN`, `ERR_OFFHEAP_LOCKED`, `ERR_OFFHEAP_LIMIT`,
   *   `ERR_OFFHEAP_OUT_OF_MEMORY` or `ERR_OFFHEAP_CLOSED`. The block is as it was.
   * @example
   * ```ts
   * let block = heap.alloc(1024);
   * block = heap.realloc(block, 4096);
   * ```
   */
  realloc(block: BlockOrView, size: number): ArrayBuffer {
    if (!isHeap(this)) throw invalidThis("Heap");
    const live = liveBufferOf(block);
    const buffer = live ?? bufferOf(block);
    if (!isSize(size)) checkSize(size);
    if (!this.#decay.armed) this.#decay.arm();
    if (live !== undefined && size > 0) return this.#native.realloc(live, size);
    return this.#reallocateEmpty(buffer, size);
  }

  /**
   * Takes a block back. Before `free` returns its buffer is detached: it and every view on it have length 0. Allowed
   * on a closed heap.
   *
   * @param block A block of this heap, or any view on one: it is the whole block that is freed.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no ArrayBuffer or view.
   * @throws {OffheapError} `ERR_OFFHEAP_FREED` when it was freed, moved or detached before; `ERR_OFFHEAP_FOREIGN` when
   *   it is no block of this heap; `ERR_OFFHEAP_LOCKED` when it was marked as untransferable and the runtime heeds that.
   * @example
   * ```ts
   * const block = heap.alloc(64);
   * const view = new Uint8Array(block);
   * heap.free(block);
   * view.length; // 0
   * ```
   */
  free(block: BlockOrView): void {
    if (!isHeap(this)) throw invalidThis("Heap");
    if (!this.#decay.armed) this.#decay.arm();
    if (!this.#addon.free(this.#slot, block)) this.#freeEmpty(bufferOf(block));
  }

  /**
   * Whether the buffer is a live block of this heap, or a view on one.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no buffer and no view.
   * @example
   * ```ts
   * if (heap.owns(chunk)) heap.free(chunk);
   * ```
   */
  owns(block: BlockOrView | SharedArrayBuffer): boolean {
    if (!isHeap(this)) throw invalidThis("Heap");
    const buffer = bufferOrSharedOf(block);
    return this.#ownsEmpty(buffer) || this.#native.owns(this.#visible(buffer));
  }

  /**
   * Bytes the block could hold, at least its `byteLength`: what `realloc` can use without moving it.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no ArrayBuffer or view.
   * @throws {OffheapError} `ERR_OFFHEAP_FREED` or `ERR_OFFHEAP_FOREIGN`.
   * @example
   * ```ts
   * heap.usableSize(heap.alloc(100)); // 100 or a little more
   * ```
   */
  usableSize(block: BlockOrView): number {
    if (!isHeap(this)) throw invalidThis("Heap");
    const buffer = bufferOf(block);
    return this.#ownsEmpty(buffer) ? 0 : this.#native.usableSize(buffer);
  }

  /**
   * Where the block lies in memory: the address of its first byte, also for a view that starts later. 0n for a block of
   * 0 bytes. A number to look at or to pass to native code; what it points to dies with the block.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no buffer and no view.
   * @throws {OffheapError} `ERR_OFFHEAP_FREED` or `ERR_OFFHEAP_FOREIGN`.
   * @example
   * ```ts
   * heap.addressOf(heap.alloc(512, { align: 512 })) % 512n; // 0n
   * ```
   */
  addressOf(block: BlockOrView | SharedArrayBuffer): bigint {
    if (!isHeap(this)) throw invalidThis("Heap");
    const buffer = bufferOrSharedOf(block);
    return this.#ownsEmpty(buffer) ? 0n : this.#native.addressOf(this.#visible(buffer));
  }

  /**
   * Runs `body` with a scope, and frees all that the scope allocated when `body` has returned or thrown, or when the
   * promise it returned has settled.
   *
   * @returns What `body` returns; for a promise, a promise that settles after the blocks were freed.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `body` is not a function.
   * @throws {OffheapError} `ERR_OFFHEAP_CLOSED` on a closed heap. When blocks refuse to be freed, all others are freed
   *   and then the refusal is thrown, an AggregateError if there are several; but what `body` throws comes first.
   * @example
   * ```ts
   * const digest = heap.scope((scope) => {
   *   const scratch = scope.allocBuffer(65536);
   *   const length = readSync(file, scratch);
   *   return createHash("sha256").update(scratch.subarray(0, length)).digest();
   * });
   * ```
   */
  scope<Result>(body: (scope: Scope) => Result): Result {
    if (!isHeap(this)) throw invalidThis("Heap");
    checkFunction(body, "body");
    if (this.#native.closed()) throw closed("The heap");
    return runInScope(this, body);
  }

  /**
   * Counts and bytes of this heap, all read at one moment.
   *
   * @example
   * ```ts
   * const { requested, committed, reclaimed } = heap.stats();
   * ```
   */
  stats(): HeapStats {
    if (!isHeap(this)) throw invalidThis("Heap");
    return readStats(this.#native);
  }

  /**
   * Regions, spans, buckets and blocks as they are at this moment: plain data, enough to draw the heap.
   *
   * @example
   * ```ts
   * console.log(renderSnapshot(heap.snapshot()));
   * ```
   */
  snapshot(): HeapSnapshot {
    if (!isHeap(this)) throw invalidThis("Heap");
    return takeSnapshot(this.#native, this.#name, addon());
  }

  /**
   * Returns free pages to the kernel now. Without it they go back by themselves, some time after they became free.
   *
   * @returns The bytes returned.
   * @example
   * ```ts
   * console.log(`${heap.trim()} bytes went back to the kernel`);
   * ```
   */
  trim(): number {
    if (!isHeap(this)) throw invalidThis("Heap");
    return this.#native.trim();
  }

  /**
   * Ends the heap, in all threads: no block is handed out any more. Blocks that live stay valid until they are freed.
   * May be called twice.
   *
   * @throws {OffheapError} `ERR_OFFHEAP_UNSUPPORTED` on the default heap, which every importer shares.
   */
  close(): void {
    if (!isHeap(this)) throw invalidThis("Heap");
    if (this.#permanent) {
      throw unsupported(
        "The default heap is shared by all who import it and cannot be closed. Make a heap of your own",
      );
    }
    this.#native.close();
    if (!this.#decay.armed) this.#decay.arm();
  }

  /** The same as `close()`, for `using`. */
  [Symbol.dispose](): void {
    if (!isHeap(this)) throw invalidThis("Heap");
    this.close();
  }

  #allocate(size: number, options: AllocOptions | undefined, zeroed: boolean): ArrayBuffer {
    if (!isSize(size)) checkSize(size);
    const align = options === undefined ? DEFAULT_ALIGN : alignOf(options, this.#largestAlign);
    if (size === 0) return this.#allocateEmpty(align);
    if (!this.#decay.armed) this.#decay.arm();
    if (align !== DEFAULT_ALIGN) return this.#addon.alloc(allocTerms(this.#slot, align, zeroed), size);
    return this.#addon.alloc(zeroed ? this.#zeroedTerms : this.#unsafeTerms, size);
  }

  #allocateEmpty(align: number): ArrayBuffer {
    if (this.#native.closed()) throw closed("The heap");
    const empty = new ArrayBuffer(0);
    this.#empties.set(empty, align);
    return empty;
  }

  /** Reallocation where the block has no bytes before or after; also for buffers that are no live blocks at all. */
  #reallocateEmpty(buffer: ArrayBuffer, size: number): ArrayBuffer {
    const align = this.#ownsEmpty(buffer) ? this.#empties.get(buffer) : undefined;
    if (align === undefined) {
      if (size > 0) return this.#native.realloc(buffer, size);
      const empty = this.#allocateEmpty(DEFAULT_ALIGN);
      if (!this.#addon.free(this.#slot, buffer)) this.#native.refuse(buffer);
      return empty;
    }
    const next = size > 0 ? this.#addon.alloc(allocTerms(this.#slot, align, true), size) : this.#allocateEmpty(align);
    try {
      detach(buffer);
    } catch {
      if (size > 0) this.#addon.free(this.#slot, next);
      throw createError({ code: "ERR_OFFHEAP_LOCKED" });
    }
    this.#empties.delete(buffer);
    return next;
  }

  #freeEmpty(buffer: ArrayBuffer): void {
    if (!this.#ownsEmpty(buffer)) this.#native.refuse(buffer);
  }

  /** With Node-API the memory of a SharedArrayBuffer can be seen through a view only. */
  #visible(buffer: ArrayBufferLike): ArrayBufferLike | Uint8Array {
    return isSharedArrayBuffer(buffer) && this.#addon.buffers === "napi" ? new Uint8Array(buffer) : buffer;
  }

  #ownsEmpty(buffer: ArrayBufferLike): boolean {
    return this.#empties.has(buffer as ArrayBuffer) && !isDetached(buffer as ArrayBuffer);
  }
}
