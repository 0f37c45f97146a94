/** The addon itself, called past the facade: whatever it is given, it answers with an error and never with a crash. */
import { expect } from "chai";
import { anything, array, assert, constantFrom, oneof, property } from "fast-check";
import { addon } from "../dist/addon.js";
import { createError } from "../dist/errors.js";
import { allocTerms, type NativeAddon, type NativeHeap } from "../dist/native.js";
import { caught } from "./promises.js";
import { transferOf, wrongReceiverError } from "./runtime_features.js";

const METHODS = [
  "slot",
  "id",
  "isDefault",
  "limit",
  "closed",
  "allocShared",
  "refuse",
  "realloc",
  "owns",
  "usableSize",
  "addressOf",
  "bytesInUse",
  "blocksInUse",
  "stats",
  "snapshot",
  "trim",
  "decay",
  "close",
] as const satisfies (keyof NativeHeap)[];

/** Those that leave the counts as they are when they succeed with nothing to take back. */
const HARMLESS_METHODS = METHODS.filter((method) => method !== "close" && method !== "allocShared");

describe("the addon", () => {
  let native: NativeAddon;
  let heap: NativeHeap;
  before(() => {
    native = addon();
  });
  beforeEach(() => {
    heap = new native.Heap({ limit: Infinity, buckets: undefined });
  });

  /** Calls a method with whatever it is not made for. */
  const call = (receiver: unknown, method: string, values: readonly unknown[]): unknown =>
    Reflect.apply(Reflect.get(native.Heap.prototype, method), receiver, values);

  const alloc = (size: number, align = 8, zeroed = true, owner = heap) =>
    native.alloc(allocTerms(owner.slot(), align, zeroed), size);
  const free = (block: unknown, owner = heap) => native.free(owner.slot(), block);

  it("is what lib/native.ts declares", () => {
    expect(native.buffers).to.be.oneOf(["v8", "napi"]);
    for (const key of [
      "pageSize",
      "allocationGranularity",
      "regionSize",
      "maxBucketSize",
      "maxBuckets",
      "decayMilliseconds",
    ] as const) {
      expect(Number.isSafeInteger(native[key]) && native[key] > 0, key).to.equal(true);
    }
    expect(Math.log2(native.regionSize) % 1).to.equal(0);
    expect(Math.log2(native.pageSize) % 1).to.equal(0);
    for (const method of METHODS) expect(heap[method], method).to.be.a("function");
  });

  for (const method of METHODS) {
    it(`${method} on the wrong receiver is an error`, () => {
      const receivers = [
        undefined,
        null,
        8,
        "heap",
        {},
        [],
        new ArrayBuffer(8),
        native,
        native.Heap,
        native.Heap.prototype,
      ];
      const fakes = [Object.create(native.Heap.prototype), new Proxy(heap, {}), Object.create(heap)];
      for (const receiver of [...receivers, ...fakes]) {
        expect(
          caught(() => call(receiver, method, [8, 8, true])),
          String(method),
        ).to.be.instanceOf(wrongReceiverError);
      }
    });
  }

  it("Heap without new, and Heap with nonsense, is an error", () => {
    expect(() => Reflect.apply(native.Heap as unknown as () => void, undefined, [{}])).to.throw(TypeError);
    const nonsense = [
      undefined,
      null,
      true,
      "options",
      {},
      { limit: "8", buckets: undefined },
      { limit: Number.NaN, buckets: undefined },
      { limit: -1, buckets: undefined },
      { limit: Infinity, buckets: 8 },
      { limit: Infinity, buckets: [] },
      { limit: Infinity, buckets: ["64"] },
      { limit: Infinity, buckets: [0] },
      { limit: Infinity, buckets: [-8] },
      { limit: Infinity, buckets: [64, 64] },
      { limit: Infinity, buckets: [64, 32] },
      { limit: Infinity, buckets: [Number.NaN] },
      { limit: Infinity, buckets: [1.5] },
      { limit: Infinity, buckets: [2 ** 53] },
      { limit: Infinity, buckets: Array.from({ length: native.maxBuckets + 1 }, (_, index) => index + 1) },
    ];
    for (const options of nonsense) {
      expect(() => Reflect.construct(native.Heap, [options]), JSON.stringify(options)).to.throw();
    }
    for (const options of [[], [{ limit: Infinity }, 2, 3]]) {
      try {
        Reflect.construct(native.Heap, options);
      } catch (error) {
        expect(error).to.be.instanceOf(Error);
      }
    }
  });

  it("Heap of a number that is no heap is closed", () => {
    for (const id of [2 ** 40, -1, 0.5, Number.NaN, Infinity, 2 ** 64]) {
      expect(caught(() => new native.Heap(id)).code, String(id)).to.equal("ERR_OFFHEAP_CLOSED");
    }
    expect(new native.Heap(0).isDefault()).to.equal(true);
    expect(new native.Heap(heap.id()).id()).to.equal(heap.id());
  });

  it("alloc and free of a heap that is none is a TypeError", () => {
    for (const slot of [undefined, null, "0", -1, 0.01, 2 ** 20, 2 ** 26 - 1, Number.NaN, Infinity, {}, 8n]) {
      const terms = typeof slot === "number" ? slot * 64 : slot;
      const nothing = new ArrayBuffer(8);
      expect(
        caught(() => Reflect.apply(native.alloc, undefined, [terms, 8])),
        String(slot),
      ).to.be.instanceOf(TypeError);
      expect(
        caught(() => Reflect.apply(native.free, undefined, [slot, nothing])),
        String(slot),
      ).to.be.instanceOf(TypeError);
    }
    expect(() => Reflect.apply(native.alloc, undefined, [])).to.throw(TypeError);
    expect(() => Reflect.apply(native.free, undefined, [])).to.throw(TypeError);
  });

  it("initialize with nonsense is an error", () => {
    for (const hooks of [undefined, null, 8, {}, { createError: 8 }]) {
      expect(() => native.initialize(hooks as unknown as { createError: typeof createError })).to.throw(TypeError);
    }
    native.initialize({ createError });
    expect(free(new ArrayBuffer(8))).to.equal(false);
    expect(caught(() => heap.refuse(new ArrayBuffer(8))).code).to.equal("ERR_OFFHEAP_FOREIGN");
  });

  it("numbers that the facade would not let through are errors", () => {
    const { regionSize } = native;
    for (const size of [0, -1, 0.5, Number.NaN, Infinity, -Infinity, 2 ** 53, 2 ** 63, 2 ** 64, 1e308]) {
      expect(() => alloc(size), `size ${size}`).to.throw();
    }
    for (const align of [regionSize * 2, regionSize * 4, 2 ** 31]) {
      expect(() => alloc(8, align), `align ${align}`).to.throw(TypeError);
    }
    for (const terms of [-1, 0.5, Number.NaN, Infinity, 2 ** 32, 2 ** 53, "8", undefined, null, {}]) {
      expect(() => Reflect.apply(native.alloc, undefined, [terms, 8]), `terms ${terms}`).to.throw(TypeError);
    }
    const block = alloc(64);
    for (const size of [-1, 0.5, Number.NaN, Infinity, 2 ** 53, 2 ** 63, 1e308]) {
      expect(() => heap.realloc(block, size), `size ${size}`).to.throw();
    }
    expect([block.byteLength, heap.bytesInUse(), heap.blocksInUse()]).to.deep.equal([64, 64, 1]);
    free(block);
  });

  it("nothing that a method can be given makes it crash or lose count", () => {
    let own = alloc(64);
    const freed = alloc(64);
    free(freed);
    const other = new native.Heap({ limit: 1000, buckets: [64] });
    const foreign = alloc(64, 8, true, other);
    const junk = oneof(
      anything({ withBigInt: true, withSparseArray: true, withTypedArray: true, withDate: true, withMap: true }),
      constantFrom<unknown>(
        undefined,
        null,
        0,
        -1,
        1,
        8,
        64,
        0.5,
        Number.NaN,
        Infinity,
        2 ** 32,
        2 ** 53,
        2 ** 63,
        true,
      ),
      constantFrom<unknown>(freed, foreign, new ArrayBuffer(0), new ArrayBuffer(64), new SharedArrayBuffer(64)),
      constantFrom<unknown>(new Uint8Array(own), new DataView(own), Symbol("junk"), () => 8, heap, native.Heap, 8n),
      constantFrom<unknown>(new Proxy(own, {}), Object.create(ArrayBuffer.prototype), Object.create(null)),
    );
    assert(
      property(constantFrom(...HARMLESS_METHODS), array(junk, { maxLength: 4 }), (method, values) => {
        let result: unknown;
        try {
          result = call(heap, method, values);
        } catch (error) {
          expect(error).to.be.instanceOf(Error);
        }
        if (own.byteLength === 0) own = alloc(64);
        if (result instanceof ArrayBuffer && result !== own && heap.owns(result)) free(result);
        expect([heap.bytesInUse(), heap.blocksInUse()]).to.deep.equal([64, 1]);
      }),
      { numRuns: 20_000 },
    );
    expect(heap.owns(own)).to.equal(true);
  });

  it("nothing that alloc and free can be given makes them crash or free what is not the heap's", () => {
    const own = alloc(64);
    // No large numbers: the addon would allocate what they say, and fill it with zeros.
    const junk = oneof(
      anything({ withBigInt: true, withTypedArray: true, withMap: true }).filter((value) => typeof value !== "number"),
      constantFrom<unknown>(heap.slot(), heap.slot() * 64 + 3, 64, 8, 1, 0, -1, 0.5, Number.NaN, undefined),
      constantFrom<unknown>(new ArrayBuffer(64), new SharedArrayBuffer(64), new Uint8Array(new SharedArrayBuffer(8))),
      constantFrom<unknown>(new Proxy(own, {}), Object.create(own), new Proxy(new Uint8Array(own), {}), native),
    );
    assert(
      property(constantFrom("alloc", "free"), array(junk, { maxLength: 3 }), (name, values) => {
        let result: unknown;
        try {
          result = Reflect.apply(Reflect.get(native, name), undefined, values);
        } catch (error) {
          expect(error).to.be.instanceOf(Error);
        }
        if (result instanceof ArrayBuffer && heap.owns(result)) free(result);
        expect([heap.bytesInUse(), heap.blocksInUse(), own.byteLength]).to.deep.equal([64, 1, 64]);
      }),
      { numRuns: 20_000 },
    );
    expect([free(new DataView(own)), free(own)]).to.deep.equal([true, false]);
    expect([heap.bytesInUse(), own.byteLength]).to.deep.equal([0, 0]);
  });

  it("a block can be used and freed after its heap was closed twice", () => {
    const block = alloc(64);
    heap.close();
    heap.close();
    new Uint8Array(block).fill(1);
    free(block);
    expect(caught(() => alloc(8)).code).to.equal("ERR_OFFHEAP_CLOSED");
  });

  if (transferOf !== undefined) {
    it("a block that moved is found again under its new buffer", () => {
      const block = alloc(64);
      const address = heap.addressOf(block);
      const moved = transferOf?.(block) as ArrayBuffer;
      expect([heap.owns(block), heap.owns(moved)]).to.deep.equal([false, true]);
      expect(heap.addressOf(moved)).to.equal(address);
      free(moved);
      expect(heap.blocksInUse()).to.equal(0);
    });
  }
});
