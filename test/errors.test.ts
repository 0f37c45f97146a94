import { constants } from "node:buffer";
import { inspect } from "node:util";
import { expect } from "chai";
import { describeReceived } from "../dist/describe.js";
import { createError, invalidArgumentType, invalidThis, OffheapError, outOfRange } from "../dist/errors.js";
import { type CodedError, caught } from "./promises.js";
import { refusesReceiversAsNode, showsCodeInStack } from "./runtime_features.js";

describe("errors for wrong arguments read as Node's own", () => {
  const read = ({ name, code, message, stack }: CodedError) => {
    return { name, code, message, firstLine: stack?.split("\n")[0] };
  };
  const nodes = (action: () => unknown) => {
    const error = read(caught(action));
    return showsCodeInStack ? error : { ...error, firstLine: `${error.name} [${error.code}]: ${error.message}` };
  };

  it("a wrong type", () => {
    for (const value of ["8", undefined, null, 8n, true, {}, [], Math.max, class Named {}, Symbol("s"), new Map()]) {
      expect(read(invalidArgumentType("size", "of type number", value))).to.deep.equal(
        nodes(() => Buffer.alloc(value as number)),
      );
    }
  });

  it("a value out of range", () => {
    const range = `>= 0 && <= ${constants.MAX_LENGTH}`;
    for (const value of [-1, -1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      expect(read(outOfRange("size", range, value))).to.deep.equal(nodes(() => Buffer.alloc(value)));
    }
  });

  it("a wrong receiver", () => {
    const ours = read(invalidThis("URLSearchParams"));
    const nodesOwn = nodes(() => URLSearchParams.prototype.get.call({} as URLSearchParams, "a"));
    if (refusesReceiversAsNode) expect(ours).to.deep.equal(nodesOwn);
    else expect(ours).to.include({ name: nodesOwn.name, code: nodesOwn.code });
  });

  it("the messages are the ones the documentation quotes", () => {
    expect(invalidArgumentType("size", "of type number", "8").message).to.equal(
      `The "size" argument must be of type number. Received type string ('8')`,
    );
    expect(invalidArgumentType("options.buckets[2]", "of type number", null).message).to.equal(
      `The "options.buckets[2]" property must be of type number. Received null`,
    );
    expect(outOfRange("size", "an integer >= 0 && <= 4294967296", -1).message).to.equal(
      `The value of "size" is out of range. It must be an integer >= 0 && <= 4294967296. Received -1`,
    );
    expect(outOfRange("size", "smaller", 2 ** 60).message).to.contain("Received 1_152_921_504_606_847_000");
  });

  it("the stack starts where the error was made", () => {
    expect(invalidThis("Heap").stack?.split("\n")[1]).to.contain("errors.test.");
    expect(new OffheapError("ERR_OFFHEAP_FREED", "gone").stack?.split("\n")[1]).to.contain("errors.test.");
  });

  it("a program that breaks Error.prepareStackTrace does not break the error", () => {
    const prepare = Error.prepareStackTrace;
    Error.prepareStackTrace = () => {
      throw new Error("broken");
    };
    try {
      const error = invalidThis("Heap");
      expect([error.name, error.code]).to.deep.equal(["TypeError", "ERR_INVALID_THIS"]);
    } finally {
      Error.prepareStackTrace = prepare;
    }
  });
});

describe("a value of any kind can be described", () => {
  const throwing = new Proxy(
    {},
    {
      get: () => {
        throw new Error("trapped");
      },
      getPrototypeOf: () => {
        throw new Error("trapped");
      },
    },
  );
  const accessor = Object.defineProperty({}, "constructor", {
    get: () => {
      throw new Error("called");
    },
  });
  const cases: readonly (readonly [string, unknown, string])[] = [
    ["a symbol", Symbol("sign"), "type symbol (Symbol(sign))"],
    ["an object without a prototype", Object.create(null), "[Object: null prototype]"],
    ["a proxy that throws", throwing, "a Proxy"],
    ["an object whose prototype is such a proxy", Object.create(new Proxy({}, {})), "a Proxy"],
    ["an object whose constructor throws", accessor, "an instance of Object"],
    ["a huge string", "x".repeat(2 ** 24), `type string ('${"x".repeat(24)}...)`],
    ["a huge bigint", 10n ** 5000n, "type bigint (1000000000000000000000000...)"],
    ["a bound function", (() => undefined).bind(undefined), "function bound"],
    [
      "an anonymous function",
      (
        () => () =>
          undefined
      )(),
      "function",
    ],
    ["an anonymous class", new (class {})(), "an instance of an anonymous class"],
    ["an object that inspects itself", { [inspect.custom]: () => "lies" }, "an instance of Object"],
  ];
  for (const [title, value, expected] of cases) {
    it(title, () => expect(describeReceived(value, "with type")).to.equal(expected));
  }

  it("a function whose name throws", () => {
    const named = Object.defineProperty(() => undefined, "name", {
      get: () => {
        throw new Error("called");
      },
    });
    expect(describeReceived(named, "with type")).to.equal("function");
  });
});

describe("OffheapError", () => {
  it("carries its code, and shows it where it is printed", () => {
    const error = new OffheapError("ERR_OFFHEAP_FREED", "gone");
    expect(error).to.be.instanceOf(Error);
    expect([error.name, error.code, error.message]).to.deep.equal(["OffheapError", "ERR_OFFHEAP_FREED", "gone"]);
    expect(error.stack).to.match(/^OffheapError \[ERR_OFFHEAP_FREED\]: gone\n/);
    expect(String(error)).to.equal("OffheapError [ERR_OFFHEAP_FREED]: gone");
  });

  it("has no fields that do not belong to its code", () => {
    expect(Object.keys(new OffheapError("ERR_OFFHEAP_FREED", "gone"))).to.deep.equal(["code"]);
  });

  it("names what the kernel refused", () => {
    const error = createError({
      code: "ERR_OFFHEAP_OUT_OF_MEMORY",
      bytes: 4096,
      call: "mmap",
      osError: 12,
      osMessage: "Cannot allocate memory",
    });
    expect(error).to.include({ bytes: 4096, call: "mmap", osError: 12, osMessage: "Cannot allocate memory" });
    expect(error.message).to.match(/4096 bytes: mmap failed with error 12 \(Cannot allocate memory\)/);
  });

  it("names the limit, what is in use and what was asked for", () => {
    const error = createError({ code: "ERR_OFFHEAP_LIMIT", limit: 1000, inUse: 950, asked: 100 });
    expect(error).to.include({ limit: 1000, inUse: 950, asked: 100 });
    expect(error.message).to.match(/100 bytes more would exceed .* 950 of 1000 bytes/);
  });

  for (const what of ["buffers", "shared buffers"] as const) {
    it(`says what to do where the runtime cannot make ${what}`, () => {
      const error = createError({ code: "ERR_OFFHEAP_UNSUPPORTED", what });
      expect(error.code).to.equal("ERR_OFFHEAP_UNSUPPORTED");
      expect(error.message).to.match(
        what === "buffers" ? /refuses ArrayBuffers.* Use Node/ : /SharedArrayBuffer.* Node 20/,
      );
    });
  }

  for (const code of [
    "ERR_OFFHEAP_FREED",
    "ERR_OFFHEAP_FOREIGN",
    "ERR_OFFHEAP_LOCKED",
    "ERR_OFFHEAP_CLOSED",
  ] as const) {
    it(`${code} has words of its own`, () => {
      const error = createError({ code });
      expect(error.code).to.equal(code);
      expect(error.message.length).to.be.greaterThan(40);
    });
  }
});
