/** Everything that is not a live block of a heap, with the error that free, realloc and usableSize must answer. */
import type { Heap } from "../dist/heap.js";
import { makeWebAssemblyMemory, transferOf } from "./runtime_features.js";

export interface BadBlock {
  readonly title: string;
  readonly code: "ERR_INVALID_ARG_TYPE" | "ERR_OFFHEAP_FREED" | "ERR_OFFHEAP_FOREIGN";
  /** Makes the value; `heap` is the heap it will be passed to, `other` another one. */
  readonly make: (heap: Heap, other: Heap) => unknown;
}

const wrongTypes: readonly BadBlock[] = [
  ["undefined", () => undefined],
  ["null", () => null],
  ["a number", () => 8],
  ["a string", () => "block"],
  ["a bigint", () => 8n],
  ["a boolean", () => true],
  ["a symbol", () => Symbol("block")],
  ["a function", () => () => undefined],
  ["a plain object", () => ({})],
  ["an object that looks like a buffer", () => ({ byteLength: 64 })],
  ["an object that looks like a view", (heap: Heap) => ({ buffer: heap.alloc(64), byteLength: 64 })],
  ["an object with a buffer's prototype", () => Object.create(ArrayBuffer.prototype)],
  ["an array", () => [1, 2, 3]],
  ["a proxy of a block", (heap: Heap) => new Proxy(heap.alloc(64), {})],
  ["a proxy of a view", (heap: Heap) => new Proxy(new Uint8Array(heap.alloc(64)), {})],
  ["a WebAssembly.Memory", () => makeWebAssemblyMemory({ initial: 1 })],
  ["a SharedArrayBuffer", () => new SharedArrayBuffer(64)],
].map(([title, make]) => ({ title, make, code: "ERR_INVALID_ARG_TYPE" }) as BadBlock);

const foreign: readonly BadBlock[] = [
  ["a plain ArrayBuffer", () => new ArrayBuffer(64)],
  ["a plain empty ArrayBuffer", () => new ArrayBuffer(0)],
  ["a view on a plain ArrayBuffer", () => new Uint8Array(64)],
  ["a Buffer of Node's", () => Buffer.from("hello")],
  ["a DataView on a plain ArrayBuffer", () => new DataView(new ArrayBuffer(64))],
  ["a view on a SharedArrayBuffer", () => new Uint8Array(new SharedArrayBuffer(64))],
  ["WebAssembly memory", () => makeWebAssemblyMemory({ initial: 1 }).buffer],
  ["a view on WebAssembly memory", () => new Uint8Array(makeWebAssemblyMemory({ initial: 1 }).buffer)],
  [
    "shared WebAssembly memory, through a view",
    () => {
      return new Uint8Array(makeWebAssemblyMemory({ initial: 1, maximum: 2, shared: true }).buffer);
    },
  ],
  ["another heap's block", (_heap: Heap, other: Heap) => other.alloc(64)],
  ["another heap's empty block", (_heap: Heap, other: Heap) => other.alloc(0)],
  ["a resizable ArrayBuffer", () => Reflect.construct(ArrayBuffer, [64, { maxByteLength: 128 }])],
  [
    "a clone of a block",
    (heap: Heap) => {
      const block = heap.alloc(64);
      const clone = structuredClone(block);
      heap.free(block);
      return clone;
    },
  ],
  [
    "a slice of a block",
    (heap: Heap) => {
      const block = heap.alloc(64);
      const slice = block.slice(0);
      heap.free(block);
      return slice;
    },
  ],
].map(([title, make]) => ({ title, make, code: "ERR_OFFHEAP_FOREIGN" }) as BadBlock);

const freed: readonly BadBlock[] = [
  [
    "a block freed before",
    (heap: Heap) => {
      const block = heap.alloc(64);
      heap.free(block);
      return block;
    },
  ],
  [
    "a view on a freed block",
    (heap: Heap) => {
      const view = new Uint8Array(heap.alloc(64));
      heap.free(view);
      return view;
    },
  ],
  [
    "a DataView on a freed block",
    (heap: Heap) => {
      const view = new DataView(heap.alloc(64), 8);
      heap.free(view);
      return view;
    },
  ],
  [
    "a Buffer on a freed block",
    (heap: Heap) => {
      const buffer = heap.allocBuffer(64);
      heap.free(buffer);
      return buffer;
    },
  ],
  [
    "a block reallocated before",
    (heap: Heap) => {
      const block = heap.alloc(64);
      heap.free(heap.realloc(block, 128));
      return block;
    },
  ],
  [
    "another heap's freed block",
    (_heap: Heap, other: Heap) => {
      const block = other.alloc(64);
      other.free(block);
      return block;
    },
  ],
  [
    "an empty block reallocated before",
    (heap: Heap) => {
      const block = heap.alloc(0);
      heap.free(heap.realloc(block, 64));
      return block;
    },
  ],
  [
    "an ArrayBuffer of the runtime's that was moved",
    () => {
      const buffer = new ArrayBuffer(64);
      structuredClone(buffer, { transfer: [buffer] });
      return buffer;
    },
  ],
  ...(transferOf === undefined
    ? []
    : [
        [
          "a block moved with transfer()",
          (heap: Heap) => {
            const block = heap.alloc(64);
            const moved = transferOf?.(block) as ArrayBuffer;
            if (heap.owns(moved)) heap.free(moved); // The false binding loses it from sight.
            return block;
          },
        ],
      ]),
].map(([title, make]) => ({ title, make, code: "ERR_OFFHEAP_FREED" }) as BadBlock);

export const BAD_BLOCKS: readonly BadBlock[] = [...wrongTypes, ...foreign, ...freed];
