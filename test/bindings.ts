/** Runs the same promises against the addon and against the false binding. */
import { addon, useAddon } from "../dist/addon.js";
import { createError } from "../dist/errors.js";
import type { NativeAddon } from "../dist/native.js";
import { FalseAddon } from "./false_binding.js";

/** A false binding that throws the errors the real one throws. */
export function makeFalseAddon(): FalseAddon {
  const falseAddon = new FalseAddon();
  falseAddon.initialize({ createError });
  return falseAddon;
}

/** Describes `body` twice: heaps made in its tests are real ones the first time, false ones the second. */
export function describeForBothBindings(title: string, body: () => void): void {
  describeWith(title, "with the addon", () => undefined, body);
  describeWith(title, "with the false binding", makeFalseAddon, body);
}

/** Describes `body` with the addon only: what no ordinary ArrayBuffer can stand in for. */
export function describeForAddon(title: string, body: () => void): void {
  describeWith(title, "with the addon", () => undefined, body);
}

/** Describes `body` with a false binding only, which it is given. */
export function describeForFalseBinding(title: string, body: (binding: () => FalseAddon) => void): void {
  let current: FalseAddon;
  const make = () => {
    current = makeFalseAddon();
    return current;
  };
  describeWith(title, "with the false binding", make, () => body(() => current));
}

/** The addon that heaps made now would use. */
export function currentAddon(): NativeAddon {
  return addon();
}

function describeWith(title: string, how: string, make: () => NativeAddon | undefined, body: () => void): void {
  describe(`${title} (${how})`, () => {
    beforeEach(() => useAddon(make()));
    afterEach(() => useAddon());
    body();
  });
}
