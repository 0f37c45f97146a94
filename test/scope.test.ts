import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { Scope } from "../dist/scope.js";
import { describeForBothBindings, describeForFalseBinding } from "./bindings.js";
import { hold } from "./garbage.js";
import { as, caught, expectRefusal, expectUnchanged, NOT_NUMBERS } from "./promises.js";

describeForBothBindings("scope", () => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });

  it("frees what it allocated when the body returns, and returns what the body returned", () => {
    const blocks: ArrayBufferLike[] = [];
    const result = heap.scope((scope) => {
      blocks.push(scope.alloc(1), scope.allocUnsafe(2), scope.allocBuffer(3).buffer);
      blocks.push(scope.allocArray(Float64Array, 4).buffer, scope.alloc(0));
      expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([38, 4]);
      return "result";
    });
    expect(result).to.equal("result");
    expect(blocks.map((block) => block.byteLength)).to.deep.equal([0, 0, 0, 0, 0]);
    expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
  });

  it("frees when the body throws, and throws what the body threw", () => {
    const mine = new Error("mine");
    const error = caught(() =>
      heap.scope((scope) => {
        scope.alloc(100);
        throw mine;
      }),
    );
    expect(error).to.equal(mine);
    expect(heap.bytesInUse).to.equal(0);
  });

  it("frees when the promise of the body is fulfilled, not before", async () => {
    const result = heap.scope(async (scope) => {
      const block = scope.alloc(100);
      await new Promise(setImmediate);
      expect(block.byteLength).to.equal(100);
      return 42;
    });
    expect(heap.bytesInUse).to.equal(100);
    expect(await result).to.equal(42);
    expect(heap.bytesInUse).to.equal(0);
  });

  it("frees when the promise of the body is rejected", async () => {
    const mine = new Error("mine");
    const result = heap.scope(async (scope) => {
      scope.alloc(100);
      await new Promise(setImmediate);
      throw mine;
    });
    expect(heap.bytesInUse).to.equal(100);
    expect(await result.then(undefined, (error) => error)).to.equal(mine);
    expect(heap.bytesInUse).to.equal(0);
  });

  it("waits for whatever has a then, asks for it once and settles after the frees", async () => {
    let asked = 0;
    let settle: (value: string) => void = () => undefined;
    const result = heap.scope((scope) => {
      scope.alloc(100);
      return withThen(() => {
        asked++;
        return (resolve: (value: string) => void) => {
          settle = resolve;
        };
      });
    });
    expect([heap.bytesInUse, asked]).to.deep.equal([100, 1]);
    settle("done");
    expect(await (result as Promise<string>)).to.equal("done");
    expect(heap.bytesInUse).to.equal(0);
  });

  it("frees when asking the result for then throws", () => {
    const error = caught(() =>
      heap.scope((scope) => {
        scope.alloc(100);
        return withThen(() => {
          throw new Error("mine");
        });
      }),
    );
    expect([error.message, heap.bytesInUse]).to.deep.equal(["mine", 0]);
  });

  it("leaves alone what was freed, moved or reallocated otherwise in the meantime", () => {
    let outside: ArrayBuffer | undefined;
    heap.scope((scope) => {
      heap.free(scope.alloc(1));
      outside = heap.realloc(scope.alloc(2), 20);
      scope.free(scope.alloc(3));
      scope.free(new Uint8Array(scope.alloc(4), 1));
    });
    expect([heap.bytesInUse, outside?.byteLength]).to.deep.equal([20, 20]);
  });

  it("frees what its own realloc made", () => {
    heap.scope((scope) => {
      const grown = scope.realloc(scope.allocBuffer(10).fill(7), 1000);
      expect([...new Uint8Array(grown).subarray(8, 12)]).to.deep.equal([7, 7, 0, 0]);
      expect(heap.bytesInUse).to.equal(1000);
      scope.realloc(scope.alloc(0), 5);
    });
    expect(heap.bytesInUse).to.equal(0);
  });

  it("does not adopt a block of the heap that it reallocates", () => {
    const block = heap.alloc(10);
    const grown = heap.scope((scope) => scope.realloc(block, 20));
    expect([grown.byteLength, heap.bytesInUse]).to.deep.equal([20, 20]);
  });

  it("keep takes a block out and returns what it was given", () => {
    const buffer = heap.scope((scope) => {
      scope.alloc(1);
      const view = scope.allocBuffer(10);
      expect(scope.keep(view)).to.equal(view);
      return view;
    });
    expect([buffer.length, heap.bytesInUse]).to.deep.equal([10, 10]);
    heap.free(buffer);
  });

  it("keep refuses what is no block of the scope", () => {
    const outer = hold(heap.alloc(8));
    const other = new Heap().alloc(8);
    heap.scope((scope) => {
      const kept = hold(scope.keep(scope.alloc(8)));
      const freed = scope.alloc(8);
      scope.free(freed);
      for (const block of [outer, other, kept, new ArrayBuffer(8), new Uint8Array(8)]) {
        expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => scope.keep(block));
      }
      expectUnchanged(heap, "ERR_OFFHEAP_FREED", () => scope.keep(freed));
      for (const block of [null, 8, {}]) expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => scope.keep(as(block)));
    });
    expect(heap.blocksInUse).to.equal(2);
  });

  it("is closed after its end", async () => {
    let ended: Scope | undefined;
    const block = heap.scope((scope) => {
      ended = scope;
      return scope.keep(scope.alloc(8));
    });
    const scope = ended as Scope;
    expect(scope.closed).to.equal(true);
    const ways = [
      () => scope.alloc(8),
      () => scope.alloc(0),
      () => scope.allocUnsafe(8),
      () => scope.allocBuffer(8),
      () => scope.allocArray(Uint8Array, 8),
      () => scope.realloc(block, 8),
      () => scope.free(block),
      () => scope.keep(block),
    ];
    for (const way of ways) expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", way);
    scope.close();
    heap.free(block);
  });

  it("can be nested", () => {
    heap.scope((outer) => {
      outer.alloc(1);
      heap.scope((inner) => {
        inner.alloc(2);
        outer.alloc(4);
        expect(heap.bytesInUse).to.equal(7);
      });
      expect(heap.bytesInUse).to.equal(5);
    });
    expect(heap.bytesInUse).to.equal(0);
  });

  it("frees also when the heap is closed meanwhile", () => {
    heap.scope((scope) => {
      scope.alloc(100);
      heap.close();
      expectUnchanged(heap, "ERR_OFFHEAP_CLOSED", () => scope.alloc(1));
    });
    expect(heap.bytesInUse).to.equal(0);
  });

  it("refuses a body that is no function", () => {
    for (const body of [undefined, null, 8, "body", {}]) {
      const error = expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => heap.scope(as(body)));
      expect(error.message).to.contain(`The "body" argument must be of type function.`);
    }
  });

  it("passes on the errors of the heap", () => {
    heap.scope((scope) => {
      expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => scope.alloc(-1));
      expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => scope.alloc(as(NOT_NUMBERS[2])));
      expectUnchanged(heap, "ERR_INVALID_ARG_TYPE", () => scope.free(as(null)));
      expectUnchanged(heap, "ERR_OFFHEAP_FOREIGN", () => scope.free(new ArrayBuffer(8)));
      expectUnchanged(heap, "ERR_OUT_OF_RANGE", () => scope.realloc(scope.alloc(0), 0.5));
    });
  });

  it("can be opened and closed by hand, and by using", () => {
    const byHand = new Scope(heap);
    byHand.alloc(8);
    byHand.close();
    byHand.close();
    expect([byHand.closed, heap.bytesInUse]).to.deep.equal([true, 0]);
    {
      using scope = new Scope(heap);
      scope.alloc(8);
      expect(heap.bytesInUse).to.equal(8);
    }
    expect(heap.bytesInUse).to.equal(0);
  });

  it("cannot be opened on anything but an open heap", () => {
    for (const wrong of [undefined, null, 8, {}, Heap, { alloc: () => undefined }]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", () => new Scope(as(wrong)));
    }
    heap.close();
    expectRefusal("ERR_OFFHEAP_CLOSED", () => new Scope(heap));
  });
});

describeForFalseBinding("a scope with blocks that refuse to be freed", (binding) => {
  let heap: Heap;
  beforeEach(() => {
    heap = new Heap();
  });
  const allocateWithLocked = (scope: Scope, locked: number) => {
    scope.alloc(1);
    for (let block = 0; block < locked; block++) binding().locked.add(scope.alloc(10));
    scope.alloc(2);
  };

  it("frees the others, then throws the refusal", () => {
    expectRefusal("ERR_OFFHEAP_LOCKED", () => heap.scope((scope) => allocateWithLocked(scope, 1)));
    expect(heap.bytesInUse).to.equal(10);
  });

  it("throws an AggregateError when there are several", () => {
    const error = caught(() => heap.scope((scope) => allocateWithLocked(scope, 3))) as unknown as AggregateError;
    expect(error).to.be.instanceOf(AggregateError);
    expect(error.errors.map((refusal) => refusal.code)).to.deep.equal(Array(3).fill("ERR_OFFHEAP_LOCKED"));
    expect(heap.bytesInUse).to.equal(30);
  });

  it("rejects the promise of the body", async () => {
    const result = heap.scope(async (scope) => allocateWithLocked(scope, 1));
    expect(await result.then(undefined, (error) => error.code)).to.equal("ERR_OFFHEAP_LOCKED");
  });

  it("lets the error of the body come first", async () => {
    const body = (scope: Scope) => {
      allocateWithLocked(scope, 2);
      throw new Error("mine");
    };
    expect(caught(() => heap.scope(body)).message).to.equal("mine");
    const rejected = heap.scope(async (scope) => body(scope));
    expect(await rejected.then(undefined, (error) => error.message)).to.equal("mine");
  });
});

/** An object whose `then` is what `get` says. */
function withThen(get: () => unknown): unknown {
  // biome-ignore lint/suspicious/noThenProperty: a thenable is what these tests are about.
  return Object.defineProperty({}, "then", { get });
}
