import { addon } from "./addon.js";
import { checkAlign, checkInteger, checkSize, DEFAULT_ALIGN, LARGEST_SIZE } from "./arguments.js";
import { invalidArgumentType, invalidThis, outOfRange } from "./errors.js";
import { arrayBytes, elementBytesOf, type TypedArrayConstructor } from "./typed_arrays.js";

/** Set by the class, where the private field is in reach. */
let isLayout: (value: unknown) => value is Layout;

/**
 * The size and alignment of a piece of memory, and arithmetic on them that fails with an error where plain numbers
 * would lose digits or pass the largest buffer. Immutable. A Layout serves as options of an allocation.
 *
 * @example
 * ```ts
 * // A header of 12 bytes, then 100 doubles at the next address that fits them.
 * const header = Layout.of(12, 4);
 * const { layout, offset } = header.extend(Layout.forArray(Float64Array, 100));
 * const block = heap.alloc(layout.size, layout);
 * const values = new Float64Array(block, offset, 100); // offset is 16
 * ```
 */
export class Layout {
  /** Bytes. */
  readonly size: number;
  /** The address is a multiple of this many bytes: a power of two up to `runtime.regionSize`. */
  readonly align: number;
  /** Only here to tell a Layout from an object that looks like one. */
  readonly #made = true;

  private constructor(size: number, align: number) {
    this.size = checkSize(size);
    this.align = checkAlign(align, addon().regionSize);
    Object.freeze(this);
  }

  /**
   * The layout of `size` bytes at an address that is a multiple of `align`.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when one is not a number.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `size` is negative, no integer or more than a buffer can hold, or
   *   `align` no power of two up to `runtime.regionSize`.
   * @example
   * ```ts
   * Layout.of(100).align; // 8
   * ```
   */
  static of(size: number, align: number = DEFAULT_ALIGN): Layout {
    return new Layout(size, align);
  }

  /**
   * The layout of a typed array of `length` elements.
   *
   * @throws As `heap.allocArray`.
   * @example
   * ```ts
   * Layout.forArray(Uint16Array, 10); // size 20, align 2
   * ```
   */
  static forArray(type: TypedArrayConstructor, length: number): Layout {
    const bytes = elementBytesOf(type);
    return new Layout(arrayBytes(length, bytes), bytes);
  }

  /**
   * Puts `next` behind this layout, at the first offset that suits its alignment.
   *
   * @returns The layout of both together, and the offset of `next` in it, in bytes. The end is not padded: see
   *   {@link padToAlign}.
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `next` is not a Layout.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when no buffer can hold both.
   * @example
   * ```ts
   * Layout.of(5, 1).extend(Layout.of(4, 4)).offset; // 8
   * ```
   */
  extend(next: Layout): { readonly layout: Layout; readonly offset: number } {
    Layout.#check(this);
    if (!isLayout(next)) throw invalidArgumentType("next", "an instance of Layout", next);
    const offset = roundUp(this.size, next.align);
    const size = checkTotal(offset + next.size);
    return { layout: new Layout(size, Math.max(this.align, next.align)), offset };
  }

  /**
   * `count` times this layout in a row, each padded so that the one behind it is aligned as well.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `count` is not a number.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `count` is negative or no integer, or no buffer can hold so many.
   * @example
   * ```ts
   * Layout.of(12, 8).array(10).size; // 160
   * ```
   */
  array(count: number): Layout {
    Layout.#check(this);
    const stride = checkTotal(roundUp(this.size, this.align));
    const most = stride === 0 ? Number.MAX_SAFE_INTEGER : Math.floor(LARGEST_SIZE / stride);
    return new Layout(checkInteger(count, "count", 0, most) * stride, this.align);
  }

  /**
   * The bytes to add to the size to make it a multiple of `align`.
   *
   * @throws {TypeError} `ERR_INVALID_ARG_TYPE` when `align` is not a number.
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when `align` is no power of two up to `runtime.regionSize`, or no buffer can
   *   hold the result.
   * @example
   * ```ts
   * Layout.of(12, 8).padding(); // 4
   * Layout.of(12, 8).padding(4096); // 4084
   * ```
   */
  padding(align: number = this.align): number {
    Layout.#check(this);
    return checkTotal(roundUp(this.size, checkAlign(align, addon().regionSize))) - this.size;
  }

  /**
   * This layout with its size raised to a multiple of its alignment.
   *
   * @throws {RangeError} `ERR_OUT_OF_RANGE` when no buffer can hold that.
   * @example
   * ```ts
   * Layout.of(12, 8).padToAlign().size; // 16
   * ```
   */
  padToAlign(): Layout {
    Layout.#check(this);
    return new Layout(checkTotal(roundUp(this.size, this.align)), this.align);
  }

  static #check(receiver: unknown): void {
    if (!isLayout(receiver)) throw invalidThis("Layout");
  }

  static {
    isLayout = (value): value is Layout => typeof value === "object" && value !== null && #made in value;
  }
}

/** Exact for every size and power of two that pass the checks: a power of two only moves the binary point. */
function roundUp(size: number, align: number): number {
  return Math.ceil(size / align) * align;
}

/** Any sum or product beyond the largest size is recognised, exact or not: rounding does not bring it below. */
function checkTotal(size: number): number {
  if (size > LARGEST_SIZE) throw outOfRange("layout.size", `an integer >= 0 && <= ${LARGEST_SIZE}`, size);
  return size;
}
