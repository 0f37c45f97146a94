import { constants } from "node:buffer";
import { expect } from "chai";
import { assert, constantFrom, integer, maxSafeInteger, oneof, property } from "fast-check";
import { Layout } from "../dist/layout.js";
import { currentAddon, describeForBothBindings } from "./bindings.js";
import { as, caught, expectRefusal, NOT_NUMBERS } from "./promises.js";

const LARGEST = Math.min(constants.MAX_LENGTH, Number.MAX_SAFE_INTEGER);
const ALIGNS = Array.from({ length: 21 }, (_, exponent) => 2 ** exponent);

const aligns = constantFrom(...ALIGNS);
const sizes = oneof(
  integer({ min: 0, max: 10_000 }),
  integer({ min: 0, max: LARGEST }),
  constantFrom(LARGEST, LARGEST - 1),
);

/** The exact answer, or undefined when it is beyond the largest buffer. */
function roundUpExactly(size: number, align: number): number | undefined {
  const exact = ((BigInt(size) + BigInt(align) - 1n) / BigInt(align)) * BigInt(align);
  return exact <= BigInt(LARGEST) ? Number(exact) : undefined;
}

describeForBothBindings("Layout", () => {
  it("has a size and an alignment, and cannot be changed", () => {
    const layout = Layout.of(100, 16);
    expect([layout.size, layout.align, Layout.of(3).align, Layout.of(0, 1).size]).to.deep.equal([100, 16, 8, 0]);
    expect(Object.isFrozen(layout)).to.equal(true);
  });

  it("of refuses what alloc refuses", () => {
    for (const size of NOT_NUMBERS) expectRefusal("ERR_INVALID_ARG_TYPE", () => Layout.of(as(size)));
    for (const size of [-1, 0.5, Number.NaN, Infinity, LARGEST + 1, 2 ** 53]) {
      expectRefusal("ERR_OUT_OF_RANGE", () => Layout.of(size));
    }
    for (const align of NOT_NUMBERS) {
      if (align !== undefined) expectRefusal("ERR_INVALID_ARG_TYPE", () => Layout.of(8, as(align)));
    }
    for (const align of [0, 3, -1, 2 ** 63, Number.NaN, currentAddon().regionSize * 2]) {
      expectRefusal("ERR_OUT_OF_RANGE", () => Layout.of(8, align));
    }
    expect(Layout.of(8, currentAddon().regionSize).align).to.equal(currentAddon().regionSize);
  });

  it("forArray is the layout of a typed array", () => {
    expect(Layout.forArray(Float64Array, 10)).to.include({ size: 80, align: 8 });
    expect(Layout.forArray(Uint8Array, 0)).to.include({ size: 0, align: 1 });
    expectRefusal("ERR_INVALID_ARG_TYPE", () => Layout.forArray(as<Uint8ArrayConstructor>(Array), 1));
    expectRefusal("ERR_OUT_OF_RANGE", () => Layout.forArray(Float64Array, LARGEST));
  });

  it("extend puts the next layout at the first offset that suits it", () => {
    assert(
      property(sizes, aligns, sizes, aligns, (size, align, nextSize, nextAlign) => {
        const extend = () => Layout.of(size, align).extend(Layout.of(nextSize, nextAlign));
        const offset = roundUpExactly(size, nextAlign);
        if (offset === undefined || BigInt(offset) + BigInt(nextSize) > BigInt(LARGEST)) {
          expectRefusal("ERR_OUT_OF_RANGE", extend);
        } else {
          const extended = extend();
          expect(extended.offset).to.equal(offset);
          expect(extended.layout).to.include({ size: offset + nextSize, align: Math.max(align, nextAlign) });
        }
      }),
    );
  });

  it("array pads each element but counts exactly", () => {
    assert(
      property(sizes, aligns, oneof(integer({ min: 0, max: 100 }), maxSafeInteger()), (size, align, count) => {
        const stride = roundUpExactly(size, align);
        const repeat = () => Layout.of(size, align).array(count);
        if (stride === undefined || count < 0 || BigInt(stride) * BigInt(count) > BigInt(LARGEST)) {
          expectRefusal("ERR_OUT_OF_RANGE", repeat);
        } else {
          expect(repeat()).to.include({ size: stride * count, align });
        }
      }),
    );
  });

  it("padding is what padToAlign adds, and never as much as the alignment", () => {
    assert(
      property(sizes, aligns, aligns, (size, align, other) => {
        const layout = Layout.of(size, align);
        const padded = roundUpExactly(size, align);
        if (padded === undefined) {
          expectRefusal("ERR_OUT_OF_RANGE", () => layout.padToAlign());
          expectRefusal("ERR_OUT_OF_RANGE", () => layout.padding());
        } else {
          expect(layout.padToAlign()).to.include({ size: padded, align });
          expect(layout.padding())
            .to.equal(padded - size)
            .and.to.be.below(align);
        }
        const rounded = roundUpExactly(size, other);
        if (rounded !== undefined) expect(layout.padding(other)).to.equal(rounded - size);
      }),
    );
  });

  it("arguments of the wrong type or out of range are refused", () => {
    const layout = Layout.of(12, 4);
    for (const next of [undefined, null, 8, { size: 8, align: 8 }, Object.create(Layout.prototype)]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", () => layout.extend(as(next)));
    }
    for (const count of NOT_NUMBERS) expectRefusal("ERR_INVALID_ARG_TYPE", () => layout.array(as(count)));
    for (const count of [-1, 0.5, Number.NaN, Infinity]) expectRefusal("ERR_OUT_OF_RANGE", () => layout.array(count));
    for (const align of [0, 3, -1, Number.NaN]) expectRefusal("ERR_OUT_OF_RANGE", () => layout.padding(align));
    expect(caught(() => layout.padding(as("4"))).message).to.contain(`"align" argument must be of type number`);
  });

  it("any number of empty layouts is empty", () => {
    expect(Layout.of(0, 8).array(Number.MAX_SAFE_INTEGER).size).to.equal(0);
  });
});
