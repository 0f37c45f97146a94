import type { AllocOptions } from "./arguments.js";
import { type BlockOrView, bufferOf } from "./buffers.js";
import { closed, invalidArgumentType, invalidThis, OffheapError } from "./errors.js";
import type { Heap } from "./heap.js";
import type { TypedArrayConstructor } from "./typed_arrays.js";

/** Set by the class, where the private field is in reach. */
let isScope: (value: unknown) => value is Scope;

/**
 * Blocks that end together. A scope allocates from its heap, remembers what it allocated, and frees what is left when
 * it is closed. `heap.scope(body)` opens and closes one around a function; with `new Scope(heap)` the caller closes it,
 * or `using` does.
 *
 * - **Ownership.** Blocks belong to the scope until they are freed, or taken out with `keep`. A block that was freed,
 *   moved or detached by other means in the meantime is left alone.
 * - **Threads.** A scope belongs to the thread of its heap.
 *
 * @example
 * ```ts
 * const sum = heap.scope((scope) => {
 *   const numbers = scope.allocArray(Float64Array, 1000).fill(0.5);
 *   return numbers.reduce((a, b) => a + b);
 * }); // the block is gone
 * ```
 */
export class Scope {
  readonly #heap: Heap;
  readonly #blocks = new Set<ArrayBuffer>();
  #closed = false;

  static {
    isScope = (value): value is Scope => typeof value === "object" && value !== null && #heap in value;
  }

  /**
   * Opens a scope on `heap`.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `heap` is not a Heap.
   * @throws {OffheapError} `ERR_OFFHEAP_CLOSED` when it is closed.
   * @example
   * ```ts
   * using scope = new Scope(heap); // TypeScript 5.2, or Node 24
   * ```
   */
  constructor(heap: Heap) {
    checkHeap(heap);
    this.#heap = heap;
  }

  /** True after `close()`, or after the function given to `heap.scope` has ended. */
  get closed(): boolean {
    if (!isScope(this)) throw invalidThis("Scope");
    return this.#closed;
  }

  /**
   * As `heap.alloc`; the block ends with the scope.
   *
   * @throws As `heap.alloc`, and {@link OffheapError} `ERR_OFFHEAP_CLOSED` when the scope has ended.
   * @example
   * ```ts
   * heap.scope((scope) => new Uint8Array(scope.alloc(16)).length); // 16
   * ```
   */
  alloc(size: number, options?: AllocOptions): ArrayBuffer {
    const heap = Scope.#open(this);
    return this.#add(heap.alloc(size, options));
  }

  /**
   * As `heap.allocUnsafe`; the block ends with the scope.
   *
   * @throws As {@link alloc}.
   * @example
   * ```ts
   * heap.scope((scope) => new Uint8Array(scope.allocUnsafe(16)).fill(1).length); // 16
   * ```
   */
  allocUnsafe(size: number, options?: AllocOptions): ArrayBuffer {
    const heap = Scope.#open(this);
    return this.#add(heap.allocUnsafe(size, options));
  }

  /**
   * As `heap.allocBuffer`; the block ends with the scope.
   *
   * @throws As {@link alloc}.
   * @example
   * ```ts
   * heap.scope((scope) => scope.allocBuffer(5).fill("a").toString()); // "aaaaa"
   * ```
   */
  allocBuffer(size: number, options?: AllocOptions): Buffer {
    const buffer = Scope.#open(this).allocBuffer(size, options);
    this.#add(bufferOf(buffer));
    return buffer;
  }

  /**
   * As `heap.allocArray`; the block ends with the scope.
   *
   * @throws As `heap.allocArray`, and {@link OffheapError} `ERR_OFFHEAP_CLOSED` when the scope has ended.
   * @example
   * ```ts
   * heap.scope((scope) => scope.allocArray(Int32Array, 3).length); // 3
   * ```
   */
  allocArray<Type extends TypedArrayConstructor>(
    type: Type,
    length: number,
    options?: AllocOptions,
  ): InstanceType<Type> {
    const array = Scope.#open(this).allocArray(type, length, options);
    this.#add(bufferOf(array));
    return array;
  }

  /**
   * As `heap.realloc`. The new block belongs to the scope if the old one did.
   *
   * @throws As `heap.realloc`, and {@link OffheapError} `ERR_OFFHEAP_CLOSED` when the scope has ended.
   * @example
   * ```ts
   * heap.scope((scope) => scope.realloc(scope.alloc(16), 32).byteLength); // 32
   * ```
   */
  realloc(block: BlockOrView, size: number): ArrayBuffer {
    const heap = Scope.#open(this);
    const old = bufferOf(block);
    const next = heap.realloc(old, size);
    if (this.#blocks.delete(old)) this.#blocks.add(next);
    return next;
  }

  /**
   * As `heap.free`: ends a block before the scope does.
   *
   * @throws As `heap.free`, and {@link OffheapError} `ERR_OFFHEAP_CLOSED` when the scope has ended.
   * @example
   * ```ts
   * heap.scope((scope) => scope.free(scope.alloc(16)));
   * ```
   */
  free(block: BlockOrView): void {
    const heap = Scope.#open(this);
    const buffer = bufferOf(block);
    heap.free(buffer);
    this.#blocks.delete(buffer);
  }

  /**
   * Takes a block out of the scope: it stays alive, and the caller has to free it.
   *
   * @param block A block of this scope, or any view on one.
   * @returns The same object.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `block` is no ArrayBuffer or view.
   * @throws {OffheapError} `ERR_OFFHEAP_FOREIGN` when it is no block of this scope, `ERR_OFFHEAP_FREED` when it was and
   *   is no more, `ERR_OFFHEAP_CLOSED` when the scope has ended.
   * @example
   * ```ts
   * const result = heap.scope((scope) => scope.keep(scope.allocBuffer(1024)));
   * heap.free(result);
   * ```
   */
  keep<Block extends BlockOrView>(block: Block): Block {
    const heap = Scope.#open(this);
    const buffer = bufferOf(block);
    if (!heap.owns(buffer)) heap.usableSize(buffer); // Throws what is wrong with it.
    if (!this.#blocks.delete(buffer)) {
      throw new OffheapError(
        "ERR_OFFHEAP_FOREIGN",
        "The buffer is not a block of this scope. Pass a buffer that this scope allocated and has not given away",
      );
    }
    return block;
  }

  /**
   * Frees the blocks that the scope still has. A block that refuses does not keep the others from being freed. May be
   * called twice.
   *
   * @throws {OffheapError} What the block that refused threw, for example `ERR_OFFHEAP_LOCKED`. It stays a block of the
   *   heap until it is collected.
   * @throws {AggregateError} When several refused.
   * @example
   * ```ts
   * const scope = new Scope(heap);
   * try {
   *   scope.alloc(1024);
   * } finally {
   *   scope.close();
   * }
   * ```
   */
  close(): void {
    if (!isScope(this)) throw invalidThis("Scope");
    this.#closed = true;
    const refusals: unknown[] = [];
    for (const block of this.#blocks) {
      this.#blocks.delete(block);
      try {
        if (this.#heap.owns(block)) this.#heap.free(block);
      } catch (refusal) {
        refusals.push(refusal);
      }
    }
    if (refusals.length === 1) throw refusals[0];
    if (refusals.length > 1) {
      throw new AggregateError(refusals, `${refusals.length} blocks of the scope refused to be freed`);
    }
  }

  /** The same as `close()`, for `using`. */
  [Symbol.dispose](): void {
    if (!isScope(this)) throw invalidThis("Scope");
    this.close();
  }

  /** The heap of a scope that has not ended. Static, because a private method cannot be called on a wrong receiver. */
  static #open(scope: Scope): Heap {
    if (!isScope(scope)) throw invalidThis("Scope");
    if (scope.#closed) throw closed("The scope");
    return scope.#heap;
  }

  #add(block: ArrayBuffer): ArrayBuffer {
    this.#blocks.add(block);
    return block;
  }
}

/** Runs `body` with a new scope on `heap` and closes it when `body` is over: see `heap.scope`. */
export function runInScope<Result>(heap: Heap, body: (scope: Scope) => Result): Result {
  const scope = new Scope(heap);
  let result: Result;
  let then: unknown;
  try {
    result = body(scope);
    then = thenOf(result);
  } catch (error) {
    closeAfterError(scope);
    throw error;
  }
  if (typeof then !== "function") {
    scope.close();
    return result;
  }
  const settled = new Promise((resolve, reject) => Reflect.apply(then, result, [resolve, reject]));
  return settled.then(
    (value) => {
      scope.close();
      return value;
    },
    (error) => {
      closeAfterError(scope);
      throw error;
    },
  ) as Result;
}

/** The `then` of a promise or of what behaves like one, read once. */
function thenOf(value: unknown): unknown {
  const mayHaveOne = (typeof value === "object" && value !== null) || typeof value === "function";
  return mayHaveOne ? Reflect.get(value, "then", value) : undefined;
}

/** The error of the body is the one to report: refusals that follow from it are not. */
function closeAfterError(scope: Scope): void {
  try {
    scope.close();
  } catch {
    // See above.
  }
}

/** By behaviour and not by class: heap.ts builds on this file. */
function checkHeap(heap: Heap): void {
  let isClosed: unknown;
  try {
    isClosed = heap.closed;
  } catch {
    isClosed = undefined;
  }
  if (typeof isClosed !== "boolean") throw invalidArgumentType("heap", "an instance of Heap", heap);
  if (isClosed) throw closed("The heap");
}
