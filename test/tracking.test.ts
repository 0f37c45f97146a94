import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { describeForBothBindings } from "./bindings.js";
import { hold } from "./garbage.js";
import { countsOf, expectRefusal } from "./promises.js";

describeForBothBindings("bytesInUse is exact at every moment", () => {
  it("through allocations, reallocations, frees, empty blocks and failures", () => {
    const heap = new Heap({ limit: 1_000_000 });
    const seen: number[] = [];
    const note = () => {
      const { requested, blocks } = heap.stats();
      expect([requested, blocks]).to.deep.equal([heap.bytesInUse, heap.blocksInUse]);
      seen.push(heap.bytesInUse);
    };
    note();
    const a = heap.alloc(1);
    note(); // 1
    const b = heap.allocBuffer(999);
    note(); // 1000
    const empty = heap.alloc(0);
    note(); // 1000
    expectRefusal("ERR_OFFHEAP_LIMIT", () => heap.alloc(999_001));
    note(); // 1000
    expectRefusal("ERR_OUT_OF_RANGE", () => heap.alloc(-1));
    note(); // 1000
    const grown = heap.realloc(a, 500_000);
    note(); // 500999
    expectRefusal("ERR_OFFHEAP_LIMIT", () => heap.realloc(b, 500_001));
    note(); // 500999
    const shrunk = heap.realloc(grown, 3);
    note(); // 1002
    const fromEmpty = heap.realloc(empty, 10);
    note(); // 1012
    expectRefusal("ERR_OFFHEAP_FREED", () => heap.free(a));
    note(); // 1012
    heap.free(b);
    note(); // 13
    heap.free(heap.realloc(fromEmpty, 0));
    note(); // 3
    heap.close();
    note(); // 3
    heap.free(shrunk);
    note(); // 0
    expect(seen).to.deep.equal([0, 1, 1000, 1000, 1000, 1000, 500_999, 500_999, 1002, 1012, 1012, 13, 3, 3, 0]);
  });

  it("is apart for each heap", () => {
    const first = new Heap();
    const second = new Heap();
    const block = first.alloc(100);
    hold(second.alloc(7));
    expect([first.bytesInUse, second.bytesInUse]).to.deep.equal([100, 7]);
    first.free(block);
    expect([first.bytesInUse, second.bytesInUse]).to.deep.equal([0, 7]);
  });

  it("counts what happened", () => {
    const heap = new Heap({ limit: 1000 });
    const blocks = [heap.alloc(100), heap.alloc(200), heap.alloc(300)];
    for (const block of blocks) heap.free(block);
    expectRefusal("ERR_OFFHEAP_LIMIT", () => heap.alloc(1001));
    expect(heap.stats()).to.include({ allocations: 3, frees: 3, failures: 1, peak: 600, requested: 0, reclaimed: 0 });
  });

  it("refused arguments are no failures of the heap", () => {
    const heap = new Heap();
    const before = countsOf(heap);
    expectRefusal("ERR_OUT_OF_RANGE", () => heap.alloc(-1));
    expect(heap.stats().failures).to.equal(0);
    expect(countsOf(heap)).to.deep.equal(before);
  });
});
