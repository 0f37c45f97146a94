/**
 * Puts a value that should not have been passed into words. The value may be anything a program can make, so nothing
 * here runs its code if that can be avoided, and nothing here throws.
 */
import { inspect, types } from "node:util";

/** Longest piece of a value that is quoted in a message, in characters. Node quotes as much. */
const LONGEST_QUOTE = 28;

/** Integers beyond this are written with separators, as Node does. */
const SEPARATE_DIGITS_BEYOND = 2 ** 32;

/** `"with type"`: "type string ('8')". `"value only"`: "'8'". */
export type Detail = "with type" | "value only";

/**
 * What an error message says after "Received".
 *
 * @example
 * ```ts
 * describeReceived("8", "with type"); // type string ('8')
 * describeReceived(-1, "value only"); // -1
 * ```
 */
export function describeReceived(value: unknown, detail: Detail): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value === "number" && detail === "value only") return describeNumber(value);
  try {
    if (types.isProxy(value)) return "a Proxy";
    if (typeof value === "function") return `function ${shorten(ownName(value))}`.trimEnd();
    if (typeof value === "object") return describeObject(value);
    const quoted = shorten(inspect(value, { colors: false, maxStringLength: LONGEST_QUOTE }));
    return detail === "with type" ? `type ${typeof value} (${quoted})` : quoted;
  } catch {
    return `a value of type ${typeof value}`;
  }
}

function describeNumber(value: number): string {
  if (!Number.isInteger(value) || Math.abs(value) <= SEPARATE_DIGITS_BEYOND)
    return Object.is(value, -0) ? "-0" : `${value}`;
  return `${value}`.replace(/\B(?=(?:\d{3})+$)/g, "_");
}

/** The class of an object as its prototypes tell it. Accessors are not called. */
function describeObject(value: object): string {
  let prototype: object | null = Object.getPrototypeOf(value);
  while (prototype !== null) {
    if (types.isProxy(prototype)) return "a Proxy";
    const maker: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
    if (typeof maker === "function") {
      const name = types.isProxy(maker) ? "" : ownName(maker);
      return name === "" ? "an instance of an anonymous class" : `an instance of ${shorten(name)}`;
    }
    prototype = Object.getPrototypeOf(prototype);
  }
  return "[Object: null prototype]";
}

function ownName(callable: object): string {
  const name: unknown = Object.getOwnPropertyDescriptor(callable, "name")?.value;
  return typeof name === "string" ? name : "";
}

function shorten(text: string): string {
  return text.length > LONGEST_QUOTE ? `${text.slice(0, LONGEST_QUOTE - 3)}...` : text;
}
