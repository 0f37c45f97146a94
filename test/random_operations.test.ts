/**
 * Random operations against a shadow model that knows what every byte must be. The seed is printed when a run fails;
 * OFFHEAP_TEST_SEED repeats it, OFFHEAP_TEST_OPERATIONS sets how long a run is.
 */
import { expect } from "chai";
import { array, assert, constant, integer, oneof, property, record } from "fast-check";
import { Heap } from "../dist/heap.js";
import { describeForAddon, describeForBothBindings } from "./bindings.js";
import { caught } from "./promises.js";

const OPERATIONS = Number(process.env.OFFHEAP_TEST_OPERATIONS ?? 150_000);
const SEED = Number(process.env.OFFHEAP_TEST_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** Numbers that look random and repeat with their seed: mulberry32. */
function makeRandom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** A live block, and the byte that fills it. */
interface Live {
  block: ArrayBuffer;
  fill: number;
  readonly align: number;
}

/** Does random operations on a heap and checks every byte it wrote before it gives a block up. */
class Shadow {
  readonly live: Live[] = [];
  bytes = 0;
  readonly #heap: Heap;
  readonly #random: (below: number) => number;

  constructor(heap: Heap, random: (below: number) => number) {
    this.#heap = heap;
    this.#random = random;
  }

  step(mostBlocks: number): void {
    const choice = this.#random(100);
    if (this.live.length === 0 || (choice < 50 && this.live.length < mostBlocks)) this.#alloc();
    else if (choice < 75) this.#free();
    else this.#realloc();
  }

  freeAll(): void {
    while (this.live.length > 0) this.#free();
  }

  /** Mostly small, seldom large, and every order of magnitude in between. */
  #size(): number {
    return 1 + this.#random(2 ** (1 + this.#random(this.#random(50) === 0 ? 20 : 13)));
  }

  #alloc(): void {
    const size = this.#size();
    const align = this.#random(4) === 0 ? 2 ** this.#random(13) : 8;
    const zeroed = this.#random(2) === 0;
    const block = zeroed ? this.#heap.alloc(size, { align }) : this.#heap.allocUnsafe(size, { align });
    this.bytes += size;
    if (block.byteLength !== size) throw new Error(`asked for ${size}, got ${block.byteLength}`);
    if (zeroed) checkFilled(block, 0, size, 0);
    this.#checkAlign(block, align);
    const fill = 1 + this.#random(255);
    new Uint8Array(block).fill(fill);
    this.live.push({ block, fill, align });
  }

  #free(): void {
    const { block, fill } = this.#take();
    const size = block.byteLength;
    checkFilled(block, 0, size, fill);
    this.#heap.free(block);
    this.bytes -= size;
    if (block.byteLength !== 0) throw new Error("free left the buffer attached");
    if (this.#random(20) === 0) expect(caught(() => this.#heap.free(block)).code).to.equal("ERR_OFFHEAP_FREED");
  }

  #realloc(): void {
    const live = this.#take();
    const before = live.block.byteLength;
    const size = this.#size();
    const next = this.#heap.realloc(live.block, size);
    this.bytes += size - before;
    if (live.block.byteLength !== 0) throw new Error("realloc left the old buffer attached");
    if (next.byteLength !== size) throw new Error(`asked for ${size}, got ${next.byteLength}`);
    checkFilled(next, 0, Math.min(before, size), live.fill);
    checkFilled(next, before, size, 0);
    this.#checkAlign(next, live.align);
    live.fill = 1 + this.#random(255);
    new Uint8Array(next).fill(live.fill);
    this.live.push({ ...live, block: next });
  }

  #take(): Live {
    const index = this.#random(this.live.length);
    const live = this.live[index] as Live;
    const last = this.live.pop() as Live;
    if (last !== live) this.live[index] = last;
    return live;
  }

  #checkAlign(block: ArrayBuffer, align: number): void {
    if (this.#heap.addressOf(block) % BigInt(align) !== 0n) throw new Error(`not aligned to ${align}`);
  }
}

const ALL_BYTES = Array.from({ length: 256 }, (_, byte) => new Uint8Array(2 ** 20).fill(byte));

function checkFilled(block: ArrayBuffer, start: number, end: number, byte: number): void {
  if (start >= end) return;
  const expected = (ALL_BYTES[byte] as Uint8Array).subarray(0, end - start);
  if (Buffer.compare(new Uint8Array(block, start, end - start), expected) !== 0) {
    throw new Error(`bytes ${start} to ${end} of a block of ${block.byteLength} are not all ${byte}`);
  }
}

describeForAddon("random operations", () => {
  const kinds = [
    { title: "on the default size classes", options: {}, mostBlocks: 2000 },
    { title: "on few size classes", options: { buckets: [24, 100, 1000] }, mostBlocks: 500 },
    { title: "on a single tiny size class", options: { buckets: [8] }, mostBlocks: 300 },
    { title: "on few live blocks", options: {}, mostBlocks: 4 },
  ];
  for (const { title, options, mostBlocks } of kinds) {
    it(`${title} keep every byte, and bytesInUse is exact after each (seed ${SEED})`, () => {
      const heap = new Heap(options);
      const shadow = new Shadow(heap, makeRandom(SEED));
      for (let operation = 0; operation < OPERATIONS / kinds.length; operation++) {
        shadow.step(mostBlocks);
        if (heap.bytesInUse !== shadow.bytes || heap.blocksInUse !== shadow.live.length) {
          throw new Error(`after operation ${operation}: ${heap.bytesInUse} in use, ${shadow.bytes} expected`);
        }
        if (operation % 5000 === 0) heap.trim();
      }
      const { requested, blocks, frees, allocations } = heap.stats();
      expect([requested, blocks, allocations - frees]).to.deep.equal([
        shadow.bytes,
        shadow.live.length,
        shadow.live.length,
      ]);
      shadow.freeAll();
      expect([heap.bytesInUse, heap.blocksInUse, heap.snapshot().blocks.length]).to.deep.equal([0, 0, 0]);
    });
  }
});

describeForBothBindings("any sequence of operations", () => {
  const index = integer({ min: 0, max: 9 });
  const size = oneof(integer({ min: 0, max: 100 }), integer({ min: 0, max: 100_000 }));
  const operation = oneof(
    record({ kind: constant("alloc" as const), size, index }),
    record({ kind: constant("free" as const), size, index }),
    record({ kind: constant("realloc" as const), size, index }),
  );

  it("leaves bytesInUse and blocksInUse exact, right or wrong as each of them may be", () => {
    assert(
      property(array(operation, { maxLength: 60 }), (operations) => {
        const heap = new Heap({ limit: 200_000 });
        const slots: (ArrayBuffer | undefined)[] = Array(10).fill(undefined);
        for (const { kind, size, index } of operations) {
          const block = slots[index];
          try {
            if (kind === "alloc" && block === undefined) slots[index] = heap.alloc(size);
            else if (kind === "free" && block !== undefined) {
              heap.free(block);
              slots[index] = undefined;
            } else if (kind === "realloc" && block !== undefined) slots[index] = heap.realloc(block, size);
          } catch (error) {
            expect(error).to.have.property("code", "ERR_OFFHEAP_LIMIT");
          }
          const live = slots.filter((slot) => slot !== undefined && slot.byteLength > 0) as ArrayBuffer[];
          expect(heap.bytesInUse).to.equal(live.reduce((sum, slot) => sum + slot.byteLength, 0));
          expect(heap.blocksInUse).to.equal(live.length);
        }
        for (const block of slots) if (block !== undefined) heap.free(block);
        expect([heap.bytesInUse, heap.blocksInUse]).to.deep.equal([0, 0]);
      }),
    );
  });
});
