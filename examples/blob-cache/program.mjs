// @ts-check
/** What the three programs of this example share: flags that are checked, and one way to fail. */
import { backEnds } from "./blocks.mjs";

/** A failure that its message explains in full: shown without a stack. */
export class PlainError extends Error {
  /**
   * @param {string} message
   * @param {number} [exitCode]
   */
  constructor(message, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** A mistake of whoever called the program. */
export class UsageError extends PlainError {
  /** @param {string} message */
  constructor(message) {
    super(message, 2);
  }
}

/**
 * @param {string} name
 * @param {string} text
 * @param {{ least: number, most: number, whole?: boolean }} range
 * @returns {number}
 */
export function numberFlag(name, text, { least, most, whole = false }) {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!(value >= least && value <= most) || (whole && !Number.isInteger(value))) {
    throw new UsageError(
      `--${name} must be a ${whole ? "whole number" : "number"} from ${least} to ${most}, not "${text}"`,
    );
  }
  return value;
}

/**
 * @param {string} name
 * @param {string} text
 * @returns {import("./blocks.mjs").BackEnd}
 */
export function backEndFlag(name, text) {
  const backEnd = backEnds.find((each) => each === text);
  if (backEnd === undefined) throw new UsageError(`--${name} must be one of ${backEnds.join(", ")}, not "${text}"`);
  return backEnd;
}

/**
 * Runs the body of a program. A failure becomes words on stderr and exit code 1; wrong flags become exit code 2.
 *
 * @param {() => Promise<void>} body
 */
export async function runAsProgram(body) {
  try {
    await body();
    if (process.connected) process.disconnect();
  } catch (error) {
    const plain = error instanceof Error && isParseError(error) ? new UsageError(error.message) : error;
    console.error(plain instanceof PlainError ? plain.message : plain);
    process.exit(plain instanceof PlainError ? plain.exitCode : 1);
  }
}

/** @param {Error} error */
function isParseError(error) {
  return "code" in error && typeof error.code === "string" && error.code.startsWith("ERR_PARSE_ARGS_");
}
