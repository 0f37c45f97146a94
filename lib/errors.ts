/**
 * Every error offheap throws is made here: Node's own kinds for wrong arguments and receivers, and `OffheapError` for
 * what can go wrong with memory.
 */
import { describeReceived } from "./describe.js";
import type { NativeFailure } from "./native.js";

/** What an `OffheapError` can be about. */
export type OffheapErrorCode =
  | "ERR_OFFHEAP_OUT_OF_MEMORY"
  | "ERR_OFFHEAP_LIMIT"
  | "ERR_OFFHEAP_FREED"
  | "ERR_OFFHEAP_FOREIGN"
  | "ERR_OFFHEAP_LOCKED"
  | "ERR_OFFHEAP_CLOSED"
  | "ERR_OFFHEAP_EXHAUSTED"
  | "ERR_OFFHEAP_UNSUPPORTED";

/** The facts that some codes carry beside the message. */
export interface OffheapErrorDetails {
  /** `ERR_OFFHEAP_OUT_OF_MEMORY`: bytes the refused call asked for. */
  readonly bytes?: number;
  /** `ERR_OFFHEAP_OUT_OF_MEMORY`: the operating-system call that was refused, for example `"mmap"`. */
  readonly call?: string;
  /** `ERR_OFFHEAP_OUT_OF_MEMORY`: the number the operating system gave, `errno` or `GetLastError()`. */
  readonly osError?: number;
  /** `ERR_OFFHEAP_OUT_OF_MEMORY`: the operating system's own words for `osError`. */
  readonly osMessage?: string;
  /** `ERR_OFFHEAP_LIMIT`: the heap's limit, in bytes. */
  readonly limit?: number;
  /** `ERR_OFFHEAP_LIMIT`: bytes in use when the call was refused. */
  readonly inUse?: number;
  /** `ERR_OFFHEAP_LIMIT`: bytes the call would have added. */
  readonly asked?: number;
}

/**
 * An error of the memory itself: the kernel refused, a limit was reached, a block was used after its end. `code` says
 * which; the message says what would be right. Whatever threw it has changed nothing.
 *
 * @example
 * ```ts
 * try {
 *   heap.free(block);
 * } catch (error) {
 *   if (error instanceof OffheapError && error.code === "ERR_OFFHEAP_FREED") console.log("somebody was faster");
 *   else throw error;
 * }
 * ```
 */
export class OffheapError extends Error implements OffheapErrorDetails {
  static {
    OffheapError.prototype.name = "OffheapError";
  }

  readonly code: OffheapErrorCode;
  declare readonly bytes?: number;
  declare readonly call?: string;
  declare readonly osError?: number;
  declare readonly osMessage?: string;
  declare readonly limit?: number;
  declare readonly inUse?: number;
  declare readonly asked?: number;

  constructor(code: OffheapErrorCode, message: string, details?: OffheapErrorDetails) {
    super(message);
    this.code = code;
    if (details !== undefined) {
      for (const key of DETAIL_KEYS) {
        const value = details[key];
        if (value !== undefined) Object.defineProperty(this, key, { value, enumerable: true });
      }
    }
    showCodeInStack(this, code, OffheapError);
  }
}

const DETAIL_KEYS = ["bytes", "call", "osError", "osMessage", "limit", "inUse", "asked"] as const;

/** A wrong argument or receiver, with the code and the shape that Node's own errors have. */
export type NodeError<Kind extends Error> = Kind & { readonly code: string };

type Callable = CallableFunction | NewableFunction;

/**
 * The TypeError for an argument of the wrong type. `expected` completes "must be": `"of type number"`,
 * `"an instance of ArrayBuffer"`.
 */
export function invalidArgumentType(name: string, expected: string, received: unknown): NodeError<TypeError> {
  const kind = name.includes(".") ? "property" : "argument";
  const error = new TypeError(
    `The "${name}" ${kind} must be ${expected}. Received ${describeReceived(received, "with type")}`,
  );
  addCode(error, "ERR_INVALID_ARG_TYPE", invalidArgumentType);
  return error;
}

/** The RangeError for a value that has the right type and cannot be. `range` completes "It must be". */
export function outOfRange(name: string, range: string, received: unknown): NodeError<RangeError> {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${range}. Received ${describeReceived(received, "value only")}`,
  );
  addCode(error, "ERR_OUT_OF_RANGE", outOfRange);
  return error;
}

/** The TypeError for a method called on something that is not what it belongs to. */
export function invalidThis(expected: string): NodeError<TypeError> {
  const error = new TypeError(`Value of "this" must be of type ${expected}`);
  addCode(error, "ERR_INVALID_THIS", invalidThis);
  return error;
}

/** The error for something that is right in itself but cannot be done here. The message says what would. */
export function unsupported(message: string): OffheapError {
  return new OffheapError("ERR_OFFHEAP_UNSUPPORTED", message);
}

/** The error for an allocation from something that was closed. `what` is a noun with its article: "The heap". */
export function closed(what: string): OffheapError {
  return new OffheapError(
    "ERR_OFFHEAP_CLOSED",
    `${what} is closed and hands out no more blocks. Allocate before the end, or from another heap; blocks that are ` +
      "still alive can be used and freed as before",
  );
}

/** The error for a handle whose heap no thread has open any more. */
export function heapIsGone(name: string): OffheapError {
  return new OffheapError(
    "ERR_OFFHEAP_CLOSED",
    `No thread has the heap "${name}" open any more, and none of its blocks lives. Keep the Heap its handle was taken ` +
      "from until the other thread has opened it",
  );
}

/** Turns what the addon knows of a failure into the error it throws. Given to the addon when it is loaded. */
export function createError(failure: NativeFailure): OffheapError {
  switch (failure.code) {
    case "ERR_OFFHEAP_OUT_OF_MEMORY":
      return new OffheapError(
        failure.code,
        `The operating system refused ${failure.bytes} bytes: ${failure.call} failed with error ${failure.osError} ` +
          `(${failure.osMessage}). Free blocks, or raise the memory limit of this process`,
        failure,
      );
    case "ERR_OFFHEAP_LIMIT":
      return new OffheapError(
        failure.code,
        `${failure.asked} bytes more would exceed the limit of the heap: ${failure.inUse} of ${failure.limit} bytes ` +
          "are in use. Free blocks, or create the heap with a larger limit",
        failure,
      );
    case "ERR_OFFHEAP_FREED":
      return new OffheapError(
        failure.code,
        "The buffer was already freed, moved or detached. A block is to be used until it is freed, reallocated or " +
          "transferred, and not after",
      );
    case "ERR_OFFHEAP_FOREIGN":
      return new OffheapError(
        failure.code,
        "The buffer is not a block of this heap. Pass a buffer that this heap allocated, or a view on one",
      );
    case "ERR_OFFHEAP_LOCKED":
      return new OffheapError(
        failure.code,
        "The buffer cannot be detached: it was marked as untransferable, or something else holds it. It stays a " +
          "block of this heap until it is collected",
      );
    case "ERR_OFFHEAP_CLOSED":
      return closed("The heap");
    case "ERR_OFFHEAP_UNSUPPORTED":
      return failure.what === "buffers"
        ? unsupported(
            "This runtime refuses ArrayBuffers over memory that is not its own, as those with a V8 sandbox do. Use Node.js",
          )
        : unsupported(
            "This runtime cannot make a SharedArrayBuffer over memory that is not its own. Node 20 and later can, with " +
              "the V8 build of offheap, and so can Node 22.23, 24.16, 26.1 and later without it",
          );
  }
}

/**
 * Not to be called in tail position: JavaScriptCore (Bun) drops the frame of a function that ends so, and without
 * `hiddenFrame` on the stack it does not know where the stack of the error starts.
 */
function addCode<Kind extends Error>(
  error: Kind,
  code: string,
  hiddenFrame: Callable,
): asserts error is NodeError<Kind> {
  Object.defineProperty(error, "code", { value: code, enumerable: true, writable: true, configurable: true });
  showCodeInStack(error, code, hiddenFrame);
}

/**
 * Writes the code into the first line of `stack` and into `toString()`, as Node does for its own errors, and leaves
 * `name` as it is. `hiddenFrame` and what it called do not appear in the stack.
 */
function showCodeInStack(error: Error, code: string, hiddenFrame: Callable): void {
  const label = `${error.name} [${code}]`;
  Object.defineProperty(error, "name", { value: label, configurable: true });
  try {
    Error.captureStackTrace(error, hiddenFrame);
    void error.stack; // Written by V8 when it is first read, with the name of that moment.
  } catch {
    // A program's own Error.prepareStackTrace may throw. That is no reason to lose this error.
  }
  Reflect.deleteProperty(error, "name");
  Object.defineProperty(error, "toString", {
    value: () => `${label}: ${error.message}`,
    writable: true,
    configurable: true,
  });
}
