import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { currentAddon, describeForBothBindings, describeForFalseBinding } from "./bindings.js";
import { as, expectOffheapError, expectRefusal, NOT_NUMBERS } from "./promises.js";

const make = (options: unknown) => () => new Heap(as(options));

describeForBothBindings("the options of a heap", () => {
  it("may be left out, one by one or all", () => {
    for (const options of [undefined, {}, { name: undefined, limit: undefined, buckets: undefined }]) {
      const heap = new Heap(options);
      expect([heap.name, heap.limit, heap.closed]).to.deep.equal(["heap", Infinity, false]);
      expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
    }
    expect(new Heap({ strategy: undefined, capacity: undefined }).name).to.equal("heap");
  });

  it("are kept", () => {
    const heap = new Heap({ name: "frames", limit: 1000, strategy: "buckets" });
    expect([heap.name, heap.limit]).to.deep.equal(["frames", 1000]);
    expect(new Heap({ limit: Infinity }).limit).to.equal(Infinity);
    expect(new Heap({ limit: 0 }).limit).to.equal(0);
    expect(new Heap({ name: "" }).name).to.equal("");
  });

  it("that are no object are refused", () => {
    for (const options of [null, 8, "name", true, 8n, [], () => ({})]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", make(options));
    }
  });

  it("a name that is no string is refused", () => {
    for (const name of [null, 8, {}, Symbol("name")]) expectRefusal("ERR_INVALID_ARG_TYPE", make({ name }));
  });

  it("a nonsense limit is refused", () => {
    for (const limit of NOT_NUMBERS) {
      if (limit !== undefined) expectRefusal("ERR_INVALID_ARG_TYPE", make({ limit }));
    }
    for (const limit of [-1, 0.5, Number.NaN, -Infinity, 2 ** 53, 1e300]) {
      const error = expectRefusal("ERR_OUT_OF_RANGE", make({ limit }));
      expect(error.message).to.contain(`"options.limit"`);
    }
  });

  it("buckets that are no array of numbers are refused", () => {
    for (const buckets of [null, 8, "64", {}, { length: 1, 0: 64 }, new Uint32Array([64]), new Set([64])]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", make({ buckets }));
    }
    for (const element of NOT_NUMBERS) {
      const error = expectRefusal("ERR_INVALID_ARG_TYPE", make({ buckets: [16, 64, element] }));
      expect(error.message).to.contain(`The "options.buckets[2]" property must be of type number`);
    }
    const sparse = [16];
    sparse[3] = 64;
    expect(expectRefusal("ERR_INVALID_ARG_TYPE", make({ buckets: sparse })).message).to.contain("options.buckets[1]");
  });

  it("buckets that cannot be are refused", () => {
    const { maxBucketSize, maxBuckets } = currentAddon();
    for (const size of [0, -1, 1.5, Number.NaN, Infinity, maxBucketSize + 1, 2 ** 53]) {
      const error = expectRefusal("ERR_OUT_OF_RANGE", make({ buckets: [size] }));
      expect(error.message).to.contain(`"options.buckets[0]" is out of range`);
    }
    for (const buckets of [
      [64, 64],
      [64, 32],
      [16, 32, 31],
    ]) {
      const error = expectRefusal("ERR_OUT_OF_RANGE", make({ buckets }));
      expect(error.message).to.contain(`"options.buckets[${buckets.length - 1}]" is out of range`);
    }
    const many = Array.from({ length: maxBuckets + 1 }, (_, index) => index + 1);
    for (const buckets of [[], many, new Array(2 ** 32 - 1)]) {
      const error = expectRefusal("ERR_OUT_OF_RANGE", make({ buckets }));
      expect(error.message).to.contain(`"options.buckets.length" is out of range`);
    }
  });

  it("the smallest, the largest and the most buckets are accepted", () => {
    const { maxBucketSize, maxBuckets } = currentAddon();
    const most = Array.from({ length: maxBuckets }, (_, index) => (index + 1) * 8);
    for (const buckets of [[1], [1, 2, 3], [64, 65], [maxBucketSize], [1, maxBucketSize], most]) {
      const heap = new Heap({ buckets });
      for (const size of [1, 7, 8, 100, maxBucketSize, maxBucketSize + 1]) {
        const block = heap.alloc(size);
        new Uint8Array(block).fill(1);
        expect(heap.usableSize(block)).to.be.at.least(size);
        heap.free(block);
      }
      expect(heap.bytesInUse).to.equal(0);
    }
  });

  it("odd size classes keep every alignment", () => {
    const heap = new Heap({ buckets: [5, 17, 100, 333] });
    for (const size of [1, 5, 6, 17, 90, 100, 200, 333, 334]) {
      for (const align of [1, 2, 8, 16, 64, 4096]) {
        const block = heap.alloc(size, { align });
        expect(heap.addressOf(block) % BigInt(align), `${size} at ${align}`).to.equal(0n);
      }
    }
  });

  it("a strategy of the future is named as unsupported, any other as wrong", () => {
    for (const strategy of ["first-fit", "next-fit", "best-fit", "worst-fit", "buddy", "slab"]) {
      const error = expectOffheapError("ERR_OFFHEAP_UNSUPPORTED", make({ strategy }));
      expect(error.message).to.contain(`"${strategy}"`).and.to.contain(`"buckets"`);
    }
    for (const strategy of ["", "bucket", "Buckets", "toString"]) expectRefusal("ERR_OUT_OF_RANGE", make({ strategy }));
    for (const strategy of [null, 8, {}, ["buckets"]]) expectRefusal("ERR_INVALID_ARG_TYPE", make({ strategy }));
  });

  it("a capacity is named as unsupported when it could be one, as wrong when not", () => {
    const error = expectOffheapError("ERR_OFFHEAP_UNSUPPORTED", make({ capacity: 1_000_000 }));
    expect(error.message).to.contain("1000000").and.to.contain("limit");
    for (const capacity of NOT_NUMBERS) {
      if (capacity !== undefined) expectRefusal("ERR_INVALID_ARG_TYPE", make({ capacity }));
    }
    for (const capacity of [0, -1, 0.5, Number.NaN, Infinity, 2 ** 53]) {
      expectRefusal("ERR_OUT_OF_RANGE", make({ capacity }));
    }
  });

  it("errors of a caller's own getters come through", () => {
    const options = {
      get limit(): number {
        throw new Error("mine");
      },
    };
    expect(() => new Heap(options)).to.throw("mine");
  });

  it("a Heap without new is refused", () => {
    expect(() => Reflect.apply(Heap as unknown as () => void, undefined, [])).to.throw(TypeError);
  });
});

describeForFalseBinding("buckets", (binding) => {
  it("are read once and copied, whatever the array does", () => {
    const reads = new Map<PropertyKey, number>();
    const buckets = new Proxy([16, 32, 64], {
      get: (target, key, receiver) => {
        reads.set(key, (reads.get(key) ?? 0) + 1);
        return Reflect.get(target, key, receiver);
      },
    });
    new Heap({ buckets });
    expect([...reads]).to.deep.equal([
      ["length", 1],
      ["0", 1],
      ["1", 1],
      ["2", 1],
    ]);
    expect(binding().heapOptions.at(-1)).to.deep.equal({ limit: Infinity, buckets: [16, 32, 64] });
    expect(binding().heapOptions.at(-1)?.buckets).to.not.equal(buckets);
  });

  it("are left to the addon when there are none", () => {
    new Heap({ limit: 5 });
    expect(binding().heapOptions.at(-1)).to.deep.equal({ limit: 5, buckets: undefined });
  });
});
