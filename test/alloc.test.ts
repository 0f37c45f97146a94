import { constants } from "node:buffer";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { Layout } from "../dist/layout.js";
import type { TypedArrayConstructor } from "../dist/typed_arrays.js";
import { currentAddon, describeForBothBindings } from "./bindings.js";
import { hold } from "./garbage.js";
import { as, bytesOf, expectUnchanged, NOT_NUMBERS } from "./promises.js";

const LARGEST = Math.min(constants.MAX_LENGTH, Number.MAX_SAFE_INTEGER);
const TYPES: readonly TypedArrayConstructor[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  ...("Float16Array" in globalThis ? [as<TypedArrayConstructor>(Reflect.get(globalThis, "Float16Array"))] : []),
];

describeForBothBindings("alloc", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  it("returns an ArrayBuffer of exactly the size asked for, of zeros, that can be written to its last byte", () => {
    for (const size of [1, 2, 7, 8, 63, 64, 65, 100, 4095, 4096, 4097, 65_536, 1_000_000, 5_000_000]) {
      const block = heap.alloc(size);
      expect(block).to.be.instanceOf(ArrayBuffer);
      expect(block.byteLength).to.equal(size);
      const bytes = bytesOf(block);
      expect(bytes.every((byte) => byte === 0)).to.equal(true);
      bytes.fill(0xff);
      expect([bytes[0], bytes[size - 1]]).to.deep.equal([0xff, 0xff]);
      heap.free(block);
    }
    expect(heap.bytesInUse).to.equal(0);
  });

  it("returns zeros also where a block was used before", () => {
    for (const size of [64, 1000, 100_000, 8_000_000]) {
      const first = heap.alloc(size);
      bytesOf(first).fill(0xff);
      heap.free(first);
      const second = heap.alloc(size);
      expect(bytesOf(second).every((byte) => byte === 0)).to.equal(true);
      heap.free(second);
    }
  });

  it("aligns to 8 when it is not told", () => {
    for (const size of [1, 3, 8, 24, 100]) expect(heap.addressOf(heap.alloc(size)) % 8n).to.equal(0n);
    expect(heap.addressOf(heap.alloc(1, {})) % 8n).to.equal(0n);
    expect(heap.addressOf(heap.alloc(1, { align: undefined })) % 8n).to.equal(0n);
  });

  it("aligns to every power of two up to the region", () => {
    for (let align = 1; align <= currentAddon().regionSize; align *= 2) {
      for (const size of [1, 100, 5000]) {
        const block = heap.alloc(size, { align });
        expect(heap.addressOf(block) % BigInt(align), `align ${align}`).to.equal(0n);
        heap.free(block);
      }
    }
  });

  it("takes a Layout as options", () => {
    const layout = Layout.of(100, 256);
    expect(heap.addressOf(heap.alloc(layout.size, layout)) % 256n).to.equal(0n);
  });

  it("asks a getter for align once, and lets its error through", () => {
    let asked = 0;
    const options = {
      get align() {
        asked++;
        return asked === 1 ? 16 : 3;
      },
    };
    const block = hold(heap.alloc(8, options));
    expect(heap.addressOf(block) % 16n).to.equal(0n);
    expect(asked).to.equal(1);
    const failing = {
      get align(): number {
        throw new Error("mine");
      },
    };
    expect(() => heap.alloc(8, failing)).to.throw("mine");
    expect(heap.blocksInUse).to.equal(1);
  });

  const ways: readonly (readonly [string, (size: number, options?: { align?: number }) => unknown])[] = [
    ["alloc", (size, options) => heap.alloc(size, options)],
    ["allocUnsafe", (size, options) => heap.allocUnsafe(size, options)],
    ["allocBuffer", (size, options) => heap.allocBuffer(size, options)],
  ];
  for (const [name, way] of ways) {
    it(`${name} refuses a size that is not a number`, () => {
      for (const size of NOT_NUMBERS) {
        const error = expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => way(as(size)));
        expect(error.message).to.match(/^The "size" argument must be of type number\. Received /);
      }
    });

    it(`${name} refuses a size that cannot be`, () => {
      for (const size of [-1, -0.5, 0.5, 1.5, Number.NaN, Infinity, -Infinity, LARGEST + 1, 2 ** 53, 2 ** 63, 1e308]) {
        const error = expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => way(size));
        expect(error.message).to.match(
          new RegExp(`^The value of "size" is out of range. It must be an integer >= 0 && <= ${LARGEST}. Received `),
        );
      }
    });

    it(`${name} refuses an align that is not a number`, () => {
      for (const align of NOT_NUMBERS) {
        if (align === undefined) continue;
        const error = expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => way(8, { align: as(align) }));
        expect(error.message).to.match(/^The "options\.align" property must be of type number\. Received /);
      }
    });

    it(`${name} refuses an align that is no power of two up to the region`, () => {
      const { regionSize } = currentAddon();
      for (const align of [
        0,
        -0,
        -1,
        3,
        12,
        0.5,
        1.5,
        Number.NaN,
        Infinity,
        2 ** 63,
        -8,
        regionSize * 2,
        2 ** 32 + 1,
      ]) {
        const error = expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => way(8, { align }));
        expect(error.message).to.contain(`"options.align" is out of range. It must be a power of two >= 1`);
      }
    });

    it(`${name} refuses options that are no object`, () => {
      for (const options of [null, 8, "align", true, [], () => 8]) {
        expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => way(8, as(options)));
      }
    });

    it(`${name} checks the alignment of an empty block as well`, () => {
      expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => way(0, { align: 3 }));
    });
  }

  it("allocUnsafe returns a buffer of exactly the size", () => {
    const block = heap.allocUnsafe(1000);
    expect(block.byteLength).to.equal(1000);
    expect(heap.bytesInUse).to.equal(1000);
  });

  it("a size that only the kernel can judge is refused with what it said, and changes nothing", () => {
    expectUnchanged(heap, LARGEST > 2 ** 40 ? "ERR_OFFHEAP_OUT_OF_MEMORY" : "ERR_OUT_OF_RANGE", () =>
      heap.alloc(2 ** 50),
    );
  });
});

describeForBothBindings("allocBuffer", () => {
  it("returns a Node Buffer over a block of its own", () => {
    const heap = new Heap();
    const buffer = heap.allocBuffer(100);
    expect(Buffer.isBuffer(buffer)).to.equal(true);
    expect([buffer.length, buffer.byteOffset, buffer.buffer.byteLength]).to.deep.equal([100, 0, 100]);
    expect(buffer.every((byte) => byte === 0)).to.equal(true);
    expect(buffer.write("hello")).to.equal(5);
    expect(heap.owns(buffer)).to.equal(true);
    heap.free(buffer);
    expect(buffer.length).to.equal(0);
  });

  it("of 0 bytes it is an empty Buffer that the heap owns", () => {
    const heap = new Heap();
    const buffer = heap.allocBuffer(0);
    expect(Buffer.isBuffer(buffer)).to.equal(true);
    expect(buffer.length).to.equal(0);
    expect(heap.owns(buffer)).to.equal(true);
  });
});

describeForBothBindings("allocArray", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  it("returns each kind of typed array the runtime has", () => {
    for (const type of TYPES) {
      const array = heap.allocArray(type, 10);
      expect(array).to.be.instanceOf(type);
      expect([array.byteOffset, array.byteLength]).to.deep.equal([0, 10 * type.BYTES_PER_ELEMENT]);
      expect(array.buffer.byteLength).to.equal(array.byteLength);
      heap.free(array);
    }
    expect(heap.bytesInUse).to.equal(0);
  });

  it("has the type of the class it was given, and its elements are zero", () => {
    const doubles: Float64Array = heap.allocArray(Float64Array, 3);
    doubles[1] = 0.5;
    expect([...doubles]).to.deep.equal([0, 0.5, 0]);
    const longs: BigInt64Array = heap.allocArray(BigInt64Array, 2);
    expect([...longs]).to.deep.equal([0n, 0n]);
  });

  it("of no elements it is empty and owned", () => {
    const array = heap.allocArray(Float64Array, 0);
    expect(array.length).to.equal(0);
    expect(heap.owns(array)).to.equal(true);
  });

  it("takes an alignment", () => {
    expect(heap.addressOf(heap.allocArray(Uint8Array, 5, { align: 4096 })) % 4096n).to.equal(0n);
  });

  it("refuses what is no typed-array class", () => {
    class Sub extends Uint8Array {}
    const wrong = [undefined, null, "Uint8Array", 8, {}, Array, ArrayBuffer, DataView, Buffer, Sub, () => undefined];
    for (const type of [...wrong, Object.getPrototypeOf(Uint8Array), new Proxy(Uint8Array, {})]) {
      expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.allocArray(as<Uint8ArrayConstructor>(type), 8));
    }
    const error = expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () =>
      heap.allocArray(as<Uint8ArrayConstructor>(Buffer), 8),
    );
    expect(error.message).to.contain("allocBuffer");
  });

  it("refuses a length that is not a number or cannot be", () => {
    for (const length of NOT_NUMBERS) {
      const error = expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.allocArray(Float64Array, as(length)));
      expect(error.message).to.contain(`"length" argument`);
    }
    for (const length of [-1, 0.5, Number.NaN, Infinity, Math.floor(LARGEST / 8) + 1, LARGEST, 2 ** 53]) {
      const error = expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => heap.allocArray(Float64Array, length));
      expect(error.message).to.contain(`It must be an integer >= 0 && <= ${Math.floor(LARGEST / 8)}.`);
    }
  });
});
