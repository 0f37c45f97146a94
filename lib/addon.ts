/**
 * The one place where the facade gets the native addon from. It is loaded when it is first needed, once in each
 * thread; a test may put a false one in its place.
 */
import { loadAddon } from "./load.js";
import type { NativeAddon } from "./native.js";
import { guardTransfers } from "./transfer_guard.js";

let loaded: NativeAddon | undefined;
let replacement: NativeAddon | undefined;

/**
 * The addon in use. Heaps ask once, when they are made, and keep what they got.
 *
 * @throws {Error} When there is no addon for this platform; the message says how to make one.
 */
export function addon(): NativeAddon {
  if (replacement !== undefined) return replacement;
  loaded ??= loadOnce();
  return loaded;
}

function loadOnce(): NativeAddon {
  const native = loadAddon();
  guardTransfers(native);
  return native;
}

/**
 * Makes heaps created from now on use `other`, or the real addon again when there is none. For tests of the facade: not
 * exported from the package.
 */
export function useAddon(other?: NativeAddon): void {
  replacement = other;
}
