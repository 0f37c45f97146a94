import { constants } from "node:buffer";
import { expect } from "chai";
import { type Installation, install } from "../dist/global.js";
import { Heap } from "../dist/heap.js";
import { heap as defaultHeap } from "../dist/index.js";
import { runScript } from "./child_process.js";
import { hold } from "./garbage.js";
import { as, caught, expectOffheapError, expectRefusal, NOT_NUMBERS } from "./promises.js";
import { allocRefusesAsFill, canZeroFillBuffers } from "./runtime_features.js";

const NAMES = ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const;
const KiB = 1024;

describe("offheap/global", () => {
  const originals = NAMES.map((name) => Object.getOwnPropertyDescriptor(Buffer, name));
  let heap: Heap;
  let installation: Installation | undefined;
  const installed = (minSize?: number) => {
    installation = install({ heap, minSize });
    return installation;
  };
  beforeEach(() => {
    heap = new Heap();
  });
  afterEach(() => {
    installation?.restore();
    expect(NAMES.map((name) => Object.getOwnPropertyDescriptor(Buffer, name))).to.deep.equal(originals);
  });

  it("puts the heap behind large Buffers and leaves small ones to Node", () => {
    installed(1000);
    for (const name of NAMES) {
      const large = Buffer[name](1000);
      expect([large.length, heap.owns(large), Buffer.isBuffer(large)]).to.deep.equal([1000, true, true]);
      const small = Buffer[name](999);
      expect([small.length, heap.owns(small)]).to.deep.equal([999, false]);
      heap.free(large);
    }
    expect(heap.bytesInUse).to.equal(0);
  });

  it("means 64 KiB and the default heap when it is not told", () => {
    installation = install();
    expect([installation.minSize, installation.installed]).to.deep.equal([64 * KiB, true]);
    const large = Buffer.alloc(64 * KiB);
    expect([defaultHeap.owns(large), defaultHeap.owns(Buffer.alloc(64 * KiB - 1))]).to.deep.equal([true, false]);
    defaultHeap.free(large);
  });

  it("Buffer.alloc is zeros, also where a block was used before", () => {
    installed(100);
    heap.free(Buffer.allocUnsafe(5000).fill(1));
    for (const buffer of [Buffer.alloc(5000), Buffer.alloc(5000, 0), Buffer.alloc(5000, undefined, as("nonsense"))]) {
      expect(buffer.every((byte) => byte === 0)).to.equal(true);
    }
  });

  it("Buffer.alloc fills as Node does", () => {
    const cases: [fill: string | Uint8Array | number, encoding?: BufferEncoding][] = [
      [1],
      [257],
      [-1],
      [0.5],
      ["a"],
      ["abc"],
      ["é", "latin1"],
      ["616263", "hex"],
      ["aGVsbG8=", "base64"],
      [Buffer.from("xyz")],
      [new Uint8Array([1, 2, 3])],
      [""],
      [as(true)],
      [as(null)],
      [as({})],
    ];
    const nodes = cases.map(([fill, encoding]) => outcome(() => Buffer.alloc(1000, fill, encoding)));
    installed(10);
    const ours = cases.map(([fill, encoding]) => outcome(() => hold(Buffer.alloc(1000, fill, encoding))));
    expect(ours).to.deep.equal(nodes);
    expect(heap.blocksInUse).to.be.greaterThan(10);
  });

  it("a fill that Node refuses is refused alike, and the block goes back", () => {
    const wrong: [fill: unknown, encoding?: unknown][] = [
      ["zz", "hex"],
      ["a", "nonsense"],
      ["a", 8],
      [new Uint8Array(0)],
      [Symbol("fill")],
    ];
    const attempt = ([fill, encoding]: (typeof wrong)[number]) => {
      const { name, message, code } = caught(() => Buffer.alloc(1000, as(fill), as(encoding)));
      return { name, code, ...(allocRefusesAsFill ? { message } : {}) };
    };
    const nodes = wrong.map(attempt);
    installed(10);
    expect(wrong.map(attempt)).to.deep.equal(nodes);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
  });

  it("wrong sizes get Node's own errors", () => {
    const sizes = [...NOT_NUMBERS, -1, Number.NaN, Infinity, -Infinity, constants.MAX_LENGTH + 1, 2 ** 53, 2 ** 63];
    const attempts = () =>
      NAMES.flatMap((name) =>
        sizes.map((size) => {
          const { name: kind, message, code } = caught(() => Buffer[name](as(size)));
          return { kind, message, code };
        }),
      );
    const nodes = attempts();
    installed(1);
    expect(attempts()).to.deep.equal(nodes);
    expect(Buffer.alloc(1000.5).length).to.equal(1000);
    expect(heap.stats().allocations).to.equal(0);
  });

  it("the functions look as Node's", () => {
    const looks = () =>
      NAMES.map((name) => {
        const { enumerable, writable, configurable } = as<PropertyDescriptor>(
          Object.getOwnPropertyDescriptor(Buffer, name),
        );
        return [
          Buffer[name].name,
          Buffer[name].length,
          Reflect.ownKeys(Buffer[name]),
          enumerable,
          writable,
          configurable,
        ];
      });
    const nodes = looks();
    installed();
    expect(looks()).to.deep.equal(nodes);
  });

  it("restore puts Node's functions back, and may be called twice", () => {
    const { minSize } = installed(10);
    const buffer = Buffer.alloc(1000);
    installation?.restore();
    installation?.restore();
    expect([installation?.installed, minSize, installation?.minSize]).to.deep.equal([false, 10, 10]);
    expect(NAMES.map((name) => Object.getOwnPropertyDescriptor(Buffer, name))).to.deep.equal(originals);
    expect(heap.owns(Buffer.alloc(1000))).to.equal(false);
    expect([buffer.length, heap.owns(buffer)]).to.deep.equal([1000, true]);
  });

  it("ends with using", () => {
    {
      using scoped = installed(10);
      expect(heap.owns(Buffer.alloc(10))).to.equal(scoped.installed);
    }
    expect(heap.owns(Buffer.alloc(10))).to.equal(false);
  });

  it("cannot be installed twice, but again after restore", () => {
    installed(10);
    const error = expectOffheapError("ERR_OFFHEAP_UNSUPPORTED", () => install());
    expect(error.message).to.contain("restore()");
    installation?.restore();
    installed(20);
    expect(installation?.minSize).to.equal(20);
  });

  it("leaves a function alone that somebody else put over it, and then only passes calls on", () => {
    installed(10);
    const ours = Buffer.alloc;
    const theirs: typeof Buffer.alloc = (size, fill, encoding) => ours(size, fill, encoding);
    Buffer.alloc = theirs;
    try {
      expect(heap.owns(Buffer.alloc(1000))).to.equal(true);
      installation?.restore();
      expect(Buffer.alloc).to.equal(theirs);
      const buffer = Buffer.alloc(1000, 7);
      expect([heap.owns(buffer), buffer.every((byte) => byte === 7)]).to.deep.equal([false, true]);
      expect(Buffer.allocUnsafe).to.equal(originals[1]?.value);
    } finally {
      Object.defineProperty(Buffer, "alloc", as<PropertyDescriptor>(originals[0]));
    }
  });

  it("throws when the heap refuses: nothing falls back in silence", () => {
    heap = new Heap({ limit: 1000 });
    installed(10);
    for (const name of NAMES) expectOffheapError("ERR_OFFHEAP_LIMIT", () => Buffer[name](1001));
    heap.close();
    for (const name of NAMES) expectOffheapError("ERR_OFFHEAP_CLOSED", () => Buffer[name](100));
    expect(Buffer.alloc(9).length).to.equal(9);
  });

  it("refuses options that cannot be", () => {
    for (const options of [null, 8, "heap", [], () => undefined]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", () => install(as(options)));
    }
    for (const minSize of NOT_NUMBERS) {
      if (minSize !== undefined) expectRefusal("ERR_INVALID_ARG_TYPE", () => install({ minSize: as(minSize) }));
    }
    for (const minSize of [0, -1, 0.5, Number.NaN, Infinity, 2 ** 53]) {
      expectRefusal("ERR_OUT_OF_RANGE", () => install({ minSize }));
    }
    for (const wrong of [null, 8, {}, Heap]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", () => install({ heap: as(wrong) }));
    }
  });

  it("serves what Node itself does with Buffers", () => {
    installed(1);
    const text = "offheap ".repeat(1000);
    const joined = Buffer.concat([Buffer.from(text), Buffer.from(text)]);
    expect(joined.toString()).to.equal(text + text);
    expect(Buffer.from(joined.toString("base64"), "base64").equals(joined)).to.equal(true);
  });

  it(`zeroes unsafe Buffers as well when Node was told to${canZeroFillBuffers ? "" : ", which this runtime cannot be"}`, () => {
    const result = runScript(
      "commonjs",
      `const { install } = require("offheap/global");
       const { heap } = require("offheap");
       install({ minSize: 100 });
       heap.free(Buffer.alloc(1000, 1));
       const clean = [Buffer.allocUnsafe(1000), Buffer.allocUnsafeSlow(1000)];
       console.log(clean.every((buffer) => heap.owns(buffer) && buffer.every((byte) => byte === 0)));`,
      ["--zero-fill-buffers"],
    );
    expect(result).to.include({ status: 0, stdout: `${canZeroFillBuffers}\n` });
  });
});

/** What a call returned, or the error it threw, in a form that compares. */
function outcome(action: () => Buffer): string {
  try {
    return action().toString("hex");
  } catch (error) {
    return String(error);
  }
}
