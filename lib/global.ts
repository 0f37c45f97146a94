/** `offheap/global`: puts a heap behind Node's own Buffer allocations, and takes it away again. */
import { checkInteger, checkOptions, isSize, LARGEST_SIZE } from "./arguments.js";
import { heap as defaultHeap } from "./default_heap.js";
import { invalidArgumentType, invalidThis, unsupported } from "./errors.js";
import { Heap } from "./heap.js";

/** From how many bytes on a Buffer comes from the heap when `install` is not told: large ones gain the most. */
const DEFAULT_MIN_SIZE = 64 * 1024;

/** What `install` should do. */
export interface InstallOptions {
  /** Buffers of this many bytes and more come from the heap: an integer from 1. Default 65536. */
  readonly minSize?: number | undefined;
  /** The heap they come from. Default: the default heap of this thread. */
  readonly heap?: Heap | undefined;
}

type Replaceable = "alloc" | "allocUnsafe" | "allocUnsafeSlow";
type Allocate = (size: unknown, fill: unknown, encoding: unknown) => Buffer;

const { apply } = Reflect;
const bufferFrom = Buffer.from;
const fillBuffer = Buffer.prototype.fill;

/** Set by the class, where the private field is in reach. */
let isInstallation: (value: unknown) => value is Installation;

let current: Installation | undefined;

/**
 * From now on `Buffer.alloc`, `Buffer.allocUnsafe` and `Buffer.allocUnsafeSlow` of this thread take buffers of
 * `minSize` bytes and more from a heap. Smaller ones, and calls with wrong arguments, go to Node as before, and so
 * Node's own errors stay what they are.
 *
 * Such a buffer is an ordinary block of the heap: `heap.free(buffer)` ends it at once, and one that is never freed goes
 * back when it is garbage collected. When the heap refuses, by its limit, by the kernel or because it was closed, the
 * call throws: nothing falls back in silence.
 *
 * @returns The installation, which the caller should keep: its `restore()` puts Node's functions back.
 * @throws {TypeError} `ERR_INVALID_ARG_TYPE` for an option of the wrong type.
 * @throws {RangeError} `ERR_OUT_OF_RANGE` when `minSize` is below 1, no integer or more than a buffer can hold.
 * @throws {OffheapError} `ERR_OFFHEAP_UNSUPPORTED` when there is an installation already.
 * @example
 * ```ts
 * import { heap } from "offheap";
 * import { install } from "offheap/global";
 *
 * const installation = install({ minSize: 1024 * 1024 });
 * const large = Buffer.alloc(4 * 1024 * 1024);
 * heap.owns(large); // true
 * heap.free(large);
 * installation.restore();
 * ```
 */
export function install(options: InstallOptions = {}): Installation {
  const { minSize, heap } = checkOptions<InstallOptions>(options);
  const size = minSize === undefined ? DEFAULT_MIN_SIZE : checkInteger(minSize, "options.minSize", 1, LARGEST_SIZE);
  if (heap !== undefined && !(heap instanceof Heap)) {
    throw invalidArgumentType("options.heap", "an instance of Heap", heap);
  }
  if (current?.installed) {
    throw unsupported("A heap is installed behind Buffer already. Call restore() on that installation first");
  }
  current = new Installation(size, heap ?? defaultHeap);
  return current;
}

/** One heap behind Node's Buffer allocations: made by `install`, ended by `restore`. */
export class Installation {
  readonly #minSize: number;
  readonly #replacements: readonly Replacement[];
  #installed = true;

  static {
    isInstallation = (value): value is Installation =>
      typeof value === "object" && value !== null && #installed in value;
  }

  constructor(minSize: number, heap: Heap) {
    this.#minSize = minSize;
    const isOurs = (size: unknown): size is number => this.#installed && isSize(size) && size >= minSize;
    const allocateUnsafe = zeroFillsAll()
      ? (size: number) => heap.allocBuffer(size)
      : (size: number) => bufferFrom(heap.allocUnsafe(size), 0, size);
    const allocateFilled = (size: number, fill: unknown, encoding: unknown) => {
      if (fill === undefined || fill === 0) return heap.allocBuffer(size);
      const buffer = allocateUnsafe(size);
      try {
        return apply(fillBuffer, buffer, [fill, 0, size, encoding]) as Buffer;
      } catch (error) {
        heap.free(buffer);
        throw error;
      }
    };
    this.#replacements = [
      replace("alloc", isOurs, allocateFilled),
      replace("allocUnsafe", isOurs, allocateUnsafe),
      replace("allocUnsafeSlow", isOurs, allocateUnsafe),
    ];
  }

  /** Buffers of this many bytes and more come from the heap. */
  get minSize(): number {
    if (!isInstallation(this)) throw invalidThis("Installation");
    return this.#minSize;
  }

  /** False after `restore()`. */
  get installed(): boolean {
    if (!isInstallation(this)) throw invalidThis("Installation");
    return this.#installed;
  }

  /**
   * Puts Node's functions back. Buffers that came from the heap stay what they are. A function that somebody else has
   * replaced in the meantime is left to them; ours, which theirs may still call, then only passes calls on to Node. May
   * be called twice.
   *
   * @example
   * ```ts
   * import { install } from "offheap/global";
   *
   * const installation = install();
   * installation.restore();
   * ```
   */
  restore(): void {
    if (!isInstallation(this)) throw invalidThis("Installation");
    if (!this.#installed) return;
    this.#installed = false;
    for (const { name, ours, original } of this.#replacements) {
      if (Buffer[name] === ours) Object.defineProperty(Buffer, name, original);
    }
  }

  /** The same as `restore()`, for `using`. */
  [Symbol.dispose](): void {
    if (!isInstallation(this)) throw invalidThis("Installation");
    this.restore();
  }
}

interface Replacement {
  readonly name: Replaceable;
  readonly ours: unknown;
  readonly original: PropertyDescriptor;
}

/** Puts a function in the place of `Buffer[name]` that allocates what `isOurs` accepts and passes on the rest. */
function replace(
  name: Replaceable,
  isOurs: (size: unknown) => size is number,
  allocate: (size: number, fill: unknown, encoding: unknown) => Buffer,
): Replacement {
  const original = Object.getOwnPropertyDescriptor(Buffer, name) ?? {};
  const next: unknown = Buffer[name];
  // A method, since it has no property but those of the function it replaces.
  const { ours } = {
    ours(this: unknown, ...values: Parameters<Allocate>): Buffer {
      const [size, fill, encoding] = values;
      return isOurs(size) ? allocate(size, fill, encoding) : (apply(next as Allocate, this, values) as Buffer);
    },
  };
  Object.defineProperties(ours, Object.getOwnPropertyDescriptors(next as Allocate));
  Object.defineProperty(Buffer, name, { ...original, value: ours });
  return { name, ours, original };
}

/** Whether Node was told to zero every Buffer, also the unsafe ones. Then so do we. */
function zeroFillsAll(): boolean {
  const flag = "--zero-fill-buffers";
  return process.execArgv.includes(flag) || (process.env.NODE_OPTIONS ?? "").split(" ").includes(flag);
}
