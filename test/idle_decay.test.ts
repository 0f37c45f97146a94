import { setTimeout as wait } from "node:timers/promises";
import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { heap as defaultHeap } from "../dist/index.js";
import { describeForFalseBinding } from "./bindings.js";
import { hold } from "./garbage.js";

describeForFalseBinding("idle memory", (binding) => {
  /** Settles when decay was called `calls` times; the last call says there is no more to come. */
  const decayCalled = (calls: number) =>
    new Promise<void>((resolve) => {
      let left = calls;
      binding().onDecay = () => {
        left--;
        if (left === 0) resolve();
        return left > 0 ? "idle pages" : "nothing";
      };
    });

  const operations: readonly (readonly [string, (heap: Heap) => unknown])[] = [
    ["alloc", (heap) => heap.alloc(8)],
    ["free", (heap) => heap.free(heap.alloc(8))],
    ["realloc", (heap) => heap.realloc(heap.alloc(8), 16)],
    ["close", (heap) => heap.close()],
  ];
  for (const [name, operation] of operations) {
    it(`is given back some time after ${name}, as often as there is more to come`, async () => {
      const called = decayCalled(3);
      operation(new Heap());
      await called;
    });
  }

  it("is given back again after a pause", async () => {
    const heap = new Heap();
    for (let round = 0; round < 3; round++) {
      const called = decayCalled(1);
      heap.free(heap.alloc(8));
      await called;
      await new Promise(setImmediate);
    }
  });

  it("is looked for less and less often while there are blocks that may come back unnoticed", async () => {
    const waits: number[] = [];
    let last = performance.now();
    await new Promise<void>((resolve) => {
      binding().onDecay = () => {
        waits.push(performance.now() - last);
        last = performance.now();
        if (waits.length === 6) resolve();
        return waits.length < 6 ? "blocks" : "nothing";
      };
      hold(new Heap().alloc(8));
    });
    // 1, 2, 4, 8, 16 and 32 ms at least; a busy machine may make it more.
    for (const [index, wait] of waits.slice(1).entries()) expect(wait).to.be.at.least(2 ** (index + 1) - 1.5);
  });

  it("is not looked for when nothing happened", async () => {
    let calls = 0;
    binding().onDecay = () => {
      calls++;
      return "nothing";
    };
    new Heap();
    const called = new Promise<void>((resolve) => setTimeout(resolve, 20));
    await called;
    expect(calls).to.equal(0);
  });
});

describe("the timers of many heaps", () => {
  it("do not keep them when they are closed and nobody has them any more", async () => {
    const releases = () => defaultHeap.stats().systemCalls.release;
    const before = releases();
    for (let count = 0; count < 60; count++) {
      const own = new Heap();
      own.free(own.alloc(1000));
      own.close();
    }
    // Each has a timer, which looks after a second; a runtime may hold some of the last.
    for (let look = 0; releases() - before < 50 && look < 300; look++) {
      await wait(20);
      globalThis.gc?.();
    }
    expect(releases() - before).to.be.at.least(50);
  });
});
